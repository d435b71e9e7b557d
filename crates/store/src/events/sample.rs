//! Reading some items from a random place, for who looks at a few of them again and again.
//!
//! A Scan goes by the hashes of the partition keys, and begins after any key, be it one that no row has: so a random key is a
//! random place. After each page it begins again behind all versions of the last item, which AWS itself does to list partition
//! keys: an item with a long history costs a page, and hides none that comes after it. An item is read when the place falls among
//! the few that come before it, or on the last ones of the table, after which the first come: each is, sooner or later.

use std::collections::HashMap;

use aqueduct_contract::ItemKey;
use uuid::Uuid;

use super::stored::EventRow;
use super::{EventStore, Record};
use crate::row::{Attributes, number, text};
use crate::{Error, Result};

/// Pages of one sample, at most: what it costs where most items have many versions.
const PAGES: usize = 4;

impl EventStore {
    /// About so many items from a random place on; of each the latest version that was met, which need not be the latest that
    /// there is. Fewer where the table has no more, or where their versions are many. Reads are not consistent, for half the
    /// price.
    pub async fn sample(&self, items: usize) -> Result<Vec<Record>> {
        let mut found: HashMap<ItemKey, Record> = HashMap::new();
        let mut start = Some(place(Uuid::new_v4(), 0));
        for _ in 0..PAGES {
            let scan = self.client.scan().table_name(&self.table);
            let scan = scan.limit(i32::try_from(items).unwrap_or(i32::MAX));
            let is_wrapped = start.is_none();
            let page = scan.set_exclusive_start_key(start).send().await.map_err(Error::of)?;
            for attributes in page.items.unwrap_or_default() {
                let record = EventRow::new(&self.table, attributes).record()?;
                if found.get(&record.key).is_none_or(|known| known.version < record.version) {
                    found.insert(record.key.clone(), record);
                }
            }
            start = match page.last_evaluated_key {
                Some(last) => Some(place(EventRow::new(&self.table, last).key()?, u64::MAX)),
                None if is_wrapped => break,
                None => None,
            };
            if found.len() >= items {
                break;
            }
        }
        Ok(found.into_values().collect())
    }
}

/// A place behind the versions up to `version` of what has this partition key.
fn place(item: impl ToString, version: u64) -> Attributes {
    [("item".to_owned(), text(item.to_string())), ("version".to_owned(), number(version))].into()
}
