//! The letters of one partition, as its owner knows them.
//!
//! The owner alone files them; others change their state or take them away, which the owner sees when it loads them again.

use std::collections::HashMap;

use aqueduct_store::letters::{Filed, State};

use crate::Record;

/// By item. One of a record that has no item is never met again by a record, but loaded and counted all the same.
#[derive(Debug, Default)]
pub(crate) struct OpenLetters {
    by_item: HashMap<String, Known>,
}

#[derive(Clone, Debug, PartialEq)]
struct Known {
    filed: Filed,
    /// It is in its lane.
    redriving: bool,
}

/// What was known before a load began.
#[derive(Debug, Default)]
pub(crate) struct Snapshot(HashMap<String, Known>);

impl OpenLetters {
    pub(crate) fn count(&self) -> usize {
        self.by_item.len()
    }

    /// The letter of the record's item.
    pub(crate) fn of(&self, record: &Record) -> Option<&Filed> {
        if self.by_item.is_empty() {
            return None;
        }
        let item = std::str::from_utf8(record.key()?).ok()?;
        self.by_item.get(item).map(|known| &known.filed)
    }

    /// The letter that a sink makes moot by holding this version of the item, or a later one.
    pub(crate) fn made_moot_by(&self, record: &Record) -> Option<Filed> {
        let filed = self.of(record)?;
        (filed.letter.version? <= record.version()?).then(|| filed.clone())
    }

    /// A letter as it stands now.
    pub(crate) fn put(&mut self, filed: Filed) {
        self.by_item.insert(filed.letter.item.clone(), Known { filed, redriving: false });
    }

    /// This letter is gone, unless there is another one in its place.
    pub(crate) fn remove(&mut self, filed: &Filed) {
        if self.by_item.get(&filed.letter.item).is_some_and(|known| known.filed == *filed) {
            self.by_item.remove(&filed.letter.item);
        }
    }

    pub(crate) fn snapshot(&self) -> Snapshot {
        Snapshot(self.by_item.clone())
    }

    /// Takes over what was loaded, but for letters that changed here since the load began. Returns those to be redriven
    /// now.
    pub(crate) fn refresh(&mut self, before: &Snapshot, loaded: Vec<Filed>) -> Vec<Filed> {
        let same = |now: Option<&Known>, item: &String| now == before.0.get(item);
        let mut found = HashMap::new();
        let mut redrives = Vec::new();
        for filed in loaded {
            let item = filed.letter.item.clone();
            let now = self.by_item.get(&item);
            if same(now, &item) && !now.is_some_and(|known| known.redriving) {
                let redriving = filed.letter.state == State::Redrive;
                if redriving {
                    redrives.push(filed.clone());
                }
                found.insert(item, Known { filed, redriving });
            }
        }
        self.by_item.retain(|item, known| known.redriving || before.0.get(item) != Some(known));
        self.by_item.extend(found);
        redrives
    }
}
