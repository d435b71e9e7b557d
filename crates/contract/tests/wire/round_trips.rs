//! What is written is read back as it was.

use aqueduct_contract::dead_letter::DeadLetter;
use aqueduct_contract::headers::Headers;
use aqueduct_contract::{Event, ItemKey, Token, Version, format_time};
use jiff::Timestamp;
use proptest::prelude::*;

use crate::arbitrary;

fn borrowed<K: AsRef<str>, V: AsRef<[u8]>>(pairs: &[(K, V)]) -> Vec<(&str, &[u8])> {
    pairs.iter().map(|(name, value)| (name.as_ref(), value.as_ref())).collect()
}

proptest! {
    #[test]
    fn a_key_is_read_back_from_its_halves_and_from_its_text(key in arbitrary::key()) {
        prop_assert_eq!(ItemKey::from_pk_sk(&key.pk(), &key.sk()).unwrap(), key.clone());
        prop_assert_eq!(key.to_string().parse::<ItemKey>().unwrap(), key);
    }

    #[test]
    fn the_halves_of_a_key_stay_apart_and_within_the_limit(key in arbitrary::key()) {
        prop_assert!(!key.pk().contains('|') && !key.sk().contains('|'));
        prop_assert_eq!(key.sk().matches('#').count(), 1);
        prop_assert!(key.sk().len() <= 255);
    }

    #[test]
    fn different_keys_have_different_texts(one in arbitrary::key(), other in arbitrary::key()) {
        prop_assert_eq!(one == other, one.to_string() == other.to_string());
    }

    #[test]
    fn a_key_knows_its_text_from_any_other(key in arbitrary::key(), other in arbitrary::key(), end in ".?") {
        let text = key.to_string();
        let raw = format!("{}|{}#{}", key.pk(), key.type_name(), key.id());
        for asked in [other.to_string(), raw, text.clone() + &end, text.chars().skip(1).collect(), text.clone()] {
            prop_assert_eq!(key.is_pk_sk(asked.as_bytes()), asked == text, "{}", asked);
        }
    }

    #[test]
    fn a_version_is_read_back(version in arbitrary::version()) {
        prop_assert_eq!(version.to_string().parse::<Version>().unwrap(), version);
        prop_assert_eq!(Version::try_from(version.as_i64()).unwrap(), version);
        let json = serde_json::to_string(&version).unwrap();
        prop_assert_eq!(serde_json::from_str::<Version>(&json).unwrap(), version);
    }

    #[test]
    fn a_token_is_read_back(key in arbitrary::key(), version in arbitrary::version()) {
        let token = Token { key, version };
        prop_assert_eq!(Token::decode(&token.encode()).unwrap(), token);
    }

    #[test]
    fn an_event_is_read_back(event in arbitrary::event()) {
        prop_assert_eq!(Event::from_json(event.to_json().as_bytes()).unwrap(), event);
    }

    #[test]
    fn an_event_read_back_is_written_as_the_same_bytes(event in arbitrary::event()) {
        let json = event.to_json();
        prop_assert_eq!(Event::from_json(json.as_bytes()).unwrap().to_json(), json);
    }

    #[test]
    fn headers_are_read_back_among_others(event in arbitrary::event()) {
        let headers = Headers::of(&event);
        let written = headers.to_pairs();
        let mut pairs = vec![("someone-elses", &b"\xff"[..])];
        pairs.extend(borrowed(&written));
        prop_assert_eq!(Headers::from_pairs(pairs).unwrap(), headers);
    }

    #[test]
    fn dead_letter_headers_are_read_back_and_the_last_ones_count(
        topic in ".{0,20}", partition: i32, offset: i64, timestamp: i64, group in ".{0,20}", sink in ".{0,20}",
        error_code in "[A-Z][A-Za-z]{0,20}", message in any::<String>(), attempts: u32,
    ) {
        let letter =
            DeadLetter { topic, partition, offset, timestamp, group, sink, error_code, message, attempts };
        let before = DeadLetter { offset: offset.wrapping_add(1), attempts: 0, ..letter.clone() };
        let written = [before.to_pairs(), letter.to_pairs()].concat();
        prop_assert_eq!(DeadLetter::from_pairs(borrowed(&written)), Some(letter));
    }

    #[test]
    fn times_sort_as_their_texts_do(one in 0..4_102_444_800_000_000_i64, other in 0..4_102_444_800_000_000_i64) {
        let text = |micros| format_time(Timestamp::from_microsecond(micros).unwrap());
        prop_assert_eq!(one.cmp(&other), text(one).cmp(&text(other)));
    }
}
