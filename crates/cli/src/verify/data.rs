//! The DynamoDB read table against the event store.

use aqueduct_contract::{Item, ItemKey};
use aqueduct_store::{DataTable, data};
use futures::stream::{self, Stream, StreamExt, TryStreamExt};
use serde_json::json;

use super::READS;
use super::difference::{Kind, differing_paths};

/// The `data` table.
pub(super) struct Data(pub(super) DataTable);

impl Data {
    pub(super) const NAME: &str = "data";

    pub(super) async fn compare(&self, items: &[Item]) -> anyhow::Result<Vec<(ItemKey, Kind)>> {
        let found: Vec<Option<(ItemKey, Kind)>> =
            stream::iter(items).map(|item| self.compare_one(item)).buffered(READS).try_collect().await?;
        Ok(found.into_iter().flatten().collect())
    }

    async fn compare_one(&self, item: &Item) -> anyhow::Result<Option<(ItemKey, Kind)>> {
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

    /// The keys that the table holds, in batches.
    pub(super) fn keys(&self) -> impl Stream<Item = anyhow::Result<Vec<ItemKey>>> + '_ {
        self.0.all().map_ok(|item| item.key).try_chunks(super::BATCH).map_err(|error| error.1.into())
    }
}

fn shown(item: &Item) -> serde_json::Value {
    json!({
        "attributes": item.attributes,
        "deleted": item.deleted,
        "createdAt": item.created_at,
        "createdBy": item.created_by,
        "updatedAt": item.updated_at,
        "updatedBy": item.updated_by,
    })
}
