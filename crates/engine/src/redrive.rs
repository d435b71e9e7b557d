//! Trying a dead letter again: from the store, in the lane of its item.
//!
//! The record is not sent to its topic again, where every healthy group would meet it, nor through a topic of its own, where
//! a key would be with two consumers at once. The owner of the partition reads the item's events from the store: the latest
//! one where the state is enough, all from the letter's version on where every event counts. Those that came meanwhile
//! were skipped, and are among them.

use std::sync::Arc;

use aqueduct_contract::{Event, ItemKey, Version};
use aqueduct_store::letters::{Filed, State};
use aqueduct_store::{Letter, events};
use tokio::sync::watch;
use tracing::{error, info, warn};

use crate::delivery::{Delivered, Delivery};
use crate::lanes::Redrive;
use crate::settlement::{DeadRecord, Settlement, Verdict, chain};
use crate::tenure::Tenure;
use crate::{Error, Needs, Reason, Record, Sink};

/// Events read from the store in one go.
const PAGE: u32 = 100;

/// How a redrive ended.
enum End {
    /// The sink holds everything.
    Done,
    /// A version failed again.
    Failed { version: Option<Version>, reason: Reason, attempts: u32 },
    /// The assignment ended; its next owner finds the letter as it was.
    Returned,
}

/// Why there is no end yet.
enum Interrupted {
    /// DynamoDB did not answer.
    Store(aqueduct_store::Error),
    /// The sink said that it cannot go on.
    Fatal(Error),
}

impl From<aqueduct_store::Error> for Interrupted {
    fn from(error: aqueduct_store::Error) -> Interrupted {
        Interrupted::Store(error)
    }
}

impl<S: Sink> Delivery<S> {
    /// Redrives one letter, however long it takes.
    pub(crate) async fn redrive(
        self: Arc<Self>,
        lane: usize,
        Redrive { tenure, filed }: Redrive,
        mut ended: watch::Receiver<()>,
    ) -> Result<Delivered, Error> {
        let mut failures = 0;
        loop {
            match self.try_again(&tenure, &filed, &mut ended).await {
                Ok(()) => break,
                Err(Interrupted::Fatal(error)) => return Err(error),
                Err(Interrupted::Store(error)) => {
                    failures += 1;
                    self.store_failed("a letter could not be redriven yet", failures, &error);
                    self.wait(failures, &mut ended).await;
                }
            }
        }
        Ok(Delivered { lane, redriven: Some(tenure.epoch), ..Delivered::default() })
    }

    async fn try_again(
        &self,
        tenure: &Arc<Tenure>,
        filed: &Filed,
        ended: &mut watch::Receiver<()>,
    ) -> Result<(), Interrupted> {
        let Letter { group, item, .. } = &filed.letter;
        match self.events_of(tenure, &filed.letter, ended).await? {
            End::Returned => {}
            End::Done => {
                // Where somebody changed it meanwhile, their wish is found when the letters are loaded again.
                let removed = self.letters.remove_if_unchanged(filed).await?;
                tenure.letters().remove(filed);
                self.metrics.redriven("applied");
                info!(group, item, removed, "redriven: the letter is gone");
            }
            End::Failed { version, reason, attempts } => {
                let redrives = filed.letter.redrives + 1;
                let quarantined = redrives >= self.quarantine_after;
                let letter = Letter {
                    version,
                    code: reason.code.to_owned(),
                    message: reason.message.clone(),
                    attempts: filed.letter.attempts + attempts,
                    redrives,
                    state: if quarantined { State::Quarantined } else { resting::<S>() },
                    ..filed.letter.clone()
                };
                let replaced = self.letters.replace_if_unchanged(filed, &letter).await?;
                tenure.letters().remove(filed);
                if let Some(replaced) = replaced {
                    tenure.letters().put(replaced);
                }
                self.metrics.redriven(if quarantined { "quarantined" } else { "failed" });
                error!(group, item, redrives, quarantined, "redriven to no avail: {reason}");
            }
        }
        Ok(())
    }

    /// Applies what the store has of the letter's item.
    async fn events_of(
        &self,
        tenure: &Arc<Tenure>,
        letter: &Letter,
        ended: &mut watch::Receiver<()>,
    ) -> Result<End, Interrupted> {
        let unknown = || {
            let message = "the store has no event of it: it can only be discarded";
            let reason = Reason::new(Reason::EVENT_INVALID, message);
            Ok(End::Failed { version: letter.version, reason, attempts: 0 })
        };
        let Ok(key) = letter.item.parse::<ItemKey>() else { return unknown() };
        if S::NEEDS == Needs::State {
            return match self.events.latest(&key).await? {
                Some(event) => self.apply_all(tenure, letter, &[event], ended).await,
                None => unknown(),
            };
        }
        // Where the version is not known, from the first one on: what was applied before is stale.
        let mut after = letter.version.and_then(Version::previous);
        loop {
            let page = self.events.history(&key, after, PAGE).await?;
            let Some(last) = page.last() else { return Ok(End::Done) };
            after = Some(last.item.version);
            match self.apply_all(tenure, letter, &page, ended).await? {
                End::Done => {}
                end => return Ok(end),
            }
        }
    }

    async fn apply_all(
        &self,
        tenure: &Arc<Tenure>,
        letter: &Letter,
        events: &[Event],
        ended: &mut watch::Receiver<()>,
    ) -> Result<End, Interrupted> {
        let records: Vec<Record> = events.iter().map(|event| record(letter, event)).collect();
        let tenures = vec![tenure.clone(); records.len()];
        let mut settlement = Settlement::new(&records, S::NEEDS, self.unknown_attempts);
        let dead = self.settle(&mut settlement, &records, &tenures, ended).await;
        if let Some(DeadRecord { index, reason, attempts }) = dead.map_err(Interrupted::Fatal)? {
            return Ok(End::Failed { version: Some(events[index].item.version), reason, attempts });
        }
        let returned = settlement.verdicts().any(|verdict| verdict == Verdict::Returned);
        Ok(if returned { End::Returned } else { End::Done })
    }

    /// DynamoDB did not answer: said and counted, not for each attempt.
    pub(crate) fn store_failed(&self, what: &str, failures: u32, error: &aqueduct_store::Error) {
        self.metrics.retry("letter");
        self.progress.moved();
        if failures.is_power_of_two() {
            warn!(group = self.group.id, failures, "{what}: {}", chain(error));
        }
    }
}

/// What a letter is when nobody works on it.
pub(crate) fn resting<S: Sink>() -> State {
    match S::NEEDS {
        Needs::State => State::Open,
        Needs::EveryEvent => State::Parked,
    }
}

/// The record of an event, at the place of the letter's.
fn record(letter: &Letter, event: &Event) -> Record {
    Record::of_stored(
        letter.topic.as_str().into(),
        letter.partition,
        letter.offset,
        &events::Record::of(event),
    )
}
