//! Where the records of a unit come from: of each item the one with its highest version.

use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context, Result};
use aqueduct_contract::ItemKey;
use aqueduct_engine::{Record, version_of};
use aqueduct_store::kafka;
use rdkafka::message::Message;
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tokio::task::{JoinHandle, spawn_blocking};

use super::newest::{BYTES_A_KEY, Newest, Wanted};
use super::plan::Plan;
use super::progress::Progress;
use super::slice::Slice;
use super::store::Store;
use super::topic::Reader;
use super::unit::Unit;

/// Records of a batch, and their bytes: one `COPY`, one bulk request or a few.
const BATCH_RECORDS: usize = 5000;
const BATCH_BYTES: usize = 8 << 20;
/// Records between two looks at the pace.
const STEP: u32 = 1000;

/// What a load reads.
pub(super) enum Sources {
    /// The events topic.
    Topic(Topic),
    /// The event store.
    Store(Arc<Store>),
}

/// An events topic.
#[derive(Clone)]
pub(super) struct Topic {
    pub(super) kafka: kafka::Settings,
    pub(super) name: String,
    /// Bytes for the keys of one partition.
    pub(super) memory: usize,
}

/// What was read of a unit.
pub(super) struct Read {
    /// The part of it that there was memory for.
    pub(super) slice: Slice,
    /// The rest.
    pub(super) left: Vec<Slice>,
}

impl Sources {
    /// Reads a unit in the background, into `batches`.
    pub(super) fn read(
        &self,
        unit: Unit,
        plan: &Arc<Plan>,
        batches: mpsc::Sender<Vec<Record>>,
        progress: &Arc<Progress>,
    ) -> JoinHandle<Result<Read>> {
        let (plan, progress) = (Arc::clone(plan), Arc::clone(progress));
        match self {
            Sources::Topic(topic) => {
                let topic = topic.clone();
                spawn_blocking(move || topic.read(unit, &plan, &batches, &progress))
            }
            Sources::Store(store) => {
                let store = Arc::clone(store);
                tokio::spawn(async move { store.read(unit, &plan, batches, &progress).await })
            }
        }
    }
}

impl Topic {
    fn read(
        &self,
        unit: Unit,
        plan: &Plan,
        batches: &mpsc::Sender<Vec<Record>>,
        progress: &Progress,
    ) -> Result<Read> {
        let (reader, range) = (Reader::new(&self.kafka, &self.name)?, plan.range(unit.place));
        let mut newest = Newest::new(unit.slice, self.memory / BYTES_A_KEY);
        let hash = plan.hasher();
        let mut steps = Steps::new(progress, unit.slice);
        reader.read(unit.place, range.clone(), |message| {
            let key = message.key();
            let version = version_of(message).map(aqueduct_contract::Version::get);
            newest.see(key.map(&hash), version, message.offset(), || is_item(key));
            steps.step(batches)
        })?;
        let Wanted { slice, left, offsets } = newest.wanted();
        // What was left is passed over again.
        steps.end(slice);

        let mut wanted = offsets.into_iter().peekable();
        let mut batch = Batch::default();
        let mut steps = Steps::new(progress, slice);
        reader.read(unit.place, range, |message| {
            let is_wanted = wanted.next_if_eq(&message.offset()).is_some();
            if is_wanted && batch.add(Record::of_message(message, Arc::clone(&reader.topic))) {
                steps.send(&mut batch, batches)?;
            }
            steps.step(batches)
        })?;
        steps.end(slice);
        batch.send(batches)?;
        let missed = wanted.count();
        anyhow::ensure!(
            missed == 0,
            "{missed} records of {}-{} went while it was read",
            self.name,
            unit.place
        );
        Ok(Read { slice, left })
    }
}

fn is_item(key: Option<&[u8]>) -> bool {
    key.and_then(|key| std::str::from_utf8(key).ok()).is_some_and(|key| key.parse::<ItemKey>().is_ok())
}

/// Records on their way to the writer.
#[derive(Default)]
pub(super) struct Batch {
    records: Vec<Record>,
    bytes: usize,
}

impl Batch {
    /// Says whether it is to be sent.
    fn add(&mut self, record: Record) -> bool {
        self.bytes += record.size();
        self.records.push(record);
        self.records.len() >= BATCH_RECORDS || self.bytes >= BATCH_BYTES
    }

    fn send(&mut self, to: &mpsc::Sender<Vec<Record>>) -> Result<()> {
        let Batch { records, .. } = std::mem::take(self);
        if records.is_empty() { Ok(()) } else { to.blocking_send(records).context("the writer has ended") }
    }
}

/// Tells the progress, and rests as the pace says, now and then.
struct Steps<'p> {
    progress: &'p Progress,
    /// What one record of a pass counts as: each event is read twice, and once more for every slice that it is not in.
    weight: f64,
    records: u32,
    counted: f64,
    /// Since the first of the records: to wait for it was no work.
    begun: Option<Instant>,
}

impl<'p> Steps<'p> {
    fn new(progress: &'p Progress, slice: Slice) -> Steps<'p> {
        Steps { progress, weight: slice.share() / 2.0, records: 0, counted: 0.0, begun: None }
    }

    fn step(&mut self, batches: &mpsc::Sender<Vec<Record>>) -> Result<()> {
        self.begun.get_or_insert_with(Instant::now);
        self.records += 1;
        if self.records < STEP {
            return Ok(());
        }
        anyhow::ensure!(!batches.is_closed(), "the writer has ended");
        self.count();
        Ok(())
    }

    fn count(&mut self) {
        let Some(begun) = self.begun.take() else { return };
        let events = f64::from(std::mem::take(&mut self.records)) * self.weight;
        self.counted += events;
        self.progress.read(events);
        let rest = self.progress.pace.rest_of_reading(events, begun, Instant::now());
        if !rest.is_zero() {
            // A thread of its own, that blocks anyway.
            Handle::current().block_on(tokio::time::sleep(rest));
        }
    }

    /// Sends the batch. To wait for the writer is no work either.
    fn send(&mut self, batch: &mut Batch, to: &mpsc::Sender<Vec<Record>>) -> Result<()> {
        let from = Instant::now();
        batch.send(to)?;
        self.begun = self.begun.map(|begun| begun + from.elapsed());
        Ok(())
    }

    /// The pass turned out to be over `slice`.
    fn end(&mut self, slice: Slice) {
        self.count();
        let right = self.counted * slice.share() / (2.0 * self.weight);
        self.progress.read(right - self.counted);
    }
}
