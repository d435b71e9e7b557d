//! Connections that break, hang, dawdle and narrow, between the fleet and each of its servers.

use std::time::Duration;

use anyhow::Result;
use aqueduct_tests::{Fleet, Network, Private, Server, Weather, servers, under_traffic};

#[tokio::test(flavor = "multi_thread")]
async fn connections_to_the_stores_and_the_broker_that_are_reset_hang_or_crawl_lose_nothing() -> Result<()> {
    let own = Private::start(&[Server::Kafka]).await?;
    let broker = own.broker_behind_proxy().await?;
    let servers = servers().await.but(&own);
    let network = Network::of(broker, &servers.postgres, &servers.opensearch, &servers.dynamodb).await?;
    let plan = Fleet::on(&servers).await.short_sessions().through(&network);
    let plan = plan.variable("command-api", "AQUEDUCT__DYNAMODB__ENDPOINT", network.dynamodb_url());
    let fleet = plan.start().await?;
    under_traffic(&fleet, 60, 51, async |traffic| {
        for (weather, seconds) in [
            (Weather::Reset, 5),
            // Longer than a session, and than a publication waits for its acknowledgement.
            (Weather::HalfOpen, 12),
            (Weather::Late(Duration::from_millis(200)), 5),
            (Weather::Narrow(20_000), 5),
        ] {
            network.spell(weather, Duration::from_secs(seconds)).await;
            traffic.flows(30).await;
            fleet.commits_follow_effects().await?;
        }
        for worker in fleet.workers() {
            fleet.caught_up(&worker).await;
        }
        Ok(())
    })
    .await?;
    fleet.nothing_was_set_aside().await
}
