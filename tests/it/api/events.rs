//! Server-sent events: what comes, what comes again after a break, and who sees what.

use std::time::Duration;

use aqueduct_store::kafka::{Next, Tail, TailError, TailReader};
use rdkafka::admin::{AdminClient, AdminOptions};
use rdkafka::client::DefaultClientContext;
use rdkafka::producer::{FutureProducer, FutureRecord};
use rdkafka::{Offset, TopicPartitionList};
use reqwest::{Method, Response};
use serde_json::{Value, json};
use tokio::time::timeout;

use super::app::{App, answer};
use crate::sync::order;

/// A reader as a browser is one.
struct Reader {
    response: Response,
    read: String,
    last_id: String,
}

impl Reader {
    async fn open(app: &App, path: &str, last_id: Option<&str>) -> Reader {
        let mut request = app.request(Method::GET, path);
        if let Some(id) = last_id {
            request = request.header("last-event-id", id);
        }
        let response = request.send().await.unwrap();
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        Reader { response, read: String::new(), last_id: String::new() }
    }

    /// The data of the next event; none when the stream has ended.
    async fn next(&mut self) -> Option<Value> {
        loop {
            while let Some((message, rest)) = self.read.split_once("\n\n") {
                let (mut data, message) = (None, message.to_owned());
                for line in message.lines() {
                    match line.split_once(": ") {
                        Some(("id", id)) => self.last_id = id.to_owned(),
                        Some(("data", text)) => data = Some(serde_json::from_str(text).unwrap()),
                        _ => {}
                    }
                }
                self.read = rest.to_owned();
                if data.is_some() {
                    return data;
                }
            }
            let chunk = timeout(Duration::from_secs(30), self.response.chunk()).await.expect("an event");
            self.read += std::str::from_utf8(&chunk.unwrap()?).unwrap();
        }
    }

    /// Ids and versions of so many events.
    async fn several(&mut self, count: usize) -> Vec<(String, u64)> {
        let mut found = Vec::new();
        for _ in 0..count {
            let event = self.next().await.unwrap();
            found.push((event["id"].as_str().unwrap().to_owned(), event["version"].as_u64().unwrap()));
        }
        found.sort();
        found
    }
}

async fn started() -> App {
    let app = App::publishing().await;
    let mut passed = app.passed.clone();
    passed.wait_for(Result::is_ok).await.unwrap();
    app
}

fn seen(entries: &[(&str, u64)]) -> Vec<(String, u64)> {
    entries.iter().map(|(id, version)| ((*id).to_owned(), *version)).collect()
}

#[tokio::test]
async fn events_come_as_they_happen_by_tenant_type_and_item() {
    let app = started().await;
    app.note("before", "x").await;
    let tenant = app.tenant.clone();
    let mut all = Reader::open(&app, &format!("/v1/{tenant}/events"), None).await;
    let mut notes = Reader::open(&app, &format!("/v1/{tenant}/events?type=NOTE,ORDER"), None).await;
    let mut orders = Reader::open(&app, &format!("/v1/{tenant}/events?type=ORDER"), None).await;
    let mut one = Reader::open(&app, &format!("/v1/{tenant}/events?type=NOTE&id=b"), None).await;
    let theirs = json!({ "id": "a", "attributes": { "title": "theirs" } });
    answer(app.request(Method::POST, &format!("/v1/{tenant}x/NOTE")).json(&theirs)).await.expect(201);
    app.note("a", "mine").await;
    app.note("b", "mine").await;
    app.patch("NOTE/b", json!({ "attributes": { "title": "new" } })).await.expect(200);
    let order = json!({ "attributes": { "customer": "c", "lines": [{ "code": "a", "quantity": 1 }] } });
    app.post("ORDER", order).await.expect(201);

    let expected = [("ORD-000001", 1), ("a", 1), ("b", 1), ("b", 2)];
    assert_eq!(without_before(&mut all, 4).await, seen(&expected));
    assert_eq!(without_before(&mut notes, 4).await, seen(&expected));
    assert_eq!(orders.several(1).await, seen(&[("ORD-000001", 1)]));
    let first = one.next().await.unwrap();
    assert_eq!(first, app.get("NOTE/b/history").await.body["versions"][0], "as the history has it");
    assert_eq!(one.next().await.unwrap()["attributes"]["title"], "new", "the versions of an item in order");
}

/// The publisher may send the note that was written before after the reader has come.
async fn without_before(reader: &mut Reader, count: usize) -> Vec<(String, u64)> {
    let mut found = Vec::new();
    while found.len() < count {
        found.extend(reader.several(1).await.into_iter().filter(|(id, _)| id != "before"));
    }
    found.sort();
    found
}

