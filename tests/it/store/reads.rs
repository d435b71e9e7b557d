//! Reading versions: the latest, one, all, those of a moment, those of all items.

use std::collections::{BTreeMap, HashSet};

use aqueduct_contract::Event;
use aqueduct_store::events::Record;
use futures::TryStreamExt;
use jiff::{SignedDuration, Timestamp};
use serde_json::json;

use super::{Fleet, event, event_at, order, version, write_versions};

#[tokio::test]
async fn versions_read_back_as_they_were_written() {
    let fleet = Fleet::new(1).await;
    let events = fleet.events();
    let key = order("№ 17 | #%/'\"; DROP TABLE orders; 注文");
    let written = write_versions(&events, &key, 5).await;

    assert_eq!(events.latest(&key).await.unwrap().as_ref(), written.last());
    let third = events.at(&key, version(3)).await.unwrap().unwrap();
    assert_eq!(third.event, written[2]);
    assert_eq!(third.published, None);
    assert_eq!(third.record.value, written[2].to_json());
    assert!(events.at(&key, version(6)).await.unwrap().is_none());
    assert_eq!(events.latest(&order("another")).await.unwrap(), None);

    assert_eq!(events.history(&key, None, 100).await.unwrap(), written);
    assert_eq!(events.history(&key, Some(version(2)), 2).await.unwrap(), written[2..4]);
    assert_eq!(events.history(&key, Some(version(5)), 2).await.unwrap(), []);
}

#[tokio::test]
async fn as_of_is_the_latest_version_at_any_moment() {
    let fleet = Fleet::new(2).await;
    let events = fleet.events();
    let start: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
    for count in 0..=9_u64 {
        let key = order(&format!("history-of-{count}"));
        // A microsecond apart, the least there can be, and then a long time.
        let times = [0, 1, 2, 1_000_000, 1_000_001, 2_000_000, 3_000_000, 3_000_001, 9_000_000];
        let mut written = Vec::new();
        for (number, micros) in (1..=count).zip(times) {
            let time = start + SignedDuration::from_micros(micros);
            let event = event_at(&key, number, json!({ "no": number }), time);
            events.append(&event).await.unwrap();
            written.push(event);
        }
        for moment in
            [-1, 0, 1, 2, 3, 999_999, 1_000_000, 2_500_000, 3_000_001, 8_999_999, 9_000_000, 10_000_000]
        {
            let time = start + SignedDuration::from_micros(moment);
            let expected = written.iter().rfind(|event| event.item.updated_at <= time);
            assert_eq!(
                events.as_of(&key, time).await.unwrap().as_ref(),
                expected,
                "{count} versions at {moment}"
            );
        }
    }
}

#[tokio::test]
async fn a_scan_shows_the_latest_version_of_each_item_over_many_pages() {
    let fleet = Fleet::new(3).await;
    let events = fleet.events();
    let mut latest = BTreeMap::new();
    for item in 0..40_u64 {
        let key = order(&format!("item-{item}"));
        for number in 1..=item % 7 + 1 {
            // About 40 KB a row and 6 MB in all: several pages, which end within items.
            let event = event(&key, number, json!({ "no": number, "filler": "x".repeat(20_000) }));
            events.append(&event).await.unwrap();
            latest.insert(key.clone(), event);
        }
    }
    for segments in [1, 3] {
        let mut scanned = Vec::new();
        for segment in 0..segments {
            scanned
                .extend(events.latest_of_segment(segment, segments).try_collect::<Vec<_>>().await.unwrap());
        }
        assert_eq!(scanned.len(), latest.len(), "each item once");
        let event = |record: Record| (record.key, Event::from_json(record.value.as_bytes()).unwrap());
        assert_eq!(scanned.into_iter().map(event).collect::<BTreeMap<_, _>>(), latest);
    }
}

#[tokio::test]
async fn a_scan_refuses_an_item_with_a_hole() {
    let fleet = Fleet::new(4).await;
    let events = fleet.events();
    for number in [1, 2, 4] {
        events.append(&event(&order("with-a-hole"), number, json!({}))).await.unwrap();
    }
    let scanned: Result<Vec<_>, _> = events.latest_of_segment(0, 1).try_collect().await;
    let error = scanned.unwrap_err().to_string();
    assert!(error.contains("version 4 where 3 was due"), "{error}");
}

#[tokio::test]
async fn existing_tells_items_with_a_version_from_others() {
    let fleet = Fleet::new(5).await;
    let events = fleet.events();
    let keys: Vec<_> = (0..250).map(|number| order(&format!("item-{number}"))).collect();
    let mut written = HashSet::new();
    for key in keys.iter().step_by(2) {
        events.append(&event(key, 1, json!({}))).await.unwrap();
        written.insert(key.clone());
    }
    assert_eq!(events.existing(&keys).await.unwrap(), written);
    assert_eq!(events.existing(&[]).await.unwrap(), HashSet::new());
    let twice = [keys[0].clone(), keys[0].clone()];
    assert_eq!(events.existing(&twice).await.unwrap().len(), 1);
}

#[tokio::test]
async fn samples_reach_every_item_also_those_behind_a_long_history() {
    let fleet = Fleet::new(3).await;
    let events = fleet.events();
    let mut written = BTreeMap::new();
    for number in 1..=30 {
        let key = order(&format!("ORD-{number:06}"));
        let versions = if number == 7 { 60 } else { number % 3 + 1 };
        write_versions(&events, &key, versions).await;
        written.insert(key, versions);
    }
    let mut seen = HashSet::new();
    for _ in 0..200 {
        let sample = events.sample(5).await.unwrap();
        assert!((1..=20).contains(&sample.len()), "{}", sample.len());
        for record in sample {
            assert!((1..=written[&record.key]).contains(&record.version.get()), "{record:?}");
            seen.insert(record.key);
        }
        if seen.len() == written.len() {
            break;
        }
    }
    assert_eq!(seen.len(), written.len());
    assert_eq!(events.sample(1000).await.unwrap().len(), written.len(), "each once, whatever the place");
}
