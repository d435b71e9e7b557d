//! Carries events from the store to Kafka: "accepted is published", in order of versions.
//!
//! ```text
//!   append ──▶ submit ──▶ queue (bounded in bytes) ──▶ one publication an item, many items at once ──▶ Kafka, unmark
//!                            │ full                        ▲             │ failed
//!                            └──────▶ the row's marker ◀───┼─────────────┘
//!                                        │                 │
//!                                     sweeper ─────────────┘
//! ```
//!
//! The row is the outbox: whatever is dropped here, at any point, is found again by a sweeper, this process's or
//! another's. So nothing here blocks an answer, and memory stays bounded however long Kafka is away.

mod metrics;
mod producer;
mod protocol;
mod publication;
mod republisher;
#[cfg(test)]
mod search;
mod settings;
mod sweeper;

use std::collections::HashMap;
use std::sync::Arc;

use aqueduct_contract::{Event, ItemKey, Version};
use prometheus::Registry;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::task::{JoinError, JoinSet};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

pub use republisher::Republisher;
pub use settings::Settings;

use crate::events::{EventStore, Record};
use crate::{Error, Result, kafka};
use metrics::Metrics;
use producer::{Failure, Producer};
use publication::{Publishes, Stopped, Target};
use sweeper::Sweeper;

/// Takes events that were appended, to publish them soon. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Publisher {
    queue: mpsc::UnboundedSender<Waiting>,
    memory: Arc<Semaphore>,
    metrics: Metrics,
}

#[derive(Debug)]
struct Waiting {
    record: Record,
    memory: OwnedSemaphorePermit,
}

/// The work behind a [`Publisher`]: [`run`](Publishing::run) it as a task of its own.
pub struct Publishing {
    settings: Settings,
    publishes: Publishes,
    queue: mpsc::UnboundedReceiver<Waiting>,
    jobs: JoinSet<Finished>,
    /// Items that a job is working on, and the latest version that this process has written since it started.
    busy: HashMap<ItemKey, Option<Version>>,
    /// Jobs that the sweeper caused. They may take half of the places, so that a long backlog does not keep new events
    /// waiting.
    takeovers: usize,
    failing: bool,
}

struct Finished {
    key: ItemKey,
    taken_over: bool,
    outcome: Result<(), Stopped>,
}

impl Publisher {
    /// A publisher and the work behind it. Connects when the work runs.
    pub fn new(
        events: EventStore,
        kafka: &kafka::Settings,
        settings: Settings,
        registry: &Registry,
    ) -> Result<(Publisher, Publishing)> {
        let metrics = Metrics::new(registry)?;
        let producer = Producer::new(kafka)?;
        let (sender, receiver) = mpsc::unbounded_channel();
        let publisher = Publisher {
            queue: sender,
            memory: Arc::new(Semaphore::new(kib(settings.queue_bytes) as usize)),
            metrics: metrics.clone(),
        };
        let publishes = Publishes { events, producer, takeover_after: settings.takeover_after, metrics };
        let publishing = Publishing {
            settings,
            publishes,
            queue: receiver,
            jobs: JoinSet::new(),
            busy: HashMap::new(),
            takeovers: 0,
            failing: false,
        };
        Ok((publisher, publishing))
    }

    /// Publishes an event that was [stored](crate::Appended::Stored), some time after this returns.
    pub fn submit(&self, event: &Event) {
        let record = Record::of(event);
        let size = kib(record.size());
        let memory = Arc::clone(&self.memory).try_acquire_many_owned(size);
        let queued = memory.is_ok_and(|memory| self.queue.send(Waiting { record, memory }).is_ok());
        if !queued {
            self.metrics.deferred.inc();
        }
    }
}

/// Memory is counted in KiB, begun ones included: a semaphore's permits are u32.
fn kib(bytes: usize) -> u32 {
    u32::try_from(bytes / 1024 + 1).unwrap_or(u32::MAX)
}

