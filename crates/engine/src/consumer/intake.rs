//! Records in, within a bounded window.
//!
//! What is read and not done is bounded for each partition in records, and for all in bytes. A record outside the window is
//! held; while one is held nothing more is read, and after seconds the partition is paused, so that the others go on. (A
//! pause throws away what was fetched ahead, so it comes last.)

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka::TopicPartitionList;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::Message;
use tracing::{debug, info, warn};

use super::context::Context;
use super::positions::Start;
use crate::Record;
use crate::tenure::{Epoch, Tenure};

/// Records handed over in one go, at most.
const CHUNK: usize = 512;
/// How long a poll waits for records, and so a command for its turn.
const POLL: Duration = Duration::from_millis(50);
/// How often a full window is looked at.
const HELD_POLL: Duration = Duration::from_millis(5);

/// How much may be read and not done.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Window {
    /// Of one partition.
    pub(crate) records: usize,
    /// Of all partitions.
    pub(crate) bytes: usize,
    pub(crate) pause_after: Duration,
}

/// A partition this process has.
pub(super) struct Source {
    pub(super) tenure: Arc<Tenure>,
    /// One past the last offset that came.
    pub(super) next: i64,
    /// Read, but outside the window.
    held: VecDeque<Record>,
}

impl Source {
    pub(super) fn new(tenure: Arc<Tenure>, start: i64) -> Source {
        Source { tenure, next: start, held: VecDeque::new() }
    }

    /// It keeps the others waiting.
    fn blocks(&self) -> bool {
        !self.held.is_empty() && !self.tenure.is_paused()
    }

    pub(super) fn is_in(&self, list: &TopicPartitionList) -> bool {
        list.find_partition(&self.tenure.topic, self.tenure.partition).is_some()
    }

    fn is(&self, topic: &str, partition: i32) -> bool {
        self.tenure.partition == partition && *self.tenure.topic == *topic
    }
}

/// What one round brought.
#[derive(Default)]
pub(super) struct Fetched {
    pub(super) records: Vec<(Arc<Tenure>, Record)>,
    /// Further records are waiting, and there is room for them.
    pub(super) more: bool,
    /// There is something to tell: records, or that no more are coming.
    pub(super) news: bool,
    /// How long to wait for commands before the next round.
    pub(super) wait: Duration,
    /// A position is not in its partition any more.
    pub(super) out_of_range: bool,
    /// librdkafka gave up.
    pub(super) fatal: Option<KafkaError>,
}

pub(super) struct Intake {
    pub(super) sources: Vec<Source>,
    window: Window,
    /// Since when a record has been held while nothing got through.
    held_since: Option<Instant>,
    /// What was said last.
    more: bool,
    look_again: bool,
}

impl Intake {
    pub(super) fn new(window: Window) -> Intake {
        Intake { sources: Vec::new(), window, held_since: None, more: false, look_again: false }
    }

    pub(super) fn source(&self, topic: &str, partition: i32) -> Option<&Source> {
        self.sources.iter().find(|source| source.is(topic, partition))
    }

    /// These partitions go elsewhere. librdkafka keeps a pause over an unassignment: one that came back would never be read.
    pub(super) fn forget(&mut self, consumer: &BaseConsumer<Context>, list: &TopicPartitionList) {
        let mut paused = TopicPartitionList::new();
        for source in self
            .sources
            .extract_if(.., |source| source.is_in(list))
            .filter(|source| source.tenure.is_paused())
        {
            paused.add_partition(&source.tenure.topic, source.tenure.partition);
        }
        resume(consumer, &paused);
    }

    /// Reading goes on at `start`. What was read and held lies before it, so it is let in first, room or not.
    #[expect(clippy::type_complexity, reason = "what the event takes")]
    pub(super) fn skip(&mut self, start: &Start) -> Option<(Epoch, Vec<(Arc<Tenure>, Record)>)> {
        start.report_loss();
        let source = self.sources.iter_mut().find(|source| source.is(&start.topic, start.partition))?;
        source.next = start.offset;
        let held = source.held.drain(..).map(|record| {
            source.tenure.take(record.size());
            (source.tenure.clone(), record)
        });
        Some((source.tenure.epoch, held.collect()))
    }

    /// Positions out of range could not be corrected: report them again.
    pub(super) fn look_again(&mut self) {
        self.look_again = true;
    }

    /// Polls, for a short while at most.
    pub(super) fn fetch(&mut self, consumer: &BaseConsumer<Context>) -> Fetched {
        let mut fetched =
            Fetched { out_of_range: std::mem::take(&mut self.look_again), ..Fetched::default() };
        self.take_held(consumer, &mut fetched.records);
        if !fetched.records.is_empty() {
            self.held_since = None;
        }
        if self.must_wait(consumer) {
            fetched.wait = HELD_POLL;
        } else {
            self.poll(consumer, &mut fetched);
        }
        fetched.news = !fetched.records.is_empty() || (self.more && !fetched.more);
        self.more = fetched.more;
        fetched
    }

