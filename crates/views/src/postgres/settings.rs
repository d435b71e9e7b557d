//! How to reach Postgres.

use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use opensearch::http::Url;
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
    /// What is wrong with `url`, if anything. The message does not repeat it: it may hold a password.
    pub fn check_url(&self) -> Result<(), String> {
        if !["postgres://", "postgresql://"].iter().any(|scheme| self.url.starts_with(scheme)) {
            return Err("must begin with postgres://".to_owned());
        }
        PgConnectOptions::from_str(&self.url).map(drop).map_err(|error| match error {
            sqlx::Error::Configuration(why) => {
                format!("must be postgres://user:password@host:port/database: {why}")
            }
            other => other.to_string(),
        })
    }

    /// `host:port` of the server.
    pub fn address(&self) -> Result<String, sqlx::Error> {
        let options = PgConnectOptions::from_str(&self.url)?;
        Ok(format!("{}:{}", options.get_host(), options.get_port()))
    }

    /// The file of certificates to trust that the URL names.
    #[must_use]
    pub fn root_certificates(&self) -> Option<PathBuf> {
        let url = Url::parse(&self.url).ok()?;
        let (_, file) =
            url.query_pairs().find(|(name, _)| name == "sslrootcert" || name == "ssl-root-cert")?;
        Some(PathBuf::from(file.as_ref()))
    }

    /// A pool that connects when it is first used: a server that is down is met there, and not at start. Fails on a
    /// URL that [`check_url`](Settings::check_url) refuses.
    pub fn connect_lazy(&self) -> Result<PgPool, sqlx::Error> {
        self.connect(self.statement_timeout, &[])
    }

    /// The same for readers: no statement can write, none takes longer than `timeout`, and times are in UTC.
    pub(super) fn connect_lazy_read_only(&self, timeout: Duration) -> Result<PgPool, sqlx::Error> {
        self.connect(timeout, &[("default_transaction_read_only", "on"), ("timezone", "UTC")])
    }

    fn connect(&self, timeout: Duration, options: &[(&str, &str)]) -> Result<PgPool, sqlx::Error> {
        let options = PgConnectOptions::from_str(&self.url)?
            .application_name("aqueduct")
            .options([("statement_timeout", timeout.as_millis().to_string())])
            .options(options.iter().copied());
        let pool = PgPoolOptions::new()
            .max_connections(self.max_connections)
            .acquire_timeout(self.connect_timeout)
            .connect_lazy_with(options);
        Ok(pool)
    }
}
