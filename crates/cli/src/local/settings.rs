//! The settings of a local fleet: what the operator gave, and the servers that the stack started for what was not given.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use anyhow::{Context, Result};
use aqueduct_service::settings::Layers;
use toml::{Table, Value};

use super::servers::{Endpoint, Server};

/// The setting that says where a server is; given, the stack does not start one.
pub const fn key(server: Server) -> &'static str {
    match server {
        Server::Kafka => "kafka.brokers",
        Server::DynamoDb => "dynamodb.endpoint",
        Server::Postgres => "postgres.url",
        Server::OpenSearch => "opensearch.url",
    }
}

/// The servers that the stack has to start.
pub fn wanted(given: &Layers) -> Vec<Server> {
    Server::ALL.into_iter().filter(|server| !given.is_given(key(*server))).collect()
}

/// Writes the fleet's settings file: the operator's file, with what the stack adds. The environment comes over it, in
/// the fleet as everywhere.
pub fn write(
    to: &Path,
    operators: Option<&Path>,
    given: &Layers,
    model: &Path,
    started: &[Endpoint],
) -> Result<()> {
    let mut settings: Table = match operators {
        Some(file) => fs::read_to_string(file)?.parse().context("the settings file is not TOML")?,
        None => Table::new(),
    };
    set(&mut settings, "model.dir", model.display().to_string());
    for Endpoint { server, address } in started {
        set(&mut settings, key(*server), address.clone());
        if *server == Server::OpenSearch && !given.is_given("opensearch.replicas") {
            // One node: a replica would have nowhere to be, and the cluster would never be green.
            set(&mut settings, "opensearch.replicas", 0);
        }
    }
    let text = format!(
        "# Written by `aqueduct local up`; for other commands: --config {}\n{settings}",
        to.display()
    );
    fs::write(to, text)?;
    // What the operator gave may hold a password.
    Ok(fs::set_permissions(to, fs::Permissions::from_mode(0o600))?)
}

fn set(settings: &mut Table, key: &str, value: impl Into<Value>) {
    let Some((section, key)) = key.split_once('.') else { return };
    let section = settings.entry(section).or_insert_with(|| Value::Table(Table::new()));
    if let Value::Table(section) = section {
        section.insert(key.to_owned(), value.into());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_that_is_given_is_not_started_and_stays_as_given() {
        let folder = tempfile::tempdir().unwrap();
        let (mine, file) = (folder.path().join("mine.toml"), folder.path().join("settings.toml"));
        fs::write(&mine, "prefix = \"trial\"\n[kafka]\nbrokers = \"broker:9092\"\n").unwrap();
        let environment = [("AQUEDUCT__POSTGRES__URL".to_owned(), "postgres://me@db/reads".to_owned())];
        let given = Layers::of(Some(&mine), environment).unwrap();
        let wanted = wanted(&given);
        assert_eq!(wanted, [Server::OpenSearch, Server::DynamoDb]);

        let endpoint = |server: Server| Endpoint { server, address: format!("http://127.0.0.1/{server}") };
        let started: Vec<Endpoint> = wanted.into_iter().map(endpoint).collect();
        write(&file, Some(&mine), &given, Path::new("/models/mine"), &started).unwrap();
        let settings = Layers::of(Some(&file), []).unwrap().settings().unwrap();
        assert_eq!(settings.prefix, "trial");
        assert_eq!(settings.kafka.brokers, "broker:9092");
        assert_eq!(settings.opensearch.url, "http://127.0.0.1/opensearch");
        assert_eq!(settings.opensearch.replicas, 0);
        assert_eq!(settings.model.dir, Path::new("/models/mine"));
    }
}
