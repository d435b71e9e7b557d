//! `aqueduct local up`: starts everything, watches it, and stops it on Ctrl-C or when something of it cannot go on.
//!
//! ```text
//! folder ─▶ servers that the settings do not give ─▶ setup ─▶ fleet, ready ─▶ introduction ─▶ watch … ─▶ stop: fleet, servers
//! ```

mod introduction;
mod load;

use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use aqueduct_service::settings::Layers;
use aqueduct_service::{Misconfigured, Settings, SettingsFile};
use futures::future::select_all;
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::fleet::{self, Fleet, Planned, Program, Site};
use super::folder::{Chosen, Folder};
use super::host::Host;
use super::servers::{self, LOGS, Server, Servers};
use super::stack::{Board, RunningProcess, RunningServer, Stack};
use super::{ports, settings, shop};
use crate::setup;

const READY_PATIENCE: Duration = Duration::from_secs(90);
/// The database of the views, in a Postgres that the stack started.
const DATABASE: &str = "aqueduct";

/// What `up` is told.
#[derive(Clone, Debug, clap::Args)]
pub struct Up {
    #[command(flatten)]
    stack: Chosen,
    #[command(flatten)]
    settings: SettingsFile,
    /// Keep the data for the next start; without it each start is clean
    #[arg(long)]
    keep: bool,
    /// Folder of model files to run instead of the shop
    #[arg(long, value_name = "DIR")]
    model: Option<PathBuf>,
    /// Processes of each worker
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=32))]
    workers: u16,
    /// Start the servers alone, to run a fleet or the tests against them
    #[arg(long)]
    servers_only: bool,
    /// Send 2,000 commands, check that every store holds what was answered, and exit
    #[arg(long, conflicts_with_all = ["traffic", "model", "servers_only"])]
    once: bool,
    /// Keep sending commands, and show what moves
    #[arg(long, conflicts_with_all = ["model", "servers_only"])]
    traffic: bool,
    #[command(flatten)]
    host: Host,
}

/// A stack that is up.
struct Running {
    folder: Folder,
    servers: Servers,
    fleet: Fleet,
    board: Arc<Board>,
    runs_shop: bool,
}

/// Runs the stack until it is told to stop.
pub async fn run(up: Up) -> Result<()> {
    let mut stop = StopSignals::new()?;
    let mut running = tokio::select! {
        running = start(&up) => running?,
        () = stop.received() => bail!("stopped before it was up"),
    };
    let ended = tokio::select! {
        ended = watch(&up, &mut running) => ended,
        () = stop.received() => Ok(()),
    };
    eprintln!("stopping");
    tokio::select! {
        stopped = running.stop() => ended.and(stopped),
        // Whoever asks twice does not want to wait; what still runs is killed with this process.
        () = stop.received() => bail!("stopped without draining"),
    }
}

async fn start(up: &Up) -> Result<Running> {
    let given = Layers::read(up.settings.config.as_deref())
        .map_err(|problems| Misconfigured(problems.to_string()))?;
    let folder = Folder::take(&up.stack.dir, up.keep)?;
    let begun = Instant::now();

    let servers = Servers::start(&up.host, &folder.path, &settings::wanted(&given), up.keep).await?;
    let mut endpoints = servers.endpoints();
    for endpoint in &mut endpoints {
        if endpoint.server == Server::Postgres {
            endpoint.address = servers::create_database(&endpoint.address, DATABASE).await?;
        }
    }
    let model = model(up, &given, &folder)?;
    let settings_file = folder.settings_file();
    settings::write(&settings_file, up.settings.config.as_deref(), &given, &model, &endpoints)?;
    let settings =
        Settings::load(Some(&settings_file)).map_err(|problems| Misconfigured(problems.to_string()))?;
    done("servers", begun);

    let planned = if up.servers_only { Vec::new() } else { plan(up, &given, &settings, &folder)? };
    let stack = Stack {
        pid: std::process::id(),
        settings: settings_file,
        servers: describe(&settings, &servers),
        fleet: planned.iter().map(|planned| planned.member.clone()).collect(),
    };
    let begun = Instant::now();
    if !up.servers_only {
        let made = setup::run(&settings).await?;
        done(&format!("tables, topics and views ({} types, {} views)", made.types, made.views), begun);
    }
    let begun = Instant::now();
    let members = stack.fleet.clone();
    let board = Arc::new(Board::new(folder.stack_file(), stack)?);
    let mut fleet = Fleet::start(servers.nursery(), planned, &board);
    tokio::select! {
        ready = fleet::ready(&members, READY_PATIENCE) => ready?,
        failed = fleet.failed() => failed?,
    }
    if !up.servers_only {
        done("fleet", begun);
    }
    let runs_shop = model == shop_folder(&folder) && !up.servers_only;
    Ok(Running { folder, servers, fleet, board, runs_shop })
}

