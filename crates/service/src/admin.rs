//! `/metrics`, `/livez` and `/readyz`: how a process shows itself to operators.

use std::net::SocketAddr;

use anyhow::Context;
use axum::Json;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{Router, get};
use prometheus::{Encoder, Registry, TextEncoder};
use tokio::net::TcpListener;

use crate::Health;
use crate::health::Report;

#[derive(Clone)]
struct Shown {
    registry: Registry,
    health: Health,
}

/// Takes the address; with port 0 the returned one says which.
pub(crate) async fn bind(listen: SocketAddr) -> anyhow::Result<(TcpListener, SocketAddr)> {
    let listener = TcpListener::bind(listen).await.with_context(|| format!("admin.listen = {listen}"))?;
    let address = listener.local_addr().context("admin.listen")?;
    Ok((listener, address))
}

/// What a command that runs for long shows on `/metrics`, and nothing else: served until the process ends. Returns where to
/// register it, and the address that was taken.
///
/// # Errors
///
/// When the address cannot be taken.
pub async fn show_metrics(name: &'static str, listen: SocketAddr) -> anyhow::Result<(Registry, SocketAddr)> {
    let registry = crate::process::registry(name)?;
    let listener =
        TcpListener::bind(listen).await.with_context(|| format!("nothing can listen on {listen}"))?;
    let address = listener.local_addr()?;
    tokio::spawn(serve(listener, registry.clone(), Health::default()));
    Ok((registry, address))
}

/// Serves until the process ends: probes and the last metrics are for the time of draining too.
pub(crate) async fn serve(listener: TcpListener, registry: Registry, health: Health) -> std::io::Result<()> {
    let router = Router::new()
        .route("/metrics", get(metrics))
        .route("/livez", get(live))
        .route("/readyz", get(ready))
        .with_state(Shown { registry, health });
    axum::serve(listener, router).await
}

async fn metrics(State(shown): State<Shown>) -> Response {
    let mut text = Vec::new();
    match TextEncoder::new().encode(&shown.registry.gather(), &mut text) {
        Ok(()) => ([(header::CONTENT_TYPE, prometheus::TEXT_FORMAT)], text).into_response(),
        Err(error) => {
            tracing::error!(%error, "metrics cannot be shown");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}

async fn live(State(shown): State<Shown>) -> Response {
    answer(shown.health.liveness())
}

async fn ready(State(shown): State<Shown>) -> Response {
    answer(shown.health.readiness())
}

fn answer(report: Report) -> Response {
    let status = if report.passed { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(report.body)).into_response()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};

    use serde_json::{Value, json};

    use super::*;

    async fn start(health: &Health) -> String {
        let registry = crate::process::registry("test").unwrap();
        let (listener, address) = bind(([127, 0, 0, 1], 0).into()).await.unwrap();
        tokio::spawn(serve(listener, registry, health.clone()));
        format!("http://{address}")
    }

    async fn probe(url: String) -> (u16, Value) {
        let response = reqwest::get(url).await.unwrap();
        (response.status().as_u16(), response.json().await.unwrap())
    }

    #[tokio::test]
    async fn readiness_follows_its_checks_and_says_which_fails_and_why() {
        let health = Health::default();
        let connected = Arc::new(AtomicBool::new(false));
        let seen = connected.clone();
        health.ready("kafka", move || match seen.load(Ordering::Relaxed) {
            true => Ok(()),
            false => Err("no broker answers".to_owned()),
        });
        health.ready("process", || Ok(()));
        let url = start(&health).await;

        let failing = json!({ "ok": false, "checks": {
            "kafka": { "ok": false, "why": "no broker answers" }, "process": { "ok": true } } });
        assert_eq!(probe(format!("{url}/readyz")).await, (503, failing));

        connected.store(true, Ordering::Relaxed);
        let ready = json!({ "ok": true, "checks": { "kafka": { "ok": true }, "process": { "ok": true } } });
        assert_eq!(probe(format!("{url}/readyz")).await, (200, ready));
    }

    #[tokio::test]
    async fn a_process_that_is_not_ready_is_alive() {
        let health = Health::default();
        health.ready("kafka", || Err("no broker answers".to_owned()));
        let url = start(&health).await;
        assert_eq!(probe(format!("{url}/livez")).await, (200, json!({ "ok": true, "checks": {} })));
        health.live("group", || Err("nothing moved for 120 s".to_owned()));
        assert_eq!(probe(format!("{url}/livez")).await.0, 503);
    }

    #[tokio::test]
    async fn metrics_are_in_the_text_format_and_name_the_build() {
        let url = start(&Health::default()).await;
        let response = reqwest::get(format!("{url}/metrics")).await.unwrap();
        assert_eq!(response.headers()["content-type"], "text/plain; version=0.0.4");
        let text = response.text().await.unwrap();
        let build =
            format!("aqueduct_build_info{{service=\"test\",version=\"{}\"}} 1", env!("CARGO_PKG_VERSION"));
        assert!(text.contains(&build), "{text}");
        assert!(text.contains("\nprocess_resident_memory_bytes "), "{text}");
    }
}
