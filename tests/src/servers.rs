//! The servers that tests run against.

use std::path::PathBuf;

use anyhow::{Context, Result};
use aqueduct_cli::local::host::Host;
use aqueduct_cli::local::servers::{self as local, Endpoint, Server};
use aqueduct_cli::local::stack::Stack;
use clap::Parser;
use tokio::sync::OnceCell;

use crate::{Scratch, unique};

/// How test servers are found; from the environment alone.
#[derive(Parser)]
struct Environment {
    /// The stack.json of running servers to use instead of starting some, as `aqueduct local up --servers-only` writes it
    #[arg(long, env = "AQUEDUCT_TEST_SERVERS")]
    servers: Option<PathBuf>,
    #[command(flatten)]
    host: Host,
}

impl Environment {
    fn read() -> Self {
        Self::parse_from(["aqueduct-tests"])
    }
}

/// Where the servers are.
#[derive(Clone, Debug)]
pub struct Servers {
    /// Bootstrap brokers, `host:port`.
    pub kafka: String,
    /// The URL of DynamoDB Local.
    pub dynamodb: String,
    /// The URL of the Postgres database `postgres`, as superuser.
    pub postgres: String,
    /// The URL of OpenSearch.
    pub opensearch: String,
}

impl Servers {
    fn of(endpoints: impl IntoIterator<Item = Endpoint>) -> Self {
        let mut servers = Self {
            kafka: String::new(),
            dynamodb: String::new(),
            postgres: String::new(),
            opensearch: String::new(),
        };
        for Endpoint { server, address } in endpoints {
            match server {
                Server::Kafka => servers.kafka = address,
                Server::DynamoDb => servers.dynamodb = address,
                Server::Postgres => servers.postgres = address,
                Server::OpenSearch => servers.opensearch = address,
            }
        }
        servers
    }

    /// The same, but for those that `own` has.
    #[must_use]
    pub fn but(&self, own: &Private) -> Self {
        let pick = |own: &String, shared: &String| if own.is_empty() { shared } else { own }.clone();
        let own = &own.servers;
        Self {
            kafka: pick(&own.kafka, &self.kafka),
            dynamodb: pick(&own.dynamodb, &self.dynamodb),
            postgres: pick(&own.postgres, &self.postgres),
            opensearch: pick(&own.opensearch, &self.opensearch),
        }
    }

    /// Makes an empty database and returns its URL.
    ///
    /// # Panics
    ///
    /// When Postgres does not.
    pub async fn database(&self) -> String {
        local::create_database(&self.postgres, &unique()).await.expect("Postgres makes a database")
    }
}

/// All four, started by the first test that asks and shared by all tests of this process.
///
/// # Panics
///
/// When they do not start.
pub async fn servers() -> &'static Servers {
    static SHARED: OnceCell<(Servers, Option<Private>)> = OnceCell::const_new();
    let (servers, _started) = SHARED.get_or_try_init(find_or_start).await.expect("the servers start");
    servers
}

async fn find_or_start() -> Result<(Servers, Option<Private>)> {
    if let Some(file) = Environment::read().servers {
        let stack = Stack::read(&file)?;
        return Ok((Servers::of(stack.servers.into_iter().map(|running| running.endpoint)), None));
    }
    let started = Private::start(&Server::ALL).await?;
    Ok((started.servers.clone(), Some(started)))
}

/// Servers of one test alone, which it may stop and start again. They are killed and their data removed when this is dropped.
pub struct Private {
    /// Where they are; the address of one that was not wanted is empty.
    pub servers: Servers,
    running: local::Servers,
    folder: Scratch,
}

impl Private {
    /// Starts the servers wanted.
    ///
    /// # Errors
    ///
    /// When one does not start.
    pub async fn start(wanted: &[Server]) -> Result<Self> {
        let folder = Scratch::new()?;
        let running = local::Servers::start(&Environment::read().host, folder.path(), wanted, false).await?;
        Ok(Self { servers: Servers::of(running.endpoints()), running, folder })
    }

    /// Where a server keeps its settings and data.
    #[must_use]
    pub fn folder(&self, server: Server) -> PathBuf {
        self.folder.path().join(server.name())
    }

    /// Lets a server end in order; clients are refused from then on.
    ///
    /// # Errors
    ///
    /// When it was not wanted.
    pub async fn stop(&self, server: Server) -> Result<()> {
        self.running.stop_one(server).await
    }

    /// Kills a server, as a crash would.
    ///
    /// # Errors
    ///
    /// When it was not wanted.
    pub async fn crash(&self, server: Server) -> Result<()> {
        let process = self.running.process(server).context("a server that was not wanted")?;
        process.kill();
        process.exited().await;
        Ok(())
    }

    /// Starts it again on the same port and data, and waits until it answers. DynamoDB Local has lost its data: it keeps
    /// them in memory.
    ///
    /// # Errors
    ///
    /// When it does not start.
    pub async fn start_again(&self, server: Server) -> Result<()> {
        self.running.start_again(server).await
    }
}
