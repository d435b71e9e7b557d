//! What differs, until it is known whether it only had to arrive, waits for a decision about a letter, or differs for good.

use aqueduct_contract::{Item, ItemKey};
use aqueduct_store::EventStore;
use futures::stream::{self, StreamExt, TryStreamExt};

use crate::dead_letter::{DeadLetters, Judged};
use crate::difference::{DeadLettered, Difference, Entry, Kind};
use crate::read_model::ReadModel;
use crate::{BATCH, Error, READS};

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

    /// Adds those of `items`, all of types that the read model holds, that it holds otherwise.
    pub(super) async fn compare(&mut self, items: &[Item]) -> Result<(), Error> {
        self.differing.extend(self.model.compare(items).await?);
        Ok(())
    }

    /// Takes out what a letter explains.
    pub(super) async fn acquit(
        &mut self,
        dead_letters: &DeadLetters<'_>,
    ) -> Result<Vec<DeadLettered>, Error> {
        let differing = std::mem::take(&mut self.differing);
        let judged = stream::iter(differing).map(async |(key, kind)| {
            let judged = dead_letters.judge(self.model, &key, kind).await?;
            Ok::<_, Error>((key, judged))
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
    pub(super) async fn look_again(&mut self, events: &EventStore) -> Result<(), Error> {
        let suspects = std::mem::take(&mut self.differing);
        for part in suspects.chunks(BATCH) {
            let latest = stream::iter(part).map(async |(key, _)| {
                let latest = events.latest(key).await?;
                latest.map(|event| event.item).ok_or_else(|| Error::Gone(key.to_string()))
            });
            let items: Vec<Item> = latest.buffered(READS).try_collect().await?;
            self.compare(&items).await?;
        }
        Ok(())
    }

    /// What differs for good.
    pub(super) fn into_differences(self) -> impl Iterator<Item = Difference> {
        let name = self.model.name().to_owned();
        self.differing.into_iter().map(move |(key, kind)| Difference { entry: Entry::of(&name, &key), kind })
    }
}
