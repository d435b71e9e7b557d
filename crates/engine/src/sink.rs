//! The seam between the engine and what a worker writes to.

use std::fmt;
use std::future::Future;

use crate::Record;

/// The error of a client library, kept as the cause.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Something that events are applied to: a table, an index, a read table.
///
/// The engine calls [`apply`](Sink::apply) for several lanes at the same time, never for the same key twice at once. It calls
/// again with records that were applied before: after a crash, a rebalance or an error, so applying must be idempotent.
/// A call may be dropped at any await point when a deadline passes.
pub trait Sink: Send + Sync + 'static {
    /// What the engine may do with a batch before it arrives here.
    const NEEDS: Needs;

    /// Applies a batch and says of each record, in the order of the batch, what became of it. An error concerns the
    /// whole batch; records of it may have been applied nevertheless, they come again.
    fn apply(&self, batch: &[Record]) -> impl Future<Output = Result<Vec<Outcome>, SinkError>> + Send;

    /// Whether the store answers. Asked now and then while nothing is applied, for readiness.
    fn ready(&self) -> impl Future<Output = Result<(), BoxError>> + Send {
        async { Ok(()) }
    }
}

/// What a sink needs of the events of one item.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Needs {
    /// The latest state is enough: events carry the whole item, so of a batch only the highest version of each key arrives.
    State,
    /// Every event counts: a batch holds all versions in the order of the topic. Where one of a key is neither applied nor at
    /// fault, the later ones of that key have to wait with it, with the same outcome.
    EveryEvent,
}

/// What became of one record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The store holds it now.
    Applied,
    /// The store held this version or a later one already.
    Stale,
    /// It is none of this sink's business.
    Ignored(Reason),
    /// The record is at fault: no attempt will ever succeed. It becomes a dead letter at once.
    Poison(Reason),
    /// It did not work and nobody knows whether it ever will: a few attempts, then it is a dead letter.
    Retry(Reason),
    /// The store refused this record for want of capacity: it is tried again for as long as it takes.
    Throttled(Reason),
}

impl Outcome {
    /// The sink does not hold it, and it was not passed over for a reason.
    pub(crate) fn is_failure(&self) -> bool {
        matches!(self, Outcome::Poison(_) | Outcome::Retry(_) | Outcome::Throttled(_))
    }
}

/// What failed, in two forms: one for programs, one for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reason {
    /// Stable, in CamelCase: `EventInvalid`, `ValueOutOfRange`.
    pub code: &'static str,
    /// The same for people. It goes into logs, letters and dead letters.
    pub message: String,
}

impl Reason {
    /// The code of a record that is not an event: bytes no publisher of ours wrote.
    pub const EVENT_INVALID: &'static str = "EventInvalid";

    /// A reason with its code and message.
    #[must_use]
    pub fn new(code: &'static str, message: impl Into<String>) -> Reason {
        Reason { code, message: message.into() }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code, self.message)
    }
}

/// Why a whole batch did not go through, named by what the engine does about it.
#[derive(Debug, thiserror::Error)]
pub enum SinkError {
    /// The store is down or out of reach: back off and try the batch again, for ever.
    #[error("store unavailable")]
    Unavailable(#[source] BoxError),
    /// The store wants less: slow down and try the batch again, for ever.
    #[error("store saturated")]
    Saturated,
    /// One record of the batch is at fault and the store does not say which: the engine halves the batch until it is found.
    /// For a batch of one record it is [`Outcome::Poison`].
    #[error("a record of the batch is at fault: {0}")]
    Poison(Reason),
    /// The schema or the code is at fault: stop the process, commit nothing.
    #[error("schema or code fault")]
    Fatal(#[source] BoxError),
}
