//! The four real servers as library code: any subset, on free loopback ports, with their data in a folder of the caller's.
//!
//! Each server is a file that writes its settings and says how to launch it ([`Launch`]); how it is started, watched, stopped
//! and started again on the same port and data is the same for all and stands here.

mod dynamodb;
mod kafka;
mod opensearch;
mod postgres;

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, Result};
use rustix::process::Signal;
use serde::{Deserialize, Serialize};

use super::artefacts::{self, Artefacts};
use super::host::{Host, Unprivileged};
use super::java::Java;
use super::process::{Nursery, Process, Spec};

/// The folder of log files in a stack's folder.
pub const LOGS: &str = "logs";
/// Generous: a cold disk and two busy cores take a multiple of the usual seconds.
const START_PATIENCE: Duration = Duration::from_secs(180);
const STOP_PATIENCE: Duration = Duration::from_secs(20);

/// One of the servers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Server {
    /// Apache Kafka, one broker.
    Kafka,
    /// DynamoDB Local.
    DynamoDb,
    /// PostgreSQL.
    Postgres,
    /// OpenSearch, one node.
    OpenSearch,
}

impl Server {
    /// All of them, in the order in which they are stopped.
    pub const ALL: [Self; 4] = [Self::Postgres, Self::OpenSearch, Self::DynamoDb, Self::Kafka];

    /// Its name in files and on screen.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Kafka => "kafka",
            Self::DynamoDb => "dynamodb",
            Self::Postgres => "postgres",
            Self::OpenSearch => "opensearch",
        }
    }

    fn modules(self) -> &'static [artefacts::Module] {
        match self {
            Self::Kafka => &[artefacts::KAFKA],
            Self::DynamoDb => &[artefacts::DYNAMODB],
            Self::Postgres => &[artefacts::POSTGRES],
            Self::OpenSearch => &[artefacts::OPENSEARCH, artefacts::NETTY4],
        }
    }

    /// The server behind this endpoint answers.
    pub async fn answers(self, endpoint: &str) -> bool {
        match self {
            Self::Kafka => kafka::answers(endpoint.to_owned()).await,
            Self::DynamoDb => dynamodb::answers(endpoint).await,
            Self::Postgres => postgres::answers(endpoint).await,
            Self::OpenSearch => opensearch::answers(endpoint).await,
        }
    }
}

impl fmt::Display for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Where clients reach a server: `host:port` for Kafka, a URL for the others.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Endpoint {
    /// Which server.
    pub server: Server,
    /// The address.
    pub address: String,
}

pub use postgres::create_database;

/// What a server needs to prepare itself.
struct Workplace {
    nursery: Arc<Nursery>,
    artefacts: Artefacts,
    java: Option<Java>,
    /// Its own folder.
    folder: PathBuf,
    log: PathBuf,
    user: Option<Unprivileged>,
    durable: bool,
}

impl Workplace {
    /// A Java program with these jars on its class path.
    fn java(&self, name: &str, jars: &Path, arguments: &[String]) -> Result<Spec> {
        let java = self.java.as_ref().context("no Java was looked for")?;
        let class_path = ["-cp".to_owned(), format!("{}/*", jars.display())];
        Ok(Spec {
            name: name.to_owned(),
            program: java.program.clone(),
            arguments: class_path.iter().chain(arguments).map(Into::into).collect(),
            environment: Vec::new(),
            folder: self.folder.clone(),
            log: self.log.clone(),
            user: None,
        })
    }

    /// A folder below its own, which the unprivileged user owns if there is one.
    fn own_folder(&self, name: &str) -> Result<PathBuf> {
        let folder = self.folder.join(name);
        fs::create_dir_all(&folder)?;
        self.give(&folder)?;
        Ok(folder)
    }

    fn give(&self, path: &Path) -> Result<()> {
        if let Some(user) = self.user {
            std::os::unix::fs::chown(path, Some(user.uid), Some(user.gid))?;
        }
        Ok(())
    }
}

/// How a prepared server is started, as often as need be.
struct Launch {
    spec: Spec,
    address: String,
    /// Asks it to end in order.
    stop: Signal,
}

struct Running {
    server: Server,
    launch: Launch,
    process: Mutex<Arc<Process>>,
}

