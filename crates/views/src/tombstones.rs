//! What holds while tombstones are removed: no event that arrives late brings back what its item had been.
//!
//! A tombstone stays because a read model without it could not tell an item that was deleted from one that is new. A moment
//! takes its place: `purged_through`, noted in the registry before anything is removed. Of an item that is not there, an event
//! at or before it creates nothing ([`PURGED`]); of one that is there, it is written under the guard as ever. The times of an
//! item's versions rise, so each event that a removed tombstone kept out is older than the tombstone, whatever the
//! clocks of their writers were.
//!
//! ```text
//! note the moment ─▶ no writer is left that does not know it ─▶ remove, each on condition that it is still that tombstone
//! ```
//!
//! - **Postgres.** The statement that writes a batch reads the moment in its own snapshot. It is noted under a lock that waits for
//!   writers and that writers wait for, so every batch is over before it or sees it.
//! - **OpenSearch.** A worker asks the registry before it writes an event that is older than [`ASKED_FROM`]. It sends nothing when
//!   `opensearch.request_timeout` has passed since, and gives up what it has sent after as long again; that much passes between
//!   the note and the first removal. For a minute more OpenSearch itself remembers what version was deleted. What is left is a
//!   process that is stopped for minutes in the very moment between its look at the clock and its write, with an event in
//!   hand that was read again after a day.
//!
//! [`LEAST_AGE`] is what makes both cheap: an event is that old only if it was replayed, or comes from a topic's past. It is longer
//! than anything that holds an event back without anybody knowing: a duplicate of a producer, a batch of a process that was
//! frozen, clocks that disagree. What holds one back for longer is looked at (unpublished, uncommitted, set aside), by
//! whoever chooses the moment.

use std::time::Duration;

use jiff::Timestamp;

use crate::Generation;

/// How old an event is at least before its tombstone may go.
pub const LEAST_AGE: Duration = Duration::from_secs(24 * 60 * 60);

/// From which age on a sink that cannot see the moment otherwise asks for it: half of [`LEAST_AGE`], for the difference of clocks.
pub const ASKED_FROM: Duration = Duration::from_secs(12 * 60 * 60);

/// The code of an event that creates nothing, because a tombstone of its item may have been removed.
pub const PURGED: &str = "Purged";

/// How long others leave a generation to whoever began to remove tombstones of it, should its process have died.
pub(crate) const CLAIM: Duration = Duration::from_secs(600);

/// How long one goes on before it claims the generation anew.
pub(crate) const SHIFT: Duration = Duration::from_secs(540);

/// Why an event was passed over, for people.
#[must_use]
pub fn refusal(generation: &Generation, through: Timestamp) -> String {
    format!(
        "the event is from before {through}, up to which tombstones of {} were removed, and nothing of its item is there: \
         whether it was deleted cannot be told. `aqueduct rebuild {}` brings back what is missing",
        generation.sink(),
        generation.view()
    )
}
