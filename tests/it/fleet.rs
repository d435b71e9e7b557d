//! The whole fleet: what is written over HTTP stands in every store, with nothing in between stubbed.

use anyhow::{Context, Result};
use aqueduct_cli::drive::{Driven, Driver};
use aqueduct_tests::{Fleet, PATIENCE, eventually, servers};
use indicatif::ProgressBar;
use tokio_util::sync::CancellationToken;

/// Sends commands as a tenant of its own and returns what the stores must hold.
pub(crate) async fn drive(fleet: &Fleet, commands: u64, seed: u64) -> Result<Driven> {
    let stores = fleet.stores("driven").await?;
    let driver = Driver::new(&fleet.api(), stores, seed)?;
    driver.drive(commands, None, &CancellationToken::new(), &ProgressBar::hidden()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn every_store_holds_what_the_api_answered_and_verify_agrees() -> Result<()> {
    let fleet = Fleet::on(servers().await).await.start().await?;
    let driven = drive(&fleet, 800, 1).await?;
    assert!(driven.mix.conflicts * 10 >= driven.mix.commands(), "{}", driven.mix);
    driven.settle(PATIENCE).await?;
    fleet.agrees(PATIENCE).await
}

/// The names that dashboards rely on, and that each of them moves when something happens.
#[tokio::test(flavor = "multi_thread")]
async fn every_promised_metric_exists_and_moves() -> Result<()> {
    let fleet = Fleet::on(servers().await).await.set("verify.interval", "500ms").start().await?;
    drive(&fleet, 200, 2).await?.settle(PATIENCE).await?;
    for worker in ["projector-1", "sync-rds-1", "sync-search-1"] {
        let text = fleet.metrics_text(worker).await?;
        let lag =
            text.lines().find(|line| line.starts_with("aqueduct_consumer_lag_records{")).context("no lag")?;
        assert!(["group=", "topic=", "partition="].iter().all(|label| lag.contains(label)), "{lag}");
        assert!(text.contains("\naqueduct_consumer_lag_seconds{"), "{worker}: {text}");
        assert!(
            text.contains("\naqueduct_events_total{") && text.contains("outcome=\"applied\""),
            "{worker}: {text}"
        );

        let sums = fleet.metrics(worker).await.context("no metrics")?;
        assert!(sums.get("aqueduct_freshness_seconds_count") > 0.0, "{worker}");
        assert!(sums.get("aqueduct_events_total") > 0.0, "{worker}");
        eventually("samples are compared", PATIENCE, || async {
            let compared = fleet.metrics(worker).await?.get("aqueduct_verify_items_total");
            (compared > 0.0).then_some(())
        })
        .await;
        assert_eq!(fleet.largest(worker, "aqueduct_drift_items").await, Some(0.0), "{worker}");
        eventually("lag is back to 0", PATIENCE, || async {
            let sums = fleet.metrics(worker).await?;
            (sums.get("aqueduct_consumer_lag_records") == 0.0
                && sums.get("aqueduct_consumer_lag_seconds") == 0.0)
                .then_some(())
        })
        .await;
    }
    Ok(())
}
