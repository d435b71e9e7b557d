//! The read models of a fleet, as verify sees them: what they should hold, and which keys they have.

use anyhow::{Context, bail};
use aqueduct_contract::{Item, ItemKey, Names, TypeName, Worker};
use aqueduct_service::Settings;
use aqueduct_store::DataTable;
use aqueduct_views::opensearch::IndexNames;
use aqueduct_views::{Generation, opensearch, postgres};
use futures::stream::{BoxStream, StreamExt};

use super::data::Data;
use super::difference::Kind;
use super::opensearch::Index;
use super::postgres::Table;

/// One read model.
pub(super) enum ReadModel {
    /// The `data` table: all types.
    Data(Data),
    /// A table: one type.
    Postgres(Box<Table>),
    /// An index: one type.
    OpenSearch(Box<Index>),
}

impl ReadModel {
    /// Those that the registries list, or those called `only`.
    pub(super) async fn all(settings: &Settings, only: Option<&str>) -> anyhow::Result<Vec<ReadModel>> {
        let names = Names::new(&settings.prefix);
        let chosen = |generation: &Generation| {
            generation.is_consumed() && only.is_none_or(|only| only == generation.view())
        };
        let mut models = Vec::new();
        if only.is_none_or(|only| only == Data::NAME) {
            let client = settings.dynamodb.connect().await;
            models.push(ReadModel::Data(Data(DataTable::new(client, &names))));
        }
        let pool = settings.postgres.connect_lazy()?;
        let registered = postgres::Registry::new(pool.clone()).generations().await;
        for generation in registered.context("the registry in Postgres")?.into_iter().filter(chosen) {
            models.push(ReadModel::Postgres(Box::new(Table::new(pool.clone(), generation)?)));
        }
        let registered = opensearch::Registry::new(&settings.opensearch, &names)?.generations().await;
        let index_names = IndexNames::new(&settings.opensearch.index_prefix);
        for generation in registered.context("the registry in OpenSearch")?.into_iter().filter(chosen) {
            models.push(ReadModel::OpenSearch(Box::new(Index::new(
                settings.opensearch.client()?,
                &index_names,
                generation,
            ))));
        }
        if models.is_empty() {
            bail!("there is no view called {}", only.unwrap_or_default());
        }
        Ok(models)
    }

    /// What reports call it.
    pub(super) fn name(&self) -> &str {
        match self {
            ReadModel::Data(_) => Data::NAME,
            ReadModel::Postgres(table) => &table.name,
            ReadModel::OpenSearch(index) => &index.name,
        }
    }

    /// Whether items of this type stand in it.
    pub(super) fn holds(&self, type_name: &TypeName) -> bool {
        match self {
            ReadModel::Data(_) => true,
            ReadModel::Postgres(table) => table.generation().definition.type_name == *type_name,
            ReadModel::OpenSearch(index) => index.generation().definition.type_name == *type_name,
        }
    }

    /// The consumer group that writes it, by which its letters are found.
    pub(super) fn group(&self, names: &Names) -> String {
        let of_view =
            |worker, generation: &Generation| names.view_group(worker, generation.view(), generation.number);
        match self {
            ReadModel::Data(_) => names.data_group(),
            ReadModel::Postgres(table) => of_view(Worker::SyncRds, table.generation()),
            ReadModel::OpenSearch(index) => of_view(Worker::SyncSearch, index.generation()),
        }
    }

    /// What it holds otherwise than these items, all of types that it holds, and how.
    pub(super) async fn compare(&self, items: &[Item]) -> anyhow::Result<Vec<(ItemKey, Kind)>> {
        match self {
            ReadModel::Data(data) => data.compare(items).await,
            ReadModel::Postgres(table) => table.compare(items).await,
            ReadModel::OpenSearch(index) => index.compare(items).await,
        }
    }

    /// How it holds one item otherwise, if it does.
    pub(super) async fn compare_one(&self, item: &Item) -> anyhow::Result<Option<Kind>> {
        Ok(self.compare(std::slice::from_ref(item)).await?.pop().map(|(_, kind)| kind))
    }

    /// All its keys, in batches.
    pub(super) fn keys(&self) -> BoxStream<'_, anyhow::Result<Vec<ItemKey>>> {
        match self {
            ReadModel::Data(data) => data.keys().boxed(),
            ReadModel::Postgres(table) => table.keys().boxed(),
            ReadModel::OpenSearch(index) => index.keys().boxed(),
        }
    }
}
