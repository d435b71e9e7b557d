//! Servers that are away for a while.

use std::time::Duration;

use anyhow::Result;
use aqueduct_tests::{Fleet, PATIENCE, Private, Server, eventually, under_traffic};

/// Stops a server for 20 s under traffic: its worker's lag rises and returns to 0, nothing is dead-lettered, and no
/// other worker notices.
async fn outage(server: Server, worker: &str, bystander: &str, seed: u64) -> Result<()> {
    let servers = Private::start(&Server::ALL).await?;
    let fleet = Fleet::on(&servers.servers).await.start().await?;
    under_traffic(&fleet, 60, seed, async |traffic| {
        traffic.flows(50).await;
        servers.stop(server).await?;
        tokio::time::sleep(Duration::from_secs(20)).await;
        eventually("lag rises", PATIENCE, || async {
            let lag = fleet.metrics(worker).await?.get("aqueduct_consumer_lag_records");
            (lag > 50.0).then_some(())
        })
        .await;
        eventually("the others keep up", PATIENCE, || async {
            let lag = fleet.largest(bystander, "aqueduct_consumer_lag_seconds").await?;
            (lag < 5.0).then_some(())
        })
        .await;
        servers.start_again(server).await
    })
    .await?;
    eventually("lag returns to 0", PATIENCE, || async {
        let lag = fleet.metrics(worker).await?.get("aqueduct_consumer_lag_records");
        (lag == 0.0).then_some(())
    })
    .await;
    fleet.nothing_was_set_aside().await
}

#[tokio::test(flavor = "multi_thread")]
async fn postgres_down_for_20_s_dead_letters_nothing_and_disturbs_no_other() -> Result<()> {
    outage(Server::Postgres, "sync-rds-1", "sync-search-1", 21).await
}

#[tokio::test(flavor = "multi_thread")]
async fn opensearch_down_for_20_s_dead_letters_nothing_and_disturbs_no_other() -> Result<()> {
    outage(Server::OpenSearch, "sync-search-1", "sync-rds-1", 22).await
}
