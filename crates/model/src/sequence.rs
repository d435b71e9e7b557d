//! Ids of new items from a counter: `ORD-000017`.

use aqueduct_contract::ItemId;
use jiff::Timestamp;

/// How often a counter begins again. Dates are UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rotation {
    /// One counter for ever.
    Never,
    /// A counter a day.
    Daily,
    /// A counter a month.
    Monthly,
    /// A counter a year.
    Yearly,
}

/// Makes ids from the numbers of a counter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sequence {
    rotate: Rotation,
}

/// A number that makes no id.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SequenceError {
    /// The counter is beyond what an id can hold.
    #[error("the sequence is exhausted")]
    Exhausted,
}

impl Sequence {
    /// Which counter to draw from at `now`: the last part of its sort key, such as `all` or `2026-11`.
    #[must_use]
    pub fn counter(&self, now: Timestamp) -> String {
        match self.rotate {
            Rotation::Never => "all".to_owned(),
            Rotation::Daily => now.strftime("%Y-%m-%d").to_string(),
            Rotation::Monthly => now.strftime("%Y-%m").to_string(),
            Rotation::Yearly => now.strftime("%Y").to_string(),
        }
    }

    /// The id for the `count`-th draw (from 1) of the counter of `now`.
    pub fn format(&self, count: u64, now: Timestamp) -> Result<ItemId, SequenceError> {
        let _ = now;
        count.to_string().parse().map_err(|_| SequenceError::Exhausted)
    }
}
