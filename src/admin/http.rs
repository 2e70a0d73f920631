//! `/livez`, `/readyz` and `/metrics`.

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use serde_json::json;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::connections::{self, Bounds};
use super::printable::in_json;
use super::{Health, Metrics};

/// What `prometheus-client` writes; Prometheus reads it since version 2.5.
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

#[derive(Clone)]
struct Shown {
    metrics: Arc<Metrics>,
    health: Arc<Health>,
}

/// Answers on `listener` until `shutdown` is cancelled, and then for as long as requests are in hand, at most two seconds.
/// Slow and silent connections keep nobody from being answered, nor the process from ending.
///
/// - `/livez`: 200 as long as the process can answer at all;
/// - `/readyz`: 200 when ready, 503 otherwise, both with `{"status": .., "reasons": [{"key": .., "reason": ..}]}`;
/// - `/metrics`: OpenMetrics text.
pub async fn serve(listener: TcpListener, metrics: Arc<Metrics>, health: Arc<Health>, shutdown: CancellationToken) {
    let router = Router::new()
        .route("/livez", get(livez))
        .route("/readyz", get(readyz))
        .route("/metrics", get(show_metrics))
        .with_state(Shown { metrics, health });
    connections::serve(listener, router, Bounds::default(), shutdown).await;
}

async fn livez() -> Response {
    json_response(StatusCode::OK, &json!({"status": "alive"}))
}

async fn readyz(State(Shown { health, .. }): State<Shown>) -> Response {
    let reasons = health.reasons();
    let (status, word) =
        if reasons.is_empty() { (StatusCode::OK, "ready") } else { (StatusCode::SERVICE_UNAVAILABLE, "unready") };
    let reasons: Vec<_> = reasons.into_iter().map(|(key, reason)| json!({"key": key, "reason": reason})).collect();
    json_response(status, &json!({"status": word, "reasons": reasons}))
}

async fn show_metrics(State(Shown { metrics, health }): State<Shown>) -> Response {
    metrics.ready(health.is_ready());
    ([(header::CONTENT_TYPE, OPEN_METRICS)], metrics.encode()).into_response()
}

fn json_response(status: StatusCode, body: &serde_json::Value) -> Response {
    let body = in_json(&body.to_string()) + "\n";
    (status, [(header::CONTENT_TYPE, "application/json")], body).into_response()
}

#[cfg(test)]
#[path = "http_tests.rs"]
mod tests;
