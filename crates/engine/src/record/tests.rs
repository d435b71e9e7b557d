//! Any bytes may stand in a topic.

use aqueduct_contract::headers::Headers;
use proptest::prelude::*;

use super::*;

const VALUE: &[u8] = br#"{"id":"01936b2e-7c00-7a3b-8a2b-0123456789ab","pk":"acme#ORDER","sk":"ORDER#1","version":3,"event":{"type":"Updated","data":{}},"item":{"attributes":{},"deleted":false,"createdAt":"2026-11-21T13:15:00.000000Z","createdBy":"a"},"createdAt":"2026-11-21T13:15:00.000000Z","createdBy":"a","correlationId":"c","schemaVersion":1}"#;
const KEY: &[u8] = b"acme#ORDER|ORDER#1";

fn record(key: Option<&[u8]>, value: Option<&[u8]>, headers: &[(&str, Option<&[u8]>)]) -> Record {
    Record::new("t".into(), 0, 0, 0, RecordParts { key, value, headers, ..RecordParts::default() })
}

fn code(record: &Record) -> &'static str {
    let reason = record.event().unwrap_err();
    assert_eq!(record.item().unwrap_err(), reason);
    reason.code
}

proptest! {
    #[test]
    fn a_record_holds_what_it_was_made_of(
        key in any::<Option<Vec<u8>>>(), value in any::<Option<Vec<u8>>>(),
        headers in prop::collection::vec(("[a-c]{0,2}", any::<Option<Vec<u8>>>()), 0..6),
    ) {
        let parts: Vec<(&str, Option<&[u8]>)> =
            headers.iter().map(|(name, value)| (name.as_str(), value.as_deref())).collect();
        let made_of = RecordParts { headers: &parts, ..RecordParts::default() };
        let record = record(key.as_deref(), value.as_deref(), &parts);
        prop_assert_eq!(record.key(), key.as_deref());
        prop_assert_eq!(record.value(), value.as_deref());
        prop_assert_eq!(record.headers().collect::<Vec<_>>(), parts.clone());
        for (name, _) in &parts {
            let last = parts.iter().rev().find(|(found, _)| found == name).unwrap();
            prop_assert_eq!(made_of.header(name), last.1);
        }
    }

    #[test]
    fn any_bytes_are_refused_without_a_panic(
        key in any::<Option<Vec<u8>>>(), value in any::<Option<Vec<u8>>>(), header in any::<Option<Vec<u8>>>(),
    ) {
        let record = record(key.as_deref(), value.as_deref(), &[(headers::ITEM_VERSION, header.as_deref())]);
        prop_assert_eq!(code(&record), Reason::EVENT_INVALID);
        let _ = (record.version(), record.size(), format!("{record:?}"));
    }
}

#[test]
fn an_event_is_read_with_its_headers_and_without() {
    let event = record(Some(KEY), Some(VALUE), &[]).event().unwrap();
    let written = Headers::of(&event).to_pairs();
    let pairs: Vec<_> = written.iter().map(|(name, value)| (*name, Some(value.as_bytes()))).collect();
    let record = record(Some(KEY), Some(VALUE), &pairs);
    assert_eq!(record.event().unwrap(), event);
    assert_eq!(record.item().unwrap().parsed().unwrap(), event.item);
}

#[test]
fn what_contradicts_the_value_is_refused() {
    assert_eq!(code(&record(Some(b"acme#ORDER|ORDER#2"), Some(VALUE), &[])), Reason::EVENT_INVALID);
    for (name, value) in [("item-version", "4"), ("item-version", "03"), ("ce_id", "x"), ("tenant", "acme2")]
    {
        let contradicting = record(Some(KEY), Some(VALUE), &[(name, Some(value.as_bytes()))]);
        assert_eq!(code(&contradicting), Reason::EVENT_INVALID, "{name}");
    }
    let parts = RecordParts { key: Some(KEY), value: Some(VALUE), headers: &[], unreadable_headers: true };
    assert_eq!(code(&Record::new("t".into(), 0, 0, 0, parts)), Reason::EVENT_INVALID);
}

#[test]
fn the_version_is_that_of_the_header_or_else_of_the_value() {
    let version = |header: Option<&[u8]>, value| {
        let headers = header.map(|header| (headers::ITEM_VERSION, Some(header)));
        record(Some(KEY), value, headers.as_slice()).version().map(Version::get)
    };
    assert_eq!(version(Some(b"7"), Some(VALUE)), Some(7));
    assert_eq!(version(None, Some(VALUE)), Some(3));
    assert_eq!(version(Some(b"x"), Some(VALUE)), None);
    assert_eq!(version(None, Some(b"{}")), None);
    assert_eq!(version(None, None), None);
}
