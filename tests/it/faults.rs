//! What must hold when processes are killed and servers are down.

use std::time::Duration;

use anyhow::Result;
use aqueduct_cli::drive::Driver;
use aqueduct_tests::{Fleet, Private, Server, eventually, servers};
use indicatif::ProgressBar;
use tokio_util::sync::CancellationToken;

use crate::fleet::PATIENCE;

/// Kills one process of the fleet three times under traffic; nothing accepted may be lost, whatever it was.
async fn killed_under_traffic(name: &str, seed: u64) -> Result<()> {
    let fleet = Fleet::on(servers().await).await.start().await?;
    let stop = CancellationToken::new();
    let driver = Driver::new(&fleet.api(), fleet.stores("driven").await?, seed)?;
    let bar = ProgressBar::hidden();
    let traffic = driver.drive(u64::MAX, Some(150), &stop, &bar);
    let kills = async {
        for _ in 0..3 {
            let target = bar.position() + 150;
            eventually("traffic goes on", PATIENCE, || async { (bar.position() >= target).then_some(()) })
                .await;
            let before = fleet.member(name).restarts;
            fleet.kill(name);
            eventually("the supervisor starts it again", PATIENCE, || async {
                let member = fleet.member(name);
                (member.restarts > before && member.pid.is_some()).then_some(())
            })
            .await;
        }
        stop.cancel();
        anyhow::Ok(())
    };
    let (driven, killed) = tokio::join!(traffic, kills);
    killed?;
    let driven = driven?;
    driven.settle(PATIENCE).await?;
    fleet.agrees(PATIENCE).await
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

/// Stops a server for 20 s under traffic: its worker's lag rises and returns to 0, nothing is dead-lettered, and no
/// other worker notices.
async fn outage(server: Server, worker: &str, bystander: &str, seed: u64) -> Result<()> {
    let servers = Private::start(&Server::ALL).await?;
    let fleet = Fleet::on(&servers.servers).await.start().await?;
    let stop = CancellationToken::new();
    let driver = Driver::new(&fleet.api(), fleet.stores("driven").await?, seed)?;
    let bar = ProgressBar::hidden();
    let traffic = driver.drive(u64::MAX, Some(60), &stop, &bar);
    let fault = async {
        eventually("traffic flows", PATIENCE, || async { (bar.position() >= 100).then_some(()) }).await;
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
        servers.start_again(server).await?;
        stop.cancel();
        anyhow::Ok(())
    };
    let (driven, fault) = tokio::join!(traffic, fault);
    fault?;
    driven?.settle(PATIENCE).await?;
    eventually("lag returns to 0", PATIENCE, || async {
        let lag = fleet.metrics(worker).await?.get("aqueduct_consumer_lag_records");
        (lag == 0.0).then_some(())
    })
    .await;
    for worker in ["projector-1", "sync-rds-1", "sync-search-1"] {
        let url = format!("http://{}/metrics", fleet.member(worker).admin);
        let text = reqwest::get(url).await?.text().await?;
        let set_aside =
            text.lines().filter(|line| line.contains("outcome=\"dead_lettered\"") && !line.ends_with(" 0"));
        assert_eq!(set_aside.collect::<Vec<_>>(), [""; 0], "{worker}");
    }
    fleet.agrees(PATIENCE).await
}

#[tokio::test(flavor = "multi_thread")]
async fn postgres_down_for_20_s_dead_letters_nothing_and_disturbs_no_other() -> Result<()> {
    outage(Server::Postgres, "sync-rds-1", "sync-search-1", 21).await
}

#[tokio::test(flavor = "multi_thread")]
async fn opensearch_down_for_20_s_dead_letters_nothing_and_disturbs_no_other() -> Result<()> {
    outage(Server::OpenSearch, "sync-search-1", "sync-rds-1", 22).await
}
