//! Connections that break, hang, dawdle and narrow, between the fleet and each of its stores.

use std::time::Duration;

use anyhow::Result;
use aqueduct_tests::{Fleet, Network, Weather, servers, under_traffic};

#[tokio::test(flavor = "multi_thread")]
async fn connections_to_the_stores_that_are_reset_hang_or_crawl_lose_nothing() -> Result<()> {
    let servers = servers().await;
    let network = Network::of(&servers.postgres, &servers.opensearch, &servers.dynamodb).await?;
    let plan = Fleet::on(servers).await.through(&network);
    let plan = plan.variable("command-api", "AQUEDUCT__DYNAMODB__ENDPOINT", network.dynamodb_url());
    let fleet = plan.start().await?;
    under_traffic(&fleet, 60, 51, async |traffic| {
        for weather in [
            Weather::Reset,
            Weather::HalfOpen,
            Weather::Late(Duration::from_millis(200)),
            Weather::Narrow(20_000),
        ] {
            network.spell(weather, Duration::from_secs(5)).await;
            traffic.flows(30).await;
            fleet.commits_follow_effects().await?;
        }
        for worker in ["projector-1", "sync-rds-1", "sync-search-1"] {
            fleet.caught_up(worker).await;
        }
        Ok(())
    })
    .await?;
    fleet.nothing_was_set_aside().await
}
