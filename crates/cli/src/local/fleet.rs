//! The processes of the fleet: started beside the servers, watched, and started again when they die.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use rustix::process::Signal;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use super::ports;
use super::process::{Nursery, Spec};
use super::stack::{Board, Member};

const FIRST_BACKOFF: Duration = Duration::from_millis(500);
const LONGEST_BACKOFF: Duration = Duration::from_secs(10);
/// Whoever lived this long died of something new.
const STEADY: Duration = Duration::from_secs(30);
/// Longer than a process takes to drain by its own settings (`shutdown.deadline`).
const STOP_PATIENCE: Duration = Duration::from_secs(30);
/// What a process exits with when trying again changes nothing.
const MISCONFIGURED: i32 = 2;

/// A binary of the fleet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Program {
    /// Takes commands.
    CommandApi,
    /// Keeps the DynamoDB read table.
    Projector,
    /// Keeps Postgres tables.
    SyncRds,
    /// Keeps OpenSearch indexes.
    SyncSearch,
}

impl Program {
    /// The workers.
    pub const WORKERS: [Self; 3] = [Self::Projector, Self::SyncRds, Self::SyncSearch];

    /// Its name in files and on screen.
    pub const fn name(self) -> &'static str {
        match self {
            Self::CommandApi => "command-api",
            Self::Projector => "projector",
            Self::SyncRds => "sync-rds",
            Self::SyncSearch => "sync-search",
        }
    }
}

/// What the processes of a fleet have in common.
#[derive(Clone, Debug)]
pub struct Site {
    /// The folder of the binaries.
    pub binaries: PathBuf,
    /// Their settings.
    pub settings: PathBuf,
    /// The folder of their log files.
    pub logs: PathBuf,
}

/// A process that is to run.
#[derive(Clone, Debug)]
pub struct Planned {
    /// How it shows in `stack.json`.
    pub member: Member,
    spec: Spec,
}

impl Planned {
    /// Sets a variable of its environment.
    #[must_use]
    pub fn with_variable(mut self, name: &str, value: &str) -> Self {
        self.spec.environment.push((name.to_owned(), value.into()));
        self
    }
}

impl Site {
    /// A process called `name`; `api` is where a command-api serves clients.
    pub fn plan(&self, program: Program, name: String, api: Option<SocketAddr>) -> Result<Planned> {
        let binary = self.binaries.join(format!("aqueduct-{}", program.name()));
        ensure!(binary.exists(), "no {}: build it with `cargo build --workspace --bins`", binary.display());
        let admin = SocketAddr::from(([127, 0, 0, 1], ports::free()?));
        let mut environment = vec![("AQUEDUCT__ADMIN__LISTEN".to_owned(), admin.to_string().into())];
        if let Some(api) = api {
            environment.push(("AQUEDUCT__API__LISTEN".to_owned(), api.to_string().into()));
        }
        let log = self.logs.join(format!("{name}.log"));
        let spec = Spec {
            name: name.clone(),
            program: binary,
            arguments: vec!["--config".into(), self.settings.clone().into()],
            environment,
            folder: self.logs.clone(),
            log: log.clone(),
            user: None,
        };
        Ok(Planned { member: Member { name, pid: None, admin, api, restarts: 0, log }, spec })
    }
}

/// A fleet that runs. Dropping it kills it; [`stop`](Self::stop) lets it drain.
#[derive(Debug)]
pub struct Fleet {
    stop: CancellationToken,
    tasks: JoinSet<Result<()>>,
}

impl Fleet {
    /// Starts the processes, which are members of `board` already, and keeps them running.
    pub fn start(nursery: &Arc<Nursery>, planned: Vec<Planned>, board: &Arc<Board>) -> Self {
        let stop = CancellationToken::new();
        let mut tasks = JoinSet::new();
        for planned in planned {
            tasks.spawn(keep_running(planned.spec, Arc::clone(nursery), Arc::clone(board), stop.clone()));
        }
        Self { stop, tasks }
    }

    /// Waits until one of the processes cannot go on, which is an error. Without processes it waits for ever.
    pub async fn failed(&mut self) -> Result<()> {
        match self.tasks.join_next().await {
            Some(ended) => ended?,
            None => std::future::pending().await,
        }
    }

    /// Lets all of them drain and end.
    pub async fn stop(mut self) -> Result<()> {
        self.stop.cancel();
        while let Some(ended) = self.tasks.join_next().await {
            ended??;
        }
        Ok(())
    }
}

/// Waits until every process says that it is ready.
pub async fn ready(members: &[Member], patience: Duration) -> Result<()> {
    let deadline = Instant::now() + patience;
    for member in members {
        while let Err(reason) = is_ready(member.admin).await {
            if Instant::now() >= deadline {
                let (name, log) = (&member.name, member.log.display());
                bail!("{name} is not ready after {patience:?}, see {log}: {reason:#}");
            }
            sleep(Duration::from_millis(100)).await;
        }
    }
    Ok(())
}

/// The process says that it is ready, or why it is not.
pub async fn is_ready(admin: SocketAddr) -> Result<()> {
    let request =
        reqwest::Client::new().get(format!("http://{admin}/readyz")).timeout(Duration::from_secs(2));
    let response = request.send().await?;
    let ready = response.status().is_success();
    let reasons = response.text().await?;
    ensure!(ready, "{reasons}");
    Ok(())
}

async fn keep_running(
    spec: Spec,
    nursery: Arc<Nursery>,
    board: Arc<Board>,
    stop: CancellationToken,
) -> Result<()> {
    let mut backoff = FIRST_BACKOFF;
    loop {
        let process = nursery.spawn(&spec).await?;
        let begun = Instant::now();
        board.note(&spec.name, |member| member.pid = Some(process.pid()))?;
        let status = tokio::select! {
            biased;
            () = stop.cancelled() => {
                process.stop(Signal::TERM, STOP_PATIENCE).await;
                return Ok(());
            }
            status = process.exited() => status.context("a process was lost")?,
        };
        if status.code() == Some(MISCONFIGURED) {
            bail!("{} cannot work with its settings or its model\n{}", spec.name, process.log_tail());
        }
        board.note(&spec.name, |member| {
            member.pid = None;
            member.restarts += 1;
        })?;
        if begun.elapsed() > STEADY {
            backoff = FIRST_BACKOFF;
        }
        eprintln!(
            "{} ended ({status}), starting it again in {backoff:?}, see {}",
            spec.name,
            spec.log.display()
        );
        tokio::select! {
            () = stop.cancelled() => return Ok(()),
            () = sleep(backoff) => {}
        }
        backoff = (backoff * 2).min(LONGEST_BACKOFF);
    }
}

/// Where the binaries are: beside this one.
pub fn own_binaries() -> Result<PathBuf> {
    let own = std::env::current_exe().context("cannot find this program's own file")?;
    Ok(own.parent().unwrap_or(Path::new(".")).to_owned())
}
