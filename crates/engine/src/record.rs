//! A record as it stands in a topic, and the event in it.

use std::fmt;
use std::sync::Arc;

use aqueduct_contract::{Event, Version, headers};
use bytes::{Bytes, BytesMut};
use serde::Deserialize;

use crate::Reason;

/// What a record is made of, for [`Record::new`].
#[derive(Clone, Copy, Debug, Default)]
pub struct RecordParts<'a> {
    /// The record's key.
    pub key: Option<&'a [u8]>,
    /// The record's value.
    pub value: Option<&'a [u8]>,
    /// Names and values in the order of the record. A name may stand twice, a value may be absent.
    pub headers: &'a [(&'a str, Option<&'a [u8]>)],
}

/// One record of a topic. Its bytes are copied once into one buffer; clones share it.
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
    /// Its key.
    pub key: Option<Bytes>,
    /// Its value.
    pub value: Option<Bytes>,
    header_bytes: Bytes,
    headers: Arc<[HeaderSpan]>,
    unreadable_headers: bool,
}

/// Where in `header_bytes` a header ends; it begins where the one before ended.
#[derive(Clone, Copy)]
struct HeaderSpan {
    name_end: usize,
    value_end: usize,
    has_value: bool,
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
        let length = |bytes: Option<&[u8]>| bytes.map_or(0, <[u8]>::len);
        let headers_length: usize =
            parts.headers.iter().map(|(name, value)| name.len() + length(*value)).sum();
        let mut buffer = BytesMut::with_capacity(headers_length + length(parts.key) + length(parts.value));
        let mut spans = Vec::with_capacity(parts.headers.len());
        for (name, value) in parts.headers {
            buffer.extend_from_slice(name.as_bytes());
            let name_end = buffer.len();
            buffer.extend_from_slice(value.unwrap_or_default());
            spans.push(HeaderSpan { name_end, value_end: buffer.len(), has_value: value.is_some() });
        }
        buffer.extend_from_slice(parts.key.unwrap_or_default());
        buffer.extend_from_slice(parts.value.unwrap_or_default());
        let mut rest = buffer.freeze();
        let header_bytes = rest.split_to(headers_length);
        let key_bytes = rest.split_to(length(parts.key));
        Record {
            topic,
            partition,
            offset,
            timestamp,
            key: parts.key.map(|_| key_bytes),
            value: parts.value.map(|_| rest),
            header_bytes,
            headers: spans.into(),
            unreadable_headers: false,
        }
    }

    /// It has further headers, whose names are not text.
    pub(crate) fn with_unreadable_headers(self) -> Record {
        Record { unreadable_headers: true, ..self }
    }

    /// Names and values of its headers, in order.
    pub fn headers(&self) -> impl Iterator<Item = (&str, Option<&[u8]>)> {
        // Copied from a `&str`, so it is one.
        self.raw_headers().map(|(name, value)| (std::str::from_utf8(name).unwrap_or_default(), value))
    }

    fn raw_headers(&self) -> impl Iterator<Item = (&[u8], Option<&[u8]>)> {
        let mut start = 0;
        self.headers.iter().map(move |span| {
            let name = &self.header_bytes[start..span.name_end];
            let value = &self.header_bytes[span.name_end..span.value_end];
            start = span.value_end;
            (name, span.has_value.then_some(value))
        })
    }

    /// The value of a header; of the last one where the name stands more than once.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&[u8]> {
        self.raw_headers().filter(|(found, _)| *found == name.as_bytes()).last().and_then(|(_, value)| value)
    }

    /// The event in it. A record that no publisher of ours wrote is a [`Reason`] with the code `EventInvalid`: without a key
    /// or value, not an event's JSON, or with a key or headers that contradict the value. A header that is absent
    /// contradicts nothing: the value is complete without it.
    pub fn event(&self) -> Result<Event, Reason> {
        let invalid = |message: String| Reason::new(Reason::EVENT_INVALID, message);
        let key = self.key.as_deref().ok_or_else(|| invalid("the record has no key".into()))?;
        let value = self.value.as_deref().ok_or_else(|| invalid("the record has no value".into()))?;
        if self.unreadable_headers {
            return Err(invalid("a header has a name that is not text".into()));
        }
        let event = Event::from_json(value).map_err(|error| invalid(error.to_string()))?;
        let item_key = event.item.key.to_string();
        if item_key.as_bytes() != key {
            return Err(invalid(format!(
                "the record's key is {:?}, its event is of {item_key}",
                excerpt(key)
            )));
        }
        let claims = [
            ("ce_id", event.id.to_string()),
            ("tenant", event.item.key.tenant().to_string()),
            (headers::ITEM_VERSION, event.item.version.to_string()),
        ];
        for (name, expected) in claims {
            if let Some(found) = self.header(name).filter(|found| *found != expected.as_bytes()) {
                return Err(invalid(format!(
                    "the header {name} is {:?}, its event says {expected}",
                    excerpt(found)
                )));
            }
        }
        Ok(event)
    }

    /// The version of its item, from the header or else from the value; `None` when neither says one.
    #[must_use]
    pub fn version(&self) -> Option<Version> {
        #[derive(Deserialize)]
        struct OnlyVersion {
            version: Version,
        }
        match self.header(headers::ITEM_VERSION) {
            Some(text) => std::str::from_utf8(text).ok()?.parse().ok(),
            None => {
                serde_json::from_slice::<OnlyVersion>(self.value.as_deref()?).ok().map(|only| only.version)
            }
        }
    }

    /// Bytes that it takes in memory, for limits.
    #[must_use]
    pub fn size(&self) -> usize {
        let length = |bytes: &Option<Bytes>| bytes.as_ref().map_or(0, Bytes::len);
        size_of::<Record>()
            + size_of_val(&*self.headers)
            + self.header_bytes.len()
            + length(&self.key)
            + length(&self.value)
    }
}

impl fmt::Debug for Record {
    /// Where it stands; contents do not belong in logs.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}[{}]@{}", self.topic, self.partition, self.offset)
    }
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
    let parts = RecordParts { key: key.as_ref().map(|key| &key[..]), value: None, headers: &headers };
    Record::new("t".into(), 0, i64::try_from(offset).unwrap(), 0, parts)
}

#[cfg(test)]
#[path = "record/tests.rs"]
mod tests;
