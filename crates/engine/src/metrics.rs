//! What a group says about itself on `/metrics`. The README of this crate says what each means.

use std::time::Duration;

use prometheus::{
    GaugeVec, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts,
    Registry, exponential_buckets,
};

/// The metrics of every group of one process: registered once, shared by clones.
#[derive(Clone, Debug)]
pub struct Metrics {
    lag_records: IntGaugeVec,
    lag_seconds: GaugeVec,
    consumed: IntCounterVec,
    events: IntCounterVec,
    freshness: HistogramVec,
    batch_records: HistogramVec,
    batch_seconds: HistogramVec,
    retries: IntCounterVec,
    in_flight: IntGaugeVec,
    assigned: IntGaugeVec,
    paused: IntGaugeVec,
    braked: IntGaugeVec,
    window_bytes: IntGaugeVec,
    batch_limit: IntGaugeVec,
    lanes_limit: IntGaugeVec,
    letters: IntGaugeVec,
    redrives: IntCounterVec,
    records_lost: IntCounterVec,
}

const GROUP: &[&str] = &["group"];
const PARTITION: &[&str] = &["group", "topic", "partition"];

impl Metrics {
    /// Registers them. Once a process: a second registration of the same names is refused.
    pub fn new(registry: &Registry) -> Result<Metrics, prometheus::Error> {
        let counter = |name: &str, help: &str, labels: &[&str]| {
            let made = IntCounterVec::new(Opts::new(name, help), labels)?;
            registry.register(Box::new(made.clone()))?;
            Ok::<_, prometheus::Error>(made)
        };
        let gauge = |name: &str, help: &str, labels: &[&str]| {
            let made = IntGaugeVec::new(Opts::new(name, help), labels)?;
            registry.register(Box::new(made.clone()))?;
            Ok::<_, prometheus::Error>(made)
        };
        let histogram = |name: &str, help: &str, buckets: Vec<f64>| {
            let made = HistogramVec::new(HistogramOpts::new(name, help).buckets(buckets), GROUP)?;
            registry.register(Box::new(made.clone()))?;
            Ok::<_, prometheus::Error>(made)
        };
        let lag_seconds = GaugeVec::new(
            Opts::new("aqueduct_consumer_lag_seconds", "Age of the oldest uncommitted record, 0 when idle"),
            PARTITION,
        )?;
        registry.register(Box::new(lag_seconds.clone()))?;
        Ok(Metrics {
            lag_records: gauge(
                "aqueduct_consumer_lag_records",
                "Records of the partition that are not committed",
                PARTITION,
            )?,
            lag_seconds,
            consumed: counter("aqueduct_consumed_total", "Records taken up for applying", GROUP)?,
            events: counter(
                "aqueduct_events_total",
                "Records by what became of them: applied, stale, ignored, dead_lettered, parked, returned",
                &["group", "outcome"],
            )?,
            freshness: histogram(
                "aqueduct_freshness_seconds",
                "From the acceptance of a write to its effect in the sink",
                exponential_buckets(0.001, 2.0, 18)?,
            )?,
            batch_records: histogram(
                "aqueduct_batch_records",
                "Records of a batch as the sink got it",
                exponential_buckets(1.0, 4.0, 8)?,
            )?,
            batch_seconds: histogram(
                "aqueduct_batch_seconds",
                "What one call of the sink took",
                exponential_buckets(0.0005, 2.0, 16)?,
            )?,
            retries: counter(
                "aqueduct_retries_total",
                "Attempts after the first, by why: unavailable, saturated, throttled, unknown, letter",
                &["group", "reason"],
            )?,
            in_flight: gauge("aqueduct_records_in_flight", "Records read and not yet done", GROUP)?,
            assigned: gauge("aqueduct_assigned_partitions", "Partitions this process reads", GROUP)?,
            paused: gauge(
                "aqueduct_paused_partitions",
                "Partitions whose fetching is paused, because what was read is not done",
                GROUP,
            )?,
            braked: gauge(
                "aqueduct_braked_partitions",
                "Partitions that stand still because too many of their records failed",
                GROUP,
            )?,
            window_bytes: gauge(
                "aqueduct_window_bytes",
                "Memory of the records read and not yet done",
                GROUP,
            )?,
            batch_limit: gauge(
                "aqueduct_batch_limit_records",
                "Records of a batch at most; below the setting while the store wants less",
                GROUP,
            )?,
            lanes_limit: gauge(
                "aqueduct_batches_limit",
                "Batches in flight at most; below the setting while the store wants less",
                GROUP,
            )?,
            letters: gauge("aqueduct_letters", "Dead letters of the partitions this process reads", GROUP)?,
            redrives: counter(
                "aqueduct_redrives_total",
                "Letters tried again, by what became of them: applied, failed, quarantined",
                &["group", "outcome"],
            )?,
            records_lost: counter(
                "aqueduct_records_lost_total",
                "Records that retention removed before the group had read them",
                PARTITION,
            )?,
        })
    }
}

/// Those of one group.
#[derive(Clone, Debug)]
pub(crate) struct GroupMetrics {
    all: Metrics,
    group: String,
    pub(crate) consumed: IntCounter,
    pub(crate) applied: IntCounter,
    pub(crate) stale: IntCounter,
    pub(crate) ignored: IntCounter,
    pub(crate) dead_lettered: IntCounter,
    pub(crate) parked: IntCounter,
    pub(crate) returned: IntCounter,
    pub(crate) in_flight: IntGauge,
    pub(crate) assigned: IntGauge,
    pub(crate) paused: IntGauge,
    pub(crate) braked: IntGauge,
    pub(crate) window_bytes: IntGauge,
    pub(crate) batch_limit: IntGauge,
    pub(crate) lanes_limit: IntGauge,
    pub(crate) letters: IntGauge,
    freshness: Histogram,
    batch_records: Histogram,
    batch_seconds: Histogram,
}

