//! Reading versions of many items in few requests.

use aqueduct_contract::{ItemKey, Version};
use aws_sdk_dynamodb::types::KeysAndAttributes;

use super::stored::EventRow;
use super::{EventStore, Stored};
use crate::row::{Attributes, number, text};
use crate::{Error, Result};

impl EventStore {
    /// The versions asked for, each of another item, as far as they exist; in no order. At most 100: one request, or a few when they
    /// are large.
    pub async fn several(&self, wanted: &[(ItemKey, Version)]) -> Result<Vec<Stored>> {
        let key = |(key, version): &(ItemKey, Version)| -> Attributes {
            [("item".to_owned(), text(key.to_string())), ("version".to_owned(), number(version))].into()
        };
        let mut wanted: Vec<Attributes> = wanted.iter().map(key).collect();
        let mut found = Vec::with_capacity(wanted.len());
        while !wanted.is_empty() {
            let asked = KeysAndAttributes::builder()
                .set_keys(Some(wanted))
                .consistent_read(true)
                .build()
                .map_err(|error| Error::Refused(Box::new(error)))?;
            let answer = self.client.batch_get_item().request_items(&self.table, asked).send();
            let mut answer = answer.await.map_err(Error::of)?;
            let rows = answer.responses.as_mut().and_then(|tables| tables.remove(&self.table));
            for row in rows.unwrap_or_default() {
                found.push(EventRow::new(&self.table, row).stored()?);
            }
            let unprocessed = answer.unprocessed_keys.as_mut().and_then(|tables| tables.remove(&self.table));
            wanted = unprocessed.map(|rest| rest.keys).unwrap_or_default();
        }
        Ok(found)
    }
}
