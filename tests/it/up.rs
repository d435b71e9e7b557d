//! The command `aqueduct local up` with a fleet. The servers are those that all tests share: the settings give them, with a
//! prefix and a database of the stack's own.

use std::collections::BTreeSet;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use aqueduct_cli::local::ports;
use aqueduct_cli::local::stack::Stack;
use aqueduct_service::Settings;
use aqueduct_tests::{Scratch, binaries, eventually, servers, unique};
use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::stack::{descendants, runs};

const PATIENCE: Duration = Duration::from_secs(120);
const WORKERS: [&str; 6] =
    ["projector-1", "projector-2", "sync-rds-1", "sync-rds-2", "sync-search-1", "sync-search-2"];

struct Up {
    folder: Scratch,
    program: PathBuf,
    supervisor: Child,
}

/// A line that `--traffic` shows.
struct Shown {
    /// Commands, published events, rows, documents.
    counts: [u64; 4],
    /// The workers whose lag it says.
    workers: Vec<String>,
}

impl Up {
    /// Runs `aqueduct local up` and returns when it says that the stack is up.
    async fn start(arguments: &[&str]) -> Result<Up> {
        let mut up = Up::begin(arguments).await?;
        eventually("the stack is up", PATIENCE, || {
            let ended = up.supervisor.try_wait().unwrap();
            assert!(ended.is_none(), "{ended:?}: {}", up.shown());
            let is_up = up.shown().contains("The stack is up.");
            async move { is_up.then_some(()) }
        })
        .await;
        Ok(up)
    }

    /// Runs `aqueduct local up`.
    async fn begin(arguments: &[&str]) -> Result<Up> {
        let (servers, name) = (servers().await, unique());
        let folder = Scratch::new()?;
        let program = binaries().await?.join("aqueduct");
        let (postgres, api) = (servers.database().await, format!("127.0.0.1:{}", ports::free()?));
        let given = json!({
            "prefix": name,
            "kafka": { "brokers": servers.kafka },
            "dynamodb": { "endpoint": servers.dynamodb },
            "postgres": { "url": postgres },
            "opensearch": { "url": servers.opensearch, "index_prefix": format!("{name}-"), "replicas": 0 },
            "api": { "listen": api },
        });
        let file = folder.path().join("given.toml");
        fs::write(&file, toml::to_string(&given)?)?;
        let mut up = Command::new(&program);
        up.args(["local", "up", "--config"])
            .arg(file)
            .arg("--dir")
            .arg(folder.path().join("stack"))
            .args(arguments);
        up.stderr(fs::File::create(folder.path().join("shown"))?);
        up.stdout(fs::File::create(folder.path().join("printed"))?);
        Ok(Up { supervisor: up.spawn()?, folder, program })
    }

    /// All that it printed so far.
    fn shown(&self) -> String {
        fs::read_to_string(self.folder.path().join("shown")).unwrap()
    }

    /// The lines of `--traffic` in which no store shows as a dash.
    fn traffic(&self) -> Vec<Shown> {
        let shown = |line: &str| {
            let (counts, lags) = line.trim_start().split_once("  projector")?;
            let counts: Vec<u64> =
                counts.split_whitespace().map(|count| count.parse().ok()).collect::<Option<_>>()?;
            let lags = format!("projector{lags}");
            let of_worker = |lag: &str| {
                lag.rsplit_once(' ').map(|(name, lag)| lag.parse::<f64>().map(|_| name.to_owned()))
            };
            let workers = lags.split(", ").map(|lag| of_worker(lag)?.ok()).collect::<Option<_>>()?;
            Some(Shown { counts: counts.try_into().ok()?, workers })
        };
        self.shown().lines().filter_map(shown).collect()
    }

    fn dir(&self) -> PathBuf {
        self.folder.path().join("stack")
    }

    fn stack(&self) -> Result<Stack> {
        Stack::read(&self.dir().join("stack.json"))
    }

    fn aqueduct(&self, arguments: &[&str], file: (&str, &Path)) -> Result<Output> {
        Ok(Command::new(&self.program).args(arguments).arg(file.0).arg(file.1).output()?)
    }

