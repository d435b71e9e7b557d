//! When the events were written that a group has not committed.

use std::time::{Duration, Instant};

use aqueduct_contract::RawEvent;
use jiff::Timestamp;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{BorrowedMessage, Message};
use rdkafka::{Offset, TopicPartitionList};

use super::Position;

/// For all of it.
const TIMEOUT: Duration = Duration::from_secs(30);
const POLL: Duration = Duration::from_millis(100);

/// What a group has not committed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Waiting {
    /// Nothing.
    None,
    /// Records, of which the event that was written first is this one.
    Since {
        /// Its topic.
        topic: String,
        /// Its partition.
        partition: i32,
        /// When it was written.
        written: Timestamp,
    },
    /// So many records that they were not read.
    Many(i64),
}

pub(super) fn read(
    consumer: &BaseConsumer,
    positions: &[Position],
    at_most: i64,
) -> Result<Waiting, KafkaError> {
    let behind = || positions.iter().filter(|position| position.lag() > 0);
    let all: i64 = behind().map(Position::lag).sum();
    if all > at_most {
        return Ok(Waiting::Many(all));
    }
    let mut assigned = TopicPartitionList::new();
    for position in behind() {
        assigned.add_partition_offset(
            &position.topic,
            position.partition,
            Offset::Offset(position.next()),
        )?;
    }
    consumer.assign(&assigned)?;
    let mut oldest: Option<(Timestamp, &Position)> = None;
    let mut left: Vec<&Position> = behind().collect();
    let deadline = Instant::now() + TIMEOUT;
    while !left.is_empty() {
        if Instant::now() >= deadline {
            return Err(KafkaError::MessageConsumption(RDKafkaErrorCode::OperationTimedOut));
        }
        let Some(message) = consumer.poll(POLL) else { continue };
        let message = message?;
        let is_of = |position: &&Position| {
            (position.topic.as_str(), position.partition) == (message.topic(), message.partition())
        };
        let Some(position) = left.iter().copied().find(is_of) else { continue };
        if message.offset() < position.end
            && let Some(written) = written(&message)
            && oldest.is_none_or(|(before, _)| written < before)
        {
            oldest = Some((written, position));
        }
        if message.offset() + 1 >= position.end {
            left.retain(|position| !is_of(position));
        }
    }
    Ok(oldest.map_or(Waiting::None, |(written, position)| Waiting::Since {
        topic: position.topic.clone(),
        partition: position.partition,
        written,
    }))
}

/// When the event of a record was written; of a record that is no event, when the record was.
fn written(message: &BorrowedMessage<'_>) -> Option<Timestamp> {
    let event = message.payload().and_then(|value| RawEvent::from_json(value).ok());
    let record = || message.timestamp().to_millis().and_then(|at| Timestamp::from_millisecond(at).ok());
    event.map(|event| event.item.updated_at).or_else(record)
}
