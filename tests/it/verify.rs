//! `aqueduct verify` finds every kind of difference in every store, and names it.

mod digests;
mod repair;
mod samples;

use std::time::Duration;

use anyhow::{Context, Result};

use aqueduct_contract::Version;
use aqueduct_tests::{Fleet, Plan, Program, Scratch, servers};
use aqueduct_verify::{DeadLettered, Difference, Kind};
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
        Shelf::of(Fleet::on(servers().await).await).await
    }

    async fn of(plan: Plan) -> Result<Shelf> {
        let shelf = Shelf { fleet: plan.start().await?, http: reqwest::Client::new() };
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
        Ok(by_id(self.fleet.verify(Duration::ZERO).await?.differences))
    }

    async fn opensearch(&self, method: Method, path: &str, body: Value) -> Result<Value> {
        let settings = &self.fleet.settings.opensearch;
        let url = format!("{}/{}products-g1/{path}", settings.url, settings.index_prefix);
        Ok(self.http.request(method, url).json(&body).send().await?.error_for_status()?.json().await?)
    }

    /// P-1 has another value, P-2 is gone, P-3 is back-dated, P-9 was never written.
    async fn damage_rows(&self) -> Result<()> {
        let pool: PgPool = self.fleet.settings.postgres.connect_lazy()?;
        for statement in [
            "UPDATE products__g1 SET price = 9.99 WHERE id = 'P-1'",
            "DELETE FROM products__g1 WHERE id = 'P-2'",
            "UPDATE products__g1 SET item_version = 1 WHERE id = 'P-3'",
            "INSERT INTO products__g1 (tenant, id, item_version, deleted, created_at, updated_at) VALUES ('acme', 'P-9', 1, false, now(), now())",
        ] {
            assert_eq!(sqlx::query(statement).execute(&pool).await?.rows_affected(), 1);
        }
        Ok(())
    }

    /// The same in OpenSearch.
    async fn damage_documents(&self) -> Result<()> {
        let path = |id: &str, version: u64| {
            format!("_doc/{TENANT}|{id}?version={version}&version_type=external_gte")
        };
        let read = async |id: &str| {
            let found = self.opensearch(Method::GET, &format!("_doc/{TENANT}|{id}"), Value::Null).await?;
            anyhow::Ok(found["_source"].clone())
        };
        let mut changed = read("P-1").await?;
        changed["document"]["price"] = json!("9.99");
        self.opensearch(Method::PUT, &path("P-1", 2), changed).await?;
        self.opensearch(Method::DELETE, &path("P-2", 2), Value::Null).await?;
        let mut old = read("P-3").await?;
        old["item_version"] = json!(1);
        self.opensearch(Method::PUT, &path("P-3", 2), old.clone()).await?;
        old["id"] = json!("P-9");
        self.opensearch(Method::PUT, &path("P-9", 1), old).await?;
        Ok(())
    }

    /// The same in `data`.
    async fn damage_items(&self) -> Result<()> {
        let client = self.fleet.settings.dynamodb.connect().await;
        let table = format!("{}-data", self.fleet.settings.prefix);
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
        let get =
            client.get_item().table_name(&table).key("pk", pk.clone()).key("sk", sk("P-4")).send().await?;
        let mut stranger = get.item.context("P-4 stands")?;
        stranger.insert("sk".to_owned(), sk("P-9"));
        client.put_item().table_name(&table).set_item(Some(stranger)).send().await?;
        Ok(())
    }
}

fn by_id(differences: Vec<Difference>) -> Vec<(String, Kind)> {
    let mut found: Vec<(String, Kind)> =
        differences.into_iter().map(|Difference { entry, kind }| (entry.id, kind)).collect();
    found.sort_by(|one, other| one.0.cmp(&other.0));
    found
}

fn version(number: u64) -> Version {
    Version::try_from(number).unwrap()
}

