//! A batch of events into the `data` table, one guarded Put each.
//!
//! DynamoDB has no conditional batch write, so the Puts run side by side. The engine leaves one event of an item in a batch,
//! and none of it in another batch at the same time; should a zombie write nevertheless, the condition on the version
//! keeps the row from going back.

use aqueduct_contract::{Event, Guard, Names};
use aqueduct_engine::{BoxError, Needs, Outcome, Reason, Record, Sink, SinkError};
use aqueduct_store::DataTable;
use aqueduct_store::data::PutOutcome;
use futures::stream::{self, StreamExt, TryStreamExt};

use crate::classify::classify;

/// Puts of one batch at the same time. A Put takes a few milliseconds, so that a lane does some thousands a second; the
/// lanes multiply it.
const PUTS_IN_FLIGHT: usize = 16;

/// Writes the latest state of items to the `data` table.
#[derive(Clone, Debug)]
pub struct DataSink {
    table: DataTable,
    names: Names,
    guard: Guard,
}

impl DataSink {
    /// A sink into `table`, for events from the topics of `names`.
    #[must_use]
    pub fn new(table: DataTable, names: Names) -> DataSink {
        DataSink { table, names, guard: Guard::Older }
    }

    /// The same, for repairs: what is of the same version is written again.
    #[must_use]
    pub fn repairing(self) -> DataSink {
        DataSink { guard: Guard::OlderOrSame, ..self }
    }

    fn event(&self, record: &Record) -> Result<Event, Reason> {
        let event = record.event()?;
        let type_name = event.item.key.type_name();
        if *record.topic != *self.names.events_topic(type_name) {
            let message = format!("an item of type {type_name} in the topic {}", record.topic);
            return Err(Reason::new(Reason::EVENT_INVALID, message));
        }
        Ok(event)
    }

    async fn put(&self, record: &Record) -> Result<Outcome, SinkError> {
        let event = match self.event(record) {
            Ok(event) => event,
            Err(reason) => return Ok(Outcome::Poison(reason)),
        };
        match self.table.put(&event, self.guard).await {
            Ok(PutOutcome::Applied) => Ok(Outcome::Applied),
            Ok(PutOutcome::Stale) => Ok(Outcome::Stale),
            Err(error) => classify(error),
        }
    }
}

impl Sink for DataSink {
    const NEEDS: Needs = Needs::State;

    async fn apply(&self, batch: &[Record]) -> Result<Vec<Outcome>, SinkError> {
        // By position: a closure over `&Record` is not general enough for a future that is `Send`.
        let puts = stream::iter(0..batch.len()).map(|position| self.put(&batch[position]));
        puts.buffered(PUTS_IN_FLIGHT).try_collect().await
    }

    async fn ready(&self) -> Result<(), BoxError> {
        Ok(self.table.probe().await?)
    }
}
