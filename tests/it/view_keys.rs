//! What the keys of a view do on real servers: `where`, defaults, indexes, full text, analyzers, routing; and what
//! `aqueduct views plan` says when one of them changes.

use std::collections::BTreeMap;
use std::fs;
use std::time::Duration;

use ::opensearch::http::Method;
use ::opensearch::http::headers::HeaderMap;
use ::opensearch::http::request::JsonBody;
use anyhow::Result;
use aqueduct_cli::views::planned;
use aqueduct_contract::{Item, ItemKey, Names};
use aqueduct_engine::{Outcome, Record, Sink};
use aqueduct_model::SCHEMA;
use aqueduct_service::Settings;
use aqueduct_sync_rds::sink::TableSink;
use aqueduct_sync_search::sink::IndexSink;
use aqueduct_tests::{Fleet, servers};
use aqueduct_verify::Kind;
use aqueduct_views::opensearch::Reader;
use aqueduct_views::plan::Status;
use aqueduct_views::{Generation, MappingError, opensearch, postgres};
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, PgPool};

use crate::sync::{model, order, record, settings};

const ORDER: &str = "
aqueduct: v1
type: ORDER
schema:
  type: object
  properties:
    title: { type: string }
    notes: { type: array, items: { type: string } }
    state: { type: string }
    total: { type: string, format: decimal }
    lines: { type: array, items: { type: object, properties: { code: { type: string } } } }
views:
  orders:
    where: self.state != 'draft'
    postgres:
      columns:
        title: { type: text, from: self.title }
        notes: { type: jsonb, from: self.notes, index: true }
        state: { type: text, from: self.state, default: none }
        total: { type: 'numeric(14,2)', from: self.total, default: '0.00' }
      indexes: [[state, total], [updated_at]]
      search: { columns: [title, notes], language: english }
      children:
        order_lines:
          each: self.lines
          columns: { code: { type: text, from: it.code, default: unknown } }
          indexes: [[code, position]]
    opensearch:
      settings:
        analysis:
          filter: { noise: { type: stop, stopwords: [the, of] } }
          analyzer: { names: { type: custom, tokenizer: standard, filter: [lowercase, noise] } }
      mappings: { properties: { title: { type: text, analyzer: names, search_analyzer: standard } } }
      routing: tenant
";

/// Both sinks of `orders`.
struct Stage {
    settings: Settings,
    pool: PgPool,
    table: TableSink,
    index: IndexSink,
    generation: Generation,
}

impl Stage {
    async fn new() -> Stage {
        let mut settings = settings().await;
        settings.opensearch.shards = 5;
        let pool: PgPool = settings.postgres.connect_lazy().unwrap();
        let model = model(&[ORDER]);
        let mut tables = postgres::Registry::new(pool.clone()).ensure(&model).await.unwrap();
        let mut indexes = registry(&settings).ensure(&model).await.unwrap();
        let generation = indexes.generations.remove(0);
        Stage {
            table: TableSink::new(pool.clone(), tables.generations.remove(0)).unwrap(),
            index: IndexSink::new(registry(&settings), generation.clone()).unwrap(),
            settings,
            pool,
            generation,
        }
    }

    /// Applies the same to both, which must fare alike.
    async fn apply(&self, items: impl IntoIterator<Item = Item>) -> Vec<Outcome> {
        let batch: Vec<Record> = items.into_iter().map(record).collect();
        let outcomes = self.table.apply(&batch).await.unwrap();
        assert_eq!(self.index.apply(&batch).await.unwrap(), outcomes);
        outcomes
    }

    async fn rows(&self, query: &str) -> Vec<Value> {
        let statement = AssertSqlSafe(format!("SELECT to_jsonb(r) FROM ({query}) r"));
        sqlx::query_scalar(statement).fetch_all(&self.pool).await.unwrap()
    }

    /// Status and body of an answer about the index.
    async fn http(&self, method: Method, path: &str, body: Option<Value>) -> (u16, Value) {
        let client = self.settings.opensearch.client().unwrap();
        let path = format!("{}orders{path}", self.settings.opensearch.index_prefix);
        let body = body.map(JsonBody::new);
        let response = client.send::<_, ()>(method, &path, HeaderMap::new(), None, body, None).await.unwrap();
        let status = response.status_code().as_u16();
        (status, serde_json::from_str(&response.text().await.unwrap()).unwrap_or_default())
    }

