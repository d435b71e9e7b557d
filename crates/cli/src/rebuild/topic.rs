//! Reading a partition from one offset to another, as often as needed: by who is a member of no group and commits nothing.

use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use aqueduct_store::kafka;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{BorrowedMessage, Message};
use rdkafka::{Offset, TopicPartitionList};

const POLL: Duration = Duration::from_millis(100);
/// Without a record for so long, the broker counts as away.
const PATIENCE: Duration = Duration::from_secs(30);

/// A client that reads a topic. It blocks.
pub(super) struct Reader {
    consumer: BaseConsumer,
    pub(super) topic: Arc<str>,
}

impl Reader {
    /// A reader of `topic`. Connects when it reads.
    pub(super) fn new(kafka: &kafka::Settings, topic: &str) -> Result<Reader> {
        let mut config = kafka.client_config();
        config
            .set("client.id", "aqueduct-rebuild")
            .set("fetch.queue.backoff.ms", "5")
            // At the end of a partition the client asks for more at once, and cannot ask for another one's until that is answered.
            .set("fetch.wait.max.ms", "5")
            // What is fetched ahead: memory, for each partition that is read at a time.
            .set("queued.max.messages.kbytes", "16384")
            .set("socket.nagle.disable", "true");
        kafka.apply_properties(&mut config);
        config
            // The client wants one. Nothing is committed, and nobody joins.
            .set("group.id", "aqueduct.rebuild")
            .set("enable.auto.commit", "false")
            .set("enable.auto.offset.store", "false")
            .set("auto.offset.reset", "error")
            .set("allow.auto.create.topics", "false")
            // Offsets have gaps: that the last record is before the end is told by this alone.
            .set("enable.partition.eof", "true");
        Ok(Reader { consumer: config.create()?, topic: topic.into() })
    }

    /// Hands the records at `offsets` to `each`, in order, until that fails.
    pub(super) fn read(
        &self,
        partition: i32,
        offsets: Range<i64>,
        mut each: impl FnMut(&BorrowedMessage<'_>) -> Result<()>,
    ) -> Result<()> {
        if offsets.is_empty() {
            return Ok(());
        }
        let mut assigned = TopicPartitionList::new();
        assigned.add_partition_offset(&self.topic, partition, Offset::Offset(offsets.start))?;
        self.consumer.assign(&assigned)?;
        let mut heard = Instant::now();
        let mut last_error = None;
        let read = loop {
            match self.consumer.poll(POLL) {
                Some(Ok(message)) => {
                    heard = Instant::now();
                    if message.offset() >= offsets.end {
                        break Ok(());
                    }
                    if let Err(error) = each(&message) {
                        break Err(error);
                    }
                    if message.offset() + 1 == offsets.end {
                        break Ok(());
                    }
                }
                Some(Err(KafkaError::PartitionEOF(_))) => break Ok(()),
                Some(Err(KafkaError::MessageConsumption(RDKafkaErrorCode::AutoOffsetReset, ..))) => {
                    let topic = &self.topic;
                    break Err(anyhow::anyhow!(
                        "retention took records of {topic}-{partition} while it was read: `--from store` needs none"
                    ));
                }
                // The client goes on trying by itself.
                Some(Err(error)) => last_error = Some(error),
                None if heard.elapsed() > PATIENCE => {
                    let why = last_error.map(|error| format!(": {error}")).unwrap_or_default();
                    break Err(anyhow::anyhow!(
                        "nothing came of {}-{partition} for {PATIENCE:?}{why}",
                        self.topic
                    ));
                }
                None => {}
            }
        };
        self.consumer.unassign().context("the end of reading a partition")?;
        read
    }
}
