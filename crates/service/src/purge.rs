//! Removing old tombstones from the generations of views: what the command and the task of the workers both do.
//!
//! How far it may go is chosen here ([`Bound`]); why no late event brings anything back, `aqueduct_views::tombstones` says. Nothing
//! is noted where there is nothing to remove, so that a replay is not refused for it.

mod bound;
mod task;

use anyhow::Result;
use aqueduct_contract::{Names, Worker};
use aqueduct_store::{EventStore, Letters, kafka};
use aqueduct_views::{Generation, Registry};
use jiff::Timestamp;

pub use bound::{Bound, Limit};
pub(crate) use task::{Metrics, Task};

use crate::{Settings, groups};

/// Removes tombstones of the generations of one fleet.
#[derive(Clone)]
pub struct Purger {
    names: Names,
    kafka: kafka::Settings,
    events: EventStore,
    letters: Letters,
}

/// What became of one generation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Purged {
    /// How far the purge went, and what kept it from going further.
    pub bound: Bound,
    /// Tombstones that were removed; of a dry run, that would be.
    pub tombstones: u64,
}

impl Purger {
    /// Of the fleet with these settings. Connects when it is first used.
    pub async fn new(settings: &Settings) -> Purger {
        let names = Names::new(&settings.prefix);
        let dynamodb = settings.dynamodb.connect().await;
        Purger {
            kafka: settings.kafka.clone(),
            events: EventStore::new(dynamodb.clone(), &names),
            letters: Letters::new(dynamodb, &names),
            names,
        }
    }

    /// How many tombstones of `generation`, a table or index of `worker`, [`purge`](Purger::purge) would remove.
    pub async fn count(
        &self,
        registry: &impl Registry,
        worker: Worker,
        generation: &Generation,
        wanted: Timestamp,
    ) -> Result<Purged> {
        let bound = self.bound(worker, generation, wanted).await?;
        let tombstones = match bound.limit {
            Limit::Behind(_) => 0,
            _ => registry.tombstones(generation, bound.through, u64::MAX).await?,
        };
        Ok(Purged { bound, tombstones })
    }

    /// Removes the tombstones of events at or before `wanted`, or as far as it may; `removed` hears of each batch. That `wanted` is
    /// at least [`LEAST_AGE`](aqueduct_views::tombstones::LEAST_AGE) ago is the caller's to see to. Can be cut off at any time, and
    /// begun again.
    pub async fn purge(
        &self,
        registry: &impl Registry,
        worker: Worker,
        generation: &Generation,
        wanted: Timestamp,
        removed: &(dyn Fn(u64) + Send + Sync),
    ) -> Result<Purged> {
        let bound = self.bound(worker, generation, wanted).await?;
        let through = bound.through;
        let tombstones = std::sync::atomic::AtomicU64::new(0);
        let counted = |batch| {
            tombstones.fetch_add(batch, std::sync::atomic::Ordering::Relaxed);
            removed(batch);
        };
        let is_behind = matches!(bound.limit, Limit::Behind(_));
        if !is_behind && registry.tombstones(generation, through, 1).await? > 0 {
            loop {
                registry.begin_purge(generation, through).await?;
                let ended = registry.remove_tombstones(generation, through, &counted).await;
                registry.end_purge(generation).await?;
                if ended? {
                    break;
                }
            }
        }
        Ok(Purged { bound, tombstones: tombstones.into_inner() })
    }

    async fn bound(&self, worker: Worker, generation: &Generation, wanted: Timestamp) -> Result<Bound> {
        let group = groups::view_group(&self.names, worker, generation);
        bound::find(&self.kafka, &self.events, &self.letters, &group, wanted).await
    }
}
