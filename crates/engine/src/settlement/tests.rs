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
        Ok(batch.iter().map(|&index| self.one(index)).collect())
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

proptest! {
    #[test]
    fn a_batch_ends_with_the_best_of_each_key_held_and_only_the_faulty_set_aside(
        batch in prop::collection::vec((0..4_u8, 1..6_u64, temper()), 1..24),
        outages in prop::collection::vec(any::<bool>(), 0..12),
        names_no_culprit: bool,
        saturated_above in 1..30_usize,
        every_event: bool,
    ) {
        let records: Vec<Record> =
            batch.iter().enumerate().map(|(i, (key, version, _))| test_record(i, Some(*key), Some(*version))).collect();
        let needs = if every_event { Needs::EveryEvent } else { Needs::State };
        let tempers: Vec<Temper> = batch.iter().map(|(_, _, temper)| *temper).collect();
        let mut store = Store {
            tempers: tempers.clone(),
            records: batch.iter().map(|(key, version, _)| (*key, *version)).collect(),
            tries: vec![0; batch.len()],
            held: HashMap::new(),
            names_no_culprit,
            outages,
            saturated_above,
        };
        let mut settlement = Settlement::new(&records, needs, UNKNOWN_ATTEMPTS);
        let mut dead: Vec<DeadRecord> = Vec::new();
        let mut steps = 0;
        loop {
            steps += 1;
            prop_assert!(steps < 5_000, "does not come to an end");
            match settlement.step() {
                Step::Apply(chunk) => {
                    let mut keys: Vec<u8> = chunk.iter().map(|&index| batch[index].0).collect();
                    keys.sort_unstable();
                    keys.dedup();
                    prop_assert!(every_event || keys.len() == chunk.len(), "a key twice in one call");
                    let answer = store.apply(&chunk);
                    settlement.answer(answer);
                }
                Step::Wait(_, failures) => {
                    prop_assert!(failures > 0);
                    settlement.waited();
                }
                Step::SetAside(record) => {
                    dead.push(record);
                    settlement.set_aside();
                }
                Step::Done => break,
                Step::Fail(error) => prop_assert!(false, "{}", error),
            }
        }

        let mut best: HashMap<u8, u64> = HashMap::new();
        for (key, version, temper) in &batch {
            if applicable(*temper) {
                best.entry(*key).and_modify(|held| *held = (*held).max(*version)).or_insert(*version);
            }
        }
        prop_assert_eq!(&store.held, &best, "the best applicable version of each key is held");

        let verdicts: Vec<Verdict> = settlement.verdicts().collect();
        for (index, verdict) in verdicts.iter().enumerate() {
            let (key, version, temper) = batch[index];
            match verdict {
                Verdict::Applied => prop_assert!(applicable(temper)),
                Verdict::Stale => prop_assert!(best[&key] >= version),
                Verdict::Ignored => prop_assert_eq!(temper, Temper::Ignored),
                Verdict::DeadLettered => prop_assert!(!applicable(temper) && temper != Temper::Ignored),
                Verdict::Returned | Verdict::Held => prop_assert!(false, "nothing was withdrawn"),
            }
            let letters = dead.iter().filter(|letter| letter.index == index).count();
            prop_assert_eq!(letters, usize::from(*verdict == Verdict::DeadLettered));
        }
        for letter in &dead {
            let expected = if tempers[letter.index] == Temper::Poison { 1 } else { UNKNOWN_ATTEMPTS };
            prop_assert_eq!(letter.attempts, expected);
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
