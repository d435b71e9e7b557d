//! What really stands in a topic.

use std::collections::HashMap;

use aqueduct_contract::Event;
use aqueduct_store::{EventStore, kafka};
use aqueduct_tests::read_topic;
use rdkafka::message::{BorrowedMessage, Headers, Message};

/// One record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Record {
    pub(super) partition: i32,
    pub(super) offset: i64,
    pub(super) timestamp: Option<i64>,
    pub(super) key: String,
    pub(super) value: Vec<u8>,
    pub(super) headers: Vec<(String, Vec<u8>)>,
}

impl Record {
    fn of(message: &BorrowedMessage<'_>) -> Record {
        let headers = message.headers().unwrap();
        Record {
            partition: message.partition(),
            offset: message.offset(),
            timestamp: message.timestamp().to_millis(),
            key: String::from_utf8(message.key().unwrap().to_vec()).unwrap(),
            value: message.payload().unwrap().to_vec(),
            headers: headers
                .iter()
                .map(|header| (header.key.to_owned(), header.value.unwrap().to_vec()))
                .collect(),
        }
    }

    fn event(&self) -> Event {
        Event::from_json(&self.value).unwrap()
    }

    /// All but where it stands.
    fn content(&self) -> Record {
        Record { offset: 0, ..self.clone() }
    }
}

/// All records of a topic now, each partition in order.
pub(super) async fn read(kafka: &kafka::Settings, topic: &str) -> Vec<Record> {
    let (config, topic) = (kafka.client_config(), topic.to_owned());
    let read = move || read_topic(&config, &topic, Record::of).unwrap();
    tokio::task::spawn_blocking(read).await.unwrap()
}

/// Checks that the topic holds every event, the first appearances of an item's in order of versions, and repeats that are
/// the same to the byte. Returns the number of repeats.
pub(super) fn check_order(records: &[Record], expected: &[Event]) -> usize {
    let mut firsts: HashMap<&str, Vec<&Record>> = HashMap::new();
    let mut repeats = 0;
    for record in records {
        let number = record.event().item.version.get();
        let firsts = firsts.entry(&record.key).or_default();
        match firsts.get(usize::try_from(number - 1).unwrap()) {
            Some(first) => {
                assert_eq!(first.content(), record.content(), "a repeat is the same");
                repeats += 1;
            }
            None => {
                let due = firsts.len() as u64 + 1;
                assert_eq!(number, due, "{} appears first where {due} was due: {}", number, record.key);
                firsts.push(record);
            }
        }
    }
    for event in expected {
        let key = event.item.key.to_string();
        let index = usize::try_from(event.item.version.get() - 1).unwrap();
        let first = firsts.get(key.as_str()).and_then(|firsts| firsts.get(index));
        let first =
            first.unwrap_or_else(|| panic!("{key} version {} is not in the topic", event.item.version));
        assert_eq!(&first.event(), event);
    }
    assert_eq!(firsts.values().map(Vec::len).sum::<usize>(), expected.len(), "nothing else is there");
    repeats
}

/// Checks that every event's row says where it stands, and that exactly its record stands there.
pub(super) async fn check_places(events: &EventStore, records: &[Record], expected: &[Event]) {
    let places: HashMap<(i32, i64), &Record> =
        records.iter().map(|record| ((record.partition, record.offset), record)).collect();
    for event in expected {
        let stored = events.at(&event.item.key, event.item.version).await.unwrap().unwrap();
        let published = stored.published.unwrap_or_else(|| panic!("{stored:?} still has its marker"));
        let record = places[&(published.partition, published.offset)];
        assert_eq!(record.value, stored.record.value.as_bytes());
        let headers: Vec<(String, Vec<u8>)> =
            stored.record.headers.iter().map(|(name, value)| (name.clone(), value.clone().into())).collect();
        assert_eq!(record.headers, headers);
    }
}

/// The partition that Java clients send a key to.
pub(super) fn java_partition(key: &str, partitions: i32) -> i32 {
    (java_hash(key) & 0x7fff_ffff) % partitions
}

/// Kafka's `murmur2`.
pub(super) fn java_hash(key: &str) -> i32 {
    const M: u32 = 0x5bd1_e995;
    let bytes = key.as_bytes();
    let mut hash = 0x9747_b28c ^ u32::try_from(bytes.len()).unwrap();
    let mut chunks = bytes.chunks_exact(4);
    for chunk in &mut chunks {
        let mut k = u32::from_le_bytes(chunk.try_into().unwrap()).wrapping_mul(M);
        k = (k ^ (k >> 24)).wrapping_mul(M);
        hash = hash.wrapping_mul(M) ^ k;
    }
    let rest = chunks.remainder();
    if !rest.is_empty() {
        for (position, byte) in rest.iter().enumerate() {
            hash ^= u32::from(*byte) << (8 * position);
        }
        hash = hash.wrapping_mul(M);
    }
    hash = (hash ^ (hash >> 13)).wrapping_mul(M);
    (hash ^ (hash >> 15)).cast_signed()
}