    /// The ids that a reader of `tenant` finds.
    async fn found(&self, tenant: &str, query: Value) -> Vec<String> {
        assert_eq!(self.http(Method::Post, "-g1/_refresh", None).await.0, 200);
        let names = Names::new(&self.settings.prefix);
        let reader = Reader::new(&self.settings.opensearch, &names, Duration::from_secs(30)).unwrap();
        let tenant = tenant.parse().unwrap();
        let filter = [json!({ "term": { "tenant": tenant } }), json!({ "term": { "deleted": false } })];
        let query = json!({ "bool": { "must": [query], "filter": filter } });
        let body = json!({ "query": query, "sort": ["id"] });
        let found = reader.search(&self.generation, &tenant, body).await.unwrap();
        let hits = found["hits"]["hits"].as_array().unwrap();
        hits.iter().map(|hit| hit["_source"]["id"].as_str().unwrap().to_owned()).collect()
    }
}

fn registry(settings: &Settings) -> opensearch::Registry {
    opensearch::Registry::new(&settings.opensearch, &Names::new(&settings.prefix)).unwrap()
}

fn of_tenant(tenant: &str, item: Item) -> Item {
    let key = ItemKey::new(tenant.parse().unwrap(), item.key.type_name().clone(), item.key.id().clone());
    Item { key: key.unwrap(), ..item }
}

#[tokio::test]
async fn an_item_is_shown_while_its_condition_holds_and_no_late_event_brings_it_back() {
    let stage = Stage::new().await;
    let all = json!({ "match_all": {} });
    let in_state = |version, state: &str| {
        order("o", version, json!({ "state": state, "title": "Lamp", "lines": [{ "code": "a" }] }))
    };
    for (version, state, shown) in [
        (1, "draft", false),
        (2, "placed", true),
        (4, "draft", false),
        (5, "placed", true),
        (6, "draft", false),
    ] {
        assert_eq!(stage.apply([in_state(version, state)]).await, [Outcome::Applied]);
        let lines = stage.rows("SELECT code FROM order_lines").await;
        let rows = stage.rows("SELECT item_version FROM orders").await;
        let expected = if shown { vec![json!({ "item_version": version })] } else { vec![] };
        assert_eq!((rows, lines.len()), (expected, usize::from(shown)), "version {version}");
        assert_eq!(stage.found("acme", all.clone()).await.len(), usize::from(shown), "version {version}");
    }
    assert_eq!(stage.apply([in_state(3, "placed")]).await, [Outcome::Stale]);
    assert_eq!(
        stage.rows("SELECT item_version, deleted, title, state FROM orders__g1").await,
        [json!({ "item_version": 6, "deleted": true, "title": null, "state": null })]
    );
    let (_, held) = stage.http(Method::Get, "-g1/_doc/acme%7Co?routing=acme", None).await;
    let tombstone = json!({
        "tenant": "acme", "id": "o", "item_version": 6, "deleted": true,
        "created_at": "2026-11-21T13:15:00.000001Z", "updated_at": "2026-11-21T13:15:06.000000Z",
    });
    assert_eq!(held["_source"], tombstone);

    // `self.state` is absent: what stood before stays, and the others are applied.
    let outcomes = stage.apply([order("x", 1, json!({})), order("y", 1, json!({ "state": "placed" }))]).await;
    let [Outcome::Poison(reason), Outcome::Applied] = &outcomes[..] else { panic!("{outcomes:?}") };
    assert!(reason.code == MappingError::CODE && reason.message.contains("where: "), "{reason}");
}

