//! How to reach Postgres.

use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use sqlx::PgPool;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};

/// The section `[postgres]`.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// `postgres://user:password@host:port/database`. A secret.
    pub url: String,
    /// Connections of one pool at most; a worker has a pool for each view.
    pub max_connections: u32,
    /// How long a statement waits for a connection.
    #[serde(with = "humantime_serde")]
    pub connect_timeout: Duration,
    /// How long the server works on one statement before it gives up.
    #[serde(with = "humantime_serde")]
    pub statement_timeout: Duration,
}

impl Settings {
    /// A pool that connects when it is first used: a server that is down is met there, and not at start. Fails on a
    /// URL that names no database.
    pub fn connect_lazy(&self) -> Result<PgPool, sqlx::Error> {
        let options = PgConnectOptions::from_str(&self.url)?
            .application_name("aqueduct")
            .options([("statement_timeout", self.statement_timeout.as_millis().to_string())]);
        let pool = PgPoolOptions::new()
            .max_connections(self.max_connections)
            .acquire_timeout(self.connect_timeout)
            .connect_lazy_with(options);
        Ok(pool)
    }
}
