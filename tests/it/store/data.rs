//! The read table: guarded writes, lists, values as they were.

use aqueduct_contract::Event;
use aqueduct_store::data::{PutOutcome, as_stored};
use futures::TryStreamExt;
use futures::future::join_all;
use serde_json::{Value, json};

use super::{Fleet, event, order};

fn deleted(mut event: Event) -> Event {
    event.item.deleted = true;
    event.happened.name = "Deleted".into();
    event.happened.data = Value::Null;
    event
}

#[tokio::test]
async fn a_row_never_goes_back_and_a_deleted_one_never_comes_back() {
    let fleet = Fleet::new(1).await;
    let (data, key) = (fleet.data(), order("guarded"));
    let versions = [
        event(&key, 1, json!({ "no": 1 })),
        event(&key, 2, json!({ "no": 2 })),
        deleted(event(&key, 3, json!({ "no": 2 }))),
    ];
    assert_eq!(data.put_if_newer(&versions[1]).await.unwrap(), PutOutcome::Applied);
    assert_eq!(data.put_if_newer(&versions[1]).await.unwrap(), PutOutcome::Stale, "a repeat");
    assert_eq!(data.put_if_newer(&versions[0]).await.unwrap(), PutOutcome::Stale, "late");
    assert_eq!(data.get(&key).await.unwrap().as_ref(), Some(&versions[1].item));
    assert_eq!(data.put_if_newer(&versions[2]).await.unwrap(), PutOutcome::Applied);
    assert_eq!(data.put_if_newer(&versions[1]).await.unwrap(), PutOutcome::Stale, "late");
    assert_eq!(data.get(&key).await.unwrap().as_ref(), Some(&versions[2].item), "marked, and still there");
}

#[tokio::test(flavor = "multi_thread")]
async fn writes_in_any_order_at_once_end_with_the_latest() {
    let fleet = Fleet::new(2).await;
    let key = order("stormed");
    let versions: Vec<Event> = (1..=40).map(|number| event(&key, number, json!({ "no": number }))).collect();
    let data = fleet.data();
    let puts = versions.iter().rev().chain(&versions).map(|event| data.put_if_newer(event));
    for outcome in join_all(puts).await {
        outcome.unwrap();
    }
    assert_eq!(data.get(&key).await.unwrap().as_ref(), versions.last().map(|event| &event.item));
}

#[tokio::test]
async fn values_come_back_as_they_were() {
    let fleet = Fleet::new(3).await;
    let attributes = json!({
        "text": "ünïcödé \"quoted\" 注文", " ": "a name", "empty": "", "null": null, "yes": true,
        "whole": -17, "large": u64::MAX, "least": i64::MIN, "fraction": 0.1, "tiny": 1e-130, "huge": -9.999e125,
        "digits": 1.234_567_890_123_456_7, "float": 1.0, "price": "0019.90",
        "list": [1, [2, []], {}, { "a": null }, "x"], "map": { "b": 1, "a": { "c": [] } },
    });
    let created = event(&order("values"), 1, attributes.clone());
    fleet.data().put_if_newer(&created).await.unwrap();
    let read = fleet.data().get(&created.item.key).await.unwrap().unwrap();
    assert_eq!(read, as_stored(&created.item).unwrap(), "what is compared with is what the server returns");
    let mut expected = attributes;
    expected["float"] = json!(1);
    assert_eq!(Value::Object(read.attributes), expected);
}

#[tokio::test]
async fn a_list_is_one_tenants_one_types_in_order_without_the_deleted() {
    let fleet = Fleet::new(4).await;
    let data = fleet.data();
    let mut expected = Vec::new();
    for number in 0..25 {
        let created = event(&order(&format!("{number:03}")), 1, json!({ "no": number }));
        let removed = number % 5 == 2;
        let created = if removed { deleted(created) } else { created };
        data.put_if_newer(&created).await.unwrap();
        if !removed {
            expected.push(created.item);
        }
    }
    for (tenant, type_name) in [("acme2", "ORDER"), ("acme", "ORDER_2"), ("other", "ORDER")] {
        let key = aqueduct_contract::ItemKey::new(
            tenant.parse().unwrap(),
            type_name.parse().unwrap(),
            "000".parse().unwrap(),
        );
        data.put_if_newer(&event(&key.unwrap(), 1, json!({}))).await.unwrap();
    }

    let (tenant, type_name) = ("acme".parse().unwrap(), "ORDER".parse().unwrap());
    for limit in [1, 3, 20, 100] {
        let (mut listed, mut after) = (Vec::new(), None);
        loop {
            let page = data.list(&tenant, &type_name, limit, after.as_deref()).await.unwrap();
            assert!(page.items.len() <= limit as usize);
            listed.extend(page.items);
            match page.next {
                Some(next) => after = Some(next),
                None => break,
            }
        }
        assert_eq!(listed, expected, "pages of {limit}");
    }
    let from_between = data.list(&tenant, &type_name, 1, Some("ORDER#0105")).await.unwrap();
    assert_eq!(from_between.items, expected[9..10], "the start need not be an item");
    let exactly = data.list(&tenant, &type_name, 20, None).await.unwrap();
    assert_eq!(exactly.next, None, "a full page that is the last one says so");
    let none = data.list(&"nobody".parse().unwrap(), &type_name, 10, None).await.unwrap();
    assert!(none.items.is_empty() && none.next.is_none());
}

#[tokio::test]
async fn a_segment_shows_every_item_with_the_deleted() {
    let fleet = Fleet::new(5).await;
    let data = fleet.data();
    for number in 0..60 {
        let created = event(&order(&format!("{number}")), 1, json!({ "filler": "x".repeat(30_000) }));
        data.put_if_newer(&if number == 7 { deleted(created) } else { created }).await.unwrap();
    }
    let all: Vec<_> = data.segment(0, 1).try_collect().await.unwrap();
    assert_eq!(all.len(), 60);
    assert_eq!(all.iter().filter(|item| item.deleted).count(), 1);
}
