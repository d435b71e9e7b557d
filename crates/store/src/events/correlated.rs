//! What one request wrote, and whatever that caused: by tenant and correlation id.

use aqueduct_contract::{CorrelationId, Tenant};

use super::stored::EventRow;
use super::{CORRELATION_INDEX, EventStore, Stored};
use crate::row::text;
use crate::{Error, Result};

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
        let mut found = Vec::new();
        for row in rows {
            let row = EventRow::new(&self.table, row);
            found.extend(self.at(&row.key()?, row.version()?).await?);
        }
        found.sort_by_key(|stored| (stored.event.item.updated_at, stored.event.id));
        Ok((found, more))
    }
}
