//! The document of one generation in the registry's index.

use jiff::Timestamp;
use opensearch::http::Method;
use serde_json::{Value, json};

use super::Registry;
use super::swap::Note;
use crate::{Change, Error, Generation, State, definition};

/// A generation as it stands in the registry, and at which revision of its document.
pub(super) struct Entry {
    pub(super) generation: Generation,
    source: Value,
    seq_no: Value,
    primary_term: Value,
}

/// The document of a generation that is new to the registry.
pub(super) fn body(generation: &Generation, why: &str) -> Value {
    json!({
        "view": generation.view(),
        "generation": generation.number,
        "type": generation.definition.type_name,
        "state": generation.state,
        "definition": generation.definition.definition(),
        "digest": definition::digest(&generation.definition),
        "created_at": aqueduct_contract::format_time(generation.created_at),
        "changed_at": aqueduct_contract::format_time(generation.changed_at),
        "loaded_at": generation.loaded.map(aqueduct_contract::format_time),
        "changes": [change(generation, generation.created_at, None, generation.state, why)],
    })
}

fn change(generation: &Generation, at: Timestamp, from: Option<State>, to: State, why: &str) -> Value {
    json!({
        "at": aqueduct_contract::format_time(at),
        "view": generation.view(),
        "generation": generation.number,
        "from": from,
        "to": to,
        "why": why,
    })
}

impl Entry {
    /// A hit of a search, or the answer to a GET.
    pub(super) fn read(mut hit: Value) -> Result<Entry, Error> {
        let source = hit["_source"].take();
        Ok(Entry {
            generation: Generation::read(source.clone())?,
            source,
            seq_no: hit["_seq_no"].take(),
            primary_term: hit["_primary_term"].take(),
        })
    }

    /// Its changes of state. A release that kept none only registered.
    pub(super) fn changes(&self) -> Result<Vec<Change>, Error> {
        let Generation { state, created_at, .. } = self.generation;
        let registered = || vec![change(&self.generation, created_at, None, state, "registered")];
        let changes = self.source["changes"].as_array().cloned().unwrap_or_else(registered);
        let read =
            |change| serde_json::from_value(change).map_err(|error| Error::Registry(error.to_string()));
        changes.into_iter().map(read).collect()
    }

    /// The swap to it that is under way, if one is.
    pub(super) fn swap(&self) -> Result<Option<Note>, Error> {
        serde_json::from_value(self.source["swap"].clone())
            .map_err(|error| Error::Registry(error.to_string()))
    }

    /// An error while a swap to it is under way, or tombstones of it are removed: its index must not go meanwhile.
    pub(super) fn is_free(&self) -> Result<(), Error> {
        let view = self.generation.view().to_owned();
        if let Some(note) = self.swap()? {
            return Err(Error::Swapping { view, until: note.until });
        }
        let until: Option<Timestamp> = serde_json::from_value(self.source["purging_until"].clone())
            .map_err(|error| Error::Registry(error.to_string()))?;
        if until.is_some_and(|until| until > Timestamp::now()) {
            return Err(Error::Purging { view, number: self.generation.number });
        }
        Ok(())
    }

    /// Whether the index of a generation that is being built was made.
    pub(super) fn has_index(&self) -> bool {
        self.source["index_made"] == true
    }

    /// Notes a change of state, to be written.
    pub(super) fn change(&mut self, to: State, why: &str) -> Result<(), Error> {
        let now = Timestamp::now();
        let changes = self.changes()?;
        let mut changes: Vec<Value> = changes.iter().map(|change| json!(change)).collect();
        changes.push(change(&self.generation, now, Some(self.generation.state), to, why));
        self.set("changes", changes.into());
        if self.generation.state != to {
            self.set("state", json!(to));
            self.set("changed_at", aqueduct_contract::format_time(now).into());
        }
        Ok(())
    }

    /// Sets a field, to be written.
    pub(super) fn set(&mut self, field: &str, value: Value) {
        self.source[field] = value;
    }
}

impl Registry {
    /// A generation as it is registered now.
    pub(super) async fn entry(&self, generation: &Generation) -> Result<Entry, Error> {
        let path = format!("{}/_doc/{}", self.index, generation.sink());
        let answer = self.send(Method::Get, &path, None).await?;
        if answer.status == 404 {
            return Err(Error::state(generation, "is not registered"));
        }
        Entry::read(answer.accepted()?)
    }

    /// Writes an entry as it was changed, on condition that nobody else changed it since it was read.
    pub(super) async fn write(&self, entry: Entry) -> Result<Generation, Error> {
        let Entry { generation, source, seq_no, primary_term } = entry;
        let path = format!(
            "{}/_doc/{}?if_seq_no={seq_no}&if_primary_term={primary_term}",
            self.index,
            generation.sink()
        );
        let answer = self.send(Method::Put, &path, Some(source.clone())).await?;
        if answer.status == 409 {
            return Err(Error::state(
                &generation,
                "was changed by somebody else at the same time: look again",
            ));
        }
        answer.accepted()?;
        Generation::read(source)
    }
}
