//! One gRPC call, seen frame by frame: no client library stands between a probe and the wire.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use bytes::{BufMut, Bytes, BytesMut};
use h2::client::SendRequest;
use prost::Message;
use tokio::net::TcpStream;
use tonic::codegen::http::{HeaderMap, Request};

/// Details come with or without padding.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);
/// How much longer than its deadline a call is watched, to see what the server itself says about it.
const GRACE: Duration = Duration::from_millis(1500);

/// A connection to the server under test.
#[derive(Clone, Debug)]
pub(crate) struct Wire {
    send: SendRequest<Bytes>,
    address: String,
}

/// How an answer was put on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    /// Headers, one message (empty for errors), trailers.
    Message,
    /// The status in the only headers.
    TrailersOnly,
    /// No answer within the deadline.
    None,
}

/// What came back.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) code: i32,
    pub(crate) message: String,
    /// Type of the first detail, without its package.
    pub(crate) detail: Option<String>,
    /// Names of all messages' fields aside: the first detail's bytes.
    pub(crate) detail_value: Vec<u8>,
    pub(crate) shape: Shape,
    pub(crate) body: Bytes,
    pub(crate) trailers: BTreeMap<String, String>,
}

/// Metadata and deadline of a call; what a probe does not change is as it should be.
#[derive(Clone, Debug)]
pub(crate) struct Head {
    pub(crate) metadata: Vec<(&'static str, String)>,
    pub(crate) deadline: Duration,
}

#[derive(Clone, PartialEq, Message)]
struct RpcStatus {
    #[prost(int32, tag = "1")]
    code: i32,
    #[prost(string, tag = "2")]
    message: String,
    #[prost(message, repeated, tag = "3")]
    details: Vec<prost_types::Any>,
}

impl Default for Head {
    fn default() -> Head {
        Head::within(Duration::from_secs(10))
    }
}

impl Head {
    /// Sound metadata and this deadline.
    pub(crate) fn within(deadline: Duration) -> Head {
        let metadata = [
            ("rpc-caller", "contract".to_owned()),
            ("rpc-service", "cadence-frontend".to_owned()),
            ("rpc-encoding", "proto".to_owned()),
            ("grpc-timeout", format!("{}m", deadline.as_millis())),
        ];
        Head { metadata: metadata.into(), deadline }
    }

    /// Without these headers.
    pub(crate) fn without(mut self, names: &[&str]) -> Head {
        self.metadata.retain(|(name, _)| !names.contains(name));
        self
    }

    /// With one more header, even if it is there already.
    pub(crate) fn and(mut self, name: &'static str, value: &str) -> Head {
        self.metadata.push((name, value.to_owned()));
        self
    }

    /// With another value for a header.
    pub(crate) fn but(self, name: &'static str, value: &str) -> Head {
        self.without(&[name]).and(name, value)
    }
}

impl Wire {
    /// Connects to `host:port`.
    pub(crate) async fn connect(address: &str) -> Result<Wire, String> {
        let fault = |fault: &dyn fmt::Display| format!("cannot connect to {address}: {fault}");
        let socket = TcpStream::connect(address).await.map_err(|error| fault(&error))?;
        let mut client = h2::client::Builder::new();
        client.initial_window_size(16 << 20).initial_connection_window_size(64 << 20);
        let (send, connection) = client.handshake(socket).await.map_err(|error| fault(&error))?;
        tokio::spawn(connection);
        Ok(Wire { send, address: address.to_owned() })
    }

    /// The server's `host:port`.
    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    /// Makes a call with ordinary metadata.
    pub(crate) async fn call(&self, path: &str, message: &impl Message) -> Seen {
        self.send(path, Head::default(), message.encode_to_vec().into()).await
    }

    /// Makes a call and reads its answer.
    pub(crate) async fn ask<A: Message + Default>(
        &self,
        path: &str,
        deadline: Duration,
        message: &impl Message,
    ) -> Result<A, Seen> {
        let seen = self.send(path, Head::within(deadline), message.encode_to_vec().into()).await;
        if seen.code != 0 {
            return Err(seen);
        }
        A::decode(seen.body.clone()).map_err(|_| seen)
    }

    /// Makes a call with any metadata and any bytes as its message.
    pub(crate) async fn send(&self, path: &str, head: Head, message: Bytes) -> Seen {
        let deadline = head.deadline + GRACE;
        match tokio::time::timeout(deadline, self.exchange(path, head, message)).await {
            Ok(Ok(seen)) => seen,
            Ok(Err(fault)) => Seen::nothing(14, fault.to_string()),
            Err(_) => Seen::nothing(4, "no answer".to_owned()),
        }
    }

    async fn exchange(&self, path: &str, head: Head, message: Bytes) -> Result<Seen, h2::Error> {
        let mut request =
            Request::post(format!("http://contract{path}")).header("te", "trailers").header("user-agent", "contract");
        if !head.metadata.iter().any(|(name, _)| *name == "content-type") {
            request = request.header("content-type", "application/grpc");
        }
        for (name, value) in &head.metadata {
            request = request.header(*name, value);
        }
        let request = request.body(()).expect("metadata is valid HTTP");
        let (response, mut body) = self.send.clone().ready().await?.send_request(request, false)?;
        let mut framed = BytesMut::with_capacity(5 + message.len());
        framed.put_u8(0);
        framed.put_u32(u32::try_from(message.len()).expect("message fits"));
        framed.put_slice(&message);
        // The server may answer, and reset the stream, before it has read everything.
        let _ = body.send_data(framed.freeze(), true);
        let (response, mut body) = response.await?.into_parts();
        let mut received = BytesMut::new();
        while let Some(chunk) = body.data().await {
            let chunk = chunk?;
            body.flow_control().release_capacity(chunk.len())?;
            received.extend_from_slice(&chunk);
        }
        let trailers = body.trailers().await?;
        Ok(Seen::read(response.headers, received.freeze(), trailers))
    }
}

impl Seen {
    fn nothing(code: i32, message: String) -> Seen {
        Seen {
            code,
            message,
            detail: None,
            detail_value: Vec::new(),
            shape: Shape::None,
            body: Bytes::new(),
            trailers: BTreeMap::new(),
        }
    }

    fn read(headers: HeaderMap, received: Bytes, trailers: Option<HeaderMap>) -> Seen {
        let shape = if trailers.is_some() { Shape::Message } else { Shape::TrailersOnly };
        let ends = trailers.unwrap_or(headers);
        let text = |name: &str| ends.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned();
        let details = BASE64.decode(text("grpc-status-details-bin")).unwrap_or_default();
        let status = RpcStatus::decode(details.as_slice()).unwrap_or_default();
        let first = status.details.into_iter().next();
        Seen {
            code: text("grpc-status").parse().unwrap_or(-1),
            message: percent_encoding::percent_decode_str(&text("grpc-message")).decode_utf8_lossy().into_owned(),
            detail: first.as_ref().map(|any| any.type_url.rsplit('.').next().unwrap_or_default().to_owned()),
            detail_value: first.map(|any| any.value).unwrap_or_default(),
            shape,
            body: received.get(5..).map(|_| received.slice(5..)).unwrap_or_default(),
            trailers: ends.keys().map(|name| (name.to_string(), text(name.as_str()))).collect(),
        }
    }
}

impl fmt::Display for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let code = tonic::Code::from_i32(self.code);
        write!(f, "{code:?} {:?}, detail {}, {:?}", self.message, self.detail.as_deref().unwrap_or("none"), self.shape)
    }
}