#[tokio::test]
async fn defaults_indexes_and_full_text_are_there() {
    let stage = Stage::new().await;
    let placed = |id: &str, title: &str, notes: &[&str]| {
        order(id, 1, json!({ "state": "placed", "title": title, "notes": notes, "lines": [{}] }))
    };
    stage
        .apply([
            placed("a", "Night trains", &[]),
            placed("b", "Boats", &["a train by night"]),
            placed("c", "Night", &[]),
        ])
        .await;
    assert_eq!(
        stage
            .rows(
                "SELECT total::text, (SELECT min(code) FROM order_lines) AS code FROM orders WHERE id = 'a'"
            )
            .await,
        [json!({ "total": "0.00", "code": "unknown" })]
    );
    let found = "SELECT id FROM orders WHERE search @@ websearch_to_tsquery('english', 'train nights') \
                 ORDER BY ts_rank(search, websearch_to_tsquery('english', 'train nights')) DESC";
    assert_eq!(
        stage.rows(found).await,
        ["a", "b"].map(|id| json!({ "id": id })),
        "the first column weighs most"
    );
    let indexes = stage
        .rows("SELECT indexdef FROM pg_indexes WHERE tablename IN ('orders__g1', 'order_lines__g1') ORDER BY indexname")
        .await;
    let of: Vec<&str> = indexes
        .iter()
        .map(|row| row["indexdef"].as_str().unwrap().split_once(" USING ").unwrap().1)
        .collect();
    assert_eq!(
        of,
        [
            "btree (tenant, code, \"position\", id)",
            "btree (tenant, id, \"position\")",
            "gin (notes jsonb_path_ops)",
            "btree (tenant, id)",
            "gin (search)",
            "btree (tenant, state, total, id)",
            "btree (tenant, updated_at, id)",
        ]
    );
    let updated = placed("a", "Ferries", &[]);
    let updated = Item { version: updated.version.next(), ..updated };
    assert_eq!(stage.apply([updated]).await, [Outcome::Applied]);
    assert_eq!(stage.rows(found).await, [json!({ "id": "b" })], "kept in step");

    let languages: Value = serde_json::from_str(SCHEMA).unwrap();
    let search = "/properties/views/additionalProperties/properties/postgres/properties/search/properties/language/enum";
    let known = stage.rows("SELECT json_agg(cfgname) AS all FROM pg_ts_config").await.remove(0)["all"].take();
    for language in languages.pointer(search).unwrap().as_array().unwrap() {
        assert!(known.as_array().unwrap().contains(language), "{language}");
    }
}

#[tokio::test]
async fn words_longer_than_postgres_searches_are_the_fault_of_their_item_alone() {
    let stage = Stage::new().await;
    let words: String = (0..200_000).map(|n| format!("w{n} ")).collect();
    let batch = [order("long", 1, json!({ "state": "placed", "title": words }))].map(record);
    let refused = stage.table.apply(&batch).await;
    assert!(
        matches!(&refused, Err(aqueduct_engine::SinkError::Poison(reason)) if reason.message.contains("tsvector")),
        "{refused:?}"
    );
}

#[tokio::test]
async fn analyzers_are_applied_and_routing_keeps_each_tenant_on_one_shard() {
    let stage = Stage::new().await;
    let titled = |id: &str, title: &str| order(id, 1, json!({ "state": "placed", "title": title }));
    let tenants: Vec<String> = (0..8).map(|n| format!("tenant-{n}")).collect();
    for tenant in &tenants {
        let items = [titled("lamp", "The Lamp of Rome"), titled("boat", "Boat")];
        stage.apply(items.map(|item| of_tenant(tenant, item))).await;
    }
    for tenant in &tenants {
        assert_eq!(stage.found(tenant, json!({ "match": { "document.title": "LAMP" } })).await, ["lamp"]);
        assert_eq!(stage.found(tenant, json!({ "match": { "document.title": "the of" } })).await, [""; 0]);
    }
    // A search that is routed reads one shard, which has all that the tenant has.
    let (_, routed) =
        stage.http(Method::Post, "/_search?routing=tenant-3", Some(json!({ "size": 100 }))).await;
    assert_eq!(routed["_shards"]["total"], 1);
    let hits = routed["hits"]["hits"].as_array().unwrap();
    let of_three = |hit: &&Value| hit["_source"]["tenant"] == "tenant-3";
    assert_eq!(hits.iter().filter(of_three).count(), 2);
    assert!(hits.iter().all(|hit| hit["_routing"] == hit["_source"]["tenant"]));
    assert_eq!(
        stage.http(Method::Get, "-g1/_doc/tenant-3%7Clamp", None).await.0,
        400,
        "a read without its shard"
    );
    let names = Names::new(&stage.settings.prefix);
    let reader = Reader::new(&stage.settings.opensearch, &names, Duration::from_secs(30)).unwrap();
    let versions =
        reader.versions(&stage.generation, &"tenant-3".parse().unwrap(), &["lamp", "boat"]).await.unwrap();
    assert_eq!(versions.len(), 2);
    let alias = format!("-g1/_alias/{}orders", stage.settings.opensearch.index_prefix);
    assert_eq!(stage.http(Method::Delete, &alias, None).await.0, 200);
    let lamp = json!({ "match": { "document.title": "lamp" } });
    assert_eq!(stage.found("tenant-3", lamp).await, ["lamp"], "whoever knows this generation asks this one");
}

