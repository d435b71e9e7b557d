//! Servers that cannot be reached.

use std::time::Duration;

use aqueduct_store::setup;
use aqueduct_tests::eventually;
use serde_json::json;

use super::app::{App, Place};

/// A port where nothing listens.
const NOWHERE: &str = "127.0.0.1:1";

#[tokio::test(flavor = "multi_thread")]
async fn without_dynamodb_every_request_is_answered_with_503_and_when_to_try_again() {
    let app = App::at(Place::of(&format!("http://{NOWHERE}"), NOWHERE), false).await;
    let body = json!({ "id": "n", "attributes": { "title": "a" } });
    let (create, get, history, list) =
        tokio::join!(app.post("NOTE", body), app.get("NOTE/n"), app.get("NOTE/n/history"), app.get("NOTE"));
    for answer in [create, get, history, list] {
        assert_eq!(answer.problem(503, "StoreUnavailable").header("retry-after"), "1");
    }
    // What needs no store is answered as ever.
    app.get("note/n").await.problem(400, "PathInvalid");
    app.get("INVOICE/n").await.problem(404, "TypeUnknown");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_kafka_writes_are_accepted_and_the_process_is_not_ready() {
    let place = Place { kafka: Place::of("", NOWHERE).kafka, ..Place::real().await };
    setup(&place.dynamodb.connect().await, &place.names).await.expect("tables");
    let app = App::at(place, true).await;
    app.note("n", "a").await;
    let unpublished =
        app.events.at(&app.key("NOTE", "n"), aqueduct_contract::Version::FIRST).await.unwrap().unwrap();
    assert!(unpublished.published.is_none());
    let why = eventually("the reason why it is not ready", Duration::from_secs(60), async || {
        app.passed.borrow().clone().err().filter(|why| why != "not checked yet")
    })
    .await;
    assert!(!why.is_empty());
    app.stop().await;
}
