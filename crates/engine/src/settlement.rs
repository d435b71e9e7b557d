//! A batch on its way from the first attempt until every record of it is settled.
//!
//! A state machine without I/O: it says what to do next ([`Step`]), its caller does it and reports what came of it. A
//! store that is down is waited for; a record at fault is set aside at once; a fault that the store does not pin on one
//! record is found by halving; an unknown failure gets a few attempts.
//!
//! ```text
//!            ┌──────────────────────────── Wait ◀── unavailable, saturated, throttled, unknown
//!            ▼                                          ▲
//!  heads ─▶ Apply ──────────────── outcomes ────────────┤
//!            ▲                         ├─▶ applied, stale, ignored ─▶ settled
//!            └── halves, next best ◀───┴─▶ poison ─▶ SetAside ─▶ settled
//! ```

use std::collections::{HashSet, VecDeque};

use crate::coalesce::Coalesced;
use crate::{BoxError, Needs, Outcome, Reason, Record, SinkError};

/// What to do next.
#[derive(Debug)]
pub(crate) enum Step {
    /// Hand these records of the batch to the sink, in this order; then [`Settlement::answer`].
    Apply(Vec<usize>),
    /// Wait, so many failures in a row; then [`Settlement::waited`].
    Wait(Trouble, u32),
    /// Make a dead letter of this record; then [`Settlement::set_aside`].
    SetAside(DeadRecord),
    /// Every record is settled or given up.
    Done,
    /// The schema or the code is at fault: stop.
    Fail(BoxError),
}

/// Why there is waiting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Trouble {
    Unavailable(String),
    Saturated,
    Throttled(Reason),
    Unknown(Reason),
}

impl Trouble {
    /// As the metrics name it.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Trouble::Unavailable(_) => "unavailable",
            Trouble::Saturated => "saturated",
            Trouble::Throttled(_) => "throttled",
            Trouble::Unknown(_) => "unknown",
        }
    }
}

impl std::fmt::Display for Trouble {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Trouble::Unavailable(error) => write!(f, "the store is unavailable: {error}"),
            Trouble::Saturated => f.write_str("the store is saturated"),
            Trouble::Throttled(reason) | Trouble::Unknown(reason) => reason.fmt(f),
        }
    }
}

/// A record that cannot be applied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct DeadRecord {
    pub(crate) index: usize,
    pub(crate) reason: Reason,
    pub(crate) attempts: u32,
}

/// What finally became of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Verdict {
    Applied,
    Stale,
    Ignored,
    DeadLettered,
    /// Given up because its assignment ended: its next owner reads it again.
    Returned,
    /// Kept back by the brake: it comes again.
    Held,
    /// Skipped, because an earlier event of its item has a letter: the store has it, for the redrive.
    Parked,
}

/// One batch.
#[derive(Debug)]
pub(crate) struct Settlement {
    needs: Needs,
    unknown_attempts: u32,
    coalesced: Coalesced,
    attempts: Vec<u32>,
    verdicts: Vec<Option<Verdict>>,
    /// What the sink has now.
    applying: Vec<usize>,
    /// What to apply next, the first one first.
    chunks: VecDeque<Vec<usize>>,
    dead: VecDeque<DeadRecord>,
    /// To be tried again after a wait.
    again: Vec<usize>,
    trouble: Option<Trouble>,
    /// The store wanted less at some time.
    slowed: bool,
    /// In a row, whatever they were.
    failures: u32,
    fatal: Option<BoxError>,
}

impl Settlement {
    pub(crate) fn new(records: &[Record], needs: Needs, unknown_attempts: u32) -> Settlement {
        let mut coalesced = Coalesced::new(records, needs);
        let heads = coalesced.heads();
        let count = coalesced.len();
        Settlement {
            needs,
            unknown_attempts,
            coalesced,
            attempts: vec![0; count],
            verdicts: vec![None; count],
            applying: Vec::new(),
            chunks: VecDeque::from([heads]),
            dead: VecDeque::new(),
            again: Vec::new(),
            trouble: None,
            slowed: false,
            failures: 0,
            fatal: None,
        }
    }

    /// What to do next.
    pub(crate) fn step(&mut self) -> Step {
        if let Some(error) = self.fatal.take() {
            return Step::Fail(error);
        }
        if let Some(dead) = self.dead.front() {
            return Step::SetAside(dead.clone());
        }
        // A sick store is waited for before anything else is sent to it. Other troubles can wait behind what is new, unless
        // that may be a later event of the same item.
        match &self.trouble {
            Some(trouble @ (Trouble::Unavailable(_) | Trouble::Saturated)) => {
                return Step::Wait(trouble.clone(), self.failures);
            }
            Some(trouble) if self.needs == Needs::EveryEvent && !self.again.is_empty() => {
                return Step::Wait(trouble.clone(), self.failures);
            }
            _ => {}
        }
        while let Some(chunk) = self.chunks.pop_front() {
            if !chunk.is_empty() {
                self.applying = chunk.clone();
                return Step::Apply(chunk);
            }
        }
        match &self.trouble {
            Some(trouble) if !self.again.is_empty() => Step::Wait(trouble.clone(), self.failures),
            _ => Step::Done,
        }
    }

    /// What the sink said about the records of the last [`Step::Apply`].
    pub(crate) fn answer(&mut self, answer: Result<Vec<Outcome>, SinkError>) {
        let applied = std::mem::take(&mut self.applying);
        match answer {
            Ok(outcomes) if outcomes.len() == applied.len() => self.outcomes(&applied, outcomes),
            Ok(outcomes) => {
                let message =
                    format!("the sink gave {} outcomes for {} records", outcomes.len(), applied.len());
                self.fatal = Some(message.into());
            }
            Err(SinkError::Unavailable(error)) => {
                self.failed(Trouble::Unavailable(chain(error.as_ref())));
                self.chunks.push_front(applied);
            }
            Err(SinkError::Saturated) => {
                self.slowed = true;
                self.failed(Trouble::Saturated);
                self.push_halves(applied);
            }
            Err(SinkError::Poison(reason)) => match applied[..] {
                [index] => self.poison(index, reason),
                _ => self.push_halves(applied),
            },
            Err(SinkError::Fatal(error)) => self.fatal = Some(error),
        }
    }

