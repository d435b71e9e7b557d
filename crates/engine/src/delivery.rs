//! Carries out what a [`Settlement`] says: one batch, from the lane to its last verdict.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::{Duration, Instant};

use aqueduct_contract::Names;
use aqueduct_store::letters::Filed;
use aqueduct_store::{EventStore, Letters};
use jiff::Timestamp;
use tokio::sync::watch;
use tracing::{debug, error, warn};

use crate::dead_letters::DeadLetters;
use crate::lanes::{Batch, Queued};
use crate::metrics::GroupMetrics;
use crate::redrive::resting;
use crate::retry::Backoff;
use crate::settlement::{DeadRecord, Settlement, Step, Trouble, Verdict, chain};
use crate::tenure::{Epoch, Tenure};
use crate::{Error, Group, Needs, Progress, Reason, Record, Sink, brake};

/// How often an idle store is asked whether it answers.
const READY_INTERVAL: Duration = Duration::from_secs(5);

/// What the batches of one group have in common.
pub(crate) struct Delivery<S> {
    pub(crate) sink: S,
    pub(crate) group: Group,
    pub(crate) names: Names,
    pub(crate) dead_letters: DeadLetters,
    pub(crate) letters: Letters,
    pub(crate) events: EventStore,
    /// Redrives of one letter to no avail, before it takes more than asking.
    pub(crate) quarantine_after: u32,
    pub(crate) backoff: Backoff,
    pub(crate) unknown_attempts: u32,
    pub(crate) brake: brake::Limits,
    pub(crate) metrics: GroupMetrics,
    pub(crate) progress: Progress,
}

/// A batch that has come to its end.
#[derive(Debug, Default)]
pub(crate) struct Delivered {
    pub(crate) lane: usize,
    pub(crate) records: Vec<Settled>,
    /// Why records were kept back, where some were.
    pub(crate) braked: Option<Reason>,
    /// The store wanted less.
    pub(crate) slowed: bool,
    /// It was no batch, but a letter of this assignment.
    pub(crate) redriven: Option<Epoch>,
}

/// What became of one record.
#[derive(Debug)]
pub(crate) struct Settled {
    pub(crate) tenure: Arc<Tenure>,
    pub(crate) record: Record,
    pub(crate) verdict: Verdict,
}

impl<S: Sink> Delivery<S> {
    /// Settles a batch, however long it takes. `ended` wakes it when assignments end: what of theirs is not in the sink's
    /// hands by then is given up.
    pub(crate) async fn deliver(
        self: Arc<Self>,
        batch: Batch,
        mut ended: watch::Receiver<()>,
    ) -> Result<Delivered, Error> {
        let (tenures, records): (Vec<Arc<Tenure>>, Vec<Record>) =
            batch.records.into_iter().map(|Queued { tenure, record }| (tenure, record)).unzip();
        let mut settlement = Settlement::new(&records, S::NEEDS, self.unknown_attempts);
        if S::NEEDS == Needs::EveryEvent {
            let parked = |index: usize| tenures[index].letters().of(&records[index]).is_some();
            settlement.withdraw(Verdict::Parked, parked);
        }
        let mut letter_failures = 0;
        let mut tally = Tally::default();
        let mut braked = None;
        while let Some(dead) = self.settle(&mut settlement, &records, &tenures, &mut ended).await? {
            let tenure = &tenures[dead.index];
            tally.up_to(dead.index, &settlement, &tenures);
            // Once begun, it is carried through.
            if letter_failures == 0 && !tenure.brake().allows(self.brake) {
                settlement.withdraw(Verdict::Held, |index| Arc::ptr_eq(&tenures[index], tenure));
                braked = Some(dead.reason);
                continue;
            }
            match self.set_aside(&records[dead.index], &dead).await {
                Ok(filed) => {
                    letter_failures = 0;
                    tenure.brake().dead();
                    tenure.letters().put(filed);
                    settlement.set_aside();
                }
                Err(()) => {
                    letter_failures += 1;
                    self.wait(letter_failures, &mut ended).await;
                }
            }
        }
        tally.up_to(tenures.len(), &settlement, &tenures);
        self.remove_moot(&settlement, &records, &tenures).await;
        let settled = tenures.into_iter().zip(records).zip(settlement.verdicts());
        let records =
            settled.map(|((tenure, record), verdict)| Settled { tenure, record, verdict }).collect();
        Ok(Delivered { lane: batch.lane, records, braked, slowed: settlement.was_slowed(), redriven: None })
    }

    /// Drives a batch until every record is settled, or up to the next record that is to be set aside.
    pub(crate) async fn settle(
        &self,
        settlement: &mut Settlement,
        records: &[Record],
        tenures: &[Arc<Tenure>],
        ended: &mut watch::Receiver<()>,
    ) -> Result<Option<DeadRecord>, Error> {
        loop {
            ended.borrow_and_update();
            if tenures.iter().any(|tenure| tenure.has_ended()) {
                settlement.withdraw(Verdict::Returned, |index| tenures[index].has_ended());
            }
            match settlement.step() {
                Step::Apply(chunk) => self.apply(settlement, records, &chunk).await,
                Step::Wait(trouble, failures) => {
                    self.report(&trouble, failures);
                    if self.wait(failures, ended).await {
                        settlement.waited();
                    }
                }
                Step::SetAside(dead) => return Ok(Some(dead)),
                Step::Done => return Ok(None),
                Step::Fail(source) => return Err(Error::Sink { group: self.group.id.clone(), source }),
            }
        }
    }

