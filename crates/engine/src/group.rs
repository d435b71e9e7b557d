//! What one consumer group is.

use aqueduct_contract::Worker;

/// One consumer group: a sink, the topics it is fed from, and the names under which its position, its letters and its
/// metrics are found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    /// The id of the consumer group: `aqueduct.sync-rds.orders.g1`.
    pub id: String,
    /// The kind of worker, which names the dead-letter topic.
    pub worker: Worker,
    /// What it writes to, as dead letters name it: `orders.g1` or `data`.
    pub sink: String,
    /// The topics it reads.
    pub topics: Vec<String>,
}
