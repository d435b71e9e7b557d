//! Which records of a batch a sink has to see.
//!
//! A `State` sink needs the highest version of each key alone: when that is applied, the others are stale. When it is
//! at fault, the next one is tried, so that one bad version does not hide a good one.

use std::cmp::Reverse;
use std::ops::Range;

use foldhash::{HashMap, HashMapExt};

use crate::{Needs, Record};

/// The records of one batch by key, as indices into the batch.
#[derive(Debug)]
pub(crate) struct Coalesced {
    /// The records, those of one key side by side, the best one last.
    candidates: Vec<usize>,
    /// Of each key its candidates not yet tried.
    untried: Vec<Range<usize>>,
    /// Of each record its key.
    key_of: Vec<usize>,
    /// Of each record the first one of the same item, in batches whose every event counts.
    item_of: Vec<usize>,
}

impl Coalesced {
    /// Sorts a batch by what the sink needs. A record without key or version stands alone.
    pub(crate) fn new(records: &[Record], needs: Needs) -> Coalesced {
        let mut seen: HashMap<&[u8], usize> = HashMap::with_capacity(records.len());
        let (mut key_of, mut item_of) = (Vec::with_capacity(records.len()), Vec::new());
        let mut candidates = Vec::with_capacity(records.len());
        let mut keys = 0;
        for (index, record) in records.iter().enumerate() {
            let version = (needs == Needs::State).then(|| record.version()).flatten();
            let key = match (version, record.key()) {
                (Some(_), Some(key)) => *seen.entry(key).or_insert(keys),
                _ => keys,
            };
            keys = keys.max(key + 1);
            key_of.push(key);
            // Of two deliveries of one version the first goes first.
            candidates.push((key, version, Reverse(index)));
            if needs == Needs::EveryEvent {
                item_of.push(record.key().map_or(index, |key| *seen.entry(key).or_insert(index)));
            }
        }
        candidates.sort_unstable();
        let of_one_key = candidates.chunk_by(|one, other| one.0 == other.0);
        let untried = of_one_key.scan(0, |start, chunk| {
            let range = *start..*start + chunk.len();
            *start = range.end;
            Some(range)
        });
        let untried = untried.collect();
        let candidates = candidates.into_iter().map(|(_, _, Reverse(index))| index).collect();
        Coalesced { candidates, untried, key_of, item_of }
    }

    /// Records of the batch.
    pub(crate) fn len(&self) -> usize {
        self.key_of.len()
    }

    /// The same for all records of an item, where every event counts.
    pub(crate) fn item_of(&self, index: usize) -> usize {
        self.item_of[index]
    }

    /// Keeps, of the candidates not yet tried, those for which `keep` holds.
    pub(crate) fn retain(&mut self, keep: impl Fn(usize) -> bool) {
        for range in &mut self.untried {
            let start = range.start;
            for place in std::mem::replace(range, start..start) {
                if keep(self.candidates[place]) {
                    self.candidates.swap(range.end, place);
                    range.end += 1;
                }
            }
        }
    }

    /// The best record of every key, in the order of the batch. Once, at the beginning.
    pub(crate) fn heads(&mut self) -> Vec<usize> {
        let mut heads: Vec<usize> = (0..self.untried.len()).filter_map(|key| self.pop(key)).collect();
        heads.sort_unstable();
        heads
    }

    /// The next best record of the key of `index`, after that turned out not to bring the key up to date.
    pub(crate) fn next_best(&mut self, index: usize) -> Option<usize> {
        self.pop(self.key_of[index])
    }

    fn pop(&mut self, key: usize) -> Option<usize> {
        self.untried[key].next_back().map(|place| self.candidates[place])
    }

    /// The records that `index` made stale by being in the store.
    pub(crate) fn superseded(&mut self, index: usize) -> &[usize] {
        let range = &mut self.untried[self.key_of[index]];
        &self.candidates[std::mem::replace(range, 0..0)]
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::record::test_record;

    proptest! {
        #[test]
        fn every_record_comes_out_once_and_each_keys_best_first(
            batch in prop::collection::vec((0..4_u8, prop::option::of(1..5_u64)), 0..30),
            applied in prop::collection::vec(any::<bool>(), 30),
        ) {
            let records: Vec<Record> =
                batch.iter().enumerate().map(|(i, (key, version))| test_record(i, Some(*key), *version)).collect();
            let mut coalesced = Coalesced::new(&records, Needs::State);
            let mut wave = coalesced.heads();
            let mut out = Vec::new();
            while let Some(index) = wave.pop() {
                out.push(index);
                if applied[index] {
                    let superseded = coalesced.superseded(index);
                    for stale in superseded {
                        prop_assert!(batch[*stale].1 <= batch[index].1 && batch[*stale].0 == batch[index].0);
                    }
                    out.extend(superseded);
                } else if let Some(next) = coalesced.next_best(index) {
                    prop_assert!(batch[next].1 <= batch[index].1 && batch[next].0 == batch[index].0);
                    wave.push(next);
                }
            }
            out.sort_unstable();
            prop_assert_eq!(out, (0..batch.len()).collect::<Vec<_>>());
        }
    }

    #[test]
    fn the_first_of_two_equal_versions_goes_first() {
        let records = [test_record(0, Some(1), Some(2)), test_record(1, Some(1), Some(2))];
        let mut coalesced = Coalesced::new(&records, Needs::State);
        assert_eq!((coalesced.heads(), coalesced.superseded(0)), (vec![0], &[1][..]));
    }

    #[test]
    fn nothing_is_coalesced_where_every_event_counts() {
        let records = [test_record(0, Some(1), Some(1)), test_record(1, Some(1), Some(2))];
        assert_eq!(Coalesced::new(&records, Needs::EveryEvent).heads(), [0, 1]);
    }

    #[test]
    fn records_without_key_or_version_stand_alone() {
        let records = [
            test_record(0, None, Some(1)),
            test_record(1, None, Some(2)),
            test_record(2, Some(1), None),
            test_record(3, Some(1), None),
            test_record(4, Some(1), Some(1)),
        ];
        assert_eq!(Coalesced::new(&records, Needs::State).heads(), [0, 1, 2, 3, 4]);
    }
}
