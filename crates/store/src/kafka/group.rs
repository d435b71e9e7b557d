//! A consumer group, looked at from outside: by who is never a member of it, so that it works whether or not a worker
//! runs, and disturbs none that does.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use rdkafka::admin::{AdminClient, AdminOptions};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::Message;
use rdkafka::{Offset, TopicPartitionList};
use tokio::task::spawn_blocking;

use super::{Position, Settings, Waiting, assignment, positions, waiting};
use crate::{Error, Result};

const ASK_TIMEOUT: Duration = Duration::from_secs(10);
/// A record is wanted of each partition that lags, and no more than one.
const OLDEST_TIMEOUT: Duration = Duration::from_secs(5);

/// One consumer group and the topics it reads. Cheap to clone; each question makes its own connection, because Kafka's
/// client is of one group, and a group is asked seldom.
#[derive(Clone, Debug)]
pub struct Group {
    kafka: Settings,
    id: String,
    topics: Vec<String>,
}

/// A member of a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// The id that the broker gave it: another one at each start of the process.
    pub id: String,
    /// What it calls itself.
    pub client: String,
    /// The address from which it reached the broker.
    pub host: String,
    /// Topics and partitions that it has.
    pub partitions: Vec<(String, i32)>,
}

/// Where a group stands in a partition, and since when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    /// Offsets.
    pub position: Position,
    /// When the oldest record that the group has not committed was written; `None` when there is none, or none could be
    /// read.
    pub oldest: Option<Timestamp>,
}

impl Standing {
    /// The age of the oldest uncommitted record; 0 when there is none, `None` when it is not known.
    #[must_use]
    pub fn age(&self, now: Timestamp) -> Option<Duration> {
        match self.oldest {
            // Its clock may be ahead of ours.
            Some(oldest) => Some(Duration::try_from(now.duration_since(oldest)).unwrap_or_default()),
            None => (self.position.lag() == 0).then_some(Duration::ZERO),
        }
    }
}

impl Group {
    /// The group `id` over `topics`. Nothing is sent yet.
    #[must_use]
    pub fn new(kafka: &Settings, id: &str, topics: &[String]) -> Group {
        Group { kafka: kafka.clone(), id: id.to_owned(), topics: topics.to_owned() }
    }

    /// Where the group stands in every partition of its topics, by topic and partition: also where it never committed.
    /// Reads the oldest record of each partition that lags.
    pub async fn standings(&self) -> Result<Vec<Standing>> {
        self.ask(|consumer, partitions| {
            let mut positions = positions(consumer, partitions, ASK_TIMEOUT)?;
            positions.sort_by(|one, other| (&one.topic, one.partition).cmp(&(&other.topic, other.partition)));
            let oldest = oldest(consumer, &positions)?;
            let standing = |position: Position| Standing {
                oldest: oldest.get(&(position.topic.clone(), position.partition)).copied(),
                position,
            };
            Ok(positions.into_iter().map(standing).collect())
        })
        .await
    }

    /// What the group has not committed, and when the oldest event of it was written: not its first record, since an event may
    /// have been published late. Reads all of it, unless that is more than `at_most` records.
    pub async fn waiting(&self, at_most: i64) -> Result<Waiting> {
        self.ask(move |consumer, partitions| {
            waiting::read(consumer, &positions(consumer, partitions, ASK_TIMEOUT)?, at_most)
        })
        .await
    }

    /// Where the group stands, without reading any record.
    pub async fn positions(&self) -> Result<Vec<Position>> {
        self.ask(|consumer, partitions| positions(consumer, partitions, ASK_TIMEOUT)).await
    }

    /// The first record of each partition that was written at `time` or after; partitions without one are left out.
    pub async fn offsets_at(&self, time: Timestamp) -> Result<HashMap<(String, i32), i64>> {
        let time = Offset::Offset(time.as_millisecond());
        self.ask(move |consumer, partitions| positions::ask(consumer, partitions, time, ASK_TIMEOUT)).await
    }

    /// The members that the group has now.
    pub async fn members(&self) -> Result<Vec<Member>> {
        let id = self.id.clone();
        self.ask(move |consumer, _| {
            let groups = consumer.fetch_group_list(Some(&id), ASK_TIMEOUT)?;
            let members = groups.groups().iter().filter(|group| group.name() == id).flat_map(|group| {
                group.members().iter().map(|member| Member {
                    id: member.id().to_owned(),
                    client: member.client_id().to_owned(),
                    host: member.client_host().trim_start_matches('/').to_owned(),
                    partitions: member.assignment().map(assignment::partitions).unwrap_or_default(),
                })
            });
            Ok(members.collect())
        })
        .await
    }

