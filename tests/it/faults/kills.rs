//! `kill -9` at any moment.

use anyhow::Result;
use aqueduct_tests::{Fleet, servers, under_traffic};

/// Kills one process of the fleet three times under traffic; nothing accepted may be lost, whatever it was.
async fn killed_under_traffic(name: &str, seed: u64) -> Result<()> {
    let fleet = Fleet::on(servers().await).await.short_sessions().start().await?;
    under_traffic(&fleet, 150, seed, async |traffic| {
        for times in 1..=3 {
            traffic.flows(150).await;
            fleet.kill(name);
            fleet.restarted(name, times).await;
        }
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_command_api_loses_no_accepted_write() -> Result<()> {
    killed_under_traffic("command-api", 11).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_projector_is_started_again_and_catches_up() -> Result<()> {
    killed_under_traffic("projector-1", 12).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_sync_rds_is_started_again_and_catches_up() -> Result<()> {
    killed_under_traffic("sync-rds-1", 13).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_sync_search_is_started_again_and_catches_up() -> Result<()> {
    killed_under_traffic("sync-search-1", 14).await
}
