//! One assigned partition, as the dispatcher keeps it: what is done of it, and what has to wait outside the lanes.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::Record;
use crate::ledger::Ledger;
use crate::tenure::Tenure;

/// What the dispatcher keeps of an assignment.
pub(crate) struct Partition {
    pub(crate) tenure: Arc<Tenure>,
    pub(crate) ledger: Ledger,
    /// Records in batches in flight.
    pub(crate) in_batches: usize,
    /// Taken up, but not let into the lanes, in no order.
    waiting: Vec<Record>,
    /// Its letters must be known before anything of it is applied, and are not yet.
    letters_awaited: bool,
    /// When to load its letters again; `None` while they are being loaded.
    pub(crate) load_at: Option<Instant>,
    stop: Option<Stop>,
}

/// The brake is on.
struct Stop {
    /// How often it was put on without a release in between.
    trips: u32,
    /// The last offset that was kept back. When everything up to it is done, the brake is released.
    up_to: i64,
    /// When to try again; `None` while that is under way.
    retry_at: Option<Instant>,
}

/// How long a stopped partition waits before it tries again: at first, and at most.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pauses {
    pub(crate) min: Duration,
    pub(crate) max: Duration,
}

impl Partition {
    /// `letters_first` says that its letters have to be known before its first record is applied.
    pub(crate) fn new(tenure: Arc<Tenure>, ledger: Ledger, letters_first: bool) -> Partition {
        Partition {
            tenure,
            ledger,
            in_batches: 0,
            waiting: Vec::new(),
            letters_awaited: letters_first,
            load_at: None,
            stop: None,
        }
    }

    /// Gives a record back that may go into its lane now; keeps it otherwise.
    pub(crate) fn admit(&mut self, record: Record) -> Option<Record> {
        if self.is_closed() {
            self.keep_back(record);
            return None;
        }
        Some(record)
    }

    fn is_closed(&self) -> bool {
        self.letters_awaited || self.stop.as_ref().is_some_and(|stop| stop.retry_at.is_some())
    }

    /// Its letters are known. Returns what waited for that, in order.
    pub(crate) fn letters_known(&mut self) -> Vec<Record> {
        self.letters_awaited = false;
        if self.is_closed() { Vec::new() } else { self.take_waiting() }
    }

    fn take_waiting(&mut self) -> Vec<Record> {
        let mut waiting = std::mem::take(&mut self.waiting);
        waiting.sort_unstable_by_key(|record| record.offset);
        waiting
    }

    /// Puts the brake on, if it is not. Returns the pause until the next try when this is news.
    pub(crate) fn brake(&mut self, now: Instant, pauses: Pauses) -> Option<Duration> {
        let stop = self.stop.get_or_insert(Stop { trips: 0, up_to: i64::MIN, retry_at: None });
        if stop.retry_at.is_some() {
            return None;
        }
        let pause = pauses.min.saturating_mul(1 << stop.trips.min(31)).min(pauses.max);
        stop.trips += 1;
        stop.retry_at = Some(now + pause);
        Some(pause)
    }

    /// Keeps back what the brake stopped, or what came while it was on.
    pub(crate) fn keep_back(&mut self, record: Record) {
        if let Some(stop) = &mut self.stop {
            stop.up_to = stop.up_to.max(record.offset);
        }
        self.waiting.push(record);
    }

    /// When the next try, or the next look at its letters, is due.
    pub(crate) fn next_due(&self) -> Option<Instant> {
        let retry_at = self.stop.as_ref().and_then(|stop| stop.retry_at);
        retry_at.into_iter().chain(self.load_at).min()
    }

    /// What was kept back, in order, when it is time to try it again.
    pub(crate) fn try_again(&mut self, now: Instant) -> Vec<Record> {
        match &mut self.stop {
            Some(stop) if stop.retry_at.is_some_and(|then| now >= then) => stop.retry_at = None,
            _ => return Vec::new(),
        }
        self.take_waiting()
    }

    /// True once when all that the brake kept back is done.
    pub(crate) fn release(&mut self) -> bool {
        let position = self.ledger.position();
        self.stop.take_if(|stop| stop.retry_at.is_none() && position > stop.up_to).is_some()
    }

    pub(crate) fn is_braked(&self) -> bool {
        self.stop.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::test_record;

    const PAUSES: Pauses = Pauses { min: Duration::from_secs(5), max: Duration::from_secs(12) };

    fn partition(records: i64) -> Partition {
        let mut ledger = Ledger::new(0, None);
        (0..records).for_each(|offset| assert!(ledger.begin(offset, 0)));
        Partition::new(Arc::new(Tenure::new(1, "t".into(), 0)), ledger, false)
    }

    fn record(offset: usize) -> Record {
        test_record(offset, Some(1), Some(1))
    }

    #[test]
    fn what_is_kept_back_comes_again_in_order_after_the_pause() {
        let mut partition = partition(4);
        let now = Instant::now();
        assert_eq!(partition.admit(record(0)).map(|record| record.offset), Some(0));
        assert_eq!(partition.brake(now, PAUSES), Some(PAUSES.min));
        assert_eq!(partition.brake(now, PAUSES), None, "it is on already");
        partition.keep_back(record(2));
        partition.keep_back(record(1));
        assert!(partition.admit(record(3)).is_none(), "nothing is let in while it is on");
        assert!(partition.try_again(now).is_empty());
        let again = partition.try_again(now + PAUSES.min);
        assert_eq!(again.iter().map(|record| record.offset).collect::<Vec<_>>(), [1, 2, 3]);
        assert!(partition.admit(record(4)).is_some(), "what is tried may be followed");
    }

    #[test]
    fn nothing_is_let_in_before_the_letters_are_known() {
        let mut partition = Partition { letters_awaited: true, ..partition(2) };
        assert!(partition.admit(record(1)).is_none() && partition.admit(record(0)).is_none());
        let waited = partition.letters_known();
        assert_eq!(waited.iter().map(|record| record.offset).collect::<Vec<_>>(), [0, 1]);
        assert!(partition.admit(record(2)).is_some());
    }

    #[test]
    fn pauses_grow_until_everything_kept_back_is_done() {
        let mut partition = partition(2);
        let mut now = Instant::now();
        for pause in [5, 10, 12, 12] {
            assert_eq!(partition.brake(now, PAUSES), Some(Duration::from_secs(pause)));
            partition.keep_back(record(1));
            now += Duration::from_secs(pause);
            assert_eq!(partition.try_again(now).len(), 1);
            assert!(!partition.release(), "the record is not done");
        }
        partition.ledger.finish(0);
        partition.ledger.finish(1);
        assert!(partition.release());
        assert!(!partition.is_braked() && !partition.release());
        assert_eq!(partition.brake(now, PAUSES), Some(PAUSES.min), "it begins anew");
    }
}
