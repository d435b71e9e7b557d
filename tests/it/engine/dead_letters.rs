//! Records at fault: set aside in the store and in the dead-letter topic, byte by byte; the others go on.

use std::collections::HashMap;

use aqueduct_contract::dead_letter::DeadLetter;
use aqueduct_contract::{Names, Version};
use aqueduct_engine::{Outcome, Reason, Record, SinkError};
use aqueduct_store::letters::State;
use aqueduct_store::{Letter, topics};
use aqueduct_tests::{eventually, unique};
use serde_json::json;

use super::stage::{
    Applied, EventPuppet, Found, PATIENCE, Stage, StatePuppet, assert_nothing_unaccounted, event, found, key,
    metric,
};

fn dead_letter(found: &Found) -> DeadLetter {
    let pairs = found.headers.iter();
    DeadLetter::from_pairs(pairs.filter_map(|(name, value)| Some((name.as_str(), value.as_deref()?))))
        .unwrap()
}

/// Sends ten records of which some are at fault, and checks what came of them.
async fn ten_of_which_are_at_fault(at_fault: &[usize], names_the_culprit: bool) {
    let stage = Stage::new(1).await;
    let sent: Vec<Found> = (0..10).map(|item| found(&event(&format!("o{item}"), 1))).collect();
    for record in &sent {
        stage.produce(record).await;
    }
    let faulty: Vec<Vec<u8>> = at_fault.iter().map(|item| sent[*item].key.clone().unwrap()).collect();
    let applied = Applied::default();
    let seen = applied.clone();
    let member = stage.join(StatePuppet::new(move |batch| {
        let reason = || Reason::new("ValueOutOfRange", "a number is too large");
        let is_faulty = |record: &Record| faulty.iter().any(|key| record.key() == Some(key.as_slice()));
        let answer = if !names_the_culprit && batch.iter().any(is_faulty) {
            Err(SinkError::Poison(reason()))
        } else {
            let one = |record| if is_faulty(record) { Outcome::Poison(reason()) } else { seen.note(record) };
            Ok(batch.iter().map(one).collect())
        };
        std::future::ready(answer)
    }));
    stage.all_committed().await;
    let registry = member.stop().await;

    for item in 0..10 {
        let expected = if at_fault.contains(&item) { vec![] } else { vec![1] };
        assert_eq!(applied.of(&format!("o{item}")), expected, "item {item}");
    }
    let dead: HashMap<Vec<u8>, Found> =
        stage.dead_letters().await.into_iter().map(|one| (one.key.clone().unwrap(), one)).collect();
    assert_eq!(dead.len(), at_fault.len());
    let filed = stage.filed().await;
    assert_eq!(filed.len(), at_fault.len());
    for item in at_fault {
        let original = &sent[*item];
        let dead = &dead[original.key.as_ref().unwrap()];
        assert_eq!((&dead.key, &dead.value), (&original.key, &original.value));
        assert_eq!(dead.headers[..original.headers.len()], original.headers);
        let why = dead_letter(dead);
        let offset = i64::try_from(*item).unwrap();
        let filed = filed.iter().find(|one| one.letter.offset == offset).unwrap();
        let letter = &filed.letter;
        assert_eq!((why.topic.as_str(), why.partition, why.offset), (stage.topic.as_str(), 0, offset));
        assert_eq!((why.error_code.as_str(), why.attempts), ("ValueOutOfRange", 1));
        assert_eq!((why.group, why.sink.as_str()), (stage.group().id, "orders.g1"));
        assert_eq!(letter.item, key(&format!("o{item}")).to_string());
        assert_eq!((letter.code.as_str(), letter.state), ("ValueOutOfRange", State::Open));
        assert_eq!(letter.version.map(Version::get), Some(1));
    }
    let count = f64::from(u32::try_from(at_fault.len()).unwrap());
    assert_eq!(metric(&registry, "aqueduct_events_total", Some("dead_lettered")), count);
    assert_nothing_unaccounted(&registry);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_record_of_a_batch_at_fault_is_set_aside() {
    ten_of_which_are_at_fault(&[0], true).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fault_in_the_middle_without_a_culprit_is_found_and_set_aside() {
    ten_of_which_are_at_fault(&[4, 5], false).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fault_at_the_end_without_a_culprit_is_found_and_set_aside() {
    ten_of_which_are_at_fault(&[9], false).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_that_is_at_fault_altogether_is_set_aside_altogether() {
    ten_of_which_are_at_fault(&[0, 1, 2, 3, 4, 5, 6, 7, 8, 9], false).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_failure_gets_its_attempts_and_is_then_set_aside() {
    let stage = Stage::new(1).await;
    stage.publish("bad", 1).await;
    stage.publish("good", 1).await;
    let applied = Applied::default();
    let seen = applied.clone();
    let member = stage.join(StatePuppet::new(move |batch| {
        let one = |record: &Record| match record.event() {
            Ok(event) if event.item.key.id().as_str() == "bad" => {
                seen.note(record);
                Outcome::Retry(Reason::new("Unknown", "nobody knows"))
            }
            _ => seen.note(record),
        };
        std::future::ready(Ok(batch.iter().map(one).collect()))
    }));
    stage.all_committed().await;
    let registry = member.stop().await;
    assert_eq!(applied.of("bad").len(), 3);
    assert_eq!(applied.of("good"), [1]);
    let dead = stage.dead_letters().await;
    assert_eq!(dead.iter().map(|one| dead_letter(one).attempts).collect::<Vec<_>>(), [3]);
    assert_nothing_unaccounted(&registry);
}

#[tokio::test(flavor = "multi_thread")]
async fn when_the_highest_version_is_at_fault_the_next_is_applied() {
    let stage = Stage::new(1).await;
    for version in 1..=3 {
        stage.publish("one", version).await;
    }
    let applied = Applied::default();
    let seen = applied.clone();
    let member = stage.join(StatePuppet::new(move |batch| {
        let one = |record: &Record| match record.version().map(Version::get) {
            Some(3) => Outcome::Poison(Reason::new("ValueOutOfRange", "")),
            _ => seen.note(record),
        };
        std::future::ready(Ok(batch.iter().map(one).collect()))
    }));
    stage.all_committed().await;
    member.stop().await;
    assert_eq!(applied.of("one").last(), Some(&2));
    assert_eq!(stage.filed().await[0].letter.version.unwrap().get(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn records_that_are_no_events_are_set_aside_as_they_are() {
    let stage = Stage::new(1).await;
    // Each of an item of its own: where every event counts, a dead letter parks its item.
    let ids = std::cell::Cell::new(0);
    let any = || {
        ids.set(ids.get() + 1);
        found(&event(&format!("o{}", ids.get()), 1))
    };
    let without = |name: &str, mut record: Found| {
        record.headers.retain(|(found, _)| found != name);
        record
    };
    let header = |name: &str, value: Option<&[u8]>| {
        let mut record = without(name, any());
        record.headers.push((name.into(), value.map(<[u8]>::to_vec)));
        record
    };
    let hostile = vec![
        Found { key: None, ..any() },
        Found { value: None, ..any() },
        Found { key: None, value: None, headers: vec![] },
        Found { key: Some(vec![]), value: Some(vec![]), headers: vec![] },
        Found { key: Some(b"\xff\x00|#".to_vec()), ..any() },
        Found { key: Some(b"acme#ORDER|ORDER#other".to_vec()), ..any() },
        Found { value: Some(b"{".to_vec()), ..any() },
        Found { value: Some(vec![0xff; 100]), ..any() },
        Found { value: Some("[".repeat(100_000).into_bytes()), ..any() },
        header("item-version", Some(b"2")),
        header("item-version", Some(b"\xff")),
        header("ce_id", Some(b"someone-elses")),
        header("tenant", Some(b"evil")),
        // Nothing wrong with these.
        found(&event("good", 1)),
        Found { headers: vec![], ..found(&event("bare", 1)) },
        without("item-version", found(&event("less", 1))),
    ];
    for record in &hostile {
        stage.produce(record).await;
    }
    let applied = Applied::default();
    let seen = applied.clone();
    let member = stage.join(EventPuppet::new(move |batch| std::future::ready(seen.note_all(&batch))));
    stage.all_committed().await;
    let registry = member.stop().await;

    for id in ["good", "bare", "less"] {
        assert_eq!(applied.of(id), [1], "{id}");
    }
    let mut dead = stage.dead_letters().await;
    dead.sort_by_key(|one| dead_letter(one).offset);
    assert_eq!(dead.len(), 13);
    for (dead, original) in dead.iter().zip(&hostile) {
        assert_eq!((&dead.key, &dead.value), (&original.key, &original.value));
        assert_eq!(dead.headers[..original.headers.len()], original.headers);
        assert_eq!(dead_letter(dead).error_code, "EventInvalid");
    }
    // A letter stands for an item, or for a record whose key is none.
    let items: Vec<String> = stage.filed().await.into_iter().map(|filed| filed.letter.item).collect();
    for offset in [0, 2, 3, 4] {
        assert!(items.contains(&Letter::without_item(offset)), "{items:?}");
    }
    assert!(items.contains(&"acme#ORDER|ORDER#other".to_owned()));
    assert_nothing_unaccounted(&registry);
}

/// With what says why it was set aside, a record is larger than its topic would take.
#[tokio::test(flavor = "multi_thread")]
async fn records_as_large_as_their_topic_takes_are_applied_and_set_aside_like_others() {
    let stage = Stage::new(1).await;
    let limit = stage.kafka.record_limit().unwrap();
    let large = |id: &str| {
        let mut event = event(id, 1);
        event.item.attributes.insert("text".to_owned(), json!("x".repeat(limit - 2_000)));
        found(&event)
    };
    let (good, bad) = (large("good"), large("bad"));
    for record in [&good, &bad] {
        stage.produce(record).await;
    }
    let applied = Applied::default();
    let seen = applied.clone();
    let member = stage.join(StatePuppet::new(move |batch| {
        let one = |record: &Record| match record.event() {
            Ok(event) if event.item.key == key("bad") => {
                Outcome::Poison(Reason::new("ValueOutOfRange", "y".repeat(2_000)))
            }
            _ => seen.note(record),
        };
        std::future::ready(Ok(batch.iter().map(one).collect()))
    }));
    stage.all_committed().await;
    let registry = member.stop().await;
    assert_eq!(applied.of("good"), [1]);
    let dead = stage.dead_letters().await;
    assert_eq!(dead.iter().map(|one| (&one.key, &one.value)).collect::<Vec<_>>(), [(&bad.key, &bad.value)]);
    assert_nothing_unaccounted(&registry);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_dead_letter_topic_the_offset_is_not_committed_until_there_is_one() {
    let mut stage = Stage::without_topics(1).await;
    // The events topic alone: another fleet's.
    let other = Names::new(unique());
    topics::ensure(&stage.kafka, &other, [(&stage.type_name, 1)]).await.unwrap();
    stage.topic = other.events_topic(&stage.type_name);
    stage.publish("one", 1).await;
    let member = stage.join(StatePuppet::new(|batch| {
        std::future::ready(Ok(vec![Outcome::Poison(Reason::new("ValueOutOfRange", "")); batch.len()]))
    }));
    eventually("the letter is tried again", PATIENCE, || async {
        (member.metric("aqueduct_retries_total", Some("letter")) > 0.0).then_some(())
    })
    .await;
    assert_eq!(stage.committed().await, [Some(0)]);
    assert_eq!(stage.filed().await.len(), 1, "the letter stands before the record");

    topics::ensure(&stage.kafka, &stage.names, []).await.unwrap();
    stage.all_committed().await;
    member.stop().await;
    assert_eq!(stage.dead_letters().await.len(), 1);
}