impl Publishing {
    /// Publishes and sweeps until `stop`, then finishes what is queued and under way, for at most
    /// [`Settings::drain_timeout`]. Cancel `stop` after the last writer has ended: what is submitted later is left to the
    /// sweepers of other processes.
    pub async fn run(mut self, stop: CancellationToken) -> Result<()> {
        let (sender, mut found) = mpsc::channel(1);
        let sweeper = Sweeper {
            events: self.publishes.events.clone(),
            interval: self.settings.sweep_interval,
            takeover_after: self.settings.takeover_after,
            metrics: self.publishes.metrics.clone(),
        };
        let stopped = tokio::select! {
            () = stop.cancelled() => Ok(()),
            broken = self.work(&mut found) => broken,
            () = sweeper.run(sender) => Ok(()),
        };
        stopped?;
        self.queue.close();
        match timeout(self.settings.drain_timeout, self.drain()).await {
            Ok(drained) => drained,
            Err(_) => {
                info!(items = self.jobs.len(), "stopped before all was published: sweepers will do it");
                Ok(())
            }
        }
    }

    /// Ends only when the producer is broken.
    async fn work(&mut self, found: &mut mpsc::Receiver<sweeper::Found>) -> Result<()> {
        loop {
            let places = self.settings.in_flight.saturating_sub(self.jobs.len());
            let takes_over = places > 0 && self.takeovers < self.settings.in_flight.div_ceil(2);
            tokio::select! {
                // What is finished makes places; then what the sweeper found, which is few and old; then the new.
                biased;
                Some(finished) = self.jobs.join_next() => self.finish(finished)?,
                Some((key, version)) = found.recv(), if takes_over => self.take_over(key, version),
                Some(waiting) = self.queue.recv(), if places > 0 => self.start(waiting),
                else => std::future::pending().await,
            }
        }
    }

    async fn drain(&mut self) -> Result<()> {
        loop {
            let places = self.settings.in_flight.saturating_sub(self.jobs.len());
            tokio::select! {
                biased;
                Some(finished) = self.jobs.join_next() => self.finish(finished)?,
                Some(waiting) = self.queue.recv(), if places > 0 => self.start(waiting),
                else => return Ok(()),
            }
        }
    }

    fn start(&mut self, waiting: Waiting) {
        let Waiting { record, memory } = waiting;
        let key = record.key.clone();
        match self.busy.get_mut(&key) {
            // One publication an item: the next begins when it ends. The event goes, its version stays: a hot item must
            // not fill the memory.
            Some(later) => *later = (*later).max(Some(record.version)),
            None => self.spawn(key, Target::Own(Box::new(record)), Some(memory)),
        }
    }

    fn take_over(&mut self, key: ItemKey, version: Version) {
        // Whoever is working on the item gets there, or fails and is swept again.
        if !self.busy.contains_key(&key) {
            self.takeovers += 1;
            self.spawn(key, Target::Hinted(version), None);
        }
    }

    fn spawn(&mut self, key: ItemKey, target: Target, memory: Option<OwnedSemaphorePermit>) {
        self.busy.insert(key.clone(), None);
        let publishes = self.publishes.clone();
        let taken_over = matches!(target, Target::Hinted(_));
        self.jobs.spawn(async move {
            let outcome = publishes.publish(&key, target).await;
            drop(memory);
            Finished { key, taken_over, outcome }
        });
    }

    fn finish(&mut self, finished: Result<Finished, JoinError>) -> Result<()> {
        let Finished { key, taken_over, outcome } =
            finished.map_err(|panicked| Error::corrupt("the publisher", panicked))?;
        self.takeovers -= usize::from(taken_over);
        let later = self.busy.remove(&key).flatten();
        match outcome {
            Ok(()) => {
                if self.failing {
                    info!("events are being published again");
                }
                self.failing = false;
                if let Some(version) = later {
                    self.spawn(key, Target::Later(version), None);
                }
                Ok(())
            }
            Err(Stopped::Kafka(broken @ Failure::Broken(..))) => Err(Error::Refused(Box::new(broken))),
            Err(stopped) => {
                self.publishes.metrics.failures.inc();
                // In an outage every item fails: one line says it.
                if !self.failing || !matches!(stopped, Stopped::Kafka(_)) {
                    warn!(item = %key, error = %stopped, "an event could not be published yet");
                }
                self.failing = true;
                Ok(())
            }
        }
    }
}
