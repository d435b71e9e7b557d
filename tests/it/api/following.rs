//! Where is my write: as the API tells it, and as `aqueduct trace` draws it.

use std::time::Duration;

use aqueduct_store::Letter;
use aqueduct_store::letters::State;
use aqueduct_tests::{Fleet, PATIENCE, eventually, servers};
use reqwest::Method;
use serde_json::{Value, json};

use super::app::{Answer, answer};
use super::stage::Stage;
use crate::sync::order;

async fn write(stage: &Stage, correlation: &str, id: &str) {
    let body = json!({ "id": id, "attributes": { "customerName": "Ann" } });
    let create = stage.app.at_tenant(Method::POST, "ORDER").header("x-correlation-id", correlation);
    answer(create.json(&body)).await.expect(201);
}

/// What the route answers, once every event is published.
async fn published(stage: &Stage, correlation: &str) -> Value {
    eventually("the events are published", Duration::from_secs(20), || async {
        let body = stage.get(&format!("writes/{correlation}")).await.expect(200).body;
        let all = body["events"].as_array().unwrap().iter().all(|event| event["published"].is_object());
        all.then_some(body)
    })
    .await
}

fn states(event: &Value) -> Vec<(&str, &str, &Value)> {
    let models = event["readModels"].as_array().unwrap().iter();
    models
        .map(|model| (model["store"].as_str().unwrap(), model["state"].as_str().unwrap(), &model["version"]))
        .collect()
}

#[tokio::test]
async fn a_write_is_followed_from_the_store_to_every_read_model() {
    let stage = Stage::publishing().await;
    write(&stage, "c-1", "o1").await;
    write(&stage, "c-1", "o2").await;
    write(&stage, "c-2", "o3").await;
    let found = published(&stage, "c-1").await;
    assert_eq!((&found["correlationId"], &found["more"]), (&json!("c-1"), &json!(false)));
    let events = found["events"].as_array().unwrap();
    assert_eq!(events.len(), 2);
    assert_eq!((&events[0]["id"], &events[1]["id"]), (&json!("o1"), &json!("o2")));
    let (event, nothing) = (&events[0], &Value::Null);
    assert_eq!(
        (&event["type"], &event["version"], &event["event"]["type"], &event["caused"], &event["causationId"]),
        (&json!("ORDER"), &json!(1), &json!("Created"), &json!([]), nothing)
    );
    assert_eq!(event["published"]["topic"], format!("{}.order.events", stage.settings.prefix));
    assert_eq!(
        states(event),
        [
            ("dynamodb", "pending", nothing),
            ("postgres", "pending", nothing),
            ("opensearch", "pending", nothing)
        ]
    );

    let key = stage.app.key("ORDER", "o1");
    let written = stage.app.events.latest(&key).await.unwrap().unwrap();
    stage.app.data.put_if_newer(&written).await.unwrap();
    stage.apply([order("o1", 2, json!({ "customerName": "Ann" }))]).await;
    let found = published(&stage, "c-1").await;
    assert_eq!(
        states(&found["events"][0]),
        [
            ("dynamodb", "applied", &json!(1)),
            ("postgres", "applied", &json!(2)),
            ("opensearch", "applied", &json!(2))
        ]
    );
    assert_eq!(states(&found["events"][1])[1].1, "pending");
}

#[tokio::test]
async fn what_was_set_aside_is_told_and_a_view_that_is_down_is_unknown() {
    let stage = Stage::publishing().await;
    write(&stage, "c-1", "o1").await;
    let found = published(&stage, "c-1").await;
    let at = &found["events"][0]["published"];
    let letter = Letter {
        group: format!("{}.sync-rds.orders.g1", stage.settings.prefix),
        topic: at["topic"].as_str().unwrap().to_owned(),
        partition: at["partition"].as_i64().unwrap().try_into().unwrap(),
        offset: at["offset"].as_i64().unwrap(),
        item: stage.app.key("ORDER", "o1").to_string(),
        version: Some(1_u64.try_into().unwrap()),
        code: "RowRefused".into(),
        message: "of the table".into(),
        attempts: 1,
        redrives: 0,
        filed_at: jiff::Timestamp::now(),
        state: State::Open,
    };
    stage.app.letters.put(&letter).await.unwrap();
    stage.opensearch(::opensearch::http::Method::Delete, "{}orders-g1", None).await;
    let found = published(&stage, "c-1").await;
    let models = &found["events"][0]["readModels"];
    assert_eq!(models[1]["state"], "deadLettered");
    assert_eq!(models[1]["letter"], json!({ "version": 1, "code": "RowRefused", "state": "open" }));
    assert_eq!(models[2]["state"], "unknown");
}

#[tokio::test]
async fn another_tenants_write_is_unknown_and_an_id_that_is_none_is_refused() {
    let stage = Stage::start().await;
    write(&stage, "c-1", "o1").await;
    let other = stage.app.request(Method::GET, "/v1/other/writes/c-1");
    answer(other).await.problem(404, "WriteUnknown");
    stage.get("writes/never").await.problem(404, "WriteUnknown");
    stage.get("writes/acme%7Cc-1").await.problem(404, "WriteUnknown");
    stage.get("writes/a%20b").await.problem(400, "PathInvalid");
    stage.get(&format!("writes/{}", "x".repeat(129))).await.problem(400, "PathInvalid");
    stage.get("writes/c-1?tenant=other").await.problem(400, "QueryInvalid");
    let found: Answer = stage.get("writes/c-1").await;
    assert_eq!(found.expect(200).body["events"][0]["published"], Value::Null);
}

#[tokio::test(flavor = "multi_thread")]
async fn aqueduct_trace_draws_what_the_api_tells() -> anyhow::Result<()> {
    let fleet = Fleet::on(servers().await).await.start().await?;
    let body = json!({ "id": "LAMP-1", "attributes": { "name": "Lamp", "price": "2.50" } });
    let create = reqwest::Client::new().post(format!("{}/v1/acme/PRODUCT", fleet.api()));
    create.header("x-correlation-id", "tour-1").json(&body).send().await?.error_for_status()?;
    let trace = |more: &'static [&'static str]| {
        let api = fleet.api().to_string();
        let fleet = &fleet;
        async move {
            let arguments = [&["trace", "tour-1", "--tenant", "acme", "--api", &api], more].concat();
            fleet.aqueduct(&arguments).await.unwrap()
        }
    };
    let drawn = eventually("all read models hold it", PATIENCE, || async {
        let drawn = trace(&[]).await;
        (drawn.out.matches(" applied").count() == 3).then_some(drawn.out)
    })
    .await;
    assert!(drawn.starts_with("tour-1\n└─ PRODUCT LAMP-1 version 1 Created  "), "{drawn}");
    assert!(
        drawn.contains("├─ published ") && drawn.contains("└─ opensearch products.g1 applied"),
        "{drawn}"
    );
    let answer: Value = serde_json::from_str(&trace(&["--json"]).await.out)?;
    assert_eq!(answer["events"][0]["id"], "LAMP-1");
    let api = fleet.api().to_string();
    let unknown = fleet.aqueduct(&["trace", "never", "--tenant", "acme", "--api", &api]).await?;
    assert_eq!(unknown.code, Some(1));
    assert!(unknown.err.contains("nothing was written with this correlation id"), "{}", unknown.err);
    Ok(())
}