    /// Puts the group to other offsets: topic, partition and the offset it is to read next. The broker refuses while the
    /// group has members, who would not notice: [`Error::Refused`].
    pub async fn commit(&self, offsets: Vec<(String, i32, i64)>) -> Result<()> {
        self.ask(move |consumer, _| {
            let mut list = TopicPartitionList::new();
            for (topic, partition, offset) in &offsets {
                list.add_partition_offset(topic, *partition, Offset::Offset(*offset))?;
            }
            if list.count() == 0 { Ok(()) } else { consumer.commit(&list, CommitMode::Sync) }
        })
        .await
    }

    /// Removes the group with all that it has committed; nothing is removed the second time. The broker refuses while it has
    /// members.
    pub async fn delete(&self) -> Result<()> {
        let unavailable = |error: KafkaError| Error::Unavailable(Box::new(error));
        let admin: AdminClient<DefaultClientContext> =
            self.kafka.client_config().create().map_err(unavailable)?;
        let options = AdminOptions::new().request_timeout(Some(ASK_TIMEOUT));
        for deleted in admin.delete_groups(&[&self.id], &options).await.map_err(unavailable)? {
            match deleted {
                Ok(_) | Err((_, RDKafkaErrorCode::GroupIdNotFound)) => {}
                Err((group, code)) => return Err(Error::Refused(format!("group {group}: {code}").into())),
            }
        }
        Ok(())
    }

    /// librdkafka has only blocking calls, and its drop blocks too.
    async fn ask<T: Send + 'static>(
        &self,
        ask: impl FnOnce(&BaseConsumer, &TopicPartitionList) -> Result<T, KafkaError> + Send + 'static,
    ) -> Result<T> {
        let group = self.clone();
        let answer = move || {
            let consumer = group.connect().map_err(|error| Error::Refused(Box::new(error)))?;
            let partitions = group.partitions(&consumer)?;
            ask(&consumer, &partitions).map_err(sort)
        };
        spawn_blocking(answer).await.map_err(|error| Error::Unavailable(Box::new(error)))?
    }

    fn connect(&self) -> Result<BaseConsumer, KafkaError> {
        let mut config = self.kafka.client_config();
        config
            .set("group.id", &self.id)
            .set("enable.auto.commit", "false")
            .set("auto.offset.reset", "error")
            .set("allow.auto.create.topics", "false")
            // One record of a partition is enough, even where records are small.
            .set("queued.min.messages", "1")
            .set("fetch.message.max.bytes", "65536")
            .set("fetch.wait.max.ms", "50")
            .set("socket.nagle.disable", "true");
        config.create()
    }

    fn partitions(&self, consumer: &BaseConsumer) -> Result<TopicPartitionList> {
        let mut list = TopicPartitionList::new();
        for topic in &self.topics {
            let metadata = consumer.fetch_metadata(Some(topic), ASK_TIMEOUT).map_err(sort)?;
            let partitions = metadata.topics().first().map_or(&[][..], |topic| topic.partitions());
            if partitions.is_empty() {
                let message = format!("topic {topic} does not exist; `aqueduct setup` makes it");
                return Err(Error::Refused(message.into()));
            }
            for partition in partitions {
                list.add_partition(topic, partition.id());
            }
        }
        Ok(list)
    }
}

/// When the first record at or after the position of each partition that lags was written.
fn oldest(
    consumer: &BaseConsumer,
    positions: &[Position],
) -> Result<HashMap<(String, i32), Timestamp>, KafkaError> {
    let mut waiting = TopicPartitionList::new();
    for position in positions.iter().filter(|position| position.lag() > 0) {
        let next = Offset::Offset(position.next());
        waiting.add_partition_offset(&position.topic, position.partition, next)?;
    }
    let mut found = HashMap::new();
    if waiting.count() == 0 {
        return Ok(found);
    }
    consumer.assign(&waiting)?;
    let deadline = Instant::now() + OLDEST_TIMEOUT;
    let mut answered = 0;
    while answered < waiting.count() && Instant::now() < deadline {
        // An error of one partition leaves its age unknown; whether the broker is there, the offsets have shown.
        let Some(Ok(message)) = consumer.poll(Duration::from_millis(100)) else { continue };
        let partition = (message.topic().to_owned(), message.partition());
        if found.contains_key(&partition) {
            continue;
        }
        answered += 1;
        let mut done = TopicPartitionList::new();
        done.add_partition(&partition.0, partition.1);
        // Makes room for those that have not answered.
        consumer.pause(&done)?;
        let written = message.timestamp().to_millis().and_then(|at| Timestamp::from_millisecond(at).ok());
        found.extend(written.map(|written| (partition, written)));
    }
    Ok(found)
}

/// What the broker says to whom it does not serve: waiting does not help. Everything else may pass.
fn sort(error: KafkaError) -> Error {
    use rdkafka::error::RDKafkaErrorCode as Code;
    match error.rdkafka_error_code() {
        Some(
            Code::UnknownMemberId
            | Code::RebalanceInProgress
            | Code::IllegalGeneration
            | Code::GroupAuthorizationFailed
            | Code::TopicAuthorizationFailed,
        ) => Error::Refused(Box::new(error)),
        _ => Error::Unavailable(Box::new(error)),
    }
}