#[tokio::test]
async fn an_analyzer_that_opensearch_does_not_take_is_a_clear_error_and_registers_nothing() {
    let settings = settings().await;
    let wrong = model(&[&ORDER.replace("noise]", "nosie]")]);
    let error = registry(&settings).ensure(&wrong).await.unwrap_err();
    assert!(!error.is_retryable() && error.to_string().contains("nosie"), "{error}");
    let served = registry(&settings).ensure(&model(&[ORDER])).await.unwrap();
    assert_eq!(served.differs, [("orders".to_owned(), false)].into(), "the corrected model is taken");
}

#[tokio::test]
async fn the_plan_shows_what_changed_and_alters_nothing() {
    let mut settings = settings().await;
    let folder = tempfile::tempdir().unwrap();
    settings.model.dir = folder.path().to_owned();
    let write = |text: &str| fs::write(folder.path().join("order.yaml"), text).unwrap();
    write(ORDER);
    let error = planned(&settings).await.unwrap_err();
    assert!(format!("{error:#}").contains("aqueduct setup"), "{error:#}");
    let model = model(&[ORDER]);
    let pool: PgPool = settings.postgres.connect_lazy().unwrap();
    let tables = postgres::Registry::new(pool.clone());
    tables.ensure(&model).await.unwrap();
    registry(&settings).ensure(&model).await.unwrap();
    let statuses = async || -> BTreeMap<(String, &str), (Status, String)> {
        let planned = planned(&settings).await.unwrap();
        planned.into_iter().map(|one| ((one.view, one.store), (one.status, one.diff))).collect()
    };
    let of = |store| ("orders".to_owned(), store);
    for (status, diff) in statuses().await.into_values() {
        assert_eq!((status, diff.as_str()), (Status::Same, ""));
    }

    let retyped = ORDER.replace("total: { type: 'numeric(14,2)'", "total: { type: 'numeric(16,4)'");
    write(&retyped);
    let plan = statuses().await;
    let (status, diff) = &plan[&of("postgres")];
    assert_eq!(*status, Status::Differs);
    assert!(diff.contains("-    \"total\" numeric(14,2),\n+    \"total\" numeric(16,4),"), "{diff}");
    assert_eq!(plan[&of("opensearch")].0, Status::Same);
    // Every worker that starts with it leaves the table as it is.
    tables.ensure(&crate::sync::model(&[&retyped])).await.unwrap();
    let column = "SELECT format_type(atttypid, atttypmod) FROM pg_attribute \
                  WHERE attrelid = 'orders__g1'::regclass AND attname = 'total'";
    let held: String = sqlx::query_scalar(column).fetch_one(&pool).await.unwrap();
    assert_eq!(held, "numeric(14,2)");

    for (changed, store) in [
        (ORDER.replace("language: english", "language: german"), "postgres"),
        (ORDER.replace("[[state, total], [updated_at]]", "[[state, total]]"), "postgres"),
        (ORDER.replace("default: unknown", "default: none"), "postgres"),
        (ORDER.replace("indexes: [[code, position]]", "indexes: [[code]]"), "postgres"),
        (ORDER.replace("[the, of]", "[the]"), "opensearch"),
        (ORDER.replace("      routing: tenant\n", ""), "opensearch"),
    ] {
        write(&changed);
        let plan = statuses().await;
        for at in ["postgres", "opensearch"] {
            let (status, diff) = &plan[&of(at)];
            assert_eq!(
                (*status == Status::Differs, diff.is_empty()),
                (at == store, at != store),
                "{changed}"
            );
        }
    }
    write(&ORDER.replace("'draft'", "'hidden'"));
    assert!(statuses().await.into_values().all(|(status, _)| status == Status::Differs));
    write(&ORDER.replace("  orders:\n", "  others:\n").replace("order_lines", "other_lines"));
    let plan = statuses().await;
    assert_eq!(plan[&of("postgres")].0, Status::Gone);
    assert_eq!(plan[&("others".to_owned(), "opensearch")].0, Status::New);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fleet_with_every_key_agrees_and_verify_finds_what_differs_in_a_child_table() -> Result<()> {
    let folder = tempfile::tempdir()?;
    fs::write(folder.path().join("order.yaml"), ORDER)?;
    let fleet = Fleet::on(servers().await).await.model(folder.path()).start().await?;
    let http = reqwest::Client::new();
    let url = format!("{}/v1/acme/ORDER", fleet.api());
    for n in 0..12 {
        let state = if n % 3 == 0 { "draft" } else { "placed" };
        let lines: Vec<Value> = (0..n).map(|line| json!({ "code": format!("c{line}") })).collect();
        let body = json!({ "id": format!("o-{n}"), "attributes": { "state": state, "title": "Lamp", "lines": lines } });
        http.post(&url).json(&body).send().await?.error_for_status()?;
        if n % 2 == 0 {
            let patch = json!({ "attributes": { "state": "placed", "lines": [{ "code": "last" }] } });
            http.patch(format!("{url}/o-{n}")).json(&patch).send().await?.error_for_status()?;
        }
    }
    http.delete(format!("{url}/o-5")).send().await?.error_for_status()?;
    fleet.agrees(Duration::from_secs(60)).await?;

    let get = async |path: &str| -> Result<(u16, Value)> {
        let answer = http.get(format!("{}/v1/acme/views/{path}", fleet.api())).send().await?;
        Ok((answer.status().as_u16(), answer.json().await?))
    };
    let (status, page) = get("orders?filter[state]=placed&sort=id").await?;
    assert_eq!((status, page["rows"].as_array().unwrap().len()), (200, 9), "{page}");
    assert!(page["rows"][0]["search"].is_null(), "{page}");
    assert_eq!(get("order_lines").await?.0, 404, "a child table is no view");
    assert_eq!(get("orders?fields=search").await?.0, 400, "a column for the words of others");

    let pool: PgPool = fleet.settings.postgres.connect_lazy()?;
    for statement in [
        "UPDATE order_lines__g1 SET code = 'other' WHERE id = 'o-1'",
        "DELETE FROM order_lines__g1 WHERE id = 'o-7' AND position = 3",
        "UPDATE order_lines__g1 SET item_version = 9 WHERE id = 'o-2'",
        "INSERT INTO order_lines__g1 VALUES ('acme', 'o-5', 0, 1, 'x'), ('acme', 'o-99', 0, 1, 'x')",
        "DELETE FROM orders__g1 WHERE id = 'o-11'",
    ] {
        sqlx::raw_sql(statement).execute(&pool).await?;
    }
    let report = fleet.verify(Duration::ZERO).await?;
    let found: BTreeMap<String, Kind> =
        report.differences.into_iter().map(|found| (found.entry.id, found.kind)).collect();
    let lines = || Kind::Value { fields: vec!["order_lines".to_owned()] };
    let expected = ["o-1", "o-2", "o-5", "o-7"].map(|id| (id.to_owned(), lines()));
    let others = [
        ("o-11".to_owned(), Kind::Missing { expected: 1_u64.try_into().unwrap() }),
        ("o-99".to_owned(), Kind::Extra),
    ];
    assert_eq!(found, expected.into_iter().chain(others).collect());
    let plan = fleet.aqueduct(&["views", "plan"]).await?;
    assert_eq!(plan.code, Some(0), "{}{}", plan.out, plan.err);
    fleet.stop().await
}