    /// Ctrl-C: it ends with 0, and nothing that it started runs on.
    async fn interrupt(mut self) -> Result<()> {
        let started = descendants(self.supervisor.id());
        let fleet = self.stack()?.fleet;
        ensure!(
            fleet.iter().all(|member| member.pid.is_some_and(|pid| started.contains(&pid))),
            "{started:?}"
        );
        let sent = Command::new("kill").args(["-INT", &self.supervisor.id().to_string()]).status()?;
        ensure!(sent.success(), "no signal was sent");
        let supervisor = &mut self.supervisor;
        let ended = eventually("the supervisor has ended", PATIENCE, || {
            let ended = supervisor.try_wait().unwrap();
            async move { ended }
        })
        .await;
        ensure!(ended.success(), "{ended}: {}", self.shown());
        let left: Vec<&u32> = started.iter().filter(|&&child| runs(child)).collect();
        ensure!(left.is_empty(), "{left:?} run on");
        ensure!(!self.dir().join("stack.json").exists(), "the stack is still listed");
        Ok(())
    }
}

impl Drop for Up {
    fn drop(&mut self) {
        let _ = self.supervisor.kill();
        let _ = self.supervisor.wait();
    }
}

/// The partitions that a worker consumes: `group`, `topic` and `partition` as its metrics label them.
async fn partitions(admin: SocketAddr) -> Option<BTreeSet<String>> {
    let text = reqwest::get(format!("http://{admin}/metrics")).await.ok()?.text().await.ok()?;
    let series = text.lines().filter_map(|line| line.strip_prefix("aqueduct_consumer_lag_records{"));
    Some(series.filter_map(|series| Some(series.split_once('}')?.0.to_owned())).collect())
}

#[tokio::test(flavor = "multi_thread")]
async fn traffic_moves_every_store_through_two_of_each_worker_until_ctrl_c() -> Result<()> {
    let up = Up::start(&["--traffic", "--workers", "2"]).await?;

    let shown = eventually("every count that is shown has grown twice", PATIENCE, || {
        let lines = up.traffic();
        let mut grown = lines.first().map(|line| line.counts).unwrap_or_default();
        let mut times = 0;
        for line in &lines {
            if line.counts.iter().zip(grown).all(|(now, before)| *now > before) {
                (grown, times) = (line.counts, times + 1);
            }
        }
        async move { (times >= 2).then_some(lines) }
    })
    .await;
    assert!(shown.iter().all(|line| line.workers == WORKERS), "{}", up.shown());

    // A process that is too busy to answer in time is not ready and has no lag in the status.
    let lines = eventually("the status shows every worker ready, and its lag", PATIENCE, || {
        let status = up.aqueduct(&["local", "status", "--json"], ("--dir", &up.dir())).unwrap();
        let lines: Vec<Value> = serde_json::from_slice(&status.stdout).unwrap();
        let is_shown = |worker: &&str| {
            let line = lines.iter().find(|line| line["name"] == **worker);
            line.is_some_and(|line| line["ready"] == true && line["lag"].is_number())
        };
        let shown = WORKERS.iter().all(is_shown);
        async move { shown.then_some(lines) }
    })
    .await;
    for worker in WORKERS {
        let line = lines.iter().find(|line| line["name"] == worker).context(worker)?;
        assert!(line["pid"].is_u64() && line["restarts"] == 0, "{line}");
    }

    let members = up.stack()?.fleet;
    let admin = |name: &str| members.iter().find(|member| member.name == name).map(|member| member.admin);
    // Half of twelve partitions of each of four types, or of each of five views in Postgres, four in OpenSearch.
    for (worker, half) in [("projector", 24), ("sync-rds", 30), ("sync-search", 24)] {
        let (one, other) = (format!("{worker}-1"), format!("{worker}-2"));
        let (one, other) = (admin(&one).context(one)?, admin(&other).context(other)?);
        eventually("the partitions are shared, half to each", PATIENCE, || async {
            let (one, other) = (partitions(one).await?, partitions(other).await?);
            (one.is_disjoint(&other) && one.len() == half && other.len() == half).then_some(())
        })
        .await;
    }
    up.interrupt().await
}

