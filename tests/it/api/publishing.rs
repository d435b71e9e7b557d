//! What is accepted reaches its topic, with the ids of its request.

use std::time::Duration;

use aqueduct_contract::Event;
use aqueduct_contract::headers::Headers;
use aqueduct_store::{Error, topics};
use aqueduct_tests::eventually;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::{Headers as _, Message};
use rdkafka::{Offset, TopicPartitionList};
use reqwest::Method;
use serde_json::json;

use super::app::{App, answer};

const TRACE: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

/// The first `count` records of the type's topic, in any order: event and headers.
async fn published(app: &App, type_name: &str, count: usize) -> Vec<(Event, Headers)> {
    let topic = app.place.names.events_topic(&type_name.parse().unwrap());
    let mut config = app.place.kafka.client_config();
    let consumer: BaseConsumer = config.set("group.id", "unused").create().unwrap();
    let mut partitions = TopicPartitionList::new();
    for partition in 0..aqueduct_contract::EVENT_PARTITIONS {
        partitions.add_partition_offset(&topic, partition, Offset::Beginning).unwrap();
    }
    consumer.assign(&partitions).unwrap();
    let read = move || {
        let mut records = Vec::new();
        while records.len() < count {
            let message = consumer.poll(Duration::from_secs(20)).expect("a record within 20 s").unwrap();
            let event = Event::from_json(message.payload().unwrap()).unwrap();
            let pairs = message.headers().unwrap().iter();
            let headers =
                Headers::from_pairs(pairs.map(|header| (header.key, header.value.unwrap()))).unwrap();
            assert_eq!(message.key().unwrap(), event.item.key.to_string().as_bytes());
            records.push((event, headers));
        }
        records
    };
    // The consumer's poll blocks.
    tokio::task::spawn_blocking(read).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn ids_of_the_request_travel_into_the_answer_the_event_and_its_headers() {
    let app = App::publishing().await;
    let body = json!({ "id": "n", "attributes": { "title": "a" } });
    let request = app.at_tenant(Method::POST, "NOTE").header("X-Correlation-Id", "my-request-7");
    let created = answer(request.header("traceparent", TRACE).json(&body)).await.expect(201);
    assert_eq!(created.header("x-correlation-id"), "my-request-7");
    let history = app.get("NOTE/n/history").await.expect(200).body;
    assert_eq!(history["versions"][0]["event"]["correlationId"], "my-request-7");

    let records = published(&app, "NOTE", 1).await;
    let (event, headers) = &records[0];
    assert_eq!(Headers::of(event), *headers);
    assert_eq!(headers.correlation_id.as_str(), "my-request-7");
    assert_eq!(headers.traceparent.as_ref().unwrap().as_str(), TRACE);
    assert_eq!(headers.tenant.as_str(), app.tenant);
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_without_ids_gets_some_and_a_broken_trace_begins_anew() {
    let app = App::publishing().await;
    let body = |id: &str| json!({ "id": id, "attributes": { "title": "a" } });
    let first = app.post("NOTE", body("a")).await.expect(201);
    let broken = app.at_tenant(Method::POST, "NOTE").header("traceparent", "00-nonsense");
    let second = answer(broken.json(&body("b"))).await.expect(201);
    assert_ne!(first.header("x-correlation-id"), second.header("x-correlation-id"));
    for (event, headers) in published(&app, "NOTE", 2).await {
        let request = if event.item.key.id().as_str() == "a" { &first } else { &second };
        assert_eq!(headers.correlation_id.as_str(), request.header("x-correlation-id"));
        assert!(headers.traceparent.is_some());
    }
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_publishes_what_was_accepted_before_it() {
    let app = App::publishing().await;
    eventually("the check passes", Duration::from_secs(30), async || app.passed.borrow().clone().ok()).await;
    for id in 0..20 {
        app.note(&id.to_string(), "a").await;
    }
    let (events, place, tenant) = (app.events.clone(), app.place.names.clone(), app.tenant.clone());
    app.stop().await;
    for id in 0..20 {
        let parse = || -> Result<_, aqueduct_contract::NameError> {
            aqueduct_contract::ItemKey::new(tenant.parse()?, "NOTE".parse()?, id.to_string().parse()?)
        };
        let stored = events.at(&parse().unwrap(), aqueduct_contract::Version::FIRST).await.unwrap().unwrap();
        assert!(stored.published.is_some(), "{id} of {place:?} waits for another process");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_with_another_number_of_partitions_is_fatal_and_says_the_way_out() {
    use aqueduct_command_api::{StartCheck, publish};
    use aqueduct_store::Publisher;
    use tokio_util::sync::CancellationToken;

    let app = App::start().await;
    let note = "NOTE".parse().unwrap();
    let place = &app.place;
    topics::ensure(&place.kafka, &place.names, [(&note, 3)]).await.unwrap();
    let settings = aqueduct_service::Settings::defaults().unwrap().publisher;
    let (_, publishing) =
        Publisher::new(app.events.clone(), &place.kafka, settings, &prometheus::Registry::new()).unwrap();
    let (check, passed) =
        StartCheck::new(place.kafka.clone(), place.names.clone(), vec![(note, 12)], app.events.clone());
    let error = publish(check, publishing, CancellationToken::new()).await.unwrap_err();
    assert!(matches!(error, Error::PartitionCount { actual: 3, expected: 12, .. }), "{error}");
    assert!(error.to_string().contains("partitions: 3"), "{error}");
    assert!(passed.borrow().is_err());
}
