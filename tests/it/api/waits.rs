//! Writes that ask to be answered when read models hold them: `Prefer: wait=N`.

use std::time::{Duration, Instant};

use anyhow::Result;
use aqueduct_contract::{Event, Worker};
use aqueduct_tests::{Fleet, PATIENCE, eventually, servers};
use reqwest::{Method, RequestBuilder};
use rustix::process::Signal;
use serde_json::{Value, json};
use sqlx::Connection;

use super::app::{Answer, answer};
use super::stage::{Stage, ids};

/// Each way to write the order `o`, in an order in which each is accepted.
fn writes(stage: &Stage) -> [(RequestBuilder, u16); 4] {
    let (create, change) = (
        json!({ "id": "o", "attributes": { "customerName": "Ann" } }),
        json!({ "attributes": { "customerName": "Ben" } }),
    );
    let at = |method, path| stage.app.at_tenant(method, path);
    [
        (at(Method::POST, "ORDER").json(&create), 201),
        (at(Method::PUT, "ORDER/o").json(&change), 200),
        (at(Method::PATCH, "ORDER/o").json(&change), 200),
        (at(Method::DELETE, "ORDER/o"), 200),
    ]
}

async fn create(stage: &Stage, wait: &str) -> Answer {
    let [(create, _), ..] = writes(stage);
    answer(create.header("prefer", format!("wait={wait}"))).await
}

/// The version of the order `o`, once it is stored.
async fn stored(stage: &Stage, version: u64) -> Event {
    let (key, version) = (stage.app.key("ORDER", "o"), version.try_into().unwrap());
    let ask = || async { Some(stage.app.events.at(&key, version).await.unwrap()?.event) };
    eventually("the version is stored", Duration::from_secs(20), ask).await
}

/// Store, view, generation and state of what does not hold it.
fn pending(answer: &Answer) -> Vec<(&str, &str, &Value, &str)> {
    let pending = answer.body["pending"].as_array().unwrap().iter();
    pending
        .map(|one| {
            (
                one["store"].as_str().unwrap(),
                one["view"].as_str().unwrap_or_default(),
                &one["generation"],
                one["state"].as_str().unwrap(),
            )
        })
        .collect()
}

#[tokio::test]
async fn a_write_is_answered_when_data_and_every_live_view_hold_it() {
    let stage = Stage::start().await;
    for ((write, status), version) in writes(&stage).into_iter().zip(1..) {
        let writing = answer(write.header("prefer", "wait=20"));
        let working = async {
            let event = stored(&stage, version).await;
            stage.app.data.put_if_newer(&event).await.unwrap();
            stage.apply([event.item]).await;
        };
        let (written, ()) = tokio::join!(writing, working);
        let written = written.expect(status);
        assert_eq!(written.headers["preference-applied"], "wait=20");
        assert_eq!((&written.body["version"], &written.body["pending"]), (&json!(version), &Value::Null));
        let there: &[&str] = if version < 4 { &["o"] } else { &[] };
        assert_eq!(ids(&stage.rows(&[]).await.expect(200).body), there);
        assert_eq!(ids(&stage.search(json!({})).await.expect(200).body), there);
    }
}

#[tokio::test]
async fn when_the_time_is_over_what_is_pending_is_named_with_the_item() {
    let stage = Stage::start().await;
    let accepted = create(&stage, "0").await.expect(202);
    assert_eq!(
        pending(&accepted),
        [
            ("dynamodb", "data", &Value::Null, "pending"),
            ("postgres", "orders", &json!(1), "pending"),
            ("opensearch", "orders", &json!(1), "pending"),
        ]
    );
    assert_eq!(accepted.headers["etag"], "\"1\"");
    assert_eq!(accepted.headers["location"], "/v1/acme/ORDER/o");
    assert_eq!(accepted.headers["preference-applied"], "wait=0");
    let shown = stage.get("ORDER/o").await.expect(200).body;
    let item = shown.as_object().unwrap();
    assert!(item.iter().all(|(name, value)| accepted.body[name] == *value), "{}", accepted.body);

    // An older version is not enough, and a later one is.
    let event = stored(&stage, 1).await;
    stage.app.data.put_if_newer(&event).await.unwrap();
    stage.apply([event.item.clone()]).await;
    let [_, (update, _), ..] = writes(&stage);
    let accepted = answer(update.header("prefer", "wait=1")).await.expect(202);
    let held: Vec<&Value> =
        accepted.body["pending"].as_array().unwrap().iter().map(|one| &one["version"]).collect();
    assert_eq!(held, [&json!(1), &json!(1), &json!(1)]);
    stage.apply([crate::sync::order("o", 9, json!({}))]).await;
    let [_, _, (patch, _), _] = writes(&stage);
    let accepted = answer(patch.header("prefer", "wait=0")).await.expect(202);
    assert_eq!(pending(&accepted), [("dynamodb", "data", &Value::Null, "pending")]);
}

