//! Events as they come, for readers that come and go: one consumer for all of a process's readers.
//!
//! It runs while anybody reads, is a member of no group, and commits nothing. What it reads goes into a ring that all readers
//! share: one that is slower than the ring turns is cut, and nothing is kept for it. A reader knows its [`Positions`] and
//! goes on from them later, in any process: what came in between is read by a consumer of its own, up to where the shared one
//! was when the reader joined.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use aqueduct_contract::{Event, Names, TypeName};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::{BorrowedMessage, Message};
use rdkafka::{Offset, TopicPartitionList};
use tokio::sync::{Semaphore, broadcast, mpsc};
use tokio::task::spawn_blocking;
use tokio_util::sync::CancellationToken;

use super::Settings;
use super::positions::{ask, ends};
use crate::{Error, Result};

/// Events that the ring holds: a second of a busy fleet. They are as large as items are, so no more.
const RING: usize = 1024;
/// Readers that catch up at a time: each has a consumer.
const CATCHING_UP: usize = 8;
/// Events that wait for a reader that catches up.
const AHEAD: usize = 64;
const ASK_TIMEOUT: Duration = Duration::from_secs(5);
const POLL: Duration = Duration::from_millis(200);

/// The next offset of every partition, by type.
pub type Positions = BTreeMap<TypeName, Vec<i64>>;

/// An event and where it stood.
#[derive(Debug)]
pub struct Tailed {
    /// The event; none of a record that is not one.
    pub event: Option<Event>,
    /// Its type, by the topic.
    pub type_name: TypeName,
    /// Its partition.
    pub partition: usize,
    /// Its offset.
    pub offset: i64,
}

/// What a reader is told when it cannot begin.
#[derive(Debug, thiserror::Error)]
pub enum TailError {
    /// Retention has passed the reader's positions.
    #[error("events since then are gone")]
    Gone,
    /// As many readers catch up as may.
    #[error("too many readers are catching up")]
    Busy,
    /// Kafka did not answer.
    #[error(transparent)]
    Kafka(#[from] Error),
}

/// The events of a fleet's types.
#[derive(Clone)]
pub struct Tail(Arc<Shared>);

struct Shared {
    kafka: Settings,
    group: String,
    /// Topics and their partitions, by type.
    topics: BTreeMap<TypeName, (String, i32)>,
    running: Mutex<Option<Running>>,
    starting: tokio::sync::Mutex<()>,
    catching_up: Arc<Semaphore>,
    stop: CancellationToken,
}

struct Running {
    ring: broadcast::Sender<Arc<Tailed>>,
    positions: Positions,
}

/// One reader's events.
pub struct Reader {
    missed: Option<mpsc::Receiver<Tailed>>,
    ring: broadcast::Receiver<Arc<Tailed>>,
    positions: Positions,
    stop: CancellationToken,
}

/// What a reader gets.
#[derive(Debug)]
pub enum Next {
    /// An event, perhaps of another tenant.
    Event(Arc<Tailed>),
    /// The reader was too slow, and has to begin again from its positions.
    Cut,
    /// The process stops, or Kafka failed.
    Ended,
}

impl Tail {
    /// The events of `types`, with their numbers of partitions, until `stop`. Connects when somebody reads.
    #[must_use]
    pub fn new(
        kafka: &Settings,
        names: &Names,
        types: impl IntoIterator<Item = (TypeName, i32)>,
        stop: CancellationToken,
    ) -> Tail {
        let topics = types.into_iter().map(|(name, partitions)| {
            let topic = names.events_topic(&name);
            (name, (topic, partitions))
        });
        Tail(Arc::new(Shared {
            kafka: kafka.clone(),
            // The client wants a name for a group, also where none is joined.
            group: names.table("tail"),
            topics: topics.collect(),
            running: Mutex::new(None),
            starting: tokio::sync::Mutex::new(()),
            catching_up: Arc::new(Semaphore::new(CATCHING_UP)),
            stop,
        }))
    }

    /// A reader from now on, or from `positions`.
    pub async fn read(&self, from: Option<Positions>) -> Result<Reader, TailError> {
        let (ring, now) = self.join().await?;
        let stop = self.0.stop.clone();
        let Some(from) = from else { return Ok(Reader { missed: None, ring, positions: now, stop }) };
        let positions: Positions = now
            .iter()
            .map(|(name, offsets)| {
                let known = from.get(name).map_or(&[][..], Vec::as_slice);
                // What a type or partition that came later has, the reader has not seen.
                let begin = |partition: usize| known.get(partition).copied().unwrap_or(0).max(0);
                (name.clone(), (0..offsets.len()).map(begin).collect())
            })
            .collect();
        let missed = self.catch_up(positions.clone(), now).await?;
        Ok(Reader { missed, ring, positions, stop })
    }

