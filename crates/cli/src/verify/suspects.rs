//! What differs, until it is known whether it only had to arrive, waits for a decision about a letter, or differs for good.

use anyhow::Context;
use aqueduct_contract::{Item, ItemKey};
use aqueduct_store::EventStore;
use futures::stream::{self, StreamExt, TryStreamExt};

use super::dead_letter::{DeadLetters, Judged};
use super::difference::{DeadLettered, Difference, Entry, Kind};
use super::read_model::ReadModel;
use super::{BATCH, READS};

/// What differs in a read model as far as is known.
pub(super) struct Suspects<'a> {
    pub(super) model: &'a ReadModel,
    pub(super) differing: Vec<(ItemKey, Kind)>,
}

impl<'a> Suspects<'a> {
    /// Nothing differs yet.
    pub(super) fn none(model: &'a ReadModel) -> Suspects<'a> {
        Suspects { model, differing: Vec::new() }
    }

    /// Takes out what a letter explains.
    pub(super) async fn acquit(
        &mut self,
        dead_letters: &DeadLetters<'_>,
    ) -> anyhow::Result<Vec<DeadLettered>> {
        let differing = std::mem::take(&mut self.differing);
        let judged = stream::iter(differing).map(async |(key, kind)| {
            let judged = dead_letters.judge(self.model, &key, kind).await?;
            anyhow::Ok((key, judged))
        });
        let mut acquitted = Vec::new();
        for (key, judged) in judged.buffered(READS).try_collect::<Vec<_>>().await? {
            match judged {
                Judged::DeadLettered(dead_lettered) => acquitted.push(dead_lettered),
                Judged::Differs(kind) => self.differing.push((key, kind)),
            }
        }
        Ok(acquitted)
    }

    /// Keeps what still differs, of items as they are by now.
    pub(super) async fn look_again(&mut self, events: &EventStore) -> anyhow::Result<()> {
        let suspects = std::mem::take(&mut self.differing);
        for part in suspects.chunks(BATCH) {
            let latest = stream::iter(part).map(async |(key, _)| {
                let latest = events.latest(key).await?;
                latest.map(|event| event.item).with_context(|| format!("{key} is gone from the event store"))
            });
            let items: Vec<Item> = latest.buffered(READS).try_collect().await?;
            self.differing.extend(self.model.compare(&items).await?);
        }
        Ok(())
    }

    /// What differs for good.
    pub(super) fn into_differences(self) -> impl Iterator<Item = Difference> {
        let name = self.model.name().to_owned();
        self.differing.into_iter().map(move |(key, kind)| Difference { entry: Entry::of(&name, &key), kind })
    }
}