#[tokio::test]
async fn a_reader_goes_on_where_it_was_at_any_instance() {
    let app = started().await;
    let path = format!("/v1/{}/events", app.tenant);
    let mut reader = Reader::open(&app, &path, None).await;
    app.note("a", "x").await;
    assert_eq!(reader.several(1).await, seen(&[("a", 1)]));
    let id = reader.last_id.clone();
    drop(reader);
    let missed: Vec<String> = (0..20).map(|n| format!("n{n:02}")).collect();
    for id in &missed {
        app.note(id, "x").await;
    }
    let place = super::app::Place {
        kafka: app.place.kafka.clone(),
        dynamodb: app.place.dynamodb.clone(),
        names: app.place.names.clone(),
        settings: app.place.settings.clone(),
    };
    let other = App::at(place, false).await;
    for app in [&app, &other] {
        let mut again = Reader::open(app, &path, Some(&id)).await;
        let found = again.several(20).await;
        assert_eq!(found.iter().map(|(id, _)| id).collect::<Vec<_>>(), missed.iter().collect::<Vec<_>>());
    }
    let mut again = Reader::open(&other, &path, Some(&id)).await;
    again.several(20).await;
    app.note("z", "x").await;
    assert_eq!(again.several(1).await, seen(&[("z", 1)]), "and then what comes");
    let begin = base64_of(&json!({}));
    let mut from_the_beginning = Reader::open(&app, &path, Some(&begin)).await;
    assert_eq!(from_the_beginning.several(22).await.len(), 22);
}

fn base64_of(json: &Value) -> String {
    use base64::Engine;
    base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(json.to_string())
}

#[tokio::test]
async fn what_is_no_filter_or_id_is_refused() {
    let app = App::start().await;
    for (query, code) in [
        ("type=note", "QueryInvalid"),
        ("id=a", "QueryInvalid"),
        ("type=NOTE,ORDER&id=a", "QueryInvalid"),
        ("tenant=other", "QueryInvalid"),
    ] {
        app.get(&format!("events?{query}")).await.problem(400, code);
    }
    app.get("events?type=NOTHING").await.problem(404, "TypeUnknown");
    for id in ["x", "!", &base64_of(&json!([])), &base64_of(&json!({ "NOTE": "all" }))] {
        let request = app.at_tenant(Method::GET, "events").header("last-event-id", id);
        answer(request).await.problem(400, "CursorInvalid");
    }
}

#[tokio::test]
async fn streams_end_when_the_process_stops() {
    let app = started().await;
    let mut reader = Reader::open(&app, &format!("/v1/{}/events", app.tenant), None).await;
    let (ended, ()) = tokio::join!(reader.next(), async {
        timeout(Duration::from_secs(20), app.stop()).await.expect("no stream holds it up");
    });
    assert_eq!(ended, None);
}

/// Orders of these numbers, as a publisher sends them.
async fn produce(settings: &aqueduct_service::Settings, numbers: std::ops::Range<u64>) {
    let producer: FutureProducer = settings.kafka.client_config().create().unwrap();
    let topic = format!("{}.order.events", settings.prefix);
    let sent = numbers.map(|number| {
        let event = crate::sync::event(order(&format!("o{number}"), 1, json!({})));
        let (key, value) = (event.item.key.to_string(), event.to_json());
        let (producer, topic) = (producer.clone(), topic.clone());
        async move {
            let record = FutureRecord::to(&topic).key(&key).payload(&value);
            producer.send(record, Duration::from_secs(20)).await.unwrap();
        }
    });
    futures::future::join_all(sent).await;
}

/// The events of orders, in a topic of their own.
async fn tail(partitions: i32) -> (aqueduct_service::Settings, Tail) {
    let settings = crate::sync::settings().await;
    let names = aqueduct_contract::Names::new(&settings.prefix);
    let order: aqueduct_contract::TypeName = "ORDER".parse().unwrap();
    aqueduct_store::topics::ensure(&settings.kafka, &names, [(&order, partitions)]).await.unwrap();
    let tail = Tail::new(&settings.kafka, &names, [(order, partitions)], Default::default());
    (settings, tail)
}

async fn follow(reader: &mut TailReader, count: usize) {
    for number in 0..count {
        let next = timeout(Duration::from_secs(30), reader.next()).await.expect("an event");
        assert!(matches!(next, Next::Event(_)), "{number}: {next:?}");
    }
}

#[tokio::test]
async fn a_slow_reader_is_cut_and_goes_on_later_while_others_miss_nothing() {
    let (settings, tail) = tail(3).await;
    let mut quick = tail.read(None).await.unwrap();
    let mut slow = tail.read(None).await.unwrap();
    // More in all than the ring holds, and less at a time.
    for thousands in 0..6 {
        produce(&settings, thousands * 1000..(thousands + 1) * 1000).await;
        follow(&mut quick, 1000).await;
    }
    assert!(matches!(slow.next().await, Next::Cut));
    let mut again = tail.read(Some(slow.positions().clone())).await.unwrap();
    follow(&mut again, 6000).await;
    produce(&settings, 6000..6001).await;
    follow(&mut again, 1).await;
    follow(&mut quick, 1).await;
}

#[tokio::test]
async fn events_that_retention_took_are_gone() {
    let (settings, tail) = tail(1).await;
    produce(&settings, 0..5).await;
    let admin: AdminClient<DefaultClientContext> = settings.kafka.client_config().create().unwrap();
    let mut list = TopicPartitionList::new();
    let topic = format!("{}.order.events", settings.prefix);
    list.add_partition_offset(&topic, 0, Offset::Offset(3)).unwrap();
    admin.delete_records(&list, &AdminOptions::new()).await.unwrap();
    let from = |offset| tail.read(Some([("ORDER".parse().unwrap(), vec![offset])].into()));
    assert!(matches!(from(2).await, Err(TailError::Gone)));
    follow(&mut from(3).await.unwrap(), 2).await;
}
