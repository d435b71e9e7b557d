//! Every batch is driven to its end against a store that misbehaves at will, and compared with what a naive reader of the
//! outcomes expects.

use std::collections::HashMap;

use proptest::prelude::*;

use super::*;
use crate::record::test_record;

fn reason(code: &'static str) -> Reason {
    Reason::new(code, "")
}

/// How the store feels about a record or a call.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Temper {
    Fine,
    Ignored,
    Poison,
    /// Fails so often, then is applied.
    Unknown(u32),
    Throttled(u32),
}

fn temper() -> impl Strategy<Value = Temper> {
    prop_oneof![
        6 => Just(Temper::Fine),
        1 => Just(Temper::Ignored),
        2 => Just(Temper::Poison),
        1 => (1..6_u32).prop_map(Temper::Unknown),
        1 => (1..20_u32).prop_map(Temper::Throttled),
    ]
}

/// A store that holds the highest version of each key.
#[derive(Debug)]
struct Store {
    tempers: Vec<Temper>,
    records: Vec<(u8, u64)>,
    tries: Vec<u32>,
    held: HashMap<u8, u64>,
    /// Instead of naming the poison it fails the whole batch.
    names_no_culprit: bool,
    /// The calls that fail as a whole, from the last on.
    outages: Vec<bool>,
    saturated_above: usize,
    every_event: bool,
}

impl Store {
    fn apply(&mut self, batch: &[usize]) -> Result<Vec<Outcome>, SinkError> {
        if self.outages.pop() == Some(true) {
            return Err(SinkError::Unavailable("down".into()));
        }
        if batch.len() > self.saturated_above {
            return Err(SinkError::Saturated);
        }
        if self.names_no_culprit && batch.iter().any(|&index| self.tempers[index] == Temper::Poison) {
            return Err(SinkError::Poison(reason("Poison")));
        }
        let mut stopped: HashMap<u8, Outcome> = HashMap::new();
        let mut outcomes = Vec::new();
        for &index in batch {
            let key = self.records[index].0;
            let outcome = match stopped.get(&key) {
                Some(outcome) => outcome.clone(),
                None => self.one(index),
            };
            // The later events of an item wait with it, where every event counts.
            if self.every_event && !matches!(outcome, Outcome::Applied | Outcome::Stale | Outcome::Ignored(_))
            {
                stopped.insert(key, outcome.clone());
            }
            outcomes.push(outcome);
        }
        Ok(outcomes)
    }

    fn one(&mut self, index: usize) -> Outcome {
        self.tries[index] += 1;
        let (key, version) = self.records[index];
        match self.tempers[index] {
            Temper::Ignored => return Outcome::Ignored(reason("Ignored")),
            Temper::Poison => return Outcome::Poison(reason("Poison")),
            Temper::Unknown(times) if self.tries[index] <= times => return Outcome::Retry(reason("Unknown")),
            Temper::Throttled(times) if self.tries[index] <= times => {
                return Outcome::Throttled(reason("Throttled"));
            }
            _ => {}
        }
        if self.held.get(&key).is_some_and(|held| *held >= version) {
            Outcome::Stale
        } else {
            self.held.insert(key, version);
            Outcome::Applied
        }
    }
}

const UNKNOWN_ATTEMPTS: u32 = 3;

/// Can it ever be in the store?
fn applicable(temper: Temper) -> bool {
    match temper {
        Temper::Fine | Temper::Throttled(_) => true,
        Temper::Unknown(times) => times < UNKNOWN_ATTEMPTS,
        Temper::Ignored | Temper::Poison => false,
    }
}

