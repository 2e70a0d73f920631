//! What the engine says when it does not do what it was asked: codes, texts and details of a Cadence frontend.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use percent_encoding::{AsciiSet, CONTROLS, percent_encode};
use prost::Message;
use tonic::Code;
use tonic::codegen::http::{HeaderMap, HeaderValue};

use crate::cadence::api;

/// `google.rpc.Status`, the content of `grpc-status-details-bin`.
#[derive(Clone, PartialEq, Message)]
struct RpcStatus {
    #[prost(int32, tag = "1")]
    code: i32,
    #[prost(string, tag = "2")]
    message: String,
    #[prost(message, repeated, tag = "3")]
    details: Vec<prost_types::Any>,
}

/// What grpc-go escapes in `grpc-message`: everything outside the printable characters, and the escape character.
const MESSAGE_ESCAPES: &AsciiSet = &CONTROLS.add(b'%');

/// Who refuses, which decides the shape on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum By {
    /// Cadence itself: headers, an empty message, trailers that call it an application error.
    Application,
    /// YARPC, after it has accepted the call: the same shape, not called an application error.
    Transport,
    /// YARPC, before it has accepted the call: trailers only.
    Door,
}

/// An error answer.
#[derive(Clone, Debug, PartialEq)]
pub struct Refusal {
    code: Code,
    message: String,
    detail: Option<(&'static str, Vec<u8>)>,
    by: By,
}

impl Refusal {
    /// An error of Cadence without a typed detail.
    pub fn plain(code: Code, message: impl Into<String>) -> Refusal {
        Refusal { code, message: message.into(), detail: None, by: By::Application }
    }

    /// An error of the RPC layer, answered in the trailers-only shape, as by something that is not Cadence's
    /// application code.
    pub fn at_the_door(code: Code, message: impl Into<String>) -> Refusal {
        Refusal { by: By::Door, ..Refusal::plain(code, message) }
    }

    /// `ServiceBusyError`: the cluster asks for less load.
    pub fn service_busy(message: impl Into<String>) -> Refusal {
        let detail = api::ServiceBusyError { reason: String::new() };
        Refusal::typed(Code::ResourceExhausted, message, "ServiceBusyError", &detail)
    }

    /// `LimitExceededError`.
    pub fn limit_exceeded(message: impl Into<String>) -> Refusal {
        Refusal::typed(Code::ResourceExhausted, message, "LimitExceededError", &api::LimitExceededError {})
    }

    /// `DomainNotActiveError`: the domain is active in another cluster.
    pub fn domain_not_active(domain: &str, current: &str, active: &str) -> Refusal {
        let message = format!(
            "Domain: {domain} is active in cluster: {active}, while current cluster {current} is a standby cluster."
        );
        let detail = api::DomainNotActiveError {
            domain: domain.to_owned(),
            current_cluster: current.to_owned(),
            active_cluster: active.to_owned(),
            ..Default::default()
        };
        Refusal::typed(Code::FailedPrecondition, message, "DomainNotActiveError", &detail)
    }

    /// `EntityNotExistsError`: no such activity, workflow or domain, or no longer.
    pub fn entity_not_exists(message: impl Into<String>) -> Refusal {
        Refusal::typed(Code::NotFound, message, "EntityNotExistsError", &api::EntityNotExistsError::default())
    }

    pub(super) fn bad_request(message: impl Into<String>) -> Refusal {
        Refusal::plain(Code::InvalidArgument, message)
    }

    pub(super) fn deadline() -> Refusal {
        Refusal::plain(Code::DeadlineExceeded, "context deadline exceeded")
    }

    pub(super) fn transport(code: Code, message: impl Into<String>) -> Refusal {
        Refusal { by: By::Transport, ..Refusal::plain(code, message) }
    }

    pub(super) fn typed(code: Code, message: impl Into<String>, name: &'static str, detail: &impl Message) -> Refusal {
        Refusal { detail: Some((name, detail.encode_to_vec())), ..Refusal::plain(code, message) }
    }

    /// Whether the answer has neither headers of its own nor a message.
    pub(super) fn is_trailers_only(&self) -> bool {
        self.by == By::Door
    }

    /// Writes status, text and details into the map that ends the response.
    pub(super) fn write(&self, into: &mut HeaderMap) {
        into.insert("grpc-status", HeaderValue::from(self.code as i32));
        let message = percent_encode(self.message.as_bytes(), MESSAGE_ESCAPES).to_string();
        insert(into, "grpc-message", &message);
        if self.by == By::Application {
            into.insert("rpc-application-error", HeaderValue::from_static("error"));
            let detail = self.detail.as_ref().map(|(name, _)| format!("{name}{{}}")).unwrap_or_default();
            insert(into, "rpc-application-error-details", &format!("[]{{ {detail} }}"));
        }
        let Some((name, value)) = &self.detail else { return };
        into.insert("rpc-application-error-name", HeaderValue::from_static(name));
        let any = prost_types::Any {
            type_url: format!("type.googleapis.com/uber.cadence.api.v1.{name}"),
            value: value.clone(),
        };
        let status = RpcStatus { code: self.code as i32, message: self.message.clone(), details: vec![any] };
        insert(into, "grpc-status-details-bin", &STANDARD_NO_PAD.encode(status.encode_to_vec()));
    }
}

fn insert(into: &mut HeaderMap, name: &'static str, value: &str) {
    // Both writers above yield printable ASCII only; a value that is not one is left out rather than sent broken.
    if let Ok(value) = HeaderValue::from_str(value) {
        into.insert(name, value);
    }
}
