//! Which items there are.

use std::collections::HashSet;

use aqueduct_contract::{ItemKey, Version};
use aws_sdk_dynamodb::types::KeysAndAttributes;

use super::EventStore;
use super::several::row_key;
use super::stored::EventRow;
use crate::Result;

/// What one request may ask for.
const BATCH: usize = 100;

impl EventStore {
    /// Those of `keys` that have a first version, and so exist or existed.
    pub async fn existing(&self, keys: &[ItemKey]) -> Result<HashSet<ItemKey>> {
        let mut found = HashSet::new();
        let distinct: Vec<&ItemKey> = keys.iter().collect::<HashSet<_>>().into_iter().collect();
        for batch in distinct.chunks(BATCH) {
            let first = batch.iter().map(|key| row_key(key, Version::FIRST)).collect();
            let only_key = KeysAndAttributes::builder()
                .projection_expression("#item")
                .expression_attribute_names("#item", "item");
            for row in self.batch_get(first, only_key).await? {
                found.insert(EventRow::new(&self.table, row).key()?);
            }
        }
        Ok(found)
    }
}
