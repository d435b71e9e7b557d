//! What read models should hold: the latest version of every item, mapped as a worker maps it.

use std::sync::Arc;

use aqueduct_contract::{Event, Item, RawEvent, Tenant};
use aqueduct_store::EventStore;
use aqueduct_store::events::Record;
use futures::stream::{self, Stream, StreamExt, TryStreamExt};
use indicatif::ProgressBar;
use tokio::task::JoinSet;

use crate::buckets::{Buckets, Differing, bucket_of};
use crate::read_model::ReadModel;
use crate::suspects::Suspects;
use crate::{BATCH, Error};

/// Parts of a table. Many, because DynamoDB Local sorts what is left of a part for every page of it: with four, 80,000 items take
/// 14 s, with 64 two. AWS does not care.
pub(crate) const SEGMENTS: i32 = 64;
/// Parts that are read at once.
pub(crate) const READERS: usize = 4;

/// Digests of what should be.
pub(super) struct Expected {
    /// Items in the event store.
    pub(super) items: u64,
    /// For each read model.
    pub(super) digests: Vec<Buckets>,
}

/// Digests of what each of `models` should hold.
pub(super) async fn digests(
    events: &EventStore,
    models: &Arc<Vec<ReadModel>>,
    tenant: Option<&Tenant>,
    bar: &ProgressBar,
) -> Result<Expected, Error> {
    // Tasks, because mapping takes more time than reading.
    let mut readers = JoinSet::new();
    for reader in 0..READERS {
        readers.spawn(of_reader(events.clone(), Arc::clone(models), tenant.cloned(), reader, bar.clone()));
    }
    let mut all = Expected { items: 0, digests: vec![Buckets::default(); models.len()] };
    while let Some(part) = readers.join_next().await {
        let part = part??;
        all.items += part.items;
        for (all, part) in all.digests.iter_mut().zip(&part.digests) {
            all.merge(part);
        }
    }
    Ok(all)
}

async fn of_reader(
    events: EventStore,
    models: Arc<Vec<ReadModel>>,
    tenant: Option<Tenant>,
    reader: usize,
    bar: ProgressBar,
) -> Result<Expected, Error> {
    let mut expected = Expected { items: 0, digests: vec![Buckets::default(); models.len()] };
    let segments = stream::iter((0..SEGMENTS).skip(reader).step_by(READERS));
    let mut records =
        std::pin::pin!(segments.flat_map(|segment| events.latest_of_segment(segment, SEGMENTS)));
    while let Some(record) = records.try_next().await? {
        if tenant.as_ref().is_some_and(|tenant| tenant != record.key.tenant()) {
            continue;
        }
        let event =
            RawEvent::from_json(record.value.as_bytes()).map_err(|error| Error::event(&record.key, error))?;
        let bucket = bucket_of(record.key.tenant(), record.key.id().as_str());
        for (model, buckets) in models.iter().zip(&mut expected.digests) {
            if model.holds(record.key.type_name()) {
                match model.expected(&event.item) {
                    Some(share) => buckets.add(bucket, share),
                    None => buckets.doubt(bucket),
                }
            }
        }
        expected.items += 1;
        bar.inc(1);
    }
    Ok(expected)
}

/// Compares by value the items in the buckets in which each read model differs; returns how many these are.
pub(super) async fn compare(
    events: &EventStore,
    suspects: &mut [Suspects<'_>],
    differing: &[Differing],
    tenant: Option<&Tenant>,
    bar: &ProgressBar,
) -> Result<u64, Error> {
    let mut waiting: Vec<Vec<Item>> = vec![Vec::new(); suspects.len()];
    let mut compared = 0;
    let mut records = std::pin::pin!(latest(events));
    while let Some(record) = records.try_next().await? {
        let key = &record.key;
        if tenant.is_some_and(|tenant| tenant != key.tenant()) {
            continue;
        }
        let concerns = |(suspects, differing): (&Suspects<'_>, &Differing)| {
            suspects.model.holds(key.type_name()) && differing.contains(key)
        };
        let concerned: Vec<bool> = suspects.iter().zip(differing).map(concerns).collect();
        if !concerned.contains(&true) {
            continue;
        }
        let event =
            Event::from_json(record.value.as_bytes()).map_err(|error| Error::event(&record.key, error))?;
        for ((suspects, waiting), _) in
            suspects.iter_mut().zip(&mut waiting).zip(&concerned).filter(|(_, concerned)| **concerned)
        {
            waiting.push(event.item.clone());
            if waiting.len() == BATCH {
                suspects.compare(&std::mem::take(waiting)).await?;
            }
        }
        compared += 1;
        bar.inc(1);
    }
    for (suspects, waiting) in suspects.iter_mut().zip(waiting) {
        suspects.compare(&waiting).await?;
    }
    Ok(compared)
}

/// The latest version of every item.
fn latest(events: &EventStore) -> impl Stream<Item = aqueduct_store::Result<Record>> + '_ {
    stream::iter(0..SEGMENTS)
        .map(|segment| events.latest_of_segment(segment, SEGMENTS).boxed())
        .flatten_unordered(READERS)
}
