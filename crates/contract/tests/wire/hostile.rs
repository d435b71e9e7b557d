//! Input that no process of ours wrote: refused with an error, never a panic, never read as something else.

use aqueduct_contract::dead_letter::DeadLetter;
use aqueduct_contract::headers::{HeaderError, Headers};
use aqueduct_contract::{
    CorrelationId, Event, ItemId, ItemKey, NameError, Tenant, Token, Traceparent, TypeName, Version,
};
use proptest::prelude::*;

use crate::arbitrary;

proptest! {
    #[test]
    fn any_text_is_parsed_or_refused(text in any::<String>()) {
        let _ = text.parse::<Version>();
        let _ = text.parse::<CorrelationId>();
        let _ = text.parse::<Traceparent>();
        let _ = Token::decode(&text);
        // What is a valid name is that very name.
        if let Ok(tenant) = text.parse::<Tenant>() { prop_assert_eq!(tenant.as_str(), &text); }
        if let Ok(name) = text.parse::<TypeName>() { prop_assert_eq!(name.as_str(), &text); }
        if let Ok(id) = text.parse::<ItemId>() { prop_assert_eq!(id.as_str(), &text); }
        if let Ok(key) = text.parse::<ItemKey>() { prop_assert_eq!(key.to_string(), text); }
    }

    #[test]
    fn a_text_that_reads_as_a_key_is_the_only_spelling_of_it(
        text in "[a-z]{1,3}#(AB|A)\\|(AB|A)#[a%|#0-9CD]{1,8}",
    ) {
        if let Ok(key) = text.parse::<ItemKey>() { prop_assert_eq!(key.to_string(), text); }
    }

    #[test]
    fn any_bytes_are_an_event_or_refused(bytes in any::<Vec<u8>>()) {
        prop_assert!(Event::from_json(&bytes).is_err());
    }

    #[test]
    fn an_event_with_any_byte_changed_is_read_or_refused(
        event in arbitrary::event(), at in any::<prop::sample::Index>(), byte: u8,
    ) {
        let mut json = event.to_json().into_bytes();
        let at = at.index(json.len());
        json[at] = byte;
        let _ = Event::from_json(&json);
    }

    #[test]
    fn an_event_cut_short_is_refused(event in arbitrary::event(), at in any::<prop::sample::Index>()) {
        let json = event.to_json().into_bytes();
        prop_assert!(Event::from_json(&json[..at.index(json.len())]).is_err());
    }

    #[test]
    fn any_headers_are_read_or_refused(
        pairs in prop::collection::vec((any::<String>(), any::<Vec<u8>>()), 0..5),
        event in arbitrary::event(), at in any::<prop::sample::Index>(), value in any::<Vec<u8>>(),
    ) {
        let written = Headers::of(&event).to_pairs();
        let mut mixed: Vec<(&str, &[u8])> = written.iter().map(|(name, value)| (*name, value.as_bytes())).collect();
        let at = at.index(mixed.len());
        mixed[at].1 = &value;
        mixed.extend(pairs.iter().map(|(name, value)| (name.as_str(), value.as_slice())));
        let _ = Headers::from_pairs(mixed.clone());
        let _ = DeadLetter::from_pairs(mixed);
    }

    #[test]
    fn a_changed_token_is_refused_or_another_write(
        key in arbitrary::key(), version in arbitrary::version(), at in any::<prop::sample::Index>(), byte in b'!'..b'~',
    ) {
        let token = Token { key, version };
        let mut text = token.encode().into_bytes();
        let at = at.index(text.len());
        prop_assume!(text[at] != byte);
        text[at] = byte;
        prop_assert_ne!(Token::decode(&String::from_utf8(text).unwrap()), Ok(token));
    }
}

#[test]
fn every_header_but_causation_and_trace_is_required() {
    let event = Event::from_json(include_bytes!("event-minimal.json")).unwrap();
    let written = Headers::of(&event).to_pairs();
    for (missing, _) in &written {
        let pairs = written.iter().filter(|(name, _)| name != missing);
        let read = Headers::from_pairs(pairs.map(|(name, value)| (*name, value.as_bytes())));
        match *missing {
            // Every value of ours is JSON: a reader has no choice to make by it.
            "content-type" => assert!(read.is_ok()),
            _ => assert_eq!(read.unwrap_err(), HeaderError::Missing(missing)),
        }
    }
}

#[test]
fn attributes_may_nest_a_hundred_deep() {
    let event = Event::from_json(include_bytes!("event-minimal.json")).unwrap();
    let nested = format!("{}1{}", "[".repeat(100), "]".repeat(100));
    let mut deep = event;
    deep.item.attributes.insert("deep".into(), serde_json::from_str(&nested).unwrap());
    assert_eq!(Event::from_json(deep.to_json().as_bytes()).unwrap(), deep);

    let hostile = "[".repeat(1_000_000);
    assert!(Event::from_json(hostile.as_bytes()).is_err());
}

#[test]
fn ids_that_no_key_can_hold_are_refused() {
    for id in ["", ".", "..", "a\u{0}b", "a\nb", "\u{7f}", "\u{9f}"] {
        assert!(matches!(id.parse::<ItemId>(), Err(NameError::ItemId(..))), "{id:?}");
    }
    let key = |id: &str| ItemKey::new("acme".parse().unwrap(), "ORDER".parse().unwrap(), id.parse().unwrap());
    assert_eq!(key(&"x".repeat(249)).unwrap().sk().len(), 255);
    assert_eq!(key(&"x".repeat(250)), Err(NameError::TooLong(256)));
    assert_eq!(key(&"#".repeat(84)), Err(NameError::TooLong(258)));
    assert!(matches!("漢".repeat(5000).parse::<ItemId>(), Err(NameError::TooLong(15000))));
}

#[test]
fn an_error_quotes_no_more_than_a_line_of_what_it_refuses() {
    let long = "x".repeat(10_000);
    let refused = [
        long.parse::<Tenant>().unwrap_err().to_string(),
        long.parse::<TypeName>().unwrap_err().to_string(),
        long.parse::<ItemKey>().unwrap_err().to_string(),
        long.parse::<Version>().unwrap_err().to_string(),
        Token::decode(&long).unwrap_err().to_string(),
    ];
    assert!(refused.iter().all(|message| message.len() < 220), "{refused:?}");
}

#[test]
fn a_version_has_one_spelling() {
    for text in
        ["", "0", "-1", "+1", "01", "1.0", "1e3", " 1", "9007199254740992", "18446744073709551616", "१"]
    {
        assert!(text.parse::<Version>().is_err(), "{text:?}");
    }
    assert!(Version::try_from(0_i64).is_err() && Version::try_from(-1_i64).is_err());
    assert!(serde_json::from_str::<Version>("1.5").is_err());
}

#[test]
fn the_version_after_the_last_is_still_one_that_can_be_read() {
    let last = Version::try_from((1_u64 << 53) - 1).unwrap();
    assert_eq!(last.next().to_string().parse::<Version>().unwrap(), last);
    assert_eq!(Version::FIRST.next().get(), 2);
    assert_eq!((Version::FIRST.previous(), last.previous().map(Version::next)), (None, Some(last)));
}
