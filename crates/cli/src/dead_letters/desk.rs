//! Where letters are worked on: read, changed on condition, and every change noted.

use anyhow::{Context, Result};
use aqueduct_contract::{Event, ItemKey, Names, Worker};
use aqueduct_service::Settings;
use aqueduct_store::audit::{Audit, Entry};
use aqueduct_store::letters::{Filed, State};
use aqueduct_store::{EventStore, Letter, Letters};
use futures::TryStreamExt;
use rustix::process::getuid;
use serde_json::{Value, json};

use super::filter::Filter;
use crate::fleet;

pub(super) struct Desk {
    pub(super) settings: Settings,
    pub(super) names: Names,
    pub(super) letters: Letters,
    pub(super) events: EventStore,
    pub(super) audit: Audit,
    who: String,
}

/// What is to be done to a letter.
pub(super) enum Change {
    /// It is to be tried again.
    Redrive,
    /// It is to be tried again from the version after its own on.
    Skip,
    /// It goes.
    Discard,
}

/// What came of it.
pub(super) enum Changed {
    /// It is this now.
    Into(Filed),
    /// It is gone.
    Gone,
    /// Somebody else changed it since it was read: it was left alone.
    Meanwhile,
}

impl Desk {
    pub(super) async fn open(filter: &Filter) -> Result<Desk> {
        let settings = fleet::settings(&filter.file)?;
        let names = Names::new(&settings.prefix);
        let client = settings.dynamodb.connect().await;
        Ok(Desk {
            letters: Letters::new(client.clone(), &names),
            events: EventStore::new(client.clone(), &names),
            audit: Audit::new(client, &names),
            who: who(),
            names,
            settings,
        })
    }

    /// The letters meant, the oldest first.
    pub(super) async fn find(&self, filter: &Filter) -> Result<Vec<Filed>> {
        let meant = |filed: &Filed| std::future::ready(filter.means(&self.names, &filed.letter));
        let found = self.letters.all().try_filter(meant);
        let mut found: Vec<Filed> = found.try_collect().await.context("the letters")?;
        found.sort_by(|one, other| {
            let order = |filed: &Filed| {
                (filed.letter.filed_at, filed.letter.group.clone(), filed.letter.item.clone())
            };
            order(one).cmp(&order(other))
        });
        Ok(found)
    }

    /// The latest event of the letter's item; none where the store has none.
    pub(super) async fn latest(&self, letter: &Letter) -> Result<Option<Event>> {
        match letter.item.parse::<ItemKey>() {
            Ok(key) => Ok(self.events.latest(&key).await?),
            Err(_) => Ok(None),
        }
    }

    /// Whether later events of the letter's item wait behind it. A quarantined letter does not say; its group does: those of
    /// read models keep the state of items, where a later version makes an earlier one moot.
    pub(super) fn every_event_counts(&self, letter: &Letter) -> bool {
        let keeps_state = match self.names.worker_of(&letter.group) {
            Some(Worker::SyncRds | Worker::SyncSearch) => true,
            Some(Worker::Projector) => letter.group == self.names.data_group(),
            None => false,
        };
        letter.state == State::Parked || !keeps_state
    }

    /// Does it unless the letter changed since it was read.
    pub(super) async fn change(&self, filed: &Filed, change: &Change) -> Result<Changed> {
        let letter = &filed.letter;
        let (action, new) = match change {
            Change::Redrive => ("redrive", Some(Letter { state: State::Redrive, ..letter.clone() })),
            Change::Skip => {
                let version = letter.version.map(aqueduct_contract::Version::next);
                ("skip", Some(Letter { state: State::Redrive, version, ..letter.clone() }))
            }
            Change::Discard => ("discard", None),
        };
        let mut entry = Entry::new(&self.who, action, letter);
        self.audit.note(letter, &entry).await.context("the audit row")?;
        let changed = match &new {
            Some(new) => self.letters.replace_if_unchanged(filed, new).await?.map(Changed::Into),
            None => self.letters.remove_if_unchanged(filed).await?.then_some(Changed::Gone),
        };
        let changed = changed.unwrap_or(Changed::Meanwhile);
        let meanwhile = matches!(changed, Changed::Meanwhile);
        if meanwhile {
            eprintln!("{} {}: changed meanwhile, left alone", letter.group, letter.item);
        }
        entry.outcome = if meanwhile { "changed" } else { "done" }.to_owned();
        self.audit.note(letter, &entry).await.context("the audit row")?;
        let mut line = described(&self.names, letter);
        line["audit"] = json!(entry);
        eprintln!("{line}");
        Ok(changed)
    }
}

/// A letter as JSON; the names are those of `list --json`.
pub(super) fn described(names: &Names, letter: &Letter) -> Value {
    let key: Option<ItemKey> = letter.item.parse().ok();
    json!({
        "group": letter.group,
        "worker": names.worker_of(&letter.group).map(|worker| worker.to_string()),
        "state": letter.state.as_str(),
        "key": letter.item,
        "tenant": key.as_ref().map(|key| key.tenant().to_string()),
        "type": key.as_ref().map(|key| key.type_name().to_string()),
        "id": key.as_ref().map(|key| key.id().to_string()),
        "version": letter.version,
        "code": letter.code,
        "message": letter.message,
        "topic": letter.topic,
        "partition": letter.partition,
        "offset": letter.offset,
        "attempts": letter.attempts,
        "redrives": letter.redrives,
        "filed_at": letter.filed_at,
    })
}

/// `user@host`: by the id that the system knows, not by what the environment says.
fn who() -> String {
    let uid = getuid().as_raw().to_string();
    let accounts = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    let name = accounts.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)? == uid).then(|| name.to_owned())
    });
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    format!("{}@{}", name.unwrap_or(uid), host.trim())
}