/// Drives a batch to its end. Returns the verdicts and the dead letters.
fn drive(store: &mut Store, records: &[Record], needs: Needs) -> (Vec<Verdict>, Vec<DeadRecord>) {
    let mut settlement = Settlement::new(records, needs, UNKNOWN_ATTEMPTS);
    let mut dead = Vec::new();
    for _ in 0..5_000 {
        match settlement.step() {
            Step::Apply(chunk) => {
                let mut keys: Vec<u8> = chunk.iter().map(|&index| store.records[index].0).collect();
                keys.sort_unstable();
                keys.dedup();
                assert!(needs == Needs::EveryEvent || keys.len() == chunk.len(), "a key twice in one call");
                let answer = store.apply(&chunk);
                settlement.answer(answer);
            }
            Step::Wait(_, failures) => {
                assert!(failures > 0);
                settlement.waited();
            }
            Step::SetAside(record) => {
                dead.push(record);
                settlement.set_aside();
            }
            Step::Done => return (settlement.verdicts().collect(), dead),
            Step::Fail(error) => panic!("{error}"),
        }
    }
    panic!("does not come to an end");
}

prop_compose! {
    /// A batch, and a store that feels about it.
    fn batches(every_event: bool)(
        batch in prop::collection::vec((0..4_u8, 1..6_u64, temper()), 1..24),
        outages in prop::collection::vec(any::<bool>(), 0..12),
        names_no_culprit: bool,
        saturated_above in 1..30_usize,
    ) -> (Vec<Record>, Store) {
        let record = |(index, (key, version, _)): (usize, &(u8, u64, Temper))| test_record(index, Some(*key), Some(*version));
        let records = batch.iter().enumerate().map(record).collect();
        let store = Store {
            tempers: batch.iter().map(|(_, _, temper)| *temper).collect(),
            records: batch.iter().map(|(key, version, _)| (*key, *version)).collect(),
            tries: vec![0; batch.len()],
            held: HashMap::new(),
            names_no_culprit,
            outages,
            saturated_above,
            every_event,
        };
        (records, store)
    }
}

/// A dead letter names the attempts that were made.
fn attempts(temper: Temper) -> u32 {
    if temper == Temper::Poison { 1 } else { UNKNOWN_ATTEMPTS }
}

proptest! {
    #[test]
    fn a_batch_ends_with_the_best_of_each_key_held_and_only_the_faulty_set_aside((records, mut store) in batches(false)) {
        let (verdicts, dead) = drive(&mut store, &records, Needs::State);
        let batch: Vec<(u8, u64, Temper)> =
            store.records.iter().zip(&store.tempers).map(|((key, version), temper)| (*key, *version, *temper)).collect();
        let mut best: HashMap<u8, u64> = HashMap::new();
        for (key, version, temper) in &batch {
            if applicable(*temper) {
                best.entry(*key).and_modify(|held| *held = (*held).max(*version)).or_insert(*version);
            }
        }
        prop_assert_eq!(&store.held, &best, "the best applicable version of each key is held");

        for (index, verdict) in verdicts.iter().enumerate() {
            let (key, version, temper) = batch[index];
            match verdict {
                Verdict::Applied => prop_assert!(applicable(temper)),
                Verdict::Stale => prop_assert!(best[&key] >= version),
                Verdict::Ignored => prop_assert_eq!(temper, Temper::Ignored),
                Verdict::DeadLettered => prop_assert!(!applicable(temper) && temper != Temper::Ignored),
                verdict => prop_assert!(false, "{verdict:?}"),
            }
            let letters = dead.iter().filter(|letter| letter.index == index).count();
            prop_assert_eq!(letters, usize::from(*verdict == Verdict::DeadLettered));
        }
        for letter in &dead {
            prop_assert_eq!(letter.attempts, attempts(store.tempers[letter.index]));
        }
    }

    #[test]
    fn where_every_event_counts_an_item_goes_in_order_up_to_its_first_fault((records, mut store) in batches(true)) {
        let (verdicts, dead) = drive(&mut store, &records, Needs::EveryEvent);
        let mut held: HashMap<u8, u64> = HashMap::new();
        let mut parked: Vec<u8> = Vec::new();
        for (index, ((key, version), temper)) in store.records.iter().zip(&store.tempers).enumerate() {
            let expected = if parked.contains(key) {
                Verdict::Parked
            } else if *temper == Temper::Ignored {
                Verdict::Ignored
            } else if !applicable(*temper) {
                parked.push(*key);
                Verdict::DeadLettered
            } else if held.get(key).is_some_and(|held| held >= version) {
                Verdict::Stale
            } else {
                held.insert(*key, *version);
                Verdict::Applied
            };
            prop_assert_eq!(verdicts[index], expected, "record {}", index);
        }
        prop_assert_eq!(&store.held, &held);
        prop_assert_eq!(dead.len(), parked.len());
        for letter in &dead {
            prop_assert_eq!(letter.attempts, attempts(store.tempers[letter.index]));
        }
    }

    #[test]
    fn what_ended_is_returned_and_the_rest_is_settled(
        batch in prop::collection::vec((0..4_u8, 1..6_u64, any::<bool>()), 1..24), after in 0..4_usize,
    ) {
        let records: Vec<Record> =
            batch.iter().enumerate().map(|(i, (key, version, _))| test_record(i, Some(*key), Some(*version))).collect();
        let mut settlement = Settlement::new(&records, Needs::State, UNKNOWN_ATTEMPTS);
        for _ in 0..after {
            if let Step::Apply(_) = settlement.step() {
                settlement.answer(Err(SinkError::Unavailable("down".into())));
            }
            if let Step::Wait(..) = settlement.step() {
                settlement.waited();
            }
        }
        settlement.withdraw(Verdict::Returned, |index| batch[index].2);
        while let Step::Apply(chunk) = settlement.step() {
            prop_assert!(chunk.iter().all(|index| !batch[*index].2));
            settlement.answer(Ok(vec![Outcome::Applied; chunk.len()]));
        }
        for (index, verdict) in settlement.verdicts().enumerate() {
            prop_assert_eq!(verdict == Verdict::Returned, batch[index].2);
        }
    }
}

