//! Lists, from the read table. The projector is not part of these tests: they put into the table what it would.

use serde_json::{Value, json};

use super::app::App;

/// What the projector does: every version of these notes, in order.
async fn project(app: &App, ids: &[&str]) {
    for id in ids {
        for event in app.versions("NOTE", id).await {
            app.data.put_if_newer(&event).await.expect("projected");
        }
    }
}

fn ids(page: &Value) -> Vec<&str> {
    page["items"].as_array().unwrap().iter().map(|item| item["id"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn a_list_goes_by_id_a_page_at_a_time_without_the_deleted() {
    let app = App::start().await;
    let all = ["a", "b#1", "c|2", "d%3", "e"];
    for id in all {
        app.note(id, id).await;
    }
    app.delete("NOTE/e").await.expect(200);
    project(&app, &all).await;
    let first = app.get("NOTE?limit=3").await.expect(200).body;
    assert_eq!(ids(&first), ["a", "b#1", "c|2"]);
    assert_eq!(first["items"][0], app.get("NOTE/a").await.body);
    let cursor = first["nextStartFromSk"].as_str().unwrap().replace('%', "%25").replace('#', "%23");
    let second = app.get(&format!("NOTE?limit=3&startFromSk={cursor}")).await.expect(200).body;
    assert_eq!((ids(&second), &second["nextStartFromSk"]), (vec!["d%3"], &Value::Null));
}

#[tokio::test]
async fn a_list_of_nothing_is_empty() {
    let app = App::start().await;
    assert_eq!(app.get("NOTE").await.expect(200).body, json!({ "items": [], "nextStartFromSk": null }));
}

#[tokio::test]
async fn a_list_holds_no_other_tenant_and_no_other_type() {
    let app = App::start().await;
    app.note("a", "mine").await;
    project(&app, &["a"]).await;
    let order = json!({ "attributes": { "customer": "c", "lines": [{ "code": "a", "quantity": 1 }] } });
    app.post("ORDER", order).await.expect(201);
    for event in app.versions("ORDER", "ORD-000001").await {
        app.data.put_if_newer(&event).await.unwrap();
    }
    assert_eq!(ids(&app.get("NOTE").await.expect(200).body), ["a"]);
    assert_eq!(ids(&app.get("ORDER").await.expect(200).body), ["ORD-000001"]);
    let mut other = app;
    other.tenant.push('x');
    assert_eq!(ids(&other.get("NOTE").await.expect(200).body), Vec::<&str>::new());
}

#[tokio::test]
async fn a_limit_that_is_none_is_refused() {
    let app = App::start().await;
    for limit in ["-1", "0", "1001", "x", "", "99999999999999999999", "1.5"] {
        app.get(&format!("NOTE?limit={limit}")).await.problem(400, "QueryInvalid");
        app.get(&format!("NOTE/n/history?limit={limit}")).await.problem(400, "QueryInvalid");
    }
}

#[tokio::test]
async fn a_cursor_that_no_list_returned_is_refused() {
    let app = App::start().await;
    for cursor in ["", "x", "ORDER%23n", "NOTE", "NOTE%23", "NOTE%23a%2523b%23", "NOTE%23a%00"] {
        app.get(&format!("NOTE?startFromSk={cursor}")).await.problem(400, "CursorInvalid");
    }
    for after in ["0", "-1", "x", "9007199254740992"] {
        app.get(&format!("NOTE/n/history?after={after}")).await.problem(400, "QueryInvalid");
    }
}
