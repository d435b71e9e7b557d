//! The command `aqueduct local`, with a stack that has but one server of its own: the others are given, and not there.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use aqueduct_cli::local::servers::Server;
use aqueduct_cli::local::stack::Stack;
use aqueduct_tests::{Scratch, binaries, eventually};

const PATIENCE: Duration = Duration::from_secs(60);

struct OneServer {
    folder: Scratch,
    program: PathBuf,
    supervisor: Child,
}

impl OneServer {
    async fn up() -> OneServer {
        let folder = Scratch::new().unwrap();
        let program = binaries().await.unwrap().join("aqueduct");
        let mut up = Command::new(&program);
        up.args(["local", "up", "--servers-only", "--dir"]).arg(folder.path()).stderr(Stdio::null());
        up.env("AQUEDUCT__KAFKA__BROKERS", "127.0.0.1:1");
        up.env("AQUEDUCT__DYNAMODB__ENDPOINT", "http://127.0.0.1:1");
        up.env("AQUEDUCT__OPENSEARCH__URL", "http://me:s3cret@127.0.0.1:1");
        let stack = OneServer { supervisor: up.spawn().unwrap(), folder, program };
        eventually("the stack is up", PATIENCE, || async { Stack::read(&stack.file()).ok() }).await;
        stack
    }

    fn file(&self) -> PathBuf {
        self.folder.path().join("stack.json")
    }

    fn aqueduct(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(&self.program);
        command.arg("local").args(arguments).arg("--dir").arg(self.folder.path());
        command.output().unwrap()
    }
}

impl Drop for OneServer {
    fn drop(&mut self) {
        let _ = self.supervisor.kill();
        let _ = self.supervisor.wait();
    }
}

/// The processes that run below a process.
pub(crate) fn descendants(pid: u32) -> BTreeSet<u32> {
    let children = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().filter_map(|task| {
        let children = fs::read_to_string(task.ok()?.path().join("children")).ok()?;
        Some(children.split_whitespace().map(|child| child.parse().unwrap()).collect::<Vec<u32>>())
    });
    let children: Vec<u32> = children.flatten().collect();
    children.iter().flat_map(|&child| descendants(child)).chain(children.iter().copied()).collect()
}

pub(crate) fn runs(pid: u32) -> bool {
    // One that ended and waits to be asked why has no command line any more.
    fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|line| !line.is_empty())
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[tokio::test]
async fn children_die_with_a_parent_that_is_killed() {
    let mut stack = OneServer::up().await;
    let children = descendants(stack.supervisor.id());
    assert!(children.len() > 3, "Postgres is several processes: {children:?}");
    stack.supervisor.kill().unwrap();
    stack.supervisor.wait().unwrap();
    eventually("the children are gone", PATIENCE, || async {
        (!children.iter().any(|&child| runs(child))).then_some(())
    })
    .await;
    let status = stack.aqueduct(&["status"]);
    assert_eq!(status.status.code(), Some(1));
    assert!(text(&status.stderr).contains("no stack is up"), "{}", text(&status.stderr));
}

#[tokio::test]
async fn a_stack_is_looked_at_and_stopped() {
    let mut stack = OneServer::up().await;
    let running = Stack::read(&stack.file()).unwrap();
    let postgres = running.address(Server::Postgres).unwrap().to_owned();
    assert!(Server::Postgres.answers(&postgres).await);
    assert_eq!(running.address(Server::Kafka), Some("127.0.0.1:1"));
    assert_eq!(running.address(Server::OpenSearch), Some("http://me:***@127.0.0.1:1/"), "no password shows");

    let status = stack.aqueduct(&["status", "--json"]);
    let lines: serde_json::Value = serde_json::from_slice(&status.stdout).unwrap();
    let line =
        |name: &str| lines.as_array().unwrap().iter().find(|line| line["name"] == name).unwrap().clone();
    assert_eq!((&line("postgres")["ready"], &line("kafka")["ready"]), (&true.into(), &false.into()));
    assert!(line("postgres")["pid"].is_u64() && line("postgres")["memory"].is_u64(), "{lines}");
    assert!(line("kafka")["pid"].is_null(), "a server that was given has no process here");

    let logs = stack.aqueduct(&["logs", "postgres"]);
    assert!(text(&logs.stdout).contains("ready to accept connections"), "{}", text(&logs.stdout));
    let nobody = stack.aqueduct(&["logs", "nobody"]);
    assert_eq!(nobody.status.code(), Some(1));

    let second = stack.aqueduct(&["up", "--servers-only"]);
    assert!(text(&second.stderr).contains("a stack is up in"), "{}", text(&second.stderr));

    assert!(stack.aqueduct(&["down"]).status.success());
    assert!(stack.supervisor.wait().unwrap().success(), "being told to stop is no failure");
    assert!(!Server::Postgres.answers(&postgres).await);
    assert!(!Path::new(&stack.file()).exists());
}

#[tokio::test]
async fn a_stack_whose_server_dies_stops_and_says_so() {
    let mut stack = OneServer::up().await;
    let running = Stack::read(&stack.file()).unwrap();
    let postgres = running.servers.iter().find_map(|server| server.process.as_ref()).unwrap().pid;
    let killed = Command::new("kill").args(["-9", &postgres.to_string()]).status().unwrap();
    assert!(killed.success());
    assert_eq!(stack.supervisor.wait().unwrap().code(), Some(1));
}
