//! Whole processes: this test binary runs itself, and the test `child` is the process under test.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command as Spawn};

use super::{Misconfigured, Service, run};
use crate::cli::{Cli, SettingsFile};

/// What the process under test does is told by the prefix in its settings.
async fn wire(service: Service) -> anyhow::Result<()> {
    let stop = service.stop.clone();
    service.spawn("orderly", async move {
        stop.cancelled().await;
        tracing::info!("orderly ended");
        anyhow::Ok(())
    });
    match service.settings.prefix.as_str() {
        "serves" => {}
        "fails" => service.spawn("failing", async { Err(anyhow::anyhow!("the reason")) }),
        "panics" => service
            .spawn("panicking", async { Err(anyhow::anyhow!("{}", [0_u8; 0][std::hint::black_box(0)])) }),
        "hangs" => service.spawn("hanging", std::future::pending::<anyhow::Result<()>>()),
        "waits" => std::future::pending().await,
        other => anyhow::bail!(Misconfigured(format!("the model {other} is wrong"))),
    }
    Ok(())
}

#[test]
fn child() {
    let Some(config) = std::env::var_os("AQUEDUCT_CONFIG") else { return };
    let cli = Cli { file: SettingsFile { config: Some(config.into()) }, command: None };
    std::process::exit(run("child", &cli, wire).into());
}

struct Process {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
    _folder: tempfile::TempDir,
}

impl Process {
    fn start(prefix: &str, deadline: &str) -> Process {
        let folder = tempfile::tempdir().unwrap();
        let config = folder.path().join("settings.toml");
        let text = format!(
            "prefix = {prefix:?}\n[model]\ndir = {:?}\n[admin]\nlisten = '127.0.0.1:0'\n[shutdown]\ndeadline = {deadline:?}\n\
             [engine]\ndrain_timeout = '0s'\n[publisher]\ndrain_timeout = '0s'",
            folder.path()
        );
        std::fs::write(&config, text).unwrap();
        Process::with_config(folder, &config)
    }

    fn with_config(folder: tempfile::TempDir, config: &Path) -> Process {
        let mut child = Spawn::new(std::env::current_exe().unwrap())
            .args(["process::tests::child", "--exact", "--nocapture"])
            .env("AQUEDUCT_CONFIG", config)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Process { child, lines, _folder: folder }
    }

    /// Reads the log up to a line with this message.
    async fn logged(&mut self, message: &str) -> Value {
        while let Some(line) = self.lines.next_line().await.unwrap() {
            let line = serde_json::from_str(&line).unwrap_or(Value::Null);
            if line["message"] == message {
                return line;
            }
        }
        panic!("the process ended without {message:?}");
    }

    /// `http://` and where the admin server listens.
    async fn admin(&mut self) -> String {
        format!("http://{}", self.logged("admin listening").await["addr"].as_str().unwrap())
    }

    async fn signal(&self, signal: &str) {
        let pid = self.child.id().unwrap();
        let sent = Spawn::new("sh").arg("-c").arg(format!("kill -{signal} {pid}")).status().await.unwrap();
        assert!(sent.success());
    }

    async fn exit_code(&mut self) -> i32 {
        let ended = tokio::time::timeout(Duration::from_secs(30), self.child.wait()).await;
        ended.expect("the process ends").unwrap().code().expect("it ends by itself")
    }
}

async fn status(url: String) -> u16 {
    reqwest::get(url).await.unwrap().status().as_u16()
}

#[tokio::test]
async fn a_signal_ends_a_process_in_order_with_0() {
    for signal in ["TERM", "INT"] {
        let mut process = Process::start("serves", "20s");
        let admin = process.admin().await;
        process.logged("started").await;
        assert_eq!(status(format!("{admin}/readyz")).await, 200);
        process.signal(signal).await;
        process.logged("orderly ended").await;
        assert_eq!(process.exit_code().await, 0);
    }
}

#[tokio::test]
async fn a_process_that_still_connects_is_alive_and_not_ready_and_can_be_stopped() {
    let mut process = Process::start("waits", "20s");
    let admin = process.admin().await;
    assert_eq!(status(format!("{admin}/livez")).await, 200);
    assert_eq!(status(format!("{admin}/readyz")).await, 503);
    process.signal("TERM").await;
    assert_eq!(process.exit_code().await, 0);
}

#[tokio::test]
async fn a_task_that_dies_ends_the_process_with_1_and_the_log_says_why() {
    for (prefix, task) in [("fails", "failing"), ("panics", "panicking")] {
        let mut process = Process::start(prefix, "20s");
        assert_eq!(process.logged("task failed, stopping").await["task"], task);
        process.logged("orderly ended").await;
        assert_eq!(process.exit_code().await, 1);
    }
}

#[tokio::test]
async fn a_panic_is_logged_with_its_place() {
    let mut process = Process::start("panics", "20s");
    let line = process.logged("panicked: index out of bounds: the len is 0 but the index is 0").await;
    assert!(line["location"].as_str().unwrap().contains("tests.rs"), "{line}");
}

#[tokio::test]
async fn a_task_that_misses_the_deadline_ends_the_process_with_1() {
    let mut process = Process::start("hangs", "100ms");
    process.logged("started").await;
    process.signal("TERM").await;
    let error = process.logged("stopped").await["error"].to_string();
    assert!(error.contains("hanging"), "{error}");
    assert_eq!(process.exit_code().await, 1);
}

#[tokio::test]
async fn a_second_signal_ends_the_process_at_once() {
    let mut process = Process::start("hangs", "1h");
    process.logged("started").await;
    process.signal("TERM").await;
    process.logged("stopping").await;
    process.signal("TERM").await;
    assert_eq!(process.exit_code().await, 1);
}

#[tokio::test]
async fn wiring_that_finds_the_model_wrong_ends_the_process_with_2() {
    let mut process = Process::start("other", "20s");
    assert_eq!(process.logged("stopped").await["error"], "the model other is wrong");
    assert_eq!(process.exit_code().await, 2);
}

#[tokio::test]
async fn wrong_settings_end_the_process_with_2_before_it_does_anything() {
    let mut process = Process::start("Not A Prefix", "0s");
    assert_eq!(process.exit_code().await, 2);
    let mut said = String::new();
    tokio::io::AsyncReadExt::read_to_string(&mut process.child.stderr.take().unwrap(), &mut said)
        .await
        .unwrap();
    for key in ["prefix", "shutdown.deadline", "engine.drain_timeout", "publisher.drain_timeout"] {
        assert!(said.contains(&format!("\n  {key} (from ")), "{said}");
    }
}
