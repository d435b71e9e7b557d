//! Names of topics, groups and tables: one place, one prefix.

use std::fmt;

use crate::TypeName;

/// Partitions of an events topic unless the model says otherwise. Fixed for the topic's life: another count would
/// send an item's next version to another partition, and order would be lost.
pub const EVENT_PARTITIONS: i32 = 12;

/// The kinds of worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Worker {
    /// Keeps the DynamoDB read table.
    Projector,
    /// Keeps Postgres tables.
    SyncRds,
    /// Keeps OpenSearch indexes.
    SyncSearch,
}

impl Worker {
    /// Every kind.
    pub const ALL: [Worker; 3] = [Worker::Projector, Worker::SyncRds, Worker::SyncSearch];
}

impl fmt::Display for Worker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Worker::Projector => "projector",
            Worker::SyncRds => "sync-rds",
            Worker::SyncSearch => "sync-search",
        })
    }
}

/// Makes names under a prefix, so that several fleets can share servers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Names {
    prefix: String,
}

impl Names {
    /// Names under `prefix`; `aqueduct` is the default of the settings.
    #[must_use]
    pub fn new(prefix: impl Into<String>) -> Names {
        Names { prefix: prefix.into() }
    }

    /// The topic of a type's events: `aqueduct.order.events`.
    #[must_use]
    pub fn events_topic(&self, type_name: &TypeName) -> String {
        format!("{}.{}.events", self.prefix, type_name.lower())
    }

    /// The topic of what a worker set aside: `aqueduct.sync-rds.dead-letter`.
    #[must_use]
    pub fn dead_letter_topic(&self, worker: Worker) -> String {
        format!("{}.{worker}.dead-letter", self.prefix)
    }

    /// The consumer group of one generation of a view: `aqueduct.sync-rds.orders.g1`.
    #[must_use]
    pub fn view_group(&self, worker: Worker, view: &str, generation: u32) -> String {
        format!("{}.{worker}.{view}.g{generation}", self.prefix)
    }

    /// The consumer group that keeps the `data` table: `aqueduct.projector.data`.
    #[must_use]
    pub fn data_group(&self) -> String {
        format!("{}.{}.data", self.prefix, Worker::Projector)
    }

    /// A DynamoDB table: `aqueduct-events`.
    #[must_use]
    pub fn table(&self, table: &str) -> String {
        format!("{}-{table}", self.prefix)
    }
}
