//! Views in Postgres over HTTP: what is found, in which order, and what is refused.

use aqueduct_contract::Item;
use reqwest::Method;
use serde_json::{Value, json};

use super::app::answer;
use super::stage::{Stage, ids};
use crate::sync::{deletion, full, order};

/// Orders `o0` to `o9`, of two customers; `total` grows by 1.5, and every third has none.
fn ten() -> impl Iterator<Item = Item> {
    (0_i64..10).map(|n| {
        let total = if n % 3 == 2 { Value::Null } else { format!("{}.50", n).into() };
        let attributes = json!({
            "customerName": if n % 2 == 0 { "Ann" } else { "Ben, Bo" },
            "total": total,
            "quantity": n / 4,
            "paid": n < 5,
            "placedAt": format!("2026-11-2{n}T13:15:00Z"),
            "lines": [{ "code": format!("c{n}") }],
        });
        order(&format!("o{n}"), 1, attributes)
    })
}

async fn staged() -> Stage {
    let stage = Stage::start().await;
    stage.apply(ten()).await;
    stage
}

#[tokio::test]
async fn a_row_is_typed_json_and_the_deleted_are_not_shown() {
    let stage = Stage::start().await;
    stage.apply([order("full", 3, full()), order("gone", 1, json!({}))]).await;
    stage.apply([deletion("gone", 2)]).await;
    let page = stage.get("views/orders").await.expect(200).body;
    assert_eq!(
        page,
        json!({ "nextCursor": null, "rows": [{
            "id": "full",
            "item_version": 3,
            "created_at": "2026-11-21T13:15:00.000001Z",
            "updated_at": "2026-11-21T13:15:03.000000Z",
            "customer_name": "Zoë \"O'Hara\" \\ ✓",
            "total": "1234567890123456789012345678.90",
            "quantity": 9_223_372_036_854_775_807_i64,
            "weight": 0.1,
            "paid": true,
            "placed_at": "2026-11-21T11:15:00.123456Z",
            "day": "2024-02-29",
            "ref": "0190a5f0-0000-7000-8000-000000000000",
            "lines": [{ "code": "a", "n": 1.5 }, null, "✓"],
            "shout": "Zoë \"O'Hara\" \\ ✓!",
        }] })
    );
    let two = stage.rows(&[("fields", "total,id")]).await.expect(200).body;
    assert_eq!(two["rows"], json!([{ "total": "1234567890123456789012345678.90", "id": "full" }]));
}