    /// The ring, and where it stands at this very moment.
    async fn join(&self) -> Result<(broadcast::Receiver<Arc<Tailed>>, Positions)> {
        let _one = self.0.starting.lock().await;
        if let Some(running) = &*self.0.running() {
            return Ok((running.ring.subscribe(), running.positions.clone()));
        }
        let shared = Arc::clone(&self.0);
        let started = spawn_blocking(move || shared.start()).await;
        let (consumer, positions) =
            started.map_err(|error| Error::Unavailable(error.into()))?.map_err(unavailable)?;
        let (ring, receiver) = broadcast::channel(RING);
        *self.0.running() = Some(Running { ring, positions: positions.clone() });
        let shared = Arc::clone(&self.0);
        // Ends by itself when nobody reads any more, or the process stops.
        drop(spawn_blocking(move || shared.pump(&consumer)));
        Ok((receiver, positions))
    }

    /// Reads what stands between; `None` when nothing does.
    async fn catch_up(
        &self,
        from: Positions,
        to: Positions,
    ) -> Result<Option<mpsc::Receiver<Tailed>>, TailError> {
        let behind =
            from.iter().any(|(name, offsets)| offsets.iter().zip(&to[name]).any(|(from, to)| from < to));
        if !behind {
            return Ok(None);
        }
        let permit = Arc::clone(&self.0.catching_up).try_acquire_owned().map_err(|_| TailError::Busy)?;
        let shared = Arc::clone(&self.0);
        let begun =
            spawn_blocking(move || shared.begin(&from, &to).map(|consumer| (consumer, from, to))).await;
        let begun = begun.map_err(|error| Error::Unavailable(error.into()))?.map_err(unavailable)?;
        let (Some(consumer), mut at, to) = begun else { return Err(TailError::Gone) };
        let (sender, receiver) = mpsc::channel(AHEAD);
        let shared = Arc::clone(&self.0);
        drop(spawn_blocking(move || {
            let _permit = permit;
            let behind =
                |at: &Positions| at.iter().any(|(name, at)| at.iter().zip(&to[name]).any(|(at, to)| at < to));
            while behind(&at) && !shared.stop.is_cancelled() && !sender.is_closed() {
                let Some(tailed) = shared.poll(&consumer) else { continue };
                let Some(end) = to.get(&tailed.type_name).and_then(|ends| ends.get(tailed.partition)) else {
                    continue;
                };
                if tailed.offset >= *end {
                    continue;
                }
                advance(&mut at, &tailed);
                // A reader that does not read holds up its own consumer and nobody else.
                if sender.blocking_send(tailed).is_err() {
                    return;
                }
            }
        }));
        Ok(Some(receiver))
    }
}

impl Shared {
    fn running(&self) -> MutexGuard<'_, Option<Running>> {
        // Nothing panics while it is held.
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn consumer(&self) -> Result<BaseConsumer, KafkaError> {
        let mut config = self.kafka.client_config();
        config
            .set("group.id", &self.group)
            .set("enable.auto.commit", "false")
            .set("fetch.queue.backoff.ms", "20");
        self.kafka.apply_properties(&mut config);
        config.create()
    }

    /// A consumer at the end of every partition.
    fn start(&self) -> Result<(BaseConsumer, Positions), KafkaError> {
        let consumer = self.consumer()?;
        let partitions = self.partitions(|_, _| None)?;
        let deadline = Instant::now() + ASK_TIMEOUT;
        let ends = loop {
            match ends(&consumer, &partitions, ASK_TIMEOUT) {
                // Not every broker knows a topic that has just been made.
                Err(_) if Instant::now() < deadline => drop(consumer.poll(POLL)),
                answered => break answered?,
            }
        };
        let offsets = |(topic, count): &(String, i32)| {
            (0..*count).map(|partition| ends.get(&(topic.clone(), partition)).copied().unwrap_or(0)).collect()
        };
        let positions: Positions = self.topics.iter().map(|(name, of)| (name.clone(), offsets(of))).collect();
        consumer.assign(&self.partitions(|name, partition| positions.get(name)?.get(partition).copied())?)?;
        Ok((consumer, positions))
    }

