//! Executes the protocol for one item: looks in the table, sends to Kafka, takes markers off.

use std::time::Duration;

use aqueduct_contract::{ItemKey, Version};
use jiff::{SignedDuration, Timestamp};
use tokio::time::sleep;

use super::metrics::Metrics;
use super::producer::{Failure, Producer};
use super::protocol::{Marker, Next};
use crate::Error;
use crate::events::{EventStore, Found, Record};

/// What a publication works with.
#[derive(Clone)]
pub(super) struct Publishes {
    pub(super) events: EventStore,
    pub(super) producer: Producer,
    pub(super) takeover_after: Duration,
    pub(super) metrics: Metrics,
}

/// The version to publish, and how it came here.
pub(super) enum Target {
    /// This process has just written it.
    Own(Box<Record>),
    /// This process wrote it while another version of its item was being published.
    Later(Version),
    /// The outbox shows it.
    Hinted(Version),
}

/// Why a publication ended early. The rows keep their markers.
#[derive(Debug, thiserror::Error)]
pub(super) enum Stopped {
    #[error(transparent)]
    Store(#[from] Error),
    #[error(transparent)]
    Kafka(#[from] Failure),
}

impl Publishes {
    /// Publishes the target after every unpublished earlier version of its item.
    pub(super) async fn publish(&self, key: &ItemKey, target: Target) -> Result<(), Stopped> {
        let topic = self.events.topic(key);
        let (mut next, own_version, own) = match target {
            Target::Own(record) => (Next::own(record.version), Some(record.version), Some(*record)),
            Target::Later(version) => (Next::own(version), Some(version), None),
            Target::Hinted(version) => (Next::take_over(version), None, None),
        };
        let mut held: Vec<Record> = own.into_iter().collect();
        loop {
            next = match next {
                Next::Look(look) => {
                    let found = self.find_ripe(key, look.version()).await?;
                    let marker = if found.published { Marker::Published } else { Marker::Unpublished };
                    // The lowest unpublished version is the first to produce. Those above it are read again when their turn
                    // comes: an item can have thousands after an outage.
                    held.retain(|record| Some(record.version) == own_version);
                    held.extend((!found.published).then_some(found.record));
                    look.answered(marker)
                }
                Next::Produce(produce) => {
                    let version = produce.version();
                    let record = match held.iter().position(|record| record.version == version) {
                        Some(position) => held.swap_remove(position),
                        None => self.events.find(key, version).await?.record,
                    };
                    let published = self.producer.send(&topic, &record).await?;
                    let writer = if own_version == Some(version) { "own" } else { "taken-over" };
                    self.metrics.published.with_label_values(&[writer]).inc();
                    let unmark = produce.acknowledged();
                    self.events.unmark(key, unmark.version(), published).await?;
                    unmark.unmarked()
                }
                Next::Done => return Ok(()),
            };
        }
    }

    /// Reads a version. Another writer's young one is left to that writer for a moment, once: it publishes it most likely, and
    /// taking it over would only double it.
    async fn find_ripe(&self, key: &ItemKey, version: Version) -> Result<Found, Error> {
        let found = self.events.find(key, version).await?;
        let patience = self.patience(found.record.created_at);
        if found.published || patience.is_zero() {
            return Ok(found);
        }
        sleep(patience).await;
        self.events.find(key, version).await
    }

    /// The clock is that of another machine: no wait is longer than the whole.
    fn patience(&self, created_at: Timestamp) -> Duration {
        let age = Timestamp::now().duration_since(created_at).max(SignedDuration::ZERO);
        self.takeover_after.saturating_sub(age.unsigned_abs())
    }
}
