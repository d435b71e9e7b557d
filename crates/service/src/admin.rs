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
