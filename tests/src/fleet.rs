//! A fleet of real processes against test servers, under the supervisor of the local stack.

mod checks;
mod invariants;

use std::collections::BTreeMap;
use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use aqueduct_cli::local::fleet::{self, Program, Site};
use aqueduct_cli::local::metrics::Sums;
use aqueduct_cli::local::process::Nursery;
use aqueduct_cli::local::stack::{Board, Member, Stack};
use aqueduct_cli::local::{ports, shop};
use aqueduct_cli::setup;
use aqueduct_service::Settings;
use rustix::process::{Pid, Signal, kill_process};
use tokio::sync::OnceCell;
use toml::Value;

use crate::proxy::host;
use crate::{Network, Scratch, Servers, unique};

pub use checks::Ended;

const READY_PATIENCE: Duration = Duration::from_secs(90);

/// What a fleet is to be; by default one process of each program runs the shop, apart from every other test's fleet.
pub struct Plan {
    settings: BTreeMap<String, Value>,
    model: Option<PathBuf>,
    programs: Vec<Program>,
    workers: usize,
    /// By process.
    variables: Vec<(String, &'static str, String)>,
    kills: Vec<Scratch>,
}

impl Plan {
    /// Arms failpoints in a process, such as `before-flush=20*off->return`: it is killed at the twenty-first flush of a life, in
    /// its first lives, so many times. What there are, `crates/engine/src/failpoints.rs` says.
    ///
    /// # Errors
    ///
    /// When the files that count the kills cannot be written.
    pub fn failpoints(mut self, process: &str, points: &str, kills: u32) -> Result<Self> {
        let folder = Scratch::new()?;
        for kill in 0..kills {
            fs::write(folder.path().join(kill.to_string()), "")?;
        }
        let path = folder.path().display().to_string();
        self.kills.push(folder);
        Ok(self.variable(process, "FAILPOINTS", points).variable(process, "FAILPOINT_KILLS", path))
    }

    /// A variable in the environment of one process, such as a setting that it has differently: `sync-rds-1`,
    /// `AQUEDUCT__POSTGRES__URL`.
    #[must_use]
    pub fn variable(mut self, process: &str, name: &'static str, value: impl Into<String>) -> Self {
        self.variables.push((process.to_owned(), name, value.into()));
        self
    }

    /// A setting, such as `("engine.window", 2)`, over what the fleet needs.
    #[must_use]
    pub fn set(mut self, key: &str, value: impl Into<Value>) -> Self {
        self.settings.insert(key.to_owned(), value.into());
        self
    }

    /// Every process reaches Kafka, and every worker its store, through this network; the fleet's own checks do not.
    #[must_use]
    pub fn through(self, network: &Network) -> Self {
        const BROKERS: &str = "AQUEDUCT__KAFKA__BROKERS";
        let broker = network.kafka.address.to_string();
        let database = self.settings["postgres.url"].as_str().unwrap_or_default();
        let database = database.replace(host(database), &network.postgres.address.to_string());
        let (opensearch, workers) = (format!("http://{}", network.opensearch.address), self.workers);
        let mut plan = self.variable("command-api", BROKERS, &broker);
        for number in 1..=workers {
            for worker in Program::WORKERS {
                plan = plan.variable(&format!("{}-{number}", worker.name()), BROKERS, &broker);
            }
            plan = plan
                .variable(&format!("sync-rds-{number}"), "AQUEDUCT__POSTGRES__URL", &database)
                .variable(&format!("sync-search-{number}"), "AQUEDUCT__OPENSEARCH__URL", &opensearch)
                .variable(
                    &format!("projector-{number}"),
                    "AQUEDUCT__DYNAMODB__ENDPOINT",
                    network.dynamodb_url(),
                );
        }
        plan
    }

    /// Another model than the shop.
    #[must_use]
    pub fn model(mut self, folder: impl Into<PathBuf>) -> Self {
        self.model = Some(folder.into());
        self
    }

    /// A process that dies or freezes is out of its consumer groups after six seconds, the least a broker allows by default.
    #[must_use]
    pub fn short_sessions(self) -> Self {
        let times = [
            ("session.timeout.ms", "6000"),
            ("heartbeat.interval.ms", "1000"),
            ("max.poll.interval.ms", "10000"),
        ];
        times
            .into_iter()
            .fold(self, |plan, (name, value)| plan.set(&format!("kafka.properties.\"{name}\""), value))
    }

