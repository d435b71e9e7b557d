//! `aqueduct verify` finds every kind of difference in every store, and names it.

use std::time::Duration;

use anyhow::{Context, Result};
use aqueduct_cli::verify::{Difference, Kind};
use aqueduct_contract::Version;
use aqueduct_tests::{Fleet, servers};
use aws_sdk_dynamodb::types::AttributeValue;
use reqwest::Method;
use serde_json::{Value, json};
use sqlx::PgPool;

const TENANT: &str = "acme";

/// Products P-1 to P-5, as generation 1 of the view `products` and in `data`.
struct Shelf {
    fleet: Fleet,
    http: reqwest::Client,
}

impl Shelf {
    async fn filled() -> Result<Shelf> {
        let shelf =
            Shelf { fleet: Fleet::on(servers().await).await.start().await?, http: reqwest::Client::new() };
        for n in 1..=5 {
            let url = format!("{}/v1/{TENANT}/PRODUCT", shelf.fleet.api());
            let body =
                json!({ "id": format!("P-{n}"), "attributes": { "name": "Lantern", "price": "2.50" } });
            shelf.http.post(&url).json(&body).send().await?.error_for_status()?;
            let body = json!({ "version": 1, "attributes": { "price": "3.00" } });
            shelf.http.patch(format!("{url}/P-{n}")).json(&body).send().await?.error_for_status()?;
        }
        shelf.fleet.agrees(Duration::from_secs(60)).await?;
        Ok(shelf)
    }

    /// What is found of the products, as `(id, kind)` by id.
    async fn found(&self) -> Result<Vec<(String, Kind)>> {
        let report = self.fleet.verify(Duration::ZERO).await?;
        let mut found: Vec<(String, Kind)> =
            report.differences.into_iter().map(|Difference { id, kind, .. }| (id, kind)).collect();
        found.sort_by(|one, other| one.0.cmp(&other.0));
        Ok(found)
    }

    async fn opensearch(&self, method: Method, path: &str, body: Value) -> Result<Value> {
        let settings = &self.fleet.settings.opensearch;
        let url = format!("{}/{}products-g1/{path}", settings.url, settings.index_prefix);
        Ok(self.http.request(method, url).json(&body).send().await?.error_for_status()?.json().await?)
    }
}

/// P-1 has another value, P-2 is gone, P-3 is back-dated, P-9 was never written.
fn expected(field: &str) -> Vec<(String, Kind)> {
    let version = |n: u64| Version::try_from(n).unwrap();
    vec![
        ("P-1".to_owned(), Kind::Value { fields: vec![field.to_owned()] }),
        ("P-2".to_owned(), Kind::Missing { expected: version(2) }),
        ("P-3".to_owned(), Kind::Version { expected: version(2), found: 1 }),
        ("P-9".to_owned(), Kind::Extra),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_deleted_added_or_back_dated_row_is_reported() -> Result<()> {
    let shelf = Shelf::filled().await?;
    let pool: PgPool = shelf.fleet.settings.postgres.connect_lazy()?;
    for statement in [
        "UPDATE products__g1 SET price = 9.99 WHERE id = 'P-1'",
        "DELETE FROM products__g1 WHERE id = 'P-2'",
        "UPDATE products__g1 SET item_version = 1 WHERE id = 'P-3'",
        "INSERT INTO products__g1 (tenant, id, item_version, deleted, created_at, updated_at) VALUES ('acme', 'P-9', 1, false, now(), now())",
    ] {
        assert_eq!(sqlx::query(statement).execute(&pool).await?.rows_affected(), 1);
    }
    assert_eq!(shelf.found().await?, expected("price"));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_deleted_added_or_back_dated_document_is_reported() -> Result<()> {
    let shelf = Shelf::filled().await?;
    let path =
        |id: &str, version: u64| format!("_doc/{TENANT}|{id}?version={version}&version_type=external_gte");
    let read = async |id: &str| {
        let found = shelf.opensearch(Method::GET, &format!("_doc/{TENANT}|{id}"), Value::Null).await?;
        anyhow::Ok(found["_source"].clone())
    };
    let mut changed = read("P-1").await?;
    changed["document"]["price"] = json!("9.99");
    shelf.opensearch(Method::PUT, &path("P-1", 2), changed).await?;
    shelf.opensearch(Method::DELETE, &path("P-2", 3), Value::Null).await?;
    let mut old = read("P-3").await?;
    old["item_version"] = json!(1);
    shelf.opensearch(Method::PUT, &path("P-3", 2), old.clone()).await?;
    old["id"] = json!("P-9");
    shelf.opensearch(Method::PUT, &path("P-9", 1), old).await?;
    assert_eq!(shelf.found().await?, expected("document.price"));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_deleted_added_or_back_dated_item_of_the_read_table_is_reported() -> Result<()> {
    let shelf = Shelf::filled().await?;
    let client = shelf.fleet.settings.dynamodb.connect().await;
    let table = format!("{}-data", shelf.fleet.settings.prefix);
    let (pk, sk) = (AttributeValue::S(format!("{TENANT}#PRODUCT")), |id: &str| {
        AttributeValue::S(format!("PRODUCT#{id}"))
    });
    let update = |id: &str, set: &str, value: AttributeValue| {
        let update = client.update_item().table_name(&table).key("pk", pk.clone()).key("sk", sk(id));
        update
            .update_expression(format!("SET {set} = :value"))
            .expression_attribute_values(":value", value)
            .send()
    };
    update("P-1", "attributes.price", AttributeValue::S("9.99".to_owned())).await?;
    client.delete_item().table_name(&table).key("pk", pk.clone()).key("sk", sk("P-2")).send().await?;
    update("P-3", "item_version", AttributeValue::N("1".to_owned())).await?;
    let get = client.get_item().table_name(&table).key("pk", pk.clone()).key("sk", sk("P-4")).send().await?;
    let mut stranger = get.item.context("P-4 stands")?;
    stranger.insert("sk".to_owned(), sk("P-9"));
    client.put_item().table_name(&table).set_item(Some(stranger)).send().await?;
    assert_eq!(shelf.found().await?, expected("attributes.price"));
    Ok(())
}

/// The command itself: what it prints, and its exit code.
#[tokio::test(flavor = "multi_thread")]
async fn the_command_exits_with_0_when_all_agree_and_with_1_when_not() -> Result<()> {
    let shelf = Shelf::filled().await?;
    let agreed = shelf.fleet.aqueduct(&["verify", "--settle", "0"]).await?;
    assert_eq!((agreed.code, agreed.out.contains(": agree")), (Some(0), true), "{}", agreed.out);
    let pool: PgPool = shelf.fleet.settings.postgres.connect_lazy()?;
    sqlx::query("DELETE FROM products__g1 WHERE id = 'P-2'").execute(&pool).await?;
    let differing =
        shelf.fleet.aqueduct(&["verify", "--view", "products", "--json", "--settle", "0"]).await?;
    assert_eq!(differing.code, Some(1), "{}", differing.out);
    let report: Value = serde_json::from_str(&differing.out)?;
    assert_eq!(report["differences"][0]["id"], "P-2");
    assert_eq!(report["differences"][0]["difference"], "missing");
    let unknown = shelf.fleet.aqueduct(&["verify", "--view", "produts"]).await?;
    assert_eq!(
        (unknown.code, unknown.err.contains("no view called produts")),
        (Some(1), true),
        "{}",
        unknown.err
    );
    Ok(())
}
