//! Names of topics, groups and tables: one place, one prefix.

use std::fmt;
use std::str::FromStr;

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

impl FromStr for Worker {
    type Err = String;

    fn from_str(text: &str) -> Result<Worker, String> {
        let found = Worker::ALL.into_iter().find(|worker| worker.to_string() == text);
        found.ok_or_else(|| format!("{text:?} is not a worker: projector, sync-rds or sync-search"))
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

    /// The worker that a consumer group belongs to; `None` for a group of another fleet.
    #[must_use]
    pub fn worker_of(&self, group: &str) -> Option<Worker> {
        let own = group.strip_prefix(&self.prefix)?.strip_prefix('.')?;
        Worker::ALL
            .into_iter()
            .find(|worker| own.strip_prefix(&worker.to_string()).is_some_and(|rest| rest.starts_with('.')))
    }

    /// A DynamoDB table: `aqueduct-events`.
    #[must_use]
    pub fn table(&self, table: &str) -> String {
        format!("{}-{table}", self.prefix)
    }
}
