//! The ends of the assigned partitions, for the lag metrics.
//!
//! They are asked for by a client of its own. The group's client has a fetch waiting on every connection to a broker, and
//! an answer would queue behind it; and what a fetch tells of the end stops when fetching is paused, just when lag grows.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use aqueduct_store::kafka::{self, ends};
use rdkafka::TopicPartitionList;
use rdkafka::consumer::BaseConsumer;
use tokio::task::{JoinHandle, spawn_blocking};
use tokio::time::{Interval, MissedTickBehavior, interval};
use tracing::debug;

use crate::tenure::Tenure;

type Ends = HashMap<(String, i32), i64>;

const ASK_TIMEOUT: Duration = Duration::from_secs(5);

/// Asks for ends. Cheap to clone; the groups of a process share one client.
#[derive(Clone)]
pub(crate) struct EndsClient(Arc<BaseConsumer>);

impl EndsClient {
    pub(crate) fn new(kafka: &kafka::Settings) -> Result<EndsClient, crate::Error> {
        Ok(EndsClient(Arc::new(kafka.client_config().create()?)))
    }
}

/// The ends that one group needs.
pub(crate) struct Lag {
    client: EndsClient,
    ticks: Interval,
    partitions: TopicPartitionList,
    asking: Option<JoinHandle<Option<Ends>>>,
    ends: Ends,
}

impl Lag {
    /// Asks every `every`.
    pub(crate) fn new(client: EndsClient, every: Duration) -> Lag {
        let mut ticks = interval(every.max(Duration::from_millis(1)));
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Lag { client, ticks, partitions: TopicPartitionList::new(), asking: None, ends: Ends::new() }
    }

    /// These partitions are assigned now. Their ends are asked for at once.
    pub(crate) fn of<'a>(&mut self, tenures: impl Iterator<Item = &'a Tenure>) {
        self.partitions = TopicPartitionList::new();
        for tenure in tenures {
            self.partitions.add_partition(&tenure.topic, tenure.partition);
        }
        self.ticks.reset_immediately();
    }

    /// The end of a partition, as far as known.
    pub(crate) fn end(&self, topic: &str, partition: i32) -> Option<i64> {
        self.ends.get(&(topic.to_owned(), partition)).copied()
    }

    /// Returns when there are newer ends. Nothing is lost when it is dropped before.
    pub(crate) async fn refreshed(&mut self) {
        loop {
            match &mut self.asking {
                None => {
                    self.ticks.tick().await;
                    if self.partitions.count() == 0 {
                        continue;
                    }
                    let (client, partitions) = (self.client.clone(), self.partitions.clone());
                    // librdkafka has only a blocking call.
                    self.asking =
                        Some(spawn_blocking(move || match ends(&*client.0, &partitions, ASK_TIMEOUT) {
                            Ok(ends) => Some(ends),
                            Err(error) => {
                                debug!(%error, "the ends of partitions are not known");
                                None
                            }
                        }));
                }
                Some(asking) => {
                    let answer = asking.await;
                    self.asking = None;
                    if let Ok(Some(ends)) = answer {
                        self.ends = ends;
                    }
                    return;
                }
            }
        }
    }
}
