//! The least that a unary gRPC call over `h2` can be: what handback's client is measured against. No reconnect, no
//! limits, no typed errors.

use std::cell::{Cell, RefCell};
use std::pin::Pin;
use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use h2::client::SendRequest;
use handback::bridge::seams::Call;
use handback::cadence::api;
use handback::wire::Target;
use http::{HeaderMap, Request, Version};
use prost::Message;
use tokio::io::BufWriter;
use tokio::net::TcpStream;

const PATH: &str = "/uber.cadence.api.v1.WorkerAPI/RespondActivityTaskCompleted";

pub(crate) struct Direct {
    authority: String,
    connections: usize,
    senders: RefCell<Vec<SendRequest<Bytes>>>,
    turn: Cell<usize>,
    head: Request<()>,
}

impl Direct {
    pub(crate) fn new(endpoint: &str, connections: usize) -> Self {
        let authority = endpoint.trim_start_matches("http://").to_owned();
        let head = Request::post(format!("http://{authority}{PATH}"))
            .version(Version::HTTP_2)
            .header("content-type", "application/grpc")
            .header("te", "trailers")
            .header("rpc-caller", "handback")
            .header("rpc-service", "cadence-frontend")
            .header("rpc-encoding", "proto")
            .header("grpc-timeout", "10S")
            .body(())
            .unwrap();
        Self { authority, connections, senders: RefCell::default(), turn: Cell::new(0), head }
    }

    async fn sender(&self) -> SendRequest<Bytes> {
        while self.senders.borrow().len() < self.connections {
            let socket = TcpStream::connect(&self.authority).await.unwrap();
            socket.set_nodelay(true).unwrap();
            let (sender, connection) = h2::client::Builder::new()
                .initial_window_size(1 << 20)
                .initial_connection_window_size(16 << 20)
                .handshake(Unvectored(BufWriter::with_capacity(20 << 10, socket)))
                .await
                .unwrap();
            tokio::spawn(async move { connection.await.unwrap() });
            self.senders.borrow_mut().push(sender);
        }
        let turn = self.turn.get().wrapping_add(1);
        self.turn.set(turn);
        let senders = self.senders.borrow();
        senders[turn % senders.len()].clone()
    }

    pub(crate) async fn complete(&self, call: Call<'_>) {
        let Target::Token(token) = call.target else { panic!("the bench replies by token") };
        let message = api::RespondActivityTaskCompletedRequest {
            task_token: token.bytes().clone(),
            result: call.answer.engine_payload().map(|data| api::Payload { data }),
            identity: call.identity.to_owned(),
        };
        let sender = self.sender().await;
        tokio::time::timeout(Duration::from_secs(10), unary(sender, self.head.clone(), framed(&message)))
            .await
            .unwrap();
    }
}

fn framed(message: &impl Message) -> Bytes {
    let length = message.encoded_len();
    let mut body = BytesMut::with_capacity(5 + length);
    body.put_u8(0);
    body.put_u32(length as u32);
    message.encode(&mut body).unwrap();
    body.freeze()
}

async fn unary(sender: SendRequest<Bytes>, head: Request<()>, body: Bytes) {
    let mut sender = sender.ready().await.unwrap();
    let (answer, mut sending) = sender.send_request(head, false).unwrap();
    sending.send_data(body, true).unwrap();
    let answer = answer.await.unwrap();
    let ok = |headers: &HeaderMap| headers.get("grpc-status").is_some_and(|status| status == "0");
    if ok(answer.headers()) {
        return;
    }
    let mut body = answer.into_body();
    while let Some(data) = body.data().await {
        let data = data.unwrap();
        body.flow_control().release_capacity(data.len()).unwrap();
    }
    assert!(ok(&body.trailers().await.unwrap().unwrap()));
}

/// As in handback's client: small writes are joined.
struct Unvectored(BufWriter<TcpStream>);

impl tokio::io::AsyncRead for Unvectored {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
        buf: &mut tokio::io::ReadBuf<'_>,
    ) -> std::task::Poll<std::io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buf)
    }
}

impl tokio::io::AsyncWrite for Unvectored {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
        buf: &[u8],
    ) -> std::task::Poll<std::io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut std::task::Context<'_>) -> std::task::Poll<std::io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(
        mut self: Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
    ) -> std::task::Poll<std::io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}
