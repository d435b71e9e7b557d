//! Bad input: each kind gets a clear error, and nothing is half-written.

use reqwest::Method;
use reqwest::header::CONTENT_TYPE;
use serde_json::{Value, json};

use super::app::{App, BODY_LIMIT, answer};

fn pointers(body: &Value) -> Vec<&str> {
    body["errors"].as_array().unwrap().iter().map(|error| error["pointer"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn malformed_json_is_refused_with_its_place() {
    let app = App::start().await;
    let refused = app.post_bytes("NOTE", "{\"id\": \"n\",\n \"attributes\": {\"title\" \"a\"}}").await;
    let refused = refused.problem(400, "JsonInvalid");
    assert_eq!((&refused.body["line"], &refused.body["column"]), (&json!(2), &json!(25)));
    for body in ["", "nonsense", "{\"id\": \"n\"} {}", "{\"a\": 1e999}", "{\"id\": \"\\ud800\"}"] {
        app.post_bytes("NOTE", body).await.problem(400, "JsonInvalid");
    }
    app.post_bytes("NOTE", b"{\"id\": \"\xff\"}".to_vec()).await.problem(400, "JsonInvalid");
    app.post_bytes("NOTE", "[".repeat(100_000)).await.problem(400, "JsonInvalid");
    let twice = r#"{"id": "n", "attributes": {"title": "a", "title": "b"}}"#;
    app.post_bytes("NOTE", twice).await.problem(400, "JsonInvalid");
}

#[tokio::test]
async fn a_body_of_another_shape_is_refused_with_its_pointer() {
    let app = App::start().await;
    for (body, pointer) in [
        (json!([]), ""),
        (json!("text"), ""),
        (json!(null), ""),
        (json!({ "id": "n" }), ""),
        (json!({ "id": "n", "attributes": null }), "/attributes"),
        (json!({ "id": "n", "attributes": [] }), "/attributes"),
        (json!({ "id": 7, "attributes": {} }), "/id"),
        (json!({ "id": "n", "attributes": {}, "title": "a" }), "/title"),
        (json!({ "id": "n", "attributes": {}, "version": 1 }), "/version"),
    ] {
        let refused = app.post("NOTE", body.clone()).await.problem(400, "BodyInvalid");
        assert_eq!(refused.body["pointer"], pointer, "{body}");
    }
    app.note("n", "a").await;
    for version in
        [json!(0), json!(-1), json!(1.5), json!("1"), json!(9_007_199_254_740_992_u64), json!(u64::MAX)]
    {
        let body = json!({ "version": version, "attributes": { "title": "b" } });
        let refused = app.put("NOTE/n", body).await.problem(400, "BodyInvalid");
        assert_eq!(refused.body["pointer"], "/version", "{version}");
    }
    assert_eq!(app.versions("NOTE", "n").await.len(), 1);
}

#[tokio::test]
async fn every_violation_of_the_schema_is_named_by_its_pointer() {
    let app = App::start().await;
    let attributes = json!({
        "customer": 7,
        "status": "lost",
        "colour": "red",
        "lines": [{ "code": "a", "quantity": 1 }, { "quantity": 0 }],
    });
    let refused =
        app.post("ORDER", json!({ "attributes": attributes })).await.problem(422, "AttributesInvalid");
    let named = pointers(&refused.body);
    for pointer in ["/customer", "/status", "/colour", "/lines/1/code", "/lines/1/quantity"] {
        assert!(named.contains(&pointer), "{pointer} is missing in {named:?}");
    }
    for error in refused.body["errors"].as_array().unwrap() {
        assert!(error["message"].is_string() && error["keyword"].is_string(), "{error}");
    }
}

#[tokio::test]
async fn what_a_store_cannot_hold_is_refused() {
    let app = App::start().await;
    app.note("n", "a").await;
    let patch = |attributes: Value| app.patch("NOTE/n", json!({ "attributes": attributes }));
    let refused = patch(json!({ "a": ["fine", "nul\u{0}"], "b\u{0}": 1, "": 2, "tiny": 1e-200 })).await;
    let refused = refused.problem(422, "AttributesInvalid");
    assert_eq!(pointers(&refused.body), ["/a/1", "/b\u{0}", "/", "/tiny"]);
    let nested = |levels: usize| (0..levels).fold(json!(1), |inner, _| json!([inner]));
    patch(json!({ "deep": nested(16) })).await.problem(422, "AttributesInvalid");
    let deep = patch(json!({ "deep": nested(15) })).await.expect(200);
    assert_eq!(deep.body["attributes"]["deep"], nested(15));
    // Whatever is accepted, the read table holds.
    for event in app.versions("NOTE", "n").await {
        app.data.put_if_newer(&event).await.expect("projected");
    }
    assert_eq!(app.versions("NOTE", "n").await.len(), 2);
}

#[tokio::test]
async fn a_field_name_that_a_store_cannot_hold_is_refused_before_anything_is_written() {
    let app = App::start().await;
    let named = |name: &str| json!({ "title": "a", "in": { name: 1 } });
    for length in [50_001, 65_535, 65_536, 150_000] {
        let body = json!({ "id": "n", "attributes": named(&"n".repeat(length)) });
        let refused = app.post("NOTE", body).await.problem(422, "AttributesInvalid");
        let error = &refused.body["errors"][0];
        assert_eq!((&error["pointer"], &error["keyword"]), (&json!("/in"), &json!("length")));
        assert!(
            error["message"].as_str().unwrap().contains(&format!("{length} bytes, 50000 at most")),
            "{error}"
        );
    }
    app.get("NOTE/n/history").await.problem(404, "ItemNotFound");
    let longest = named(&"n".repeat(50_000));
    app.post("NOTE", json!({ "id": "n", "attributes": longest })).await.expect(201);
    for event in app.versions("NOTE", "n").await {
        app.data.put_if_newer(&event).await.expect("projected");
    }
    assert_eq!(app.get("NOTE").await.expect(200).body["items"][0]["attributes"], longest);
}

#[tokio::test]
async fn odd_names_and_long_strings_come_back_as_they_went_in() {
    let app = App::start().await;
    let attributes = json!({
        "title": "x".repeat(10_000),
        "'; DROP TABLE notes; --": "\" OR 1=1",
        "a.b": { "c d": "<script>", "$ref": "#/x" },
        "#pk": ":value",
        "日本語": "🦀\u{202e}",
        "numbers": [0, -1, 0.1, 1e-7, 18_446_744_073_709_551_615_u64, i64::MIN],
        "none": null,
    });
    let created = app.post("NOTE", json!({ "id": "n", "attributes": attributes })).await.expect(201);
    assert_eq!(created.body["attributes"], attributes);
    assert_eq!(app.get("NOTE/n").await.expect(200).body["attributes"], attributes);
    for event in app.versions("NOTE", "n").await {
        app.data.put_if_newer(&event).await.expect("projected");
    }
    assert_eq!(app.get("NOTE").await.expect(200).body["items"][0]["attributes"], attributes);
}

#[tokio::test]
async fn an_oversized_body_is_refused_with_the_limit() {
    let app = App::start().await;
    let body = json!({ "id": "n", "attributes": { "title": "x".repeat(BODY_LIMIT) } });
    let refused = app.post("NOTE", body).await.problem(413, "BodyTooLarge");
    assert_eq!(refused.body["limit"], BODY_LIMIT);
    app.get("NOTE/n").await.problem(404, "ItemNotFound");
}

#[tokio::test]
async fn an_item_that_no_row_can_hold_is_refused_with_the_limit_and_nothing_is_written() {
    let app = App::start().await;
    let large = json!({ "id": "n", "attributes": { "title": "x".repeat(300 * 1024) } });
    let refused = app.post("NOTE", large).await.problem(413, "EventTooLarge");
    assert!(refused.body["limit"].as_u64() < refused.body["size"].as_u64(), "{refused:?}");
    app.get("NOTE/n/history").await.problem(404, "ItemNotFound");
    app.note("n", "a").await;
    // A patch counts with the item that it leads to.
    let patch = |field: &str| app.patch("NOTE/n", json!({ "attributes": { field: "x".repeat(150 * 1024) } }));
    patch("first").await.expect(200);
    patch("second").await.problem(413, "EventTooLarge");
    assert_eq!(app.versions("NOTE", "n").await.len(), 2);
}

#[tokio::test]
async fn an_unknown_or_impossible_tenant_type_or_route_is_told_apart() {
    let app = App::start().await;
    let unknown = app.get("INVOICE/n").await.problem(404, "TypeUnknown");
    assert!(unknown.body["detail"].as_str().unwrap().contains("NOTE, ORDER"), "{unknown:?}");
    app.post("INVOICE", json!({ "attributes": {} })).await.problem(404, "TypeUnknown");
    app.get("note/n").await.problem(400, "PathInvalid");
    app.get("NO%23TE").await.problem(400, "PathInvalid");
    for tenant in ["Acme", "a_b", "-a", "a%23b", "%20", &"a".repeat(64), "..%2f"] {
        let request = app.request(Method::GET, &format!("/v1/{tenant}/NOTE/n"));
        answer(request).await.problem(400, "PathInvalid");
    }
    for path in ["/", "/v1", "/v1/acme", "/v2/acme/NOTE", "/v1/acme/NOTE/", "/v1/acme/NOTE/n/other/x", "//"] {
        let refused = answer(app.request(Method::GET, path)).await.problem(404, "RouteUnknown");
        assert_eq!(refused.body["instance"], path);
    }
}

#[tokio::test]
async fn a_method_that_does_not_apply_is_answered_with_those_that_do() {
    let app = App::start().await;
    let refused = app.delete("NOTE").await.problem(405, "MethodNotAllowed");
    assert_eq!(refused.header("allow"), "GET,HEAD,POST");
    let refused = app.post("NOTE/n", json!({})).await.problem(405, "MethodNotAllowed");
    assert_eq!(refused.header("allow"), "GET,HEAD,PUT,PATCH,DELETE");
    let invented = app.at_tenant(Method::from_bytes(b"INVENTED").unwrap(), "NOTE/n");
    answer(invented).await.problem(405, "MethodNotAllowed");
    assert_eq!(app.counted("aqueduct_http_requests_total", &[("method", "INVENTED")]), 0.0);
}

#[tokio::test]
async fn a_media_type_that_is_not_read_is_refused_with_those_that_are() {
    let app = App::start().await;
    app.note("n", "a").await;
    let body = json!({ "attributes": { "title": "b" } }).to_string();
    let send = |method, path: &'static str, media_type: &'static str| {
        answer(app.at_tenant(method, path).header(CONTENT_TYPE, media_type).body(body.clone()))
    };
    for media_type in
        ["text/plain", "application/xml", "application/merge-patch+json", "application/jsonx", ""]
    {
        let refused = send(Method::PUT, "NOTE/n", media_type).await.problem(415, "MediaTypeUnsupported");
        assert_eq!(refused.body["supported"], json!(["application/json"]));
    }
    send(Method::PATCH, "NOTE/n", "application/json-patch+json").await.problem(415, "MediaTypeUnsupported");
    let missing = app.at_tenant(Method::POST, "NOTE").body(body.clone());
    answer(missing).await.problem(415, "MediaTypeUnsupported");
    let delete = app.at_tenant(Method::DELETE, "NOTE/n").header(CONTENT_TYPE, "text/plain").body("{}");
    answer(delete).await.problem(415, "MediaTypeUnsupported");
    assert_eq!(app.versions("NOTE", "n").await.len(), 1);
}

#[tokio::test]
async fn a_query_that_is_not_understood_is_refused() {
    let app = App::start().await;
    app.note("n", "a").await;
    for query in [
        "version=0",
        "version=-1",
        "version=x",
        "version=",
        "version=01",
        "version=9007199254740992",
        "version=99999999999999999999",
        "as_of=yesterday",
        "as_of=2026-13-01T00:00:00Z",
        "as_of=2026-01-01",
        "as_of=2026-01-01T00:00:00+02:00",
        "as_of=99999-01-01T00:00:00Z",
        "version=1&as_of=2026-01-01T00:00:00Z",
        "version=1&version=2",
        "versoin=1",
        "asOf=2026-01-01T00:00:00Z",
    ] {
        app.get(&format!("NOTE/n?{query}")).await.problem(400, "QueryInvalid");
    }
    app.get("NOTE?startFromSK=x").await.problem(400, "QueryInvalid");
}

#[tokio::test]
async fn a_correlation_id_that_cannot_travel_is_refused_and_another_one_answers() {
    let app = App::start().await;
    for id in ["", "two words", &"x".repeat(129)] {
        let request = app.at_tenant(Method::GET, "NOTE/n").header("X-Correlation-Id", id);
        let refused = answer(request).await.problem(400, "HeaderInvalid");
        assert_ne!(refused.header("x-correlation-id"), id);
    }
    let twice =
        app.at_tenant(Method::GET, "NOTE/n").header("X-Correlation-Id", "a").header("X-Correlation-Id", "b");
    answer(twice).await.problem(400, "HeaderInvalid");
}
