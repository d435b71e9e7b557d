//! Taking entries out of read models that no event made.

use std::collections::HashMap;

use aqueduct_contract::{ItemKey, Names};
use aqueduct_service::Settings;
use aqueduct_store::EventStore;

use crate::read_model::ReadModel;
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
    for (name, keys) in keys {
        for model in ReadModel::all(settings, Some(name)).await? {
            for keys in keys.chunks(BATCH) {
                let existing = events.existing(keys).await?;
                let unwritten: Vec<&ItemKey> = keys.iter().filter(|key| !existing.contains(*key)).collect();
                model.remove(&unwritten).await?;
                removed += unwritten.len() as u64;
            }
        }
    }
    Ok(removed)
}
