//! Which items there are.

use std::collections::HashSet;

use aqueduct_contract::ItemKey;
use aws_sdk_dynamodb::types::KeysAndAttributes;

use super::EventStore;
use super::stored::EventRow;
use crate::row::{Attributes, number, text};
use crate::{Error, Result};

/// What one request may ask for.
const BATCH: usize = 100;

impl EventStore {
    /// Those of `keys` that have a first version, and so exist or existed.
    pub async fn existing(&self, keys: &[ItemKey]) -> Result<HashSet<ItemKey>> {
        let mut found = HashSet::new();
        let distinct: Vec<&ItemKey> = keys.iter().collect::<HashSet<_>>().into_iter().collect();
        for batch in distinct.chunks(BATCH) {
            let mut wanted: Vec<Attributes> = batch.iter().map(|key| first_version(key)).collect();
            while !wanted.is_empty() {
                let asked = KeysAndAttributes::builder()
                    .set_keys(Some(wanted))
                    .projection_expression("#item")
                    .expression_attribute_names("#item", "item")
                    .consistent_read(true)
                    .build()
                    .map_err(|error| Error::Refused(Box::new(error)))?;
                let answer = self.client.batch_get_item().request_items(&self.table, asked).send();
                let mut answer = answer.await.map_err(Error::of)?;
                let rows = answer.responses.as_mut().and_then(|tables| tables.remove(&self.table));
                for row in rows.unwrap_or_default() {
                    found.insert(EventRow::new(&self.table, row).key()?);
                }
                let unprocessed =
                    answer.unprocessed_keys.as_mut().and_then(|tables| tables.remove(&self.table));
                wanted = unprocessed.map(|rest| rest.keys).unwrap_or_default();
            }
        }
        Ok(found)
    }
}

fn first_version(key: &ItemKey) -> Attributes {
    [("item".to_owned(), text(key.to_string())), ("version".to_owned(), number(1))].into()
}
