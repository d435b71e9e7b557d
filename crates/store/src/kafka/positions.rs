//! Where a partition begins, where it ends, and where a group stands in it. Asked by the group's own members, and by
//! those who only look ([`Group`](super::Group)).

use std::collections::HashMap;
use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::KafkaResult;
use rdkafka::{Offset, TopicPartitionList};

/// Where a group stands in a partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Position {
    /// The topic.
    pub topic: String,
    /// The partition.
    pub partition: i32,
    /// What the group has committed: the offset that it reads next. `None` for a group that never did.
    pub committed: Option<i64>,
    /// The first record that retention has left.
    pub earliest: i64,
    /// The offset of the next record to be written.
    pub end: i64,
}

impl Position {
    /// Where a member of the group goes on: a new group starts with the earliest record, so does one whose position is out
    /// of range.
    #[must_use]
    pub fn next(&self) -> i64 {
        self.committed
            .filter(|position| (self.earliest..=self.end).contains(position))
            .unwrap_or(self.earliest)
    }

    /// Records between what is committed and where a member goes on: gone, and never read by this group.
    #[must_use]
    pub fn lost(&self) -> i64 {
        match self.committed {
            Some(position) if position < self.earliest => self.earliest - position,
            // Beyond the end the topic is another one than it was: how much of the old one was not read, nobody knows.
            Some(position) if position > self.end => 1,
            _ => 0,
        }
    }

    /// Records that the group still has to read.
    #[must_use]
    pub fn lag(&self) -> i64 {
        self.end - self.next()
    }
}

/// Where the group of `consumer` stands in each of the partitions. Blocks, for at most three times `timeout`.
pub fn positions<C: ConsumerContext>(
    consumer: &BaseConsumer<C>,
    partitions: &TopicPartitionList,
    timeout: Duration,
) -> KafkaResult<Vec<Position>> {
    if partitions.count() == 0 {
        return Ok(Vec::new());
    }
    let committed = consumer.committed_offsets(partitions.clone(), timeout)?;
    let earliest = ask(consumer, partitions, Offset::Beginning, timeout)?;
    let end = ends(consumer, partitions, timeout)?;
    let mut positions = Vec::new();
    for element in committed.elements() {
        element.error()?;
        let (topic, partition) = (element.topic().to_owned(), element.partition());
        let committed = match element.offset() {
            Offset::Offset(offset) => Some(offset),
            _ => None,
        };
        let asked = (topic, partition);
        let (Some(&earliest), Some(&end)) = (earliest.get(&asked), end.get(&asked)) else { continue };
        positions.push(Position { topic: asked.0, partition, committed, earliest, end });
    }
    Ok(positions)
}

/// The end of each of the partitions: the offset of the next record to be written there. Blocks, for at most `timeout`.
pub fn ends<C: ConsumerContext>(
    consumer: &BaseConsumer<C>,
    partitions: &TopicPartitionList,
    timeout: Duration,
) -> KafkaResult<HashMap<(String, i32), i64>> {
    ask(consumer, partitions, Offset::End, timeout)
}

/// One request to each broker, not one a partition. The special offsets are what the protocol uses as special times; an
/// offset is a time in milliseconds. A partition without a record since then is not in the answer.
pub(super) fn ask<C: ConsumerContext>(
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
        let position = Position { topic: "t".into(), partition: 0, committed, earliest, end };
        (position.next(), position.lost())
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
}
