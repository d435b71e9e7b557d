//! Reading an item: now, at a version, as of a moment; its history.

use reqwest::Method;
use reqwest::header::IF_NONE_MATCH;
use serde_json::{Value, json};

use super::app::{App, answer};

#[tokio::test]
async fn any_version_can_be_read_and_a_later_one_does_not_exist() {
    let app = App::start().await;
    app.note("n", "a").await;
    app.patch("NOTE/n", json!({ "attributes": { "title": "b" } })).await.expect(200);
    app.delete("NOTE/n").await.expect(200);
    let first = app.get("NOTE/n?version=1").await.expect(200);
    assert_eq!((first.header("etag"), &first.body["attributes"]["title"]), ("\"1\"", &json!("a")));
    assert_eq!(app.get("NOTE/n?version=2").await.expect(200).body["attributes"]["title"], "b");
    // The version that deleted it is a version.
    assert_eq!(app.get("NOTE/n?version=3").await.expect(200).body["deleted"], true);
    app.get("NOTE/n?version=4").await.problem(404, "VersionNotFound");
    app.get("NOTE/n?version=9007199254740991").await.problem(404, "VersionNotFound");
}

#[tokio::test]
async fn an_item_can_be_read_as_of_any_moment() {
    let app = App::start().await;
    let mut times = vec![app.note("n", "0").await.body["updatedAt"].as_str().unwrap().to_owned()];
    for title in 1..6 {
        let patched =
            app.patch("NOTE/n", json!({ "attributes": { "title": title.to_string() } })).await.expect(200);
        times.push(patched.body["updatedAt"].as_str().unwrap().to_owned());
    }
    for (title, time) in times.iter().enumerate() {
        let read = app.get(&format!("NOTE/n?as_of={time}")).await.expect(200);
        assert_eq!(read.body["attributes"]["title"], title.to_string());
    }
    app.get("NOTE/n?as_of=2001-01-01T00:00:00Z").await.problem(404, "VersionNotFound");
    assert_eq!(app.get("NOTE/n?as_of=2101-01-01T00:00:00%2B02:00").await.expect(200).body["version"], 6);
    let deleted = app.delete("NOTE/n").await.expect(200);
    let time = deleted.body["updatedAt"].as_str().unwrap();
    app.get(&format!("NOTE/n?as_of={time}")).await.problem(404, "VersionNotFound");
}

#[tokio::test]
async fn if_none_match_answers_304_to_who_has_the_version() {
    let app = App::start().await;
    app.note("n", "a").await;
    let get = |tag: &'static str| answer(app.at_tenant(Method::GET, "NOTE/n").header(IF_NONE_MATCH, tag));
    for tag in ["\"1\"", "W/\"1\"", "\"5\", \"1\"", "*"] {
        let held = get(tag).await.expect(304);
        assert_eq!((held.header("etag"), &held.body), ("\"1\"", &Value::Null));
    }
    get("\"2\"").await.expect(200);
    get("1").await.problem(400, "HeaderInvalid");
}

#[tokio::test]
async fn the_history_holds_every_version_in_order_a_page_at_a_time() {
    let app = App::start().await;
    app.note("n", "1").await;
    for title in 2..=7 {
        app.patch("NOTE/n", json!({ "attributes": { "title": title.to_string() } })).await.expect(200);
    }
    let (mut versions, mut pages, mut query) = (Vec::new(), 0, String::new());
    loop {
        let page = app.get(&format!("NOTE/n/history?limit=3{query}")).await.expect(200).body;
        versions.extend(page["versions"].as_array().unwrap().clone());
        pages += 1;
        if page["nextAfter"].is_null() {
            break;
        }
        query = format!("&after={}", page["nextAfter"]);
    }
    assert_eq!(pages, 3);
    for (index, version) in versions.iter().enumerate() {
        assert_eq!(version["version"], index + 1);
        assert_eq!(version["attributes"]["title"], (index + 1).to_string());
    }
    assert_eq!(versions.len(), 7);
    assert_eq!(versions[0]["event"]["type"], "Created");
    assert_eq!(versions[6]["event"]["data"], json!({ "title": "7" }));
    assert_eq!(app.get("NOTE/n/history?after=7").await.expect(200).body["versions"], json!([]));
}

#[tokio::test]
async fn the_history_outlives_a_delete_and_what_never_was_has_none() {
    let app = App::start().await;
    app.note("n", "a").await;
    app.delete("NOTE/n").await.expect(200);
    let page = app.get("NOTE/n/history").await.expect(200).body;
    assert_eq!(page["versions"].as_array().unwrap().len(), 2);
    assert_eq!(
        (&page["versions"][1]["deleted"], &page["versions"][1]["event"]["data"]),
        (&json!(true), &Value::Null)
    );
    app.get("NOTE/other/history").await.problem(404, "ItemNotFound");
}

#[tokio::test]
async fn the_document_and_its_page_are_served() {
    let app = App::start().await;
    let document = answer(app.request(Method::GET, "/openapi.json")).await.expect(200).body;
    assert_eq!(document["openapi"], "3.1.0");
    assert!(document["paths"]["/v1/{tenant}/ORDER/{id}"]["patch"].is_object());
    let page = app.request(Method::GET, "/docs").send().await.unwrap();
    assert_eq!((page.status().as_u16(), page.url().path()), (200, "/docs/"));
    assert!(page.headers()["content-type"].to_str().unwrap().starts_with("text/html"));
    let described = answer(app.request(Method::GET, "/problems/VersionConflict")).await.expect(200).body;
    assert_eq!(described["status"], 409);
    answer(app.request(Method::GET, "/problems/Nonsense")).await.problem(404, "RouteUnknown");
}
