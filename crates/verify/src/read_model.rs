//! The read models of a fleet, as verify sees them: what they should hold, and which keys they have.

use std::collections::HashMap;

use aqueduct_contract::{Item, ItemKey, Names, RawItem, Tenant, TypeName, Worker};
use aqueduct_views::Generation;
use futures::stream::BoxStream;
use jiff::Timestamp;

use crate::Error;
use crate::buckets::{Buckets, Differing, Share};
use crate::data::Data;
use crate::difference::Kind;
use crate::opensearch::Index;
use crate::postgres::Table;

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

    /// The digest of what it should hold of an item of a type that it holds; `None` when that is not known here.
    pub(super) fn expected(&self, item: &RawItem<'_>) -> Option<Share> {
        match self {
            ReadModel::Data(_) => Data::expected(item),
            ReadModel::Postgres(table) => table.expected(item),
            ReadModel::OpenSearch(index) => index.expected(item),
        }
    }

    /// Digests of what it holds.
    pub(super) async fn digests(&self, tenant: Option<&Tenant>) -> Result<Buckets, Error> {
        match self {
            ReadModel::Data(data) => data.digests(tenant).await,
            ReadModel::Postgres(table) => table.digests(tenant).await,
            ReadModel::OpenSearch(index) => index.digests(tenant).await,
        }
    }

    /// What it holds otherwise than these items, all of types that it holds, and how.
    pub(super) async fn compare(&self, items: &[Item]) -> Result<Vec<(ItemKey, Kind)>, Error> {
        let mut differing = match self {
            ReadModel::Data(data) => data.compare(items).await?,
            ReadModel::Postgres(table) => table.compare(items).await?,
            ReadModel::OpenSearch(index) => index.compare(items).await?,
        };
        let by_key: HashMap<&ItemKey, &Item> = items.iter().map(|item| (&item.key, item)).collect();
        let is_missing_tombstone = |(key, kind): &(ItemKey, Kind)| {
            matches!(kind, Kind::Missing { .. })
                && by_key.get(key).is_some_and(|item| self.is_tombstone(item))
        };
        if differing.iter().any(is_missing_tombstone)
            // As it is by now: a purge may have gone on since the comparison began.
            && let Some(through) = self.purged_through().await?
        {
            differing.retain(|one| {
                !(is_missing_tombstone(one)
                    && by_key.get(&one.0).is_some_and(|item| item.updated_at <= through))
            });
        }
        Ok(differing)
    }

    fn is_tombstone(&self, item: &Item) -> bool {
        match self {
            ReadModel::Data(_) => false,
            ReadModel::Postgres(table) => table.is_tombstone(item),
            ReadModel::OpenSearch(index) => index.is_tombstone(item),
        }
    }

    async fn purged_through(&self) -> Result<Option<Timestamp>, Error> {
        let (all, own) = match self {
            ReadModel::Data(_) => return Ok(None),
            ReadModel::Postgres(table) => (table.registered().await?, table.generation()),
            ReadModel::OpenSearch(index) => (index.registered().await?, index.generation()),
        };
        Ok(all.into_iter().find(|one| one.sink() == own.sink()).and_then(|one| one.purged_through))
    }

    /// How it holds one item otherwise, if it does.
    pub(super) async fn compare_one(&self, item: &Item) -> Result<Option<Kind>, Error> {
        Ok(self.compare(std::slice::from_ref(item)).await?.pop().map(|(_, kind)| kind))
    }

    /// Takes entries out.
    pub(super) async fn remove(&self, keys: &[&ItemKey]) -> Result<(), Error> {
        match self {
            ReadModel::Data(data) => data.remove(keys).await,
            ReadModel::Postgres(table) => table.remove(keys).await,
            ReadModel::OpenSearch(index) => index.remove(keys).await,
        }
    }

    /// The keys that it holds in these buckets, in batches.
    pub(super) fn keys<'a>(
        &'a self,
        tenant: Option<&'a Tenant>,
        buckets: &'a Differing,
    ) -> BoxStream<'a, Result<Vec<ItemKey>, Error>> {
        match self {
            ReadModel::Data(data) => data.keys(tenant, buckets),
            ReadModel::Postgres(table) => table.keys(tenant, buckets),
            ReadModel::OpenSearch(index) => index.keys(tenant, buckets),
        }
    }

    /// At most `limit` of the keys that it holds, from a random place: for a table that is behind `place`, an item that was
    /// drawn.
    pub(super) async fn some_keys(
        &self,
        place: Option<&ItemKey>,
        limit: usize,
    ) -> Result<Vec<ItemKey>, Error> {
        match self {
            ReadModel::Data(data) => Ok(data.0.keys_after(place, limit).await?),
            ReadModel::Postgres(table) => table.keys_after(place, limit).await,
            ReadModel::OpenSearch(index) => index.random_keys(limit).await,
        }
    }
}
