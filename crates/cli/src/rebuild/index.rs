//! Writing documents into an index that nobody reads yet: the worker's own sink, since versions make every write repeatable.

use std::time::{Duration, Instant};

use anyhow::Result;
use aqueduct_contract::Names;
use aqueduct_engine::{Outcome, Record, Sink, SinkError};
use aqueduct_service::Settings;
use aqueduct_sync_search::sink::IndexSink;
use aqueduct_views::Generation;
use aqueduct_views::opensearch::{Loads, Registry};
use serde_json::Value;

use super::pace::Pace;
use super::unit::{Failed, Outage, Written};

/// Between two tries of what OpenSearch has no room for just now; the pace is what slows down.
const BUSY: Duration = Duration::from_millis(500);

/// The index of a generation that is being built.
pub(super) struct Index {
    sink: IndexSink,
    loads: Loads,
    /// How long documents may find no room, before that counts as an outage.
    patience: Duration,
}

impl Index {
    pub(super) fn new(
        settings: &Settings,
        generation: &Generation,
        loads: Loads,
        patience: Duration,
    ) -> Result<Index> {
        let registry = Registry::new(&settings.opensearch, &Names::new(&settings.prefix))?;
        Ok(Index { sink: IndexSink::new(registry, generation.clone())?, loads, patience })
    }

    /// Writes the records that can be written.
    pub(super) async fn write(&self, records: &[Record], pace: &Pace) -> Result<Written, Outage> {
        let mut written = Written::default();
        let mut waiting: Vec<usize> = (0..records.len()).collect();
        let begun = Instant::now();
        let mut refusal = String::from("OpenSearch wants less");
        while begun.elapsed() <= self.patience {
            let batch: Vec<Record> = waiting.iter().map(|index| records[*index].clone()).collect();
            let outcomes = match self.sink.apply(&batch).await {
                Ok(outcomes) => outcomes,
                Err(SinkError::Saturated) => {
                    pace.throttled();
                    tokio::time::sleep(BUSY).await;
                    continue;
                }
                Err(SinkError::Unavailable(source) | SinkError::Fatal(source)) => return Err(Outage(source)),
                Err(error @ SinkError::Poison(_)) => return Err(Outage(Box::new(error))),
            };
            let mut again = Vec::new();
            for (index, outcome) in waiting.into_iter().zip(outcomes) {
                match outcome {
                    Outcome::Applied | Outcome::Stale | Outcome::Ignored(_) => written.count(&records[index]),
                    Outcome::Poison(reason) => written.failed.push(Failed { index, reason }),
                    Outcome::Retry(reason) | Outcome::Throttled(reason) => {
                        refusal = reason.to_string();
                        again.push(index);
                    }
                }
            }
            if again.is_empty() {
                return Ok(written);
            }
            waiting = again;
            pace.throttled();
            tokio::time::sleep(BUSY).await;
        }
        Err(Outage(refusal.into()))
    }

    /// Notes that a unit is done.
    pub(super) async fn finish(&self, unit: &str, known: &Value) -> Result<(), Outage> {
        self.loads.note(unit, known).await.map_err(|error| Outage(error.into()))
    }
}
