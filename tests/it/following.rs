//! Workers follow the registry of their views while they run.

use std::time::Duration;

use anyhow::{Context, Result};
use aqueduct_contract::{Names, Worker};
use aqueduct_store::kafka;
use aqueduct_tests::{Fleet, PATIENCE, Program, eventually, servers};
use aqueduct_views::{Generation, Registry, opensearch, postgres};
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, PgPool};

/// A shop whose views are kept in Postgres and OpenSearch.
pub(crate) struct Shop {
    pub(crate) fleet: Fleet,
    pub(crate) http: reqwest::Client,
    pub(crate) pool: PgPool,
    pub(crate) postgres: postgres::Registry,
    pub(crate) opensearch: opensearch::Registry,
}

impl Shop {
    pub(crate) async fn open() -> Result<Shop> {
        let programs = [Program::CommandApi, Program::SyncRds, Program::SyncSearch];
        let fleet = Fleet::on(servers().await).await.programs(&programs).start().await?;
        let pool = fleet.settings.postgres.connect_lazy()?;
        let names = Names::new(&fleet.settings.prefix);
        Ok(Shop {
            postgres: postgres::Registry::new(pool.clone()),
            opensearch: opensearch::Registry::new(&fleet.settings.opensearch, &names)?,
            http: reqwest::Client::new(),
            pool,
            fleet,
        })
    }

    /// Makes a product; returns the correlation id of the write.
    pub(crate) async fn make(&self, id: &str) -> Result<()> {
        let url = format!("{}/v1/acme/PRODUCT", self.fleet.api());
        let body = json!({ "id": id, "attributes": { "name": "Lantern", "price": "2.50" } });
        let made = self.http.post(url).header("x-correlation-id", id).json(&body).send().await?;
        made.error_for_status()?;
        Ok(())
    }

    /// How the write stands, by store and generation.
    async fn stands(&self, id: &str) -> Result<Vec<(String, u64, String)>> {
        let url = format!("{}/v1/acme/writes/{id}", self.fleet.api());
        let answer: Value = self.http.get(url).send().await?.error_for_status()?.json().await?;
        let models = answer["events"][0]["readModels"].as_array().context("read models")?.iter();
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let of_view = models.filter(|model| model["view"] == "products");
        Ok(of_view
            .map(|model| {
                (
                    text(&model["store"]),
                    model["generation"].as_u64().unwrap_or_default(),
                    text(&model["state"]),
                )
            })
            .collect())
    }

    pub(crate) async fn applied(&self, id: &str, expected: &[(&str, u64)]) {
        eventually(&format!("{id} is applied in {expected:?}"), PATIENCE, async || {
            let stands = self.stands(id).await.ok()?;
            let stands: Vec<_> = stands
                .iter()
                .map(|(store, number, state)| (store.as_str(), *number, state.as_str()))
                .collect();
            let expected: Vec<_> =
                expected.iter().map(|(store, number)| (*store, *number, "applied")).collect();
            (stands == expected).then_some(())
        })
        .await;
    }

    pub(crate) fn group(&self, worker: Worker, generation: &Generation) -> kafka::Group {
        let names = Names::new(&self.fleet.settings.prefix);
        let topics = [names.events_topic(&generation.definition.type_name)];
        let id = names.view_group(worker, generation.view(), generation.number);
        kafka::Group::new(&self.fleet.settings.kafka, &id, &topics)
    }

    async fn ready(&self, process: &str) -> (bool, Value) {
        let url = format!("http://{}/readyz", self.fleet.member(process).admin);
        let answer = self.http.get(url).send().await.unwrap();
        (answer.status().is_success(), answer.json().await.unwrap())
    }

    pub(crate) async fn sql(&self, statement: &str) {
        sqlx::raw_sql(AssertSqlSafe(statement.to_owned())).execute(&self.pool).await.unwrap();
    }
}

