//! What holds of the `data` table, whatever arrives in whatever order.

use aqueduct_contract::{Event, Item, Names};
use aqueduct_engine::{Outcome, Record, RecordParts, Sink, SinkError};
use aqueduct_projector::DataSink;
use aqueduct_projector::classify::{ITEM_TOO_LARGE, ITEM_UNSTORABLE};
use aqueduct_service::Settings;
use aqueduct_store::data::as_stored;
use aqueduct_store::{DataTable, setup};
use aqueduct_tests::{Private, Server, eventually};
use futures::future::join_all;
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use serde_json::{Value, json};

use crate::engine::stage::{Found, PATIENCE, Stage, assert_nothing_unaccounted, event, found, metric};
use crate::sync::{deletion, order, record_in, settings};

/// The table of a prefix of its own, and a sink that writes to it.
struct Data {
    names: Names,
    table: DataTable,
    sink: DataSink,
}

impl Data {
    async fn new(settings: &Settings) -> Data {
        let names = Names::new(&settings.prefix);
        let client = settings.dynamodb.connect().await;
        setup(&client, &names).await.unwrap();
        let table = DataTable::new(client, &names);
        Data { sink: DataSink::new(table.clone(), names.clone()), table, names }
    }

    fn record(&self, item: Item) -> Record {
        record_in(&self.names.events_topic(item.key.type_name()), item)
    }

    async fn apply(&self, items: impl IntoIterator<Item = Item>) -> Vec<Outcome> {
        let batch: Vec<Record> = items.into_iter().map(|item| self.record(item)).collect();
        self.sink.apply(&batch).await.unwrap()
    }

    /// The row is what `item` maps to.
    async fn holds(&self, item: &Item) {
        assert_eq!(self.table.get(&item.key).await.unwrap(), Some(as_stored(item).unwrap()));
    }
}

async fn data() -> Data {
    Data::new(&settings().await).await
}

fn code(outcome: &Outcome) -> &str {
    match outcome {
        Outcome::Poison(reason) => reason.code,
        other => panic!("not set aside: {other:?}"),
    }
}

#[tokio::test]
async fn a_row_is_the_item_as_native_attributes() {
    let data = data().await;
    let full = order(
        "Zoë's | #1",
        3,
        json!({
            "customer": "Zoë \"O'Hara\" \\ ✓", "empty": "", "nothing": null, "paid": true, "total": "12.50",
            "quantity": 9_223_372_036_854_775_807_i64, "weight": 0.1, "lines": [{ "code": "a" }, [], {}],
        }),
    );
    let bare = order("bare", 1, json!({}));
    assert_eq!(data.apply([full.clone(), bare.clone()]).await, [Outcome::Applied, Outcome::Applied]);
    data.holds(&full).await;
    data.holds(&bare).await;
}

#[tokio::test]
async fn late_and_repeated_events_change_nothing() {
    let data = data().await;
    let latest = order("a", 3, json!({ "n": 3 }));
    data.apply([latest.clone()]).await;
    for version in 1..=3 {
        assert_eq!(data.apply([order("a", version, json!({ "n": "late" }))]).await, [Outcome::Stale]);
    }
    data.holds(&latest).await;
}

#[tokio::test]
async fn a_deleted_item_stays_marked_and_no_late_event_brings_it_back() {
    let data = data().await;
    data.apply([order("a", 1, json!({}))]).await;
    assert_eq!(data.apply([deletion("a", 3)]).await, [Outcome::Applied]);
    assert_eq!(data.apply([order("a", 2, json!({}))]).await, [Outcome::Stale]);
    data.holds(&deletion("a", 3)).await;
    let key = deletion("a", 3).key;
    let listed = data.table.list(key.tenant(), key.type_name(), 10, None).await.unwrap();
    assert_eq!(listed.items, []);

    let again = order("a", 4, json!({ "n": 4 }));
    assert_eq!(
        data.apply([again.clone()]).await,
        [Outcome::Applied],
        "creating it again is its next version"
    );
    data.holds(&again).await;
}

/// Version `version` of item `item`; every fifth one deletes it.
fn version_of(item: usize, version: u64) -> Item {
    let id = format!("item-{item}");
    if version.is_multiple_of(5) {
        deletion(&id, version)
    } else {
        order(&id, version, json!({ "n": version }))
    }
}

#[tokio::test]
async fn in_any_order_with_repetitions_from_several_workers_a_row_only_ever_rises_to_the_latest_version() {
    const ITEMS: usize = 5;
    const VERSIONS: u64 = 10;
    let data = data().await;
    let events: Vec<(usize, u64)> =
        (0..ITEMS).flat_map(|item| (1..=VERSIONS).map(move |v| (item, v))).collect();
    // Three workers get all of it, each in another order, some of it twice: more than a rebalance with zombies does.
    let delivery = Just(events.clone()).prop_shuffle();
    let repeated = proptest::sample::subsequence(events, 20);
    let worker =
        (delivery, repeated).prop_map(|(all, again)| all.into_iter().chain(again).collect::<Vec<_>>());
    let workers = [&worker, &worker, &worker]
        .map(|worker| worker.new_tree(&mut TestRunner::default()).unwrap().current());

    let write = join_all(workers.map(|delivery| async {
        for (item, version) in delivery {
            let outcomes = data.apply([version_of(item, version)]).await;
            assert!(matches!(outcomes[..], [Outcome::Applied | Outcome::Stale]), "{outcomes:?}");
        }
    }));
    let watch = async {
        let mut seen = [0; ITEMS];
        while seen != [VERSIONS; ITEMS] {
            for (item, seen) in seen.iter_mut().enumerate() {
                let found = data.table.get(&version_of(item, 1).key).await.unwrap();
                let version = found.map_or(0, |found| found.version.get());
                assert!(version >= *seen, "item {item} went back from {seen} to {version}");
                *seen = version;
            }
        }
    };
    tokio::join!(write, watch);
    for item in 0..ITEMS {
        data.holds(&version_of(item, VERSIONS)).await;
    }
}

