//! Digests of many entries, by which two stores are compared without either showing its entries to the other.
//!
//! An entry belongs to one of [`COUNT`] buckets by its key and adds its digest to it. Buckets that are equal hold the same
//! entries, but for a chance of one in 2⁶⁴; those that differ are looked into. Their number is fixed, so memory is, too.
//! Digests are MD5, not against forgery but because Postgres computes them without an extension.

use std::collections::BTreeSet;

use aqueduct_contract::{ItemKey, Tenant};
use md5::{Digest, Md5};

/// The bits of a digest of a key that say its bucket: with a million entries about 250 in each.
pub(crate) const BITS: u32 = 12;
const COUNT: usize = 1 << BITS;

/// What entries add to a bucket.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Share {
    pub(crate) entries: u64,
    /// Exclusive or of their digests.
    pub(crate) digest: u64,
}

impl Share {
    /// One entry, by the text that says all of it.
    pub(crate) fn of(text: &[u8]) -> Share {
        // The first half of its MD5.
        let digest = Md5::digest(text).iter().take(8).fold(0, |digest, byte| digest << 8 | u64::from(*byte));
        Share { entries: 1, digest }
    }

    pub(crate) fn add(&mut self, other: Share) {
        self.entries += other.entries;
        self.digest ^= other.digest;
    }
}

/// What a bucket holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Bucket {
    share: Share,
    /// Holds an entry whose digest nobody knows, so that it has to be looked into.
    doubted: bool,
}

/// Of every bucket what it holds.
#[derive(Clone, Debug)]
pub(crate) struct Buckets(Vec<Bucket>);

impl Default for Buckets {
    fn default() -> Buckets {
        Buckets(vec![Bucket::default(); COUNT])
    }
}

impl Buckets {
    pub(crate) fn add(&mut self, bucket: usize, share: Share) {
        if let Some(bucket) = self.0.get_mut(bucket) {
            bucket.share.add(share);
        }
    }

    pub(crate) fn doubt(&mut self, bucket: usize) {
        if let Some(bucket) = self.0.get_mut(bucket) {
            bucket.doubted = true;
        }
    }

    /// The same as if all entries of `other` had been added here.
    pub(crate) fn merge(&mut self, other: &Buckets) {
        for (own, other) in self.0.iter_mut().zip(&other.0) {
            own.share.add(other.share);
            own.doubted |= other.doubted;
        }
    }

    /// The buckets that have to be looked into.
    pub(crate) fn differing(&self, other: &Buckets) -> Differing {
        let pairs = self.0.iter().zip(&other.0).enumerate();
        let differing = pairs.filter(|(_, (own, other))| own != other || own.doubted || other.doubted);
        Differing(differing.map(|(bucket, _)| bucket).collect())
    }
}

/// Buckets in which two stores differ.
#[derive(Clone, Debug, Default)]
pub(crate) struct Differing(BTreeSet<usize>);

impl Differing {
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn contains(&self, key: &ItemKey) -> bool {
        self.0.contains(&bucket_of(key.tenant(), key.id().as_str()))
    }

    /// As Postgres takes an array of integers.
    pub(crate) fn numbers(&self) -> Vec<i32> {
        self.0.iter().filter_map(|bucket| i32::try_from(*bucket).ok()).collect()
    }
}

/// The bucket of the item with this id. In a read model of several types those with equal ids share one.
pub(crate) fn bucket_of(tenant: &Tenant, id: &str) -> usize {
    let digest = Md5::new().chain_update(tenant.as_str()).chain_update("|").chain_update(id).finalize();
    // The first three hexadecimal digits.
    usize::from(digest[0]) << 4 | usize::from(digest[1]) >> 4
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(id: &str) -> ItemKey {
        ItemKey::new("acme".parse().unwrap(), "ORDER".parse().unwrap(), id.parse().unwrap()).unwrap()
    }

    fn of<'e>(entries: impl IntoIterator<Item = (&'e str, &'e str)>) -> Buckets {
        let mut buckets = Buckets::default();
        for (id, text) in entries {
            buckets.add(bucket_of(key(id).tenant(), id), Share::of(text.as_bytes()));
        }
        buckets
    }

    #[test]
    fn the_same_entries_in_any_order_and_any_parts_do_not_differ() {
        let all = of([("a", "1"), ("b", "2"), ("c", "3")]);
        let mut parts = of([("c", "3")]);
        parts.merge(&of([("b", "2"), ("a", "1")]));
        assert!(all.differing(&parts).is_empty());
    }

    #[test]
    fn what_differs_is_in_a_bucket_that_differs_and_little_else_is() {
        let base = of([("a", "1"), ("b", "2")]);
        for other in
            [of([("a", "1"), ("b", "3")]), of([("a", "1")]), of([("a", "1"), ("b", "2"), ("b", "2")])]
        {
            let differing = base.differing(&other);
            assert!(differing.contains(&key("b")));
            assert!(!differing.contains(&key("a")));
        }
    }

    #[test]
    fn an_entry_that_nobody_can_digest_is_looked_into() {
        let (mut one, other) = (of([("a", "1")]), of([("a", "1")]));
        one.doubt(bucket_of(key("a").tenant(), "a"));
        assert!(one.differing(&other).contains(&key("a")) && other.differing(&one).contains(&key("a")));
    }

    #[test]
    fn digests_are_those_of_postgres() {
        // SELECT left(md5('lantern'), 16), left(md5('acme|P-1'), 3)
        assert_eq!(format!("{:016x}", Share::of(b"").digest), "d41d8cd98f00b204");
        assert_eq!(format!("{:016x}", Share::of(b"lantern").digest), md5_of("lantern")[..16]);
        assert_eq!(format!("{:03x}", bucket_of(key("P-1").tenant(), "P-1")), md5_of("acme|P-1")[..3]);
    }

    fn md5_of(text: &str) -> String {
        Md5::digest(text).iter().map(|byte| format!("{byte:02x}")).collect()
    }
}
