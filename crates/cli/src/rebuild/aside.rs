//! Items whose latest version cannot be written: a letter for that version, and the version below it that can be, as a worker
//! would have left them.
//!
//! What a topic says of an item that failed may be a lie, so the version below is asked of the event store, as a redrive does.

use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::{Result, bail};
use aqueduct_contract::{ItemKey, Names, Version};
use aqueduct_engine::{DeadLetters, Group, Reason, Record};
use aqueduct_service::Settings;
use aqueduct_store::letters::State;
use aqueduct_store::{EventStore, Letters};

use super::unit::Outage;

/// Where a load sets records aside.
pub(super) struct Aside {
    pub(super) group: Group,
    names: Names,
    dead_letters: DeadLetters,
    pub(super) letters: Letters,
    pub(super) events: EventStore,
    brake: Brake,
}

/// A fault of all items is no fault of items: a load that fails for many of them stops, instead of writing as many letters.
struct Brake {
    seen: AtomicU64,
    failed: AtomicU64,
    most: u64,
    share: f64,
}

impl Aside {
    pub(super) async fn new(settings: &Settings, group: Group) -> Result<Aside> {
        let names = Names::new(&settings.prefix);
        let dynamodb = settings.dynamodb.connect().await;
        let letters = Letters::new(dynamodb.clone(), &names);
        let brake = Brake {
            seen: AtomicU64::new(0),
            failed: AtomicU64::new(0),
            most: u64::from(settings.engine.brake_in_a_row),
            share: settings.engine.brake_share,
        };
        Ok(Aside {
            group,
            dead_letters: DeadLetters::new(&settings.kafka, letters.clone())?,
            letters,
            events: EventStore::new(dynamodb, &names),
            names,
            brake,
        })
    }

    /// Counts records that were written, or failed; an error when too many fail.
    pub(super) fn allows(&self, seen: usize, failed: &[(&Record, &Reason)]) -> Result<()> {
        let Brake { most, share, .. } = self.brake;
        let seen = self.brake.seen.fetch_add(seen as u64, Ordering::Relaxed) + seen as u64;
        let failed_now = failed.len() as u64;
        let total = self.brake.failed.fetch_add(failed_now, Ordering::Relaxed) + failed_now;
        #[expect(clippy::cast_precision_loss, reason = "a share")]
        let too_many = total > most && total as f64 > seen as f64 * share;
        match failed.first() {
            Some((record, reason)) if too_many => bail!(
                "{total} of the first {seen} items cannot be written, which is no fault of items; the last was {record:?}: \
                 {reason}. Mend the view's definition, and give up this rebuild with --cancel"
            ),
            _ => Ok(()),
        }
    }

    /// Makes a letter of the record. Returns when it is safe.
    pub(super) async fn set_aside(&self, record: &Record, reason: &Reason) -> Result<(), Outage> {
        let letters = &self.dead_letters;
        let aside = letters.set_aside(&self.group, &self.names, record, reason, 1, State::Open).await;
        aside.map(drop).map_err(Outage)
    }

    /// The version of the record's item below `than`, or the one below that if it is of a version that was never written; in the
    /// place of the record.
    pub(super) async fn below(
        &self,
        record: &Record,
        than: Version,
    ) -> Result<Option<(Version, Record)>, Outage> {
        let key = record.key().and_then(|key| std::str::from_utf8(key).ok()?.parse::<ItemKey>().ok());
        let unavailable = |error: aqueduct_store::Error| Outage(error.into());
        let Some(key) = key else { return Ok(None) };
        let Some(latest) = self.events.latest(&key).await.map_err(unavailable)? else { return Ok(None) };
        let below = match than.previous() {
            Some(below) => below.min(latest.item.version),
            None => return Ok(None),
        };
        let Some(stored) = self.events.at(&key, below).await.map_err(unavailable)? else { return Ok(None) };
        let Record { topic, partition, offset, .. } = record;
        Ok(Some((below, Record::of_stored(topic.clone(), *partition, *offset, &stored.record))))
    }
}
