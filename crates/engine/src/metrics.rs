//! What a group says about itself on `/metrics`. The README of this crate says what each means.

use prometheus::{
    GaugeVec, HistogramOpts, HistogramVec, IntCounterVec, IntGaugeVec, Opts, Registry, exponential_buckets,
};

/// The metrics of every group of one process: registered once, shared by clones.
#[derive(Clone, Debug)]
pub struct Metrics {
    pub(crate) lag_records: IntGaugeVec,
    pub(crate) lag_seconds: GaugeVec,
    pub(crate) consumed: IntCounterVec,
    pub(crate) events: IntCounterVec,
    pub(crate) freshness: HistogramVec,
    pub(crate) batch_records: HistogramVec,
    pub(crate) batch_seconds: HistogramVec,
    pub(crate) retries: IntCounterVec,
    pub(crate) in_flight: IntGaugeVec,
    pub(crate) assigned: IntGaugeVec,
    pub(crate) records_lost: IntCounterVec,
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
                "Records by what became of them: applied, stale, ignored, dead_lettered, returned",
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
            records_lost: counter(
                "aqueduct_records_lost_total",
                "Records that retention removed before the group had read them",
                PARTITION,
            )?,
        })
    }
}
