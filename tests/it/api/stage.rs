//! An API over read models: orders in Postgres and OpenSearch, put there as the workers do.

use ::opensearch::http::Method;
use ::opensearch::http::headers::HeaderMap;
use ::opensearch::http::request::JsonBody;
use aqueduct_contract::{Item, Names, Version, Worker};
use aqueduct_engine::{Record, Sink};
use aqueduct_model::Model;
use aqueduct_service::Settings;
use aqueduct_store::letters::State;
use aqueduct_store::{Letter, setup};
use aqueduct_sync_rds::sink::TableSink;
use aqueduct_sync_search::sink::IndexSink;
use aqueduct_tests::{PATIENCE, eventually};
use aqueduct_views::{opensearch, postgres};
use serde_json::Value;
use sqlx::{AssertSqlSafe, PgPool};

use super::app::{Answer, App, Place};
use crate::sync::{ORDER, model, record, settings};

pub(super) struct Stage {
    pub(super) app: App,
    pub(super) settings: Settings,
    pub(super) pool: PgPool,
    tables: TableSink,
    index: IndexSink,
}

impl Stage {
    /// Orders are the tenant `acme`'s.
    pub(super) async fn start() -> Stage {
        Stage::with(settings().await, model(&[ORDER])).await
    }

    /// The same, and what is written at the API is published.
    pub(super) async fn publishing() -> Stage {
        Stage::at(settings().await, model(&[ORDER]), true).await
    }

    pub(super) async fn with(settings: Settings, of: Model) -> Stage {
        Stage::at(settings, of, false).await
    }

    async fn at(settings: Settings, of: Model, publishes: bool) -> Stage {
        let pool = settings.postgres.connect_lazy().unwrap();
        let served = postgres::Registry::new(pool.clone()).ensure(&of).await.unwrap();
        let generation = served.generations.into_iter().next().unwrap();
        let tables = TableSink::new(pool.clone(), generation).unwrap();
        let names = Names::new(&settings.prefix);
        let registry = opensearch::Registry::new(&settings.opensearch, &names).unwrap();
        let generation = registry.ensure(&of).await.unwrap().generations.into_iter().next().unwrap();
        let index = IndexSink::new(registry, generation).unwrap();
        let place = Place::in_settings(&settings);
        setup(&place.dynamodb.connect().await, &place.names).await.unwrap();
        let mut app = App::with(place, of, publishes).await;
        app.tenant = "acme".to_owned();
        Stage { app, settings, pool, tables, index }
    }

    /// What the workers do.
    pub(super) async fn apply(&self, items: impl IntoIterator<Item = Item>) {
        let batch: Vec<Record> = items.into_iter().map(record).collect();
        self.tables.apply(&batch).await.unwrap();
        self.index.apply(&batch).await.unwrap();
        self.opensearch(Method::Post, "{}orders/_refresh", None).await;
    }

    /// Has the worker set aside the first version of the order `id`, once it is published.
    pub(super) async fn set_aside(&self, worker: Worker, id: &str) {
        let (key, version) = (self.app.key("ORDER", id), Version::FIRST);
        let published = eventually("the event is published", PATIENCE, async || {
            self.app.events.at(&key, version).await.unwrap()?.published
        })
        .await;
        let names = Names::new(&self.settings.prefix);
        let letter = Letter {
            group: names.view_group(worker, "orders", 1),
            topic: names.events_topic(key.type_name()),
            partition: published.partition,
            offset: published.offset,
            item: key.to_string(),
            version: Some(version),
            code: "RowRefused".into(),
            message: "a secret of the table".into(),
            attempts: 1,
            redrives: 0,
            filed_at: jiff::Timestamp::now(),
            state: State::Open,
        };
        self.app.letters.put(&letter).await.unwrap();
    }

    /// Asks OpenSearch itself; `{}` in the path stands for the prefix of the test.
    pub(super) async fn opensearch(&self, method: Method, path: &str, body: Option<Value>) -> Value {
        let client = self.settings.opensearch.client().unwrap();
        let path = path.replace("{}", &self.settings.opensearch.index_prefix);
        let body = body.map(JsonBody::new);
        let response = client.send::<_, ()>(method, &path, HeaderMap::new(), None, body, None).await.unwrap();
        assert!(response.status_code().is_success(), "{path}");
        serde_json::from_str(&response.text().await.unwrap()).unwrap()
    }

    pub(super) async fn search(&self, body: Value) -> Answer {
        self.app.post("search/orders", body).await
    }

    pub(super) async fn get(&self, path: &str) -> Answer {
        self.app.get(path).await
    }

    /// A page with these parameters, which are encoded here.
    pub(super) async fn rows(&self, parameters: &[(&str, &str)]) -> Answer {
        self.app.query("views/orders", parameters).await
    }

    pub(super) async fn sql(&self, statement: &str) {
        sqlx::raw_sql(AssertSqlSafe(statement.to_owned())).execute(&self.pool).await.unwrap();
    }
}

/// The ids of a page's rows or hits.
pub(super) fn ids(page: &Value) -> Vec<&str> {
    let entries = if page["rows"].is_array() { &page["rows"] } else { &page["hits"] };
    entries.as_array().unwrap().iter().map(|row| row["id"].as_str().unwrap()).collect()
}
