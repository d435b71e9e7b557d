//! The record of one version: what happened, and the item as it stands after it.

use std::borrow::Cow;
use std::fmt;

use jiff::Timestamp;
use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use serde_json::{Map, Value};
use uuid::Uuid;

use crate::{CorrelationId, ItemKey, NameError, Traceparent, Version};

/// The fields of an item that its model's `schema` describes.
pub type Attributes = Map<String, Value>;

/// Names one event for ever. A UUIDv7 made by the writer: who finds it in the store knows that its Put went through.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct EventId(pub Uuid);

impl fmt::Display for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// An item as it stands at one version, its attributes parsed or, in a [`RawItem`], still text.
#[derive(Clone, Debug, PartialEq)]
pub struct Item<A = Attributes> {
    /// Its identity.
    pub key: ItemKey,
    /// The version that this state is.
    pub version: Version,
    /// Its fields. A deleted item keeps the last ones.
    pub attributes: A,
    /// Whether this version deleted it.
    pub deleted: bool,
    /// When its first version was written.
    pub created_at: Timestamp,
    /// Who wrote its first version.
    pub created_by: String,
    /// When this version was written.
    pub updated_at: Timestamp,
    /// Who wrote this version.
    pub updated_by: String,
}

/// An item whose attributes are the text of a JSON object. Most read models pass them on or take a few out: parsing all of
/// them costs several times as much as everything else that is done for an event.
pub type RawItem<'a> = Item<Cow<'a, RawValue>>;

impl Item {
    /// The same with its attributes as text.
    pub fn to_raw(&self) -> Result<RawItem<'static>, serde_json::Error> {
        let attributes = serde_json::value::to_raw_value(&self.attributes)?;
        Ok(self.clone_with(Cow::Owned(attributes)))
    }
}

impl RawItem<'_> {
    /// The same with its attributes parsed.
    pub fn parsed(&self) -> Result<Item, serde_json::Error> {
        let attributes = serde_json::from_str(self.attributes.get())?;
        Ok(self.clone_with(attributes))
    }
}

impl<A> Item<A> {
    fn clone_with<B>(&self, attributes: B) -> Item<B> {
        Item {
            key: self.key.clone(),
            version: self.version,
            attributes,
            deleted: self.deleted,
            created_at: self.created_at,
            created_by: self.created_by.clone(),
            updated_at: self.updated_at,
            updated_by: self.updated_by.clone(),
        }
    }
}

/// What happened: the name and data of the change, beside the state it led to.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Happened<D = Value> {
    /// `Created`, `Updated`, `Deleted`, or a name from the model.
    #[serde(rename = "type")]
    pub name: String,
    /// For `Created` and `Updated` by PUT all attributes; for a merge patch the patch; for `Deleted` null.
    pub data: D,
}

/// The immutable record of one version of one item: a row of the `events` table, a record of the events topic.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    /// Unique per event; the same in every delivery of it.
    pub id: EventId,
    /// What happened.
    pub happened: Happened,
    /// The item after it. Its `version`, `updated_at` and `updated_by` are the event's own.
    pub item: Item,
    /// The request that led here.
    pub correlation_id: CorrelationId,
    /// The event that caused the command, if an event did.
    pub causation_id: Option<EventId>,
    /// The trace that the request belonged to.
    pub traceparent: Option<Traceparent>,
    /// The model's version of this type's shapes when it was written, from 1.
    pub schema_version: u32,
}

/// Bytes that are not an event.
#[derive(Debug, thiserror::Error)]
pub enum EventError {
    /// Not JSON, or not of an event's shape.
    #[error("not an event: {0}")]
    Json(#[from] serde_json::Error),
    /// Its `pk` and `sk` are not a key.
    #[error("not an event: {0}")]
    Key(#[from] NameError),
}

impl Event {
    /// The value of its Kafka record, and what the store keeps.
    #[must_use]
    pub fn to_json(&self) -> String {
        let item = &self.item;
        serde_json::json!({
            "id": self.id,
            "pk": item.key.pk(),
            "sk": item.key.sk(),
            "version": item.version,
            "event": self.happened,
            "item": {
                "attributes": item.attributes,
                "deleted": item.deleted,
                "createdAt": crate::format_time(item.created_at),
                "createdBy": item.created_by,
            },
            "createdAt": crate::format_time(item.updated_at),
            "createdBy": item.updated_by,
            "correlationId": self.correlation_id,
            "causationId": self.causation_id,
            "traceparent": self.traceparent,
            "schemaVersion": self.schema_version,
        })
        .to_string()
    }

    /// Reads what [`to_json`](Event::to_json) wrote, now or in any earlier release. Unknown fields are passed over, so
    /// that a worker of this release reads events of the next.
    pub fn from_json(json: &[u8]) -> Result<Event, EventError> {
        let wire: Wire<'_, Attributes, Value> = serde_json::from_slice(json)?;
        Ok(Event {
            id: wire.id,
            item: wire.item.after(
                &wire.pk,
                &wire.sk,
                wire.version,
                wire.created_at,
                wire.created_by,
                std::convert::identity,
            )?,
            happened: wire.event,
            correlation_id: wire.correlation_id,
            causation_id: wire.causation_id,
            traceparent: wire.traceparent,
            schema_version: wire.schema_version,
        })
    }
}

/// Of an event what a read model needs.
#[derive(Clone, Debug)]
pub struct RawEvent<'a> {
    /// The event's.
    pub id: EventId,
    /// The item after it.
    pub item: RawItem<'a>,
}

impl<'a> RawEvent<'a> {
    /// Reads the same as [`Event::from_json`], but for numbers and characters within attributes: whoever takes one out looks at it.
    pub fn from_json(json: &'a [u8]) -> Result<RawEvent<'a>, EventError> {
        let wire: Wire<'a, &'a RawValue, IgnoredAny> = serde_json::from_slice(json)?;
        if !wire.item.attributes.get().starts_with('{') {
            let error = serde::de::Error::custom("the item's attributes are not an object");
            return Err(EventError::Json(error));
        }
        let (version, at, by) = (wire.version, wire.created_at, wire.created_by);
        let item = wire.item.after(&wire.pk, &wire.sk, version, at, by, Cow::Borrowed)?;
        Ok(RawEvent { id: wire.id, item })
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Wire<'a, A, D> {
    id: EventId,
    #[serde(borrow)]
    pk: Cow<'a, str>,
    #[serde(borrow)]
    sk: Cow<'a, str>,
    version: Version,
    event: Happened<D>,
    item: WireItem<A>,
    created_at: Timestamp,
    created_by: String,
    correlation_id: CorrelationId,
    causation_id: Option<EventId>,
    traceparent: Option<Traceparent>,
    schema_version: u32,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct WireItem<A> {
    attributes: A,
    deleted: bool,
    created_at: Timestamp,
    created_by: String,
}

impl<A> WireItem<A> {
    /// The item, with what the event says once for both, and its attributes as they are wanted.
    fn after<B>(
        self,
        pk: &str,
        sk: &str,
        version: Version,
        updated_at: Timestamp,
        updated_by: String,
        attributes: impl FnOnce(A) -> B,
    ) -> Result<Item<B>, NameError> {
        Ok(Item {
            key: ItemKey::from_pk_sk(pk, sk)?,
            version,
            attributes: attributes(self.attributes),
            deleted: self.deleted,
            created_at: self.created_at,
            created_by: self.created_by,
            updated_at,
            updated_by,
        })
    }
}
