//! The DynamoDB tables, and the publisher that carries events from there to Kafka.
//!
//! A write is one conditional Put into [`EventStore`]; the row it makes is also the outbox. The [`Publisher`] sends
//! it to Kafka, behind every earlier version of its item, and takes the outbox marker off; its sweeper does the same
//! for what a dead process left. Workers read events back from Kafka and keep [`DataTable`] and other read models;
//! what they cannot apply has a row in [`Letters`], and what people do about it one in [`audit`]. Ids with a running number come from [`Sequences`].
//!
//! [`setup`] makes the tables, [`topics`] the topics; both change nothing that already stands.

pub mod audit;
pub mod data;
pub mod dynamodb;
mod error;
pub mod events;
pub mod kafka;
pub mod letters;
pub mod publisher;
mod row;
mod sequences;
mod sessions;
mod setup;
pub mod topics;

pub use data::DataTable;
pub use error::{BoxError, Error};
pub use events::{Appended, EventStore, Stored};
pub use letters::{Letter, Letters};
pub use publisher::Publisher;
pub use sequences::Sequences;
pub use sessions::Sessions;
pub use setup::setup;

/// What every read and write of this crate returns.
pub type Result<T, E = Error> = std::result::Result<T, E>;