    /// Whether a held record keeps everything waiting. Not for longer than seconds: then its partition is paused.
    fn must_wait(&mut self, consumer: &BaseConsumer<Context>) -> bool {
        if !self.sources.iter().any(Source::blocks) {
            return false;
        }
        let since = *self.held_since.get_or_insert_with(Instant::now);
        if since.elapsed() < self.window.pause_after {
            return true;
        }
        self.pause(consumer);
        false
    }

    fn poll(&mut self, consumer: &BaseConsumer<Context>, fetched: &mut Fetched) {
        let mut bytes = self.bytes();
        let mut timeout = if fetched.records.is_empty() { POLL } else { Duration::ZERO };
        // The partition of the record before is mostly that of the next.
        let mut last = 0;
        while fetched.records.len() < CHUNK {
            let message = match consumer.poll(timeout) {
                None => return,
                Some(Ok(message)) => message,
                Some(Err(error)) => {
                    self.sort_out(error, fetched);
                    continue;
                }
            };
            timeout = Duration::ZERO;
            let is = |source: &Source| source.is(message.topic(), message.partition());
            if !self.sources.get(last).is_some_and(is) {
                match self.sources.iter().position(is) {
                    Some(index) => last = index,
                    // Of a partition that is not ours any more.
                    None => continue,
                }
            }
            let source = &mut self.sources[last];
            let record = Record::of_message(&message, source.tenure.topic.clone());
            source.next = record.offset + 1;
            let size = record.size();
            if source.held.is_empty() && has_room(&self.window, &source.tenure, bytes, size) {
                bytes += size;
                source.tenure.take(size);
                fetched.records.push((source.tenure.clone(), record));
            } else {
                source.held.push_back(record);
                if !source.tenure.is_paused() {
                    return;
                }
            }
        }
        fetched.more = true;
    }

    /// Errors were logged by the context, with what librdkafka says of them.
    fn sort_out(&self, error: KafkaError, fetched: &mut Fetched) {
        match error {
            KafkaError::MessageConsumption(RDKafkaErrorCode::AutoOffsetReset) => fetched.out_of_range = true,
            KafkaError::MessageConsumptionFatal(_) => fetched.fatal = Some(error),
            error => debug!(%error, "a poll brought an error"),
        }
    }

    fn bytes(&self) -> usize {
        self.sources.iter().map(|source| source.tenure.bytes()).sum()
    }

    /// Lets held records in as far as there is room again, and resumes partitions.
    fn take_held(&mut self, consumer: &BaseConsumer<Context>, records: &mut Vec<(Arc<Tenure>, Record)>) {
        let mut bytes = self.bytes();
        let mut resumed = TopicPartitionList::new();
        for source in &mut self.sources {
            while let Some(record) = source.held.front() {
                let size = record.size();
                if records.len() >= CHUNK || !has_room(&self.window, &source.tenure, bytes, size) {
                    break;
                }
                bytes += size;
                source.tenure.take(size);
                records.extend(source.held.pop_front().map(|record| (source.tenure.clone(), record)));
            }
            // Half of the window, or it would be paused again at once.
            let half_free =
                source.tenure.records() <= self.window.records / 2 && bytes <= self.window.bytes / 2;
            if source.tenure.is_paused() && source.held.is_empty() && half_free {
                source.tenure.set_paused(false);
                resumed.add_partition(&source.tenure.topic, source.tenure.partition);
            }
        }
        resume(consumer, &resumed);
    }

    /// Pauses the partitions whose records are held, so that the others can go on.
    fn pause(&mut self, consumer: &BaseConsumer<Context>) {
        let mut paused = TopicPartitionList::new();
        for source in self.sources.iter().filter(|source| source.blocks()) {
            source.tenure.set_paused(true);
            paused.add_partition(&source.tenure.topic, source.tenure.partition);
        }
        match consumer.pause(&paused) {
            Ok(()) => info!(partitions = ?paused, "paused: what was read is not done yet"),
            Err(error) => warn!(%error, partitions = ?paused, "not paused"),
        }
    }
}

fn resume(consumer: &BaseConsumer<Context>, partitions: &TopicPartitionList) {
    if partitions.count() == 0 {
        return;
    }
    match consumer.resume(partitions) {
        Ok(()) => info!(?partitions, "resumed"),
        Err(error) => warn!(%error, ?partitions, "not resumed"),
    }
}

/// Whether a record may come in. One larger than the window comes in alone.
fn has_room(window: &Window, tenure: &Tenure, bytes: usize, size: usize) -> bool {
    tenure.records() < window.records.max(1) && (bytes == 0 || bytes + size <= window.bytes)
}
