//! The load of one generation: units side by side, each read by a thread and written by a task.
//!
//! An outage of the store has its unit done again from its beginning, until it has lasted too long. Then the load ends with what
//! was wrong, and can be begun again: what is done is noted with the generation.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use aqueduct_engine::{Reason, Record};
use futures::stream::{self, StreamExt, TryStreamExt};
use serde_json::json;
use tokio::sync::mpsc;

use super::aside::Aside;
use super::index::Index;
use super::pace::Pace;
use super::plan::{Done, Plan};
use super::progress::Progress;
use super::source::Sources;
use super::table::{Table, Writing};
use super::unit::{Counts, Failed, Outage, Unit, Written};

/// Batches that are read and not yet written, of a unit.
const AHEAD: usize = 2;
const FIRST_WAIT: Duration = Duration::from_millis(200);
const LONGEST_WAIT: Duration = Duration::from_secs(5);

/// Where a load is written to.
pub(super) enum Target {
    /// A table.
    Table(Box<Table>),
    /// An index.
    Index(Box<Index>),
}

/// One load.
pub(super) struct Load {
    pub(super) plan: Arc<Plan>,
    pub(super) sources: Sources,
    pub(super) target: Target,
    pub(super) aside: Aside,
    pub(super) progress: Arc<Progress>,
    /// How long an outage is waited for.
    pub(super) patience: Duration,
}

impl Load {
    /// Does what is not done yet; returns what was written, then and now.
    pub(super) async fn run(&self, done: Done) -> Result<Counts> {
        let mut counts = done.counts;
        self.progress.begin(&self.plan, &done);
        let lanes = self.plan.todo(&done.units);
        let at_once = std::thread::available_parallelism().map_or(2, NonZeroUsize::get);
        let mut lanes = stream::iter(lanes)
            .map(async |mut todo: Vec<Unit>| {
                let mut counts = Counts::default();
                while let Some(unit) = todo.pop() {
                    let (written, left) = self.patiently(unit).await?;
                    counts += written;
                    todo.extend(left.into_iter().map(|slice| Unit { slice, ..unit }));
                }
                anyhow::Ok(counts)
            })
            .buffer_unordered(at_once);
        while let Some(written) = lanes.try_next().await? {
            counts += written;
        }
        Ok(counts)
    }

    /// Does a unit, again if an outage kept it from being done.
    async fn patiently(&self, unit: Unit) -> Result<(Counts, Vec<super::slice::Slice>)> {
        let mut since: Option<Instant> = None;
        let mut wait = FIRST_WAIT;
        loop {
            let error = match self.unit(unit).await {
                Ok(done) => return Ok(done),
                Err(error) => error,
            };
            let Some(outage) = error.downcast_ref::<Outage>().filter(|outage| !outage.is_final()) else {
                return Err(error);
            };
            let lasted = since.get_or_insert_with(Instant::now).elapsed();
            if lasted >= self.patience {
                let waited = Duration::from_secs(lasted.as_secs());
                return Err(
                    error.context(format!("the load stopped, the store has not taken it for {waited:?}"))
                );
            }
            self.progress.say(&format!("waiting to try again: {outage}"));
            tokio::time::sleep(wait).await;
            wait = LONGEST_WAIT.min(wait * 2);
        }
    }

    async fn unit(&self, unit: Unit) -> Result<(Counts, Vec<super::slice::Slice>)> {
        let (send, mut batches) = mpsc::channel::<Vec<Record>>(AHEAD);
        let reading = self.sources.read(unit, &self.plan, send, &self.progress);
        let mut next = batches.recv().await;
        // Only now: a first pass takes long, and a transaction should not.
        let mut to = To::begin(&self.target).await?;
        let mut counts = Counts::default();
        while let Some(batch) = next {
            counts += self.write(&mut to, batch).await?;
            next = batches.recv().await;
        }
        // What it has read is known once it has ended.
        let read = reading.await.context("the reader of a partition")??;
        let known = json!(counts);
        to.finish(&Unit { slice: read.slice, ..unit }.to_string(), &known).await?;
        Ok((counts, read.left))
    }

    async fn write(&self, to: &mut To<'_>, batch: Vec<Record>) -> Result<Counts> {
        let written = to.write(&batch, &self.progress.pace).await?;
        let failed: Vec<(&Record, &Reason)> =
            written.failed.iter().map(|Failed { index, reason }| (&batch[*index], reason)).collect();
        self.aside.allows(batch.len(), &failed)?;
        let mut counts = Counts { rows: written.rows, tombstones: written.tombstones, letters: 0 };
        for (record, reason) in failed {
            self.aside.set_aside(record, reason).await?;
            counts.letters += 1;
            let below = self.write_below(to, record).await?;
            counts.rows += below.rows;
            counts.tombstones += below.tombstones;
        }
        self.progress.wrote(counts);
        Ok(counts)
    }

    /// Writes the highest version below that of a record that failed which does not.
    async fn write_below(&self, to: &mut To<'_>, record: &Record) -> Result<Written> {
        let mut than = record.version();
        while let Some(failed) = than {
            let Some((version, below)) = self.aside.below(record, failed).await? else { break };
            let written = to.write(std::slice::from_ref(&below), &self.progress.pace).await?;
            if written.failed.is_empty() {
                return Ok(written);
            }
            than = Some(version);
        }
        Ok(Written::default())
    }
}

/// The target, while a unit is written.
enum To<'t> {
    Table(Writing<'t>),
    Index(&'t Index),
}

impl<'t> To<'t> {
    async fn begin(target: &'t Target) -> Result<To<'t>, Outage> {
        Ok(match target {
            Target::Table(table) => To::Table(table.begin().await?),
            Target::Index(index) => To::Index(index),
        })
    }

    /// Writes the records that can be written, a few at a time while others need the store.
    async fn write(&mut self, records: &[Record], pace: &Pace) -> Result<Written, Outage> {
        let mut written = Written::default();
        let mut from = 0;
        while from < records.len() {
            let left = records.len() - from;
            let piece = &records[from..][..if pace.share() < 1.0 { left.min(self.piece()) } else { left }];
            let begun = Instant::now();
            written.add(from, self.write_piece(piece, pace).await?);
            from += piece.len();
            tokio::time::sleep(pace.rest(begun, Instant::now())).await;
        }
        Ok(written)
    }

    async fn write_piece(&mut self, records: &[Record], pace: &Pace) -> Result<Written, Outage> {
        match self {
            To::Table(writing) => writing.write(records).await,
            To::Index(index) => index.write(records, pace).await,
        }
    }

    /// Records that take some milliseconds.
    fn piece(&self) -> usize {
        match self {
            To::Table(_) => 500,
            To::Index(_) => 100,
        }
    }

    async fn finish(self, unit: &str, known: &serde_json::Value) -> Result<(), Outage> {
        match self {
            To::Table(writing) => writing.finish(unit, known).await,
            To::Index(index) => index.finish(unit, known).await,
        }
    }
}
