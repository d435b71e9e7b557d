//! Reads that must not be older than a write: waiting until a view holds a version.
//!
//! The stores are asked again and again, since neither tells when a row comes. In OpenSearch the question is a search, because a
//! GET by id sees what no search finds yet. A dead letter ends the wait: no time brings what has been set aside.
//!
//! A view may be swapped meanwhile. What a generation holds counts while readers see it: a swap brings them to one that holds
//! at least as much, but the one before goes on being written.

use std::sync::Arc;
use std::time::Duration;

use aqueduct_contract::{ItemKey, Token, Version, Worker};
use aqueduct_store::letters::State;
use aqueduct_views::{Generation, ReadError};
use serde_json::json;
use tokio::time::{Instant, sleep};

use super::{Reads, named};
use crate::Api;
use crate::problem::{Code, Problem, Result};
use crate::request::freshness::AtLeast;

pub(super) const FIRST_PAUSE: Duration = Duration::from_millis(5);
pub(super) const LONGEST_PAUSE: Duration = Duration::from_millis(200);

/// The stores of views.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Store {
    Postgres,
    OpenSearch,
}

impl Store {
    /// How the API calls it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Store::Postgres => "postgres",
            Store::OpenSearch => "opensearch",
        }
    }

    /// Who writes it.
    pub(crate) fn worker(self) -> Worker {
        match self {
            Store::Postgres => Worker::SyncRds,
            Store::OpenSearch => Worker::SyncSearch,
        }
    }
}

impl Reads {
    /// The versions at which a generation has these items of one tenant, where it has them.
    pub(crate) async fn versions(
        &self,
        store: Store,
        generation: &Generation,
        keys: &[&ItemKey],
    ) -> Result<Vec<(String, u64)>, ReadError> {
        let Some(tenant) = keys.first().map(|key| key.tenant()) else { return Ok(Vec::new()) };
        let ids: Vec<&str> = keys.iter().map(|key| key.id().as_str()).collect();
        match store {
            Store::Postgres => self.tables.versions(generation, tenant, &ids).await,
            Store::OpenSearch => self.indexes.versions(generation, tenant, &ids).await,
        }
    }

    /// The version at which a generation has an item, if it has it.
    pub(crate) async fn version(
        &self,
        store: Store,
        generation: &Generation,
        key: &ItemKey,
    ) -> Result<Option<u64>, ReadError> {
        Ok(self.versions(store, generation, &[key]).await?.pop().map(|(_, version)| version))
    }

    /// The generations in a store that workers keep in step.
    pub(crate) async fn consumed(&self, store: Store) -> Result<Arc<[Generation]>, ReadError> {
        match store {
            Store::Postgres => self.tables.consumed().await,
            Store::OpenSearch => self.indexes.consumed().await,
        }
    }

    /// `None` while readers of its view see this generation; otherwise the one that they see.
    pub(super) async fn successor(
        &self,
        store: Store,
        generation: &Generation,
    ) -> Result<Option<Generation>> {
        let (is_live, name) = match store {
            Store::Postgres => (self.tables.is_live(generation).await?, "Postgres"),
            Store::OpenSearch => (self.indexes.is_live(generation).await?, "OpenSearch"),
        };
        if is_live {
            return Ok(None);
        }
        let consumed = self.consumed(store).await?;
        named(&consumed, generation.view(), name).cloned().map(Some)
    }
}

impl Api {
    /// The letter of an item in a group. Without a partition nothing was published, and so nothing set aside.
    pub(crate) async fn letter(
        &self,
        group: &str,
        key: &ItemKey,
        partition: Option<i32>,
    ) -> Result<Option<(Option<u64>, String, State)>> {
        let Some(partition) = partition else { return Ok(None) };
        let topic = self.names.events_topic(key.type_name());
        let filed = self.letters.get(group, &topic, partition, key).await?;
        Ok(filed
            .map(|filed| filed.letter)
            .map(|letter| (letter.version.map(Version::get), letter.code, letter.state)))
    }

    /// Returns once readers of the view see at least the version that the token names.
    pub(crate) async fn until_held(
        &self,
        store: Store,
        generation: &Generation,
        at_least: &AtLeast,
    ) -> Result<()> {
        let Some(Token { key, version }) = &at_least.token else { return Ok(()) };
        if *key.type_name() != generation.definition.type_name {
            let detail = format!(
                "the token is of {}, and the view {} shows {}",
                key.type_name(),
                generation.view(),
                generation.definition.type_name
            );
            return Err(Problem::new(Code::TokenInvalid, detail));
        }
        let mut generation = generation.clone();
        let (deadline, mut pause) = (Instant::now() + at_least.wait, FIRST_PAUSE);
        loop {
            let found = self.reads.version(store, &generation, key).await?;
            let is_held = found >= Some(version.get());
            let stored = if is_held { None } else { self.events.at(key, *version).await? };
            // It was held, and what stood for a deleted item is gone since.
            let written = stored.as_ref().map(|stored| stored.event.item.updated_at);
            let is_purged = found.is_none() && written.is_some_and(|at| generation.may_have_purged(at));
            if is_held || is_purged {
                match self.reads.successor(store, &generation).await? {
                    None => return Ok(()),
                    Some(other) => generation = other,
                }
            }
            let partition = stored.and_then(|stored| stored.published).map(|at| at.partition);
            let group = self.names.view_group(store.worker(), generation.view(), generation.number);
            let missing = json!([{
                "view": generation.view(),
                "store": store.name(),
                "generation": generation.number,
                "type": key.type_name(),
                "id": key.id(),
                "version": version,
                "found": found,
            }]);
            // A letter of a lower version is made moot by this one, once it is applied.
            if let Some((Some(set_aside), code, _)) = self.letter(&group, key, partition).await?
                && set_aside >= version.get()
            {
                let detail = format!(
                    "version {set_aside} was set aside ({code}): the view {} does not hold it until an operator has it redriven",
                    generation.view()
                );
                return Err(Problem::new(Code::DeadLettered, detail).with("missing", missing));
            }
            let now = Instant::now();
            if now >= deadline {
                let detail =
                    format!("the view {} does not hold version {version} of the item yet", generation.view());
                return Err(Problem::new(Code::NotYetVisible, detail).with("missing", missing));
            }
            sleep(pause.min(deadline - now)).await;
            pause = LONGEST_PAUSE.min(pause * 2);
        }
    }
}
