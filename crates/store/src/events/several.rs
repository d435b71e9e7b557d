//! Reading versions of many items in few requests.

use aqueduct_contract::{ItemKey, Version};
use aws_sdk_dynamodb::types::KeysAndAttributes;
use aws_sdk_dynamodb::types::builders::KeysAndAttributesBuilder;

use super::stored::EventRow;
use super::{EventStore, Stored};
use crate::row::{Attributes, number, text};
use crate::{Error, Result};

impl EventStore {
    /// The versions asked for, each of another item, as far as they exist; in no order. At most 100: one request, or a few when they
    /// are large.
    pub async fn several(&self, wanted: &[(ItemKey, Version)]) -> Result<Vec<Stored>> {
        let keys = wanted.iter().map(|(key, version)| row_key(key, *version));
        let rows = self.batch_get(keys.collect(), KeysAndAttributes::builder()).await?;
        rows.into_iter().map(|row| EventRow::new(&self.table, row).stored()).collect()
    }

    /// The rows with these keys, at most 100, as far as they exist; of each what `shown` asks for.
    pub(super) async fn batch_get(
        &self,
        mut keys: Vec<Attributes>,
        shown: KeysAndAttributesBuilder,
    ) -> Result<Vec<Attributes>> {
        let mut found = Vec::with_capacity(keys.len());
        while !keys.is_empty() {
            let asked = shown
                .clone()
                .set_keys(Some(keys))
                .consistent_read(true)
                .build()
                .map_err(|error| Error::Refused(Box::new(error)))?;
            let answer = self.client.batch_get_item().request_items(&self.table, asked).send();
            let mut answer = answer.await.map_err(Error::of)?;
            let rows = answer.responses.as_mut().and_then(|tables| tables.remove(&self.table));
            found.extend(rows.unwrap_or_default());
            let unprocessed = answer.unprocessed_keys.as_mut().and_then(|tables| tables.remove(&self.table));
            keys = unprocessed.map(|rest| rest.keys).unwrap_or_default();
        }
        Ok(found)
    }
}

/// The key of the row of a version.
pub(super) fn row_key(key: &ItemKey, version: Version) -> Attributes {
    [("item".to_owned(), text(key.to_string())), ("version".to_owned(), number(version))].into()
}
