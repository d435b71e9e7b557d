//! What is loaded in one go, and what is known of it afterwards.

use std::str::FromStr;

use aqueduct_engine::{BoxError, Reason, Record};
use serde::{Deserialize, Serialize};

use super::slice::Slice;

/// A partition's slice of items, or a segment of the read table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Unit {
    /// The partition or segment.
    pub(super) place: i32,
    /// Of a segment all keys.
    pub(super) slice: Slice,
}

/// What was written of records.
#[derive(Debug, Default)]
pub(super) struct Written {
    pub(super) rows: u64,
    pub(super) tombstones: u64,
    pub(super) failed: Vec<Failed>,
}

/// A record that cannot be written, by its place among those that were to be.
#[derive(Debug)]
pub(super) struct Failed {
    pub(super) index: usize,
    pub(super) reason: Reason,
}

/// What is noted of a unit that is done.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq, Serialize)]
pub(super) struct Counts {
    /// Rows or documents that readers see.
    pub(super) rows: u64,
    /// Those of deleted items.
    pub(super) tombstones: u64,
    /// Items whose latest version was set aside.
    pub(super) letters: u64,
}

/// The store did not do it, and no record is to blame.
#[derive(Debug, thiserror::Error)]
#[error("{}", causes(.0.as_ref()))]
pub(super) struct Outage(pub(super) BoxError);

impl Outage {
    /// Whether the load is another process's by now: then nothing is to be tried again.
    pub(super) fn is_final(&self) -> bool {
        let error = self.0.downcast_ref::<aqueduct_views::Error>();
        error.is_some_and(|error| matches!(error, aqueduct_views::Error::ClaimLost))
    }
}

fn causes(error: &(dyn std::error::Error + 'static)) -> String {
    let causes = std::iter::successors(Some(error), |cause| cause.source()).map(ToString::to_string);
    causes
        .reduce(|said, cause| if said.contains(&cause) { said } else { format!("{said}: {cause}") })
        .unwrap_or_default()
}

impl Written {
    /// Counts a record that was written.
    pub(super) fn count(&mut self, record: &Record) {
        if record.item().is_ok_and(|item| item.deleted) {
            self.tombstones += 1;
        } else {
            self.rows += 1;
        }
    }

    /// Adds what was written of the records at and after `from`.
    pub(super) fn add(&mut self, from: usize, later: Written) {
        self.rows += later.rows;
        self.tombstones += later.tombstones;
        let failed = later.failed.into_iter();
        self.failed.extend(failed.map(|Failed { index, reason }| Failed { index: from + index, reason }));
    }
}

impl std::ops::AddAssign for Counts {
    fn add_assign(&mut self, other: Counts) {
        self.rows += other.rows;
        self.tombstones += other.tombstones;
        self.letters += other.letters;
    }
}

impl std::fmt::Display for Unit {
    /// `3/010`.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.place, self.slice)
    }
}

impl FromStr for Unit {
    type Err = String;

    fn from_str(text: &str) -> Result<Unit, String> {
        let wrong = || format!("{text:?} is not a unit of a load");
        let (place, slice) = text.split_once('/').ok_or_else(wrong)?;
        Ok(Unit { place: place.parse().map_err(|_| wrong())?, slice: slice.parse()? })
    }
}
