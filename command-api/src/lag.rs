//! How far every consumer group of the fleet is behind, on this process's `/metrics`.
//!
//! A worker exports the lag of the partitions it has: when none runs, nobody does, just when it grows. command-api runs
//! where writes come from, so it asks. Its series have names of their own, `aqueduct_group_lag_…` beside the workers'
//! `aqueduct_consumer_lag_…`: under one name a sum would count every record twice. Each instance exports all groups, so
//! over instances it is `max`, never `sum`.
//!
//! A group that cannot be asked has no series until it can: a number that stands still looks like health.

use std::collections::BTreeMap;
use std::time::Duration;

use aqueduct_contract::Worker;
use aqueduct_service::Groups;
use aqueduct_service::groups::Listed;
use aqueduct_store::kafka::{self, Standing};
use futures::stream::{self, StreamExt};
use jiff::Timestamp;
use prometheus::{GaugeVec, IntGaugeVec, Opts, Registry};
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

/// Groups that are asked at the same time: each takes connections of its own.
const AT_ONCE: usize = 4;
const LABELS: [&str; 3] = ["group", "topic", "partition"];

/// Asks and exports.
pub struct GroupLag {
    kafka: kafka::Settings,
    groups: Groups,
    every: Duration,
    records: IntGaugeVec,
    seconds: GaugeVec,
    listed: BTreeMap<String, Vec<Listed>>,
    /// What was asked last and did not answer, and why: said once.
    silent: BTreeMap<String, String>,
    /// The series of each group.
    series: BTreeMap<String, Vec<[String; 3]>>,
}

impl GroupLag {
    /// Registers the metrics. Groups are asked `every` so often.
    pub fn new(
        kafka: kafka::Settings,
        groups: Groups,
        every: Duration,
        registry: &Registry,
    ) -> Result<GroupLag, prometheus::Error> {
        let records = IntGaugeVec::new(
            Opts::new(
                "aqueduct_group_lag_records",
                "Records that the group has not committed, whether or not a worker runs",
            ),
            &LABELS,
        )?;
        let seconds = GaugeVec::new(
            Opts::new(
                "aqueduct_group_lag_seconds",
                "Age of the oldest record that the group has not committed; 0 when there is none",
            ),
            &LABELS,
        )?;
        registry.register(Box::new(records.clone()))?;
        registry.register(Box::new(seconds.clone()))?;
        Ok(GroupLag {
            kafka,
            groups,
            every,
            records,
            seconds,
            listed: BTreeMap::new(),
            silent: BTreeMap::new(),
            series: BTreeMap::new(),
        })
    }

    /// Exports until `stop`. Nothing that it asks matters to requests, so nothing that fails ends it.
    pub async fn run(mut self, stop: CancellationToken) -> Result<(), std::convert::Infallible> {
        let mut ticks = interval(self.every);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let export = async {
            loop {
                ticks.tick().await;
                self.refresh().await;
            }
        };
        tokio::select! {
            () = stop.cancelled() => Ok(()),
            never = export => never,
        }
    }

    async fn refresh(&mut self) {
        for worker in Worker::ALL {
            // While a registry is down its groups are still those it listed last.
            match self.groups.of(worker).await {
                Ok(listed) => {
                    self.listed.insert(worker.to_string(), listed);
                    self.answered(&worker.to_string());
                }
                Err(error) => self.failed(&worker.to_string(), error.to_string()),
            }
        }
        let groups: Vec<_> = self.listed.values().flatten().map(|listed| listed.group.clone()).collect();
        let retired = self.series.extract_if(.., |id, _| groups.iter().all(|group| group.id != *id));
        for (_, series) in retired {
            remove(&self.records, &self.seconds, &series);
        }
        let asked = stream::iter(groups).map(|group| {
            let asked = kafka::Group::new(&self.kafka, &group.id, &group.topics);
            async move { (group.id, asked.standings().await) }
        });
        let answers: Vec<_> = asked.buffer_unordered(AT_ONCE).collect().await;
        for (group, answer) in answers {
            let before = self.series.remove(&group).unwrap_or_default();
            match answer {
                Ok(standings) => {
                    self.series.insert(group.clone(), self.set(&group, standings));
                    self.answered(&group);
                }
                Err(error) => {
                    remove(&self.records, &self.seconds, &before);
                    self.failed(&group, error.to_string());
                }
            }
        }
    }

    /// The labels of the group's series. Topics do not lose partitions, so that what was there before is among them.
    fn set(&self, group: &str, standings: Vec<Standing>) -> Vec<[String; 3]> {
        let now = Timestamp::now();
        let series = standings.into_iter().map(|standing| {
            let position = &standing.position;
            let labels = [group.to_owned(), position.topic.clone(), position.partition.to_string()];
            self.records.with_label_values(&labels).set(position.lag());
            match standing.age(now) {
                Some(age) => self.seconds.with_label_values(&labels).set(age.as_secs_f64()),
                // An age that is not known is none, and no old one.
                None => drop(self.seconds.remove_label_values(&labels)),
            }
            labels
        });
        series.collect()
    }

    fn answered(&mut self, asked: &str) {
        if self.silent.remove(asked).is_some() {
            tracing::info!(asked, "the lag of consumer groups is known again");
        }
    }

    fn failed(&mut self, asked: &str, error: String) {
        if self.silent.get(asked) != Some(&error) {
            tracing::warn!(asked, error, "the lag of consumer groups is not known");
            self.silent.insert(asked.to_owned(), error);
        }
    }
}

fn remove(records: &IntGaugeVec, seconds: &GaugeVec, series: &[[String; 3]]) {
    for labels in series {
        // One that is not there is what is wanted.
        let _ = records.remove_label_values(labels);
        let _ = seconds.remove_label_values(labels);
    }
}
