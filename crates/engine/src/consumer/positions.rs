//! Where a partition begins, where it ends, and where this group stands in it.

use std::collections::HashMap;
use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
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
    earliest: i64,
    end: i64,
}

impl Start {
    /// A new group starts with the earliest record, so does one whose position is out of range.
    fn new(topic: String, partition: i32, committed: Option<i64>, earliest: i64, end: i64) -> Start {
        let at_earliest = Start { topic, partition, offset: earliest, committed, lost: 0, earliest, end };
        match committed {
            Some(position) if (earliest..=end).contains(&position) => {
                Start { offset: position, ..at_earliest }
            }
            Some(position) => at_earliest.after_gap(position),
            None => at_earliest,
        }
    }

    fn after_gap(self, position: i64) -> Start {
        // Beyond the end the topic is another one than it was: how much of the old one was not read, nobody knows.
        let lost = if position < self.earliest { self.earliest - position } else { 1 };
        Start { offset: self.earliest, lost, ..self }
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
        (!(self.earliest..=self.end).contains(&next)).then(|| self.after_gap(next))
    }
}

/// These partitions, without and with where they start.
pub(super) fn lists(starts: &[Start]) -> (TopicPartitionList, TopicPartitionList) {
    let (mut partitions, mut begun) = (TopicPartitionList::new(), TopicPartitionList::new());
    for start in starts {
        partitions.add_partition(&start.topic, start.partition);
        if let Err(error) =
            begun.add_partition_offset(&start.topic, start.partition, Offset::Offset(start.offset))
        {
            error!(%error, ?start, "a partition cannot be assigned");
        }
    }
    (partitions, begun)
}

/// Where the group starts in each of the partitions.
pub(super) fn starts<C: ConsumerContext>(
    consumer: &BaseConsumer<C>,
    partitions: &TopicPartitionList,
    timeout: Duration,
) -> KafkaResult<Vec<Start>> {
    if partitions.count() == 0 {
        return Ok(Vec::new());
    }
    let committed = consumer.committed_offsets(partitions.clone(), timeout)?;
    let earliest = ask(consumer, partitions, Offset::Beginning, timeout)?;
    let end = ask(consumer, partitions, Offset::End, timeout)?;
    let mut starts = Vec::new();
    for element in committed.elements() {
        element.error()?;
        let partition = (element.topic().to_owned(), element.partition());
        let position = match element.offset() {
            Offset::Offset(offset) => Some(offset),
            _ => None,
        };
        let (Some(earliest), Some(end)) = (earliest.get(&partition), end.get(&partition)) else { continue };
        starts.push(Start::new(partition.0, partition.1, position, *earliest, *end));
    }
    Ok(starts)
}

/// The end of each of the partitions: the offset of the next record to be written there.
pub(crate) fn ends<C: ConsumerContext>(
    consumer: &BaseConsumer<C>,
    partitions: &TopicPartitionList,
    timeout: Duration,
) -> KafkaResult<HashMap<(String, i32), i64>> {
    ask(consumer, partitions, Offset::End, timeout)
}

/// One request to each broker, not one a partition. The special offsets are what the protocol uses as special times.
fn ask<C: ConsumerContext>(
    consumer: &BaseConsumer<C>,
    partitions: &TopicPartitionList,
    which: Offset,
    timeout: Duration,
) -> KafkaResult<HashMap<(String, i32), i64>> {
    let mut list = partitions.clone();
    list.set_all_offsets(which)?;
    let answer = consumer.offsets_for_times(list, timeout)?;
    let mut offsets = HashMap::new();
    for element in answer.elements() {
        element.error()?;
        if let Offset::Offset(offset) = element.offset() {
            offsets.insert((element.topic().to_owned(), element.partition()), offset);
        }
    }
    Ok(offsets)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn start(committed: Option<i64>, earliest: i64, end: i64) -> (i64, i64) {
        let start = Start::new("t".into(), 0, committed, earliest, end);
        (start.offset, start.lost)
    }

    #[test]
    fn a_new_group_starts_with_the_earliest_record() {
        assert_eq!(start(None, 7, 20), (7, 0));
    }

    #[test]
    fn a_known_group_goes_on_where_it_was() {
        assert_eq!(start(Some(7), 7, 20), (7, 0));
        assert_eq!(start(Some(20), 7, 20), (20, 0));
    }

    #[test]
    fn records_that_retention_took_are_counted_as_lost() {
        assert_eq!(start(Some(3), 7, 20), (7, 4));
    }

    #[test]
    fn a_topic_made_anew_is_read_from_its_beginning_and_counts_as_a_loss() {
        assert_eq!(start(Some(21), 0, 20), (0, 1));
    }

    #[test]
    fn only_a_position_out_of_range_starts_again() {
        let at = Start::new("t".into(), 0, Some(10), 7, 20);
        assert_eq!(at.clone().again_from(15), None);
        assert_eq!(at.again_from(5).map(|again| (again.offset, again.lost)), Some((7, 2)));
    }
}
