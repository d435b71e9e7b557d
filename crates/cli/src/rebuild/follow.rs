//! Waiting for the workers, who take over where the load ended.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use aqueduct_contract::Worker;
use aqueduct_store::kafka::{Group, Position};

use super::progress::Progress;

const LOOK: Duration = Duration::from_millis(500);

/// Returns once workers have joined the group.
pub(super) async fn joined(
    group: &Group,
    worker: Worker,
    patience: humantime::Duration,
    progress: &Progress,
) -> Result<()> {
    let begun = Instant::now();
    let mut said = false;
    while group.members().await?.is_empty() {
        if begun.elapsed() >= *patience {
            bail!(
                "no {worker} has taken over within {patience}: does one run? What was loaded is kept: start a worker and give \
                 the same command again, or give up with --cancel"
            );
        }
        if !said {
            progress.say(&format!("waiting for a {worker} to take over"));
            said = true;
        }
        tokio::time::sleep(LOOK).await;
    }
    Ok(())
}

/// Returns once the group has committed all that stood in its topic when this began. Fails when it does not move for so long.
pub(super) async fn caught_up(
    group: &Group,
    patience: humantime::Duration,
    progress: &Progress,
) -> Result<()> {
    let ends = group.positions().await?;
    let behind = |now: &[Position]| -> i64 {
        let of = |end: &Position| {
            let now = now.iter().find(|now| now.partition == end.partition).map_or(0, Position::next);
            (end.end - now).max(0)
        };
        ends.iter().map(of).sum()
    };
    let (mut left, mut moved) = (behind(&ends), Instant::now());
    progress.behind(left);
    while left > 0 {
        tokio::time::sleep(LOOK).await;
        let now = behind(&group.positions().await?);
        progress.behind(now);
        if now < left {
            moved = Instant::now();
        } else if moved.elapsed() >= *patience {
            bail!(
                "the workers are {now} events behind and have not moved for {patience}: their logs say why. What was loaded is \
                 kept: give the same command again"
            );
        }
        if now != left {
            progress.say(&format!("workers are {now} events behind"));
        }
        left = now;
    }
    Ok(())
}
