//! What differs, told from what has only not arrived.
//!
//! The order of the questions is what makes it certain. First the latest version, which is published at an offset; then where the
//! group stands, which is behind its effects and its letters; then the letters, the read model, and whether that version is still
//! the latest. What differs after that has been written wrongly, or by somebody else. A dead letter that is redriven between two
//! of the questions would look like it: so they are asked twice.

use std::collections::{BTreeSet, HashSet};
use std::time::Duration;

use aqueduct_contract::{Attributes, Item, ItemKey, Version};
use aqueduct_store::Stored;
use aqueduct_store::events::Published;
use aqueduct_store::kafka::{Group, Position};
use futures::stream::{self, StreamExt, TryStreamExt};
use jiff::Timestamp;
use tokio::time::sleep;

use super::{Drift, Samples};
use crate::dead_letter::DeadLetters;
use crate::difference::Kind;
use crate::read_model::ReadModel;
use crate::suspects::Suspects;
use crate::unwritten::never_written;
use crate::{Error, READS};

/// Between the first questions and the second.
const PAUSE: Duration = Duration::from_secs(1);

impl Samples {
    /// Those of `suspects` that `model` holds otherwise than it should by now.
    pub(super) async fn certain(
        &self,
        model: &ReadModel,
        group: &str,
        suspects: BTreeSet<ItemKey>,
    ) -> Result<Drift, Error> {
        let first = self.differing(model, group, suspects).await?;
        if first.is_empty() {
            return Ok(first);
        }
        sleep(PAUSE).await;
        self.differing(model, group, first.into_keys().collect()).await
    }

    async fn differing(
        &self,
        model: &ReadModel,
        group: &str,
        suspects: BTreeSet<ItemKey>,
    ) -> Result<Drift, Error> {
        let topics: BTreeSet<String> =
            suspects.iter().map(|key| self.names.events_topic(key.type_name())).collect();
        if topics.is_empty() {
            return Ok(Drift::new());
        }
        let latest = stream::iter(suspects).map(|key| async move { self.latest(&key).await });
        let latest: Vec<Option<Stored>> = latest.buffered(READS).try_collect().await?;
        let topics: Vec<String> = topics.into_iter().collect();
        let positions = Group::new(&self.kafka, group, &topics).positions().await?;
        let due = latest.into_iter().flatten().filter(|stored| {
            let topic = self.names.events_topic(stored.event.item.key.type_name());
            stored.published.is_some_and(|at| is_done(&positions, &topic, at))
        });
        let due: Vec<Item> = due.map(|stored| stored.event.item).collect();
        if due.is_empty() {
            return Ok(Drift::new());
        }
        let groups = HashSet::from([group.to_owned()]);
        let letters = DeadLetters::load(&self.letters, &self.events, &self.names, &groups).await?;
        let mut suspects = Suspects::none(model);
        suspects.compare(&due).await?;
        suspects.acquit(&letters).await?;
        let mut differing = Drift::new();
        for (key, kind) in suspects.differing {
            let latest = self.events.latest(&key).await?.map(|event| event.item.version);
            if due.iter().any(|item| item.key == key && Some(item.version) == latest) {
                differing.insert(key, kind);
            }
        }
        Ok(differing)
    }

    async fn latest(&self, key: &ItemKey) -> Result<Option<Stored>, Error> {
        match self.events.latest(key).await? {
            Some(event) => Ok(self.events.at(key, event.item.version).await?),
            None => Ok(None),
        }
    }

    /// Whether `model` holds something of an item that was never written.
    pub(super) async fn stands_unwritten(&self, model: &ReadModel, key: &ItemKey) -> Result<bool, Error> {
        if never_written(&self.events, std::slice::from_ref(key)).await?.is_empty() {
            return Ok(false);
        }
        // Nothing of a deleted item is mapped: whatever stands under the key, this tells that something does.
        let probe = Item {
            key: key.clone(),
            version: Version::FIRST,
            attributes: Attributes::new(),
            deleted: true,
            created_at: Timestamp::UNIX_EPOCH,
            created_by: String::new(),
            updated_at: Timestamp::UNIX_EPOCH,
            updated_by: String::new(),
        };
        Ok(!matches!(model.compare_one(&probe).await?, Some(Kind::Missing { .. })))
    }
}

/// Whether the effect of what was published there has come: a group has committed it, or all that the topic has since it was made
/// anew.
fn is_done(positions: &[Position], topic: &str, at: Published) -> bool {
    let position =
        positions.iter().find(|position| position.topic == topic && position.partition == at.partition);
    position.is_some_and(|position| position.next() > at.offset || position.lag() == 0)
}
