//! What the tests of views, and of the workers that keep them, share: a model, its items, and settings of their own.

use aqueduct_contract::headers::Headers;
use aqueduct_contract::{CorrelationId, Event, EventId, Happened, Item, ItemKey, Version};
use aqueduct_engine::{Record, RecordParts};
use aqueduct_model::Model;
use aqueduct_service::Settings;
use aqueduct_tests::{servers, unique};
use serde_json::{Value, json};
use uuid::Uuid;

/// Orders with a column of every kind, and products without a view of their own.
pub(crate) const ORDER: &str = "
aqueduct: v1
type: ORDER
schema:
  type: object
  properties:
    customerName: { type: string }
    total: { type: string, format: decimal }
    quantity: { type: integer }
    weight: { type: number }
    paid: { type: boolean }
    placedAt: { type: string, format: date-time }
    day: { type: string, format: date }
    ref: { type: string, format: uuid }
    lines: { type: array, items: { type: object, properties: { code: { type: string } } } }
views:
  orders:
    postgres:
      columns:
        customer_name: { type: text, from: self.customerName, index: true }
        total: { type: 'numeric(30,2)', from: self.total }
        quantity: { type: bigint, from: self.quantity }
        weight: { type: double precision, from: self.weight }
        paid: { type: boolean, from: self.paid }
        placed_at: { type: timestamptz, from: self.placedAt, index: true }
        day: { type: date, from: self.day }
        ref: { type: uuid, from: self.ref }
        lines: { type: jsonb, from: self.lines, index: true }
        shout: { type: text, from: \"has(self.customerName) ? self.customerName + '!' : 'nobody'\" }
    opensearch: {}
";

pub(crate) const PRODUCT: &str = "
aqueduct: v1
type: PRODUCT
schema: { type: object, properties: { name: { type: string } } }
";

pub(crate) fn model(files: &[&str]) -> Model {
    let named = files.iter().enumerate().map(|(index, text)| (format!("{index}.yaml"), *text));
    Model::parse(named).unwrap_or_else(|problems| panic!("{problems}"))
}

/// The defaults, with the servers of this process, a database and an index prefix of their own.
pub(crate) async fn settings() -> Settings {
    let servers = servers().await;
    let mut settings = Settings::defaults().unwrap();
    settings.prefix = unique();
    settings.kafka.brokers = servers.kafka.clone();
    settings.dynamodb.endpoint = servers.dynamodb.clone();
    settings.postgres.url = servers.database().await;
    settings.opensearch.url = servers.opensearch.clone();
    settings.opensearch.index_prefix = format!("{}-", settings.prefix);
    settings.opensearch.replicas = 0;
    settings
}

/// A version of the order `id` of tenant `acme`. A later version is a later moment.
pub(crate) fn order(id: &str, version: u64, attributes: Value) -> Item {
    let second = i64::try_from(version).unwrap();
    Item {
        key: ItemKey::new("acme".parse().unwrap(), "ORDER".parse().unwrap(), id.parse().unwrap()).unwrap(),
        version: Version::try_from(version).unwrap(),
        attributes: attributes.as_object().unwrap().clone(),
        deleted: false,
        created_at: "2026-11-21T13:15:00.000001Z".parse().unwrap(),
        created_by: "ann".into(),
        updated_at: jiff::Timestamp::from_second(1_795_266_900 + second).unwrap(),
        updated_by: "ben".into(),
    }
}

/// Attributes with a value for each kind of column that the ORDER of these tests has.
pub(crate) fn full() -> Value {
    json!({
        "customerName": "Zoë \"O'Hara\" \\ ✓",
        "total": "1234567890123456789012345678.90",
        "quantity": 9_223_372_036_854_775_807_i64,
        "weight": 0.1,
        "paid": true,
        "placedAt": "2026-11-21T13:15:00.123456+02:00",
        "day": "2024-02-29",
        "ref": "0190a5f0-0000-7000-8000-000000000000",
        "lines": [{ "code": "a", "n": 1.5 }, null, "✓"],
    })
}

/// The same, deleted.
pub(crate) fn deletion(id: &str, version: u64) -> Item {
    Item { deleted: true, ..order(id, version, json!({ "customerName": "last" })) }
}

pub(crate) fn event(item: Item) -> Event {
    Event {
        id: EventId(Uuid::now_v7()),
        happened: Happened { name: "Updated".into(), data: Value::Null },
        item,
        correlation_id: "test".parse::<CorrelationId>().unwrap(),
        causation_id: None,
        traceparent: None,
        schema_version: 1,
    }
}

/// The record that a publisher makes of it.
pub(crate) fn record(item: Item) -> Record {
    record_in("orders", item)
}

/// The same in a topic.
pub(crate) fn record_in(topic: &str, item: Item) -> Record {
    let event = event(item);
    let pairs = Headers::of(&event).to_pairs();
    let headers: Vec<(&str, Option<&[u8]>)> =
        pairs.iter().map(|(name, value)| (*name, Some(value.as_bytes()))).collect();
    let (key, value) = (event.item.key.to_string(), event.to_json());
    let (key, value) = (Some(key.as_bytes()), Some(value.as_bytes()));
    let parts = RecordParts { key, value, headers: &headers, ..RecordParts::default() };
    Record::new(topic.into(), 0, 0, 0, parts)
}
