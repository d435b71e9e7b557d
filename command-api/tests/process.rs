//! The process as an operator sees it: what it refuses to start with, and how it stops.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on stops there")]

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value;

const NOTE: &str = "{aqueduct: v1, type: NOTE, schema: {type: object}}";

/// command-api on free ports, with servers that do not exist.
fn command_api(model: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_aqueduct-command-api"));
    command
        .env("AQUEDUCT__MODEL__DIR", model)
        .env("AQUEDUCT__API__LISTEN", "127.0.0.1:0")
        .env("AQUEDUCT__ADMIN__LISTEN", "127.0.0.1:0")
        .env("AQUEDUCT__DYNAMODB__ENDPOINT", "http://127.0.0.1:1")
        .env("AQUEDUCT__KAFKA__BROKERS", "127.0.0.1:1");
    command
}

fn folder(file: &str, text: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join(file), text).unwrap();
    folder
}

/// Its exit code and everything that it said.
fn ended(command: &mut Command) -> (Option<i32>, String) {
    let output = command.output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8(said).unwrap())
}

#[test]
fn a_public_address_is_refused_and_the_way_out_named() {
    let model = folder("note.yaml", NOTE);
    for public in ["0.0.0.0:0", "[::]:0", "192.0.2.1:8080"] {
        let (code, said) = ended(command_api(model.path()).env("AQUEDUCT__API__LISTEN", public));
        assert_eq!(code, Some(2), "{said}");
        let key = "api.listen (from AQUEDUCT__API__LISTEN)";
        assert!(said.contains(key) && said.contains("Listen on 127.0.0.1"), "{said}");
    }
}

#[test]
fn a_model_with_mistakes_is_refused_with_their_places() {
    let model = folder("note.yaml", "aqueduct: v1\ntype: NOTE\nshema: {type: object}\n");
    let (code, said) = ended(&mut command_api(model.path()));
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("note.yaml:3:1") && said.contains("did you mean `schema`"), "{said}");
}

#[test]
fn without_servers_it_starts_logs_each_request_by_its_correlation_id_and_stops_in_order() {
    let model = folder("note.yaml", NOTE);
    let mut process = command_api(model.path()).stdout(Stdio::piped()).spawn().unwrap();
    let mut log = BufReader::new(process.stdout.take().unwrap())
        .lines()
        .map(|line| serde_json::from_str::<Value>(&line.unwrap()).unwrap());
    let listening = log.find(|line| line["message"] == "api listening").unwrap();
    let mut connection = TcpStream::connect(listening["addr"].as_str().unwrap()).unwrap();
    let request = "GET /problems/Internal HTTP/1.1\r\nHost: x\r\nX-Correlation-Id: my-request\r\n\r\n";
    connection.write_all(request.as_bytes()).unwrap();
    let answered = log.find(|line| line["message"] == "answered").unwrap();
    assert_eq!(answered["correlation_id"], "my-request", "{answered}");
    assert_eq!((&answered["status"], &answered["method"]), (&200.into(), &"GET".into()), "{answered}");
    assert!(answered["traceparent"].is_string(), "{answered}");

    let signalled = Command::new("kill").args(["-TERM", &process.id().to_string()]).status().unwrap();
    assert!(signalled.success());
    let rest: Vec<Value> = log.collect();
    assert_eq!(process.wait().unwrap().code(), Some(0), "{rest:?}");
}