/// The view `products` as its first generation has it.
pub(crate) async fn live(registry: &impl Registry) -> Generation {
    let all = registry.generations().await.unwrap();
    all.into_iter().find(|generation| generation.view() == "products").unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_loaded_generation_is_joined_and_a_cancelled_one_left_without_a_restart() -> Result<()> {
    let shop = Shop::open().await?;
    shop.make("P-1").await?;
    shop.applied("P-1", &[("postgres", 1), ("opensearch", 1)]).await;
    let pids = ["sync-rds-1", "sync-search-1"].map(|process| shop.fleet.member(process).pid);

    let table = shop.postgres.begin(&live(&shop.postgres).await.definition).await?;
    let index = shop.opensearch.begin(&live(&shop.opensearch).await.definition).await?;
    shop.make("P-2").await?;
    shop.applied("P-2", &[("postgres", 1), ("opensearch", 1)]).await;

    shop.postgres.finish_load(&table).await?;
    shop.opensearch.finish_load(&index).await?;
    let all = [("postgres", 1), ("postgres", 2), ("opensearch", 1), ("opensearch", 2)];
    shop.applied("P-2", &all).await;
    shop.make("P-3").await?;
    shop.applied("P-3", &all).await;
    for (process, worker, generation) in
        [("sync-rds-1", Worker::SyncRds, &table), ("sync-search-1", Worker::SyncSearch, &index)]
    {
        let group = Names::new(&shop.fleet.settings.prefix).view_group(worker, "products", 2);
        eventually("the probe shows the new group", PATIENCE, async || {
            let (ready, report) = shop.ready(process).await;
            (ready && report["checks"][&group]["ok"] == true).then_some(())
        })
        .await;
        assert_eq!(shop.group(worker, generation).members().await?.len(), 1, "{process}");
        let metrics = shop.fleet.metrics(process).await.context("metrics")?;
        assert!(metrics.get("aqueduct_view_generations") > 4.0, "building, beside what is live");
    }

    shop.postgres.cancel(&table).await?;
    shop.opensearch.cancel(&index).await?;
    for (process, worker, generation) in
        [("sync-rds-1", Worker::SyncRds, &table), ("sync-search-1", Worker::SyncSearch, &index)]
    {
        eventually("the group is left", PATIENCE, async || {
            shop.group(worker, generation).members().await.unwrap().is_empty().then_some(())
        })
        .await;
        eventually("the probe has forgotten the group", PATIENCE, async || {
            let (ready, report) = shop.ready(process).await;
            let shown = report["checks"].as_object()?.keys().any(|group| group.ends_with("products.g2"));
            (ready && !shown).then_some(())
        })
        .await;
    }
    shop.make("P-4").await?;
    shop.applied("P-4", &[("postgres", 1), ("opensearch", 1)]).await;
    assert_eq!(pids, ["sync-rds-1", "sync-search-1"].map(|process| shop.fleet.member(process).pid));
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_registry_that_cannot_be_read_changes_nothing() -> Result<()> {
    let shop = Shop::open().await?;
    shop.sql("ALTER TABLE aqueduct_internal.views RENAME TO hidden").await;
    let log = shop.fleet.member("sync-rds-1").log;
    eventually("the worker says so", PATIENCE, async || {
        std::fs::read_to_string(&log).unwrap().contains("what runs goes on").then_some(())
    })
    .await;
    shop.make("P-1").await?;
    eventually("the row is there", PATIENCE, async || {
        let rows: i64 =
            sqlx::query_scalar("SELECT count(*) FROM products").fetch_one(&shop.pool).await.unwrap();
        (rows == 1).then_some(())
    })
    .await;
    assert!(shop.ready("sync-rds-1").await.0);
    shop.sql("ALTER TABLE aqueduct_internal.hidden RENAME TO views").await;
    let begun = shop.postgres.begin(&live(&shop.postgres).await.definition).await?;
    shop.postgres.finish_load(&begun).await?;
    eventually("the registry is followed again", Duration::from_secs(60), async || {
        let rows: i64 =
            sqlx::query_scalar("SELECT count(*) FROM products__g2").fetch_one(&shop.pool).await.unwrap();
        (rows == 1).then_some(())
    })
    .await;
    Ok(())
}
