//! PostgreSQL, unpacked from its archive, with a cluster of its own made by initdb.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::time::Duration;

use anyhow::{Context, Result};
use rustix::process::Signal;
use sqlx::{AssertSqlSafe, Connection, PgConnection};

use super::{Launch, Workplace};
use crate::local::ports;
use crate::local::process::Spec;

const SETTINGS: &str = include_str!("../../../../../deploy/local/postgres/postgresql.conf");

pub(super) async fn prepare(workplace: &Workplace) -> Result<Launch> {
    let port = ports::free()?;
    let installed = workplace.artefacts.postgres().await?;
    let data = workplace.own_folder("data")?;
    let program = |name: &str, arguments: &[&str]| Spec {
        name: name.to_owned(),
        program: installed.join("bin").join(name),
        arguments: arguments.iter().map(Into::into).collect(),
        environment: vec![("LC_ALL".to_owned(), "C.UTF-8".into())],
        folder: data.clone(),
        log: workplace.log.clone(),
        user: workplace.user,
    };
    let path = data.display().to_string();
    if !data.join("PG_VERSION").exists() {
        let arguments = [
            "--pgdata",
            &path,
            "--username=aqueduct",
            "--auth=trust",
            "--encoding=UTF8",
            "--locale=C.UTF-8",
            "--no-sync",
        ];
        workplace.nursery.run(&program("initdb", &arguments), super::START_PATIENCE).await?;
        let settings = data.join("postgresql.conf");
        OpenOptions::new().append(true).open(settings)?.write_all(SETTINGS.as_bytes())?;
    } else {
        // Left by a server that was killed; the supervisor that kept this folder to itself knows that none runs.
        let _ = fs::remove_file(data.join("postmaster.pid"));
    }
    let spec = program("postgres", &["-D", &path, "-p", &port.to_string()]);
    // SIGINT: open connections are closed and the data is written; SIGTERM would wait for every client to leave.
    Ok(Launch { spec, address: format!("postgres://aqueduct@127.0.0.1:{port}/postgres"), stop: Signal::INT })
}

/// Makes the database `name`, a plain lower-case word, unless it is there, on the server of `url`, and returns its URL.
pub async fn create_database(url: &str, name: &str) -> Result<String> {
    let (server, _) = url.rsplit_once('/').context("the URL of Postgres names no database")?;
    let mut connection = PgConnection::connect(url).await?;
    let found =
        sqlx::query("SELECT FROM pg_database WHERE datname = $1").bind(name).fetch_optional(&mut connection);
    if found.await?.is_none() {
        sqlx::query(AssertSqlSafe(format!("CREATE DATABASE {name}"))).execute(&mut connection).await?;
    }
    connection.close().await?;
    Ok(format!("{server}/{name}"))
}

/// It answers a query.
pub(super) async fn answers(url: &str) -> bool {
    let query = async {
        let mut connection = PgConnection::connect(url).await?;
        sqlx::query("SELECT 1").execute(&mut connection).await?;
        connection.close().await
    };
    matches!(tokio::time::timeout(Duration::from_secs(2), query).await, Ok(Ok(())))
}
