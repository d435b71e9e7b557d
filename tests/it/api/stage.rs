//! An API over read models: orders in Postgres and OpenSearch, put there as the workers do.

use aqueduct_contract::Item;
use aqueduct_engine::{Record, Sink};
use aqueduct_model::Model;
use aqueduct_service::Settings;
use aqueduct_sync_rds::sink::TableSink;
use aqueduct_views::postgres;
use serde_json::Value;
use sqlx::{AssertSqlSafe, PgPool};

use super::app::{Answer, App, Place};
use crate::sync::{ORDER, model, record, settings};

pub(super) struct Stage {
    pub(super) app: App,
    pub(super) settings: Settings,
    pub(super) pool: PgPool,
    tables: TableSink,
}

impl Stage {
    /// Orders are the tenant `acme`'s.
    pub(super) async fn start() -> Stage {
        Stage::with(settings().await, model(&[ORDER])).await
    }

    pub(super) async fn with(settings: Settings, of: Model) -> Stage {
        let pool = settings.postgres.connect_lazy().unwrap();
        let served = postgres::Registry::new(pool.clone()).ensure(&of).await.unwrap();
        let generation = served.generations.into_iter().next().unwrap();
        let tables = TableSink::new(pool.clone(), generation).unwrap();
        let place = Place::in_settings(&settings);
        let mut app = App::with(place, of, false).await;
        app.tenant = "acme".to_owned();
        Stage { app, settings, pool, tables }
    }

    /// What the workers do.
    pub(super) async fn apply(&self, items: impl IntoIterator<Item = Item>) {
        let batch: Vec<Record> = items.into_iter().map(record).collect();
        self.tables.apply(&batch).await.unwrap();
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

/// The ids of a page's rows.
pub(super) fn ids(page: &Value) -> Vec<&str> {
    page["rows"].as_array().unwrap().iter().map(|row| row["id"].as_str().unwrap()).collect()
}
