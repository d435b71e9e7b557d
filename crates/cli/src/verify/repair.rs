//! `aqueduct verify --repair`: what differs is written again, by the sinks of the workers and from the event store.
//!
//! Only what differs, and through the same guard, which also lets the same version through here. So a repair may run while the
//! workers do: whoever writes the later version wins, in any order.

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail};
use aqueduct_contract::{ItemKey, Names};
use aqueduct_engine::{Outcome, Record, Sink, SinkError};
use aqueduct_projector::DataSink;
use aqueduct_service::Settings;
use aqueduct_store::{DataTable, EventStore, events};
use aqueduct_sync_rds::sink::TableSink;
use aqueduct_sync_search::sink::IndexSink;
use aqueduct_verify::{Difference, Kind, remove_unwritten};
use aqueduct_views::{Generation, opensearch, postgres};
use futures::stream::{self, StreamExt, TryStreamExt};
use indicatif::ProgressBar;

/// Items that are written in one go.
const BATCH: usize = 500;
/// Reads of single items under way at once.
const READS: usize = 16;

/// Writes again what differs, and removes what was never written. Returns how many entries that was.
pub(super) async fn repair(
    settings: &Settings,
    differences: &[Difference],
    bar: &ProgressBar,
) -> Result<u64> {
    let names = Names::new(&settings.prefix);
    let events = EventStore::new(settings.dynamodb.connect().await, &names);
    bar.set_message("entries repaired:");
    bar.set_position(0);
    let mut repaired = 0;
    for (read_model, keys) in by_read_model(differences) {
        let sink = AnySink::new(settings, &names, read_model).await?;
        for keys in keys.chunks(BATCH) {
            let records = latest(&events, &names, keys).await?;
            // Where one is at fault and the store does not say which: halve until it stands alone.
            let mut waiting = vec![records.as_slice()];
            while let Some(part) = waiting.pop() {
                let outcomes = match sink.apply(part).await {
                    Err(SinkError::Poison(reason)) if part.len() == 1 => vec![Outcome::Poison(reason)],
                    Err(SinkError::Poison(_)) => {
                        let (left, right) = part.split_at(part.len() / 2);
                        waiting.extend([left, right]);
                        continue;
                    }
                    outcomes => outcomes.with_context(|| format!("{read_model} cannot be written"))?,
                };
                for (record, outcome) in part.iter().zip(outcomes) {
                    match outcome {
                        // Stale: a worker wrote a later version meanwhile.
                        Outcome::Applied | Outcome::Stale => repaired += 1,
                        Outcome::Ignored(reason) | Outcome::Poison(reason) => {
                            let key = String::from_utf8_lossy(record.key().unwrap_or_default()).into_owned();
                            bar.suspend(|| eprintln!("{read_model}: {key} cannot be written: {reason}"));
                        }
                        Outcome::Retry(reason) | Outcome::Throttled(reason) => {
                            bail!("{read_model} takes no more at present, run it again: {reason}")
                        }
                    }
                }
            }
            bar.inc(keys.len() as u64);
        }
    }
    Ok(repaired + remove_unwritten(settings, differences).await?)
}

/// The sink of the worker that keeps a read model.
enum AnySink {
    Data(DataSink),
    Table(Box<TableSink>),
    Index(Box<IndexSink>),
}

impl AnySink {
    /// Of the read model that a report calls so.
    async fn new(settings: &Settings, names: &Names, read_model: &str) -> Result<AnySink> {
        Ok(match read_model.split_once(' ') {
            None => {
                let table = DataTable::new(settings.dynamodb.connect().await, names);
                AnySink::Data(DataSink::new(table, names.clone()).repairing())
            }
            Some(("postgres", sink)) => {
                let pool = settings.postgres.connect_lazy()?;
                let generation = find(postgres::Registry::new(pool.clone()).generations().await?, sink)?;
                AnySink::Table(Box::new(TableSink::repairing(pool, generation)?))
            }
            Some((_, sink)) => {
                let registry = opensearch::Registry::new(&settings.opensearch, names)?;
                let generation = find(registry.generations().await?, sink)?;
                let sink = IndexSink::new(registry, generation)?;
                AnySink::Index(Box::new(sink.repairing()))
            }
        })
    }

    async fn apply(&self, batch: &[Record]) -> Result<Vec<Outcome>, SinkError> {
        match self {
            AnySink::Data(sink) => sink.apply(batch).await,
            AnySink::Table(sink) => sink.apply(batch).await,
            AnySink::Index(sink) => sink.apply(batch).await,
        }
    }
}

/// What is to be written again in each read model. What cannot be mapped cannot be written either.
fn by_read_model(differences: &[Difference]) -> BTreeMap<&str, Vec<ItemKey>> {
    let mut keys: BTreeMap<&str, Vec<ItemKey>> = BTreeMap::new();
    for Difference { entry, kind } in differences {
        let written = matches!(kind, Kind::Missing { .. } | Kind::Version { .. } | Kind::Value { .. });
        if let Some(key) = entry.key().filter(|_| written) {
            keys.entry(&entry.read_model).or_default().push(key);
        }
    }
    keys
}

fn find(generations: Vec<Generation>, sink: &str) -> Result<Generation> {
    let found = generations.into_iter().find(|generation| generation.sink() == sink);
    found.with_context(|| format!("{sink} is gone since it was compared"))
}

/// The latest events of items, as records of their topics.
async fn latest(events: &EventStore, names: &Names, keys: &[ItemKey]) -> Result<Vec<Record>> {
    let read = async |key: &ItemKey| {
        let event = events.latest(key).await?.with_context(|| format!("{key} has no event"))?;
        let topic = names.events_topic(key.type_name());
        anyhow::Ok(Record::of_stored(topic.into(), 0, 0, &events::Record::of(&event)))
    };
    stream::iter(keys).map(read).buffered(READS).try_collect().await
}