    /// These programs alone.
    #[must_use]
    pub fn programs(mut self, programs: &[Program]) -> Self {
        self.programs = programs.to_vec();
        self
    }

    /// So many processes of each worker.
    #[must_use]
    pub fn workers(mut self, workers: usize) -> Self {
        self.workers = workers;
        self
    }

    /// Sets up tables, topics and views, starts the processes, and returns when all are ready.
    ///
    /// # Errors
    ///
    /// When the binaries do not build, or the fleet does not become ready.
    pub async fn start(self) -> Result<Fleet> {
        self.set_up().await?.start().await
    }

    /// Sets up tables, topics and views, and starts nothing yet.
    ///
    /// # Errors
    ///
    /// When a server does not answer.
    pub async fn set_up(mut self) -> Result<SetUp> {
        let folder = Scratch::new()?;
        let model = match self.model.take() {
            Some(model) => model,
            None => {
                shop::write(&folder.path().join("model"))?;
                folder.path().join("model")
            }
        };
        self.settings.insert("model.dir".to_owned(), model.display().to_string().into());
        let settings_file = folder.path().join("settings.toml");
        let lines = self.settings.iter().map(|(key, value)| format!("{key} = {value}\n"));
        fs::write(&settings_file, lines.collect::<String>())?;
        let settings = Settings::load(Some(&settings_file))?;
        setup::run(&settings).await?;
        Ok(SetUp { settings, settings_file, plan: self, folder })
    }

    fn plan(&self, site: &Site) -> Result<Vec<fleet::Planned>> {
        let mut planned = Vec::new();
        for &program in &self.programs {
            if program == Program::CommandApi {
                let api = SocketAddr::from(([127, 0, 0, 1], ports::free()?));
                planned.push(site.plan(program, program.name().to_owned(), Some(api))?);
                continue;
            }
            for number in 1..=self.workers {
                planned.push(site.plan(program, format!("{}-{number}", program.name()), None)?);
            }
        }
        for planned in &mut planned {
            for (process, name, value) in &self.variables {
                if *process == planned.member.name {
                    *planned = planned.clone().with_variable(name, value);
                }
            }
        }
        Ok(planned)
    }
}

/// A fleet whose tables, topics and views are there, and whose processes do not run yet.
pub struct SetUp {
    /// The settings of its processes.
    pub settings: Settings,
    /// The file with those settings.
    pub settings_file: PathBuf,
    plan: Plan,
    folder: Scratch,
}

impl SetUp {
    /// Starts the processes, and returns when all are ready.
    ///
    /// # Errors
    ///
    /// When the binaries do not build, or the fleet does not become ready.
    pub async fn start(self) -> Result<Fleet> {
        let SetUp { settings, settings_file, plan, folder } = self;
        let site = Site {
            binaries: binaries().await?,
            settings: settings_file.clone(),
            logs: folder.path().to_owned(),
        };
        let planned = plan.plan(&site)?;
        let members: Vec<Member> = planned.iter().map(|planned| planned.member.clone()).collect();
        let stack = Stack {
            pid: std::process::id(),
            settings: settings_file.clone(),
            servers: Vec::new(),
            fleet: members.clone(),
        };
        let board = Arc::new(Board::new(folder.path().join("stack.json"), stack)?);
        let mut running = fleet::Fleet::start(&Nursery::new()?, planned, &board);
        tokio::select! {
            ready = fleet::ready(&members, READY_PATIENCE) => ready.with_context(|| logs(&members))?,
            failed = running.failed() => failed?,
        }
        Ok(Fleet { settings, settings_file, running, board, _folder: folder, _kills: plan.kills })
    }
}

/// A fleet that runs. Its processes are called `command-api`, `projector-1`, `sync-rds-1`, `sync-search-1`; one that dies is
/// started again. Dropping it kills all of them.
pub struct Fleet {
    /// The settings of its processes.
    pub settings: Settings,
    /// The file with those settings, for the `aqueduct` command.
    pub settings_file: PathBuf,
    running: fleet::Fleet,
    board: Arc<Board>,
    _folder: Scratch,
    _kills: Vec<Scratch>,
}

impl Fleet {
    /// A plan for a fleet on these servers, with names of its own.
    pub async fn on(servers: &Servers) -> Plan {
        let name = unique();
        let settings = [
            ("prefix", Value::from(name.clone())),
            ("kafka.brokers", servers.kafka.clone().into()),
            ("dynamodb.endpoint", servers.dynamodb.clone().into()),
            ("postgres.url", servers.database().await.into()),
            ("opensearch.url", servers.opensearch.clone().into()),
            ("opensearch.index_prefix", format!("{name}-").into()),
            ("opensearch.replicas", 0.into()),
        ];
        Plan {
            settings: settings.map(|(key, value)| (key.to_owned(), value)).into(),
            model: None,
            programs: [&[Program::CommandApi], &Program::WORKERS[..]].concat(),
            workers: 1,
            variables: Vec::new(),
            kills: Vec::new(),
        }
    }

