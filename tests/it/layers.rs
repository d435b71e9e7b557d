//! Dependencies point one way. This table is the documentation of the direction: a crate may use the workspace crates
//! beside it and no others.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use serde_json::Value;

/// From the bottom up: what each crate may use of the workspace.
const MAY_USE: [(&str, &[&str]); 14] = [
    ("contract", &[]),
    ("model", &["contract"]),
    ("store", &["contract"]),
    ("views", &["contract", "model"]),
    ("commands", &["contract", "model", "store"]),
    // No database and no model: a sink brings those.
    ("engine", &["contract", "store"]),
    // It composes the settings of all, so it uses who owns a section of them, and runs what workers run alike.
    ("service", &["contract", "engine", "store", "views"]),
    ("verify", &["contract", "model", "store", "views", "service"]),
    // A worker never uses another worker.
    ("command-api", &["contract", "model", "store", "commands", "views", "service"]),
    ("projector", &["contract", "model", "store", "commands", "engine", "service", "verify"]),
    ("sync-rds", &["contract", "model", "views", "engine", "service", "verify"]),
    ("sync-search", &["contract", "model", "views", "engine", "service", "verify"]),
    // What it writes to a read model goes through the sink of the worker that keeps it. Processes it starts as such.
    (
        "cli",
        &[
            "contract",
            "model",
            "store",
            "views",
            "engine",
            "service",
            "verify",
            "projector",
            "sync-rds",
            "sync-search",
        ],
    ),
    (
        "tests",
        &[
            "contract",
            "model",
            "store",
            "views",
            "commands",
            "engine",
            "service",
            "verify",
            "command-api",
            "projector",
            "sync-rds",
            "sync-search",
            "cli",
        ],
    ),
];

/// What does I/O, has a clock of its own, or waits: not for crates that are pure.
const NOT_PURE: [&str; 13] = [
    "aws-config",
    "aws-sdk-dynamodb",
    "axum",
    "config",
    "opensearch",
    "rdkafka",
    "reqwest",
    "sqlx",
    "tokio",
    "tokio-util",
    "tower-http",
    "tracing-subscriber",
    "prometheus",
];

/// Drivers of databases: the engine has none, it reaches its letters through `store`.
const DATABASES: [&str; 4] = ["aws-config", "aws-sdk-dynamodb", "opensearch", "sqlx"];

/// Every crate of the workspace without `aqueduct-` in its name, and what it depends on outside of tests, of the workspace
/// and beyond.
fn dependencies() -> BTreeMap<String, (BTreeSet<String>, BTreeSet<String>)> {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--no-deps", "--offline", "--format-version=1"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout).unwrap();
    let crate_of = |package: &Value| {
        let name = package["name"].as_str().unwrap().strip_prefix("aqueduct-").unwrap();
        let dependencies = package["dependencies"].as_array().unwrap().iter();
        let (ours, others): (BTreeSet<&str>, BTreeSet<&str>) = dependencies
            .filter(|dependency| dependency["kind"] != "dev")
            .map(|dependency| dependency["name"].as_str().unwrap())
            .partition(|name| name.starts_with("aqueduct-"));
        let ours = ours.into_iter().map(|name| name.trim_start_matches("aqueduct-").to_owned()).collect();
        (name.to_owned(), (ours, others.into_iter().map(str::to_owned).collect()))
    };
    metadata["packages"].as_array().unwrap().iter().map(crate_of).collect()
}

fn uses_any(others: &BTreeSet<String>, of: &[&str]) -> Vec<String> {
    others.iter().filter(|name| of.contains(&name.as_str())).cloned().collect()
}

#[test]
fn every_crate_uses_only_what_stands_below_it() {
    let found = dependencies();
    let known: BTreeSet<&str> = MAY_USE.iter().map(|(name, _)| *name).collect();
    let names: BTreeSet<&str> = found.keys().map(String::as_str).collect();
    assert_eq!(names, known, "a new crate needs a line in this table");
    for (name, allowed) in MAY_USE {
        let (ours, _) = &found[name];
        let forbidden: Vec<&String> = ours.iter().filter(|used| !allowed.contains(&used.as_str())).collect();
        assert!(forbidden.is_empty(), "{name} must not use {forbidden:?}");
    }
}

#[test]
fn the_table_has_no_circle() {
    for (position, (name, allowed)) in MAY_USE.iter().enumerate() {
        let below: Vec<&str> = MAY_USE[..position].iter().map(|(name, _)| *name).collect();
        assert!(
            allowed.iter().all(|used| below.contains(used)),
            "{name} uses what does not stand above it in the table"
        );
    }
}

#[test]
fn contract_and_model_do_no_io() {
    let found = dependencies();
    for name in ["contract", "model"] {
        let (_, others) = &found[name];
        assert_eq!(uses_any(others, &NOT_PURE), [""; 0], "{name}");
    }
}

#[test]
fn the_engine_knows_no_database() {
    let (_, others) = &dependencies()["engine"];
    assert_eq!(uses_any(others, &DATABASES), [""; 0]);
}
