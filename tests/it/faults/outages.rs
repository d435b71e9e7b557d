//! Servers that are away for a while.

use std::time::Duration;

use anyhow::Result;
use aqueduct_tests::{Fleet, PATIENCE, Private, Server, eventually, servers, under_traffic};

/// Stops a server for 20 s under traffic: its worker's lag rises and returns to 0, nothing is dead-lettered, and no
/// other worker notices.
async fn outage(server: Server, worker: &str, bystander: &str, seed: u64) -> Result<()> {
    let own = Private::start(&[server]).await?;
    let fleet = Fleet::on(&servers().await.but(&own)).await.start().await?;
    under_traffic(&fleet, 60, seed, async |traffic| {
        traffic.flows(50).await;
        own.stop(server).await?;
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
        own.start_again(server).await
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

/// The API takes commands all the while; what it took arrives when the broker is back, and no process ends for it.
#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_crashes_under_a_whole_fleet_costs_nothing_that_was_accepted() -> Result<()> {
    let own = Private::start(&[Server::Kafka]).await?;
    let fleet = Fleet::on(&servers().await.but(&own)).await.short_sessions().start().await?;
    under_traffic(&fleet, 60, 23, async |traffic| {
        own.crash(Server::Kafka).await?;
        traffic.flows(200).await;
        own.start_again(Server::Kafka).await?;
        traffic.flows(50).await;
        Ok(())
    })
    .await?;
    for process in fleet.processes() {
        assert_eq!(fleet.member(&process).restarts, 0, "{process}");
    }
    fleet.nothing_was_set_aside().await
}
