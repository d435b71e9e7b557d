//! What a network does to connections: a TCP proxy in front of a server.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Result;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::sleep;

/// What happens to the bytes that pass, until something else is said.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Weather {
    /// Nothing.
    Fair,
    /// Connections are reset, the old ones and each new one.
    Reset,
    /// Connections stand and new ones are taken, and no byte passes: the other side is gone and nobody said so.
    HalfOpen,
    /// Every piece of up to 16 KiB arrives so much later.
    Late(Duration),
    /// So many bytes pass a second, in each direction of each connection.
    Narrow(u32),
}

/// A proxy, until it is dropped.
pub struct Proxy {
    /// Where clients connect.
    pub address: SocketAddr,
    weather: watch::Sender<Weather>,
    listening: JoinHandle<()>,
}

impl Proxy {
    /// Stands in front of `server`, `host:port`.
    ///
    /// # Errors
    ///
    /// When no port is free.
    pub async fn of(server: &str) -> Result<Proxy> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let weather = watch::Sender::new(Weather::Fair);
        let (server, seen) = (server.to_owned(), weather.subscribe());
        let listening = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(pass(client, server.clone(), seen.clone()));
            }
        });
        Ok(Proxy { address, weather, listening })
    }

    /// From now on.
    pub fn set(&self, weather: Weather) {
        self.weather.send_replace(weather);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.listening.abort();
        self.weather.send_replace(Weather::Reset);
    }
}

/// A proxy in front of each server; processes of a fleet go [through](crate::Plan::through) it.
pub struct Network {
    pub(crate) kafka: Proxy,
    pub(crate) postgres: Proxy,
    pub(crate) opensearch: Proxy,
    pub(crate) dynamodb: Proxy,
}

impl Network {
    /// Stands in front of these stores, `host:port` or a URL each, and of a broker
    /// [behind a proxy](crate::Private::broker_behind_proxy).
    ///
    /// # Errors
    ///
    /// When no port is free.
    pub async fn of(kafka: Proxy, postgres: &str, opensearch: &str, dynamodb: &str) -> Result<Network> {
        Ok(Network {
            kafka,
            postgres: Proxy::of(host(postgres)).await?,
            opensearch: Proxy::of(host(opensearch)).await?,
            dynamodb: Proxy::of(host(dynamodb)).await?,
        })
    }

    /// The URL of DynamoDB through it.
    #[must_use]
    pub fn dynamodb_url(&self) -> String {
        format!("http://{}", self.dynamodb.address)
    }

    /// So for all of them, for a while; then fair again.
    pub async fn spell(&self, weather: Weather, lasts: Duration) {
        let proxies = [&self.kafka, &self.postgres, &self.opensearch, &self.dynamodb];
        proxies.iter().for_each(|proxy| proxy.set(weather));
        sleep(lasts).await;
        proxies.iter().for_each(|proxy| proxy.set(Weather::Fair));
    }
}

/// The `host:port` of a URL, or of what is that already.
pub(crate) fn host(url: &str) -> &str {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let authority = rest.split('/').next().unwrap_or_default();
    authority.rsplit_once('@').map_or(authority, |(_, host)| host)
}

async fn pass(client: TcpStream, server: String, weather: watch::Receiver<Weather>) {
    if *weather.borrow() == Weather::Reset {
        reset(client);
        return;
    }
    let Ok(server) = TcpStream::connect(&server).await else { return reset(client) };
    let mut watched = weather.clone();
    let ended = {
        let (mut from_client, mut to_client) = tokio::io::split(client);
        let (mut from_server, mut to_server) = tokio::io::split(server);
        let both = async {
            tokio::select! {
                () = carry(&mut from_client, &mut to_server, weather.clone()) => {}
                () = carry(&mut from_server, &mut to_client, weather.clone()) => {}
            }
        };
        let is_reset = tokio::select! {
            () = both => false,
            _ = watched.wait_for(|weather| *weather == Weather::Reset) => true,
        };
        (is_reset, from_client.unsplit(to_client))
    };
    if let (true, client) = ended {
        reset(client);
    }
}

/// Says that the connection is gone, at once and without what was on its way.
fn reset(connection: TcpStream) {
    // A connection that is gone already needs no reset.
    let _ = connection.set_zero_linger();
}

async fn carry(
    from: &mut (impl AsyncReadExt + Unpin),
    to: &mut (impl AsyncWriteExt + Unpin),
    mut weather: watch::Receiver<Weather>,
) {
    let mut piece = vec![0; 16 << 10];
    while let Ok(length @ 1..) = from.read(&mut piece).await {
        let now = *weather.borrow_and_update();
        match now {
            Weather::Fair => {}
            Weather::Late(delay) => sleep(delay).await,
            Weather::Narrow(rate) => {
                // A piece is at most 16 KiB.
                let length = u32::try_from(length).unwrap_or(u32::MAX);
                sleep(Duration::from_secs(1) * length / rate.max(1)).await;
            }
            Weather::HalfOpen | Weather::Reset => {
                // What it holds then passes late, as after a cable was plugged in again.
                if weather
                    .wait_for(|weather| !matches!(weather, Weather::HalfOpen | Weather::Reset))
                    .await
                    .is_err()
                {
                    return;
                }
            }
        }
        if to.write_all(&piece[..length]).await.is_err() {
            return;
        }
    }
}
