//! The words every part of Aqueduct shares, and how they look on the wire.
//!
//! A write becomes an [`Event`]: the immutable record of one [`Version`] of one [`Item`], found under its [`ItemKey`].
//! The store keeps the event's bytes, Kafka carries them with the [`headers`], workers read both back. Whatever one
//! process says to another is defined here and nowhere else; the JSON fixtures in `tests/wire` are promises to
//! every topic already written.
//!
//! No I/O, no clock, no randomness: callers pass them in.

mod correlation;
pub mod dead_letter;
mod event;
mod guard;
pub mod headers;
mod key;
mod names;
mod text;
mod time;
mod token;
mod version;

pub use correlation::{CorrelationId, Traceparent};
pub use event::{Attributes, Event, EventError, EventId, Happened, Item, RawEvent, RawItem};
pub use guard::Guard;
pub use key::{ItemId, ItemKey, NameError, Tenant, TypeName};
pub use names::{EVENT_PARTITIONS, Names, Worker};
pub use time::{format_time, micros};
pub use token::{Token, TokenError};
pub use version::{Version, VersionError};
