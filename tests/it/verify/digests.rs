//! What agrees is told by its digests: nothing of it is compared one by one, whatever its types, and whoever writes meanwhile.

use std::time::Duration;

use anyhow::Result;
use aqueduct_tests::{Fleet, Scratch, servers};
use aqueduct_verify::{Scope, verify};
use indicatif::ProgressBar;
use serde_json::{Value, json};
use sqlx::PgPool;
use tokio_util::sync::CancellationToken;

use super::{Shelf, TENANT};

/// A column of every type, a child table, and an index with the whole item.
const THINGS: &str = r#"
aqueduct: v1
type: THING
schema: { type: object }
views:
  things:
    postgres:
      columns:
        a_text: { type: text, from: self.text }
        a_bigint: { type: bigint, from: self.bigint }
        an_integer: { type: integer, from: self.integer }
        a_boolean: { type: boolean, from: self.boolean }
        a_numeric: { type: "numeric(14,2)", from: self.numeric }
        a_double: { type: double precision, from: self.double }
        a_moment: { type: timestamptz, from: self.moment }
        a_date: { type: date, from: self.date }
        a_uuid: { type: uuid, from: self.uuid }
        a_jsonb: { type: jsonb, from: self.jsonb }
      children:
        thing_parts:
          each: self.parts
          columns: { name: { type: text, from: it.name }, amount: { type: "numeric(8,3)", from: it.amount } }
    opensearch: {}
"#;

#[tokio::test(flavor = "multi_thread")]
async fn values_of_every_type_agree_by_their_digests() -> Result<()> {
    let model = Scratch::new()?;
    std::fs::write(model.path().join("thing.yaml"), THINGS)?;
    let fleet = Fleet::on(servers().await).await.model(model.path()).start().await?;
    let (http, things) = (reqwest::Client::new(), format!("{}/v1/{TENANT}/THING", fleet.api()));
    let nested =
        json!({ "bb": 1.5, "a": [1, { "ü": "x\n\"\\\u{7f}", "n0": null }], "zz": {}, "n": -3, "e": [] });
    for (id, attributes) in [
        ("nothing", json!({})),
        (
            "plain",
            json!({ "text": "a", "bigint": 7, "integer": -7, "boolean": true, "numeric": "2.5", "double": 0.25,
            "moment": "2026-11-21T13:15:00Z", "date": "2026-11-21", "uuid": "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11",
            "jsonb": { "a": 1 }, "parts": [{ "name": "x", "amount": "1" }, { "name": "y" }] }),
        ),
        (
            "odd",
            json!({ "text": "O'Hara \\ ,NULL,\u{e000}", "bigint": i64::MIN, "integer": 0, "boolean": false, "numeric": "-0.00",
            "double": 123456789.125, "moment": "1999-12-31T23:59:59.123450+05:30", "date": "0999-01-01",
            "uuid": "A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11", "jsonb": nested, "parts": [{ "amount": "-0.5" }, {}] }),
        ),
        ("null", json!({ "text": null, "jsonb": null, "parts": null })),
        ("id with 'quotes' and \\ and 注文", json!({ "text": "", "jsonb": "text", "parts": [] })),
    ] {
        let body = json!({ "id": id, "attributes": attributes });
        let answer = http.post(&things).json(&body).send().await?;
        assert!(answer.status().is_success(), "{id}: {}", answer.text().await?);
    }
    fleet.agrees(Duration::from_secs(60)).await?;
    let report = fleet.verify(Duration::ZERO).await?;
    assert_eq!((report.items, report.compared), (5, 0), "{report}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_of_a_child_table_that_differs_is_found() -> Result<()> {
    let model = Scratch::new()?;
    std::fs::write(model.path().join("thing.yaml"), THINGS)?;
    let fleet = Fleet::on(servers().await).await.model(model.path()).start().await?;
    let things = format!("{}/v1/{TENANT}/THING", fleet.api());
    for id in ["one", "other"] {
        let body = json!({ "id": id, "attributes": { "parts": [{ "name": "x" }, { "name": "y" }] } });
        reqwest::Client::new().post(&things).json(&body).send().await?.error_for_status()?;
    }
    fleet.agrees(Duration::from_secs(60)).await?;
    let pool: PgPool = fleet.settings.postgres.connect_lazy()?;
    for (statement, back) in [
        (
            "UPDATE thing_parts__g1 SET name = 'z' WHERE id = 'one' AND position = 1",
            "UPDATE thing_parts__g1 SET name = 'y' WHERE name = 'z'",
        ),
        (
            "UPDATE thing_parts__g1 SET position = 7 WHERE id = 'one' AND position = 1",
            "UPDATE thing_parts__g1 SET position = 1 WHERE position = 7",
        ),
        ("DELETE FROM thing_parts__g1 WHERE id = 'one' AND position = 1", "SELECT 1"),
    ] {
        sqlx::query(statement).execute(&pool).await?;
        let report = fleet.verify(Duration::ZERO).await?;
        let found: Vec<&str> =
            report.differences.iter().map(|difference| difference.entry.id.as_str()).collect();
        assert_eq!(found, ["one"], "{statement}: {report}");
        sqlx::query(back).execute(&pool).await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn only_the_buckets_that_differ_are_looked_into_and_only_of_the_tenant_that_is_asked_for() -> Result<()>
{
    let shelf = Shelf::filled().await?;
    let pool: PgPool = shelf.fleet.settings.postgres.connect_lazy()?;
    sqlx::query("UPDATE products__g1 SET price = 9.99 WHERE id = 'P-1'").execute(&pool).await?;
    let report = shelf.fleet.verify(Duration::ZERO).await?;
    assert_eq!((report.items, report.compared, report.differences.len()), (5, 1, 1), "{report}");

    let settings = &shelf.fleet.settings;
    for (tenant, items, differences) in [(TENANT, 5, 1), ("globex", 0, 0)] {
        let scope = Scope { tenant: Some(tenant.parse()?), ..Scope::default() };
        let report = verify(settings, &scope, Duration::ZERO, &ProgressBar::hidden()).await?;
        assert_eq!((report.items, report.differences.len()), (items, differences), "{report}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn changes_that_are_on_their_way_are_no_differences() -> Result<()> {
    let shelf = Shelf::filled().await?;
    let stop = CancellationToken::new();
    let writer = tokio::spawn({
        let (stop, http) = (stop.clone(), shelf.http.clone());
        let products = format!("{}/v1/{TENANT}/PRODUCT", shelf.fleet.api());
        async move {
            let mut written = 0_u64;
            while !stop.is_cancelled() {
                let body: Value = json!({ "attributes": { "name": format!("Lantern {written}") } });
                let product = format!("{products}/P-{}", written % 5 + 1);
                http.patch(product).json(&body).send().await?.error_for_status()?;
                written += 1;
            }
            anyhow::Ok(written)
        }
    });
    for _ in 0..5 {
        let report = shelf.fleet.verify(Duration::from_secs(60)).await?;
        assert_eq!(report.differences, [], "{report}");
    }
    stop.cancel();
    assert!(writer.await?? > 0);
    Ok(())
}
