//! Reads that ask for at least what was written: they wait, they say what is missing, and a dead letter ends the wait.

use std::time::Duration;

use aqueduct_contract::Worker;
use aqueduct_views::postgres;
use jiff::SignedDuration;
use reqwest::Method;
use serde_json::{Value, json};

use super::app::{Answer, answer};
use super::stage::{Stage, ids};
use crate::sync::{ORDER, deletion, model, order, settings};
use crate::views::registry;

/// Writes an order at the API, which publishes, and returns its token.
async fn write(stage: &Stage, id: &str, name: &str) -> String {
    let body = json!({ "id": id, "attributes": { "customerName": name } });
    token(&stage.app.post("ORDER", body).await.expect(201))
}

fn token(written: &Answer) -> String {
    written.body["token"].as_str().unwrap().to_owned()
}

/// Rows and hits, at least as new as the token, within that many seconds.
async fn read(stage: &Stage, token: &str, wait: &str) -> [Answer; 2] {
    let prefer = format!("wait={wait}");
    let rows = stage.app.at_tenant(Method::GET, "views/orders").query(&[("token", token)]);
    let hits = stage.app.at_tenant(Method::POST, "search/orders").query(&[("token", token)]).json(&json!({}));
    let (rows, hits) =
        tokio::join!(answer(rows.header("prefer", &prefer)), answer(hits.header("prefer", &prefer)));
    [rows, hits]
}

#[tokio::test]
async fn a_read_waits_until_the_view_holds_the_version() {
    let stage = Stage::start().await;
    let token = write(&stage, "o", "Ann").await;
    for (answer, store) in read(&stage, &token, "0").await.into_iter().zip(["postgres", "opensearch"]) {
        let refused = answer.problem(504, "NotYetVisible").body;
        assert_eq!(
            refused["missing"],
            json!([{
                "view": "orders", "store": store, "generation": 1,
                "type": "ORDER", "id": "o", "version": 1, "found": null,
            }])
        );
    }
    let reading = read(&stage, &token, "20");
    let written = async {
        stage.apply([order("o", 1, json!({ "customerName": "Ann" }))]).await;
    };
    let (answers, ()) = tokio::join!(reading, written);
    for answer in answers {
        assert_eq!(ids(&answer.expect(200).body), ["o"]);
    }
}

#[tokio::test]
async fn a_later_version_will_do_and_so_will_a_deletion() {
    let stage = Stage::start().await;
    let token = write(&stage, "o", "Ann").await;
    stage.apply([order("o", 3, json!({ "customerName": "Ann" }))]).await;
    for answer in read(&stage, &token, "0").await {
        assert_eq!(ids(&answer.expect(200).body), ["o"]);
    }
    stage.apply([deletion("o", 4)]).await;
    for answer in read(&stage, &token, "0").await {
        assert_eq!(ids(&answer.expect(200).body), [""; 0]);
    }
}

#[tokio::test]
async fn what_stood_for_an_item_that_was_deleted_may_be_gone() {
    let mut settings = settings().await;
    settings.opensearch.request_timeout = Duration::from_secs(5);
    let stage = Stage::with(settings, model(&[ORDER])).await;
    let body = json!({ "id": "o", "attributes": {} });
    let create = stage.app.at_tenant(Method::POST, "ORDER").header("x-correlation-id", "c-1").json(&body);
    let token = token(&answer(create).await.expect(201));
    let key = stage.app.key("ORDER", "o");
    let written = stage.app.events.latest(&key).await.unwrap().unwrap().item.updated_at;
    let (tables, indexes) = (postgres::Registry::new(stage.pool.clone()), registry(&stage.settings));
    for moment in [written - SignedDuration::from_micros(1), written] {
        let (table, index) =
            (tables.generations().await.unwrap().remove(0), indexes.generations().await.unwrap().remove(0));
        tables.begin_purge(&table, moment).await.unwrap();
        indexes.begin_purge(&index, moment).await.unwrap();
        tables.end_purge(&table).await.unwrap();
        indexes.end_purge(&index).await.unwrap();
        let states = async || {
            let followed = stage.get("writes/c-1").await.expect(200).body;
            let models = followed["events"][0]["readModels"].as_array().unwrap().iter().skip(1);
            models.map(|model| model["state"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
        };
        if moment < written {
            for answer in read(&stage, &token, "0").await {
                answer.problem(504, "NotYetVisible");
            }
            assert_eq!(states().await, ["pending", "pending"]);
            continue;
        }
        // The second for which a reader goes by what it read of the registry is over.
        for answer in read(&stage, &token, "0").await {
            assert_eq!(ids(&answer.expect(200).body), [""; 0]);
        }
        assert_eq!(states().await, ["applied", "applied"]);
    }
}

#[tokio::test]
async fn a_dead_letter_ends_the_wait() {
    let stage = Stage::publishing().await;
    let token = write(&stage, "o", "Ann").await;
    for worker in [Worker::SyncRds, Worker::SyncSearch] {
        stage.set_aside(worker, "o").await;
    }
    let answers = tokio::time::timeout(Duration::from_secs(15), read(&stage, &token, "20")).await;
    for answer in answers.expect("no wait for what will not come") {
        let refused = answer.problem(409, "DeadLettered").body;
        assert_eq!(
            (&refused["missing"][0]["version"], &refused["missing"][0]["found"]),
            (&json!(1), &Value::Null)
        );
        assert!(refused["detail"].as_str().unwrap().contains("RowRefused"), "{refused}");
        assert!(!refused.to_string().contains("secret"), "{refused}");
    }
    // A later version makes the letter moot.
    stage.apply([order("o", 2, json!({ "customerName": "Ann" }))]).await;
    for answer in read(&stage, &token, "0").await {
        assert_eq!(ids(&answer.expect(200).body), ["o"]);
    }
}

#[tokio::test]
async fn an_item_is_read_at_least_as_new_as_its_token() {
    let stage = Stage::start().await;
    let token = write(&stage, "o", "Ann").await;
    let read = |id: &str, token: &str| {
        answer(stage.app.at_tenant(Method::GET, &format!("ORDER/{id}")).query(&[("token", token)]))
    };
    assert_eq!(read("o", &token).await.expect(200).body["version"], 1);
    write(&stage, "other", "Ben").await;
    read("other", &token).await.problem(400, "TokenInvalid");
}

#[tokio::test]
async fn what_is_no_token_of_this_tenant_and_type_is_refused() {
    let stage = Stage::start().await;
    let mine = write(&stage, "o", "Ann").await;
    let create =
        stage.app.request(Method::POST, "/v1/other/ORDER").json(&json!({ "id": "o", "attributes": {} }));
    let theirs = token(&answer(create).await.expect(201));
    let forged = |json: &str| {
        use base64::Engine;
        base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(json)
    };
    let of_product = forged(r#"{"pk":"acme#PRODUCT","sk":"PRODUCT#p","version":1}"#);
    for token in ["", "x", &mine[..10], &theirs, &of_product, &forged("{}")] {
        for answer in read(&stage, token, "0").await {
            answer.problem(400, "TokenInvalid");
        }
    }
    for wait in ["soon", "-1", ""] {
        for answer in read(&stage, &mine, wait).await {
            answer.problem(400, "HeaderInvalid");
        }
    }
}
