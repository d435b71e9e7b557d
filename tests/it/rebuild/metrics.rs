//! What a rebuild shows on `/metrics` while it runs.

use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Context, Result};
use aqueduct_tests::{PATIENCE, eventually};
use tokio::io::{AsyncBufReadExt, BufReader};

use super::{ALONE, Mint};

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_rebuild_shows_how_fast_it_is_and_what_is_left() -> Result<()> {
    let mint = Mint::open(&ALONE).await?;
    mint.strike().await?;
    let arguments = ["coins", "--in", "postgres", "--rate", "2/s", "--metrics-listen", "127.0.0.1:0"];
    let mut rebuild = mint.spawn(&arguments).await?;
    let mut lines = BufReader::new(rebuild.stderr.take().context("stderr")?).lines();
    let url = loop {
        let line = lines.next_line().await?.context("it has ended")?;
        if let Some(url) = line.strip_prefix("metrics: ") {
            break url.to_owned();
        }
    };
    let look = async |metric: &str| {
        let text = mint.http.get(&url).send().await.ok()?.text().await.ok()?;
        let sample = format!("{metric}{{read_model=\"postgres coins.g2\"}} ");
        text.lines().find_map(|line| line.strip_prefix(&sample)?.parse::<f64>().ok())
    };
    let above = async |metric: &str, least: f64| {
        eventually(&format!("{metric} is above {least}"), PATIENCE, async || {
            look(metric).await.filter(|now| *now > least)
        })
        .await
    };
    let all = above("aqueduct_rebuild_events", 0.0).await;
    let (_, ends) = mint.positions(&mint.group("sync-rds", 1)).await?;
    assert_eq!(all, ends.iter().sum::<i64>() as f64);
    let first = above("aqueduct_rebuild_events_read_total", 0.0).await;
    assert!(first < all, "it is on its way: {first} of {all}");
    let second = above("aqueduct_rebuild_events_read_total", first).await;
    assert_eq!(look("aqueduct_rebuild_events_done").await.map(|done| done >= second), Some(true));
    let left = above("aqueduct_rebuild_left_seconds", 0.0).await;
    assert!(left < 600.0, "{left}");
    above("aqueduct_rebuild_written", 0.0).await;
    for shown in
        ["aqueduct_rebuild_live_lag_records", "aqueduct_rebuild_lag_records", "aqueduct_rebuild_letters"]
    {
        assert!(look(shown).await.is_some(), "{shown}");
    }
    // Nobody writes: all of the time is its own. Until somebody does.
    above("aqueduct_rebuild_share", 0.99).await;
    let coins = AtomicU32::new(0);
    eventually("it gives way to live events", PATIENCE, async || {
        let coin = coins.fetch_add(1, Ordering::Relaxed);
        mint.coin(&format!("live-{coin}"), &[("1.00", 1)]).await.ok()?;
        look("aqueduct_rebuild_share").await.filter(|share| (*share - 0.1).abs() < 1e-9)
    })
    .await;
    rebuild.kill().await?;
    mint.fleet.stop().await
}
