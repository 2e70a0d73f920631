//! Operators are answered, and nobody else is waited for.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;

use super::serve;
use crate::admin::connections::Bounds;
use crate::admin::{Health, Metrics};
use crate::wire::OutcomeKind;

/// Longer than anything here takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);

struct Served {
    address: SocketAddr,
    metrics: Arc<Metrics>,
    health: Arc<Health>,
    shutdown: CancellationToken,
    server: JoinHandle<()>,
}

async fn served() -> Served {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (metrics, health) = (Arc::new(Metrics::new()), Arc::new(Health::new()));
    let shutdown = CancellationToken::new();
    let server = tokio::spawn(serve(listener, Arc::clone(&metrics), Arc::clone(&health), shutdown.clone()));
    Served { address, metrics, health, shutdown, server }
}

async fn get(address: SocketAddr, path: &str) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nhost: test\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

/// A connection with half a request on it.
async fn half_sent(address: SocketAddr) -> TcpStream {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(b"GET /readyz HTTP/1.1\r\nhost: te").await.unwrap();
    stream
}

/// Whether the server has left this connection.
async fn is_closed(stream: &mut TcpStream, within: Duration) -> bool {
    let mut rest = Vec::new();
    timeout(within, stream.read_to_end(&mut rest)).await.is_ok()
}

#[tokio::test]
async fn operators_read_health_and_metrics_until_the_shutdown() {
    let Served { address, metrics, health, shutdown, server } = served().await;

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
    timeout(PATIENCE, server).await.unwrap().unwrap();
    assert!(TcpStream::connect(address).await.is_err());
}

#[tokio::test]
async fn a_half_sent_request_does_not_keep_the_process_from_ending() {
    let Served { address, shutdown, server, .. } = served().await;
    let (_half, _silent) = (half_sent(address).await, TcpStream::connect(address).await.unwrap());
    // Both were accepted by now: connections are in order.
    assert!(get(address, "/livez").await.starts_with("HTTP/1.1 200 OK\r\n"));

    let began = Instant::now();
    shutdown.cancel();
    timeout(Duration::from_secs(10), server).await.expect("the server waits for the half-sent request").unwrap();
    assert!(began.elapsed() < Bounds::default().end + Duration::from_secs(3), "{:?}", began.elapsed());
}

#[tokio::test]
async fn slow_connections_neither_pile_up_nor_keep_a_probe_from_its_answer() {
    let Served { address, .. } = served().await;
    let bound = Bounds::default().connections;
    let mut slow = Vec::new();
    for _ in 0..5 * bound {
        slow.push(half_sent(address).await);
    }
    assert!(get(address, "/readyz").await.starts_with("HTTP/1.1 200 OK\r\n"));
    // The oldest had to give way, long before their time to send the rest was over.
    for stream in &mut slow[..4 * bound] {
        assert!(is_closed(stream, PATIENCE).await, "it is still open");
    }
}

#[tokio::test(start_paused = true)]
async fn a_request_that_is_never_finished_ends_by_itself() {
    let Served { address, .. } = served().await;
    let (mut half, mut silent) = (half_sent(address).await, TcpStream::connect(address).await.unwrap());
    let wait = Bounds::default().head * 3;
    assert!(is_closed(&mut half, wait).await && is_closed(&mut silent, wait).await);
}

#[tokio::test]
async fn a_reason_with_control_characters_is_one_line_that_does_not_act() {
    let Served { address, health, .. } = served().await;
    let forged = "a\n{\"status\":\"ready\"}\r\u{1b}[2J\u{9b}31m\u{202e}\u{2028}";
    health.raise(forged, forged);
    let answer = get(address, "/readyz").await;
    let (_, body) = answer.split_once("\r\n\r\n").unwrap();
    let line = body.strip_suffix('\n').unwrap();
    assert!(!line.chars().any(crate::admin::printable::acts), "{line:?}");
    let read: serde_json::Value = serde_json::from_str(line).unwrap();
    assert_eq!(read["reasons"][0]["reason"], forged);
}
