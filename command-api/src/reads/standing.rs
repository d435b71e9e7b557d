//! How a version stands in read models: what `GET …/writes/{correlation-id}` shows, and what a write waits for whose client
//! prefers it.
//!
//! A write that is stored is accepted, whatever comes of the wait: a read model that cannot be asked is one of those that do not
//! hold it yet, as far as is known.

use std::time::Duration;

use aqueduct_contract::Item;
use aqueduct_store::letters::State as LetterState;
use aqueduct_views::{Generation, State};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep, timeout_at};

use super::waiting::{FIRST_PAUSE, LONGEST_PAUSE, Store};
use crate::Api;
use crate::problem::Result;
use crate::request::freshness::Wait;

/// What a store has to answer, however little time is left.
const LAST_LOOK: Duration = Duration::from_millis(500);
const DYNAMODB: &str = "dynamodb";

/// What no wait changes: an operator has to.
const SET_ASIDE: [&str; 2] = ["deadLettered", "parked"];

/// A read model that cannot be asked, or all those of a store.
pub(crate) fn unknown(store: &str) -> Value {
    json!({ "store": store, "state": "unknown" })
}

impl Api {
    /// How the version that `item` is at stands in `data`. Its events are in `partition`.
    pub(crate) async fn in_data(&self, item: &Item, partition: Option<i32>) -> Result<Value> {
        let found = self.data.get(&item.key).await?.map(|held| held.version.get());
        let named = json!({ "store": DYNAMODB, "view": "data", "generation": null });
        self.standing(item, partition, named, self.names.data_group(), Ok(found)).await
    }

    /// How it stands in a generation of a view.
    pub(crate) async fn in_view(
        &self,
        store: Store,
        generation: &Generation,
        item: &Item,
        partition: Option<i32>,
    ) -> Result<Value> {
        let found = self.reads.version(store, generation, &item.key).await;
        let found = found.map_err(|error| tracing::debug!(%error, "a view cannot be asked"));
        let group = self.names.view_group(store.worker(), generation.view(), generation.number);
        let named =
            json!({ "store": store.name(), "view": generation.view(), "generation": generation.number });
        let is_purged = found == Ok(None) && generation.may_have_purged(item.updated_at);
        let mut standing = self.standing(item, partition, named, group, found).await?;
        // It was applied: what stood for a deleted item is gone since.
        if is_purged && standing["state"] == "pending" {
            standing["state"] = "applied".into();
        }
        Ok(standing)
    }

    async fn standing(
        &self,
        item: &Item,
        partition: Option<i32>,
        mut named: Value,
        group: String,
        found: Result<Option<u64>, ()>,
    ) -> Result<Value> {
        let wanted = item.version.get();
        let is_applied = found.is_ok_and(|found| found >= Some(wanted));
        let letter = if is_applied { None } else { self.letter(&group, &item.key, partition).await? };
        let state = match &letter {
            _ if is_applied => "applied",
            Some((set_aside, ..)) if set_aside.is_none_or(|version| version == wanted) => "deadLettered",
            Some((_, _, LetterState::Parked)) => "parked",
            _ if found.is_err() => "unknown",
            _ => "pending",
        };
        let letter = letter.filter(|_| SET_ASIDE.contains(&state));
        named["group"] = group.into();
        named["state"] = state.into();
        named["version"] = found.unwrap_or_default().into();
        named["letter"] = letter.map_or(
            Value::Null,
            |(version, code, state)| json!({ "version": version, "code": code, "state": state.as_str() }),
        );
        Ok(named)
    }

    /// Waits as the client of a write prefers: how long at most, and which read models do not hold it after that.
    pub(crate) async fn waited(&self, item: &Item, wait: Wait) -> Option<(Duration, Vec<Value>)> {
        let Wait(Some(wait)) = wait else { return None };
        Some((wait, self.pending(item, wait).await))
    }

    /// Waits until `data` and every live view of its type hold what was written, or one of them has set it aside.
    async fn pending(&self, item: &Item, wait: Duration) -> Vec<Value> {
        let (deadline, mut pause) = (Instant::now() + wait, FIRST_PAUSE);
        let mut partition = None;
        loop {
            let until = deadline.max(Instant::now() + LAST_LOOK);
            if partition.is_none() {
                partition = timeout_at(until, self.partition(item)).await.ok().flatten();
            }
            let (data, tables, indexes) = tokio::join!(
                timeout_at(until, self.in_data(item, partition)),
                timeout_at(until, self.in_live_views(Store::Postgres, item, partition)),
                timeout_at(until, self.in_live_views(Store::OpenSearch, item, partition)),
            );
            let data = data.map(|looked| looked.map(|standing| vec![standing]));
            let stores =
                [(DYNAMODB, data), (Store::Postgres.name(), tables), (Store::OpenSearch.name(), indexes)];
            let looked = stores.into_iter().flat_map(|(store, looked)| match looked {
                Ok(Ok(standings)) => standings,
                _ => vec![unknown(store)],
            });
            let pending: Vec<Value> = looked.filter(|standing| standing["state"] != "applied").collect();
            let is_over =
                pending.iter().any(|standing| SET_ASIDE.iter().any(|state| standing["state"] == *state));
            let now = Instant::now();
            if pending.is_empty() || is_over || now >= deadline {
                return pending;
            }
            sleep(pause.min(deadline - now)).await;
            pause = LONGEST_PAUSE.min(pause * 2);
        }
    }

    /// Where the events of an item are, once this version of it is published.
    async fn partition(&self, item: &Item) -> Option<i32> {
        let stored = self.events.at(&item.key, item.version).await.ok()??;
        stored.published.map(|at| at.partition)
    }

    async fn in_live_views(&self, store: Store, item: &Item, partition: Option<i32>) -> Result<Vec<Value>> {
        let consumed = self.reads.consumed(store).await?;
        let mut standings = Vec::new();
        for generation in consumed.iter().filter(|generation| generation.state == State::Live) {
            if generation.definition.type_name != *item.key.type_name() {
                continue;
            }
            let mut standing = self.in_view(store, generation, item, partition).await?;
            // Readers may see another one by now, which need not hold what this one was given since.
            if standing["state"] == "applied" && self.reads.successor(store, generation).await?.is_some() {
                standing["state"] = "pending".into();
            }
            standings.push(standing);
        }
        Ok(standings)
    }
}
