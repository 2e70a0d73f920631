//! `/livez`, `/readyz` and `/metrics`.

use std::io;
use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use serde_json::json;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::{Health, Metrics};

/// What `prometheus-client` writes; Prometheus reads it since version 2.5.
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

#[derive(Clone)]
struct Shown {
    metrics: Arc<Metrics>,
    health: Arc<Health>,
}

/// Answers on `listener` until `shutdown` is cancelled and the requests in hand are answered.
///
/// - `/livez`: 200 as long as the process can answer at all;
/// - `/readyz`: 200 when ready, 503 otherwise, both with `{"status": .., "reasons": [{"key": .., "reason": ..}]}`;
/// - `/metrics`: OpenMetrics text.
///
/// # Errors
/// When the listener fails.
pub async fn serve(
    listener: TcpListener,
    metrics: Arc<Metrics>,
    health: Arc<Health>,
    shutdown: CancellationToken,
) -> io::Result<()> {
    let router = Router::new()
        .route("/livez", get(livez))
        .route("/readyz", get(readyz))
        .route("/metrics", get(show_metrics))
        .with_state(Shown { metrics, health });
    axum::serve(listener, router).with_graceful_shutdown(shutdown.cancelled_owned()).await
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
    (status, [(header::CONTENT_TYPE, "application/json")], format!("{body}\n")).into_response()
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;
    use std::sync::Arc;
    use std::time::Duration;

    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::{TcpListener, TcpStream};
    use tokio::time::timeout;
    use tokio_util::sync::CancellationToken;

    use super::serve;
    use crate::admin::{Health, Metrics};
    use crate::wire::OutcomeKind;

    async fn get(address: SocketAddr, path: &str) -> String {
        let mut stream = TcpStream::connect(address).await.unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nhost: test\r\nconnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    }

    #[tokio::test]
    async fn operators_read_health_and_metrics_until_the_shutdown() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (metrics, health) = (Arc::new(Metrics::new()), Arc::new(Health::new()));
        let shutdown = CancellationToken::new();
        let server = tokio::spawn(serve(listener, Arc::clone(&metrics), Arc::clone(&health), shutdown.clone()));

        let ready = get(address, "/readyz").await;
        assert!(ready.starts_with("HTTP/1.1 200 OK\r\n"), "{ready}");
        assert!(ready.ends_with("\r\n\r\n{\"reasons\":[],\"status\":\"ready\"}\n"), "{ready}");

        health.raise("engine", "does not answer");
        metrics.outcome(OutcomeKind::Applied);
        let unready = get(address, "/readyz").await;
        assert!(unready.starts_with("HTTP/1.1 503 "), "{unready}");
        assert!(unready.contains("content-type: application/json"), "{unready}");
        assert!(unready.contains(r#"{"key":"engine","reason":"does not answer"}"#), "{unready}");
        assert!(get(address, "/livez").await.starts_with("HTTP/1.1 200 OK\r\n"));

        let shown = get(address, "/metrics").await;
        assert!(shown.contains("content-type: application/openmetrics-text"), "{shown}");
        assert!(shown.contains("handback_outcomes_total{outcome=\"applied\"} 1\n"), "{shown}");
        assert!(shown.contains("handback_ready 0\n"), "{shown}");
        assert!(get(address, "/").await.starts_with("HTTP/1.1 404 "));

        shutdown.cancel();
        timeout(Duration::from_secs(10), server).await.unwrap().unwrap().unwrap();
        assert!(TcpStream::connect(address).await.is_err());
    }
}
