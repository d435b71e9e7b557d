//! The stores of read models, and which of these there are.

use aqueduct_contract::{Names, Worker};
use aqueduct_service::Settings;
use aqueduct_store::DataTable;
use aqueduct_views::opensearch::IndexNames;
use aqueduct_views::{Generation, opensearch, postgres};
use sqlx::PgPool;

use crate::Error;
use crate::data::Data;
use crate::opensearch::Index;
use crate::postgres::Table;
use crate::read_model::ReadModel;

/// Connections to the stores, made when they are first used.
pub(super) struct Stores {
    data: DataTable,
    postgres: PgPool,
    tables: postgres::Registry,
    opensearch: ::opensearch::OpenSearch,
    indexes: opensearch::Registry,
    index_names: IndexNames,
}

impl Stores {
    pub(super) async fn new(settings: &Settings) -> Result<Stores, Error> {
        let names = Names::new(&settings.prefix);
        let postgres = settings.postgres.connect_lazy()?;
        Ok(Stores {
            data: DataTable::new(settings.dynamodb.connect().await, &names),
            tables: postgres::Registry::new(postgres.clone()),
            postgres,
            opensearch: settings.opensearch.client()?,
            indexes: opensearch::Registry::new(&settings.opensearch, &names)?,
            index_names: IndexNames::new(&settings.opensearch.index_prefix),
        })
    }

    /// Those that workers keep in step, as the registries list them; or those called `only`: a view, a generation of one
    /// (`orders.g2`), or as reports call it (`postgres orders.g2`).
    pub(super) async fn all(&self, only: Option<&str>) -> Result<Vec<ReadModel>, Error> {
        let chosen = |generation: &Generation, name: &str| match only {
            None => generation.is_consumed(),
            Some(only) if only == generation.view() => generation.is_consumed(),
            Some(only) => only == generation.sink() || only == name,
        };
        let mut models = Vec::new();
        if only.is_none_or(|only| only == Data::NAME) {
            models.push(self.data());
        }
        models.extend(self.tables(chosen).await?);
        models.extend(self.indexes(chosen).await?);
        match only {
            Some(only) if models.is_empty() => Err(Error::UnknownView(only.to_owned())),
            _ => Ok(models),
        }
    }

    /// Those that one worker keeps in step.
    pub(super) async fn of(&self, worker: Worker) -> Result<Vec<ReadModel>, Error> {
        let consumed = |generation: &Generation, _: &str| generation.is_consumed();
        match worker {
            Worker::Projector => Ok(vec![self.data()]),
            Worker::SyncRds => self.tables(consumed).await,
            Worker::SyncSearch => self.indexes(consumed).await,
        }
    }

    fn data(&self) -> ReadModel {
        ReadModel::Data(Data(self.data.clone()))
    }

    async fn tables(&self, chosen: impl Fn(&Generation, &str) -> bool) -> Result<Vec<ReadModel>, Error> {
        let mut models = Vec::new();
        for generation in self.tables.generations().await? {
            if chosen(&generation, &Table::name_of(&generation)) {
                let table = Table::new(self.postgres.clone(), generation)?;
                models.push(ReadModel::Postgres(Box::new(table)));
            }
        }
        Ok(models)
    }

    async fn indexes(&self, chosen: impl Fn(&Generation, &str) -> bool) -> Result<Vec<ReadModel>, Error> {
        let mut models = Vec::new();
        for generation in self.indexes.generations().await? {
            if chosen(&generation, &Index::name_of(&generation)) {
                let registry = self.indexes.clone();
                let index = Index::new(self.opensearch.clone(), registry, &self.index_names, generation);
                models.push(ReadModel::OpenSearch(Box::new(index)));
            }
        }
        Ok(models)
    }
}