impl Running {
    fn process(&self) -> Arc<Process> {
        Arc::clone(&self.process.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Servers that run. Dropping them kills them; [`stop`](Self::stop) lets them end in order.
pub struct Servers {
    nursery: Arc<Nursery>,
    running: Vec<Running>,
}

impl Servers {
    /// Starts the servers wanted, all at once, and returns when every one of them answers. Their data lies in a folder each below
    /// `folder`, their log files in `folder/logs`; what is there already is used. DynamoDB Local keeps its data in memory unless `durable`.
    pub async fn start(host: &Host, folder: &Path, wanted: &[Server], durable: bool) -> Result<Self> {
        let artefacts = Artefacts::open(host)?;
        artefacts.fetch(wanted.iter().flat_map(|server| server.modules()).copied().collect()).await?;
        let needs_java = wanted.iter().any(|server| *server != Server::Postgres);
        let java = if needs_java { Some(Java::find(host, &artefacts).await?) } else { None };
        let folder = std::path::absolute(folder)?;
        let logs = folder.join(LOGS);
        fs::create_dir_all(&logs).with_context(|| format!("cannot make {}", folder.display()))?;
        let user = Unprivileged::when_root(&[&folder, artefacts.cache()]);
        let nursery = Nursery::new()?;
        let start =
            wanted.iter().map(|&server| {
                let workplace = Workplace {
                    nursery: Arc::clone(&nursery),
                    artefacts: artefacts.clone(),
                    java: java.clone(),
                    folder: folder.join(server.name()),
                    log: logs.join(format!("{server}.log")),
                    user,
                    durable,
                };
                async move {
                    start_one(server, &workplace).await.with_context(|| format!("{server} did not start"))
                }
            });
        let running = futures::future::try_join_all(start).await?;
        Ok(Self { nursery, running })
    }

    /// The thread that starts children: the fleet's processes join the servers there.
    pub fn nursery(&self) -> &Arc<Nursery> {
        &self.nursery
    }

    /// Where each of them listens.
    pub fn endpoints(&self) -> Vec<Endpoint> {
        let endpoint =
            |running: &Running| Endpoint { server: running.server, address: running.launch.address.clone() };
        self.running.iter().map(endpoint).collect()
    }

    /// The process of a server, if it is one of those started here.
    pub fn process(&self, server: Server) -> Option<Arc<Process>> {
        Some(self.find(server).ok()?.process())
    }

    /// Lets one server end in order; its data and its port stay its own.
    pub async fn stop_one(&self, server: Server) -> Result<()> {
        let running = self.find(server)?;
        running.process().stop(running.launch.stop, STOP_PATIENCE).await;
        Ok(())
    }

    /// Starts a server again that has ended, on its port and data, and waits until it answers.
    pub async fn start_again(&self, server: Server) -> Result<()> {
        let running = self.find(server)?;
        let process = launch(&self.nursery, server, &running.launch).await?;
        *running.process.lock().unwrap_or_else(PoisonError::into_inner) = process;
        Ok(())
    }

    /// Lets all of them end in order.
    pub async fn stop(&self) {
        let stop = |running: &Running| {
            let (process, signal) = (running.process(), running.launch.stop);
            async move { process.stop(signal, STOP_PATIENCE).await }
        };
        futures::future::join_all(self.running.iter().map(stop)).await;
    }

    fn find(&self, server: Server) -> Result<&Running> {
        let running = self.running.iter().find(|running| running.server == server);
        running.with_context(|| format!("{server} was not started here"))
    }
}

async fn start_one(server: Server, workplace: &Workplace) -> Result<Running> {
    fs::create_dir_all(&workplace.folder)?;
    let prepared = match server {
        Server::Kafka => kafka::prepare(workplace).await,
        Server::DynamoDb => dynamodb::prepare(workplace),
        Server::Postgres => postgres::prepare(workplace).await,
        Server::OpenSearch => opensearch::prepare(workplace),
    }?;
    let process = launch(&workplace.nursery, server, &prepared).await?;
    Ok(Running { server, launch: prepared, process: Mutex::new(process) })
}

async fn launch(nursery: &Arc<Nursery>, server: Server, launch: &Launch) -> Result<Arc<Process>> {
    let process = nursery.spawn(&launch.spec).await?;
    process.ready(START_PATIENCE, || server.answers(&launch.address)).await?;
    Ok(Arc::new(process))
}
