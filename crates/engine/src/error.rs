//! Why a group stops by itself.

use crate::BoxError;

/// Why a group stopped although nobody asked it to. What it had not committed is read again by whoever comes next.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A client for Kafka could not be made, or is beyond repair.
    #[error("Kafka: {0}")]
    Kafka(#[from] rdkafka::error::KafkaError),
    /// The thread that polls Kafka could not be started, or is gone.
    #[error("the consumer of {group}: {reason}")]
    Consumer {
        /// The consumer group.
        group: String,
        /// What became of it.
        reason: String,
    },
    /// The sink said so: its schema or code is at fault.
    #[error("the sink of {group} cannot go on: {}", crate::settlement::chain(.source.as_ref()))]
    Sink {
        /// The consumer group.
        group: String,
        /// What the sink said.
        source: BoxError,
    },
    /// A sink panicked.
    #[error("a batch of {group} did not end: {source}")]
    Batch {
        /// The consumer group.
        group: String,
        /// How it ended.
        source: tokio::task::JoinError,
    },
}