    /// Where the latest state is enough, a later version makes an earlier one's letter moot. A letter that cannot be removed now
    /// is harmless: redriven, it finds nothing to do.
    async fn remove_moot(&self, settlement: &Settlement, records: &[Record], tenures: &[Arc<Tenure>]) {
        if S::NEEDS != Needs::State {
            return;
        }
        for (index, (record, tenure)) in records.iter().zip(tenures).enumerate() {
            if !matches!(settlement.verdict(index), Some(Verdict::Applied | Verdict::Stale)) {
                continue;
            }
            let Some(moot) = tenure.letters().made_moot_by(record) else { continue };
            match self.letters.remove_if_unchanged(&moot).await {
                Ok(_) => tenure.letters().remove(&moot),
                Err(error) => debug!(?record, %error, "a moot letter could not be removed"),
            }
        }
    }

    /// Asks the store now and then whether it answers, for ever. An idle group has no other way to know.
    pub(crate) async fn watch_store(&self) -> Infallible {
        let mut answers = true;
        loop {
            match self.sink.ready().await {
                Ok(()) => {
                    answers = true;
                    self.progress.store_answers();
                }
                Err(error) => {
                    let error = chain(error.as_ref());
                    // Said once an outage: while there is no work, nobody else says it.
                    if std::mem::take(&mut answers) {
                        warn!(group = self.group.id, "the store does not answer: {error}");
                    }
                    self.progress.store_fails(error);
                }
            }
            tokio::time::sleep(READY_INTERVAL).await;
        }
    }

    async fn apply(&self, settlement: &mut Settlement, records: &[Record], chunk: &[usize]) {
        let records: Vec<Record> = chunk.iter().map(|index| records[*index].clone()).collect();
        fail::fail_point!("slow-flush");
        fail::fail_point!("before-flush", crate::failpoints::armed(), |_| crate::failpoints::kill());
        let begun = Instant::now();
        let answer = self.sink.apply(&records).await;
        fail::fail_point!("after-flush", crate::failpoints::armed(), |_| crate::failpoints::kill());
        self.metrics.batch(records.len(), begun.elapsed());
        if answer.is_ok() {
            self.progress.store_answers();
            self.progress.moved();
        }
        settlement.answer(answer);
        let now = Timestamp::now();
        for (index, record) in chunk.iter().zip(&records) {
            if settlement.verdict(*index) == Some(Verdict::Applied)
                && let Some(age) = age(record, now)
            {
                self.metrics.fresh(age);
            }
        }
    }

    fn report(&self, trouble: &Trouble, failures: u32) {
        self.metrics.retry(trouble.name());
        // Waiting for a store is what a healthy group does: a restart would not help.
        self.progress.moved();
        if matches!(trouble, Trouble::Unavailable(_) | Trouble::Saturated) {
            self.progress.store_fails(trouble.to_string());
        }
        let group = &self.group.id;
        // An outage is one event, not one for each attempt.
        if failures.is_power_of_two() {
            warn!(group, failures, "waiting to try again: {trouble}");
        } else {
            debug!(group, failures, "waiting to try again: {trouble}");
        }
    }

    /// True when the wait is over, false when assignments ended meanwhile.
    pub(crate) async fn wait(&self, failures: u32, ended: &mut watch::Receiver<()>) -> bool {
        let delay = self.backoff.delay(failures, rand::random());
        tokio::select! {
            () = tokio::time::sleep(delay) => true,
            // The sender lives as long as the group.
            _ = ended.changed() => false,
        }
    }

    async fn set_aside(&self, record: &Record, dead: &DeadRecord) -> Result<Filed, ()> {
        let (group, reason) = (&self.group.id, &dead.reason);
        let (letters, state) = (&self.dead_letters, resting::<S>());
        match letters.set_aside(&self.group, &self.names, record, reason, dead.attempts, state).await {
            Ok(filed) => {
                fail::fail_point!("after-dead-letter", crate::failpoints::armed(), |_| {
                    crate::failpoints::kill()
                });
                self.progress.moved();
                error!(group, ?record, code = reason.code, attempts = dead.attempts, "dead letter: {reason}");
                Ok(filed)
            }
            Err(failure) => {
                self.metrics.retry("letter");
                self.progress.moved();
                let failure = chain(failure.as_ref());
                warn!(
                    group,
                    ?record,
                    code = reason.code,
                    "a dead letter could not be written yet: {failure}"
                );
                Err(())
            }
        }
    }
}

/// Tells the brakes what went well, in the order of the batch.
#[derive(Default)]
struct Tally {
    next: usize,
}

impl Tally {
    fn up_to(&mut self, end: usize, settlement: &Settlement, tenures: &[Arc<Tenure>]) {
        while self.next < end {
            let begin = self.next;
            let same = |index: &usize| Arc::ptr_eq(&tenures[*index], &tenures[begin]);
            self.next = (begin..end).take_while(same).last().map_or(end, |last| last + 1);
            let good = |index: &usize| {
                matches!(
                    settlement.verdict(*index),
                    Some(Verdict::Applied | Verdict::Stale | Verdict::Ignored)
                )
            };
            tenures[begin].brake().good((begin..self.next).filter(good).count() as u64);
        }
    }
}

/// How long ago the event was accepted: publishers give a record its event's own time.
fn age(record: &Record, now: Timestamp) -> Option<Duration> {
    let accepted = Timestamp::from_millisecond(record.timestamp).ok().filter(|_| record.timestamp >= 0)?;
    // A clock that is behind makes no event negative.
    Some(Duration::try_from(now.duration_since(accepted)).unwrap_or_default())
}
