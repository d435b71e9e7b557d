//! Reading versions, always consistently: a writer decides on what it reads here.

use aqueduct_contract::{Event, ItemKey, Version};
use jiff::Timestamp;

use super::stored::EventRow;
use super::{EventStore, Stored};
use crate::row::{number, text};
use crate::{Error, Result};

impl EventStore {
    /// The latest version of an item, deleted or not.
    pub async fn latest(&self, key: &ItemKey) -> Result<Option<Event>> {
        let rows = self.descending(key).limit(1).send().await.map_err(Error::of)?.items.unwrap_or_default();
        rows.into_iter().next().map(|row| EventRow::new(&self.table, row).event()).transpose()
    }

    /// One version of an item.
    pub async fn at(&self, key: &ItemKey, version: Version) -> Result<Option<Stored>> {
        let row = self.get(key, version).send().await.map_err(Error::of)?.item;
        row.map(|row| EventRow::new(&self.table, row).stored()).transpose()
    }

    /// The latest version written at `time` or before, deleted or not.
    ///
    /// Versions are gapless and their times rise, so that this is a binary search: n versions take 1 + log2(n) reads of
    /// one row. Walking back from the latest would read every row after `time`, and an index by time would be written
    /// with every event for a question that is rare.
    pub async fn as_of(&self, key: &ItemKey, time: Timestamp) -> Result<Option<Event>> {
        let Some(latest) = self.latest(key).await? else { return Ok(None) };
        if latest.item.updated_at <= time {
            return Ok(Some(latest));
        }
        let (mut before, mut after) = (0, latest.item.version.get());
        let mut found = None;
        while after - before > 1 {
            let middle = before + (after - before) / 2;
            let version =
                Version::try_from(middle).map_err(|error| Error::corrupt(key.to_string(), error))?;
            let event = self.at(key, version).await?;
            let event = event
                .ok_or_else(|| Error::corrupt(key.to_string(), format!("version {version} is missing")))?;
            if event.event.item.updated_at <= time {
                (before, found) = (middle, Some(event.event));
            } else {
                after = middle;
            }
        }
        Ok(found)
    }

    /// Versions of an item in order, at most `limit`, those after `after` if given. Fewer come back when they are large:
    /// only none at all means that there are no more.
    pub async fn history(&self, key: &ItemKey, after: Option<Version>, limit: u32) -> Result<Vec<Event>> {
        let rows = self
            .client
            .query()
            .table_name(&self.table)
            .key_condition_expression("#item = :item AND #version > :after")
            .expression_attribute_names("#item", "item")
            .expression_attribute_names("#version", "version")
            .expression_attribute_values(":item", text(key.to_string()))
            .expression_attribute_values(":after", number(after.map_or(0, Version::get)))
            .limit(i32::try_from(limit).unwrap_or(i32::MAX))
            .consistent_read(true)
            .send();
        let rows = rows.await.map_err(Error::of)?.items.unwrap_or_default();
        rows.into_iter().map(|row| EventRow::new(&self.table, row).event()).collect()
    }

    fn descending(&self, key: &ItemKey) -> aws_sdk_dynamodb::operation::query::builders::QueryFluentBuilder {
        self.client
            .query()
            .table_name(&self.table)
            .key_condition_expression("#item = :item")
            .expression_attribute_names("#item", "item")
            .expression_attribute_values(":item", text(key.to_string()))
            .scan_index_forward(false)
            .consistent_read(true)
    }

    pub(super) fn get(
        &self,
        key: &ItemKey,
        version: Version,
    ) -> aws_sdk_dynamodb::operation::get_item::builders::GetItemFluentBuilder {
        self.client
            .get_item()
            .table_name(&self.table)
            .key("item", text(key.to_string()))
            .key("version", number(version))
            .consistent_read(true)
    }
}
