//! The purge as a task of a worker of views: once an interval, of every generation that is consumed.
//!
//! Every process of a worker does so. What there is to remove in one generation the first of them removes; the others find
//! it claimed, or done.

use std::time::Duration;

use aqueduct_contract::Worker;
use aqueduct_views::{Error, Generation, Registry};
use jiff::Timestamp;
use prometheus::{IntCounterVec, IntGaugeVec, Opts};
use tokio::time::{Instant, MissedTickBehavior, interval_at};
use tokio_util::sync::CancellationToken;

use super::Purger;

/// What a worker shows of it, by generation.
#[derive(Clone)]
pub(crate) struct Metrics {
    removed: IntCounterVec,
    through: IntGaugeVec,
}

impl Metrics {
    pub(crate) fn new(registry: &prometheus::Registry) -> Result<Metrics, prometheus::Error> {
        let removed = Opts::new(
            "aqueduct_tombstones_purged_total",
            "Tombstones of deleted items that this process removed",
        );
        let through = Opts::new(
            "aqueduct_tombstones_purged_through_seconds",
            "Up to which moment tombstones may have been removed, seconds since 1970",
        );
        let (removed, through) =
            (IntCounterVec::new(removed, &["sink"])?, IntGaugeVec::new(through, &["sink"])?);
        registry.register(Box::new(removed.clone()))?;
        registry.register(Box::new(through.clone()))?;
        Ok(Metrics { removed, through })
    }
}

/// The task.
pub(crate) struct Task<R> {
    pub(crate) purger: Purger,
    pub(crate) registry: R,
    pub(crate) worker: Worker,
    /// How old the event of a tombstone has to be.
    pub(crate) after: Duration,
    pub(crate) every: Duration,
    pub(crate) metrics: Metrics,
    pub(crate) stop: CancellationToken,
}

impl<R: Registry> Task<R> {
    /// Until the process is to stop. Whatever fails is tried again.
    pub(crate) async fn run(self) -> anyhow::Result<()> {
        // Processes that start together, as after a deployment, do not all begin at once.
        let first = Instant::now() + self.every.mul_f64(rand::random());
        let mut ticks = interval_at(first, self.every);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let round = async {
                ticks.tick().await;
                match self.registry.generations().await {
                    Ok(all) => {
                        for generation in all.iter().filter(|generation| generation.is_consumed()) {
                            self.purge(generation).await;
                        }
                    }
                    Err(error) => {
                        tracing::warn!(%error, "no tombstones are removed: the registry cannot be read");
                    }
                }
            };
            // A purge that is cut off is gone on with by whoever comes next.
            tokio::select! {
                biased;
                () = self.stop.cancelled() => return Ok(()),
                () = round => {}
            }
        }
    }

    async fn purge(&self, generation: &Generation) {
        let sink = generation.sink();
        let removed = self.metrics.removed.with_label_values(&[sink.as_str()]);
        let wanted = Timestamp::now().checked_sub(self.after).unwrap_or(Timestamp::UNIX_EPOCH);
        let count = |batch| removed.inc_by(batch);
        match self.purger.purge(&self.registry, self.worker, generation, wanted, &count).await {
            Ok(purged) => {
                let through =
                    generation.purged_through.max((purged.tombstones > 0).then_some(purged.bound.through));
                if let Some(through) = through {
                    self.metrics.through.with_label_values(&[sink.as_str()]).set(through.as_second());
                }
                if purged.tombstones > 0 {
                    let (through, limit) = (purged.bound.through, purged.bound.limit);
                    tracing::info!(sink, tombstones = purged.tombstones, %through, %limit, "removed tombstones");
                }
            }
            Err(error) if matches!(error.downcast_ref(), Some(Error::Purging { .. })) => {
                tracing::debug!(sink, "another process removes tombstones");
            }
            Err(error) => {
                tracing::warn!(
                    sink,
                    error = format!("{error:#}"),
                    "tombstones were not removed, trying again later"
                );
            }
        }
    }
}