    /// The URL of the API.
    ///
    /// # Panics
    ///
    /// When the fleet was planned without a command-api.
    #[must_use]
    pub fn api(&self) -> String {
        self.board.stack().api().expect("a command-api")
    }

    /// A process, as it is now.
    ///
    /// # Panics
    ///
    /// When none has this name.
    #[must_use]
    pub fn member(&self, name: &str) -> Member {
        self.board
            .stack()
            .fleet
            .into_iter()
            .find(|member| member.name == name)
            .expect("a process of this name")
    }

    /// The names of all its processes.
    #[must_use]
    pub fn processes(&self) -> Vec<String> {
        self.board.stack().fleet.into_iter().map(|member| member.name).collect()
    }

    /// The names of its workers.
    #[must_use]
    pub fn workers(&self) -> Vec<String> {
        let workers = self.board.stack().fleet.into_iter().filter(|member| member.api.is_none());
        workers.map(|member| member.name).collect()
    }

    /// The sums of a process's metrics; none while it does not answer.
    pub async fn metrics(&self, name: &str) -> Option<Sums> {
        Sums::read(self.member(name).admin).await.ok()
    }

    /// Kills a process with SIGKILL; the supervisor starts it again.
    ///
    /// # Panics
    ///
    /// When it does not run.
    pub fn kill(&self, name: &str) {
        self.signal(name, Signal::KILL);
    }

    /// Sends a process a signal; `STOP` and `CONT` freeze and thaw it.
    ///
    /// # Panics
    ///
    /// When it does not run.
    pub fn signal(&self, name: &str, signal: Signal) {
        let pid = self
            .member(name)
            .pid
            .and_then(|pid| Pid::from_raw(pid.cast_signed()))
            .expect("a running process");
        kill_process(pid, signal).expect("the process takes signals");
    }

    /// The end of every log file: for the message of a test that fails.
    #[must_use]
    pub fn logs(&self) -> String {
        logs(&self.board.stack().fleet)
    }

    /// Lets all processes drain and end.
    ///
    /// # Errors
    ///
    /// When one could not go on before.
    pub async fn stop(self) -> Result<()> {
        self.running.stop().await
    }
}

fn logs(members: &[Member]) -> String {
    let tail = |member: &Member| {
        let text = fs::read_to_string(&member.log).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        format!("{}:\n{}\n", member.name, lines[lines.len().saturating_sub(15)..].join("\n"))
    };
    members.iter().map(tail).collect()
}

/// The folder of the fleet's binaries, built once a test process: `cargo test` builds those of other packages only by chance.
///
/// # Errors
///
/// When they do not build.
pub async fn binaries() -> Result<PathBuf> {
    static BUILT: OnceCell<PathBuf> = OnceCell::const_new();
    let build = || {
        let own = std::env::current_exe()?;
        // …/target/debug/deps/servers-0123456789abcdef, …/target/debug/aqueduct-soak, or …/target/release/aqueduct-bench
        let folder = own.parent().context("no target folder")?;
        let folder = folder.parent().filter(|_| folder.ends_with("deps")).unwrap_or(folder).to_owned();
        // As tests and benches were built themselves: other targets would have other features, and much be built again.
        let targets: &[&str] =
            if folder.ends_with("release") { &["--release", "--bins"] } else { &["--all-targets"] };
        let status = Command::new(env!("CARGO"))
            .args(["build", "--quiet", "--workspace"])
            .args(targets)
            .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
            .status()?;
        ensure!(status.success(), "the binaries do not build");
        Ok(folder)
    };
    BUILT.get_or_try_init(|| async { tokio::task::spawn_blocking(build).await? }).await.cloned()
}
