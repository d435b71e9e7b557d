//! What comes from others: under licences that `.cargo/deny.toml` allows, from one registry, in versions that are named.
//!
//! `cargo deny` checks the same by the same file, and known vulnerabilities beside it. It needs a network for those and
//! minutes to be built, so it is for whoever releases; this is for every run.

use std::collections::BTreeSet;
use std::process::Command;

use serde_json::Value;

/// `.cargo/deny.toml`.
fn rules() -> toml::Table {
    include_str!("../../.cargo/deny.toml").parse().unwrap()
}

/// Every package that is built on this machine's kind of processor, the workspace's among them.
pub(crate) fn packages() -> Vec<Value> {
    let targets = rules()["graph"]["targets"].as_array().unwrap().clone();
    let own =
        targets.iter().filter_map(toml::Value::as_str).find(|of| of.starts_with(std::env::consts::ARCH));
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--offline", "--locked", "--format-version=1", "--filter-platform"])
        .arg(own.expect("a target of deny.toml"))
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout).unwrap();
    metadata["packages"].as_array().unwrap().clone()
}

pub(crate) fn is_ours(package: &Value) -> bool {
    package["source"].is_null()
}

fn name(package: &Value) -> String {
    format!("{} {}", package["name"], package["version"]).replace('"', "")
}

/// Whether an SPDX expression can be met with these licences alone. `/` is how `OR` was written once.
fn is_met(expression: &str, allowed: &BTreeSet<&str>) -> bool {
    let mut expression = expression.replace('/', " OR ");
    // What stands in parentheses, innermost first, becomes its verdict.
    while let Some(close) = expression.find(')') {
        let open = expression[..close].rfind('(').unwrap();
        let verdict = is_met(&expression[open + 1..close], allowed).to_string();
        expression.replace_range(open..=close, &verdict);
    }
    let is_allowed = |licence: &str| licence == "true" || allowed.contains(licence);
    expression.split(" OR ").any(|choice| choice.split(" AND ").all(|licence| is_allowed(licence.trim())))
}

#[test]
fn every_licence_is_allowed() {
    let rules = rules();
    let allowed = rules["licenses"]["allow"].as_array().unwrap();
    let allowed: BTreeSet<&str> = allowed.iter().filter_map(toml::Value::as_str).collect();
    let packages = packages();
    let others: Vec<&Value> = packages.iter().filter(|package| !is_ours(package)).collect();
    assert!(others.len() > 100, "{} packages", others.len());
    let refused =
        others.iter().filter(|package| !package["license"].as_str().is_some_and(|of| is_met(of, &allowed)));
    let refused: Vec<String> =
        refused.map(|package| format!("{}: {}", name(package), package["license"])).collect();
    assert!(refused.is_empty(), "{refused:#?}");
}

#[test]
fn every_package_is_of_the_workspace_or_of_one_registry() {
    let packages = packages();
    let sources: BTreeSet<&str> = packages.iter().filter_map(|package| package["source"].as_str()).collect();
    assert_eq!(sources.len(), 1, "{sources:?}");
    assert!(sources.iter().all(|source| source.starts_with("registry+")), "{sources:?}");
    let workspace = concat!(env!("CARGO_MANIFEST_DIR"), "/..");
    let workspace = std::fs::canonicalize(workspace).unwrap();
    for ours in packages.iter().filter(|package| is_ours(package)) {
        let manifest = ours["manifest_path"].as_str().unwrap();
        assert!(manifest.starts_with(workspace.to_str().unwrap()), "{manifest}");
    }
}

#[test]
fn no_dependency_takes_any_version() {
    for package in packages().iter().filter(|package| is_ours(package)) {
        for dependency in package["dependencies"].as_array().unwrap() {
            let is_open = dependency["req"] == "*" && dependency["path"].is_null();
            assert!(!is_open, "{} takes any {}", name(package), dependency["name"]);
        }
    }
}

#[test]
fn an_expression_is_met_by_one_choice_and_all_that_it_joins() {
    let allowed = BTreeSet::from(["MIT", "ISC", "Apache-2.0 WITH LLVM-exception"]);
    for met in [
        "MIT",
        "GPL-3.0/MIT",
        "GPL-3.0 OR MIT",
        "Apache-2.0 WITH LLVM-exception",
        "ISC AND (GPL-3.0 OR (MIT AND ISC))",
        "GPL-3.0 AND MIT OR ISC",
    ] {
        assert!(is_met(met, &allowed), "{met}");
    }
    for refused in [
        "GPL-3.0",
        "MIT AND GPL-3.0",
        "Apache-2.0",
        "(MIT OR ISC) AND GPL-3.0",
        "MIT AND (GPL-3.0 OR BSL-1.0)",
    ] {
        assert!(!is_met(refused, &allowed), "{refused}");
    }
}
