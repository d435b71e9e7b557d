//! A generation from its beginning until it is loaded, or given up.
//!
//! The entry comes first and goes last, so whatever a process leaves that dies in between can be found: an entry without an
//! index is made whole by [`resume`](Registry::resume), the index of a cancelled entry goes with the next
//! [`cancel`](Registry::cancel) or [`begin`](Registry::begin). That the index was made is noted: one that is missing
//! afterwards has lost what was loaded, and is not made again.

use aqueduct_model::View;
use opensearch::http::Method;
use serde_json::json;

use super::Registry;
use super::entry::Entry;
use crate::opensearch::mappings;
use crate::{Error, Generation, State};

impl Registry {
    /// Begins the next generation of a registered view: an empty index, without replicas, that does not refresh. `view` has
    /// its mappings resolved, as [`in_opensearch`](crate::definition::in_opensearch) does. No worker consumes it until
    /// [`finish_load`](Registry::finish_load). Of several who begin at once one does; the others get [`Error::Building`].
    pub async fn begin(&self, view: &View) -> Result<Generation, Error> {
        self.create_registry().await?;
        let entries = self.entries().await?;
        let own: Vec<Entry> =
            entries.into_iter().filter(|entry| entry.generation.view() == view.name).collect();
        let Some(highest) = own.iter().map(|entry| entry.generation.number).max() else {
            return Err(Error::Unregistered(view.name.clone()));
        };
        if let Some(entry) = own.iter().find(|entry| entry.generation.state == State::Building) {
            return Err(building(&entry.generation));
        }
        for entry in own.iter().filter(|entry| entry.generation.state == State::Cancelled) {
            self.drop_index(&entry.generation).await?;
        }
        let definition = View { postgres: None, ..view.clone() };
        let generation = Generation::new(definition, highest + 1, State::Building);
        if !self.register(&generation, "begun").await? {
            return Err(building(&self.entry(&generation).await?.generation));
        }
        if let Err(error) = self.resume(&generation).await {
            if !error.is_retryable() {
                // Such as mappings that OpenSearch does not take: another try would end the same.
                self.cancel(&generation).await?;
            }
            return Err(error);
        }
        tracing::info!(view = view.name, generation = generation.number, "began a generation in OpenSearch");
        Ok(self.entry(&generation).await?.generation)
    }

    /// Makes what a [`begin`](Registry::begin) that was cut off has left unmade. Fails when the generation is not being
    /// built, or its index is gone.
    pub async fn resume(&self, generation: &Generation) -> Result<(), Error> {
        let mut entry = self.building(generation).await?;
        let index = self.names.index(generation);
        if entry.has_index() {
            let answer = self.send(Method::Head, &index, None).await?;
            return match answer.status {
                404 => Err(Error::state(generation, "has lost its index: cancel it and begin again")),
                _ => answer.accepted().map(drop),
            };
        }
        let body = mappings::create_index(&entry.generation, &self.names, &self.settings);
        let answer = self.send(Method::Put, &index, Some(body)).await?;
        if answer.is_error("resource_already_exists_exception") {
            // Cut off between the index and its note; or somebody else's, which is an error.
            self.definition_in(&index, generation).await?;
        } else {
            answer.accepted()?;
        }
        entry.set("index_made", true.into());
        self.write(entry).await.map(drop)
    }

    /// Ends the load: brings replicas and refreshing back, and what was loaded before searches. From then on workers consume
    /// the generation, so its group has to have its offsets before. Does nothing the second time.
    pub async fn finish_load(&self, generation: &Generation) -> Result<Generation, Error> {
        let mut entry = self.building(generation).await?;
        if entry.generation.loaded.is_some() {
            return Ok(entry.generation);
        }
        let index = self.names.index(generation);
        let settings = json!({ "index": mappings::served(&self.settings) });
        self.send(Method::Put, &format!("{index}/_settings"), Some(settings)).await?.accepted()?;
        self.send(Method::Post, &format!("{index}/_refresh"), None).await?.accepted()?;
        entry.set("loaded_at", aqueduct_contract::format_time(jiff::Timestamp::now()).into());
        entry.change(State::Building, "loaded")?;
        self.write(entry).await
    }

    /// Gives up what is being built: its index is gone, the entry stays for the history. Does nothing the second time.
    pub async fn cancel(&self, generation: &Generation) -> Result<(), Error> {
        match self.entry(generation).await {
            Ok(entry) if entry.generation.state == State::Cancelled => {}
            Ok(mut entry) if entry.generation.state == State::Building => {
                entry.is_free()?;
                entry.change(State::Cancelled, "cancelled")?;
                self.write(entry).await?;
            }
            Ok(entry) => return Err(not_building(&entry.generation)),
            Err(Error::State { .. }) => return Ok(()),
            Err(error) => return Err(error),
        }
        self.drop_index(generation).await
    }

    async fn building(&self, generation: &Generation) -> Result<Entry, Error> {
        let entry = self.entry(generation).await?;
        match entry.generation.state {
            State::Building => Ok(entry),
            _ => Err(not_building(&entry.generation)),
        }
    }

    /// Drops the index of a generation with its aliases, if it is there.
    pub(super) async fn drop_index(&self, generation: &Generation) -> Result<(), Error> {
        let answer = self.send(Method::Delete, &self.names.index(generation), None).await?;
        if answer.status == 404 { Ok(()) } else { answer.accepted().map(drop) }
    }
}

fn building(generation: &Generation) -> Error {
    Error::Building { store: "OpenSearch", generation: Box::new(generation.clone()) }
}

fn not_building(generation: &Generation) -> Error {
    Error::state(generation, format!("is {}, not being built", generation.state))
}