    /// A consumer at `from` of the partitions that are behind `to`; `None` when retention has passed one.
    fn begin(&self, from: &Positions, to: &Positions) -> Result<Option<BaseConsumer>, KafkaError> {
        let consumer = self.consumer()?;
        let earliest = ask(&consumer, &self.partitions(|_, _| None)?, Offset::Beginning, ASK_TIMEOUT)?;
        let mut list = TopicPartitionList::new();
        for (name, (topic, _)) in &self.topics {
            let behind = from[name].iter().zip(&to[name]).enumerate().filter(|(_, (from, to))| from < to);
            for (partition, (from, _)) in behind {
                let number = i32::try_from(partition).unwrap_or(i32::MAX);
                if earliest.get(&(topic.clone(), number)).is_some_and(|earliest| from < earliest) {
                    return Ok(None);
                }
                list.add_partition_offset(topic, number, Offset::Offset(*from))?;
            }
        }
        consumer.assign(&list)?;
        Ok(Some(consumer))
    }

    fn partitions(
        &self,
        offset: impl Fn(&TypeName, usize) -> Option<i64>,
    ) -> Result<TopicPartitionList, KafkaError> {
        let mut list = TopicPartitionList::new();
        for (name, (topic, count)) in &self.topics {
            for partition in 0..*count {
                let at = usize::try_from(partition).ok().and_then(|index| offset(name, index));
                list.add_partition_offset(topic, partition, at.map_or(Offset::Invalid, Offset::Offset))?;
            }
        }
        Ok(list)
    }

    /// Fills the ring while anybody reads.
    fn pump(&self, consumer: &BaseConsumer) {
        loop {
            let polled = self.poll(consumer);
            let mut guard = self.running();
            let Some(running) = &mut *guard else { return };
            if running.ring.receiver_count() == 0 || self.stop.is_cancelled() {
                *guard = None;
                return;
            }
            if let Some(tailed) = polled {
                advance(&mut running.positions, &tailed);
                // Nobody may be reading by now.
                let _ = running.ring.send(Arc::new(tailed));
            }
        }
    }

    fn poll(&self, consumer: &BaseConsumer) -> Option<Tailed> {
        match consumer.poll(POLL)? {
            Ok(message) => self.tailed(&message),
            Err(error) => {
                // The client goes on trying by itself.
                tracing::debug!(%error, "reading events");
                None
            }
        }
    }

    fn tailed(&self, message: &BorrowedMessage<'_>) -> Option<Tailed> {
        let (type_name, _) = self.topics.iter().find(|(_, (topic, _))| topic == message.topic())?;
        Some(Tailed {
            event: message.payload().and_then(|value| Event::from_json(value).ok()),
            type_name: type_name.clone(),
            partition: usize::try_from(message.partition()).ok()?,
            offset: message.offset(),
        })
    }
}

impl Reader {
    /// The next event that it has not had.
    pub async fn next(&mut self) -> Next {
        loop {
            let found = if let Some(missed) = &mut self.missed {
                let stop = self.stop.clone();
                tokio::select! {
                    biased;
                    () = stop.cancelled() => return Next::Ended,
                    found = missed.recv() => match found {
                        Some(tailed) => Arc::new(tailed),
                        None => {
                            self.missed = None;
                            continue;
                        }
                    },
                }
            } else {
                tokio::select! {
                    biased;
                    () = self.stop.cancelled() => return Next::Ended,
                    found = self.ring.recv() => match found {
                        Ok(tailed) => tailed,
                        Err(broadcast::error::RecvError::Lagged(_)) => return Next::Cut,
                        Err(broadcast::error::RecvError::Closed) => return Next::Ended,
                    },
                }
            };
            let position = self.positions.get(&found.type_name).and_then(|at| at.get(found.partition));
            if position.is_some_and(|next| found.offset >= *next) {
                advance(&mut self.positions, &found);
                return Next::Event(found);
            }
        }
    }

    /// Where it stands: everything before was seen.
    #[must_use]
    pub fn positions(&self) -> &Positions {
        &self.positions
    }
}

fn advance(positions: &mut Positions, tailed: &Tailed) {
    if let Some(next) = positions.get_mut(&tailed.type_name).and_then(|at| at.get_mut(tailed.partition)) {
        *next = tailed.offset + 1;
    }
}

fn unavailable(error: KafkaError) -> Error {
    Error::Unavailable(Box::new(error))
}
