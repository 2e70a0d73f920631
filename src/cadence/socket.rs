//! Sockets that join small writes. `h2` hands each request body of 256 bytes or more to a vectored writer in a system
//! call of its own; to a writer that is not vectored it hands many requests at once. With replies of half a kilobyte
//! that is one call to the kernel for seven records instead of one for each (bench `end_to_end`). Below TLS it does
//! nothing: there `h2` sees a writer that is vectored, and flushes each body.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, BufWriter, ReadBuf};
use tokio::net::TcpStream;
use tower::ServiceExt;
use tower::util::MapResponse;

/// Connects over TCP; what is written goes through a [`Joined`].
pub(super) type Connector = MapResponse<HttpConnector, fn(TokioIo<TcpStream>) -> TokioIo<Joined>>;

/// A little more than h2 gathers before it writes: 16 KiB.
const BUFFER: usize = 20 << 10;

/// A connector for HTTP and, below TLS, for HTTPS. `timeout` is shared out among the addresses of the host, so that one
/// which is silent leaves time for the others.
pub(super) fn connector(timeout: Duration) -> Connector {
    let mut tcp = HttpConnector::new();
    tcp.enforce_http(false);
    tcp.set_nodelay(true);
    tcp.set_connect_timeout(Some(timeout));
    tcp.map_response(|socket| TokioIo::new(Joined(BufWriter::with_capacity(BUFFER, socket.into_inner()))))
}

/// A socket whose writes wait in a buffer until they are flushed, and that does not say it is vectored.
#[derive(Debug)]
pub(super) struct Joined(BufWriter<TcpStream>);

impl AsyncRead for Joined {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buf)
    }
}

impl AsyncWrite for Joined {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}
