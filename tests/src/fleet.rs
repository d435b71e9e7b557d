//! A fleet of real processes, supervised by `aqueduct local up`, on servers that a test has already.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use aqueduct_cli::drive::Stores;
use aqueduct_cli::local::ports;
use aqueduct_cli::local::process::{Nursery, Process, Spec};
use aqueduct_cli::local::stack::{self, Member, Stack};
use aqueduct_cli::verify::{Report, verify};
use aqueduct_service::Settings;
use indicatif::ProgressBar;
use serde_json::Value;
use sqlx::{AssertSqlSafe, PgPool};
use tokio::process::Command;
use tokio::sync::OnceCell;

use crate::{Scratch, Servers, eventually, servers, unique};

/// The shop's fleet under a prefix of its own. It is killed, and its data forgotten, when this is dropped.
pub struct Fleet {
    /// The URL of its API.
    pub api: String,
    /// The settings of its processes.
    pub settings: Settings,
    stack: PathBuf,
    _supervisor: Process,
    _folder: Scratch,
}

impl Fleet {
    /// Starts one on the shared servers and waits until all of it is ready.
    ///
    /// # Errors
    ///
    /// When it does not come up.
    pub async fn start() -> Result<Fleet> {
        Fleet::start_on(servers().await, "").await
    }

    /// Starts one on `servers`, with more settings as TOML.
    ///
    /// # Errors
    ///
    /// When it does not come up.
    pub async fn start_on(servers: &Servers, more: &str) -> Result<Fleet> {
        let folder = Scratch::new()?;
        let (prefix, postgres) = (unique(), servers.database().await);
        let Servers { kafka, dynamodb, opensearch, .. } = servers;
        let port = ports::free()?;
        let given = format!(
            "prefix = \"{prefix}\"\n[api]\nlisten = \"127.0.0.1:{port}\"\n[kafka]\nbrokers = \"{kafka}\"\n[dynamodb]\nendpoint = \"{dynamodb}\"\n\
             [postgres]\nurl = \"{postgres}\"\n[opensearch]\nurl = \"{opensearch}\"\nindex_prefix = \"{prefix}-\"\nreplicas = 0\n{more}"
        );
        let (config, dir) = (folder.path().join("given.toml"), folder.path().join("stack"));
        fs::write(&config, given)?;
        let spec = Spec {
            name: "aqueduct local up".to_owned(),
            program: binaries().await?.join("aqueduct"),
            arguments: ["local".into(), "up".into(), "--dir".into(), dir.clone().into(), "--config".into(), config.into()].into(),
            environment: vec![],
            folder: folder.path().to_owned(),
            log: folder.path().join("up.log"),
            user: None,
        };
        let supervisor = Nursery::new()?.spawn(&spec).await?;
        let up = eventually("the fleet is up", Duration::from_secs(120), || async {
            if supervisor.has_ended() {
                return Some(Err(anyhow::anyhow!("{}", supervisor.log_tail())));
            }
            supervisor.log_tail().contains("The stack is up").then_some(Ok(()))
        });
        up.await?;
        let stack = dir.join(stack::FILE);
        let running = Stack::read(&stack)?;
        let settings = Settings::load(Some(&running.settings)).map_err(|problems| anyhow::anyhow!("{problems}"))?;
        let api = running.api().context("a fleet without an API")?;
        Ok(Fleet { api, settings, stack, _supervisor: supervisor, _folder: folder })
    }

    /// A process of the fleet as it is now.
    ///
    /// # Errors
    ///
    /// When there is none of this name.
    pub fn member(&self, name: &str) -> Result<Member> {
        let members = Stack::read(&self.stack)?.fleet;
        members.into_iter().find(|member| member.name == name).with_context(|| format!("no process called {name}"))
    }

    /// Kills a process with SIGKILL and waits until the supervisor has started it again.
    ///
    /// # Errors
    ///
    /// When there is none of this name.
    pub async fn kill(&self, name: &str) -> Result<()> {
        let before = self.member(name)?;
        let pid = before.pid.context("it does not run")?;
        let killed = Command::new("kill").args(["-9", &pid.to_string()]).status().await?;
        ensure!(killed.success(), "kill -9 {pid}: {killed}");
        eventually(&format!("{name} runs again"), Duration::from_secs(60), || async {
            let member = self.member(name).ok()?;
            (member.restarts > before.restarts && member.pid.is_some()).then_some(())
        })
        .await;
        Ok(())
    }

