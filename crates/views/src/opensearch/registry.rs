//! Which generations there are in OpenSearch: the index `aqueduct-views`.
//!
//! Two requests cannot be one transaction, so a view's index comes first, with its complete definition in it (`_meta`):
//! of workers that start at once, one makes it. Whoever finds it there registers the definition that it holds, by a
//! write that only one can win (`op_type=create`). Every step can be done twice, and a crash between two is finished by
//! the next start. So a registered generation has its index, always, and a model with mappings that OpenSearch does not
//! take registers nothing.
//!
//! Of a registered generation missing aliases are made again, an index is not: its events are behind the committed
//! offsets of its group, so an empty one would stay empty. Its sink waits, loudly, until it is back.

use aqueduct_contract::Names;
use aqueduct_model::{Model, View};
use jiff::Timestamp;
use opensearch::OpenSearch;
use opensearch::http::Method;
use serde_json::{Value, json};

use super::request::{Answer, send};
use super::{IndexNames, Settings, mappings};
use crate::{Error, Generation, Served, State, definition};

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

    /// Makes generation 1 of every view of the model that is not registered, and returns what is live. Safe to call by
    /// many at once; calling it again does nothing.
    pub async fn ensure(&self, model: &Model) -> Result<Served, Error> {
        self.create_registry().await?;
        let wanted: Vec<View> = model
            .types()
            .flat_map(|of| of.views.iter().filter_map(|view| definition::in_opensearch(of, view)))
            .collect();
        let registered = self.generations().await?;
        for view in &wanted {
            if registered.iter().all(|generation| generation.view() != view.name) {
                self.create_first(view).await?;
            }
        }
        let mut live = self.generations().await?;
        live.retain(|generation| generation.state == State::Live);
        for generation in &live {
            self.complete(generation).await?;
        }
        Ok(Served::compare(live, &wanted))
    }

    /// Every generation, by view and number. Fails while nothing was ever registered under this prefix.
    pub async fn generations(&self) -> Result<Vec<Generation>, Error> {
        let index = &self.index;
        // A search finds only what was refreshed; another worker may have written a moment ago.
        self.send(Method::Post, &format!("{index}/_refresh"), None).await?.accepted()?;
        let all = json!({ "size": 10_000, "sort": ["view", "generation"] });
        let found = self.send(Method::Post, &format!("{index}/_search"), Some(all)).await?.accepted()?;
        found["hits"]["hits"].as_array().into_iter().flatten().map(|hit| read(&hit["_source"])).collect()
    }

    async fn create_registry(&self) -> Result<(), Error> {
        let body = json!({
            "settings": { "index": { "number_of_shards": 1, "number_of_replicas": self.settings.replicas } },
            "mappings": { "dynamic": "strict", "properties": {
                "view": { "type": "keyword" },
                "generation": { "type": "integer" },
                "type": { "type": "keyword" },
                "state": { "type": "keyword" },
                "definition": { "type": "object", "enabled": false },
                "digest": { "type": "keyword" },
                "created_at": { "type": "date" },
            } },
        });
        let answer = self.send(Method::Put, &self.index, Some(body)).await?;
        if answer.is_error("resource_already_exists_exception") {
            Ok(())
        } else {
            answer.accepted().map(drop)
        }
    }

    async fn create_first(&self, view: &View) -> Result<(), Error> {
        let mut generation = Generation {
            definition: view.clone(),
            number: 1,
            state: State::Live,
            created_at: Timestamp::now(),
        };
        self.check_public_name(&generation).await?;
        let index = self.names.index(&generation);
        let body = mappings::create_index(&generation, &self.names, &self.settings);
        let answer = self.send(Method::Put, &index, Some(body)).await?;
        if answer.is_error("resource_already_exists_exception") {
            generation.definition = self.definition_in(&index, &generation).await?;
        } else {
            answer.accepted()?;
        }
        self.register(&generation).await
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

    async fn register(&self, generation: &Generation) -> Result<(), Error> {
        let body = json!({
            "view": generation.view(),
            "generation": generation.number,
            "type": generation.definition.type_name,
            "state": State::LIVE,
            "definition": generation.definition.definition(),
            "digest": definition::digest(&generation.definition),
            "created_at": aqueduct_contract::format_time(generation.created_at),
        });
        let path = format!("{}/_create/{}", self.index, generation.sink());
        let answer = self.send(Method::Put, &path, Some(body)).await?;
        if answer.status == 409 {
            // Another worker was first.
            return Ok(());
        }
        tracing::info!(view = generation.view(), generation = 1, "registered a view and made its index");
        answer.accepted().map(drop)
    }

    /// Makes the aliases that a live generation's index should have.
    async fn complete(&self, generation: &Generation) -> Result<(), Error> {
        self.check_public_name(generation).await?;
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
        let missing: Vec<Value> = [write, public]
            .into_iter()
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
    /// both as one.
    async fn check_public_name(&self, generation: &Generation) -> Result<(), Error> {
        let public = self.names.public_alias(generation.view());
        let answer = self.send(Method::Get, &format!("{public}/_alias"), None).await?;
        if answer.status == 404 {
            return Ok(());
        }
        let own = format!("{public}-g");
        let holders = answer.accepted()?;
        let ours =
            |index: &String| index.strip_prefix(&own).is_some_and(|number| number.parse::<u32>().is_ok());
        let all_ours = holders.as_object().is_some_and(|holders| holders.keys().all(ours));
        if all_ours { Ok(()) } else { Err(taken(generation, public)) }
    }

    async fn send(&self, method: Method, path: &str, body: Option<Value>) -> Result<Answer, Error> {
        send(&self.client, method, path, body).await
    }
}

fn read(source: &Value) -> Result<Generation, Error> {
    let unreadable =
        |what: &dyn std::fmt::Display| Error::Registry(format!("view {}: {what}", source["view"]));
    Ok(Generation {
        definition: serde_json::from_value(source["definition"].clone())
            .map_err(|error| unreadable(&error))?,
        number: serde_json::from_value(source["generation"].clone()).map_err(|error| unreadable(&error))?,
        state: State::read(source["state"].as_str().unwrap_or_default()),
        created_at: serde_json::from_value(source["created_at"].clone())
            .map_err(|error| unreadable(&error))?,
    })
}

fn taken(generation: &Generation, name: String) -> Error {
    Error::Taken { view: generation.view().to_owned(), name }
}
