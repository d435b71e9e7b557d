//! The DynamoDB read table against the event store.

use aqueduct_contract::{Item, ItemKey, RawItem, Tenant};
use aqueduct_store::{DataTable, data};
use futures::stream::{self, BoxStream, Stream, StreamExt, TryStreamExt};
use serde_json::{Value, json};

use aqueduct_views::definition::canonical;

use crate::buckets::{Buckets, Differing, Share, bucket_of};

use crate::difference::{Kind, differing_paths};
use crate::scan::{READERS, SEGMENTS};
use crate::{BATCH, Error, READS};

/// The `data` table.
#[derive(Clone, Debug)]
pub(crate) struct Data(pub(crate) DataTable);

impl Data {
    pub(crate) const NAME: &str = "data";

    /// The digest of what the table should hold of an item; `None` when it cannot hold it.
    pub(crate) fn expected(item: &RawItem<'_>) -> Option<Share> {
        Some(share_of(&data::as_stored(&item.parsed().ok()?).ok()?))
    }

    /// Digests of what it holds.
    pub(crate) async fn digests(&self, tenant: Option<&Tenant>) -> Result<Buckets, Error> {
        let mut buckets = Buckets::default();
        let mut items = std::pin::pin!(self.items());
        while let Some(item) = items.try_next().await? {
            if tenant.is_none_or(|tenant| tenant == item.key.tenant()) {
                buckets.add(bucket_of(item.key.tenant(), item.key.id().as_str()), share_of(&item));
            }
        }
        Ok(buckets)
    }

    fn items(&self) -> impl Stream<Item = aqueduct_store::Result<Item>> + '_ {
        stream::iter(0..SEGMENTS)
            .map(|segment| self.0.segment(segment, SEGMENTS).boxed())
            .flatten_unordered(READERS)
    }

    pub(crate) async fn compare(&self, items: &[Item]) -> Result<Vec<(ItemKey, Kind)>, Error> {
        let found: Vec<Option<(ItemKey, Kind)>> =
            stream::iter(items).map(|item| self.compare_one(item)).buffered(READS).try_collect().await?;
        Ok(found.into_iter().flatten().collect())
    }

    async fn compare_one(&self, item: &Item) -> Result<Option<(ItemKey, Kind)>, Error> {
        let kind = match (data::as_stored(item), self.0.get(&item.key).await?) {
            (Err(error), _) => Kind::NotMappable { reason: error.to_string() },
            (_, None) => Kind::Missing { expected: item.version },
            (_, Some(found)) if found.version != item.version => {
                Kind::Version { expected: item.version, found: found.version.as_i64() }
            }
            (Ok(expected), Some(found)) => {
                let fields = differing_paths(&shown(&expected), &shown(&found), "attributes");
                if fields.is_empty() {
                    return Ok(None);
                }
                Kind::Value { fields }
            }
        };
        Ok(Some((item.key.clone(), kind)))
    }

    pub(crate) async fn remove(&self, keys: &[&ItemKey]) -> Result<(), Error> {
        Ok(stream::iter(keys).map(|key| self.0.remove(key)).buffered(READS).try_collect().await?)
    }

    /// The keys that the table holds in these buckets, in batches.
    pub(crate) fn keys<'a>(
        &'a self,
        tenant: Option<&'a Tenant>,
        buckets: &'a Differing,
    ) -> BoxStream<'a, Result<Vec<ItemKey>, Error>> {
        let keys = self.items().map_ok(|item| item.key);
        let keys = keys.try_filter(move |key| {
            let chosen = tenant.is_none_or(|tenant| tenant == key.tenant()) && buckets.contains(key);
            async move { chosen }
        });
        keys.try_chunks(BATCH).map_err(|error| error.1.into()).boxed()
    }
}

fn share_of(item: &Item) -> Share {
    let mut shown = shown(item);
    shown["key"] = item.key.to_string().into();
    shown["version"] = item.version.get().into();
    Share::of(canonical(&shown).to_string().as_bytes())
}

fn shown(item: &Item) -> Value {
    json!({
        "attributes": item.attributes,
        "deleted": item.deleted,
        "createdAt": item.created_at,
        "createdBy": item.created_by,
        "updatedAt": item.updated_at,
        "updatedBy": item.updated_by,
    })
}
