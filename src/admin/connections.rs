//! The connections of the HTTP server: few, quick, and never a reason to stay alive.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::pin::pin;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{AbortHandle, JoinSet};
use tokio_util::sync::CancellationToken;

/// What connections may cost.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    /// Most connections at a time. A newcomer takes the place of the oldest: whoever asks is answered at once, however many
    /// others are slow. Probes and scrapers are a handful; the descriptors that brokers and engine need are thousands.
    pub(super) connections: usize,
    /// Longest wait for the head of a request, from the end of the answer before: it ends connections that say nothing, and
    /// is several times what a probe on a busy machine takes. A scraper that comes later connects again.
    pub(super) head: Duration,
    /// Longest wait for requests in hand when the process ends. Answers take milliseconds; the rest is the network's.
    pub(super) end: Duration,
}

impl Default for Bounds {
    fn default() -> Self {
        Self { connections: 64, head: Duration::from_secs(10), end: Duration::from_secs(2) }
    }
}

/// Most bytes that are read ahead of a connection: the head of a request. Ours need a few hundred.
const BUFFER: usize = 16 * 1024;

/// Pause after an accept that failed: without descriptors each further one fails as well.
const ACCEPT_PAUSE: Duration = Duration::from_secs(1);

/// Serves `router` on `listener` until `shutdown` is cancelled, then ends within `bounds.end`.
pub(super) async fn serve(listener: TcpListener, router: Router, bounds: Bounds, shutdown: CancellationToken) {
    let mut connections = Connections::default();
    let accepting = async {
        loop {
            match listener.accept().await {
                Ok((stream, _)) => connections.add(stream, &router, bounds, shutdown.clone()),
                Err(error) => {
                    tracing::warn!(%error, "a connection to health and metrics could not be accepted; trying again");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    };
    let _: Option<Infallible> = shutdown.run_until_cancelled(accepting).await;
    drop(listener);
    // Those that are not through by then are cut off as their tasks are dropped.
    let _ = tokio::time::timeout(bounds.end, connections.end()).await;
}

/// The connections there are, oldest first.
#[derive(Default)]
struct Connections {
    tasks: JoinSet<()>,
    order: VecDeque<AbortHandle>,
}

impl Connections {
    fn add(&mut self, stream: TcpStream, router: &Router, bounds: Bounds, shutdown: CancellationToken) {
        while self.tasks.try_join_next().is_some() {}
        self.order.retain(|connection| !connection.is_finished());
        while self.order.len() >= bounds.connections {
            let Some(oldest) = self.order.pop_front() else { break };
            oldest.abort();
        }
        let connection = answer(stream, router.clone(), bounds.head, shutdown);
        self.order.push_back(self.tasks.spawn(connection));
    }

    async fn end(mut self) {
        while self.tasks.join_next().await.is_some() {}
    }
}

/// Answers the requests of one connection, one after the other.
async fn answer(stream: TcpStream, router: Router, head: Duration, shutdown: CancellationToken) {
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(head)
        .max_buf_size(BUFFER)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
    let mut served = pin!(served);
    let ended = tokio::select! {
        ended = served.as_mut() => ended,
        () = shutdown.cancelled() => {
            served.as_mut().graceful_shutdown();
            served.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection to health and metrics ended early");
    }
}
