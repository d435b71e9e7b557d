//! Setting a record aside: first its letter in the store, then the record in the dead-letter topic. Only then may its
//! offset be committed, so a crash between any two steps repeats them and loses nothing.

use std::time::Duration;

use aqueduct_contract::dead_letter::DeadLetter;
use aqueduct_contract::{ItemKey, Names};
use aqueduct_store::letters::{Filed, State};
use aqueduct_store::{Letter, Letters, kafka};
use jiff::Timestamp;
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{FutureProducer, FutureRecord};

use crate::{BoxError, Error, Group, Reason, Record};

/// Longer messages are cut: they stand in a header, in a row and in logs.
const MESSAGE_LIMIT: usize = 2000;

/// Where records are set aside. Cheap to clone; the groups of a process share one producer.
#[derive(Clone)]
pub struct DeadLetters {
    letters: Letters,
    producer: FutureProducer,
}

impl DeadLetters {
    /// Letters go to `letters`, records to the dead-letter topic of their group's worker. Connects in the background.
    pub fn new(kafka: &kafka::Settings, letters: Letters) -> Result<DeadLetters, Error> {
        let mut config = kafka.client_config();
        config
            .set("partitioner", "murmur2_random")
            // How long one attempt may take. There is always another, and a drain waits for one at most.
            .set("message.timeout.ms", "10000")
            .set("topic.metadata.propagation.max.ms", "5000");
        kafka.apply_properties(&mut config);
        config
            .set("enable.idempotence", "true")
            .set("acks", "all")
            // The record was small enough for its topic; with the headers added it is a little larger than what others may
            // send.
            .set("message.max.bytes", "10485760");
        Ok(DeadLetters { letters, producer: config.create()? })
    }

    /// Returns when both the letter, in this state, and the record are safe. After an error all of it is to be repeated.
    pub async fn set_aside(
        &self,
        group: &Group,
        names: &Names,
        record: &Record,
        reason: &Reason,
        attempts: u32,
        state: State,
    ) -> Result<Filed, BoxError> {
        let message: String = reason.message.chars().take(MESSAGE_LIMIT).collect();
        let filed = self
            .letters
            .put(&Letter {
                group: group.id.clone(),
                topic: record.topic.to_string(),
                partition: record.partition,
                offset: record.offset,
                item: item(record),
                version: record.version(),
                code: reason.code.to_owned(),
                message: message.clone(),
                attempts,
                redrives: 0,
                filed_at: Timestamp::now(),
                state,
            })
            .await?;
        let headers = headers(
            record,
            &DeadLetter {
                topic: record.topic.to_string(),
                partition: record.partition,
                offset: record.offset,
                timestamp: record.timestamp,
                group: group.id.clone(),
                sink: group.sink.clone(),
                error_code: reason.code.to_owned(),
                message,
                attempts,
            },
        );
        let topic = names.dead_letter_topic(group.worker);
        let mut copy: FutureRecord<'_, [u8], [u8]> = FutureRecord::to(&topic).headers(headers);
        copy.key = record.key();
        copy.payload = record.value();
        // The wait is for a full queue; how long the broker may take, `message.timeout.ms` says.
        self.producer.send(copy, Duration::from_secs(10)).await.map_err(|(error, _)| error)?;
        Ok(filed)
    }
}

/// The item that the letter is about.
fn item(record: &Record) -> String {
    let key = record.key().and_then(|key| std::str::from_utf8(key).ok());
    match key.filter(|key| key.parse::<ItemKey>().is_ok()) {
        Some(key) => key.to_owned(),
        None => Letter::without_item(record.offset),
    }
}

/// The record's own headers, then what says why it is here.
fn headers(record: &Record, letter: &DeadLetter) -> OwnedHeaders {
    let added = letter.to_pairs();
    let own = record.headers();
    let all = own.chain(added.iter().map(|(name, value)| (*name, Some(value.as_slice()))));
    all.fold(OwnedHeaders::new(), |headers, (key, value)| headers.insert(Header { key, value }))
}
