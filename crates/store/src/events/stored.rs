//! A row of the `events` table, and the Kafka record in it.

use aqueduct_contract::headers::Headers;
use aqueduct_contract::{Event, EventId, ItemKey, Version, format_time};
use aws_sdk_dynamodb::types::AttributeValue;
use jiff::Timestamp;
use rdkafka::message::{Header, OwnedHeaders};

use super::outbox;
use crate::row::{self, Row, number, text};
use crate::{Error, Result};

/// The Kafka record of an event, byte for byte.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// The item it is about; its text is the record's key.
    pub key: ItemKey,
    /// The version it is.
    pub version: Version,
    /// When it was written.
    pub created_at: Timestamp,
    /// The record's value.
    pub value: String,
    /// The record's headers, in order.
    pub headers: Vec<(String, String)>,
}

/// Where in its topic an event was acknowledged first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Published {
    /// The partition.
    pub partition: i32,
    /// The offset in it.
    pub offset: i64,
}

/// A version as it stands in the store.
#[derive(Clone, Debug)]
pub struct Stored {
    /// Its event.
    pub event: Event,
    /// Its Kafka record.
    pub record: Record,
    /// Where it was published, if it was.
    pub published: Option<Published>,
}

impl Record {
    /// The record of `event`.
    #[must_use]
    pub fn of(event: &Event) -> Record {
        let headers = Headers::of(event).to_pairs();
        Record {
            key: event.item.key.clone(),
            version: event.item.version,
            created_at: event.item.updated_at,
            value: event.to_json(),
            headers: headers.into_iter().map(|(name, value)| (name.to_owned(), value)).collect(),
        }
    }

    /// Its bytes as the producer counts them against its limit: key, value, headers, and the most that the lengths and
    /// deltas around them take.
    #[must_use]
    pub fn size(&self) -> usize {
        // librdkafka's RD_KAFKAP_MESSAGE_V2_MAX_OVERHEAD.
        const FRAME: usize = 36;
        let prefixed = |text: &String| varint(text.len()) + text.len();
        let headers: usize = self.headers.iter().map(|(name, value)| prefixed(name) + prefixed(value)).sum();
        FRAME + self.key.to_string().len() + self.value.len() + headers
    }

    /// The headers as the Kafka client takes them.
    pub(crate) fn kafka_headers(&self) -> OwnedHeaders {
        self.headers
            .iter()
            .fold(OwnedHeaders::new_with_capacity(self.headers.len()), |headers, (key, value)| {
                headers.insert(Header { key, value: Some(value) })
            })
    }
}

/// Bytes that a length takes in a record: seven bits each, one of them all for the sign.
fn varint(length: usize) -> usize {
    let bits = usize::BITS - length.leading_zeros() + 1;
    bits.div_ceil(7) as usize
}

/// The row that `event` is stored as, marked as unpublished, and its record.
pub(super) fn row_of(event: &Event) -> Result<(row::Attributes, Record)> {
    let record = Record::of(event);
    let item = &event.item;
    let headers =
        serde_json::to_string(&record.headers).map_err(|error| Error::Unstorable(error.to_string()))?;
    let correlation = format!("{}|{}", item.key.tenant(), event.correlation_id);
    let attributes = [
        ("item", text(item.key.to_string())),
        ("version", number(item.version)),
        ("id", text(event.id.to_string())),
        ("created_at", text(format_time(item.updated_at))),
        ("correlation", text(correlation)),
        ("outbox", number(outbox::shard(&item.key))),
        ("value", text(&record.value)),
        ("headers", text(headers)),
    ];
    Ok((attributes.map(|(name, value)| (name.to_owned(), value)).into(), record))
}

/// A row read back.
pub(super) struct EventRow<'a>(Row<'a>);

impl<'a> EventRow<'a> {
    pub(super) fn new(table: &'a str, attributes: row::Attributes) -> EventRow<'a> {
        EventRow(Row { table, attributes })
    }

    pub(super) fn id(&self) -> Result<EventId> {
        self.0.parse("id").map(EventId)
    }

    pub(super) fn key(&self) -> Result<ItemKey> {
        self.0.parse("item")
    }

    pub(super) fn version(&self) -> Result<Version> {
        self.0.parse("version")
    }

    pub(super) fn created_at(&self) -> Result<Timestamp> {
        self.0.parse("created_at")
    }

    pub(super) fn is_published(&self) -> bool {
        !self.0.attributes.contains_key("outbox")
    }

    pub(super) fn record(&mut self) -> Result<Record> {
        let (key, version, created_at) = (self.key()?, self.version()?, self.created_at()?);
        let headers = self.0.take_text("headers")?;
        let headers = serde_json::from_str(&headers).map_err(|error| self.0.corrupt(error))?;
        Ok(Record { key, version, created_at, value: self.0.take_text("value")?, headers })
    }

    pub(super) fn event(&self) -> Result<Event> {
        let Some(AttributeValue::S(value)) = self.0.attributes.get("value") else {
            return Err(self.0.corrupt("attribute value is missing"));
        };
        let event = Event::from_json(value.as_bytes()).map_err(|error| self.0.corrupt(error))?;
        // An event under another one's key would be served, published and synced as that item.
        if event.item.key != self.key()? || event.item.version != self.version()? {
            return Err(self.0.corrupt("the event is of another item or version than its row"));
        }
        Ok(event)
    }

    pub(super) fn stored(mut self) -> Result<Stored> {
        let event = self.event()?;
        let partition = self.0.parse_optional("kafka_partition")?;
        let offset = self.0.parse_optional("kafka_offset")?;
        let published = partition.zip(offset).map(|(partition, offset)| Published { partition, offset });
        Ok(Stored { event, record: self.record()?, published })
    }
}
