//! Items from the event store: which there are says the read table, what they are the events themselves.
//!
//! The read table alone would do for most items, but it keeps numbers by amount: `1.0` is `1` there, and a column of text would
//! hold another text than a worker writes. So of each item the row of its latest version is read, the same bytes as in the topic.
//!
//! What the projector could not put into the read table has a letter with it, filed before its position was committed: the
//! items of these letters, as they stand before the scan, are read from the event store whatever the read table says.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use aqueduct_contract::{ItemKey, TypeName, Version};
use aqueduct_engine::Record;
use aqueduct_store::events::Stored;
use aqueduct_store::{DataTable, EventStore};
use futures::stream::{self, StreamExt, TryStreamExt};
use tokio::sync::mpsc;

use super::plan::Plan;
use super::progress::Progress;
use super::slice::Slice;
use super::source::Read;
use super::unit::Unit;

/// Versions that one request asks for.
const REQUEST: usize = 100;
/// Requests of a segment under way at once.
const AT_ONCE: usize = 4;

/// The event store, for the items of one type.
pub(super) struct Store {
    pub(super) data: DataTable,
    pub(super) events: EventStore,
    pub(super) type_name: TypeName,
    pub(super) topic: String,
    /// Items with a letter of the projector.
    pub(super) apart: HashSet<ItemKey>,
}

impl Store {
    /// Reads a segment, the first one with the items that are apart.
    pub(super) async fn read(
        &self,
        unit: Unit,
        plan: &Plan,
        batches: mpsc::Sender<Vec<Record>>,
        progress: &Progress,
    ) -> Result<Read> {
        let topic: Arc<str> = self.topic.as_str().into();
        if unit.place == 0 {
            for key in &self.apart {
                let Some(latest) = self.events.latest(key).await? else { continue };
                let stored = self.events.at(key, latest.item.version).await?;
                batches.send(stored.iter().map(|stored| record(&topic, stored)).collect()).await?;
            }
        }
        let mut pages = std::pin::pin!(self.data.versions(&self.type_name, unit.place, plan.segments));
        let mut batch = Vec::new();
        while let Some(mut page) = pages.try_next().await? {
            page.retain(|(key, _)| *key.type_name() == self.type_name && !self.apart.contains(key));
            let requests = page.chunks(REQUEST).map(|wanted| self.events_of(wanted.to_vec()));
            let mut found = stream::iter(requests.collect::<Vec<_>>()).buffer_unordered(AT_ONCE);
            let mut begun = Instant::now();
            while let Some(stored) = found.try_next().await? {
                #[expect(clippy::cast_precision_loss, reason = "a hundred at most")]
                let items = stored.len() as f64;
                progress.read(items);
                let rest = progress.pace.rest_of_reading(items, begun, Instant::now());
                batch.extend(stored.iter().map(|stored| record(&topic, stored)));
                if batch.len() >= BATCH {
                    batches.send(std::mem::take(&mut batch)).await.context("the writer has ended")?;
                }
                tokio::time::sleep(rest).await;
                begun = Instant::now();
            }
        }
        if !batch.is_empty() {
            batches.send(batch).await.context("the writer has ended")?;
        }
        Ok(Read { slice: Slice::ALL, left: Vec::new() })
    }

    async fn events_of(&self, wanted: Vec<(ItemKey, Version)>) -> Result<Vec<Stored>> {
        let found = self.events.several(&wanted).await?;
        let missing = wanted.len() - found.len();
        ensure!(missing == 0, "{missing} items are in the read table and not in the event store");
        Ok(found)
    }
}

/// Items of a batch: each is at most 400 KB.
const BATCH: usize = 500;

/// Where it was published, as far as the store knows: a letter would name that.
fn record(topic: &Arc<str>, stored: &Stored) -> Record {
    let (partition, offset) = stored.published.map_or((0, -1), |at| (at.partition, at.offset));
    Record::of_stored(Arc::clone(topic), partition, offset, &stored.record)
}
