//! Finds what no publisher is working on: a shard of the outbox index a tick, in turn, for ever.
//!
//! The index is a hint. It may lag, show what is published by now, or show version 2 before 1: the publication that a
//! hint leads to looks in the table.

use std::collections::HashMap;
use std::time::Duration;

use aqueduct_contract::{ItemKey, Version};
use jiff::Timestamp;
use rand::RngExt;
use tokio::sync::mpsc;
use tokio::time::sleep;
use tracing::warn;

use super::metrics::Metrics;
use crate::Result;
use crate::events::{EventStore, Hint, SHARDS};

/// An item with unpublished versions, and the highest that a page of the index shows.
pub(super) type Found = (ItemKey, Version);

pub(super) struct Sweeper {
    pub(super) events: EventStore,
    pub(super) interval: Duration,
    pub(super) takeover_after: Duration,
    pub(super) metrics: Metrics,
}

impl Sweeper {
    /// Sends what it finds, as fast as it is taken, until the receiver is gone.
    pub(super) async fn run(self, found: mpsc::Sender<Found>) {
        let mut oldest = [0.0; SHARDS as usize];
        // Each process begins elsewhere and paces a little differently, so that two do not sweep in step.
        let first = rand::rng().random_range(0..SHARDS);
        for shard in (0..SHARDS).cycle().skip(first.into()) {
            let pace = rand::rng().random_range(0.5..1.5);
            sleep(self.interval.mul_f64(pace)).await;
            match self.sweep(shard, &found).await {
                Ok(Some(age)) => oldest[usize::from(shard)] = age,
                Ok(None) => return,
                Err(error) => warn!(shard, %error, "the outbox cannot be read"),
            }
            self.metrics.oldest.set(oldest.into_iter().fold(0.0, f64::max));
        }
    }

    /// Returns the age of the shard's oldest entry in seconds, 0 without one; `None` when nobody takes what is found.
    async fn sweep(&self, shard: u8, found: &mpsc::Sender<Found>) -> Result<Option<f64>> {
        let now = Timestamp::now();
        let age = |hint: &Hint| now.duration_since(hint.created_at).as_secs_f64();
        let mut oldest = 0.0;
        let mut start = None;
        loop {
            let (hints, next) = self.events.hints(shard, start).await?;
            oldest = hints.iter().map(age).fold(oldest, f64::max);
            let young = 0.0..self.takeover_after.as_secs_f64();
            let mut items: HashMap<ItemKey, Version> = HashMap::new();
            for hint in hints.into_iter().filter(|hint| !young.contains(&age(hint))) {
                let highest = items.entry(hint.key).or_insert(hint.version);
                *highest = hint.version.max(*highest);
            }
            for item in items {
                if found.send(item).await.is_err() {
                    return Ok(None);
                }
            }
            match next {
                Some(_) => start = next,
                None => return Ok(Some(oldest)),
            }
        }
    }
}
