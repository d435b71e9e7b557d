//! The Kafka producer: idempotent, acknowledged by all replicas in sync, partitioned as Java clients do.

use std::time::Duration;

use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::{FutureProducer, FutureRecord, Producer as _};
use rdkafka::util::Timeout;

use crate::events::{Published, Record};
use crate::{Error, Result, kafka};

#[derive(Clone)]
pub(super) struct Producer(FutureProducer);

/// Why a record was not acknowledged. It may be in the topic all the same.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    /// Another try can succeed.
    #[error("Kafka did not acknowledge: {0}")]
    Unacknowledged(KafkaError),
    /// This producer will never send again: only a new one can, in a new process.
    #[error("the producer is beyond repair: {0:?}: {1}")]
    Broken(RDKafkaErrorCode, String),
}

impl Producer {
    pub(super) fn new(kafka: &kafka::Settings) -> Result<Producer> {
        let mut config = kafka.client_config();
        config
            .set("acks", "all")
            .set("enable.idempotence", "true")
            .set("partitioner", "murmur2_random")
            // One record waits for company no longer than a broker takes to answer.
            .set("linger.ms", "2")
            // Then the publication gives its place to another; the sweeper comes back to it.
            .set("message.timeout.ms", "10000");
        kafka.apply_properties(&mut config);
        config.create().map(Producer).map_err(|error| Error::Refused(Box::new(error)))
    }

    /// Sends the record and waits for the acknowledgement.
    pub(super) async fn send(&self, topic: &str, record: &Record) -> Result<Published, Failure> {
        let key = record.key.to_string();
        let message = FutureRecord::to(topic)
            .key(&key)
            .payload(&record.value)
            .headers(record.kafka_headers())
            // The event's own time, so that a repeat differs in nothing.
            .timestamp(record.created_at.as_millisecond());
        match self.0.send(message, Timeout::After(Duration::ZERO)).await {
            Ok(delivery) => Ok(Published { partition: delivery.partition, offset: delivery.offset }),
            Err((error, _)) => Err(match self.0.client().fatal_error() {
                Some((code, reason)) => Failure::Broken(code, reason),
                None => Failure::Unacknowledged(error),
            }),
        }
    }
}