#[test]
fn a_sink_that_miscounts_stops_the_process() {
    let records = [test_record(0, Some(1), Some(1))];
    let mut settlement = Settlement::new(&records, Needs::State, 3);
    assert!(matches!(settlement.step(), Step::Apply(_)));
    settlement.answer(Ok(vec![]));
    assert!(matches!(settlement.step(), Step::Fail(_)));
}

#[test]
fn an_outage_is_waited_for_as_long_as_it_takes_and_nothing_is_set_aside() {
    let records = [test_record(0, Some(1), Some(1)), test_record(1, Some(2), Some(1))];
    let mut settlement = Settlement::new(&records, Needs::State, 3);
    for failures in 1..10_000 {
        assert!(matches!(settlement.step(), Step::Apply(chunk) if chunk == [0, 1]));
        settlement.answer(Err(SinkError::Unavailable("down".into())));
        assert!(matches!(settlement.step(), Step::Wait(Trouble::Unavailable(_), n) if n == failures));
        settlement.waited();
    }
    assert!(matches!(settlement.step(), Step::Apply(_)));
    settlement.answer(Ok(vec![Outcome::Applied, Outcome::Stale]));
    assert!(matches!(settlement.step(), Step::Done));
    assert_eq!(settlement.verdicts().collect::<Vec<_>>(), [Verdict::Applied, Verdict::Stale]);
}

#[test]
fn a_fault_without_a_culprit_is_found_in_logarithmically_many_calls() {
    let records: Vec<Record> =
        (0..64).map(|i| test_record(i, Some(u8::try_from(i).unwrap()), Some(1))).collect();
    for culprit in [0, 31, 63] {
        let mut settlement = Settlement::new(&records, Needs::State, 3);
        let mut calls = 0;
        loop {
            match settlement.step() {
                Step::Apply(chunk) => {
                    calls += 1;
                    settlement.answer(if chunk.contains(&culprit) {
                        Err(SinkError::Poison(reason("Poison")))
                    } else {
                        Ok(vec![Outcome::Applied; chunk.len()])
                    });
                }
                Step::SetAside(dead) => {
                    assert_eq!(dead.index, culprit);
                    settlement.set_aside();
                }
                Step::Done => break,
                step => panic!("{step:?}"),
            }
        }
        assert_eq!(calls, 13);
    }
}
