//! What holds of an index, whatever arrives in whatever order.

use std::sync::Arc;
use std::time::Duration;

use aqueduct_contract::Item;
use aqueduct_engine::{Outcome, Record, Sink, SinkError};
use aqueduct_service::Settings;
use aqueduct_sync_search::classify::DOCUMENT_REFUSED;
use aqueduct_sync_search::sink::IndexSink;
use aqueduct_tests::{PATIENCE, Private, Refusal, Refusing, Server, eventually};
use aqueduct_views::opensearch::Gzip;
use aqueduct_views::{Generation, MappingError};
use bytesize::ByteSize;
use opensearch::http::Method;
use opensearch::http::headers::HeaderMap;
use opensearch::http::request::JsonBody;
use serde_json::{Value, json};

use crate::sync::{ORDER, deletion, model, order, record, settings};
use crate::views::registry;

async fn generation(settings: &Settings, text: &str) -> Generation {
    registry(settings).ensure(&model(&[text])).await.unwrap().generations.remove(0)
}

async fn orders(settings: &Settings) -> IndexSink {
    sink(settings, generation(settings, ORDER).await)
}

fn sink(settings: &Settings, generation: Generation) -> IndexSink {
    IndexSink::new(registry(settings), generation).unwrap()
}

async fn apply(sink: &IndexSink, items: impl IntoIterator<Item = Item>) -> Vec<Outcome> {
    let batch: Vec<Record> = items.into_iter().map(record).collect();
    sink.apply(&batch).await.unwrap()
}

/// Status and body of an answer; `{}` in the path stands for the prefix of the test.
async fn http(settings: &Settings, method: Method, path: &str, body: Option<Value>) -> (u16, Value) {
    let client = settings.opensearch.client().unwrap();
    let path = path.replace("{}", &settings.opensearch.index_prefix);
    let response = client
        .send::<_, ()>(method, &path, HeaderMap::new(), None, body.map(JsonBody::new), None)
        .await
        .unwrap();
    let status = response.status_code().as_u16();
    (status, serde_json::from_str(&response.text().await.unwrap()).unwrap_or_default())
}

/// The ids that a query finds through the public alias, all written ones refreshed.
async fn search(settings: &Settings, query: Value) -> Vec<String> {
    assert_eq!(http(settings, Method::Post, "{}orders-g1/_refresh", None).await.0, 200);
    let body = json!({ "query": query, "sort": ["id"], "size": 1000 });
    let (status, found) = http(settings, Method::Post, "{}orders/_search", Some(body)).await;
    assert_eq!(status, 200, "{found}");
    let hits = found["hits"]["hits"].as_array().unwrap();
    hits.iter().map(|hit| hit["_source"]["id"].as_str().unwrap().to_owned()).collect()
}

async fn stored(settings: &Settings, id: &str) -> Value {
    let path = format!("{{}}orders-g1/_doc/acme%7C{id}");
    http(settings, Method::Get, &path, None).await.1["_source"].take()
}

