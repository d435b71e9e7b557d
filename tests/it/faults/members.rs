//! Workers that come, go, hang and come back from the dead.

use std::time::Duration;

use anyhow::Result;
use aqueduct_tests::{Fleet, PATIENCE, eventually, servers, under_traffic};
use rustix::process::Signal;

/// Every two seconds the second process of each worker leaves, in order or dead, and comes back.
#[tokio::test(flavor = "multi_thread")]
async fn members_that_come_and_go_every_two_seconds_lose_and_reorder_nothing() -> Result<()> {
    let fleet = Fleet::on(servers().await).await.workers(2).short_sessions().start().await?;
    under_traffic(&fleet, 100, 41, async |_| {
        for round in 0..4 {
            // The interval is the fault.
            tokio::time::sleep(Duration::from_secs(2)).await;
            let signal = if round % 2 == 0 { Signal::TERM } else { Signal::KILL };
            for worker in ["projector-2", "sync-rds-2", "sync-search-2"] {
                let before = fleet.member(worker).restarts;
                if fleet.member(worker).pid.is_some() {
                    fleet.signal(worker, signal);
                    fleet.restarted(worker, before + 1).await;
                }
            }
            fleet.commits_follow_effects().await?;
        }
        Ok(())
    })
    .await?;
    fleet.nothing_was_set_aside().await
}

/// A worker hangs in the sink; its partitions are taken away, the drain's deadline passes, and then its write goes through.
#[tokio::test(flavor = "multi_thread")]
async fn a_flush_that_outlasts_the_drain_of_a_rebalance_harms_nobody() -> Result<()> {
    let plan = Fleet::on(servers().await).await.workers(2).short_sessions().set("engine.drain_timeout", "1s");
    // The answer of the thirtieth flush is 8 s in coming, to one of the two.
    let late = "slow-flush=29*off->1*sleep(8000)->off";
    let plan = ["projector-1", "sync-rds-1", "sync-search-1"]
        .into_iter()
        .fold(plan, |plan, worker| plan.variable(worker, "FAILPOINTS", late));
    let fleet = plan.start().await?;
    under_traffic(&fleet, 100, 42, async |traffic| {
        traffic.flows(300).await;
        for worker in ["projector-2", "sync-rds-2", "sync-search-2"] {
            let before = fleet.member(worker).restarts;
            // Its partitions go to the one that hangs, and come back with it: revoked during a flush.
            fleet.signal(worker, Signal::TERM);
            fleet.restarted(worker, before + 1).await;
        }
        traffic.flows(300).await;
        Ok(())
    })
    .await?;
    fleet.nothing_was_set_aside().await
}

/// Stopped for longer than its session and its poll interval, a worker is out of the group and does not know it; when it wakes,
/// what it still writes and commits must harm nobody.
#[tokio::test(flavor = "multi_thread")]
async fn zombies_that_wake_up_write_and_commit_nothing_that_harms() -> Result<()> {
    let fleet = Fleet::on(servers().await).await.workers(2).short_sessions().start().await?;
    let zombies = ["projector-1", "sync-rds-1", "sync-search-1"];
    under_traffic(&fleet, 100, 43, async |traffic| {
        zombies.iter().for_each(|zombie| fleet.signal(zombie, Signal::STOP));
        // All of their partitions are with the others, which go on.
        for heir in ["projector-2", "sync-rds-2", "sync-search-2"] {
            eventually("the others take over", PATIENCE, || async {
                let lag = fleet.largest(heir, "aqueduct_consumer_lag_seconds").await?;
                let assigned = fleet.metrics(heir).await?.get("aqueduct_assigned_partitions");
                (assigned >= 48.0 && lag < 5.0).then_some(())
            })
            .await;
        }
        traffic.flows(100).await;
        zombies.iter().for_each(|zombie| fleet.signal(zombie, Signal::CONT));
        for zombie in zombies {
            eventually("they are members again", PATIENCE, || async {
                let assigned = fleet.metrics(zombie).await?.get("aqueduct_assigned_partitions");
                (0.0 < assigned && assigned < 48.0).then_some(())
            })
            .await;
        }
        traffic.flows(100).await;
        Ok(())
    })
    .await?;
    fleet.nothing_was_set_aside().await
}