/// Introduces the stack, loads it if asked to, and else waits until something of it cannot go on.
async fn watch(up: &Up, running: &mut Running) -> Result<()> {
    let stack = running.board.stack();
    introduction::print(&stack, &running.folder, running.runs_shop).await?;

    let started: Vec<_> = Server::ALL.iter().filter_map(|server| running.servers.process(*server)).collect();
    let server_ended = async {
        let ends = started.iter().map(|process| Box::pin(process.exited()));
        match ends.len() {
            0 => std::future::pending().await,
            _ => select_all(ends).await.1,
        }
    };
    let loaded = async {
        if up.once {
            load::once(&stack).await
        } else if up.traffic {
            load::traffic(&stack).await
        } else {
            std::future::pending().await
        }
    };
    tokio::select! {
        loaded = loaded => loaded,
        failed = running.fleet.failed() => failed,
        index = server_ended => {
            let process = &started[index];
            bail!("{} ended, see {}\n{}", process.name, process.log.display(), process.log_tail())
        }
    }
}

impl Running {
    async fn stop(self) -> Result<()> {
        let stopped = self.fleet.stop().await;
        self.servers.stop().await;
        self.board.remove()?;
        stopped
    }
}

/// The folder of the model: the one that is told, or the shop.
fn model(up: &Up, given: &Layers, folder: &Folder) -> Result<PathBuf> {
    if let Some(model) = &up.model {
        return Ok(std::path::absolute(model)?);
    }
    if given.is_given("model.dir") {
        let settings = given.settings().map_err(|problems| Misconfigured(problems.to_string()))?;
        return Ok(std::path::absolute(settings.model.dir)?);
    }
    let shop = shop_folder(folder);
    shop::write(&shop)?;
    Ok(shop)
}

fn shop_folder(folder: &Folder) -> PathBuf {
    folder.path.join("model")
}

fn plan(up: &Up, given: &Layers, settings: &Settings, folder: &Folder) -> Result<Vec<Planned>> {
    let site = Site {
        binaries: fleet::own_binaries()?,
        settings: folder.settings_file(),
        logs: folder.path.join(LOGS),
    };
    let preferred = settings.api.listen;
    let api = if given.is_given("api.listen") || TcpListener::bind(preferred).is_ok() {
        preferred
    } else {
        SocketAddr::from(([127, 0, 0, 1], ports::free()?))
    };
    let mut planned =
        vec![site.plan(Program::CommandApi, Program::CommandApi.name().to_owned(), Some(api))?];
    for program in Program::WORKERS {
        for number in 1..=up.workers {
            let name = program.name();
            let name = if up.workers == 1 { name.to_owned() } else { format!("{name}-{number}") };
            planned.push(site.plan(program, name, None)?);
        }
    }
    Ok(planned)
}

fn describe(settings: &Settings, servers: &Servers) -> Vec<RunningServer> {
    let describe = |server: Server| {
        let address = match server {
            Server::Kafka => &settings.kafka.brokers,
            Server::DynamoDb => &settings.dynamodb.endpoint,
            Server::Postgres => &settings.postgres.url,
            Server::OpenSearch => &settings.opensearch.url,
        };
        let process = servers.process(server);
        let process = process.map(|process| RunningProcess { pid: process.pid(), log: process.log.clone() });
        RunningServer { endpoint: servers::Endpoint { server, address: without_password(address) }, process }
    };
    Server::ALL.map(describe).into()
}

/// An address that was given may hold a password; the stack's own have none.
fn without_password(address: &str) -> String {
    match reqwest::Url::parse(address) {
        Ok(mut url) if url.password().is_some() => {
            // Fails only for addresses that cannot have one.
            let _ = url.set_password(Some("***"));
            url.into()
        }
        _ => address.to_owned(),
    }
}

fn done(stage: &str, begun: Instant) {
    eprintln!("{:>6.1} s  {stage}", begun.elapsed().as_secs_f64());
}

/// Ctrl-C, and what `aqueduct local down` sends.
struct StopSignals {
    interrupt: Signal,
    terminate: Signal,
}

impl StopSignals {
    fn new() -> Result<Self> {
        let listen = |kind| signal(kind).context("cannot listen for signals");
        Ok(Self { interrupt: listen(SignalKind::interrupt())?, terminate: listen(SignalKind::terminate())? })
    }

    async fn received(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}
