//! Which of the items that differ wait for a decision about a letter.
//!
//! A letter names one version of its item, and a read model goes on holding what stood before: the version below it, or below
//! that if it was set aside too. So a letter explains an item that stands at an older version with that version's value,
//! or that is missing when no older version could be mapped. It explains neither another value nor a later version.

use std::collections::{HashMap, HashSet};

use aqueduct_contract::{Attributes, Item, ItemKey, Names, Version};
use aqueduct_store::{EventStore, Letter, Letters};
use futures::stream::TryStreamExt;

use crate::Error;
use crate::difference::{DeadLettered, Entry, Kind};
use crate::read_model::ReadModel;

/// The letters of the groups in question. Their number is bounded by the engine's brake.
pub(super) struct DeadLetters<'a> {
    events: &'a EventStore,
    names: &'a Names,
    /// By group and item.
    letters: HashMap<(String, String), Letter>,
}

/// What becomes of an item that differs.
pub(super) enum Judged {
    /// A letter explains it.
    DeadLettered(DeadLettered),
    /// It differs, and so.
    Differs(Kind),
}

impl<'a> DeadLetters<'a> {
    /// Reads the letters of these groups; nothing if there are none.
    pub(super) async fn load(
        letters: &Letters,
        events: &'a EventStore,
        names: &'a Names,
        groups: &HashSet<String>,
    ) -> Result<DeadLetters<'a>, Error> {
        let mut found = HashMap::new();
        if !groups.is_empty() {
            let mut all = std::pin::pin!(letters.all());
            while let Some(filed) = all.try_next().await? {
                let letter = filed.letter;
                if groups.contains(&letter.group) {
                    found.insert((letter.group.clone(), letter.item.clone()), letter);
                }
            }
        }
        Ok(DeadLetters { events, names, letters: found })
    }

    /// Whether a letter explains that `key` differs in `model`.
    pub(super) async fn judge(&self, model: &ReadModel, key: &ItemKey, kind: Kind) -> Result<Judged, Error> {
        let letter = self.letters.get(&(model.group(self.names), key.to_string()));
        let Some((letter, set_aside)) = letter.and_then(|letter| Some((letter, letter.version?))) else {
            return Ok(Judged::Differs(kind));
        };
        let Some(latest) = self.events.latest(key).await? else { return Ok(Judged::Differs(kind)) };
        let latest = latest.item;
        // Of two versions set aside in one batch the lower is filed last: then only its mapping says that the latest is dead too.
        let is_dead = set_aside == latest.version
            || (set_aside < latest.version && matches!(kind, Kind::NotMappable { .. }));
        if !is_dead {
            return Ok(Judged::Differs(kind));
        }
        Ok(match self.wrong_below(model, &latest, kind).await? {
            Some(kind) => Judged::Differs(kind),
            None => Judged::DeadLettered(DeadLettered {
                entry: Entry::of(model.name(), key),
                version: latest.version,
                code: letter.code.clone(),
                message: letter.message.clone(),
            }),
        })
    }

    /// What is wrong about the older version that stands while `latest`, which differs by `kind`, is a dead letter.
    async fn wrong_below(&self, model: &ReadModel, latest: &Item, kind: Kind) -> Result<Option<Kind>, Error> {
        // Nothing of a deleted item is mapped: whatever the latest version is like, this tells which one stands.
        let probe = Item { deleted: true, attributes: Attributes::new(), ..latest.clone() };
        match model.compare_one(&probe).await? {
            Some(Kind::Version { expected, found }) => {
                let older = u64::try_from(found).ok().and_then(|found| Version::try_from(found).ok());
                match older.filter(|version| *version < latest.version) {
                    Some(version) => self.compare_at(model, &latest.key, version).await,
                    None => Ok(Some(Kind::Version { expected, found })),
                }
            }
            Some(Kind::Missing { .. }) => {
                let mut earlier = latest.version.previous();
                while let Some(version) = earlier {
                    match self.compare_at(model, &latest.key, version).await? {
                        Some(Kind::NotMappable { .. }) => earlier = version.previous(),
                        other => return Ok(other),
                    }
                }
                Ok(None)
            }
            _ => Ok(Some(kind)),
        }
    }

    async fn compare_at(
        &self,
        model: &ReadModel,
        key: &ItemKey,
        version: Version,
    ) -> Result<Option<Kind>, Error> {
        match self.events.at(key, version).await? {
            Some(stored) => model.compare_one(&stored.event.item).await,
            None => Err(Error::Gone(format!("version {version} of {key}"))),
        }
    }
}
