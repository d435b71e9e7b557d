//! What the API counts.

use std::time::Duration;

use axum::http::Method;
use prometheus::{HistogramOpts, HistogramVec, IntCounterVec, Opts, Registry};

/// The API's part of `/metrics`.
#[derive(Clone, Debug)]
pub struct Metrics {
    requests: IntCounterVec,
    durations: HistogramVec,
    commands: IntCounterVec,
}

impl Metrics {
    /// Registers them.
    pub fn new(registry: &Registry) -> Result<Metrics, prometheus::Error> {
        let metrics = Metrics {
            requests: IntCounterVec::new(
                Opts::new("aqueduct_http_requests_total", "HTTP requests answered"),
                &["route", "method", "status"],
            )?,
            durations: HistogramVec::new(
                HistogramOpts::new(
                    "aqueduct_http_request_duration_seconds",
                    "Time from the head of a request to its answer",
                )
                .buckets(vec![0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0]),
                &["route", "method"],
            )?,
            commands: IntCounterVec::new(
                Opts::new(
                    "aqueduct_commands_total",
                    "Commands by outcome: Accepted, or the code of the refusal",
                ),
                &["type", "command", "outcome"],
            )?,
        };
        registry.register(Box::new(metrics.requests.clone()))?;
        registry.register(Box::new(metrics.durations.clone()))?;
        registry.register(Box::new(metrics.commands.clone()))?;
        Ok(metrics)
    }

    /// A request was answered. `route` is the pattern, never the path: labels must not grow with the data.
    pub(crate) fn request(&self, route: &str, method: &Method, status: u16, took: Duration) {
        // Clients may invent methods.
        let method = match *method {
            Method::GET | Method::HEAD | Method::POST | Method::PUT | Method::PATCH | Method::DELETE => {
                method.as_str()
            }
            _ => "other",
        };
        self.requests.with_label_values(&[route, method, &status.to_string()]).inc();
        self.durations.with_label_values(&[route, method]).observe(took.as_secs_f64());
    }

    /// A command was decided.
    pub(crate) fn command(&self, type_name: &str, command: &str, outcome: &str) {
        self.commands.with_label_values(&[type_name, command, outcome]).inc();
    }
}
