//! What every binary of the fleet does with its command line, with wrong settings, and without its servers.

use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::time::Duration;

use aqueduct_tests::{Scratch, binaries};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};

const PROGRAMS: [&str; 4] = ["command-api", "projector", "sync-rds", "sync-search"];
/// Nobody listens there.
pub(crate) const NOBODY: &str = "127.0.0.1:1";
pub(crate) const MODEL: &str = "aqueduct: v1\ntype: ORDER\nschema: { type: object }\n";

pub(crate) struct Run {
    program: PathBuf,
    pub(crate) folder: Scratch,
}

impl Run {
    /// The settings are those of a process whose servers are down, the model is `model`, both in a folder of their own.
    pub(crate) async fn new(program: &str, model: &str) -> Run {
        let folder = Scratch::new().unwrap();
        std::fs::create_dir(folder.path().join("model")).unwrap();
        std::fs::write(folder.path().join("model/order.yaml"), model).unwrap();
        let settings = format!(
            "[model]\ndir = {:?}\n[kafka]\nbrokers = \"{NOBODY}\"\n[dynamodb]\nendpoint = \"http://{NOBODY}\"\n\
             [postgres]\nurl = \"postgres://fleet:s3cret@{NOBODY}/reads\"\n[opensearch]\nurl = \"http://{NOBODY}\"\n\
             [api]\nlisten = \"127.0.0.1:0\"\n[admin]\nlisten = \"127.0.0.1:0\"\n",
            folder.path().join("model")
        );
        std::fs::write(folder.path().join("settings.toml"), settings).unwrap();
        Run { program: binaries().await.unwrap().join(format!("aqueduct-{program}")), folder }
    }

    pub(crate) fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        command.arg("--config").arg(self.folder.path().join("settings.toml")).kill_on_drop(true);
        command
    }

    async fn ended(&self, arguments: &[&str], environment: &[(&str, &str)]) -> Output {
        self.command().args(arguments).envs(environment.iter().copied()).output().await.unwrap()
    }
}

pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A process that runs, and what it has logged.
pub(crate) struct Running {
    process: Child,
    lines: Lines<BufReader<ChildStdout>>,
    log: Vec<Value>,
}

