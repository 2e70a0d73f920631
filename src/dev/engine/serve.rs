//! Connections and streams. The engine speaks HTTP/2 itself, because the shapes of YARPC's answers (an empty message
//! before the trailers of an error) are not to be had from a gRPC library.

use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use h2::server::SendResponse;
use h2::{Reason, RecvStream};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tonic::Code;
use tonic::codegen::http::{HeaderMap, HeaderValue, Request, Response};

use super::core::{Core, Outcome};
use super::faults::Outage;
use super::method::Method;
use super::refusal::Refusal;
use super::yarpc::{SERVICE, admit, frame, unframe};

/// YARPC's own limit of a message, and so the engine's.
const MAX_MESSAGE: usize = 64 << 20;
/// Flow-control windows: large enough that a caller never waits for an update within one ordinary call.
const STREAM_WINDOW: u32 = 4 << 20;
const CONNECTION_WINDOW: u32 = 16 << 20;

/// Accepts connections until `stop`.
pub(super) async fn accept(listener: TcpListener, core: Arc<Core>, stop: CancellationToken) {
    let mut connections = JoinSet::new();
    loop {
        let socket = tokio::select! {
            accepted = listener.accept() => accepted,
            Some(_) = connections.join_next() => continue,
            () = stop.cancelled() => break,
        };
        let Ok((socket, _)) = socket else {
            // The error is about that one connection, or heals when descriptors become free: no reason to spin.
            tokio::time::sleep(Duration::from_millis(10)).await;
            continue;
        };
        if core.faults.present() == Outage::Frontend {
            continue;
        }
        connections.spawn(connection(socket, Arc::clone(&core), stop.clone()));
    }
    while connections.join_next().await.is_some() {}
}

/// Serves one connection until it ends, the engine stops, or the frontend is to be gone.
async fn connection(socket: TcpStream, core: Arc<Core>, stop: CancellationToken) {
    let mut outage = core.faults.watch();
    let served = async {
        socket.set_nodelay(true).ok();
        let mut http = h2::server::Builder::new();
        http.initial_window_size(STREAM_WINDOW).initial_connection_window_size(CONNECTION_WINDOW);
        let Ok(mut connection) = http.handshake::<_, Bytes>(socket).await else { return };
        while let Some(Ok((request, respond))) = connection.accept().await {
            // A stream hears of its connection's end as it hears of a reset, and ends as well.
            tokio::spawn(stream(Arc::clone(&core), request, respond));
        }
    };
    tokio::select! {
        () = served => {}
        () = stop.cancelled() => {}
        _ = outage.wait_for(|outage| *outage == Outage::Frontend) => {}
    }
}

async fn stream(core: Arc<Core>, request: Request<RecvStream>, mut respond: SendResponse<Bytes>) {
    let (head, body) = request.into_parts();
    let Some(body) = read(body).await else {
        return respond.send_reset(Reason::REFUSED_STREAM);
    };
    if let Some(pause) = swallows(&core, head.uri.path(), &body) {
        if !pause.is_zero() {
            tokio::time::sleep(pause).await;
        }
        return answer(&mut respond, &[], success());
    }
    let outcome = tokio::select! {
        outcome = outcome(&core, &head, body) => outcome,
        // The caller has given up: so does the work.
        _ = std::future::poll_fn(|context| respond.poll_reset(context)) => return,
    };
    match outcome {
        Outcome::Message(message) => answer(&mut respond, &message, success()),
        Outcome::Refused(refusal) => refuse(&mut respond, &refusal),
        Outcome::Reset => respond.send_reset(Reason::INTERNAL_ERROR),
        Outcome::Silence => {
            let _ = std::future::poll_fn(|context| respond.poll_reset(context)).await;
        }
    }
}

async fn outcome(core: &Core, head: &tonic::codegen::http::request::Parts, body: Bytes) -> Outcome {
    if core.faults.present() == Outage::NotAFrontend {
        return Outcome::Refused(Refusal::at_the_door(Code::Unimplemented, "unknown service"));
    }
    let call = match admit(head) {
        Ok(call) => call,
        Err(refusal) => return Outcome::Refused(refusal),
    };
    core.calls.count(call.method);
    match unframe(body) {
        Ok(message) => core.serve(&call, message).await,
        Err(refusal) => Outcome::Refused(refusal),
    }
}

/// Whether a sink answers this call with OK, unread, and how long it waits before.
fn swallows(core: &Core, path: &str, body: &[u8]) -> Option<Duration> {
    let sink = core.sink.as_ref()?;
    let method = Method::from_path(path).filter(|method| method.is_answer())?;
    let pause = sink.0(body)?;
    core.calls.count(method);
    Some(pause)
}

/// The whole body, or `None` if it broke off or is too large.
async fn read(mut body: RecvStream) -> Option<Bytes> {
    let mut whole = Bytes::new();
    let mut rest = BytesMut::new();
    while let Some(chunk) = body.data().await {
        let chunk = chunk.ok()?;
        body.flow_control().release_capacity(chunk.len()).ok()?;
        if whole.is_empty() {
            whole = chunk;
        } else {
            rest.extend_from_slice(&chunk);
        }
        if whole.len() + rest.len() > MAX_MESSAGE {
            return None;
        }
    }
    if rest.is_empty() {
        return Some(whole);
    }
    let mut joined = BytesMut::from(whole);
    joined.unsplit(rest);
    Some(joined.freeze())
}

fn success() -> HeaderMap {
    let mut trailers = HeaderMap::with_capacity(2);
    trailers.insert("grpc-status", HeaderValue::from_static("0"));
    trailers
}

fn refuse(respond: &mut SendResponse<Bytes>, refusal: &Refusal) {
    let mut trailers = HeaderMap::new();
    refusal.write(&mut trailers);
    if !refusal.is_trailers_only() {
        return answer(respond, &[], trailers);
    }
    let mut response = head();
    response.headers_mut().extend(trailers);
    // Nothing is left to be told if the caller is gone already; the same holds below.
    let _ = respond.send_response(response, true);
}

fn answer(respond: &mut SendResponse<Bytes>, message: &[u8], mut trailers: HeaderMap) {
    trailers.insert("rpc-service", HeaderValue::from_static(SERVICE));
    let Ok(mut send) = respond.send_response(head(), false) else { return };
    if send.send_data(frame(message), false).is_ok() {
        let _ = send.send_trailers(trailers);
    }
}

fn head() -> Response<()> {
    let mut response = Response::new(());
    response.headers_mut().insert("content-type", HeaderValue::from_static("application/grpc"));
    response
}
