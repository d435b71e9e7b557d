//! Any event that a writer could make, and the odd corners of ids first.

use aqueduct_contract::{
    Attributes, CorrelationId, Event, EventId, Happened, Item, ItemKey, Tenant, Traceparent, TypeName,
    Version,
};
use jiff::Timestamp;
use proptest::prelude::*;
use serde_json::Value;
use uuid::Uuid;

pub(crate) fn tenant() -> impl Strategy<Value = Tenant> {
    "[a-z0-9][a-z0-9-]{0,62}".prop_map(|text| text.parse().unwrap())
}

pub(crate) fn type_name() -> impl Strategy<Value = TypeName> {
    "[A-Z][A-Z0-9_]{0,62}".prop_map(|text| text.parse().unwrap())
}

/// Ids that are rich in what keys reserve and in what is long when encoded.
pub(crate) fn id_text() -> impl Strategy<Value = String> {
    prop_oneof![
        "[#|%@/ .'\"\\\\A-F0-9]{1,40}",
        "[äß漢字🦀é%|#]{1,12}",
        "\\PC{1,40}",
        Just("%23".to_owned()),
        Just("%".to_owned()),
        Just("a|ORDER#b".to_owned()),
    ]
    .prop_filter("no URL names those", |text| text != "." && text != "..")
}

pub(crate) fn key() -> impl Strategy<Value = ItemKey> {
    (tenant(), type_name(), id_text())
        .prop_filter_map("longer than a key may be", |(tenant, type_name, id)| {
            ItemKey::new(tenant, type_name, id.parse().ok()?).ok()
        })
}

pub(crate) fn version() -> impl Strategy<Value = Version> {
    prop_oneof![1..100_u64, 1..=(1 << 53) - 1_u64].prop_map(|number| number.try_into().unwrap())
}

fn event_id() -> impl Strategy<Value = EventId> {
    any::<u128>().prop_map(|bits| EventId(Uuid::from_u128(bits)))
}

/// Time on the wire has microseconds.
fn time() -> impl Strategy<Value = Timestamp> {
    (0..4_102_444_800_000_000_i64).prop_map(|micros| Timestamp::from_microsecond(micros).unwrap())
}

pub(crate) fn json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        proptest::num::f64::NORMAL.prop_map(Value::from),
        any::<String>().prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::hash_map(any::<String>(), inner, 0..4)
                .prop_map(|fields| Value::Object(fields.into_iter().collect())),
        ]
    })
}

fn attributes() -> impl Strategy<Value = Attributes> {
    prop::collection::hash_map(any::<String>(), json(), 0..4).prop_map(|fields| fields.into_iter().collect())
}

fn item() -> impl Strategy<Value = Item> {
    (key(), version(), attributes(), any::<bool>(), time(), ".{0,20}", time(), ".{0,20}").prop_map(
        |(key, version, attributes, deleted, created_at, created_by, updated_at, updated_by)| Item {
            key,
            version,
            attributes,
            deleted,
            created_at,
            created_by,
            updated_at,
            updated_by,
        },
    )
}

fn correlation_id() -> impl Strategy<Value = CorrelationId> {
    "[!-~]{1,128}".prop_map(|text| text.parse().unwrap())
}

fn traceparent() -> impl Strategy<Value = Traceparent> {
    "00-[0-9a-f]{31}1-[0-9a-f]{15}1-[0-9a-f]{2}".prop_map(|text| text.parse().unwrap())
}

pub(crate) fn event() -> impl Strategy<Value = Event> {
    let happened = ("[A-Z][A-Za-z]{0,20}", json()).prop_map(|(name, data)| Happened { name, data });
    (
        event_id(),
        happened,
        item(),
        correlation_id(),
        prop::option::of(event_id()),
        prop::option::of(traceparent()),
        1..1000_u32,
    )
        .prop_map(|(id, happened, item, correlation_id, causation_id, traceparent, schema_version)| {
            Event { id, happened, item, correlation_id, causation_id, traceparent, schema_version }
        })
}
