//! The topic that a bench reads: versions of many items in full passes over all of them, as the publisher writes them.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Result, ensure};
use aqueduct_contract::{Attributes, Event, EventId, Happened, Item, ItemKey, Names, Version};
use aqueduct_store::{events, kafka, topics};
use jiff::Timestamp;
use rdkafka::ClientContext;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{BaseRecord, DeliveryResult, Producer, ProducerContext, ThreadedProducer};
use serde::{Deserialize, Serialize};
use serde_json::json;
use uuid::Uuid;

/// When the first event happened, in microseconds: 2026-11-21.
const BEGUN: i64 = 1_795_219_200_000_000;

/// What stands in a topic: `passes` versions of each of `items` items, about 600 bytes each. An item's partition is its number modulo
/// `partitions`, so that all partitions have equally many.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct Load {
    pub(crate) type_name: String,
    pub(crate) partitions: i32,
    pub(crate) items: u64,
    pub(crate) passes: u64,
}

impl Load {
    pub(crate) fn events(&self) -> u64 {
        self.items * self.passes
    }

    pub(crate) fn topic(&self, names: &Names) -> Result<String> {
        Ok(names.events_topic(&self.type_name.parse()?))
    }

    /// Makes the topic, if it is not there, and writes all events.
    pub(crate) async fn write(&self, kafka: &kafka::Settings, names: &Names) -> Result<()> {
        topics::ensure(kafka, names, [(&self.type_name.parse()?, self.partitions)]).await?;
        let (load, topic, kafka) = (self.clone(), self.topic(names)?, kafka.clone());
        tokio::task::spawn_blocking(move || load.send(&kafka, &topic)).await?
    }

    fn send(&self, kafka: &kafka::Settings, topic: &str) -> Result<()> {
        let mut config = kafka.client_config();
        config.set("enable.idempotence", "true").set("linger.ms", "50").set("batch.num.messages", "10000");
        let producer: ThreadedProducer<Deliveries> = config.create_with_context(Deliveries::default())?;
        for number in 0..self.events() {
            let (item, version) = (number % self.items, number / self.items + 1);
            let stored = self.record(item, version)?;
            let key = stored.key.to_string();
            let headers = stored.headers.iter().fold(OwnedHeaders::new(), |headers, (key, value)| {
                headers.insert(Header { key, value: Some(value.as_bytes()) })
            });
            let partition = i32::try_from(item % u64::try_from(self.partitions)?)?;
            let record = BaseRecord::to(topic).partition(partition).key(key.as_bytes());
            let mut record = record.payload(stored.value.as_bytes()).headers(headers);
            while let Err((error, again)) = producer.send(record) {
                match error {
                    // The queue is full: what is in it goes first.
                    KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull) => {
                        producer.flush(Duration::from_secs(60))?;
                        record = again;
                    }
                    error => return Err(error.into()),
                }
            }
        }
        producer.flush(Duration::from_secs(60))?;
        let delivered = producer.context().0.load(Ordering::Relaxed);
        ensure!(delivered == self.events(), "{delivered} of {} events reached the topic", self.events());
        Ok(())
    }

    /// A version as the store keeps it: the same whenever it is asked for, so that the event store can be given what stands in
    /// the topic.
    pub(crate) fn record(&self, item: u64, version: u64) -> Result<events::Record> {
        // The contract keeps microseconds of a moment.
        let at = Timestamp::from_microsecond(BEGUN + i64::try_from((version - 1) * self.items + item)?)?;
        let event = Event {
            id: EventId(Uuid::from_u64_pair(version, item)),
            happened: Happened { name: "Updated".into(), data: json!({}) },
            item: Item {
                key: ItemKey::new("acme".parse()?, self.type_name.parse()?, id(item).parse()?)?,
                version: Version::try_from(version)?,
                attributes: attributes(item, version),
                deleted: false,
                created_at: at,
                created_by: "bench".into(),
                updated_at: at,
                updated_by: "bench".into(),
            },
            correlation_id: "bench".parse().map_err(anyhow::Error::msg)?,
            causation_id: None,
            traceparent: None,
            schema_version: 1,
        };
        Ok(events::Record::of(&event))
    }
}

/// The id of an item, by its number.
pub(crate) fn id(item: u64) -> String {
    format!("ORD-{item:06}")
}

/// Counts what the broker took.
#[derive(Default)]
struct Deliveries(AtomicU64);

impl ClientContext for Deliveries {}

impl ProducerContext for Deliveries {
    type DeliveryOpaque = ();

    fn delivery(&self, delivered: &DeliveryResult<'_>, (): ()) {
        if delivered.is_ok() {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// The nine attributes of the model's ORDER.
pub(crate) fn attributes(item: u64, version: u64) -> Attributes {
    let attributes = json!({
        "customerId": format!("C-{:06}", item % 5000),
        "customerName": format!("Customer {}", item % 5000),
        "status": if version == 1 { "pending" } else { "confirmed" },
        "currency": "EUR",
        "total": format!("{}.{:02}", item % 900 + 1, version % 100),
        "lines": 2,
        "placedOn": "2026-11-21",
        "express": item.is_multiple_of(10),
        "items": [{ "code": format!("P-{:04}", item % 1000), "quantity": 1 }, { "code": "P-0001", "quantity": version }],
    });
    attributes.as_object().cloned().unwrap_or_default()
}
