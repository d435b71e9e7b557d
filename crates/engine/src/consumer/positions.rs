//! Where this group starts in its partitions.

use std::time::Duration;

use aqueduct_store::kafka::{self, Position};
use rdkafka::consumer::{BaseConsumer, ConsumerContext};
use rdkafka::error::KafkaResult;
use rdkafka::{Offset, TopicPartitionList};
use tracing::error;

/// Where to start reading a partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Start {
    pub(super) topic: String,
    pub(super) partition: i32,
    pub(super) offset: i64,
    pub(super) committed: Option<i64>,
    /// Records between the position and the start: gone, and never read by this group.
    pub(super) lost: i64,
    position: Position,
}

impl Start {
    fn of(position: Position) -> Start {
        Start {
            topic: position.topic.clone(),
            partition: position.partition,
            offset: position.next(),
            committed: position.committed,
            lost: position.lost(),
            position,
        }
    }

    /// Says loudly that records are gone.
    pub(super) fn report_loss(&self) {
        if self.lost > 0 {
            error!(
                topic = self.topic,
                partition = self.partition,
                lost = self.lost,
                resumed_at = self.offset,
                "retention removed records before this group had read them: what they changed is missing in the sink until \
                 the item is written again; compare with `aqueduct verify` and rebuild"
            );
        }
    }

    /// Where to start again when `next` is what would be read next; `None` when that is still there.
    pub(super) fn again_from(self, next: i64) -> Option<Start> {
        let again = Start::of(Position { committed: Some(next), ..self.position });
        (again.lost > 0).then_some(Start { committed: self.committed, ..again })
    }
}

/// These partitions and where they start, as librdkafka takes them.
pub(super) fn list(starts: &[Start]) -> TopicPartitionList {
    let mut list = TopicPartitionList::new();
    for start in starts {
        let offset = Offset::Offset(start.offset);
        if let Err(error) = list.add_partition_offset(&start.topic, start.partition, offset) {
            error!(%error, ?start, "a partition cannot be assigned");
        }
    }
    list
}

/// Where the group starts in each of the partitions.
pub(super) fn starts<C: ConsumerContext>(
    consumer: &BaseConsumer<C>,
    partitions: &TopicPartitionList,
    timeout: Duration,
) -> KafkaResult<Vec<Start>> {
    Ok(kafka::positions(consumer, partitions, timeout)?.into_iter().map(Start::of).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_position_out_of_range_starts_again() {
        let position =
            Position { topic: "t".into(), partition: 0, committed: Some(10), earliest: 7, end: 20 };
        let at = Start::of(position);
        assert_eq!(at.clone().again_from(15), None);
        let again = at.again_from(5).unwrap();
        assert_eq!((again.offset, again.lost, again.committed), (7, 2, Some(10)));
    }
}
