//! What samples show on `/metrics`. The README says what each means.

use prometheus::{IntCounterVec, IntGaugeVec, Opts, Registry};

use super::Drift;
use crate::difference::Kind;

pub(super) struct Metrics {
    items: IntCounterVec,
    drift: IntGaugeVec,
}

impl Metrics {
    /// Registers them. Once a process.
    pub(super) fn new(registry: &Registry) -> Result<Metrics, prometheus::Error> {
        let items = IntCounterVec::new(
            Opts::new(
                "aqueduct_verify_items_total",
                "Items and entries compared with the event store in samples",
            ),
            &["group"],
        )?;
        let drift = IntGaugeVec::new(
            Opts::new(
                "aqueduct_drift_items",
                "Items that a read model is known to hold wrongly: missing, extra, version, value, not_mappable",
            ),
            &["group", "kind"],
        )?;
        registry.register(Box::new(items.clone()))?;
        registry.register(Box::new(drift.clone()))?;
        Ok(Metrics { items, drift })
    }

    pub(super) fn compared(&self, group: &str, items: usize) {
        self.items.with_label_values(&[group]).inc_by(items as u64);
    }

    /// What is known of a read model now.
    pub(super) fn show(&self, group: &str, drift: &Drift) {
        for name in Kind::NAMES {
            let count = drift.values().filter(|kind| kind.name() == name).count();
            self.drift.with_label_values(&[group, name]).set(i64::try_from(count).unwrap_or(i64::MAX));
        }
    }

    /// The read model is kept no more.
    pub(super) fn forget(&self, group: &str) {
        for name in Kind::NAMES {
            // Fails when it was never set.
            let _ = self.drift.remove_label_values(&[group, name]);
        }
    }
}
