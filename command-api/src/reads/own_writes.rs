//! Reads in a session: what the caller has written and a read model does not hold yet, merged into what it answers.
//!
//! A session is the caller's user and tenant. A view read first waits a moment for the caller's versions: mostly they are there
//! before the caller asks. What is still missing then is read from the store. A session is a convenience: a read goes on
//! without it when it cannot be had.

use std::borrow::Cow;
use std::time::Duration;

use aqueduct_contract::{Item, ItemKey, Tenant, TypeName, Version, format_time};
use aqueduct_views::Generation;
use aqueduct_views::postgres::RowMapper;
use aqueduct_views::postgres::select::OwnRow;
use futures::stream::{self, StreamExt, TryStreamExt};
use jiff::Timestamp;
use tokio::time::{Instant, sleep};

use super::waiting::Store;
use crate::Api;
use crate::problem::Result;

/// Items of a session that a read merges.
const ENTRIES: usize = 100;
/// How long a view read waits for the caller's versions, and how often it looks.
const WAIT: Duration = Duration::from_millis(300);
const PAUSE: Duration = Duration::from_millis(20);
const AT_ONCE: usize = 16;

impl Api {
    /// Notes a write in the caller's session. That it cannot be noted fails no write.
    pub(crate) async fn note_own(&self, user: &str, item: &Item) {
        if let Some(sessions) = &self.sessions
            && let Err(error) = sessions.note(user, &item.key, item.version, Timestamp::now()).await
        {
            tracing::warn!(%error, "the write is not in its session, whose reads may not show it at once");
        }
    }

    /// What the caller has written of a type lately.
    async fn own(&self, user: &str, tenant: &Tenant, of: &TypeName) -> Vec<(ItemKey, Version)> {
        let Some(sessions) = &self.sessions else { return Vec::new() };
        let written = sessions.written(user, tenant, of, ENTRIES, Timestamp::now()).await;
        written.unwrap_or_else(|error| {
            tracing::warn!(%error, "the session cannot be read");
            Vec::new()
        })
    }

    /// The rows of the caller's writes that the table of a view does not hold yet; of a deleted item, a deleted one. What
    /// maps to no row will not be in the view either.
    pub(crate) async fn own_rows(
        &self,
        user: &str,
        tenant: &Tenant,
        generation: &Generation,
    ) -> Result<Vec<OwnRow>> {
        let Some(view) = &generation.definition.postgres else { return Ok(Vec::new()) };
        let mut own = self.own(user, tenant, &generation.definition.type_name).await;
        let deadline = Instant::now() + WAIT;
        while !own.is_empty() {
            let keys: Vec<&ItemKey> = own.iter().map(|(key, _)| key).collect();
            let held = self.reads.versions(Store::Postgres, generation, &keys).await?;
            own.retain(|(key, version)| {
                let found = held.iter().find(|(id, _)| id == key.id().as_str());
                found.is_none_or(|(_, found)| *found < version.get())
            });
            if Instant::now() >= deadline {
                break;
            }
            if !own.is_empty() {
                sleep(PAUSE).await;
            }
        }
        let items = self.items(own).await?;
        let mapper = RowMapper::new(view);
        Ok(items.iter().filter_map(|item| own_row(&mapper, item)).collect())
    }

    /// The caller's writes that `data` does not hold yet, and whether the item is in lists of it.
    pub(crate) async fn own_items(
        &self,
        user: &str,
        tenant: &Tenant,
        of: &TypeName,
    ) -> Result<Vec<(Item, bool)>> {
        let own = self.own(user, tenant, of).await;
        let asked = own.into_iter().map(|(key, version)| async move {
            let held = self.data.get(&key).await?;
            let pending = held.as_ref().is_none_or(|held| held.version < version);
            let listed = held.is_some_and(|held| !held.deleted);
            Ok::<_, aqueduct_store::Error>(pending.then_some(((key, version), listed)))
        });
        let pending: Vec<Option<_>> = stream::iter(asked).buffered(AT_ONCE).try_collect().await?;
        let (pending, listed): (Vec<_>, Vec<bool>) = pending.into_iter().flatten().unzip();
        Ok(self.items(pending).await?.into_iter().zip(listed).collect())
    }

    /// The items at these versions.
    async fn items(&self, versions: Vec<(ItemKey, Version)>) -> Result<Vec<Item>> {
        let read = versions.into_iter().map(|(key, version)| async move {
            let stored = self.events.at(&key, version).await?;
            stored.map(|stored| stored.event.item).ok_or_else(|| {
                aqueduct_store::Error::Unavailable(format!("{key} has no version {version}").into())
            })
        });
        Ok(stream::iter(read).buffered(AT_ONCE).try_collect().await?)
    }
}

/// The row that a worker will make of an item.
fn own_row(mapper: &RowMapper, item: &Item) -> Option<OwnRow> {
    let item = item.to_raw().ok()?;
    let row = mapper.row(&item).ok()?;
    let times = [row.created_at, row.updated_at].map(format_time);
    let own = [row.id.to_owned(), row.item_version.to_string()].into_iter().chain(times).map(Some);
    let values = own.chain(row.values.into_iter().map(|value| value.map(Cow::into_owned))).collect();
    Some(OwnRow { id: row.id.to_owned(), deleted: row.deleted, values })
}
