//! What the publisher counts.

use prometheus::{Gauge, IntCounter, IntCounterVec, Opts, Registry};

use crate::{Error, Result};

#[derive(Clone, Debug)]
pub(super) struct Metrics {
    /// Events acknowledged by Kafka, by whose they were: `own` or `taken-over`.
    pub(super) published: IntCounterVec,
    /// Publications that failed and are left to the sweeper.
    pub(super) failures: IntCounter,
    /// Events left to the sweeper because memory or time ran out.
    pub(super) deferred: IntCounter,
    /// Age of the oldest unpublished event in the last round over all shards.
    pub(super) oldest: Gauge,
}

impl Metrics {
    pub(super) fn new(registry: &Registry) -> Result<Metrics> {
        let build = || {
            let published = Opts::new("aqueduct_published_total", "Events that Kafka acknowledged.");
            let metrics = Metrics {
                published: IntCounterVec::new(published, &["writer"])?,
                failures: IntCounter::new(
                    "aqueduct_publish_failures_total",
                    "Publications that failed and are left to the sweeper.",
                )?,
                deferred: IntCounter::new(
                    "aqueduct_publish_deferred_total",
                    "Events left to the sweeper without a try.",
                )?,
                oldest: Gauge::new(
                    "aqueduct_outbox_oldest_seconds",
                    "Age of the oldest unpublished event in the last round of the sweeper, 0 for none.",
                )?,
            };
            registry.register(Box::new(metrics.published.clone()))?;
            registry.register(Box::new(metrics.failures.clone()))?;
            registry.register(Box::new(metrics.deferred.clone()))?;
            registry.register(Box::new(metrics.oldest.clone()))?;
            Ok(metrics)
        };
        build().map_err(|error: prometheus::Error| Error::Refused(Box::new(error)))
    }
}
