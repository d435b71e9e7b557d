//! Headers that a dead letter adds to those of its record.
//!
//! The `kafka_dlt-…` names and encodings are Spring for Apache Kafka's (`KafkaHeaders`), so that existing consoles read
//! them: partition is a big-endian int32, offset and timestamp are big-endian int64, the rest is UTF-8.

use std::collections::HashMap;

const TOPIC: &str = "kafka_dlt-original-topic";
const PARTITION: &str = "kafka_dlt-original-partition";
const OFFSET: &str = "kafka_dlt-original-offset";
const TIMESTAMP: &str = "kafka_dlt-original-timestamp";
const GROUP: &str = "kafka_dlt-original-consumer-group";
const EXCEPTION: &str = "kafka_dlt-exception-fqcn";
const MESSAGE: &str = "kafka_dlt-exception-message";
const SINK: &str = "aqueduct-sink";
const ERROR_CODE: &str = "aqueduct-error-code";
const ATTEMPTS: &str = "aqueduct-attempts";

/// Where a record came from and why it was set aside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeadLetter {
    /// The topic it stood in.
    pub topic: String,
    /// Its partition there.
    pub partition: i32,
    /// Its offset there.
    pub offset: i64,
    /// Its timestamp there, milliseconds since 1970; −1 when it had none.
    pub timestamp: i64,
    /// The consumer group that could not apply it.
    pub group: String,
    /// What it was meant for, such as `orders.g1` or `data`.
    pub sink: String,
    /// The stable code of what is wrong with it, such as `EventInvalid`.
    pub error_code: String,
    /// The same for people.
    pub message: String,
    /// How often it was tried.
    pub attempts: u32,
}

impl DeadLetter {
    /// Names and values, to be added after the record's own.
    #[must_use]
    pub fn to_pairs(&self) -> Vec<(&'static str, Vec<u8>)> {
        vec![
            (TOPIC, self.topic.clone().into_bytes()),
            (PARTITION, self.partition.to_be_bytes().to_vec()),
            (OFFSET, self.offset.to_be_bytes().to_vec()),
            (TIMESTAMP, self.timestamp.to_be_bytes().to_vec()),
            (GROUP, self.group.clone().into_bytes()),
            // Spring puts a Java class here; ours is the same kind of thing, a stable name of the failure.
            (EXCEPTION, format!("aqueduct.{}", self.error_code).into_bytes()),
            (MESSAGE, self.message.clone().into_bytes()),
            (SINK, self.sink.clone().into_bytes()),
            (ERROR_CODE, self.error_code.clone().into_bytes()),
            (ATTEMPTS, self.attempts.to_string().into_bytes()),
        ]
    }

    /// Reads them back; `None` when the record is not a dead letter of ours. Where a header stands twice (a dead
    /// letter of a dead letter) the last one counts.
    #[must_use]
    pub fn from_pairs<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a [u8])>) -> Option<DeadLetter> {
        let found: HashMap<&str, &[u8]> = pairs.into_iter().collect();
        let text = |name| found.get(name).and_then(|value| String::from_utf8(value.to_vec()).ok());
        let long =
            |name| found.get(name).and_then(|value| <[u8; 8]>::try_from(*value).ok()).map(i64::from_be_bytes);
        Some(DeadLetter {
            topic: text(TOPIC)?,
            partition: found
                .get(PARTITION)
                .and_then(|value| <[u8; 4]>::try_from(*value).ok())
                .map(i32::from_be_bytes)?,
            offset: long(OFFSET)?,
            timestamp: long(TIMESTAMP)?,
            group: text(GROUP)?,
            sink: text(SINK)?,
            error_code: text(ERROR_CODE)?,
            message: text(MESSAGE)?,
            attempts: text(ATTEMPTS)?.parse().ok()?,
        })
    }
}