#[tokio::test]
async fn every_operator_finds_what_it_says() {
    let stage = staged().await;
    for (filter, value, expected) in [
        ("customer_name", "Ann", "02468"),
        ("customer_name][eq", "Ann", "02468"),
        ("customer_name][ne", "Ann", "13579"),
        ("customer_name][in", r"Ann,Zoe", "02468"),
        ("customer_name][in", r"Ben\, Bo", "13579"),
        ("customer_name][prefix", "Be", "13579"),
        ("customer_name][prefix", "%", ""),
        ("customer_name][gt", "Ann", "13579"),
        ("total", "1.5000", "1"),
        ("total", "1.501", ""),
        ("total][ne", "1.5", "023456789"),
        ("total][null", "true", "258"),
        ("total][null", "false", "0134679"),
        ("total][lt", "3.5", "01"),
        ("total][lte", "3.5", "013"),
        ("quantity][gte", "2", "89"),
        ("quantity][in", "0,2", "012389"),
        ("paid", "true", "01234"),
        ("placed_at][gt", "2026-11-28T15:15:00+02:00", "9"),
        ("placed_at", "2026-11-21T13:15:00Z", "1"),
        ("lines][contains", r#"[{"code": "c7"}]"#, "7"),
        ("id][gte", "o8", "89"),
        ("item_version", "1", "0123456789"),
        ("created_at][lt", "2026-11-21T00:00:00Z", ""),
        ("customer_name", "x' OR '1'='1", ""),
        ("customer_name", "'; DROP VIEW orders; --", ""),
    ] {
        let filter = format!("filter[{filter}]");
        let page = stage.rows(&[(&filter, value)]).await.expect(200).body;
        let expected: Vec<String> = expected.chars().map(|n| format!("o{n}")).collect();
        assert_eq!(ids(&page), expected, "{filter}={value}");
    }
    let both =
        [("filter[customer_name]", "Ann"), ("filter[quantity][lt]", "2"), ("filter[quantity][gt]", "0")];
    assert_eq!(ids(&stage.rows(&both).await.body), ["o4", "o6"], "all conditions hold");
}

#[tokio::test]
async fn pages_in_any_order_are_the_whole_once() {
    let stage = staged().await;
    for (sort, expected) in [
        ("id", "0123456789"),
        ("-id", "9876543210"),
        ("total", "0134679258"),
        ("-total", "8529764310"),
        ("quantity,-total", "2310576489"),
        ("-paid,customer_name,-placed_at", "4203186975"),
        ("customer_name,id", "0246813579"),
        ("-total,id", "2589764310"),
    ] {
        for size in ["1", "3", "4", "10"] {
            let (mut found, mut cursor) = (Vec::new(), None::<String>);
            loop {
                let mut parameters = vec![("sort", sort), ("limit", size)];
                parameters.extend(cursor.as_deref().map(|cursor| ("cursor", cursor)));
                let page = stage.rows(&parameters).await.expect(200).body;
                assert!(ids(&page).len() <= size.parse().unwrap());
                found.extend(ids(&page).iter().map(|id| id[1..].to_owned()));
                match page["nextCursor"].as_str() {
                    Some(next) => cursor = Some(next.to_owned()),
                    None => break,
                }
            }
            assert_eq!(found.concat(), expected, "{sort} by {size}");
        }
    }
}

#[tokio::test]
async fn a_deep_page_is_read_from_the_index_alone() {
    let stage = Stage::start().await;
    let many =
        (0..3000).map(|n| order(&format!("o{n:04}"), 1, json!({ "customerName": format!("c{}", n / 1000) })));
    stage.apply(many).await;
    stage.sql("ANALYZE orders__g1").await;
    for sort in ["customer_name", "-customer_name"] {
        let mut cursor = None::<String>;
        for _ in 0..2 {
            let mut parameters = vec![("sort", sort), ("limit", "1000"), ("fields", "id")];
            parameters.extend(cursor.as_deref().map(|cursor| ("cursor", cursor)));
            cursor = stage.rows(&parameters).await.expect(200).body["nextCursor"].as_str().map(str::to_owned);
        }
        let descending = if sort.starts_with('-') { " DESC" } else { "" };
        let plan: Vec<String> = sqlx::query_scalar(sqlx::AssertSqlSafe(format!(
            "EXPLAIN SELECT id FROM orders WHERE tenant = 'acme' AND customer_name = 'c1' AND id > 'o1500' \
             ORDER BY customer_name{descending}, id{descending} LIMIT 101"
        )))
        .fetch_all(&stage.pool)
        .await
        .unwrap();
        let plan = plan.join("\n");
        assert!(!plan.contains("Sort") && !plan.contains("Seq Scan"), "{sort}: {plan}");
        let parameters =
            [("sort", sort), ("limit", "1000"), ("fields", "id"), ("cursor", cursor.as_deref().unwrap())];
        let last = stage.rows(&parameters).await.expect(200).body;
        assert_eq!((ids(&last).len(), &last["nextCursor"]), (1000, &Value::Null));
    }
}

#[tokio::test]
async fn what_names_no_view_column_operator_or_value_is_refused_by_name() {
    let stage = staged().await;
    stage.get("views/nothing").await.problem(404, "ViewUnknown");
    stage.get("views/orders__g1").await.problem(404, "ViewUnknown");
    stage.get("views/pg_catalog.pg_user").await.problem(404, "ViewUnknown");
    stage.get("views/%22%3B%20DROP%20VIEW%20orders%3B%20--").await.problem(404, "ViewUnknown");
    for (name, value, says) in [
        ("filter[colour]", "red", "no column \"colour\""),
        ("filter[deleted]", "false", "no column \"deleted\""),
        ("filter[tenant]", "other", "the tenant is the path's"),
        ("tenant", "other", "the tenant is the path's"),
        ("filter[total) OR (1=1]", "1", "no column"),
        ("filter[total][like]", "1", "no operator \"like\""),
        ("filter[total][prefix]", "1", "no operator \"prefix\" for total, which is numeric(30,2)"),
        ("filter[lines]", "1", "no operator \"eq\""),
        ("filter[paid][lt]", "true", "no operator \"lt\""),
        ("filter[total]", "1 OR 1=1", "expected a decimal number"),
        ("filter[total]", "", "expected a decimal number"),
        ("filter[quantity]", "1.5", "expected a whole number"),
        ("filter[quantity]", "9223372036854775808", "expected a whole number"),
        ("filter[quantity][in]", "1,x", "expected a whole number"),
        ("filter[paid]", "1", "expected true or false"),
        ("filter[placed_at]", "yesterday", "expected a time"),
        ("filter[day]", "2026-02-30", "expected a date"),
        ("filter[ref]", "1", "expected a UUID"),
        ("filter[weight]", "NaN", "expected a number"),
        ("filter[lines][contains]", "{", "expected JSON"),
        ("filter[total][null]", "maybe", "expected true or false"),
        ("filter[customer_name]", "nul\0", "U+0000"),
        ("filter", "total eq 1", "no such parameter"),
        ("filter[total", "1", "no such parameter"),
        ("where", "1=1", "no such parameter"),
        ("offset", "10", "no such parameter"),
        ("sort", "colour", "no column \"colour\""),
        ("sort", "lines", "which has no order"),
        ("sort", "total; DROP VIEW orders", "no column"),
        ("sort", "total,-total", "more than once"),
        ("sort", "total,quantity,weight,paid,day", "4 at most"),
        ("fields", "id,tenant", "no column \"tenant\""),
        ("fields", "*", "no column \"*\""),
        ("limit", "0", "expected a whole number from 1 to 1000"),
        ("limit", "1001", "expected a whole number from 1 to 1000"),
    ] {
        let refused = stage.rows(&[(name, value)]).await.problem(400, "QueryInvalid").body;
        assert!(refused["detail"].as_str().unwrap().contains(says), "{name}={value}: {refused}");
        assert_eq!(refused["parameter"], name, "{refused}");
    }
    stage.rows(&[("limit", "1"), ("limit", "2")]).await.problem(400, "QueryInvalid");
    let many: Vec<String> = (0..101).map(|n| n.to_string()).collect();
    stage.rows(&[("filter[quantity][in]", &many.join(","))]).await.problem(400, "QueryInvalid");
    let before_christ = stage.rows(&[("filter[placed_at]", "-009999-01-01T00:00:00Z")]).await;
    before_christ.problem(400, "QueryInvalid");
    let post = stage.app.at_tenant(Method::POST, "views/orders").json(&json!({}));
    answer(post).await.problem(405, "MethodNotAllowed");
    assert_eq!(ids(&stage.get("views/orders").await.expect(200).body).len(), 10, "all is as it was");
}

#[tokio::test]
async fn a_cursor_of_another_query_is_refused() {
    let stage = staged().await;
    let of = [("filter[customer_name]", "Ann"), ("sort", "-total"), ("limit", "2")];
    let page = stage.rows(&of).await.expect(200).body;
    let cursor = page["nextCursor"].as_str().unwrap();
    stage.rows(&[&of[..], &[("cursor", cursor)]].concat()).await.expect(200);
    for other in [
        vec![("sort", "-total")],
        vec![("filter[customer_name]", "Ben"), ("sort", "-total")],
        vec![("filter[customer_name]", "Ann")],
    ] {
        stage.rows(&[&other[..], &[("cursor", cursor)]].concat()).await.problem(400, "CursorInvalid");
    }
    let elsewhere =
        stage.app.request(Method::GET, &format!("/v1/other/views/orders?sort=-total&cursor={cursor}"));
    answer(elsewhere).await.problem(400, "CursorInvalid");
    for none in ["", "x", "eyJ9", "!", &cursor[..10], &"A".repeat(5000)] {
        stage.rows(&[&of[..], &[("cursor", none)]].concat()).await.problem(400, "CursorInvalid");
    }
}

#[tokio::test]
async fn a_query_that_takes_too_long_is_given_up() {
    let mut settings = crate::sync::settings().await;
    settings.api.query_timeout = std::time::Duration::from_millis(100);
    let stage = Stage::with(settings, crate::sync::model(&[crate::sync::ORDER])).await;
    stage.apply(ten()).await;
    let mut lock = stage.pool.begin().await.unwrap();
    stage.get("views/orders").await.expect(200);
    sqlx::query("LOCK TABLE orders__g1 IN ACCESS EXCLUSIVE MODE").execute(&mut *lock).await.unwrap();
    stage.get("views/orders").await.problem(504, "QueryTooSlow");
    lock.rollback().await.unwrap();
    stage.get("views/orders").await.expect(200);
}

#[tokio::test]
async fn a_reader_cannot_write_and_an_absent_database_is_said() {
    let stage = staged().await;
    stage.sql("CREATE FUNCTION spy() RETURNS text LANGUAGE sql AS 'INSERT INTO orders__g1 (tenant) VALUES (1) RETURNING tenant'; \
               DROP VIEW orders; \
               CREATE VIEW orders AS SELECT tenant, spy() AS id, item_version, created_at, updated_at, customer_name, total, \
               quantity, weight, paid, placed_at, day, ref, lines, shout FROM orders__g1").await;
    stage.get("views/orders").await.problem(503, "ReadModelUnavailable");
    let mut settings = crate::sync::settings().await;
    let (up, down) = (settings.postgres.url.clone(), "postgres://aqueduct@127.0.0.1:1/none".to_owned());
    settings.postgres.url = up;
    let mut stage = Stage::with(settings, crate::sync::model(&[crate::sync::ORDER])).await;
    stage.settings.postgres.url = down;
    let place = super::app::Place::in_settings(&stage.settings);
    let app = super::app::App::with(place, crate::sync::model(&[crate::sync::ORDER]), false).await;
    let refused = app.get("views/orders").await.problem(503, "ReadModelUnavailable");
    assert_eq!(refused.header("retry-after"), "1");
}
