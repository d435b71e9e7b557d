//! Which generations there are in OpenSearch: the index `aqueduct-views`.
//!
//! Two requests cannot be one transaction, so a view's index comes first, with its complete definition in it (`_meta`):
//! of workers that start at once, one makes it. Whoever finds it there registers the definition that it holds, by a
//! write that only one can win (`op_type=create`). Every step can be done twice, and a crash between two is finished by
//! the next start. So a registered generation has its index, always, and a model with mappings that OpenSearch does not
//! take registers nothing.
//!
//! A generation that is built later is registered first: the number is taken by the same kind of write, so two who begin at once
//! cannot both. A change of state is a write on condition that the entry is as it was read.
//!
//! Of a registered generation missing aliases are made again, an index is not: its events are behind the committed
//! offsets of its group, so an empty one would stay empty. Its sink waits, loudly, until it is back.

mod building;
mod entry;
mod purge;
mod retire;
mod swap;

use aqueduct_contract::Names;
use aqueduct_model::{Model, View};
use opensearch::OpenSearch;
use opensearch::http::Method;
use serde_json::{Value, json};

use self::entry::Entry;
use super::request::{Answer, send};
use super::{IndexNames, Settings, mappings};
use crate::{Change, Error, Generation, Served, State, definition};

/// The views of one cluster and index prefix.
#[derive(Clone, Debug)]
pub struct Registry {
    client: OpenSearch,
    settings: Settings,
    names: IndexNames,
    index: String,
}

impl Registry {
    /// The registry that `settings` lead to.
    pub fn new(settings: &Settings, names: &Names) -> Result<Registry, Error> {
        let index_names = IndexNames::new(&settings.index_prefix);
        Ok(Registry {
            client: settings.client()?,
            index: index_names.registry(names),
            names: index_names,
            settings: settings.clone(),
        })
    }

    /// The client that it asks with.
    #[must_use]
    pub fn client(&self) -> &OpenSearch {
        &self.client
    }

    /// What leads to it.
    #[must_use]
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Makes generation 1 of every view of the model that is not registered, and returns what is consumed. Safe to call by
    /// many at once; calling it again does nothing.
    pub async fn ensure(&self, model: &Model) -> Result<Served, Error> {
        self.create_registry().await?;
        let wanted = definition::all_in_opensearch(model);
        let registered = self.generations().await?;
        for view in &wanted {
            if registered.iter().all(|generation| generation.view() != view.name) {
                self.create_first(view).await?;
            }
        }
        let all = self.generations().await?;
        for generation in all.iter().filter(|generation| generation.state == State::Live) {
            self.complete(generation).await?;
        }
        Ok(Served::compare(all, &wanted))
    }

    /// What is consumed now, compared with the model. Makes nothing, and clears away a swap that was cut off.
    pub async fn look(&self, model: &Model) -> Result<Served, Error> {
        Ok(Served::compare(known(self.settled().await?), &definition::all_in_opensearch(model)))
    }

    /// Every generation, by view and number. Fails while nothing was ever registered under this prefix.
    pub async fn generations(&self) -> Result<Vec<Generation>, Error> {
        Ok(known(self.entries().await?))
    }

    /// Every change of state, of one view or of all, the oldest first.
    pub async fn history(&self, view: Option<&str>) -> Result<Vec<Change>, Error> {
        let entries = self.entries().await?.into_iter();
        let entries = entries.filter(|entry| view.is_none_or(|view| view == entry.generation.view()));
        let mut changes: Vec<Change> = entries
            .map(|entry| entry.changes())
            .collect::<Result<Vec<_>, _>>()?
            .into_iter()
            .flatten()
            .collect();
        changes.sort_by_key(|change| change.at);
        Ok(changes)
    }

    /// What is registered, by view and number, with what was cancelled.
    async fn entries(&self) -> Result<Vec<Entry>, Error> {
        let index = &self.index;
        // A search finds only what was refreshed; another worker may have written a moment ago.
        self.send(Method::Post, &format!("{index}/_refresh"), None).await?.accepted()?;
        let all = json!({ "size": 10_000, "sort": ["view", "generation"], "seq_no_primary_term": true });
        let found = self.send(Method::Post, &format!("{index}/_search"), Some(all)).await?.accepted()?;
        found["hits"]["hits"].as_array().into_iter().flatten().map(|hit| Entry::read(hit.clone())).collect()
    }

