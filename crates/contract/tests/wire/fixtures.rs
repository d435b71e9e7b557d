//! Records as they stand in topics already written. A file here is a promise: it is never edited, and every release
//! reads it. A change of the format adds a file.

use std::collections::HashMap;

use aqueduct_contract::dead_letter::DeadLetter;
use aqueduct_contract::headers::Headers;
use aqueduct_contract::{Event, EventId, Happened, Item, Names, Token, Version, Worker};
use serde::Deserialize;
use serde_json::{Value, json, value::RawValue};

/// A record of an events topic: key, headers in order, value byte by byte.
#[derive(Deserialize)]
struct Fixture<'a> {
    key: String,
    #[serde(borrow)]
    value: &'a RawValue,
    headers: Vec<(String, String)>,
}

fn order_created() -> Event {
    Event {
        id: EventId("01936b2e-7c00-7a3b-8a2b-0123456789ab".parse().unwrap()),
        happened: Happened {
            name: "Created".into(),
            data: json!({"customerId": "C-1", "total": "12.50"}),
        },
        item: Item {
            key: "acme#ORDER|ORDER#ORD-000017".parse().unwrap(),
            version: Version::FIRST,
            attributes: serde_json::from_value(json!({
                "customerId": "C-1", "total": "12.50", "status": "pending", "items": [{"code": "P-1", "quantity": 2}],
            }))
            .unwrap(),
            deleted: false,
            created_at: "2026-11-21T13:15:00.000001Z".parse().unwrap(),
            created_by: "anonymous".into(),
            updated_at: "2026-11-21T13:15:00.000001Z".parse().unwrap(),
            updated_by: "anonymous".into(),
        },
        correlation_id: "req-7f3a".parse().unwrap(),
        causation_id: None,
        traceparent: Some("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01".parse().unwrap()),
        schema_version: 1,
    }
}

fn customer_deleted() -> Event {
    Event {
        id: EventId("01936b2e-7c01-7a3b-8a2b-0123456789ac".parse().unwrap()),
        happened: Happened { name: "Deleted".into(), data: Value::Null },
        item: Item {
            key: "acme-2#CUSTOMER|CUSTOMER#a%23b%7Cc%25d@é 漢🦀".parse().unwrap(),
            version: Version::try_from(3_u64).unwrap(),
            attributes: serde_json::from_value(json!({"name": "Zoë \"Q\" O'Neil\\"})).unwrap(),
            deleted: true,
            created_at: "2026-11-20T00:00:00Z".parse().unwrap(),
            created_by: "ann".into(),
            updated_at: "2026-11-21T13:15:00.123456Z".parse().unwrap(),
            updated_by: "bob".into(),
        },
        correlation_id: "!~".parse().unwrap(),
        causation_id: Some(EventId("01936b2e-7c00-7a3b-8a2b-0123456789ab".parse().unwrap())),
        traceparent: None,
        schema_version: 2,
    }
}

fn assert_reads_and_writes(file: &str, event: &Event) {
    let fixture: Fixture<'_> = serde_json::from_str(file).unwrap();
    let headers = fixture.headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes()));
    assert_eq!(Event::from_json(fixture.value.get().as_bytes()).unwrap(), *event);
    assert_eq!(Headers::from_pairs(headers).unwrap(), Headers::of(event));

    let written = Headers::of(event).to_pairs();
    let written: Vec<(String, String)> =
        written.into_iter().map(|(name, value)| (name.into(), value)).collect();
    assert_eq!(written, fixture.headers);
    assert_eq!(event.item.key.to_string(), fixture.key);
    assert_eq!(event.to_json(), fixture.value.get());
}

#[test]
fn a_created_order_is_read_and_written_as_ever() {
    assert_reads_and_writes(include_str!("order-created.json"), &order_created());
}

#[test]
fn a_deleted_customer_with_an_awkward_id_is_read_and_written_as_ever() {
    assert_reads_and_writes(include_str!("customer-deleted.json"), &customer_deleted());
    assert_eq!(customer_deleted().item.key.id().as_str(), "a#b|c%d@é 漢🦀");
}

#[test]
fn fields_of_a_later_release_are_passed_over() {
    assert_eq!(Event::from_json(include_bytes!("event-later-release.json")).unwrap(), order_created());
}

#[test]
fn fields_that_may_be_absent_are_read_as_none() {
    let event = Event::from_json(include_bytes!("event-minimal.json")).unwrap();
    assert_eq!((event.causation_id, event.traceparent), (None, None));
}

#[test]
fn a_token_a_client_kept_is_still_good() {
    let kept: HashMap<String, String> = serde_json::from_str(include_str!("tokens.json")).unwrap();
    let event = customer_deleted();
    let token = Token { key: event.item.key, version: event.item.version };
    assert_eq!(Token::decode(&kept["customer-deleted"]).unwrap(), token);
    assert_eq!(token.encode(), kept["customer-deleted"]);
}

#[test]
fn dead_letter_headers_are_what_consoles_read() {
    #[derive(Deserialize)]
    struct Header {
        name: String,
        hex: String,
    }
    let file: Vec<Header> = serde_json::from_str(include_str!("dead-letter-headers.json")).unwrap();
    let letter = DeadLetter {
        topic: "aqueduct.order.events".into(),
        partition: 7,
        offset: 4_294_967_298,
        timestamp: 1_795_267_300_000,
        group: "aqueduct.sync-rds.orders.g1".into(),
        sink: "orders.g1".into(),
        error_code: "EventInvalid".into(),
        message: "the record has no key".into(),
        attempts: 1,
    };
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let written: Vec<(&str, String)> =
        letter.to_pairs().iter().map(|(name, value)| (*name, hex(value))).collect();
    let promised: Vec<(&str, String)> = file.iter().map(|h| (h.name.as_str(), h.hex.clone())).collect();
    assert_eq!(written, promised);
}

#[test]
fn names_on_servers_stay_what_they_are() {
    let names = Names::new("aqueduct");
    assert_eq!(names.events_topic(&"CREDIT_NOTE".parse().unwrap()), "aqueduct.credit_note.events");
    assert_eq!(names.dead_letter_topic(Worker::SyncRds), "aqueduct.sync-rds.dead-letter");
    assert_eq!(names.view_group(Worker::SyncSearch, "orders", 2), "aqueduct.sync-search.orders.g2");
    assert_eq!(names.data_group(), "aqueduct.projector.data");
    assert_eq!(names.table("events"), "aqueduct-events");
}