/// The model of the README's section on types of one's own, word for word.
fn ticket_model(folder: &Path) -> Result<PathBuf> {
    let readme = include_str!("../../README.md");
    let (_, rest) = readme.split_once("```yaml\n# my-model/ticket.yaml\n").context("no ticket model")?;
    let (model, _) = rest.split_once("```").context("an open code block")?;
    let folder = folder.join("my-model");
    fs::create_dir(&folder)?;
    fs::write(folder.join("ticket.yaml"), model)?;
    Ok(folder)
}

#[tokio::test(flavor = "multi_thread")]
async fn once_drives_two_thousand_commands_finds_that_all_stores_agree_and_ends_with_0() -> Result<()> {
    let mut up = Up::begin(&["--once"]).await?;
    let started = eventually("the fleet runs", PATIENCE, || {
        let started = descendants(up.supervisor.id());
        async move { (started.len() >= 4).then_some(started) }
    })
    .await;
    let supervisor = &mut up.supervisor;
    let ended = eventually("it ends", 3 * PATIENCE, || {
        let ended = supervisor.try_wait().unwrap();
        async move { ended }
    })
    .await;
    ensure!(ended.success(), "{ended}: {}", up.shown());
    let printed = fs::read_to_string(up.folder.path().join("printed"))? + &up.shown();
    let commands = printed.split_whitespace().find_map(|word| match word.replace(',', "").parse() {
        Ok(commands @ 2000..2100_u32) => Some(commands),
        _ => None,
    });
    ensure!(commands.is_some() && printed.contains("agree"), "{printed}");
    let left: Vec<&u32> = started.iter().filter(|&&child| runs(child)).collect();
    ensure!(left.is_empty(), "{left:?} run on");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn another_model_than_the_shop_runs_to_rows_and_documents() -> Result<()> {
    let folder = Scratch::new()?;
    let model = ticket_model(folder.path())?;
    let up = Up::start(&["--model", &model.display().to_string()]).await?;
    let stack = up.stack()?;
    let settings = Settings::load(Some(&stack.settings))?;

    let http = reqwest::Client::new();
    let tickets = format!("{}/v1/acme/TICKET", stack.api().context("no API")?);
    let body = json!({ "attributes": { "title": "The tap drips" } });
    let created = http.post(&tickets).json(&body).send().await?;
    assert_eq!(created.status(), StatusCode::CREATED);
    let created: Value = created.json().await?;
    assert_eq!((&created["id"], &created["attributes"]["state"]), (&"T-0001".into(), &"open".into()));
    let body = json!({ "attributes": { "state": "closed" } });
    let closed = http.patch(format!("{tickets}/T-0001")).json(&body).send().await?;
    assert_eq!(closed.status(), StatusCode::OK);

    let verified = up.aqueduct(&["verify", "--json", "--settle", "60"], ("--config", &stack.settings))?;
    let report: Value = serde_json::from_slice(&verified.stdout)
        .with_context(|| String::from_utf8_lossy(&verified.stderr).into_owned())?;
    assert_eq!((verified.status.code(), &report["items"]), (Some(0), &1.into()), "{report}");
    assert_eq!(report["read_models"], json!(["data", "postgres tickets.g1", "opensearch tickets.g1"]));
    let row: (String, String, String, i64) =
        sqlx::query_as("SELECT id, title, state, item_version FROM tickets")
            .fetch_one(&settings.postgres.connect_lazy()?)
            .await?;
    assert_eq!(row, ("T-0001".to_owned(), "The tap drips".to_owned(), "closed".to_owned(), 2));
    let alias = format!("{}/{}tickets", settings.opensearch.url, settings.opensearch.index_prefix);
    http.post(format!("{alias}/_refresh")).send().await?.error_for_status()?;
    let found: Value = http.get(format!("{alias}/_search?q=document.title:tap")).send().await?.json().await?;
    let document = &found["hits"]["hits"][0]["_source"]["document"];
    assert_eq!(*document, json!({ "title": "The tap drips", "state": "closed" }), "{found}");
    up.interrupt().await
}
