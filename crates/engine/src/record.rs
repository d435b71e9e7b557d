//! A record as it stands in a topic, and the event in it.

mod message;
mod parts;

use std::fmt;
use std::sync::Arc;

use aqueduct_contract::{Event, EventId, Item, RawEvent, RawItem, Version, headers};
use aqueduct_store::events;
use serde::Deserialize;
use uuid::Uuid;

use self::parts::Parts;
use crate::Reason;

pub use message::version_of;

/// What a record is made of, for [`Record::new`].
#[derive(Clone, Copy, Debug, Default)]
pub struct RecordParts<'a> {
    /// The record's key.
    pub key: Option<&'a [u8]>,
    /// The record's value.
    pub value: Option<&'a [u8]>,
    /// Names and values in the order of the record. A name may stand twice, a value may be absent.
    pub headers: &'a [(&'a str, Option<&'a [u8]>)],
    /// It has further headers, whose names are not text.
    pub unreadable_headers: bool,
}

impl<'a> RecordParts<'a> {
    /// The value of a header; of the last one where the name stands more than once.
    fn header(&self, name: &str) -> Option<&'a [u8]> {
        self.headers.iter().rfind(|(found, _)| *found == name)?.1
    }
}

/// One record of a topic. Its bytes are copied once; clones share them.
#[derive(Clone)]
pub struct Record {
    /// The topic it stands in.
    pub topic: Arc<str>,
    /// Its partition there.
    pub partition: i32,
    /// Its offset there.
    pub offset: i64,
    /// Its timestamp, milliseconds since 1970; −1 when it has none.
    pub timestamp: i64,
    version: Option<Version>,
    unreadable_headers: bool,
    /// The key, the value, the name and value of each header: see [`Parts`]. One piece of memory, because it is made by one thread
    /// and freed by another, which costs more than to copy it.
    parts: Arc<[u8]>,
}

impl Record {
    /// Copies a record.
    #[must_use]
    pub fn new(
        topic: Arc<str>,
        partition: i32,
        offset: i64,
        timestamp: i64,
        parts: RecordParts<'_>,
    ) -> Record {
        let version = version_said(parts.header(headers::ITEM_VERSION), parts.value);
        let RecordParts { key, value, headers, unreadable_headers } = parts;
        let of_headers = headers.iter().flat_map(|(name, value)| [Some(name.as_bytes()), *value]);
        let parts = parts::written([key, value].into_iter().chain(of_headers));
        Record { topic, partition, offset, timestamp, version, unreadable_headers, parts }
    }

    /// A record as the event store keeps it, as if it stood in this place.
    #[must_use]
    pub fn of_stored(topic: Arc<str>, partition: i32, offset: i64, stored: &events::Record) -> Record {
        let key = stored.key.to_string();
        let headers: Vec<(&str, Option<&[u8]>)> =
            stored.headers.iter().map(|(name, value)| (name.as_str(), Some(value.as_bytes()))).collect();
        let parts = RecordParts {
            key: Some(key.as_bytes()),
            value: Some(stored.value.as_bytes()),
            headers: &headers,
            unreadable_headers: false,
        };
        Record::new(topic, partition, offset, stored.created_at.as_millisecond(), parts)
    }

    /// Its key.
    #[must_use]
    pub fn key(&self) -> Option<&[u8]> {
        Parts(&self.parts).next()?
    }

    /// Its value.
    #[must_use]
    pub fn value(&self) -> Option<&[u8]> {
        Parts(&self.parts).nth(1)?
    }

    /// Names and values of its headers, in order.
    pub fn headers(&self) -> impl Iterator<Item = (&str, Option<&[u8]>)> {
        // Copied from a `&str`, so it is one.
        self.raw_headers().map(|(name, value)| (std::str::from_utf8(name).unwrap_or_default(), value))
    }

    fn raw_headers(&self) -> impl Iterator<Item = (&[u8], Option<&[u8]>)> {
        let mut parts = Parts(&self.parts);
        parts.nth(1);
        std::iter::from_fn(move || Some((parts.next()??, parts.next()?)))
    }

