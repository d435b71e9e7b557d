//! What a worker shows of the registry that it follows.

use std::collections::{BTreeMap, BTreeSet};

use prometheus::{IntGaugeVec, Opts, Registry};

use crate::{Served, State};

/// The gauges. Once a process.
#[derive(Debug)]
pub struct Metrics {
    differs: IntGaugeVec,
    generations: IntGaugeVec,
    views: BTreeSet<String>,
}

impl Metrics {
    /// Registers them.
    pub fn new(registry: &Registry) -> Result<Metrics, prometheus::Error> {
        let gauge = |name: &str, help: &str, labels: &[&str]| {
            let gauge = IntGaugeVec::new(Opts::new(name, help), labels)?;
            registry.register(Box::new(gauge.clone()))?;
            Ok::<_, prometheus::Error>(gauge)
        };
        Ok(Metrics {
            differs: gauge(
                "aqueduct_view_differs",
                "1 when the model says something else than the live generation",
                &["view"],
            )?,
            generations: gauge(
                "aqueduct_view_generations",
                "Generations of a view, by state: building, live, previous",
                &["view", "state"],
            )?,
            views: BTreeSet::new(),
        })
    }

    /// Shows what the registry said last.
    pub fn show(&mut self, served: &Served) {
        for (view, differs) in &served.differs {
            self.differs.with_label_values(&[view]).set((*differs).into());
        }
        let views: BTreeSet<String> = served.differs.keys().cloned().collect();
        for gone in self.views.difference(&views) {
            // Fails when it was never set.
            let _ = self.differs.remove_label_values(&[gone]);
            for state in SHOWN {
                let _ = self.generations.remove_label_values(&[gone, state.as_str()]);
            }
        }
        let mut counted: BTreeMap<(&str, State), i64> = BTreeMap::new();
        for (view, state) in &served.states {
            *counted.entry((view, *state)).or_default() += 1;
        }
        for (view, state) in views.iter().flat_map(|view| SHOWN.map(|state| (view, state))) {
            let count = counted.get(&(view.as_str(), state)).copied().unwrap_or_default();
            self.generations.with_label_values(&[view.as_str(), state.as_str()]).set(count);
        }
        self.views = views;
    }
}

/// What takes room, of a store and of a worker.
const SHOWN: [State; 3] = [State::Building, State::Live, State::Previous];
