//! The `events` table: one row a version, written once.
//!
//! The row holds the exact value and headers of its Kafka record, so that every time it is published it is the same
//! bytes. While it is unpublished it carries the marker `outbox`, whose sparse index the sweeper reads. An item's versions have a partition key of their own:
//! the latest one is a query of one row.

mod append;
mod correlated;
mod existing;
mod outbox;
mod read;
mod sample;
mod scan;
mod several;
mod stored;

use aqueduct_contract::Names;
use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::types::ScalarAttributeType;

pub use append::Appended;
#[cfg(test)]
pub(crate) use append::is_own;
pub use outbox::Found;
pub(crate) use outbox::{Hint, SHARDS};
pub use stored::{Published, Record, Stored};

use crate::setup::{Index, Table};

const OUTBOX_INDEX: &str = "outbox";
/// What one request wrote, by tenant and correlation id.
const CORRELATION_INDEX: &str = "correlation";

pub(crate) fn table() -> Table {
    Table {
        name: "events",
        partition: ("item", ScalarAttributeType::S),
        sort: Some(("version", ScalarAttributeType::N)),
        indexes: vec![
            Index {
                name: OUTBOX_INDEX,
                partition: ("outbox", ScalarAttributeType::N),
                sort: Some(("created_at", ScalarAttributeType::S)),
            },
            Index { name: CORRELATION_INDEX, partition: ("correlation", ScalarAttributeType::S), sort: None },
        ],
        expires: None,
    }
}

/// The log of every item: versions 1..n, each written once by the one writer that won it.
#[derive(Clone, Debug)]
pub struct EventStore {
    client: Client,
    table: String,
    names: Names,
    record_limit: usize,
}

impl EventStore {
    /// The store under `names`.
    #[must_use]
    pub fn new(client: Client, names: &Names) -> EventStore {
        EventStore { client, table: names.table("events"), names: names.clone(), record_limit: usize::MAX }
    }

    /// Refuses events whose record has more than `bytes`: [`kafka::Settings::record_limit`](crate::kafka::Settings), for
    /// a store that is written to. What the producer does not take would be stored and never published.
    #[must_use]
    pub fn with_record_limit(mut self, bytes: usize) -> EventStore {
        self.record_limit = bytes;
        self
    }
}
