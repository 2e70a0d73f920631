//! A bridge in this process.

use std::net::SocketAddr;

use handback::Ended;
use handback::config::Settings;
use handback::engine::Engine;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::{PATIENCE, until};

/// `handback::run` with its stop. Dropped, it is asked to stop.
pub(crate) struct Bridge {
    admin: SocketAddr,
    stop: CancellationToken,
    task: JoinHandle<Ended>,
}

impl Bridge {
    pub(crate) fn start(mut settings: Settings) -> Self {
        let admin = *settings.admin.listen.get_or_insert_with(free_address);
        let stop = CancellationToken::new();
        let run = {
            let stop = stop.clone();
            async move { handback::run(&settings, stop).await }
        };
        Self { admin, stop, task: tokio::spawn(run) }
    }

    /// `handback::dispatch` instead: nothing consumes replies.
    pub(crate) fn start_dispatch(mut settings: Settings) -> Self {
        let admin = *settings.admin.listen.get_or_insert_with(free_address);
        let stop = CancellationToken::new();
        let run = {
            let stop = stop.clone();
            async move { handback::dispatch(&settings, stop).await }
        };
        Self { admin, stop, task: tokio::spawn(run) }
    }

    /// `handback::run_with` instead: with engines of its own.
    pub(crate) fn start_with<E: Engine + 'static>(
        mut settings: Settings,
        engines: impl Fn() -> Result<E, String> + Clone + Send + Sync + 'static,
    ) -> Self {
        let admin = *settings.admin.listen.get_or_insert_with(free_address);
        let stop = CancellationToken::new();
        let run = {
            let stop = stop.clone();
            async move { handback::run_with(&settings, engines, stop).await }
        };
        Self { admin, stop, task: tokio::spawn(run) }
    }

    /// Asks it to stop, and waits.
    pub(crate) async fn stop(mut self) -> Ended {
        self.stop.cancel();
        self.ended().await
    }

    /// Waits until it ends by itself.
    pub(crate) async fn ended(&mut self) -> Ended {
        timeout(PATIENCE, &mut self.task).await.expect("the bridge does not end").unwrap()
    }

    /// What `/readyz` says: whether ready, and its body.
    pub(crate) async fn readiness(&self) -> (bool, String) {
        let Ok(response) = get(self.admin, "/readyz").await else { return (false, String::new()) };
        (response.starts_with("HTTP/1.1 200"), response)
    }

    /// What `/metrics` says.
    pub(crate) async fn metrics(&self) -> String {
        get(self.admin, "/metrics").await.unwrap_or_default()
    }

    /// Waits until it is ready.
    pub(crate) async fn until_ready(&self) {
        until("the bridge is ready", async || self.readiness().await.0).await;
    }

    /// Waits until it is unready for a reason that contains `text`.
    pub(crate) async fn until_unready(&self, text: &str) {
        until(&format!("the bridge is unready with {text:?}"), async || {
            let (ready, body) = self.readiness().await;
            !ready && body.contains(text)
        })
        .await;
    }
}

impl Drop for Bridge {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// An address that was free a moment ago.
pub(crate) fn free_address() -> SocketAddr {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

/// The whole response to a GET.
pub(crate) async fn get(address: SocketAddr, path: &str) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(address).await?;
    stream.write_all(format!("GET {path} HTTP/1.1\r\nHost: bridge\r\nConnection: close\r\n\r\n").as_bytes()).await?;
    let mut response = String::new();
    stream.read_to_string(&mut response).await?;
    Ok(response)
}
