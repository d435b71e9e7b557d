//! Lanes: the order of a key is kept by giving it one lane, and one lane one batch in flight.
//!
//! A lane is due when a batch is full by count or bytes, when its oldest record has waited for the batch age, or at once
//! when no more records are on their way: small batches when idle, large ones when behind.

use std::collections::VecDeque;
use std::hash::BuildHasher;
use std::sync::Arc;
use std::time::{Duration, Instant};

use aqueduct_store::letters::Filed;
use foldhash::fast::RandomState;

use crate::Record;
use crate::tenure::{Epoch, Tenure};

/// A record on its way, with the assignment it came by.
#[derive(Clone, Debug)]
pub(crate) struct Queued {
    pub(crate) tenure: Arc<Tenure>,
    pub(crate) record: Record,
}

/// A letter to be tried again, in the lane of its item.
#[derive(Clone, Debug)]
pub(crate) struct Redrive {
    pub(crate) tenure: Arc<Tenure>,
    pub(crate) filed: Filed,
}

/// When a batch is full, and how long it may fill.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    pub(crate) records: usize,
    pub(crate) bytes: u64,
    pub(crate) age: Duration,
}

/// What a lane sends off.
#[derive(Debug)]
pub(crate) struct Batch {
    pub(crate) lane: usize,
    pub(crate) records: Vec<Queued>,
}

/// The queues of all lanes of a group.
#[derive(Debug)]
pub(crate) struct Lanes {
    lanes: Vec<Lane>,
    limits: Limits,
    hasher: RandomState,
}

#[derive(Debug, Default)]
struct Lane {
    queue: VecDeque<(Instant, Queued)>,
    redrives: VecDeque<Redrive>,
    bytes: u64,
    in_flight: bool,
}

impl Lane {
    fn recount(&mut self) {
        self.bytes = self.queue.iter().map(|(_, queued)| queued.record.size() as u64).sum();
    }
}

impl Lanes {
    pub(crate) fn new(count: usize, limits: Limits) -> Lanes {
        let lanes = (0..count.max(1)).map(|_| Lane::default()).collect();
        Lanes { lanes, limits, hasher: RandomState::default() }
    }

    /// Queues a record behind the others of its key.
    pub(crate) fn push(&mut self, queued: Queued, now: Instant) {
        let lane = match queued.record.key() {
            Some(key) => self.lane_of(key),
            None => self.lane_of(&queued.record.offset.to_be_bytes()),
        };
        let lane = &mut self.lanes[lane];
        lane.bytes += queued.record.size() as u64;
        lane.queue.push_back((now, queued));
    }

    /// Queues a letter beside the records of its item.
    pub(crate) fn push_redrive(&mut self, redrive: Redrive) {
        let lane = self.lane_of(redrive.filed.letter.item.as_bytes());
        self.lanes[lane].redrives.push_back(redrive);
    }

    /// The next letter whose lane is free, with that lane. It goes alone.
    pub(crate) fn next_redrive(&mut self) -> Option<(usize, Redrive)> {
        let free = |lane: &Lane| !lane.in_flight && !lane.redrives.is_empty();
        let index = self.lanes.iter().position(free)?;
        let redrive = self.lanes[index].redrives.pop_front()?;
        self.lanes[index].in_flight = true;
        Some((index, redrive))
    }

    fn lane_of(&self, key: &[u8]) -> usize {
        // The remainder is below the count of lanes, which is a usize.
        usize::try_from(self.hasher.hash_one(key) % self.lanes.len() as u64).unwrap_or_default()
    }

    /// Records of a batch at most, from now on.
    pub(crate) fn limit_records(&mut self, records: usize) {
        self.limits.records = records;
    }

    /// The next batch that is due. `more` says that further records are on their way, so that a batch may wait to fill.
    pub(crate) fn next_batch(&mut self, now: Instant, more: bool) -> Option<Batch> {
        let limits = self.limits;
        let due = |lane: &Lane| {
            !lane.in_flight
                && lane.queue.front().is_some_and(|(arrived, _)| {
                    !more
                        || lane.queue.len() >= limits.records
                        || lane.bytes >= limits.bytes
                        || now.saturating_duration_since(*arrived) >= limits.age
                })
        };
        let index = self.lanes.iter().position(due)?;
        let lane = &mut self.lanes[index];
        lane.in_flight = true;
        let mut bytes = 0;
        let mut records = Vec::new();
        while let Some((_, next)) = lane.queue.front() {
            let size = next.record.size() as u64;
            if !records.is_empty() && (records.len() >= limits.records || bytes + size > limits.bytes) {
                break;
            }
            bytes += size;
            records.extend(lane.queue.pop_front().map(|(_, queued)| queued));
        }
        lane.bytes -= bytes;
        Some(Batch { lane: index, records })
    }

    /// The batch of a lane is done.
    pub(crate) fn finished(&mut self, lane: usize) {
        self.lanes[lane].in_flight = false;
    }

    /// Takes out what is queued by assignments that have ended. Their next owner reads it again.
    pub(crate) fn drop_ended(&mut self) {
        for lane in &mut self.lanes {
            lane.queue.retain(|(_, queued)| !queued.tenure.has_ended());
            lane.redrives.retain(|redrive| !redrive.tenure.has_ended());
            lane.recount();
        }
    }

