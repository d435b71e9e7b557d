//! What one request wrote, and whatever that caused: by tenant and correlation id.

use aqueduct_contract::{CorrelationId, Tenant};

use futures::stream::{self, StreamExt, TryStreamExt};

use super::stored::EventRow;
use super::{CORRELATION_INDEX, EventStore, Stored};
use crate::row::text;
use crate::{Error, Result};

/// Versions that are read at the same time.
const AT_ONCE: usize = 16;

impl EventStore {
    /// Versions of `tenant` with this correlation id, by the time they were written; at most `limit`, and whether there are
    /// more. The index shows a version a moment after it was written; what stands in it is read consistently.
    pub async fn correlated(
        &self,
        tenant: &Tenant,
        correlation_id: &CorrelationId,
        limit: usize,
    ) -> Result<(Vec<Stored>, bool)> {
        let query = self
            .client
            .query()
            .table_name(&self.table)
            .index_name(CORRELATION_INDEX)
            .key_condition_expression("correlation = :correlation")
            .expression_attribute_values(":correlation", text(format!("{tenant}|{correlation_id}")))
            .limit(i32::try_from(limit + 1).unwrap_or(i32::MAX));
        let mut rows = query.send().await.map_err(Error::of)?.items.unwrap_or_default();
        let more = rows.len() > limit;
        rows.truncate(limit);
        let asked = rows.into_iter().map(|row| async move {
            let row = EventRow::new(&self.table, row);
            self.at(&row.key()?, row.version()?).await
        });
        let found: Vec<Option<Stored>> = stream::iter(asked).buffered(AT_ONCE).try_collect().await?;
        let mut found: Vec<Stored> = found.into_iter().flatten().collect();
        found.sort_by_key(|stored| (stored.event.item.updated_at, stored.event.id));
        Ok((found, more))
    }
}
