//! `kill -9` at any moment.

use anyhow::Result;
use aqueduct_tests::{Fleet, servers, under_traffic};

/// One process after the other, three times each.
#[tokio::test(flavor = "multi_thread")]
async fn a_killed_process_is_started_again_and_nothing_accepted_is_lost() -> Result<()> {
    let fleet = Fleet::on(servers().await).await.short_sessions().start().await?;
    under_traffic(&fleet, 150, 11, async |traffic| {
        for times in 1..=3 {
            for name in fleet.processes() {
                traffic.flows(50).await;
                fleet.kill(&name);
                fleet.restarted(&name, times).await;
            }
        }
        Ok(())
    })
    .await
}
