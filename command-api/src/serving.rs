//! The tasks of the process: answering requests, and publishing what they wrote.

use std::net::SocketAddr;
use std::time::Duration;

use aqueduct_contract::{ItemKey, Names, TypeName};
use aqueduct_store::publisher::Publishing;
use aqueduct_store::{Error, EventStore, kafka, topics};
use axum::Router;
use axum::serve::ListenerExt;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::time::sleep;
use tokio_util::sync::{CancellationToken, DropGuard};

const RETRY: Duration = Duration::from_secs(1);

/// Takes the address; with port 0 the returned one says which.
pub async fn bind(listen: SocketAddr) -> std::io::Result<(TcpListener, SocketAddr)> {
    let listener = TcpListener::bind(listen).await?;
    let address = listener.local_addr()?;
    Ok((listener, address))
}

/// Answers requests until `stop`, then those under way. `answered` is released when none will come any more, however
/// this ends.
pub async fn http(
    listener: TcpListener,
    router: Router,
    stop: CancellationToken,
    answered: DropGuard,
) -> std::io::Result<()> {
    let listener = listener.tap_io(|stream| {
        // An answer is one small packet: it must not wait for another.
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "no TCP_NODELAY");
        }
    });
    let served = axum::serve(listener, router).with_graceful_shutdown(stop.cancelled_owned()).await;
    drop(answered);
    served
}

/// Publishes until `stop`, once the servers are as they have to be: an event in a topic with another number of
/// partitions would overtake, or be overtaken, for ever. Until then what is written waits in the store.
pub async fn publish(
    check: StartCheck,
    publishing: Publishing,
    stop: CancellationToken,
) -> Result<(), Error> {
    tokio::select! {
        biased;
        () = stop.cancelled() => return Ok(()),
        passed = check.until_passed() => passed?,
    }
    publishing.run(stop).await
}

/// Why the process is not ready yet; `Ok` once it is, and from then on: an outage that comes later is answered request
/// by request, by this process as by any other.
pub type Passed = watch::Receiver<Result<(), String>>;

/// What must hold before the process is ready: the tables answer, the topics stand as the model says.
pub struct StartCheck {
    kafka: kafka::Settings,
    names: Names,
    types: Vec<(TypeName, i32)>,
    events: EventStore,
    passed: watch::Sender<Result<(), String>>,
}

impl StartCheck {
    /// A check for these types and their numbers of partitions, and where to see how it goes.
    #[must_use]
    pub fn new(
        kafka: kafka::Settings,
        names: Names,
        types: Vec<(TypeName, i32)>,
        events: EventStore,
    ) -> (StartCheck, Passed) {
        let (passed, receiver) = watch::channel(Err("not checked yet".to_owned()));
        (StartCheck { kafka, names, types, events, passed }, receiver)
    }

    /// Tries until all holds. What no waiting heals is a topic with a wrong number of partitions, and brokers that refuse
    /// the credentials.
    async fn until_passed(&self) -> Result<(), Error> {
        loop {
            match self.pass().await {
                Ok(()) => {
                    let _ = self.passed.send_replace(Ok(()));
                    return Ok(());
                }
                Err(error @ (Error::PartitionCount { .. } | Error::Denied(_))) => return Err(error),
                Err(error) => {
                    let why = error.to_string();
                    // In an outage each try fails alike: one line says it.
                    if self.passed.send_replace(Err(why.clone())) != Err(why) {
                        tracing::warn!(%error, "not ready, trying again; `aqueduct setup` makes missing tables");
                    }
                    sleep(RETRY).await;
                }
            }
        }
    }

    async fn pass(&self) -> Result<(), Error> {
        topics::ensure(&self.kafka, &self.names, self.types.iter().map(|(name, count)| (name, *count)))
            .await?;
        if let Some((type_name, _)) = self.types.first()
            && let Ok(probe) = probe(type_name)
        {
            self.events.latest(&probe).await?;
        }
        Ok(())
    }
}

/// An item that need not exist: reading it shows that the table answers.
fn probe(type_name: &TypeName) -> Result<ItemKey, aqueduct_contract::NameError> {
    ItemKey::new("aqueduct".parse()?, type_name.clone(), "probe".parse()?)
}