    /// A sample of a process's `/metrics`: the sum over all whose name and labels begin with `prefix`.
    ///
    /// # Errors
    ///
    /// When the process does not answer.
    pub async fn metric(&self, name: &str, prefix: &str) -> Result<f64> {
        let text = self.metrics(name).await?;
        let samples = text.lines().filter(|line| line.starts_with(prefix));
        Ok(samples.filter_map(|line| line.rsplit_once(' ')?.1.parse::<f64>().ok()).sum())
    }

    /// All of a process's `/metrics`.
    ///
    /// # Errors
    ///
    /// When the process does not answer.
    pub async fn metrics(&self, name: &str) -> Result<String> {
        let url = format!("http://{}/metrics", self.member(name)?.admin);
        Ok(reqwest::get(url).await?.error_for_status()?.text().await?)
    }

    /// What `aqueduct verify` finds once everything had time to settle.
    ///
    /// # Errors
    ///
    /// When a store does not answer.
    pub async fn verify(&self, settle: Duration) -> Result<Report> {
        verify(&self.settings, None, settle, &ProgressBar::hidden()).await
    }

    /// Fails unless `aqueduct verify` finds that all stores agree.
    ///
    /// # Errors
    ///
    /// When they do not; the message lists what differs.
    pub async fn agrees(&self, settle: Duration) -> Result<()> {
        let report = self.verify(settle).await?;
        ensure!(report.differences.is_empty(), "{report}");
        Ok(())
    }

    /// Runs the command `aqueduct` with this fleet's settings.
    ///
    /// # Errors
    ///
    /// When it cannot be started.
    pub async fn aqueduct(&self, arguments: &[&str]) -> Result<Ended> {
        let settings = self.stack.with_file_name("settings.toml");
        let mut command = Command::new(binaries().await?.join("aqueduct"));
        let output = command.args(arguments).arg("--config").arg(settings).output().await?;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Ok(Ended { code: output.status.code(), out: text(&output.stdout), err: text(&output.stderr) })
    }

    /// The stores as `tenant` of this fleet sees them.
    ///
    /// # Errors
    ///
    /// When the settings do not lead to a client.
    pub async fn stores(&self, tenant: &str) -> Result<Stores> {
        Ok(Stores {
            dynamodb: self.settings.dynamodb.connect().await,
            prefix: self.settings.prefix.clone(),
            postgres: self.settings.postgres.connect_lazy()?,
            opensearch: self.settings.opensearch.url.clone(),
            index_prefix: self.settings.opensearch.index_prefix.clone(),
            tenant: tenant.to_owned(),
        })
    }

    /// Rows that a tenant sees in a public SQL view.
    ///
    /// # Errors
    ///
    /// When Postgres refuses.
    pub async fn rows(&self, tenant: &str, view: &str) -> Result<i64> {
        let pool: PgPool = self.settings.postgres.connect_lazy()?;
        let count = AssertSqlSafe(format!("SELECT count(*) FROM {view} WHERE tenant = $1"));
        Ok(sqlx::query_scalar(count).bind(tenant).fetch_one(&pool).await?)
    }

    /// Documents that a tenant sees through a public alias.
    ///
    /// # Errors
    ///
    /// When OpenSearch refuses.
    pub async fn documents(&self, tenant: &str, view: &str) -> Result<i64> {
        let alias = format!("{}/{}{view}", self.settings.opensearch.url, self.settings.opensearch.index_prefix);
        reqwest::Client::new().post(format!("{alias}/_refresh")).send().await?.error_for_status()?;
        let url = format!("{alias}/_count?q=tenant:{tenant}");
        let counted: Value = reqwest::get(url).await?.error_for_status()?.json().await?;
        counted["count"].as_i64().context("an answer without a count")
    }
}

/// What a run of the command `aqueduct` printed and how it ended.
pub struct Ended {
    /// The exit code.
    pub code: Option<i32>,
    /// Its standard output.
    pub out: String,
    /// Its standard error.
    pub err: String,
}

/// The folder of the fleet's binaries, built once a test process: `cargo test` builds tests, not these.
async fn binaries() -> Result<&'static Path> {
    static BUILT: OnceCell<PathBuf> = OnceCell::const_new();
    let folder = BUILT.get_or_try_init(|| async {
        let workspace = concat!(env!("CARGO_MANIFEST_DIR"), "/..");
        let mut build = Command::new(env!("CARGO"));
        let built = build.args(["build", "--workspace", "--bins", "--quiet"]).current_dir(workspace).status().await?;
        ensure!(built.success(), "cargo build: {built}");
        // The test's own file is in `target/<profile>/deps`.
        let own = std::env::current_exe()?;
        own.ancestors().nth(2).map(Path::to_owned).context("the test is not in a target folder")
    });
    Ok(folder.await?.as_path())
}
