//! Entries of read models that no event made, and taking them out.

use std::collections::HashMap;

use aqueduct_contract::{ItemKey, Names};
use aqueduct_service::Settings;
use aqueduct_store::EventStore;

use crate::stores::Stores;
use crate::{BATCH, Difference, Error, Kind};

/// Removes what `differences` lists as [`Kind::Extra`], unless an event has made it since. Returns how many were removed.
pub async fn remove_unwritten(settings: &Settings, differences: &[Difference]) -> Result<u64, Error> {
    let events = EventStore::new(settings.dynamodb.connect().await, &Names::new(&settings.prefix));
    let mut keys: HashMap<&str, Vec<ItemKey>> = HashMap::new();
    for Difference { entry, kind } in differences {
        if let (Kind::Extra, Some(key)) = (kind, entry.key()) {
            keys.entry(&entry.read_model).or_default().push(key);
        }
    }
    let mut removed = 0;
    let stores = Stores::new(settings).await?;
    for (name, keys) in keys {
        for model in stores.all(Some(name)).await? {
            for keys in keys.chunks(BATCH) {
                let unwritten = never_written(&events, keys).await?;
                model.remove(&unwritten).await?;
                removed += unwritten.len() as u64;
            }
        }
    }
    Ok(removed)
}

/// Those of `keys` of which the event store has no version.
pub(crate) async fn never_written<'k>(
    events: &EventStore,
    keys: &'k [ItemKey],
) -> Result<Vec<&'k ItemKey>, Error> {
    let existing = events.existing(keys).await?;
    Ok(keys.iter().filter(|key| !existing.contains(*key)).collect())
}
