//! `aqueduct verify --repair` mends what differs, in every store, and nothing else.

use anyhow::Result;
use aws_sdk_dynamodb::types::AttributeValue;
use reqwest::Method;
use serde_json::{Value, json};
use sqlx::PgPool;

use super::{Shelf, TENANT};

#[tokio::test(flavor = "multi_thread")]
async fn a_repair_mends_every_store_and_touches_nothing_else() -> Result<()> {
    let shelf = Shelf::filled().await?;
    let fleet = &shelf.fleet;
    let pool: PgPool = fleet.settings.postgres.connect_lazy()?;
    for statement in [
        "UPDATE products__g1 SET price = 9.99 WHERE id = 'P-1'",
        "DELETE FROM products__g1 WHERE id = 'P-2'",
        "UPDATE products__g1 SET item_version = 1 WHERE id = 'P-3'",
        "INSERT INTO products__g1 (tenant, id, item_version, deleted, created_at, updated_at) VALUES ('acme', 'P-9', 1, false, now(), now())",
    ] {
        assert_eq!(sqlx::query(statement).execute(&pool).await?.rows_affected(), 1);
    }
    let document = |id: &str| format!("_doc/{TENANT}|{id}");
    let mut changed = shelf.opensearch(Method::GET, &document("P-1"), Value::Null).await?["_source"].take();
    changed["document"]["price"] = json!("9.99");
    let path = |id: &str, version: u64| {
        format!("{}?version={version}&version_type=external_gte&refresh=true", document(id))
    };
    shelf.opensearch(Method::PUT, &path("P-1", 2), changed.clone()).await?;
    changed["id"] = json!("P-9");
    shelf.opensearch(Method::PUT, &path("P-9", 1), changed).await?;
    let client = fleet.settings.dynamodb.connect().await;
    let row = client.update_item().table_name(format!("{}-data", fleet.settings.prefix));
    let row = row.key("pk", AttributeValue::S(format!("{TENANT}#PRODUCT")));
    let row = row
        .key("sk", AttributeValue::S("PRODUCT#P-5".to_owned()))
        .update_expression("SET attributes.price = :value");
    row.expression_attribute_values(":value", AttributeValue::S("9.99".to_owned())).send().await?;
    let untouched = "SELECT xmin::text || ctid::text FROM products__g1 WHERE id = 'P-4'";
    let before: String = sqlx::query_scalar(untouched).fetch_one(&pool).await?;

    let repaired = fleet.aqueduct(&["verify", "--repair", "--settle", "0"]).await?;
    assert_eq!(repaired.code, Some(0), "{}{}", repaired.out, repaired.err);
    assert!(repaired.err.contains("rewrote 7 entries"), "{}", repaired.err);
    assert!(repaired.out.contains("5 items in") && repaired.out.contains(": agree"), "{}", repaired.out);
    assert_eq!(sqlx::query_scalar::<_, String>(untouched).fetch_one(&pool).await?, before);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_mended_is_named_and_exits_with_1() -> Result<()> {
    let shelf = Shelf::filled().await?;
    let pool: PgPool = shelf.fleet.settings.postgres.connect_lazy()?;
    for statement in [
        "UPDATE products__g1 SET price = 9.99 WHERE id = 'P-1'",
        "ALTER TABLE products__g1 ADD CHECK (price <> 3.00) NOT VALID",
    ] {
        sqlx::query(statement).execute(&pool).await?;
    }
    let tried = shelf.fleet.aqueduct(&["verify", "--repair", "--settle", "0"]).await?;
    assert_eq!(tried.code, Some(1), "{}", tried.err);
    assert!(tried.err.contains("PRODUCT#P-1 cannot be written"), "{}", tried.err);
    assert!(tried.out.contains("P-1: differs in price"), "{}", tried.out);
    Ok(())
}