    /// Takes out what is queued of one assignment.
    pub(crate) fn take_of(&mut self, epoch: Epoch) -> Vec<Record> {
        let mut taken = Vec::new();
        for lane in &mut self.lanes {
            for (arrived, queued) in std::mem::take(&mut lane.queue) {
                if queued.tenure.epoch == epoch {
                    taken.push(queued.record);
                } else {
                    lane.queue.push_back((arrived, queued));
                }
            }
            lane.recount();
        }
        taken
    }

    /// When the next lane is due by age alone.
    pub(crate) fn next_due(&self) -> Option<Instant> {
        let waiting = self.lanes.iter().filter(|lane| !lane.in_flight);
        waiting.filter_map(|lane| lane.queue.front()).map(|(arrived, _)| *arrived + self.limits.age).min()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;

    use super::*;
    use crate::record::test_record;

    const LIMITS: Limits = Limits { records: 5, bytes: 1_000_000, age: Duration::from_millis(20) };

    fn queued(tenure: &Arc<Tenure>, offset: usize, key: u8) -> Queued {
        Queued { tenure: tenure.clone(), record: test_record(offset, Some(key), Some(1)) }
    }

    #[derive(Clone, Debug)]
    enum Move {
        Push(u8),
        Dispatch { more: bool },
        Finish(prop::sample::Index),
        Wait(u64),
    }

    fn moves() -> impl Strategy<Value = Vec<Move>> {
        let one = prop_oneof![
            4 => (0..12_u8).prop_map(Move::Push),
            2 => any::<bool>().prop_map(|more| Move::Dispatch { more }),
            2 => any::<prop::sample::Index>().prop_map(Move::Finish),
            1 => (0..30_u64).prop_map(Move::Wait),
        ];
        prop::collection::vec(one, 0..200)
    }

    proptest! {
        #[test]
        fn a_key_is_in_one_batch_at_a_time_and_in_order(moves in moves(), lanes in 1..6_usize) {
            let tenure = Arc::new(Tenure::new(1, "t".into(), 0));
            let mut lanes = Lanes::new(lanes, LIMITS);
            let mut now = Instant::now();
            let mut pushed = 0;
            let mut in_flight: Vec<Batch> = Vec::new();
            let mut last: HashMap<u8, i64> = HashMap::new();
            let mut taken = 0;
            for step in moves {
                match step {
                    Move::Push(key) => {
                        lanes.push(queued(&tenure, pushed, key), now);
                        pushed += 1;
                    }
                    Move::Dispatch { more } => while let Some(batch) = lanes.next_batch(now, more) {
                        prop_assert!((1..=LIMITS.records).contains(&batch.records.len()));
                        taken += batch.records.len();
                        for Queued { record, .. } in &batch.records {
                            let key = record.key().unwrap()[0];
                            let busy = in_flight.iter().flat_map(|other| &other.records);
                            prop_assert!(busy.into_iter().all(|other| other.record.key() != record.key()));
                            prop_assert!(last.insert(key, record.offset).is_none_or(|before| before < record.offset));
                        }
                        in_flight.push(batch);
                    }
                    Move::Finish(index) => if !in_flight.is_empty() {
                        let batch = in_flight.swap_remove(index.index(in_flight.len()));
                        lanes.finished(batch.lane);
                    }
                    Move::Wait(millis) => now += Duration::from_millis(millis),
                }
            }
            // Nothing is left behind.
            in_flight.into_iter().for_each(|batch| lanes.finished(batch.lane));
            while let Some(batch) = lanes.next_batch(now, false) {
                taken += batch.records.len();
                lanes.finished(batch.lane);
            }
            prop_assert_eq!(taken, pushed);
        }
    }

    #[test]
    fn a_batch_waits_for_its_age_only_while_more_is_coming() {
        let tenure = Arc::new(Tenure::new(1, "t".into(), 0));
        let now = Instant::now();
        let mut lanes = Lanes::new(1, LIMITS);
        lanes.push(queued(&tenure, 0, 1), now);
        assert!(lanes.next_batch(now, true).is_none());
        assert_eq!(lanes.next_due(), Some(now + LIMITS.age));
        assert_eq!(lanes.next_batch(now + LIMITS.age, true).unwrap().records.len(), 1);
        lanes.finished(0);
        lanes.push(queued(&tenure, 1, 1), now);
        assert_eq!(lanes.next_batch(now, false).unwrap().records.len(), 1);
    }

    #[test]
    fn a_batch_is_full_by_bytes_and_one_record_may_exceed_them() {
        let tenure = Arc::new(Tenure::new(1, "t".into(), 0));
        let now = Instant::now();
        let size = test_record(0, Some(1), Some(1)).size() as u64;
        for (bytes, expected) in [(1, 1), (2 * size, 2), (2 * size + 1, 2)] {
            let mut lanes = Lanes::new(1, Limits { bytes, ..LIMITS });
            (0..4).for_each(|offset| lanes.push(queued(&tenure, offset, 1), now));
            assert_eq!(lanes.next_batch(now, true).unwrap().records.len(), expected);
        }
    }

    #[test]
    fn what_an_ended_assignment_queued_is_taken_out() {
        let (ended, current) =
            (Arc::new(Tenure::new(1, "t".into(), 0)), Arc::new(Tenure::new(2, "t".into(), 1)));
        let now = Instant::now();
        let mut lanes = Lanes::new(1, LIMITS);
        lanes.push(queued(&ended, 0, 1), now);
        lanes.push(queued(&current, 1, 2), now);
        ended.end();
        lanes.drop_ended();
        let batch = lanes.next_batch(now, false).unwrap();
        assert_eq!(batch.records.iter().map(|queued| queued.record.offset).collect::<Vec<_>>(), [1]);
    }
}
