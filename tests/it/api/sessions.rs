//! Sessions: what a caller has just written is in their lists and views, whether or not a worker has seen it.

use reqwest::Method;
use serde_json::{Value, json};

use super::app::answer;
use super::stage::{Stage, ids};
use crate::sync::{ORDER, model, settings};

async fn staged(minutes: i64) -> Stage {
    let mut settings = settings().await;
    settings.api.ryw_session_ttl_minutes = minutes;
    Stage::with(settings, model(&[ORDER])).await
}

async fn create(stage: &Stage, id: &str, name: &str) {
    let body = json!({ "id": id, "attributes": { "customerName": name, "total": "1.50" } });
    stage.app.post("ORDER", body).await.expect(201);
}

/// What the workers do with all that stands of these orders.
async fn work(stage: &Stage, ids: &[&str]) {
    let mut items = Vec::new();
    for id in ids {
        let latest = stage.app.events.latest(&stage.app.key("ORDER", id)).await.unwrap().unwrap();
        stage.app.data.put_if_newer(&latest).await.unwrap();
        items.push(latest.item);
    }
    stage.apply(items).await;
}

async fn list(stage: &Stage, query: &str) -> Vec<String> {
    let page = stage.get(&format!("ORDER{query}")).await.expect(200).body;
    let items = page["items"].as_array().unwrap().iter();
    items
        .map(|item| {
            format!(
                "{} {}",
                item["id"].as_str().unwrap(),
                item["attributes"]["customerName"].as_str().unwrap()
            )
        })
        .collect()
}

#[tokio::test]
async fn a_list_shows_the_callers_creates_first_and_their_changes_in_place() {
    let stage = staged(10).await;
    for id in ["b", "c", "d"] {
        create(&stage, id, "old").await;
    }
    work(&stage, &["b", "c", "d"]).await;
    create(&stage, "z", "new").await;
    stage.app.patch("ORDER/c", json!({ "attributes": { "customerName": "changed" } })).await.expect(200);
    stage.app.delete("ORDER/b").await.expect(200);
    create(&stage, "gone", "new").await;
    stage.app.delete("ORDER/gone").await.expect(200);
    assert_eq!(list(&stage, "").await, ["z new", "c changed", "d old"]);
    assert_eq!(
        list(&stage, "?startFromSk=ORDER%23b").await,
        ["c changed", "d old"],
        "creates are on the first page"
    );
    work(&stage, &["b", "c", "d", "z", "gone"]).await;
    assert_eq!(
        list(&stage, "").await,
        ["c changed", "d old", "z new"],
        "what a read model holds is as it holds it"
    );
}

#[tokio::test]
async fn a_view_shows_them_in_its_order_under_its_filter() {
    let stage = staged(10).await;
    for id in ["b", "c", "d", "e"] {
        create(&stage, id, "old").await;
    }
    work(&stage, &["b", "c", "d", "e"]).await;
    create(&stage, "a", "new").await;
    stage
        .app
        .patch("ORDER/c", json!({ "attributes": { "customerName": "changed", "total": "9.5" } }))
        .await
        .expect(200);
    stage.app.delete("ORDER/b").await.expect(200);
    assert_eq!(ids(&stage.rows(&[]).await.expect(200).body), ["a", "c", "d", "e"]);
    let changed = stage.rows(&[("filter[customer_name]", "changed")]).await.expect(200).body;
    assert_eq!(
        (&changed["rows"][0]["total"], &changed["rows"][0]["item_version"], &changed["rows"][0]["shout"]),
        (&json!("9.50"), &json!(2), &json!("changed!")),
        "as the worker will write it"
    );
    assert_eq!(ids(&stage.rows(&[("filter[customer_name]", "old"), ("sort", "-id")]).await.body), ["e", "d"]);

    let (mut found, mut cursor) = (Vec::new(), None::<String>);
    loop {
        let mut parameters = vec![("sort", "-total,id"), ("limit", "1")];
        parameters.extend(cursor.as_deref().map(|cursor| ("cursor", cursor)));
        let page = stage.rows(&parameters).await.expect(200).body;
        found.extend(ids(&page).into_iter().map(str::to_owned));
        cursor = page["nextCursor"].as_str().map(str::to_owned);
        if cursor.is_none() {
            break;
        }
    }
    assert_eq!(found, ["c", "a", "d", "e"]);
    work(&stage, &["a", "b", "c"]).await;
    assert_eq!(ids(&stage.rows(&[("sort", "-total,id")]).await.expect(200).body), ["c", "a", "d", "e"]);
}

#[tokio::test]
async fn what_no_column_takes_leaves_the_view_as_it_is() {
    let stage = staged(10).await;
    create(&stage, "a", "old").await;
    work(&stage, &["a"]).await;
    stage
        .app
        .patch("ORDER/a", json!({ "attributes": { "total": format!("{}.5", "9".repeat(40)) } }))
        .await
        .expect(200);
    let page = stage.rows(&[]).await.expect(200).body;
    assert_eq!((&page["rows"][0]["id"], &page["rows"][0]["total"]), (&json!("a"), &json!("1.50")));
}

#[tokio::test]
async fn without_sessions_and_for_others_nothing_is_merged() {
    for minutes in [0, -1] {
        let stage = staged(minutes).await;
        create(&stage, "a", "new").await;
        assert_eq!(list(&stage, "").await, [""; 0]);
        assert_eq!(ids(&stage.rows(&[]).await.expect(200).body), [""; 0]);
    }
    let stage = staged(10).await;
    create(&stage, "a", "new").await;
    for route in ["ORDER", "views/orders"] {
        let other = stage.app.request(Method::GET, &format!("/v1/other/{route}"));
        let page = answer(other).await.expect(200).body;
        assert!(!page.to_string().contains("new"), "{page}");
    }
}

#[tokio::test]
async fn a_session_that_cannot_be_had_fails_no_write_and_no_read() {
    let stage = staged(10).await;
    let client = stage.settings.dynamodb.connect().await;
    let table = format!("{}-sessions", stage.settings.prefix);
    client.delete_table().table_name(table).send().await.unwrap();
    create(&stage, "a", "new").await;
    assert_eq!(stage.get("ORDER").await.expect(200).body["items"], Value::from(Vec::<Value>::new()));
    stage.rows(&[]).await.expect(200);
}
