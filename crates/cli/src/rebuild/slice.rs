//! A part of the items of a partition, by the hash of their keys: what is loaded in one go.
//!
//! A slice is all keys whose hash begins with certain bits. One that turns out to have more keys than there is memory for is
//! halved; what was done is told from what was not by the slices' names alone, in whatever way they were halved.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

/// Keys whose hash begins with these bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Slice {
    bits: u32,
    /// The bits, as a number.
    prefix: u64,
}

impl Slice {
    /// All keys.
    pub(super) const ALL: Slice = Slice { bits: 0, prefix: 0 };
    const MOST_BITS: u32 = 63;

    pub(super) fn has(self, hash: u128) -> bool {
        self.bits == 0 || hash >> (u128::BITS - self.bits) == u128::from(self.prefix)
    }

    /// The two halves; `None` of one that is as small as can be.
    pub(super) fn halves(self) -> Option<[Slice; 2]> {
        let half = |bit| Slice { bits: self.bits + 1, prefix: self.prefix << 1 | bit };
        (self.bits < Slice::MOST_BITS).then(|| [half(0), half(1)])
    }

    /// How much of all keys it has, as a share of 1.
    pub(super) fn share(self) -> f64 {
        0.5_f64.powi(self.bits.cast_signed())
    }

    /// What of this slice is not in any of `done`.
    pub(super) fn without(self, done: &BTreeSet<Slice>) -> Vec<Slice> {
        if done.contains(&self) {
            return Vec::new();
        }
        let within =
            |other: &Slice| other.bits > self.bits && other.prefix >> (other.bits - self.bits) == self.prefix;
        match self.halves().filter(|_| done.iter().any(within)) {
            Some(halves) => halves.into_iter().flat_map(|half| half.without(done)).collect(),
            None => vec![self],
        }
    }
}

impl fmt::Display for Slice {
    /// Its bits: `010`; nothing for all keys.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (0..self.bits).rev().try_for_each(|bit| write!(f, "{}", self.prefix >> bit & 1))
    }
}

impl FromStr for Slice {
    type Err = String;

    fn from_str(text: &str) -> Result<Slice, String> {
        text.chars().try_fold(Slice::ALL, |slice, bit| match (bit, slice.halves()) {
            ('0', Some([half, _])) | ('1', Some([_, half])) => Ok(half),
            _ => Err(format!("{text:?} is not a slice")),
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Slices that have every key once, made by halving some.
    fn cut() -> impl Strategy<Value = Vec<Slice>> {
        prop::collection::vec(any::<prop::sample::Index>(), 0..20).prop_map(|picks| {
            let mut slices = vec![Slice::ALL];
            for pick in picks {
                let picked = slices.swap_remove(pick.index(slices.len()));
                slices.extend(picked.halves().unwrap());
            }
            slices
        })
    }

    proptest! {
        #[test]
        fn done_and_left_have_every_key_once(slices in cut(), picked: Vec<bool>, hashes: Vec<u128>) {
            let done: BTreeSet<Slice> =
                slices.iter().zip(picked).filter(|(_, picked)| *picked).map(|(slice, _)| *slice).collect();
            let left = Slice::ALL.without(&done);
            for hash in hashes {
                let holders = done.iter().chain(&left).filter(|slice| slice.has(hash)).count();
                prop_assert_eq!(holders, 1);
            }
            let shares: f64 = done.iter().chain(&left).map(|slice| slice.share()).sum();
            prop_assert!((shares - 1.0).abs() < 1e-9);
        }

        #[test]
        fn a_name_is_read_back(slices in cut()) {
            for slice in slices {
                prop_assert_eq!(slice.to_string().parse(), Ok(slice));
            }
        }
    }
}
