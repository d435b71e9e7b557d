//! Create, update, patch, delete.

use aqueduct_contract::Token;
use reqwest::Method;
use reqwest::header::CONTENT_TYPE;
use serde_json::json;

use super::app::{App, answer};

#[tokio::test]
async fn a_create_answers_with_the_item_its_place_its_version_and_a_token() {
    let app = App::start().await;
    let body = json!({ "attributes": { "customer": "c1", "lines": [{ "code": "a", "quantity": 2 }] } });
    let created = app.post("ORDER", body).await.expect(201);
    assert_eq!(created.header("location"), format!("/v1/{}/ORDER/ORD-000001", app.tenant));
    assert_eq!(created.header("etag"), "\"1\"");
    assert_eq!(created.body["id"], "ORD-000001");
    assert_eq!(created.body["version"], 1);
    assert_eq!(created.body["deleted"], false);
    assert_eq!(created.body["createdBy"], "anonymous");
    let attributes = json!({ "customer": "c1", "lines": [{ "code": "a", "quantity": 2 }], "status": "open" });
    assert_eq!(created.body["attributes"], attributes);
    let token = Token::decode(created.body["token"].as_str().unwrap()).unwrap();
    assert_eq!((token.key, token.version.get()), (app.key("ORDER", "ORD-000001"), 1));
    // What was answered is what is read.
    assert_eq!(
        answer(app.request(Method::GET, created.header("location"))).await.expect(200).body,
        created.body
    );
}

#[tokio::test]
async fn an_update_replaces_all_attributes() {
    let app = App::start().await;
    app.post("NOTE", json!({ "id": "n", "attributes": { "title": "a", "colour": "red" } })).await.expect(201);
    let updated = app.put("NOTE/n", json!({ "attributes": { "title": "b" } })).await.expect(200);
    assert_eq!(updated.body["attributes"], json!({ "title": "b" }));
    assert_eq!((updated.header("etag"), &updated.body["version"]), ("\"2\"", &json!(2)));
    assert!(updated.body["updatedAt"].as_str() > updated.body["createdAt"].as_str());
}

#[tokio::test]
async fn a_patch_is_an_rfc_7396_merge_patch_under_either_media_type() {
    let app = App::start().await;
    let attributes = json!({ "title": "a", "author": { "given": "A", "family": "B" }, "tags": ["x", "y"] });
    app.post("NOTE", json!({ "id": "n", "attributes": attributes })).await.expect(201);
    let patch = json!({ "attributes": { "title": "z", "author": { "family": null }, "tags": ["w"] } });
    for media_type in ["application/merge-patch+json", "application/json", "Application/JSON; charset=utf-8"]
    {
        let request = app.at_tenant(Method::PATCH, "NOTE/n").header(CONTENT_TYPE, media_type);
        let patched = answer(request.body(patch.to_string())).await.expect(200);
        let expected = json!({ "title": "z", "author": { "given": "A" }, "tags": ["w"] });
        assert_eq!(patched.body["attributes"], expected, "{media_type}");
    }
}

#[tokio::test]
async fn a_delete_is_a_version_and_a_create_after_it_the_next() {
    let app = App::start().await;
    let created = app.note("n", "a").await;
    let deleted = app.delete("NOTE/n").await.expect(200);
    assert_eq!((&deleted.body["deleted"], &deleted.body["version"]), (&json!(true), &json!(2)));
    assert_eq!(deleted.body["attributes"], json!({ "title": "a" }));
    for gone in [
        app.get("NOTE/n").await,
        app.delete("NOTE/n").await,
        app.patch("NOTE/n", json!({ "attributes": {} })).await,
    ] {
        gone.problem(404, "ItemNotFound");
    }
    let again = app.note("n", "b").await;
    assert_eq!((again.header("etag"), &again.body["createdAt"]), ("\"3\"", &created.body["createdAt"]));
    let names: Vec<String> =
        app.versions("NOTE", "n").await.into_iter().map(|event| event.happened.name).collect();
    assert_eq!(names, ["Created", "Deleted", "Created"]);
}

#[tokio::test]
async fn what_is_missing_cannot_be_changed_and_what_exists_not_created() {
    let app = App::start().await;
    let body = json!({ "attributes": { "title": "a" } });
    app.put("NOTE/n", body.clone()).await.problem(404, "ItemNotFound");
    app.patch("NOTE/n", body).await.problem(404, "ItemNotFound");
    app.delete("NOTE/n").await.problem(404, "ItemNotFound");
    app.note("n", "a").await;
    let again = app.post("NOTE", json!({ "id": "n", "attributes": { "title": "b" } })).await;
    assert_eq!(again.problem(409, "ItemExists").body["currentVersion"], 1);
    assert_eq!(app.versions("NOTE", "n").await.len(), 1);
}

#[tokio::test]
async fn commands_and_requests_are_counted_by_outcome() {
    let app = App::start().await;
    app.note("n", "a").await;
    app.post("NOTE", json!({ "id": "n", "attributes": { "title": "a" } })).await.problem(409, "ItemExists");
    app.patch("NOTE/n", json!({ "attributes": { "title": 1 } })).await.problem(422, "AttributesInvalid");
    app.delete("NOTE/n").await.expect(200);
    let commands = |command, outcome| {
        app.counted(
            "aqueduct_commands_total",
            &[("type", "NOTE"), ("command", command), ("outcome", outcome)],
        )
    };
    assert_eq!(commands("create", "Accepted"), 1.0);
    assert_eq!(commands("create", "ItemExists"), 1.0);
    assert_eq!(commands("patch", "AttributesInvalid"), 1.0);
    assert_eq!(commands("delete", "Accepted"), 1.0);
    let route = ("route", "/v1/{tenant}/{type}");
    assert_eq!(
        app.counted("aqueduct_http_requests_total", &[route, ("method", "POST"), ("status", "201")]),
        1.0
    );
    assert_eq!(
        app.counted("aqueduct_http_requests_total", &[route, ("method", "POST"), ("status", "409")]),
        1.0
    );
}
