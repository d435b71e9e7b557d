//! What a test asks of a fleet's stores.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use aqueduct_cli::drive::Stores;
use aqueduct_verify::{Report, Scope, verify};
use indicatif::ProgressBar;
use serde_json::Value;
use sqlx::{AssertSqlSafe, PgPool};
use tokio::process::Command;

use super::{Fleet, SetUp, binaries};

/// What a run of the command `aqueduct` printed and how it ended.
pub struct Ended {
    /// The exit code.
    pub code: Option<i32>,
    /// Its standard output.
    pub out: String,
    /// Its standard error.
    pub err: String,
}

async fn aqueduct(settings_file: &Path, arguments: &[&str]) -> Result<Ended> {
    let mut command = Command::new(binaries().await?.join("aqueduct"));
    let output = command.args(arguments).arg("--config").arg(settings_file).output().await?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Ok(Ended { code: output.status.code(), out: text(&output.stdout), err: text(&output.stderr) })
}

impl SetUp {
    /// Runs the command `aqueduct` with the settings of a fleet that does not run yet.
    ///
    /// # Errors
    ///
    /// When it cannot be started.
    pub async fn aqueduct(&self, arguments: &[&str]) -> Result<Ended> {
        aqueduct(&self.settings_file, arguments).await
    }
}

impl Fleet {
    /// What `aqueduct verify` finds, when what differs gets `settle` to arrive.
    ///
    /// # Errors
    ///
    /// When a store does not answer.
    pub async fn verify(&self, settle: Duration) -> Result<Report> {
        Ok(verify(&self.settings, &Scope::default(), settle, &ProgressBar::hidden()).await?)
    }

    /// Fails unless `aqueduct verify` finds that all stores agree.
    ///
    /// # Errors
    ///
    /// When they do not; the message lists what differs.
    pub async fn agrees(&self, settle: Duration) -> Result<()> {
        let report = self.verify(settle).await?;
        ensure!(report.differences.is_empty(), "{report}\n{}", self.logs());
        Ok(())
    }

    /// What a process says on `/metrics`.
    ///
    /// # Errors
    ///
    /// When it does not answer.
    pub async fn metrics_text(&self, name: &str) -> Result<String> {
        Ok(reqwest::get(format!("http://{}/metrics", self.member(name).admin)).await?.text().await?)
    }

    /// The largest sample of a process's metric over its labels; none while it does not answer.
    pub async fn largest(&self, name: &str, metric: &str) -> Option<f64> {
        let text = self.metrics_text(name).await.ok()?;
        let samples =
            text.lines().filter(|line| line.strip_prefix(metric).is_some_and(|rest| rest.starts_with('{')));
        samples.filter_map(|line| line.rsplit_once(' ')?.1.parse().ok()).reduce(f64::max)
    }

    /// Runs the command `aqueduct` with this fleet's settings.
    ///
    /// # Errors
    ///
    /// When it cannot be started.
    pub async fn aqueduct(&self, arguments: &[&str]) -> Result<Ended> {
        aqueduct(&self.settings_file, arguments).await
    }

    /// The stores as `tenant` of this fleet sees them.
    ///
    /// # Errors
    ///
    /// When the settings do not lead to a client.
    pub async fn stores(&self, tenant: &str) -> Result<Stores> {
        Stores::of(&self.settings, tenant).await
    }

    /// Rows that a tenant sees in a public SQL view.
    ///
    /// # Errors
    ///
    /// When Postgres refuses.
    pub async fn rows(&self, tenant: &str, view: &str) -> Result<i64> {
        let pool: PgPool = self.settings.postgres.connect_lazy()?;
        let count = AssertSqlSafe(format!("SELECT count(*) FROM {view} WHERE tenant = $1"));
        Ok(sqlx::query_scalar(count).bind(tenant).fetch_one(&pool).await?)
    }

    /// Documents that a tenant sees through a public alias.
    ///
    /// # Errors
    ///
    /// When OpenSearch refuses.
    pub async fn documents(&self, tenant: &str, view: &str) -> Result<i64> {
        let alias =
            format!("{}/{}{view}", self.settings.opensearch.url, self.settings.opensearch.index_prefix);
        reqwest::Client::new().post(format!("{alias}/_refresh")).send().await?.error_for_status()?;
        let counted = reqwest::get(format!("{alias}/_count?q=tenant:{tenant}")).await?.error_for_status()?;
        let counted: Value = counted.json().await?;
        counted["count"].as_i64().context("an answer without a count")
    }
}
