//! Which records of a partition a new generation is made of: of each item the one with its highest version, where that first
//! appears.
//!
//! Keys take memory, records do not: of each key a hash of 128 bits, the highest version and its offset are kept, some 40 bytes
//! however large the item. A second pass then takes the records at these offsets. So a topic is read twice, which costs a
//! fraction of mapping and writing what nobody will see, and every item is written once: `COPY` needs no key, no guard, no
//! index.

use std::collections::hash_map::Entry;

use foldhash::{HashMap, HashMapExt};

use super::slice::Slice;

/// The bytes that a key takes, with the room that a map leaves and takes while it grows.
pub(super) const BYTES_A_KEY: usize = 96;

/// What a pass over a partition has seen so far.
pub(super) struct Newest {
    slice: Slice,
    /// Keys that there is memory for.
    limit: usize,
    by_key: HashMap<u128, Seen>,
    /// Records that no version can be compared of: each is to be looked at.
    odd: Vec<Odd>,
    left: Vec<Slice>,
}

#[derive(Clone, Copy)]
struct Seen {
    version: u64,
    offset: i64,
}

struct Odd {
    /// Of its key; 0 for one that has none.
    hash: u128,
    offset: i64,
}

/// What the first pass says to the second.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Wanted {
    /// What was looked at: the slice that was asked for, or the part of it that there was memory for.
    pub(super) slice: Slice,
    /// The rest of it.
    pub(super) left: Vec<Slice>,
    /// Offsets in rising order.
    pub(super) offsets: Vec<i64>,
}

impl Newest {
    pub(super) fn new(slice: Slice, limit: usize) -> Newest {
        Newest { slice, limit, by_key: HashMap::new(), odd: Vec::new(), left: Vec::new() }
    }

    /// Takes up a record, in the order of offsets. `hash` is of its key, if it has one; `is_item` says whether that is the key of
    /// an item, and is asked once a key.
    pub(super) fn see(
        &mut self,
        hash: Option<u128>,
        version: Option<u64>,
        offset: i64,
        is_item: impl FnOnce() -> bool,
    ) {
        if !self.slice.has(hash.unwrap_or(0)) {
            return;
        }
        let (Some(hash), Some(version)) = (hash, version) else {
            return self.odd.push(Odd { hash: hash.unwrap_or(0), offset });
        };
        match self.by_key.entry(hash) {
            Entry::Occupied(seen) if seen.get().version >= version => {}
            Entry::Occupied(mut seen) => *seen.get_mut() = Seen { version, offset },
            Entry::Vacant(_) if !is_item() => self.odd.push(Odd { hash, offset }),
            Entry::Vacant(unseen) => {
                unseen.insert(Seen { version, offset });
            }
        }
        while self.by_key.len() > self.limit
            && let Some([kept, left]) = self.slice.halves()
        {
            self.slice = kept;
            self.left.push(left);
            self.by_key.retain(|hash, _| kept.has(*hash));
            self.odd.retain(|odd| kept.has(odd.hash));
        }
    }

    pub(super) fn wanted(self) -> Wanted {
        // A later version of the same item is what counts.
        let odd = self.odd.iter().filter(|odd| {
            let newest = self.by_key.get(&odd.hash);
            newest.is_none_or(|newest| newest.offset < odd.offset)
        });
        let mut offsets: Vec<i64> =
            self.by_key.values().map(|seen| seen.offset).chain(odd.map(|odd| odd.offset)).collect();
        offsets.sort_unstable();
        Wanted { slice: self.slice, left: self.left, offsets }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    /// One record: its key, if any, its version, if it says one, and how many offsets after the one before it stands.
    type Drawn = (Option<u8>, Option<u64>, i64);

    fn topic() -> impl Strategy<Value = Vec<Drawn>> {
        let record = (
            prop::option::weighted(0.9, 0..12_u8),
            prop::option::weighted(0.9, 1..6_u64),
            prop_oneof![9 => Just(1), 1 => 2..100_i64],
        );
        prop::collection::vec(record, 0..200)
    }

    fn hash(key: u8) -> u128 {
        let half = |seed: u64| {
            use std::hash::BuildHasher;
            u128::from(foldhash::quality::FixedState::with_seed(seed).hash_one(key))
        };
        half(1) << 64 | half(2)
    }

    /// A key of no item.
    fn is_item(key: u8) -> bool {
        key != 11
    }

    fn pass(topic: &[Drawn], slice: Slice, limit: usize) -> Wanted {
        let mut newest = Newest::new(slice, limit);
        let mut offset = 0;
        for (key, version, step) in topic {
            offset += step;
            newest.see(key.map(hash), *version, offset, || key.is_some_and(is_item));
        }
        newest.wanted()
    }

    /// The same, said plainly.
    fn expected(topic: &[Drawn]) -> Vec<i64> {
        let mut offset = 0;
        let mut of_items: BTreeMap<u8, Vec<(Option<u64>, i64)>> = BTreeMap::new();
        let mut expected = Vec::new();
        for (key, version, step) in topic {
            offset += step;
            match key.filter(|key| is_item(*key)) {
                Some(key) => of_items.entry(key).or_default().push((*version, offset)),
                None => expected.push(offset),
            }
        }
        for records in of_items.into_values() {
            let highest = records.iter().filter_map(|(version, _)| *version).max();
            let newest = records.iter().find(|(version, _)| version.is_some() && *version == highest);
            let newest = newest.map(|(_, offset)| *offset);
            expected.extend(newest);
            let odd = records.iter().filter(|(version, offset)| version.is_none() && Some(*offset) > newest);
            expected.extend(odd.map(|(_, offset)| *offset));
        }
        expected.sort_unstable();
        expected
    }

    proptest! {
        #[test]
        fn each_item_is_wanted_once_at_its_highest_version(topic in topic()) {
            let wanted = pass(&topic, Slice::ALL, usize::MAX);
            prop_assert_eq!(&wanted.offsets, &expected(&topic));
            prop_assert!(wanted.left.is_empty());
        }

        #[test]
        fn it_makes_no_difference_how_much_memory_there_is(topic in topic(), limit in 1..12_usize) {
            let (mut todo, mut offsets) = (vec![Slice::ALL], Vec::new());
            while let Some(slice) = todo.pop() {
                let wanted = pass(&topic, slice, limit);
                todo.extend(wanted.left);
                offsets.extend(wanted.offsets);
            }
            offsets.sort_unstable();
            prop_assert_eq!(offsets, expected(&topic));
        }
    }

    #[test]
    fn memory_is_bounded() {
        let mut newest = Newest::new(Slice::ALL, 100);
        for key in 0..10_000_u32 {
            let hash = u128::from(key.wrapping_mul(2_654_435_761)) << 96;
            newest.see(Some(hash), Some(1), key.into(), || true);
            assert!(newest.by_key.len() <= 100);
        }
    }
}