#[tokio::test]
async fn a_document_is_what_the_item_maps_to_and_is_found_by_its_fields() {
    let settings = settings().await;
    let sink = orders(&settings).await;
    let attributes = json!({
        "customerName": "Zoë O'Hara",
        "total": "1234567890123456789012345678.90",
        "quantity": 5,
        "paid": true,
        "placedAt": "2026-11-21T13:15:00.123456+02:00",
        "lines": [{ "code": "a" }, { "code": "b" }],
        "tenant": "other",
        "deleted": true,
    });
    let outcomes = apply(&sink, [order("full", 3, attributes.clone()), order("empty", 1, json!({}))]).await;
    assert_eq!(outcomes, [Outcome::Applied, Outcome::Applied]);
    assert_eq!(
        stored(&settings, "full").await,
        json!({
            "tenant": "acme", "id": "full", "item_version": 3, "deleted": false,
            "created_at": "2026-11-21T13:15:00.000001Z", "updated_at": "2026-11-21T13:15:03.000000Z",
            "document": attributes,
        })
    );
    for query in [
        json!({ "match": { "document.customerName": "o'hara" } }),
        json!({ "term": { "document.customerName.keyword": "Zoë O'Hara" } }),
        json!({ "term": { "document.total": "1234567890123456789012345678.90" } }),
        json!({ "range": { "document.total.number": { "gt": 1000 } } }),
        json!({ "range": { "document.quantity": { "gte": 5, "lt": 6 } } }),
        json!({ "term": { "document.paid": true } }),
        json!({ "range": { "document.placedAt": { "gte": "2026-11-21T11:15:00Z", "lt": "2026-11-21T11:16:00Z" } } }),
        json!({ "term": { "document.lines.code.keyword": "b" } }),
        json!({ "query_string": { "query": "zoë" } }),
    ] {
        assert_eq!(search(&settings, query.clone()).await, ["full"], "{query}");
    }
    assert_eq!(search(&settings, json!({ "term": { "tenant": "acme" } })).await, ["empty", "full"]);
    assert!(search(&settings, json!({ "term": { "tenant": "other" } })).await.is_empty());
}

