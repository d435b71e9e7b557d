//! The whole fleet: what is written over HTTP stands in every store, with nothing in between stubbed.

use std::time::Duration;

use anyhow::Result;
use aqueduct_cli::drive::{Driven, Driver};
use aqueduct_tests::{Fleet, eventually};
use indicatif::ProgressBar;
use tokio_util::sync::CancellationToken;

/// Generous: a machine under test runs much else.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);

/// Sends commands as a tenant of its own and returns what the stores must hold.
pub(crate) async fn drive(fleet: &Fleet, commands: u64, seed: u64) -> Result<Driven> {
    let stores = fleet.stores("driven").await?;
    let driver = Driver::new(&fleet.api, stores, seed)?;
    driver.drive(commands, None, &CancellationToken::new(), &ProgressBar::hidden()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn every_store_holds_what_the_api_answered_and_verify_agrees() -> Result<()> {
    let fleet = Fleet::start().await?;
    let driven = drive(&fleet, 800, 1).await?;
    assert!(driven.mix.conflicts * 10 >= driven.mix.commands(), "{}", driven.mix);
    driven.settle(PATIENCE).await?;
    fleet.agrees(PATIENCE).await
}

/// The names that DESIGN promises to dashboards, and that each of them moves when something happens.
#[tokio::test(flavor = "multi_thread")]
async fn every_promised_metric_exists_and_moves() -> Result<()> {
    const WORKERS: [&str; 3] = ["projector", "sync-rds", "sync-search"];
    let fleet = Fleet::start().await?;
    let mut before = Vec::new();
    for worker in WORKERS {
        before.push(fleet.metric(worker, "aqueduct_freshness_seconds_count").await?);
    }
    drive(&fleet, 200, 2).await?.settle(PATIENCE).await?;
    for (worker, before) in WORKERS.into_iter().zip(before) {
        let text = fleet.metrics(worker).await?;
        for name in ["aqueduct_consumer_lag_records", "aqueduct_consumer_lag_seconds", "aqueduct_events_total"] {
            assert!(text.contains(&format!("\n{name}{{")), "{worker} has no {name}");
        }
        assert!(fleet.metric(worker, "aqueduct_freshness_seconds_count").await? > before, "{worker}");
        assert!(fleet.metric(worker, "aqueduct_events_total").await? > 0.0, "{worker}");
        eventually("lag is back to 0", PATIENCE, || async {
            let lag = fleet.metric(worker, "aqueduct_consumer_lag_records").await.ok()?;
            (lag == 0.0).then_some(())
        })
        .await;
        assert!(fleet.metric(worker, "aqueduct_consumer_lag_seconds").await? < 1.0, "{worker}");
    }
    Ok(())
}