    fn outcomes(&mut self, applied: &[usize], outcomes: Vec<Outcome>) {
        let mut next_best = Vec::new();
        let mut troubled = false;
        let mut stopped = HashSet::new();
        for (&index, outcome) in applied.iter().zip(outcomes) {
            if self.needs == Needs::EveryEvent && outcome.is_failure() {
                // What follows in its item was not tried: it waits for it, or is parked with it.
                if !stopped.insert(self.coalesced.item_of(index)) {
                    self.again.push(index);
                    continue;
                }
            }
            match outcome {
                Outcome::Applied => self.in_store(index, Verdict::Applied),
                Outcome::Stale => self.in_store(index, Verdict::Stale),
                Outcome::Ignored(_) => {
                    self.verdicts[index] = Some(Verdict::Ignored);
                    next_best.extend(self.coalesced.next_best(index));
                }
                Outcome::Poison(reason) => self.poison(index, reason),
                Outcome::Throttled(reason) => {
                    self.slowed = true;
                    troubled = true;
                    self.trouble = Some(Trouble::Throttled(reason));
                    self.again.push(index);
                }
                Outcome::Retry(reason) => {
                    if self.attempts[index] + 1 >= self.unknown_attempts {
                        self.poison(index, reason);
                    } else {
                        self.attempts[index] += 1;
                        troubled = true;
                        self.trouble = Some(Trouble::Unknown(reason));
                        self.again.push(index);
                    }
                }
            }
        }
        if self.again.is_empty() {
            self.failures = 0;
        } else if troubled {
            self.failures = self.failures.saturating_add(1);
        }
        self.chunks.push_back(next_best);
    }

    fn in_store(&mut self, index: usize, verdict: Verdict) {
        self.verdicts[index] = Some(verdict);
        for stale in self.coalesced.superseded(index) {
            self.verdicts[*stale] = Some(Verdict::Stale);
        }
    }

    fn poison(&mut self, index: usize, reason: Reason) {
        self.dead.push_back(DeadRecord { index, reason, attempts: self.attempts[index] + 1 });
        self.chunks.push_back(self.coalesced.next_best(index).into_iter().collect());
    }

    fn failed(&mut self, trouble: Trouble) {
        self.failures = self.failures.saturating_add(1);
        self.trouble = Some(trouble);
    }

    fn push_halves(&mut self, mut chunk: Vec<usize>) {
        let second = chunk.split_off(chunk.len().div_ceil(2));
        self.chunks.push_front(second);
        self.chunks.push_front(chunk);
    }

    /// The wait of the last [`Step::Wait`] is over.
    pub(crate) fn waited(&mut self) {
        self.trouble = None;
        let mut again = std::mem::take(&mut self.again);
        again.sort_unstable();
        self.chunks.push_front(again);
    }

    /// The dead letter of the last [`Step::SetAside`] is written. Where every event counts, it parks its item.
    pub(crate) fn set_aside(&mut self) {
        let Some(dead) = self.dead.pop_front() else { return };
        self.verdicts[dead.index] = Some(Verdict::DeadLettered);
        if self.needs == Needs::EveryEvent {
            let item = self.coalesced.item_of(dead.index);
            let items: Vec<usize> = (0..self.verdicts.len()).map(|one| self.coalesced.item_of(one)).collect();
            self.withdraw(Verdict::Parked, |index| items[index] == item);
        }
    }

    /// Gives this verdict to those records for which `which` holds and that are not settled: nothing more is done for them.
    pub(crate) fn withdraw(&mut self, as_: Verdict, which: impl Fn(usize) -> bool) {
        for (index, verdict) in self.verdicts.iter_mut().enumerate() {
            if verdict.is_none() && which(index) {
                *verdict = Some(as_);
            }
        }
        let open = |index: usize| self.verdicts[index].is_none();
        self.coalesced.retain(open);
        self.dead.retain(|dead| open(dead.index));
        let mut next_best = Vec::new();
        for chunk in self.chunks.iter_mut().chain([&mut self.again]) {
            let given_up = chunk.extract_if(.., |index| !open(*index));
            next_best.extend(given_up.filter_map(|index| self.coalesced.next_best(index)));
        }
        self.chunks.push_back(next_best);
    }

    /// Whether the store wanted less at some time.
    pub(crate) fn was_slowed(&self) -> bool {
        self.slowed
    }

    /// What became of a record, once it is settled.
    pub(crate) fn verdict(&self, index: usize) -> Option<Verdict> {
        self.verdicts[index]
    }

    /// What became of each record of the batch; after [`Step::Done`] all have a verdict.
    pub(crate) fn verdicts(&self) -> impl Iterator<Item = Verdict> {
        self.verdicts.iter().map(|verdict| verdict.unwrap_or(Verdict::Returned))
    }
}

/// The whole chain of causes: the outermost alone often says only "request failed".
pub(crate) fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let causes = std::iter::successors(Some(error), |cause| cause.source()).map(ToString::to_string);
    // Many errors say their cause themselves.
    causes.fold(String::new(), |said, cause| match said.as_str() {
        "" => cause,
        _ if said.contains(&cause) => said,
        _ => format!("{said}: {cause}"),
    })
}

#[cfg(test)]
#[path = "settlement/tests.rs"]
mod tests;
