//! Ids: from sequences, from clients, and of every kind of character.

use std::collections::BTreeSet;

use futures::future::join_all;
use reqwest::Method;
use serde_json::{Value, json};

use super::app::{App, answer};

fn order(customer: &str) -> Value {
    json!({ "attributes": { "customer": customer, "lines": [{ "code": "a", "quantity": 1 }] } })
}

#[tokio::test]
async fn a_sequence_gives_each_create_an_id_of_its_own() {
    let app = App::start().await;
    let answers = join_all((0..20).map(|customer| app.post("ORDER", order(&customer.to_string())))).await;
    let ids: BTreeSet<String> = answers
        .into_iter()
        .map(|answer| answer.expect(201).body["id"].as_str().unwrap().to_owned())
        .collect();
    let expected: BTreeSet<String> = (1..=20).map(|number| format!("ORD-{number:06}")).collect();
    assert_eq!(ids, expected);
}

#[tokio::test]
async fn no_number_is_lost_to_a_request_that_is_refused() {
    let app = App::start().await;
    app.post("ORDER", order("")).await.problem(422, "AttributesInvalid");
    app.post("ORDER", json!({ "attributes": 3 })).await.problem(400, "BodyInvalid");
    let too_large = order(&"x".repeat(500 * 1024));
    app.post("ORDER", too_large).await.problem(413, "EventTooLarge");
    assert_eq!(app.post("ORDER", order("a")).await.expect(201).body["id"], "ORD-000001");
}

#[tokio::test]
async fn a_number_whose_id_a_client_has_taken_is_passed_over() {
    let app = App::start().await;
    for id in ["ORD-000001", "ORD-000002"] {
        let mut body = order("a");
        body["id"] = id.into();
        app.post("ORDER", body).await.expect(201);
    }
    // Not even a deleted item comes back under a number.
    app.delete("ORDER/ORD-000002").await.expect(200);
    let created = app.post("ORDER", order("b")).await.expect(201);
    assert_eq!((&created.body["id"], &created.body["version"]), (&json!("ORD-000003"), &json!(1)));
}

#[tokio::test]
async fn a_type_without_a_sequence_asks_for_an_id() {
    let app = App::start().await;
    app.post("NOTE", json!({ "attributes": { "title": "a" } })).await.problem(400, "IdRequired");
}

#[tokio::test]
async fn an_id_may_hold_any_character_that_can_be_seen() {
    let app = App::start().await;
    let ids = [
        "a#b",
        "a|b",
        "a@b",
        "a%b",
        "a%23b",
        "a/b",
        "a?b&c=d",
        "a b",
        " ",
        "+",
        "\"quoted\"",
        "'; DROP TABLE items; --",
        "Ünïcödé",
        "日本語",
        "🦀",
        "e\u{301}",
        "é",
        "..a",
        "history",
        "%",
        "#",
        "\\",
        "<script>",
        "\u{202e}abc",
    ];
    for id in ids {
        let created = app.note(id, id).await;
        assert_eq!(created.body["id"], id);
        let location = created.header("location").to_owned();
        let read = answer(app.request(Method::GET, &location)).await.expect(200);
        assert_eq!(read.body["attributes"]["title"], id);
        let patch = app.request(Method::PATCH, &location).json(&json!({ "attributes": { "seen": true } }));
        assert_eq!(answer(patch).await.expect(200).body["id"], id);
        let history = answer(app.request(Method::GET, &format!("{location}/history"))).await.expect(200);
        assert_eq!(history.body["versions"].as_array().unwrap().len(), 2, "{id}");
        assert_eq!(app.versions("NOTE", id).await.len(), 2, "{id}");
    }
}

#[tokio::test]
async fn an_id_that_no_key_can_hold_is_refused() {
    let app = App::start().await;
    let create = |id: String| app.post("NOTE", json!({ "id": id, "attributes": { "title": "a" } }));
    for id in ["", ".", "..", "a\u{0}b", "a\nb", "\u{7f}", "\u{85}"] {
        create(id.to_owned()).await.problem(400, "PathInvalid");
    }
    for id in ["x".repeat(10_000), "x".repeat(251), "#".repeat(84), "日".repeat(84)] {
        create(id).await.problem(400, "PathInvalid");
    }
    create("x".repeat(250)).await.expect(201);
    for path in ["NOTE/a%00b", "NOTE/a%0Ab", "NOTE/%FF%FE", "NOTE/%C3%28/history"] {
        app.get(path).await.problem(400, "PathInvalid");
    }
    app.get(&format!("NOTE/{}", "x".repeat(10_000))).await.problem(400, "PathInvalid");
}
