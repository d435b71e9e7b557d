//! The engine of one process, and the groups it runs.

use std::sync::{Arc, mpsc as commands};

use aqueduct_contract::Names;
use aqueduct_store::{EventStore, Letters, kafka};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::consumer::{self, Window};
use crate::dead_letters::DeadLetters;
use crate::delivery::Delivery;
use crate::dispatcher::Dispatcher;
use crate::lag::{EndsClient, Lag};
use crate::metrics::GroupMetrics;
use crate::retry::Backoff;
use crate::{Error, Group, Metrics, Progress, Settings, Sink, brake};

/// Messages between the consumer thread and the dispatcher. Small: the window bounds the records, and the dispatcher
/// never waits for anything but these messages.
const EVENTS: usize = 16;

/// What the groups of one process share. Cheap to clone.
#[derive(Clone)]
pub struct Engine {
    kafka: kafka::Settings,
    names: Names,
    settings: Settings,
    metrics: Metrics,
    dead_letters: DeadLetters,
    letters: Letters,
    events: EventStore,
    ends: EndsClient,
}

impl Engine {
    /// An engine for groups whose dead letters go to the topics of `names` and to `letters`, and are redriven from `events`.
    /// Connects in the background.
    pub fn new(
        kafka: &kafka::Settings,
        names: &Names,
        settings: Settings,
        letters: Letters,
        events: EventStore,
        metrics: Metrics,
    ) -> Result<Engine, Error> {
        Ok(Engine {
            kafka: kafka.clone(),
            names: names.clone(),
            settings,
            metrics,
            dead_letters: DeadLetters::new(kafka, letters.clone())?,
            letters,
            events,
            ends: EndsClient::new(kafka)?,
        })
    }

    /// Shows nothing on `/metrics` any more of how a group stands that has ended for good. What it counted stays.
    pub fn forget(&self, group: &str) {
        GroupMetrics::new(&self.metrics, group).forget_group();
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
        let settings = &self.settings;
        let (events, from_consumer) = mpsc::channel(EVENTS);
        let (to_consumer, commands) = commands::channel();
        let window = Window {
            records: settings.window,
            bytes: usize::try_from(settings.window_bytes).unwrap_or(usize::MAX),
            pause_after: settings.pause_after,
        };
        consumer::spawn(
            &self.kafka,
            &group,
            &settings.instance_id,
            window,
            progress.clone(),
            events,
            commands,
        )?;
        let delivery = Arc::new(Delivery {
            metrics: GroupMetrics::new(&self.metrics, &group.id),
            sink,
            group,
            names: self.names.clone(),
            dead_letters: self.dead_letters.clone(),
            letters: self.letters.clone(),
            events: self.events.clone(),
            quarantine_after: settings.quarantine_after,
            backoff: Backoff { min: settings.retry_backoff_min, max: settings.retry_backoff_max },
            unknown_attempts: settings.unknown_attempts,
            brake: brake::Limits {
                in_a_row: settings.brake_in_a_row,
                share: settings.brake_share,
                window: settings.brake_window,
            },
            progress,
        });
        let lag = Lag::new(self.ends.clone(), settings.lag_interval);
        let dispatcher = Dispatcher::new(settings.clone(), delivery.clone(), from_consumer, to_consumer, lag);
        tokio::select! {
            ended = dispatcher.run(stop) => ended,
            never = delivery.watch_store() => match never {},
        }
    }
}
