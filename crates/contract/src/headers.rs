//! Kafka headers of an event: CloudEvents 1.0 in binary mode, and what consumers route and trace by.
//!
//! Values are UTF-8 text. A reader can route, coalesce and trace without opening the value.

use std::collections::HashMap;
use std::str::FromStr;

use jiff::Timestamp;

use crate::{CorrelationId, Event, EventId, Tenant, Traceparent, Version, format_time};

/// The item's version, by which consumers tell newer from older.
pub const ITEM_VERSION: &str = "item-version";
/// Follows a write through all it causes.
pub const CORRELATION_ID: &str = "correlation-id";
/// The event that caused the command behind this one.
pub const CAUSATION_ID: &str = "causation-id";
/// W3C trace context.
pub const TRACEPARENT: &str = "traceparent";

/// The headers of one event, read back.
#[derive(Clone, Debug, PartialEq)]
pub struct Headers {
    /// `ce_id`.
    pub event_id: EventId,
    /// `ce_source`: `/aqueduct/{tenant}/{TYPE}`.
    pub source: String,
    /// `ce_type`: `aqueduct.{TYPE}.{event}`.
    pub event_type: String,
    /// `ce_time`: when the version was written.
    pub time: Timestamp,
    /// `ce_subject`: the item's sort key.
    pub subject: String,
    /// `tenant`.
    pub tenant: Tenant,
    /// `item-version`.
    pub version: Version,
    /// `schema-version`.
    pub schema_version: u32,
    /// `correlation-id`.
    pub correlation_id: CorrelationId,
    /// `causation-id`, absent when no event caused it.
    pub causation_id: Option<EventId>,
    /// `traceparent`, absent when the request had none.
    pub traceparent: Option<Traceparent>,
}

/// Headers that no publisher of ours wrote.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HeaderError {
    /// A header that every event has is missing.
    #[error("header {0} is missing")]
    Missing(&'static str),
    /// A header's value is not what it must be.
    #[error("header {0} has the value {1:?}, which is not valid")]
    Invalid(&'static str, String),
}

impl Headers {
    /// The headers of `event`.
    #[must_use]
    pub fn of(event: &Event) -> Headers {
        let key = &event.item.key;
        Headers {
            event_id: event.id,
            source: format!("/aqueduct/{}/{}", key.tenant(), key.type_name()),
            event_type: format!("aqueduct.{}.{}", key.type_name(), event.happened.name),
            time: event.item.updated_at,
            subject: key.sk(),
            tenant: key.tenant().clone(),
            version: event.item.version,
            schema_version: event.schema_version,
            correlation_id: event.correlation_id.clone(),
            causation_id: event.causation_id,
            traceparent: event.traceparent.clone(),
        }
    }

    /// Names and values in a fixed order, as they go to Kafka.
    #[must_use]
    pub fn to_pairs(&self) -> Vec<(&'static str, String)> {
        let mut pairs = vec![
            ("ce_specversion", "1.0".to_owned()),
            ("ce_id", self.event_id.to_string()),
            ("ce_source", self.source.clone()),
            ("ce_type", self.event_type.clone()),
            ("ce_time", format_time(self.time)),
            ("ce_subject", self.subject.clone()),
            ("content-type", "application/json".to_owned()),
            ("tenant", self.tenant.to_string()),
            (ITEM_VERSION, self.version.to_string()),
            ("schema-version", self.schema_version.to_string()),
            (CORRELATION_ID, self.correlation_id.to_string()),
        ];
        pairs.extend(self.causation_id.map(|id| (CAUSATION_ID, id.to_string())));
        pairs.extend(self.traceparent.as_ref().map(|parent| (TRACEPARENT, parent.to_string())));
        pairs
    }

    /// Reads them back. Headers of other names are passed over.
    pub fn from_pairs<'a>(
        pairs: impl IntoIterator<Item = (&'a str, &'a [u8])>,
    ) -> Result<Headers, HeaderError> {
        let found: HashMap<&str, &[u8]> = pairs.into_iter().collect();
        require::<String>(&found, "ce_specversion")?;
        Ok(Headers {
            event_id: EventId(require(&found, "ce_id")?),
            source: require(&found, "ce_source")?,
            event_type: require(&found, "ce_type")?,
            time: require(&found, "ce_time")?,
            subject: require(&found, "ce_subject")?,
            tenant: require(&found, "tenant")?,
            version: require(&found, ITEM_VERSION)?,
            schema_version: require(&found, "schema-version")?,
            correlation_id: require(&found, CORRELATION_ID)?,
            causation_id: optional(&found, CAUSATION_ID)?.map(EventId),
            traceparent: optional(&found, TRACEPARENT)?,
        })
    }
}

fn optional<T: FromStr>(found: &HashMap<&str, &[u8]>, name: &'static str) -> Result<Option<T>, HeaderError> {
    let Some(value) = found.get(name) else { return Ok(None) };
    let parsed = std::str::from_utf8(value).ok().and_then(|text| text.parse().ok());
    parsed
        .map(Some)
        .ok_or_else(|| HeaderError::Invalid(name, String::from_utf8_lossy(value).chars().take(80).collect()))
}

fn require<T: FromStr>(found: &HashMap<&str, &[u8]>, name: &'static str) -> Result<T, HeaderError> {
    optional(found, name)?.ok_or(HeaderError::Missing(name))
}
