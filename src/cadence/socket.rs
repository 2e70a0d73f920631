//! Sockets that join small writes. `h2` hands each request body of 256 bytes or more to a vectored writer in a system
//! call of its own; to a writer that is not vectored it hands many requests at once. With replies of half a kilobyte
//! that is one call to the kernel for seven records instead of one for each (bench `end_to_end`). Below TLS it does
//! nothing: there `h2` sees a writer that is vectored, and flushes each body.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::future::BoxFuture;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::connect::dns::GaiResolver;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, BufWriter, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::Instant;
use tonic::codegen::http::Uri;
use tower::{BoxError, Service};

use super::pace::Pace;

/// A little more than h2 gathers before it writes: 16 KiB.
const BUFFER: usize = 20 << 10;

/// What can be felt of a line's socket from outside.
#[derive(Debug, Default)]
pub(super) struct Pulse {
    /// Sockets that are open: one, or two for a moment while one follows the other.
    open: AtomicUsize,
    /// Grows with each piece that arrives, and with each socket.
    heard: AtomicU64,
}

impl Pulse {
    pub(super) fn heard(&self) -> u64 {
        self.heard.load(Ordering::Relaxed)
    }

    /// Whether there is a connection and nothing has come over it since `heard`.
    pub(super) fn is_silent_since(&self, heard: u64) -> bool {
        self.open.load(Ordering::Relaxed) > 0 && self.heard() == heard
    }

    fn beat(&self) {
        self.heard.fetch_add(1, Ordering::Relaxed);
    }
}

/// Connects one line over TCP, at its pace. What is written goes through a [`Joined`].
#[derive(Debug)]
pub(super) struct Connector<R = GaiResolver> {
    tcp: HttpConnector<R>,
    pace: Pace,
    pulse: Arc<Pulse>,
}

impl Connector {
    /// A connector for HTTP and, below TLS, for HTTPS. `timeout` is shared out among the addresses of the host, so that one
    /// which is silent leaves time for the others. The host is looked up anew for each connection.
    pub(super) fn new(timeout: Duration, pulse: Arc<Pulse>) -> Self {
        Self::asking(GaiResolver::new(), timeout, pulse)
    }
}

impl<R> Connector<R> {
    fn asking(resolver: R, timeout: Duration, pulse: Arc<Pulse>) -> Self {
        let mut tcp = HttpConnector::new_with_resolver(resolver);
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        tcp.set_connect_timeout(Some(timeout));
        // Else a connection that was given up stays as long as TCP tries to deliver the rest of it: a quarter of an hour.
        #[cfg(any(target_os = "android", target_os = "fuchsia", target_os = "linux"))]
        tcp.set_tcp_user_timeout(Some(timeout));
        Self { tcp, pace: Pace::default(), pulse }
    }
}

impl<R> Service<Uri> for Connector<R>
where
    HttpConnector<R>: Service<Uri, Response = TokioIo<TcpStream>, Error: Into<BoxError> + Send, Future: Send + 'static>,
{
    type Response = TokioIo<Joined>;
    type Error = BoxError;
    type Future = BoxFuture<'static, Result<Self::Response, Self::Error>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.tcp.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        if let Err(left) = self.pace.attempt(Instant::now()) {
            let text = format!("no connection; the next attempt to make one is in {} ms", left.as_millis());
            return Box::pin(async { Err(text.into()) });
        }
        let (connecting, pulse) = (self.tcp.call(uri), Arc::clone(&self.pulse));
        Box::pin(async { Ok(TokioIo::new(Joined::new(connecting.await.map_err(Into::into)?.into_inner(), pulse))) })
    }
}

/// A socket whose writes wait in a buffer until they are flushed, and that does not say it is vectored.
#[derive(Debug)]
pub(super) struct Joined {
    socket: BufWriter<TcpStream>,
    pulse: Arc<Pulse>,
}

impl Joined {
    fn new(socket: TcpStream, pulse: Arc<Pulse>) -> Self {
        pulse.open.fetch_add(1, Ordering::Relaxed);
        pulse.beat();
        Self { socket: BufWriter::with_capacity(BUFFER, socket), pulse }
    }
}

impl Drop for Joined {
    fn drop(&mut self) {
        self.pulse.open.fetch_sub(1, Ordering::Relaxed);
    }
}

impl AsyncRead for Joined {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let read = Pin::new(&mut self.socket).poll_read(cx, buf);
        if read.is_ready() {
            self.pulse.beat();
        }
        read
    }
}

impl AsyncWrite for Joined {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.socket).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, SocketAddr};

    use hyper_util::client::legacy::connect::dns::Name;
    use tokio::net::TcpListener;

    use super::*;

    #[tokio::test]
    async fn each_connection_asks_anew_where_its_frontend_is() {
        let one = TcpListener::bind((Ipv4Addr::new(127, 0, 0, 1), 0)).await.unwrap();
        let port = one.local_addr().unwrap().port();
        let other = TcpListener::bind((Ipv4Addr::new(127, 0, 0, 2), port)).await.unwrap();
        let places = [&one, &other].map(|listener| listener.local_addr().unwrap());
        let asked = Arc::new(AtomicUsize::new(0));
        let resolver = tower::service_fn(move |_: Name| {
            let place = places[asked.fetch_add(1, Ordering::Relaxed)];
            async move { Ok::<_, io::Error>(std::iter::once(place)) }
        });
        let mut connector = Connector::asking(resolver, Duration::from_secs(5), Arc::default());
        let seen: [SocketAddr; 2] = [connected(&mut connector, port).await, connected(&mut connector, port).await];
        assert_eq!(seen, places);
    }

    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn what_a_vanished_peer_was_sent_is_tried_for_one_deadline_only() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let timeout = Duration::from_secs(5);
        let mut connector = Connector::new(timeout, Arc::default());
        let socket = socket(&mut connector, "127.0.0.1", listener.local_addr().unwrap().port()).await;
        assert_eq!(socket2::SockRef::from(socket.socket.get_ref()).tcp_user_timeout().unwrap(), Some(timeout));
    }

    async fn connected<R>(connector: &mut Connector<R>, port: u16) -> SocketAddr
    where
        Connector<R>: Service<Uri, Response = TokioIo<Joined>, Error = BoxError>,
    {
        socket(connector, "frontend", port).await.socket.get_ref().peer_addr().unwrap()
    }

    async fn socket<R>(connector: &mut Connector<R>, host: &str, port: u16) -> Joined
    where
        Connector<R>: Service<Uri, Response = TokioIo<Joined>, Error = BoxError>,
    {
        std::future::poll_fn(|cx| connector.poll_ready(cx)).await.unwrap();
        connector.call(format!("http://{host}:{port}").parse().unwrap()).await.unwrap().into_inner()
    }
}