    /// The event in it. A record that no publisher of ours wrote is a [`Reason`] with the code `EventInvalid`: without a key
    /// or value, not an event's JSON, or with a key or headers that contradict the value. A header that is absent
    /// contradicts nothing: the value is complete without it.
    pub fn event(&self) -> Result<Event, Reason> {
        let event = Event::from_json(self.readable_value()?).map_err(invalid)?;
        self.check(event.id, &event.item)?;
        Ok(event)
    }

    /// The item after that event, its attributes not yet looked at: all that most read models need, for a fraction of the work.
    pub fn item(&self) -> Result<RawItem<'_>, Reason> {
        let event = RawEvent::from_json(self.readable_value()?).map_err(invalid)?;
        self.check(event.id, &event.item)?;
        Ok(event.item)
    }

    fn readable_value(&self) -> Result<&[u8], Reason> {
        if self.unreadable_headers {
            return Err(invalid("a header has a name that is not text"));
        }
        self.value().ok_or_else(|| invalid("the record has no value"))
    }

    /// Whether key and headers say the same as the value.
    fn check<A>(&self, id: EventId, item: &Item<A>) -> Result<(), Reason> {
        let key = self.key().ok_or_else(|| invalid("the record has no key"))?;
        if !item.key.is_pk_sk(key) {
            let message = format!("the record's key is {:?}, its event is of {}", excerpt(key), item.key);
            return Err(invalid(message));
        }
        for (name, value) in self.raw_headers() {
            let Some(value) = value else { continue };
            let agrees = match name {
                b"ce_id" => Uuid::try_parse_ascii(value) == Ok(id.0),
                b"tenant" => value == item.key.tenant().as_str().as_bytes(),
                name if name == headers::ITEM_VERSION.as_bytes() => version(value) == Some(item.version),
                _ => true,
            };
            if !agrees {
                let (name, value) = (excerpt(name), excerpt(value));
                return Err(invalid(format!("the header {name} is {value:?}, its event says otherwise")));
            }
        }
        Ok(())
    }

    /// The version of its item, from the header or else from the value; `None` when neither says one.
    #[must_use]
    pub fn version(&self) -> Option<Version> {
        self.version
    }

    /// Bytes that it takes in memory, for limits.
    #[must_use]
    pub fn size(&self) -> usize {
        size_of::<Record>() + self.parts.len()
    }
}

impl fmt::Debug for Record {
    /// Where it stands; contents do not belong in logs.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}[{}]@{}", self.topic, self.partition, self.offset)
    }
}

/// What the header, if there is one, says of the version, or else the value.
fn version_said(header: Option<&[u8]>, value: Option<&[u8]>) -> Option<Version> {
    #[derive(Deserialize)]
    struct OnlyVersion {
        version: Version,
    }
    match header {
        Some(text) => version(text),
        None => serde_json::from_slice::<OnlyVersion>(value?).ok().map(|only| only.version),
    }
}

fn version(text: &[u8]) -> Option<Version> {
    std::str::from_utf8(text).ok()?.parse().ok()
}

fn invalid(why: impl fmt::Display) -> Reason {
    Reason::new(Reason::EVENT_INVALID, why.to_string())
}

fn excerpt(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).chars().take(80).collect()
}

/// A record with nothing but what lanes and coalescing look at.
#[cfg(test)]
pub(crate) fn test_record(offset: usize, key: Option<u8>, version: Option<u64>) -> Record {
    let key = key.map(|key| [key]);
    let version = version.map(|version| version.to_string());
    let headers: Vec<_> =
        version.iter().map(|version| (headers::ITEM_VERSION, Some(version.as_bytes()))).collect();
    let key = key.as_ref().map(|key| &key[..]);
    let parts = RecordParts { key, headers: &headers, ..RecordParts::default() };
    Record::new("t".into(), 0, i64::try_from(offset).unwrap(), 0, parts)
}

#[cfg(test)]
#[path = "record/tests.rs"]
mod tests;
