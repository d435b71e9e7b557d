//! How one version of an item gets into Kafka behind all earlier ones: the protocol, without I/O and without a clock.
//!
//! ```text
//!   Look ── unpublished ──▶ Look at the version before ──▶ …
//!    │ published, or there is none before
//!    ▼
//!   Produce ── acknowledged ──▶ Unmark ──▶ Produce the version after … up to the target ──▶ Done
//! ```
//!
//! Each step is a value whose answer leads to the next one, so that an answer that does not fit does not compile. The
//! publisher executes the steps; the search in `search.rs` tries all orders in which any number of publishers
//! and writers can take theirs, crash between them, and lose answers.
//!
//! **Why order holds without locks.** A version is produced only after the one before it is known to be in the topic: its
//! marker was gone, or this publication had its acknowledgement. So the first appearance of a version comes after the first
//! appearance of the one before, whoever produced either and however often. A publication that fails at any step is
//! dropped; rows that still have their marker are tried again from the start.

use aqueduct_contract::Version;

/// What to do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Next {
    /// Read whether a version has its marker.
    Look(Look),
    /// Send a version to Kafka, wait for the acknowledgement, then [`Unmark`] it.
    Produce(Produce),
    /// The target and all before it are published.
    Done,
}

/// A version to look at, on the way down from the target.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Look(At);

/// A version to produce, on the way up to the target.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Produce(At);

/// A version that Kafka acknowledged: its marker is to be taken off.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Unmark(At);

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct At {
    version: Version,
    target: Version,
}

/// What a version's row says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Marker {
    /// It may not be in the topic.
    Unpublished,
    /// It is in the topic, and so are all before it.
    Published,
}

impl Next {
    /// Publishes a version that this process has just written, so that its marker need not be looked at.
    pub(super) fn own(target: Version) -> Next {
        Look(At { version: target, target }).answered(Marker::Unpublished)
    }

    /// Publishes a version that may have been published meanwhile.
    pub(super) fn take_over(target: Version) -> Next {
        Next::Look(Look(At { version: target, target }))
    }

    /// The protocol without "earlier versions first", for the search to find out why it is there.
    #[cfg(test)]
    pub(super) fn without_earlier_first(target: Version) -> Next {
        Next::Produce(Produce(At { version: target, target }))
    }
}

impl Look {
    pub(super) fn version(self) -> Version {
        self.0.version
    }

    pub(super) fn answered(self, marker: Marker) -> Next {
        let At { version, target } = self.0;
        match marker {
            Marker::Published if version == target => Next::Done,
            Marker::Published => Next::Produce(Produce(At { version: version.next(), target })),
            Marker::Unpublished => match version.previous() {
                Some(version) => Next::Look(Look(At { version, target })),
                None => Next::Produce(Produce(At { version, target })),
            },
        }
    }
}

impl Produce {
    pub(super) fn version(self) -> Version {
        self.0.version
    }

    pub(super) fn acknowledged(self) -> Unmark {
        Unmark(self.0)
    }
}

impl Unmark {
    pub(super) fn version(self) -> Version {
        self.0.version
    }

    /// The marker is gone, now or before.
    pub(super) fn unmarked(self) -> Next {
        let At { version, target } = self.0;
        if version == target {
            Next::Done
        } else {
            Next::Produce(Produce(At { version: version.next(), target }))
        }
    }
}
