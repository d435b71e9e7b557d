//! Tenants are apart.

use reqwest::Method;
use serde_json::json;

use super::app::{App, answer};

#[tokio::test]
async fn no_request_reaches_another_tenants_item_of_the_same_id() {
    let app = App::start().await;
    app.note("n", "mine").await;
    let other = format!("{}x", app.tenant);
    let at = |method, path: &str| app.request(method, &format!("/v1/{other}/{path}"));
    let body = json!({ "attributes": { "title": "theirs" } });
    answer(at(Method::GET, "NOTE/n")).await.problem(404, "ItemNotFound");
    answer(at(Method::GET, "NOTE/n?version=1")).await.problem(404, "VersionNotFound");
    answer(at(Method::GET, "NOTE/n/history")).await.problem(404, "ItemNotFound");
    answer(at(Method::PUT, "NOTE/n").json(&body)).await.problem(404, "ItemNotFound");
    answer(at(Method::PATCH, "NOTE/n").json(&body)).await.problem(404, "ItemNotFound");
    answer(at(Method::DELETE, "NOTE/n")).await.problem(404, "ItemNotFound");
    let create = at(Method::POST, "NOTE").json(&json!({ "id": "n", "attributes": { "title": "theirs" } }));
    assert_eq!(answer(create).await.expect(201).body["version"], 1);
    assert_eq!(app.get("NOTE/n").await.expect(200).body["attributes"]["title"], "mine");
    assert_eq!(app.versions("NOTE", "n").await.len(), 1);
}

#[tokio::test]
async fn each_tenant_has_numbers_of_its_own() {
    let app = App::start().await;
    let body = json!({ "attributes": { "customer": "c", "lines": [{ "code": "a", "quantity": 1 }] } });
    app.post("ORDER", body.clone()).await.expect(201);
    let other = app.request(Method::POST, &format!("/v1/{}x/ORDER", app.tenant)).json(&body);
    assert_eq!(answer(other).await.expect(201).body["id"], "ORD-000001");
}