/// P-1 has another value, P-2 is gone, P-3 is back-dated, P-9 was never written.
fn expected(field: &str) -> Vec<(String, Kind)> {
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
    shelf.damage_rows().await?;
    assert_eq!(shelf.found().await?, expected("price"));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_deleted_added_or_back_dated_document_is_reported() -> Result<()> {
    let shelf = Shelf::filled().await?;
    shelf.damage_documents().await?;
    assert_eq!(shelf.found().await?, expected("document.price"));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_deleted_added_or_back_dated_item_of_the_read_table_is_reported() -> Result<()> {
    let shelf = Shelf::filled().await?;
    shelf.damage_items().await?;
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

/// Coins whose value the schema does not look into, so that Postgres refuses what is no number.
const COINS: &str = r#"
aqueduct: v1
type: COIN
schema:
  type: object
  properties: { value: { type: string } }
views:
  coins:
    postgres:
      columns: { value: { type: "numeric(4,2)", from: self.value } }
"#;

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_letter_is_no_difference_while_what_stood_before_it_stands() -> Result<()> {
    let model = Scratch::new()?;
    std::fs::write(model.path().join("coin.yaml"), COINS)?;
    let fleet = Fleet::on(servers().await).await.model(model.path());
    let fleet = fleet.programs(&[Program::CommandApi, Program::Projector, Program::SyncRds]).start().await?;
    let pool: PgPool = fleet.settings.postgres.connect_lazy()?;
    sqlx::query("ALTER TABLE coins__g1 ADD CHECK (value <> 66.6)").execute(&pool).await?;
    let (http, coins) = (reqwest::Client::new(), format!("{}/v1/{TENANT}/COIN", fleet.api()));
    for (id, values) in [
        ("applied-after-one", &["1.00", "many", "2.00"][..]),
        ("never-stood", &["many"]),
        ("once-refused", &["3.00", "66.60"]),
        ("once-unmappable", &["4.00", "many"]),
        ("twice-unmappable", &["5.00", "many", "more"]),
    ] {
        let body = json!({ "id": id, "attributes": { "value": values[0] } });
        http.post(&coins).json(&body).send().await?.error_for_status()?;
        for value in &values[1..] {
            let body = json!({ "attributes": { "value": value } });
            http.patch(format!("{coins}/{id}")).json(&body).send().await?.error_for_status()?;
        }
    }

    let report = fleet.verify(Duration::from_secs(60)).await?;
    assert_eq!(report.differences, [], "{report}");
    let mut dead: Vec<(&str, u64)> = report
        .dead_lettered
        .iter()
        .map(|DeadLettered { entry, version, .. }| (entry.id.as_str(), version.get()))
        .collect();
    dead.sort_unstable();
    let all = [("never-stood", 1), ("once-refused", 2), ("once-unmappable", 2), ("twice-unmappable", 3)];
    assert_eq!(dead, all);
    let printed = fleet.aqueduct(&["verify"]).await?;
    assert_eq!(
        (printed.code, printed.out.contains(": agree, 4 dead-lettered")),
        (Some(0), true),
        "{}",
        printed.out
    );

    for statement in [
        "UPDATE coins__g1 SET value = 9.99 WHERE id = 'once-unmappable'",
        "UPDATE coins__g1 SET item_version = 7 WHERE id = 'once-refused'",
        "DELETE FROM coins__g1 WHERE id = 'twice-unmappable'",
    ] {
        assert_eq!(sqlx::query(statement).execute(&pool).await?.rows_affected(), 1);
    }
    let report = fleet.verify(Duration::ZERO).await?;
    let expected = [
        ("once-refused".to_owned(), Kind::Version { expected: version(2), found: 7 }),
        ("once-unmappable".to_owned(), Kind::Value { fields: vec!["value".to_owned()] }),
        ("twice-unmappable".to_owned(), Kind::Missing { expected: version(1) }),
    ];
    assert_eq!(by_id(report.differences), expected);
    let printed = fleet.aqueduct(&["verify", "--json", "--settle", "0"]).await?;
    let report: Value = serde_json::from_str(&printed.out)?;
    assert_eq!(
        (printed.code, report["differences"].as_array().map(Vec::len)),
        (Some(1), Some(3)),
        "{report}"
    );
    let dead = report["dead_lettered"].as_array().context("no dead_lettered")?;
    assert_eq!(
        (dead.len(), &dead[0]["id"], &dead[0]["version"]),
        (1, &"never-stood".into(), &1.into()),
        "{report}"
    );
    assert!(dead[0]["code"].is_string() && dead[0]["read_model"] == "postgres coins.g1", "{report}");
    Ok(())
}
