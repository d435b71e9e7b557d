//! From a command to a version: what command-api and whatever else writes items both do.
//!
//! ```text
//! Command + Expected + Origin
//!     │
//!     ▼
//! Writer::write ── latest ──▶ decide ── Change ──▶ stamp ── Event ──▶ append ──▶ submit to the publisher
//!     ▲                        pure                 pure                │
//!     └───────────────── lost the race: again, five times at most ◀─────┘
//! ```
//!
//! [`decide`] holds the rules and [`stamp`] the bookkeeping; neither does I/O, and both are told the time. [`Writer`]
//! is the only way an item changes.

mod command;
mod decide;
mod moment;
mod stamp;
mod writer;

pub use command::{Command, Expected, Origin};
pub use decide::{Change, Refused, decide};
pub use moment::{Moment, Moments};
pub use stamp::stamp;
pub use writer::{Error, Writer};