#[tokio::test]
async fn a_lower_or_equal_version_changes_nothing() {
    let settings = settings().await;
    let sink = orders(&settings).await;
    let named = |version, name: &str| order("o", version, json!({ "customerName": name }));
    assert_eq!(apply(&sink, [named(5, "five")]).await, [Outcome::Applied]);
    assert_eq!(apply(&sink, [named(4, "four")]).await, [Outcome::Stale]);
    assert_eq!(apply(&sink, [named(5, "five again")]).await, [Outcome::Stale]);
    assert_eq!(stored(&settings, "o").await["document"]["customerName"], "five");
    let mixed = [named(4, "four"), order("p", 1, json!({})), named(6, "six")];
    assert_eq!(apply(&sink, mixed).await, [Outcome::Stale, Outcome::Applied, Outcome::Applied]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn writers_that_race_end_in_the_latest_version() {
    let settings = settings().await;
    let sink = Arc::new(orders(&settings).await);
    let writers = (0..4_u64).map(|writer| {
        let sink = sink.clone();
        tokio::spawn(async move {
            // Each writer has every version, in an order of its own; the eighth of ten is a deletion.
            for step in 0..10_u64 {
                let version = (step * [1, 3, 7, 9][usize::try_from(writer).unwrap()] + writer) % 10 + 1;
                apply(
                    &sink,
                    (0..20).map(|id| match version {
                        8 => deletion(&id.to_string(), 8),
                        _ => order(&id.to_string(), version, json!({ "quantity": version })),
                    }),
                )
                .await;
            }
        })
    });
    for writer in writers.collect::<Vec<_>>() {
        writer.await.unwrap();
    }
    assert_eq!(search(&settings, json!({ "term": { "item_version": 10 } })).await.len(), 20);
    assert_eq!(search(&settings, json!({ "term": { "document.quantity": 10 } })).await.len(), 20);
}

#[tokio::test]
async fn a_deleted_item_is_hidden_and_no_late_event_brings_it_back() {
    let settings = settings().await;
    let sink = orders(&settings).await;
    let everything = || json!({ "match_all": {} });
    let named = |version| order("o", version, json!({ "customerName": "Ann" }));
    apply(&sink, [named(1)]).await;
    assert_eq!(search(&settings, everything()).await, ["o"]);
    assert_eq!(apply(&sink, [deletion("o", 3)]).await, [Outcome::Applied]);
    assert!(search(&settings, everything()).await.is_empty());
    let tombstone = json!({
        "tenant": "acme", "id": "o", "item_version": 3, "deleted": true,
        "created_at": "2026-11-21T13:15:00.000001Z", "updated_at": "2026-11-21T13:15:03.000000Z",
    });
    assert_eq!(stored(&settings, "o").await, tombstone);

    assert_eq!(apply(&sink, [named(2)]).await, [Outcome::Stale]);
    assert!(search(&settings, everything()).await.is_empty());
    assert_eq!(apply(&sink, [named(4)]).await, [Outcome::Applied], "created again");
    assert_eq!(search(&settings, everything()).await, ["o"]);
}

/// OpenSearch keeps the version of a deleted document for `index.gc_deletes`, a minute by default. A sink that deletes
/// documents brings them back by an event that is later than that.
#[tokio::test]
async fn a_deleted_item_stays_deleted_when_opensearch_has_forgotten_what_was_deleted() {
    let settings = settings().await;
    let sink = orders(&settings).await;
    let short = json!({ "index.gc_deletes": "1s" });
    assert_eq!(http(&settings, Method::Put, "{}orders-g1/_settings", Some(short)).await.0, 200);
    let named = |version| order("o", version, json!({ "customerName": "Ann" }));
    apply(&sink, [named(1)]).await;
    apply(&sink, [deletion("o", 3)]).await;

    let other = |version| format!("{{}}orders-g1/_doc/acme%7Cother?version_type=external&version={version}");
    let document = || Some(json!({ "tenant": "acme", "id": "other", "item_version": 1, "deleted": true }));
    assert_eq!(http(&settings, Method::Put, &other(1), document()).await.0, 201);
    assert_eq!(http(&settings, Method::Delete, &other(3), None).await.0, 200);
    eventually("a deleted document is forgotten and comes back", PATIENCE, || async {
        (http(&settings, Method::Put, &other(2), document()).await.0 == 201).then_some(())
    })
    .await;

    assert_eq!(apply(&sink, [named(2)]).await, [Outcome::Stale]);
    assert_eq!(stored(&settings, "o").await["deleted"], true);
}

#[tokio::test]
async fn a_document_that_the_mapping_does_not_take_is_refused_alone() {
    let settings = settings().await;
    let sink = orders(&settings).await;
    let batch = [
        order("before", 1, json!({})),
        order("object", 1, json!({ "customerName": { "first": "Ann" } })),
        order("boolean", 1, json!({ "paid": "perhaps" })),
        order("name", 1, json!({ "": 1 })),
        order("after", 1, json!({})),
    ];
    let outcomes = apply(&sink, batch).await;
    let refused =
        |outcome: &Outcome| matches!(outcome, Outcome::Poison(reason) if reason.code == DOCUMENT_REFUSED);
    assert_eq!(
        outcomes.iter().map(refused).collect::<Vec<_>>(),
        [false, true, true, true, false],
        "{outcomes:?}"
    );
    let Outcome::Poison(reason) = &outcomes[1] else { panic!("{outcomes:?}") };
    assert!(reason.message.contains("document.customerName"), "{reason}");
    assert_eq!(search(&settings, json!({ "match_all": {} })).await, ["after", "before"]);
}

#[tokio::test]
async fn what_is_no_event_of_its_view_is_set_aside_and_the_rest_of_the_batch_is_written() {
    let settings = settings().await;
    let sink = orders(&settings).await;
    let product = Item { key: "acme#PRODUCT|PRODUCT#p".parse().unwrap(), ..order("x", 1, json!({})) };
    let batch = [
        record(product),
        Record::new("orders".into(), 0, 0, 0, Default::default()),
        record(order("good", 1, json!({}))),
    ];
    let outcomes = sink.apply(&batch).await.unwrap();
    let is_invalid =
        |outcome: &Outcome| matches!(outcome, Outcome::Poison(reason) if reason.code == "EventInvalid");
    assert!(outcomes[..2].iter().all(is_invalid) && outcomes[2] == Outcome::Applied, "{outcomes:?}");
    assert_eq!(search(&settings, json!({ "match_all": {} })).await, ["good"]);
}

#[tokio::test]
async fn what_the_schema_leaves_open_never_refuses_an_item() {
    let settings = settings().await;
    let sink = orders(&settings).await;
    let open = [
        json!({ "extra": 1 }),
        json!({ "extra": "text" }),
        json!({ "extra": { "a": { "b": [1, "x", null, {}] } } }),
        json!({ "extra": "2026-11-21" }),
        json!({ "extra": "not a date" }),
        json!({ "quantity": 18_446_744_073_709_551_615_u64 }),
        json!({ "quantity": 1.5 }),
        json!({ "placedAt": "2016-12-31T23:59:60Z" }),
        json!({ "day": "yesterday" }),
        json!({ "total": "1e400" }),
        json!({ "total": "9".repeat(20_000) }),
        json!({ "customerName": "✓".repeat(50_000) }),
        json!({ "customerName": "x".repeat(1_000_000) }),
        json!({ "customerName": "a\0b" }),
        json!({ "n".repeat(50_000): 1, "ü".repeat(25_000): { "n".repeat(50_000): 2 } }),
        Value::Object((0..2_000).map(|n| (format!("key{n}"), json!(n))).collect()),
    ];
    let items = open.iter().enumerate().map(|(id, attributes)| order(&id.to_string(), 1, attributes.clone()));
    for (outcome, attributes) in apply(&sink, items).await.into_iter().zip(&open) {
        assert_eq!(outcome, Outcome::Applied, "{:.100}", attributes.to_string());
    }
    for (id, attributes) in open.iter().enumerate() {
        assert_eq!(stored(&settings, &id.to_string()).await["document"], *attributes, "kept as it is");
    }
}

#[tokio::test]
async fn a_view_with_its_own_document_and_mappings_has_them() {
    let settings = settings().await;
    let own = "opensearch: { document: \"{'customer': self.customerName, 'n': self.quantity * 2}\", \
               mappings: { properties: { customer: { type: keyword } } } }";
    let generation = generation(&settings, &ORDER.replace("opensearch: {}", own)).await;
    let sink = sink(&settings, generation);
    let outcomes = apply(
        &sink,
        [order("o", 1, json!({ "customerName": "Ann", "quantity": 4 })), order("none", 1, json!({}))],
    )
    .await;
    assert_eq!(outcomes[0], Outcome::Applied);
    assert!(
        matches!(&outcomes[1], Outcome::Poison(reason) if reason.code == MappingError::CODE),
        "{outcomes:?}"
    );
    assert_eq!(stored(&settings, "o").await["document"], json!({ "customer": "Ann", "n": 8 }));
    assert_eq!(search(&settings, json!({ "term": { "document.customer": "Ann" } })).await, ["o"]);
    assert_eq!(
        search(&settings, json!({ "term": { "document.n": 8 } })).await,
        ["o"],
        "other fields are found, too"
    );
}

#[tokio::test]
async fn hostile_ids_arrive_unharmed_and_apart() {
    let settings = settings().await;
    let sink = orders(&settings).await;
    let longest = "✓".repeat(83);
    let ids = ["a|b", "a\"b\\", "{\"index\":{}}", "Ünï💡", " ", "%2F", "../x", "a/b?c#d", &longest];
    let outcomes = apply(&sink, ids.iter().map(|id| order(id, 1, json!({ "customerName": id })))).await;
    assert_eq!(outcomes, vec![Outcome::Applied; ids.len()]);
    let mut expected = ids.map(str::to_owned);
    expected.sort();
    assert_eq!(search(&settings, json!({ "match_all": {} })).await, expected);
}

#[tokio::test]
async fn a_batch_larger_than_a_request_goes_in_several() {
    let mut settings = settings().await;
    settings.opensearch.bulk_bytes = ByteSize::kib(2);
    let sink = orders(&settings).await;
    let items = (0..100).map(|id| match id {
        50 => order("50", 1, json!({ "customerName": { "not": "text" } })),
        _ => order(&id.to_string(), 1, json!({ "customerName": "x".repeat(500) })),
    });
    let outcomes = apply(&sink, items).await;
    assert_eq!(outcomes.iter().filter(|outcome| **outcome == Outcome::Applied).count(), 99);
    assert!(matches!(outcomes[50], Outcome::Poison(_)), "outcomes stand where their records do");
    assert_eq!(search(&settings, json!({ "match_all": {} })).await.len(), 99);
}

#[tokio::test]
async fn compressed_requests_are_smaller_and_have_the_same_effect() {
    let mut settings = settings().await;
    let proxy = Refusing::of(&settings.opensearch.url).await.unwrap();
    proxy.set(Refusal::Larger(20_000));
    settings.opensearch.url = format!("http://{}", proxy.address);
    let items = |version| {
        (0..100).map(move |id| order(&id.to_string(), version, json!({ "customerName": "x".repeat(500) })))
    };
    for (gzip, version, refused) in [(Gzip::Always, 1, 0), (Gzip::Never, 2, 1)] {
        settings.opensearch.gzip = gzip;
        let sink = orders(&settings).await;
        assert_eq!(apply(&sink, items(version)).await, vec![Outcome::Applied; 100]);
        assert_eq!(proxy.refused().min(1), refused, "50 KB as they are, a tenth of it compressed: {gzip:?}");
    }
    assert_eq!(search(&settings, json!({ "match_all": {} })).await.len(), 100);
}

#[tokio::test]
async fn an_index_that_cannot_be_written_makes_the_view_wait() {
    let settings = settings().await;
    let sink = orders(&settings).await;
    let batch = [record(order("o", 1, json!({})))];
    let waits = async |what: &str| {
        let result = sink.apply(&batch).await;
        assert!(matches!(result, Err(SinkError::Unavailable(_))), "{what}: {result:?}");
    };
    let block = |on: bool| Some(json!({ "index": { "blocks": { "write": on } } }));
    assert_eq!(http(&settings, Method::Put, "{}orders-g1/_settings", block(true)).await.0, 200);
    waits("blocked").await;
    assert_eq!(http(&settings, Method::Put, "{}orders-g1/_settings", block(false)).await.0, 200);
    assert_eq!(http(&settings, Method::Post, "{}orders-g1/_close", None).await.0, 200);
    waits("closed").await;
    assert_eq!(http(&settings, Method::Post, "{}orders-g1/_open", None).await.0, 200);
    let opened =
        eventually("the index is open", Duration::from_secs(10), async || sink.apply(&batch).await.ok());
    assert_eq!(opened.await, [Outcome::Applied]);

    assert_eq!(http(&settings, Method::Delete, "{}orders-g1", None).await.0, 200);
    waits("gone").await;
    assert!(sink.ready().await.is_err());
    assert_eq!(
        http(&settings, Method::Get, "{}orders-g1-write", None).await.0,
        404,
        "no write makes it again"
    );
}

#[tokio::test]
async fn an_outage_is_waited_for_at_start_and_later() {
    let own = Private::start(&[Server::OpenSearch]).await.unwrap();
    let mut settings = Settings::defaults().unwrap();
    settings.opensearch.url = own.servers.opensearch.clone();
    settings.opensearch.replicas = 0;
    own.stop(Server::OpenSearch).await.unwrap();

    let registry = registry(&settings);
    let start = tokio::spawn(async move {
        let model = model(&[ORDER]);
        aqueduct_views::until_reached("private", || registry.ensure(&model), |_| ()).await
    });
    own.start_again(Server::OpenSearch).await.unwrap();
    let generation = start.await.unwrap().unwrap().generations.remove(0);
    let sink = sink(&settings, generation);
    let batch = [record(order("o", 1, json!({})))];
    assert_eq!(sink.apply(&batch).await.unwrap(), [Outcome::Applied]);

    own.crash(Server::OpenSearch).await.unwrap();
    let down = sink.apply(&batch).await;
    assert!(matches!(down, Err(SinkError::Unavailable(_))), "{down:?}");
    assert!(sink.ready().await.is_err());
    own.start_again(Server::OpenSearch).await.unwrap();
    let again = eventually("the sink writes again", Duration::from_secs(60), async || {
        let outcomes = sink.apply(&batch).await.ok()?;
        (outcomes == [Outcome::Stale]).then_some(())
    });
    again.await;
}
