//! Connections that break, hang, dawdle and narrow, between the fleet and each of its stores.

use std::time::Duration;

use anyhow::{Context, Result};
use aqueduct_tests::{Fleet, Proxy, Weather, servers, under_traffic};

#[tokio::test(flavor = "multi_thread")]
async fn connections_to_the_stores_that_are_reset_hang_or_crawl_lose_nothing() -> Result<()> {
    let servers = servers().await;
    let host = |url: &str| {
        let host = url.rsplit_once('@').map_or(url, |(_, host)| host);
        host.trim_start_matches("http://")
            .trim_start_matches("postgres://")
            .split('/')
            .next()
            .map(str::to_owned)
    };
    let plan = Fleet::on(servers).await;
    let dynamodb = Proxy::of(&host(&servers.dynamodb).context("no host")?).await?;
    let postgres = Proxy::of(&host(&servers.postgres).context("no host")?).await?;
    let opensearch = Proxy::of(&host(&servers.opensearch).context("no host")?).await?;
    let database =
        plan.database().replace(&host(&servers.postgres).context("no host")?, &postgres.address.to_string());
    let dynamodb_url = format!("http://{}", dynamodb.address);
    let plan = plan
        .variable("sync-rds-1", "AQUEDUCT__POSTGRES__URL", database)
        .variable("sync-search-1", "AQUEDUCT__OPENSEARCH__URL", format!("http://{}", opensearch.address))
        .variable("projector-1", "AQUEDUCT__DYNAMODB__ENDPOINT", &dynamodb_url)
        .variable("command-api", "AQUEDUCT__DYNAMODB__ENDPOINT", &dynamodb_url);
    let fleet = plan.start().await?;
    under_traffic(&fleet, 60, 51, async |traffic| {
        for weather in [
            Weather::Reset,
            Weather::HalfOpen,
            Weather::Late(Duration::from_millis(200)),
            Weather::Narrow(20_000),
        ] {
            for proxy in [&postgres, &opensearch, &dynamodb] {
                proxy.set(weather);
            }
            // For so long it lasts.
            tokio::time::sleep(Duration::from_secs(5)).await;
            for proxy in [&postgres, &opensearch, &dynamodb] {
                proxy.set(Weather::Fair);
            }
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
