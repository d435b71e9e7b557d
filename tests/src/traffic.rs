//! Commands through the API while something goes wrong, and what must be true afterwards.

use std::time::Duration;

use anyhow::{Result, ensure};
use aqueduct_cli::drive::Driver;
use indicatif::ProgressBar;
use tokio_util::sync::CancellationToken;

use crate::{Fleet, eventually};

/// Generous: a machine under test runs much else.
pub const PATIENCE: Duration = Duration::from_secs(120);

/// How many commands were answered.
pub struct Traffic(ProgressBar);

impl Traffic {
    /// Waits until so many more commands were answered.
    pub async fn flows(&self, commands: u64) {
        let target = self.0.position() + commands;
        eventually("traffic flows", PATIENCE, || async { (self.0.position() >= target).then_some(()) }).await;
    }

    /// Commands answered so far.
    #[must_use]
    pub fn commands(&self) -> u64 {
        self.0.position()
    }
}

/// Sends `rate` commands a second, those of `seed`, while `fault` happens. Then every store must hold what the API answered,
/// `aqueduct verify` must agree, and at no time may a committed offset have been ahead of its effects.
///
/// # Errors
///
/// When any of this does not hold, or `fault` fails.
pub async fn under_traffic(
    fleet: &Fleet,
    rate: u32,
    seed: u64,
    fault: impl AsyncFnOnce(&Traffic) -> Result<()>,
) -> Result<()> {
    let stop = CancellationToken::new();
    let driver = Driver::new(&fleet.api(), fleet.stores(&format!("driven-{seed}")).await?, seed)?;
    let traffic = Traffic(ProgressBar::hidden());
    let driving = driver.drive(u64::MAX, Some(rate), &stop, &traffic.0);
    let faults = async {
        traffic.flows(50).await;
        let outcome = fault(&traffic).await;
        let commits = fleet.commits_follow_effects().await;
        stop.cancel();
        outcome.and(commits)
    };
    // Whichever fails first: no traffic flows any more when a command was answered as it may not be.
    let (driven, _) = tokio::try_join!(driving, faults)?;
    driven.settle(PATIENCE).await?;
    ensure!(fleet.commits_follow_effects().await? > 0, "nothing was committed");
    fleet.agrees(PATIENCE).await
}

impl Fleet {
    /// Fails when a worker has set anything aside: an outage is not a failure.
    ///
    /// # Errors
    ///
    /// When a worker does not answer, or has.
    pub async fn nothing_was_set_aside(&self) -> Result<()> {
        for worker in self.workers() {
            let text = self.metrics_text(&worker).await?;
            let is_set_aside =
                |line: &&str| line.contains("outcome=\"dead_lettered\"") && !line.ends_with(" 0");
            let set_aside: Vec<&str> = text.lines().filter(is_set_aside).collect();
            ensure!(set_aside.is_empty(), "{worker}: {set_aside:?}");
        }
        Ok(())
    }

    /// Waits until the supervisor has started a process again so many times.
    pub async fn restarted(&self, name: &str, times: u32) {
        eventually("the supervisor starts it again", PATIENCE, || async {
            let member = self.member(name);
            (member.restarts >= times && member.pid.is_some()).then_some(())
        })
        .await;
    }

    /// Waits until the worker's oldest unapplied record is younger than 2 s.
    pub async fn caught_up(&self, worker: &str) {
        eventually(&format!("{worker} has caught up"), PATIENCE, || async {
            let lag = self.largest(worker, "aqueduct_consumer_lag_seconds").await?;
            (lag < 2.0).then_some(())
        })
        .await;
    }
}