impl GroupMetrics {
    pub(crate) fn new(all: &Metrics, group: &str) -> GroupMetrics {
        let event = |outcome| all.events.with_label_values(&[group, outcome]);
        GroupMetrics {
            consumed: all.consumed.with_label_values(&[group]),
            applied: event("applied"),
            stale: event("stale"),
            ignored: event("ignored"),
            dead_lettered: event("dead_lettered"),
            parked: event("parked"),
            returned: event("returned"),
            in_flight: all.in_flight.with_label_values(&[group]),
            assigned: all.assigned.with_label_values(&[group]),
            paused: all.paused.with_label_values(&[group]),
            braked: all.braked.with_label_values(&[group]),
            batch_limit: all.batch_limit.with_label_values(&[group]),
            lanes_limit: all.lanes_limit.with_label_values(&[group]),
            letters: all.letters.with_label_values(&[group]),
            window_bytes: all.window_bytes.with_label_values(&[group]),
            freshness: all.freshness.with_label_values(&[group]),
            batch_records: all.batch_records.with_label_values(&[group]),
            batch_seconds: all.batch_seconds.with_label_values(&[group]),
            all: all.clone(),
            group: group.to_owned(),
        }
    }

    /// One call of the sink.
    pub(crate) fn batch(&self, records: usize, took: Duration) {
        // Exact up to 2^53 records.
        self.batch_records.observe(records as f64);
        self.batch_seconds.observe(took.as_secs_f64());
    }

    /// An event took this long from its acceptance to its effect.
    pub(crate) fn fresh(&self, age: Duration) {
        self.freshness.observe(age.as_secs_f64());
    }

    /// Another attempt, and why.
    pub(crate) fn retry(&self, why: &str) {
        self.all.retries.with_label_values(&[&self.group, why]).inc();
    }

    /// A letter was tried again.
    pub(crate) fn redriven(&self, outcome: &str) {
        self.all.redrives.with_label_values(&[&self.group, outcome]).inc();
    }

    pub(crate) fn lag(&self, topic: &str, partition: i32, records: i64, age: Duration) {
        let partition = partition.to_string();
        let labels = [&*self.group, topic, &partition];
        self.all.lag_records.with_label_values(&labels).set(records);
        self.all.lag_seconds.with_label_values(&labels).set(age.as_secs_f64());
    }

    pub(crate) fn lost(&self, topic: &str, partition: i32, records: i64) {
        let labels = [&*self.group, topic, &partition.to_string()];
        self.all.records_lost.with_label_values(&labels).inc_by(records.unsigned_abs());
    }

    /// The group is no more.
    pub(crate) fn forget_group(&self) {
        let all = &self.all;
        for gauges in [
            &all.in_flight,
            &all.assigned,
            &all.paused,
            &all.braked,
            &all.window_bytes,
            &all.batch_limit,
            &all.lanes_limit,
            &all.letters,
        ] {
            // Fails when it was never set.
            let _ = gauges.remove_label_values(&[&self.group]);
        }
    }

    /// Another process speaks for the partition now.
    pub(crate) fn forget(&self, topic: &str, partition: i32) {
        let labels = [&*self.group, topic, &partition.to_string()];
        // Fails when it was never set.
        let _ = self.all.lag_records.remove_label_values(&labels);
        let _ = self.all.lag_seconds.remove_label_values(&labels);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn families(registry: &Registry) -> Vec<String> {
        registry.gather().iter().map(|family| family.name().to_owned()).collect()
    }

    #[test]
    fn names_stay_what_dashboards_and_alerts_know() {
        let registry = Registry::new();
        let group = GroupMetrics::new(&Metrics::new(&registry).unwrap(), "g");
        group.lag("t", 0, 5, Duration::from_secs(1));
        group.lost("t", 0, 1);
        group.retry("unavailable");
        group.redriven("applied");
        assert_eq!(
            families(&registry),
            [
                "aqueduct_assigned_partitions",
                "aqueduct_batch_limit_records",
                "aqueduct_batch_records",
                "aqueduct_batch_seconds",
                "aqueduct_batches_limit",
                "aqueduct_braked_partitions",
                "aqueduct_consumed_total",
                "aqueduct_consumer_lag_records",
                "aqueduct_consumer_lag_seconds",
                "aqueduct_events_total",
                "aqueduct_freshness_seconds",
                "aqueduct_letters",
                "aqueduct_paused_partitions",
                "aqueduct_records_in_flight",
                "aqueduct_records_lost_total",
                "aqueduct_redrives_total",
                "aqueduct_retries_total",
                "aqueduct_window_bytes",
            ]
        );
    }

    #[test]
    fn a_partition_that_went_elsewhere_is_not_reported_any_more() {
        let registry = Registry::new();
        let group = GroupMetrics::new(&Metrics::new(&registry).unwrap(), "g");
        group.lag("t", 0, 5, Duration::from_secs(1));
        group.forget("t", 0);
        group.forget("t", 0);
        assert!(!families(&registry).iter().any(|name| name.contains("lag")));
    }

    #[test]
    fn groups_share_one_registration() {
        let registry = Registry::new();
        let metrics = Metrics::new(&registry).unwrap();
        let (one, other) = (GroupMetrics::new(&metrics, "one"), GroupMetrics::new(&metrics, "other"));
        one.applied.inc();
        assert_eq!((one.applied.get(), other.applied.get()), (1, 0));
        assert!(Metrics::new(&registry).is_err(), "a second registration is refused");
    }
}