#[tokio::test]
async fn a_record_that_is_no_event_of_its_topic_is_set_aside_alone() {
    let data = data().await;
    let topic = data.names.events_topic(&"ORDER".parse().unwrap());
    let bytes = |key, value| {
        Record::new(
            topic.as_str().into(),
            0,
            0,
            0,
            RecordParts { key: Some(key), value: Some(value), ..RecordParts::default() },
        )
    };
    let good = order("good", 1, json!({}));
    let foreign =
        record_in(&data.names.events_topic(&"PRODUCT".parse().unwrap()), order("foreign", 1, json!({})));
    let batch = [
        bytes(b"acme#ORDER|ORDER#a", b"not JSON"),
        bytes(b"acme#ORDER|ORDER#a", b"{}"),
        bytes(b"another key", data.record(good.clone()).value().unwrap()),
        foreign,
        data.record(good.clone()),
    ];
    let outcomes = data.sink.apply(&batch).await.unwrap();
    assert_eq!(outcomes[..4].iter().map(code).collect::<Vec<_>>(), ["EventInvalid"; 4]);
    assert_eq!(outcomes[4], Outcome::Applied);
    data.holds(&good).await;
    assert_eq!(data.table.get(&order("foreign", 1, json!({})).key).await.unwrap(), None);
}

#[tokio::test]
async fn an_item_that_no_row_can_hold_is_set_aside_alone() {
    let data = data().await;
    let deep = (0..40).fold(json!(1), |inner, _| json!({ "in": inner }));
    let huge: Value = json!({ "text": "x".repeat(410_000) });
    let good = order("good", 1, json!({}));
    let outcomes = data.apply([order("deep", 1, deep), order("huge", 1, huge), good.clone()]).await;
    assert_eq!(outcomes[..2].iter().map(code).collect::<Vec<_>>(), [ITEM_UNSTORABLE, ITEM_TOO_LARGE]);
    assert_eq!(outcomes[2], Outcome::Applied);
    data.holds(&good).await;
}

#[tokio::test]
async fn an_outage_or_a_missing_table_is_waited_for_and_sets_nothing_aside() {
    let private = Private::start(&[Server::DynamoDb]).await.unwrap();
    let mut settings = settings().await;
    settings.dynamodb.endpoint = private.servers.dynamodb.clone();
    let data = Data::new(&settings).await;
    data.sink.ready().await.unwrap();
    let batch = [data.record(order("a", 1, json!({})))];

    private.stop(Server::DynamoDb).await.unwrap();
    let down = data.sink.apply(&batch).await;
    assert!(matches!(down, Err(SinkError::Unavailable(_))), "{down:?}");
    assert!(data.sink.ready().await.is_err());

    // It keeps its tables in memory, so it comes back without them.
    private.start_again(Server::DynamoDb).await.unwrap();
    let missing = data.sink.apply(&batch).await;
    assert!(matches!(missing, Err(SinkError::Unavailable(_))), "{missing:?}");

    setup(&settings.dynamodb.connect().await, &data.names).await.unwrap();
    assert_eq!(data.sink.apply(&batch).await.unwrap(), [Outcome::Applied]);
    data.sink.ready().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn through_crashes_redelivery_and_poison_the_table_ends_with_exactly_the_latest_versions() {
    const ITEMS: usize = 20;
    const VERSIONS: u64 = 10;
    let stage = Stage::new(3).await;
    let table = DataTable::new(settings().await.dynamodb.connect().await, &stage.names);
    let data =
        Data { names: stage.names.clone(), sink: DataSink::new(table.clone(), stage.names.clone()), table };
    let item = |item: usize| (1..=VERSIONS).map(move |version| event(&format!("item-{item}"), version));
    let events: Vec<Vec<Event>> = (0..ITEMS).map(|number| item(number).collect()).collect();
    let publish = async |versions: std::ops::Range<usize>| {
        for version in versions {
            for events in &events {
                stage.produce(&found(&events[version])).await;
            }
        }
    };

    let first = stage.join(data.sink.clone());
    publish(0..6).await;
    eventually("it is at work", PATIENCE, || async {
        (first.metric("aqueduct_events_total", Some("applied")) > 0.0).then_some(())
    })
    .await;
    first.crash().await;
    stage
        .produce(&Found { key: Some(b"?".into()), value: Some(b"not an event".into()), headers: vec![] })
        .await;
    // What a publisher that took over sends again, and what a restored topic might hold: late ones last.
    publish(3..10).await;
    publish(0..4).await;
    let second = stage.join(data.sink.clone());
    stage.all_committed().await;
    let registry = second.stop().await;

    for versions in &events {
        data.holds(&versions.last().unwrap().item).await;
    }
    let filed = stage.filed().await;
    assert_eq!(filed.iter().map(|filed| filed.letter.code.as_str()).collect::<Vec<_>>(), ["EventInvalid"]);
    assert_nothing_unaccounted(&registry);
    for outcome in ["applied", "stale", "dead_lettered"] {
        assert!(metric(&registry, "aqueduct_events_total", Some(outcome)) > 0.0, "{outcome}");
    }
}
