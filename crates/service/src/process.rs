//! The life of a process, from its command line to its exit code.
//!
//! The admin server comes before the wiring and goes after the last task, so that a process that waits for a server, or
//! drains, can be seen doing so: alive, and not ready.

#[cfg(test)]
mod tests;

use std::io::Write;
use std::process::ExitCode;

use prometheus::process_collector::ProcessCollector;
use prometheus::{IntGauge, Opts, Registry};
use tokio_util::sync::CancellationToken;

use crate::cli::{Cli, Command};
use crate::health::Health;
use crate::settings::{Layers, Settings};
use crate::signals::Signals;
use crate::tasks::Tasks;
use crate::{admin, telemetry};

/// What the wiring of a process works with.
pub struct Service {
    /// Everything that can be set.
    pub settings: Settings,
    /// Where metrics are registered; `/metrics` shows it.
    pub registry: Registry,
    /// Where checks are registered; `/livez` and `/readyz` show it.
    pub health: Health,
    /// Cancelled when the process is to stop; tasks then drain and return.
    pub stop: CancellationToken,
    tasks: Tasks,
}

impl Service {
    /// Shows on `/readyz` what the wiring waits for, until it returns: a server, and what is wanted from it.
    pub fn waits_for(&self, what: impl Into<String>) {
        let why = format!("still starting, waiting for {}", what.into());
        self.health.ready(STARTED, move || Err(why.clone()));
    }

    /// Runs `task` beside the others. It returns once `stop` is cancelled and it has drained. If it ends earlier, or fails,
    /// or panics, all others are stopped and the process exits with 1.
    pub fn spawn<E: Into<anyhow::Error> + Send + 'static>(
        &self,
        name: &'static str,
        task: impl Future<Output = Result<(), E>> + Send + 'static,
    ) {
        self.tasks.spawn(name, task);
    }
}

/// The process cannot work with its settings or its model: trying again changes nothing, so it exits with 2, not 1.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Misconfigured(pub String);

/// What a process exits with after `error`: 2 when its settings or its model are at fault, be it that a server refuses the
/// credentials in them; 1 after any other failure.
pub fn exit_code(error: &anyhow::Error) -> u8 {
    let misconfigured = error.is::<Misconfigured>()
        || matches!(error.downcast_ref(), Some(aqueduct_store::Error::Denied(_)))
        || error.downcast_ref().is_some_and(aqueduct_views::Error::is_of_settings);
    if misconfigured { MISCONFIGURED } else { FAILED }
}

/// Runs the binary `name`: `wire` connects and spawns, and returns; the process then runs until a signal, or until one of
/// its tasks ends. Exits with 0 after an orderly stop, with 1 after a failure or when draining took longer than
/// `shutdown.deadline`, with 2 when the command line, the settings or the model are wrong, which a password is that a server
/// refuses at the start.
pub fn main<Wire, Wired>(name: &'static str, wire: Wire) -> ExitCode
where
    Wire: FnOnce(Service) -> Wired,
    Wired: Future<Output = anyhow::Result<()>>,
{
    #[cfg(feature = "failpoints")]
    let _armed = fail::FailScenario::setup();
    ExitCode::from(run(name, &Cli::read(name), wire))
}

/// The check that fails until the wiring has returned.
const STARTED: &str = "started";

const DONE: u8 = 0;
const FAILED: u8 = 1;
const MISCONFIGURED: u8 = 2;

fn run<Wire, Wired>(name: &'static str, cli: &Cli, wire: Wire) -> u8
where
    Wire: FnOnce(Service) -> Wired,
    Wired: Future<Output = anyhow::Result<()>>,
{
    let read = Layers::read(cli.file.config.as_deref());
    let read = read.and_then(|layers| Ok((layers.settings_here()?, layers.print()?)));
    match (read, &cli.command) {
        (Err(problems), _) => {
            eprintln!("{name}: {problems}");
            MISCONFIGURED
        }
        (Ok((_, text)), Some(Command::CheckConfig)) => {
            let written = std::io::stdout().write_all(text.as_bytes());
            if written.is_ok() { DONE } else { FAILED }
        }
        (Ok((settings, _)), None) => match start(name, settings, wire) {
            Ok(()) => DONE,
            Err(error) => {
                tracing::error!(error = format!("{error:#}"), "stopped");
                exit_code(&error)
            }
        },
    }
}

fn start<Wire, Wired>(name: &'static str, settings: Settings, wire: Wire) -> anyhow::Result<()>
where
    Wire: FnOnce(Service) -> Wired,
    Wired: Future<Output = anyhow::Result<()>>,
{
    telemetry::init(name, &settings.log)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let ended = runtime.block_on(live(name, settings, wire));
    // Threads that hang in a client library must not hold the process.
    runtime.shutdown_background();
    ended
}

async fn live<Wire, Wired>(name: &'static str, settings: Settings, wire: Wire) -> anyhow::Result<()>
where
    Wire: FnOnce(Service) -> Wired,
    Wired: Future<Output = anyhow::Result<()>>,
{
    let stop = CancellationToken::new();
    tokio::spawn(Signals::new()?.watch(stop.clone()));
    let deadline = settings.shutdown.deadline;
    let registry = registry(name)?;
    let health = Health::default();
    let stopping = stop.clone();
    health
        .ready("process", move || if stopping.is_cancelled() { Err("stopping".to_owned()) } else { Ok(()) });
    health.ready(STARTED, || Err("still starting".to_owned()));

    let (listener, address) = admin::bind(settings.admin.listen).await?;
    tracing::info!(addr = %address, "admin listening");
    tokio::spawn(admin::serve(listener, registry.clone(), health.clone()));

    let tasks = Tasks::new(stop.clone());
    let service =
        Service { settings, registry, health: health.clone(), stop: stop.clone(), tasks: tasks.clone() };
    let wired = tokio::select! {
        biased;
        () = stop.cancelled() => Ok(()),
        wired = wire(service) => wired,
    };
    match wired {
        Ok(()) => {
            health.ready(STARTED, || Ok(()));
            tracing::info!("started");
        }
        Err(_) => stop.cancel(),
    }
    let ended = tasks.finish(deadline).await;
    wired.and(ended)
}

/// What every process shows about itself.
pub(crate) fn registry(name: &'static str) -> anyhow::Result<Registry> {
    let registry = Registry::new();
    registry.register(Box::new(ProcessCollector::for_self()))?;
    let options = Opts::new("aqueduct_build_info", "Always 1; the labels say what runs.")
        .const_label("service", name)
        .const_label("version", env!("CARGO_PKG_VERSION"));
    let build = IntGauge::with_opts(options)?;
    build.set(1);
    registry.register(Box::new(build))?;
    Ok(registry)
}
