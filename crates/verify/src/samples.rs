//! Do read models go on holding what the event store says? Every worker compares a few items of them, again and again.
//!
//! ```text
//! events ──some items from a random place──▶ compare by value ──▶ what differs ─┐
//!                                                                               ├─▶ looked at until it is certain ──▶ drift
//! a read model ──some of its keys──▶ of which there is no event ────────────────┘                                 metric, log
//! ```
//!
//! **Both ways.** What is missing or wrong is found from the event store, and what no event made from the read model; a sample
//! takes about as many of either. One sample of the event store serves all views of a worker: an item is as likely to be looked
//! at as any other, and a type by its share.
//!
//! **A random place costs as much in a large table as in a small one,** and no item is out of its reach. In the event store it is
//! a random key ([`EventStore::sample`]). The keys of `data` and of a table in Postgres are read in their order, behind one of
//! the items that were just drawn: those are spread as the keys are, which no text made up would be. (`TABLESAMPLE` wants to know
//! the size of the table, and begins with the first page where it is mistaken; a segment of a parallel scan of `data` is all
//! items of a tenant and type.) OpenSearch has no order that is cheap to enter; it scores all documents at random and reads the
//! best.
//!
//! **Certain** is what differs although the worker's group has committed the item's latest version, twice, a second apart: an
//! event on its way, be it for hours, is no drift. Nor is what a letter explains. What drifted is looked at again with every
//! sample, until it agrees; so the metric says what drifts now, as far as it was found.
//!
//! A store that does not answer has the sample left out. Nothing here touches the groups of the worker: its requests are few, one
//! after another, over a connection of their own.
//!
//! Not found here, but by `aqueduct verify`: rows of a child table whose item has no row.

mod certain;
mod metrics;

use std::collections::{BTreeMap, BTreeSet};

use aqueduct_contract::{Event, Item, ItemKey, Names, Worker};
use aqueduct_service::{Service, Settings};
use aqueduct_store::{EventStore, Letters, kafka};
use prometheus::Registry;
use tokio::runtime::Handle;
use tokio::task::spawn_blocking;
use tokio::time::sleep;

use self::metrics::Metrics;
use crate::Error;
use crate::difference::{Difference, Entry, Kind};
use crate::read_model::ReadModel;
use crate::stores::Stores;
use crate::unwritten::never_written;

/// What is known to differ in a read model, at most, before no more is looked for: each is looked at with every sample, and
/// who sees so many compares all.
const KEPT: usize = 100;

/// What differs in one read model.
type Drift = BTreeMap<ItemKey, Kind>;

/// Has a worker compare samples of its read models, every `verify.interval`, until it is to stop.
pub async fn watch(service: &Service, worker: Worker) -> Result<(), Error> {
    let every = service.settings.verify.interval;
    if every.is_zero() {
        return Ok(());
    }
    let mut samples = Samples::new(&service.settings, worker, &service.registry).await?;
    let stop = service.stop.clone();
    // A thread of its own: what maps items to rows must not keep the groups' tasks waiting.
    let watching = spawn_blocking(move || {
        Handle::current().block_on(async {
            while stop.run_until_cancelled(sleep(every)).await.is_some() {
                stop.run_until_cancelled(samples.take()).await;
            }
        });
    });
    service.spawn("samples", watching);
    Ok(())
}

struct Samples {
    worker: Worker,
    names: Names,
    kafka: kafka::Settings,
    events: EventStore,
    letters: Letters,
    stores: Stores,
    items: usize,
    metrics: Metrics,
    /// By group.
    drift: BTreeMap<String, Drift>,
    failing: bool,
}

impl Samples {
    async fn new(settings: &Settings, worker: Worker, registry: &Registry) -> Result<Samples, Error> {
        let names = Names::new(&settings.prefix);
        let client = settings.dynamodb.connect().await;
        let mut settings = settings.clone();
        settings.postgres.max_connections = 1;
        Ok(Samples {
            worker,
            events: EventStore::new(client.clone(), &names),
            letters: Letters::new(client, &names),
            names,
            stores: Stores::new(&settings).await?,
            kafka: settings.kafka,
            items: settings.verify.items,
            metrics: Metrics::new(registry)?,
            drift: BTreeMap::new(),
            failing: false,
        })
    }

    /// Takes one, and says so once when none can be taken.
    async fn take(&mut self) {
        match self.compare().await {
            Ok(()) if self.failing => {
                self.failing = false;
                tracing::info!("samples are compared with the event store again");
            }
            Ok(()) => {}
            Err(error) if self.failing => tracing::debug!(%error, "a sample cannot be compared"),
            Err(error) => {
                self.failing = true;
                tracing::warn!(%error, "samples cannot be compared with the event store, which harms nothing else");
            }
        }
    }

    /// Compares one in every read model that answers; an error is that of the last that does not.
    async fn compare(&mut self) -> Result<(), Error> {
        let models = self.stores.of(self.worker).await?;
        let groups: Vec<String> = models.iter().map(|model| model.group(&self.names)).collect();
        for (gone, _) in self.drift.extract_if(.., |group, _| !groups.contains(group)) {
            self.metrics.forget(&gone);
        }
        let records = self.events.sample(self.items).await?;
        let items = records.into_iter().map(|record| {
            let event = Event::from_json(record.value.as_bytes());
            Ok(event.map_err(|error| Error::event(&record.key, error))?.item)
        });
        let sample = items.collect::<Result<Vec<Item>, Error>>()?;
        let mut failed = None;
        for (model, group) in models.iter().zip(groups) {
            let known = self.drift.get(&group).cloned().unwrap_or_default();
            match self.look(model, &group, &sample, &known).await {
                Ok(found) => {
                    for (key, kind) in found.iter().filter(|(key, kind)| known.get(*key) != Some(*kind)) {
                        let difference =
                            Difference { entry: Entry::of(model.name(), key), kind: kind.clone() };
                        tracing::warn!(%difference, "a read model drifted: `aqueduct verify --repair` mends it");
                    }
                    self.metrics.show(&group, &found);
                    self.drift.insert(group, found);
                }
                Err(error) => failed = Some(error),
            }
        }
        failed.map_or(Ok(()), Err)
    }

    /// What differs in a read model for certain, of `sample`, of as many of its entries, and of what was known to.
    async fn look(
        &self,
        model: &ReadModel,
        group: &str,
        sample: &[Item],
        known: &Drift,
    ) -> Result<Drift, Error> {
        let (unwritten, other): (Vec<_>, Vec<_>) = known.iter().partition(|(_, kind)| **kind == Kind::Extra);
        let keys = |of: Vec<(&ItemKey, &Kind)>| -> BTreeSet<ItemKey> {
            of.into_iter().map(|(key, _)| key.clone()).collect()
        };
        let (mut unwritten, mut suspects) = (keys(unwritten), keys(other));
        if known.len() < KEPT {
            let held = sample.iter().filter(|item| model.holds(item.key.type_name()));
            let held: Vec<Item> = held.cloned().collect();
            suspects.extend(model.compare(&held).await?.into_iter().map(|(key, _)| key));
            let place = held.first().or(sample.first()).map(|item| &item.key);
            let entries = model.some_keys(place, self.items).await?;
            unwritten.extend(never_written(&self.events, &entries).await?.into_iter().cloned());
            self.metrics.compared(group, held.len() + entries.len());
        }
        let mut found = Drift::new();
        for key in unwritten {
            if self.stands_unwritten(model, &key).await? {
                found.insert(key, Kind::Extra);
            }
        }
        found.extend(self.certain(model, group, suspects).await?);
        Ok(found)
    }
}
