//! The stack for Docker, without Docker: `deploy/compose.yaml` and the Dockerfile fit the programs, their settings and the
//! toolchain. That its servers are those of the local stack is tested beside the lock file of that.

use std::collections::BTreeSet;

use aqueduct_service::settings::Layers;
use serde_json::{Map, Value};

use crate::licences::{is_ours, packages};

const DOCKERFILE: &str = include_str!("../../deploy/docker/Dockerfile");

fn services() -> Map<String, Value> {
    let compose: Value = serde_saphyr::from_str(include_str!("../../deploy/compose.yaml")).unwrap();
    compose["services"].as_object().unwrap().clone()
}

/// The services that run a program of the fleet.
fn fleet() -> Vec<(String, Value)> {
    services().into_iter().filter(|(_, service)| service["image"] == "aqueduct:local").collect()
}

fn strings(list: &Value) -> Vec<&str> {
    list.as_array().into_iter().flatten().filter_map(Value::as_str).collect()
}

#[test]
fn only_this_machine_reaches_a_service() {
    let services = services();
    let ports: Vec<&str> = services.values().flat_map(|service| strings(&service["ports"])).collect();
    assert!(ports.len() >= 5, "{ports:?}");
    assert!(ports.iter().all(|port| port.starts_with("127.0.0.1:")), "{ports:?}");
}

#[test]
fn services_wait_for_services_that_are_there() {
    let services = services();
    for (name, service) in &services {
        for (awaited, how) in service["depends_on"].as_object().into_iter().flatten() {
            let condition = &how["condition"];
            let awaited = services.get(awaited).unwrap_or_else(|| panic!("{name} waits for {awaited}"));
            assert!(condition != "service_healthy" || awaited["healthcheck"].is_object(), "{name}");
        }
    }
    assert!(fleet().iter().all(|(_, service)| service["depends_on"].is_object()));
}

#[test]
fn the_fleets_settings_are_settings_and_lead_to_services() {
    let services = services();
    let fleet = fleet();
    assert_eq!(fleet.len(), 5, "the set-up, the API and three workers");
    for (name, service) in fleet {
        let environment = service["environment"].as_object().unwrap().clone();
        let given = environment.into_iter().map(|(key, value)| (key, value.as_str().unwrap().to_owned()));
        let settings = Layers::of(None, given).and_then(|given| given.settings());
        let settings = settings.unwrap_or_else(|problems| panic!("{name}: {problems}"));
        let urls = [&settings.dynamodb.endpoint, &settings.postgres.url, &settings.opensearch.url];
        let hosts = urls.map(|url| reqwest::Url::parse(url).unwrap().host_str().unwrap().to_owned());
        let broker = settings.kafka.brokers.split(':').next().unwrap().to_owned();
        assert!(hosts.iter().chain([&broker]).all(|host| services.contains_key(host)), "{hosts:?} {broker}");
    }
}

#[test]
fn the_image_has_every_program_and_services_run_those() {
    let (_, copied) = DOCKERFILE.split_once("&& cp ").unwrap();
    let (copied, _) = copied.split_once("/programs/").unwrap();
    let copied: BTreeSet<&str> =
        copied.split_whitespace().filter_map(|word| word.strip_prefix("target/release/")).collect();
    // The tests package turns failpoints on, and has programs that users do not run.
    assert!(DOCKERFILE.contains("--workspace --exclude aqueduct-tests --bins"));
    let packages = packages();
    let is_shipped = |package: &&Value| is_ours(package) && package["name"] != "aqueduct-tests";
    let targets = packages.iter().filter(is_shipped).flat_map(|package| package["targets"].as_array());
    let programs = targets.flatten().filter(|target| target["kind"][0] == "bin");
    let programs: BTreeSet<&str> = programs.filter_map(|target| target["name"].as_str()).collect();
    assert_eq!(copied, programs);
    for (name, service) in fleet() {
        let command = strings(&service["command"]);
        assert!(programs.contains(command[0]), "{name} runs {command:?}");
    }
}

#[test]
fn the_image_is_built_with_the_projects_toolchain() {
    let toolchain: toml::Table = include_str!("../../rust-toolchain.toml").parse().unwrap();
    let channel = toolchain["toolchain"]["channel"].as_str().unwrap();
    // Not `-slim`, which has no C compiler, make or perl.
    assert!(DOCKERFILE.contains(&format!("FROM rust:{channel}-bookworm AS build\n")), "{channel}");
}