#[tokio::test]
async fn a_version_that_is_set_aside_ends_the_wait_and_is_named() {
    let stage = Stage::publishing().await;
    let writing = create(&stage, "20");
    let setting_aside = async {
        stored(&stage, 1).await;
        stage.set_aside(Worker::SyncRds, "o").await;
    };
    let (accepted, ()) =
        tokio::time::timeout(Duration::from_secs(15), async { tokio::join!(writing, setting_aside) })
            .await
            .expect("no wait for what will not come");
    let accepted = accepted.expect(202);
    assert_eq!(pending(&accepted)[1], ("postgres", "orders", &json!(1), "deadLettered"));
    let letter = &accepted.body["pending"][1]["letter"];
    assert_eq!(*letter, json!({ "version": 1, "code": "RowRefused", "state": "open" }));
    assert!(!accepted.body.to_string().contains("secret"), "{}", accepted.body);
}

#[tokio::test]
async fn a_read_model_that_is_away_or_hangs_makes_no_write_fail() {
    let stage = Stage::start().await;
    stage.opensearch(::opensearch::http::Method::Delete, "{}orders-g1", None).await;
    let mut connection = sqlx::PgConnection::connect(&stage.settings.postgres.url).await.unwrap();
    let mut transaction = connection.begin().await.unwrap();
    let lock = sqlx::query("LOCK TABLE orders__g1 IN ACCESS EXCLUSIVE MODE");
    lock.execute(&mut *transaction).await.unwrap();
    let began = Instant::now();
    let accepted = create(&stage, "1").await.expect(202);
    assert!(began.elapsed() < stage.settings.api.query_timeout, "{:?}", began.elapsed());
    assert_eq!(
        pending(&accepted),
        [
            ("dynamodb", "data", &Value::Null, "pending"),
            ("postgres", "", &Value::Null, "unknown"),
            ("opensearch", "orders", &json!(1), "unknown"),
        ]
    );
    assert_eq!(stage.app.versions("ORDER", "o").await.len(), 1);
}

#[tokio::test]
async fn a_wait_that_is_no_number_is_refused_and_nothing_is_written() {
    let stage = Stage::start().await;
    for wait in ["soon", "-1", "1.5", ""] {
        create(&stage, wait).await.problem(400, "HeaderInvalid");
    }
    assert_eq!(stage.app.versions("ORDER", "o").await.len(), 0);
    answer(writes(&stage).into_iter().next().unwrap().0).await.expect(201);
    for (change, _) in writes(&stage).into_iter().skip(1) {
        answer(change.header("prefer", "wait=soon")).await.problem(400, "HeaderInvalid");
    }
    assert_eq!(stage.app.versions("ORDER", "o").await.len(), 1);
}

/// With the real workers: what a write waited for is in a plain read at once, and a worker that stands still is named.
#[tokio::test(flavor = "multi_thread")]
async fn a_plain_read_shows_what_a_write_waited_for_and_a_worker_that_stands_still_is_named() -> Result<()> {
    let fleet = Fleet::on(servers().await).await.start().await?;
    let (http, base) = (reqwest::Client::new(), format!("{}/v1/acme", fleet.api()));
    let write = async |id: &str, wait: &str| -> Result<(u16, Value)> {
        let body = json!({ "id": id, "attributes": { "name": "Lantern", "price": "2.50" } });
        let written = http.post(format!("{base}/PRODUCT")).json(&body).header("prefer", wait).send().await?;
        Ok((written.status().as_u16(), written.json().await?))
    };
    for n in 1..=3 {
        let id = format!("P-{n}");
        let (status, written) = write(&id, "wait=20").await?;
        assert_eq!(status, 201, "{written}");
        let rows = http.get(format!("{base}/views/products?filter[id]={id}")).send().await?;
        assert_eq!(rows.json::<Value>().await?["rows"][0]["id"], id);
        let query = json!({ "query": { "term": { "id": id } } });
        let hits = http.post(format!("{base}/search/products")).json(&query).send().await?;
        assert_eq!(hits.json::<Value>().await?["hits"][0]["id"], id);
    }

    fleet.signal("sync-search-1", Signal::STOP);
    let (status, accepted) = write("P-4", "wait=5").await?;
    assert_eq!(status, 202, "{accepted}");
    let pending = accepted["pending"].as_array().unwrap();
    assert_eq!(pending.len(), 1, "{accepted}");
    assert_eq!(
        (&pending[0]["store"], &pending[0]["view"], &pending[0]["state"]),
        (&json!("opensearch"), &json!("products"), &json!("pending"))
    );
    fleet.signal("sync-search-1", Signal::CONT);
    fleet.agrees(PATIENCE).await
}