    async fn create_registry(&self) -> Result<(), Error> {
        let mappings = json!({ "dynamic": "strict", "properties": {
            "view": { "type": "keyword" },
            "generation": { "type": "integer" },
            "type": { "type": "keyword" },
            "state": { "type": "keyword" },
            "definition": { "type": "object", "enabled": false },
            "digest": { "type": "keyword" },
            "created_at": { "type": "date" },
            "changed_at": { "type": "date" },
            "loaded_at": { "type": "date" },
            "index_made": { "type": "boolean" },
            "changes": { "type": "object", "enabled": false },
            "swap": { "type": "object", "enabled": false },
            "purged_through": { "type": "date" },
            "purging_until": { "type": "date" },
        } });
        let body = json!({
            "settings": { "index": { "number_of_shards": 1, "number_of_replicas": self.settings.replicas } },
            "mappings": mappings,
        });
        let answer = self.send(Method::Put, &self.index, Some(body)).await?;
        if !answer.is_error("resource_already_exists_exception") {
            return answer.accepted().map(drop);
        }
        // A release before this one may have made it, with less.
        let path = format!("{}/_mapping", self.index);
        self.send(Method::Put, &path, Some(mappings)).await?.accepted().map(drop)
    }

    async fn create_first(&self, view: &View) -> Result<(), Error> {
        let mut generation = Generation::new(view.clone(), 1, State::Live);
        self.check_public_name(&generation).await?;
        let index = self.names.index(&generation);
        let body = mappings::create_index(&generation, &self.names, &self.settings);
        let answer = self.send(Method::Put, &index, Some(body)).await?;
        if answer.is_error("resource_already_exists_exception") {
            generation.definition = self.definition_in(&index, &generation).await?;
        } else {
            answer.accepted()?;
        }
        if self.register(&generation, "registered").await? {
            tracing::info!(view = view.name, generation = 1, "registered a view and made its index");
        }
        Ok(())
    }

    /// What the index of a worker that was faster, or of a start that was cut off, was made from.
    async fn definition_in(&self, index: &str, generation: &Generation) -> Result<View, Error> {
        let mut answer = self.send(Method::Get, &format!("{index}/_mapping"), None).await?.accepted()?;
        let definition = answer[index]["mappings"]["_meta"][mappings::DEFINITION].take();
        match serde_json::from_value::<View>(definition) {
            Ok(definition) if definition.name == generation.view() => Ok(definition),
            _ => Err(taken(generation, index.to_owned())),
        }
    }

    /// Makes the entry of a generation; `false` when there is one already.
    async fn register(&self, generation: &Generation, why: &str) -> Result<bool, Error> {
        let path = format!("{}/_create/{}", self.index, generation.sink());
        let body = entry::body(generation, why);
        let answer = self.send(Method::Put, &path, Some(body)).await?;
        if answer.status == 409 {
            return Ok(false);
        }
        answer.accepted().map(|_| true)
    }

    /// Makes the aliases that a live generation's index should have.
    async fn complete(&self, generation: &Generation) -> Result<(), Error> {
        let is_shown = self.check_public_name(generation).await?;
        let index = self.names.index(generation);
        let answer = self.send(Method::Get, &format!("{index}/_alias"), None).await?;
        if answer.status == 404 {
            tracing::error!(
                view = generation.view(),
                index,
                "the index of this view is gone; its events wait until it is restored from a snapshot"
            );
            return Ok(());
        }
        let body = answer.accepted()?;
        let aliases = &body[&index]["aliases"];
        let write = (self.names.write_alias(generation), json!({ "is_write_index": true }));
        let public = (self.names.public_alias(generation.view()), mappings::public_alias());
        // A swap moves the public alias before it says so here: what it moved to another index is not missing.
        let wanted = [Some(write), (!is_shown).then_some(public)];
        let missing: Vec<Value> = wanted
            .into_iter()
            .flatten()
            .filter(|(name, _)| aliases[name].is_null())
            .map(|(name, mut alias)| {
                alias["index"] = index.clone().into();
                alias["alias"] = name.into();
                json!({ "add": alias })
            })
            .collect();
        if missing.is_empty() {
            return Ok(());
        }
        self.send(Method::Post, "_aliases", Some(json!({ "actions": missing }))).await?.accepted().map(drop)
    }

    /// The public name must be free or an alias of this view's own indexes: an alias over a stranger's index would show
    /// both as one. Whether it is one is returned.
    async fn check_public_name(&self, generation: &Generation) -> Result<bool, Error> {
        let public = self.names.public_alias(generation.view());
        let answer = self.send(Method::Get, &format!("{public}/_alias"), None).await?;
        if answer.status == 404 {
            return Ok(false);
        }
        let own = format!("{public}-g");
        let holders = answer.accepted()?;
        let ours =
            |index: &String| index.strip_prefix(&own).is_some_and(|number| number.parse::<u32>().is_ok());
        let all_ours = holders.as_object().is_some_and(|holders| holders.keys().all(ours));
        if all_ours { Ok(true) } else { Err(taken(generation, public)) }
    }

    async fn send(&self, method: Method, path: &str, body: Option<Value>) -> Result<Answer, Error> {
        send(&self.client, method, path, body).await
    }
}

fn known(entries: Vec<Entry>) -> Vec<Generation> {
    let generations = entries.into_iter().map(|entry| entry.generation);
    generations.filter(|generation| generation.state != State::Cancelled).collect()
}

fn taken(generation: &Generation, name: String) -> Error {
    Error::Taken { view: generation.view().to_owned(), name }
}