impl Running {
    pub(crate) fn start(mut command: Command) -> Running {
        let mut process = command.stdout(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(process.stdout.take().unwrap()).lines();
        Running { process, lines, log: Vec::new() }
    }

    /// Reads the log up to the next line like this.
    pub(crate) async fn logged(&mut self, what: &str, like: impl Fn(&Value) -> bool) -> Value {
        let read = async {
            while let Some(line) = self.lines.next_line().await.unwrap() {
                let line: Value = serde_json::from_str(&line).unwrap();
                self.log.push(line.clone());
                if like(&line) {
                    return Some(line);
                }
            }
            None
        };
        let found = tokio::time::timeout(Duration::from_secs(60), read).await;
        found.ok().flatten().unwrap_or_else(|| panic!("{what} was not logged: {:#?}", self.log))
    }

    pub(crate) async fn terminate(mut self) -> Option<i32> {
        let pid = self.process.id().unwrap().to_string();
        assert!(Command::new("kill").args(["-TERM", &pid]).status().await.unwrap().success());
        // Reads on, or the pipe fills up and the process stands still.
        let (ended, _) = tokio::join!(self.process.wait(), async {
            while let Ok(Some(_)) = self.lines.next_line().await {}
        });
        ended.unwrap().code()
    }
}

#[tokio::test]
async fn a_process_without_its_servers_says_so_and_is_alive_and_not_ready_and_stops_in_order() {
    for program in PROGRAMS {
        let run = Run::new(program, MODEL).await;
        let mut running = Running::start(run.command());
        let listening = running.logged("its address", |line| line["message"] == "admin listening").await;
        let admin = format!("http://{}", listening["addr"].as_str().unwrap());
        let warning = running.logged("a warning", |line| line["level"] == "WARN").await;
        assert!(warning["error"].is_string(), "{program}: {warning}");
        assert!(running.log.iter().all(|line| line["service"] == program), "{:#?}", running.log);

        let live = reqwest::get(format!("{admin}/livez")).await.unwrap();
        assert_eq!(live.status(), 200, "{program}: {}", live.text().await.unwrap());
        let ready = reqwest::get(format!("{admin}/readyz")).await.unwrap();
        assert_eq!(ready.status(), 503, "{program}: {}", ready.text().await.unwrap());
        assert_eq!(running.terminate().await, Some(0), "{program}");
    }
}

#[tokio::test]
async fn a_worker_without_its_registry_of_views_says_what_it_waits_for_and_why() {
    for (program, server, why) in [
        ("sync-rds", "Postgres at 127.0.0.1:1", "not reached within postgres.connect_timeout"),
        ("sync-search", "OpenSearch at http://127.0.0.1:1/", "Connection refused"),
    ] {
        let run = Run::new(program, MODEL).await;
        let mut running = Running::start(run.command());
        let listening = running.logged("its address", |line| line["message"] == "admin listening").await;
        running.logged("a warning", |line| line["level"] == "WARN").await;
        let ready = format!("http://{}/readyz", listening["addr"].as_str().unwrap());
        let ready: Value = reqwest::get(ready).await.unwrap().json().await.unwrap();
        let said = ready["checks"]["started"]["why"].as_str().unwrap();
        let waits =
            format!("still starting, waiting for {server}, which holds the list of the views to keep: ");
        assert!(said.starts_with(&waits) && said.contains(why), "{said}");
        assert_eq!(running.terminate().await, Some(0), "{program}");
    }
}

#[tokio::test]
async fn wrong_settings_are_exit_code_2_and_all_of_them_are_named() {
    for program in PROGRAMS {
        let run = Run::new(program, MODEL).await;
        let wrong = [("AQUEDUCT__KAFKA__BROKER", "x"), ("AQUEDUCT__ENGINE__LANES__SYNC_RDS", "many")];
        for arguments in [&[][..], &["check-config"]] {
            let ended = run.ended(arguments, &wrong).await;
            let said = text(&ended.stderr);
            assert_eq!(ended.status.code(), Some(2), "{said}");
            assert!(said.contains(
                "kafka.broker (from AQUEDUCT__KAFKA__BROKER): is not a setting; did you mean kafka.brokers?"
            ));
            assert!(
                said.contains("engine.lanes.sync_rds (from AQUEDUCT__ENGINE__LANES__SYNC_RDS): "),
                "{said}"
            );
            assert!(ended.stdout.is_empty());
        }
    }
}

#[tokio::test]
async fn a_public_address_without_authentication_is_exit_code_2_at_start_and_at_check_config() {
    for program in PROGRAMS {
        let run = Run::new(program, MODEL).await;
        let public = [("AQUEDUCT__API__LISTEN", "0.0.0.0:8080")];
        let (started, checked) = (run.ended(&[], &public).await, run.ended(&["check-config"], &public).await);
        assert_eq!((started.status.code(), checked.status.code()), (Some(2), Some(2)), "{program}");
        let said = text(&checked.stderr);
        assert!(
            said.contains("api.listen (from AQUEDUCT__API__LISTEN): can be reached from other"),
            "{said}"
        );
        assert_eq!(text(&started.stderr), said);
    }
}

#[tokio::test]
async fn an_address_that_leads_nowhere_is_exit_code_2_at_start_and_at_check_config() {
    for program in PROGRAMS {
        let run = Run::new(program, MODEL).await;
        let wrong = [
            ("AQUEDUCT__POSTGRES__URL", "postgres://fleet:s3cret@db:port/reads"),
            ("AQUEDUCT__OPENSEARCH__URL", "https://fleet:s3cret@search:99999"),
            ("AQUEDUCT__KAFKA__BROKERS", "broker"),
            ("AQUEDUCT__DYNAMODB__ENDPOINT", "http://dynamodb:port"),
        ];
        let (started, checked) = (run.ended(&[], &wrong).await, run.ended(&["check-config"], &wrong).await);
        assert_eq!((started.status.code(), checked.status.code()), (Some(2), Some(2)), "{program}");
        let said = text(&checked.stderr);
        for (key, variable) in
            ["postgres.url", "opensearch.url", "kafka.brokers", "dynamodb.endpoint"].iter().zip(wrong)
        {
            assert!(said.contains(&format!("\n  {key} (from {}): ", variable.0)), "{said}");
        }
        assert!(!said.contains("s3cret"), "{said}");
        assert_eq!(text(&started.stderr), said);
    }
}

#[tokio::test]
async fn a_wrong_model_is_exit_code_2_and_its_place_is_named() {
    for program in PROGRAMS {
        let run = Run::new(program, "aqueduct: v1\ntype: ORDER\nschma: { type: object }\n").await;
        let ended = run.ended(&[], &[]).await;
        let said = text(&ended.stdout);
        assert_eq!(ended.status.code(), Some(2), "{program}: {said}");
        assert!(said.contains("order.yaml:3:"), "{program}: {said}");
    }
}

#[tokio::test]
async fn check_config_prints_what_is_in_effect_without_secrets() {
    let run = Run::new("projector", MODEL).await;
    let ended = run.ended(&["check-config"], &[("AQUEDUCT__ENGINE__LANES__PROJECTOR", "3")]).await;
    let said = text(&ended.stdout);
    assert_eq!(ended.status.code(), Some(0), "{}", text(&ended.stderr));
    assert!(said.contains("\nprojector = 3  # AQUEDUCT__ENGINE__LANES__PROJECTOR\n"), "{said}");
    assert!(said.contains("\nbatch_age = \"100ms\"  # default\n"), "{said}");
    assert!(said.contains("\nurl = \"postgres://fleet:***@127.0.0.1:1/reads\"  # "), "{said}");
    assert!(!said.contains("s3cret"), "{said}");
}

#[tokio::test]
async fn a_binary_knows_its_name_and_version_and_refuses_what_it_does_not_know() {
    let version = env!("CARGO_PKG_VERSION");
    for program in PROGRAMS {
        let binary: &Path = &binaries().await.unwrap().join(format!("aqueduct-{program}"));
        let run = |argument| Command::new(binary).arg(argument).output();
        assert_eq!(text(&run("--version").await.unwrap().stdout), format!("{program} {version}\n"));
        assert!(text(&run("--help").await.unwrap().stdout).contains("AQUEDUCT_CONFIG"));
        assert_eq!(run("--confg").await.unwrap().status.code(), Some(2));
    }
}
