//! What a registry says: which generations of which views there are.
//!
//! ```text
//!            begin            finish_load           swap               swap to another       retire
//! (nothing) ───────▶ building ───────────▶ building ──────▶ live ─────────────────▶ previous ────────▶ retired
//!                       │     not consumed     │   consumed          ◀────────────────
//!                       └───────cancel─────────┘                         rollback
//! ```
//!
//! A generation is *consumed*, by a group of its own, once it is loaded and until it is retired. Its number is never used
//! again, even when it was cancelled: the offsets of its group, or an index of its name, may still be about.

use std::collections::BTreeMap;

use aqueduct_contract::{ItemKey, TypeName};
use aqueduct_model::View;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::Error;

/// One generation of one view, as the registry holds it.
#[derive(Clone, Debug, PartialEq)]
pub struct Generation {
    /// The view as it was when this generation was made. Rows and documents come from this, never from the model.
    pub definition: View,
    /// 1, 2, 3 …
    pub number: u32,
    /// Where it stands between its making and its end.
    pub state: State,
    /// When its load was complete, so that its group can go on from where the load ended; `None` while it is loaded.
    pub loaded: Option<Timestamp>,
    /// When it was registered.
    pub created_at: Timestamp,
    /// Since when it is in this state.
    pub changed_at: Timestamp,
    /// Every tombstone of an event at or before this moment may have been removed; `None` while none was.
    pub purged_through: Option<Timestamp>,
}

/// Where a generation stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// Being loaded, or loaded and not yet what readers see.
    Building,
    /// What readers of the public name see.
    Live,
    /// Was live, and is kept in step so that readers can go back to it.
    Previous,
    /// Kept in step no longer; its table or index is dropped.
    Retired,
    /// Was given up before it was live. Only [`Change`]s tell of it.
    Cancelled,
    /// A state that this release does not know, so not one to serve.
    #[serde(other)]
    Unknown,
}

/// A change of a generation's state, as the registry remembers it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Change {
    /// When.
    pub at: Timestamp,
    /// Of which view.
    pub view: String,
    /// Of which of its generations.
    pub generation: u32,
    /// What it was; `None` when it was made by this.
    pub from: Option<State>,
    /// What it is.
    pub to: State,
    /// What brought it about.
    pub why: String,
}

/// A generation as both registries write it. What earlier releases did not write has a value that is true of theirs.
#[derive(Deserialize)]
struct Entry {
    generation: u32,
    state: State,
    definition: Value,
    created_at: Timestamp,
    changed_at: Option<Timestamp>,
    loaded_at: Option<Timestamp>,
    purged_through: Option<Timestamp>,
}

impl Generation {
    /// A generation that begins to be, in this state.
    #[must_use]
    pub fn new(definition: View, number: u32, state: State) -> Generation {
        let now = Timestamp::now();
        let loaded = (state != State::Building).then_some(now);
        Generation {
            definition,
            number,
            state,
            loaded,
            created_at: now,
            changed_at: now,
            purged_through: None,
        }
    }

    /// What a registry holds, as JSON. An error names the view.
    pub(crate) fn read(entry: Value) -> Result<Generation, Error> {
        let view = entry["view"].as_str().unwrap_or_default().to_owned();
        let unreadable = |error: serde_json::Error| Error::Registry(format!("view {view}: {error}"));
        let entry: Entry = serde_json::from_value(entry).map_err(unreadable)?;
        Ok(Generation {
            definition: serde_json::from_value(entry.definition).map_err(unreadable)?,
            number: entry.generation,
            state: entry.state,
            loaded: match entry.state {
                State::Building => entry.loaded_at,
                _ => entry.loaded_at.or(Some(entry.created_at)),
            },
            created_at: entry.created_at,
            changed_at: entry.changed_at.unwrap_or(entry.created_at),
            purged_through: entry.purged_through,
        })
    }

    /// Whether workers keep it in step, each with a group of its own.
    #[must_use]
    pub fn is_consumed(&self) -> bool {
        match self.state {
            State::Live | State::Previous => true,
            State::Building => self.loaded.is_some(),
            State::Retired | State::Cancelled | State::Unknown => false,
        }
    }

    /// Whether the tombstone of an event of this moment may have been removed: that its item is not there does not say that
    /// it never was.
    #[must_use]
    pub fn may_have_purged(&self, moment: Timestamp) -> bool {
        self.purged_through.is_some_and(|through| moment <= through)
    }

    /// The name of its view.
    #[must_use]
    pub fn view(&self) -> &str {
        &self.definition.name
    }

    /// Whether an item is of the type that the view shows.
    pub fn check_type(&self, key: &ItemKey) -> Result<(), ForeignItem> {
        let (expected, found) = (&self.definition.type_name, key.type_name());
        if found == expected {
            Ok(())
        } else {
            Err(ForeignItem { expected: expected.clone(), found: found.clone() })
        }
    }

    /// What its sink is called in letters, metrics and dead letters: `orders.g1`.
    #[must_use]
    pub fn sink(&self) -> String {
        format!("{}.g{}", self.view(), self.number)
    }
}

/// An item of another type than a view shows.
#[derive(Debug, thiserror::Error)]
#[error("an item of type {found} in the topic of {expected}")]
pub struct ForeignItem {
    expected: TypeName,
    found: TypeName,
}

impl State {
    /// As the registries write it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            State::Building => "building",
            State::Live => "live",
            State::Previous => "previous",
            State::Retired => "retired",
            State::Cancelled => "cancelled",
            State::Unknown => "unknown",
        }
    }
}

impl std::fmt::Display for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What a worker serves, and where the model says otherwise.
#[derive(Clone, Debug, PartialEq)]
pub struct Served {
    /// What is consumed, by view and number: of each view the live generation, those before it that are not retired, and one
    /// that is loaded and waits to be live.
    pub generations: Vec<Generation>,
    /// View and state of every generation, whether or not it is consumed.
    pub states: Vec<(String, State)>,
    /// Each view of model and registry, and whether the two differ about it.
    pub differs: BTreeMap<String, bool>,
}

impl Served {
    /// Compares what is live with what the model wants. It changes nothing: a changed definition becomes a new generation by
    /// a rebuild.
    pub(crate) fn compare(mut generations: Vec<Generation>, wanted: &[View]) -> Served {
        let live: Vec<&Generation> =
            generations.iter().filter(|generation| generation.state == State::Live).collect();
        let names = live.iter().map(|live| live.view()).chain(wanted.iter().map(|view| view.name.as_str()));
        let differs = names
            .map(|name| {
                let live = live.iter().find(|generation| generation.view() == name);
                let wants = wanted.iter().find(|view| view.name == name);
                (name.to_owned(), live.map(|generation| &generation.definition) != wants)
            })
            .collect();
        let states = generations.iter().map(|one| (one.view().to_owned(), one.state)).collect();
        generations.retain(Generation::is_consumed);
        Served { generations, states, differs }
    }

    /// Logs each view about which the model differs.
    pub fn report(&self) {
        for (view, _) in self.differs.iter().filter(|(_, differs)| **differs) {
            tracing::warn!(
                view,
                "the model's definition of this view differs from the live generation's, which stays as it is; \
                 a rebuild would bring the new definition"
            );
        }
    }
}
