//! What a Cadence status means: one exhaustive table from gRPC code and error detail to a decision.
//!
//! Cadence puts a typed error into `grpc-status-details-bin` (google.rpc.Status, `details[0]`); a bad request is known
//! by having none. Codes and texts: the server's `common/types/mapper/proto/errors.go` and what a v1.4.1 server answered
//! in the contract suite.

use prost::Message;
use prost_types::Any;
use tonic::{Code, Status};

use crate::bridge::seams::{CallError, Verdict};
use crate::wire::RefusalCode;

/// The typed error of a status, by the name of its message in `uber.cadence.api.v1`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Detail {
    /// No detail at all: a bad request, an internal error, or a proxy that dropped it.
    Absent,
    EntityNotExists,
    WorkflowExecutionAlreadyCompleted,
    QueryFailed,
    DomainNotActive,
    ClientVersionNotSupported,
    FeatureNotEnabled,
    ServiceBusy,
    LimitExceeded,
    CancellationAlreadyRequested,
    DomainAlreadyExists,
    WorkflowExecutionAlreadyStarted,
    /// A type that this version does not know.
    Other,
}

impl Detail {
    #[cfg(test)]
    const ALL: [Self; 13] = [
        Self::Absent,
        Self::EntityNotExists,
        Self::WorkflowExecutionAlreadyCompleted,
        Self::QueryFailed,
        Self::DomainNotActive,
        Self::ClientVersionNotSupported,
        Self::FeatureNotEnabled,
        Self::ServiceBusy,
        Self::LimitExceeded,
        Self::CancellationAlreadyRequested,
        Self::DomainAlreadyExists,
        Self::WorkflowExecutionAlreadyStarted,
        Self::Other,
    ];

    pub(crate) fn of(status: &Status) -> Self {
        let details = RpcStatus::decode(status.details()).map(|s| s.details).unwrap_or_default();
        let Some(first) = details.first() else { return Self::Absent };
        match first.type_url.rsplit(['/', '.']).next().unwrap_or_default() {
            "EntityNotExistsError" => Self::EntityNotExists,
            "WorkflowExecutionAlreadyCompletedError" => Self::WorkflowExecutionAlreadyCompleted,
            "QueryFailedError" => Self::QueryFailed,
            "DomainNotActiveError" => Self::DomainNotActive,
            "ClientVersionNotSupportedError" => Self::ClientVersionNotSupported,
            "FeatureNotEnabledError" => Self::FeatureNotEnabled,
            "ServiceBusyError" => Self::ServiceBusy,
            "LimitExceededError" => Self::LimitExceeded,
            "CancellationAlreadyRequestedError" => Self::CancellationAlreadyRequested,
            "DomainAlreadyExistsError" => Self::DomainAlreadyExists,
            "WorkflowExecutionAlreadyStartedError" => Self::WorkflowExecutionAlreadyStarted,
            _ => Self::Other,
        }
    }
}

/// `google.rpc.Status`, as it stands in `grpc-status-details-bin`.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct RpcStatus {
    #[prost(int32, tag = "1")]
    pub(crate) code: i32,
    #[prost(string, tag = "2")]
    pub(crate) message: String,
    #[prost(message, repeated, tag = "3")]
    pub(crate) details: Vec<Any>,
}

/// Translates a failed call, once and for all.
pub(crate) fn call_error(status: &Status) -> CallError {
    let verdict = verdict(status.code(), Detail::of(status), status.message());
    CallError { verdict, status: code_name(status.code()), message: status.message().to_owned() }
}

/// The table. To change a retry rule, change a row.
fn verdict(code: Code, detail: Detail, message: &str) -> Verdict {
    const AGAIN: Verdict = Verdict::Transient { busy: false };
    const LATER: Verdict = Verdict::Transient { busy: true };
    const NEVER: Verdict = Verdict::Refused(RefusalCode::EngineRefused);
    match code {
        // "Not found" with or without its detail: a proxy may have dropped that.
        Code::NotFound if is_unknown_domain(message) => Verdict::UnknownDomain,
        Code::NotFound => Verdict::NotFound,

        // By id, an activity that is closed or never was is a bad request.
        Code::InvalidArgument if message.starts_with("Cannot locate Activity ScheduleID") => Verdict::NotFound,
        Code::InvalidArgument if is_missing_metadata(message) => Verdict::Wiring,
        Code::InvalidArgument => NEVER,

        Code::FailedPrecondition => match detail {
            Detail::DomainNotActive | Detail::Absent => Verdict::DomainNotActive,
            Detail::ClientVersionNotSupported | Detail::FeatureNotEnabled => Verdict::Wiring,
            Detail::EntityNotExists
            | Detail::WorkflowExecutionAlreadyCompleted
            | Detail::QueryFailed
            | Detail::ServiceBusy
            | Detail::LimitExceeded
            | Detail::CancellationAlreadyRequested
            | Detail::DomainAlreadyExists
            | Detail::WorkflowExecutionAlreadyStarted
            | Detail::Other => NEVER,
        },

        Code::ResourceExhausted if is_message_limit(message) => Verdict::Refused(RefusalCode::TooLarge),
        Code::ResourceExhausted if detail == Detail::LimitExceeded => NEVER,
        Code::ResourceExhausted => LATER,

        // Nobody who speaks Cadence with us answers like this.
        Code::Unimplemented | Code::PermissionDenied | Code::Unauthenticated => Verdict::Wiring,

        // The server's way to say that the workflow never asked for the cancellation.
        Code::Unknown if message.contains("Unable to add ActivityTaskCanceled event") => {
            Verdict::Refused(RefusalCode::CancelNotRequested)
        }
        // UNKNOWN is the normal face of an internal error of the server; tokens are checked before they are sent, so
        // that it is never the answer to garbage. A deadline says nothing about what was applied.
        Code::Unknown
        | Code::DeadlineExceeded
        | Code::Unavailable
        | Code::Cancelled
        | Code::Aborted
        | Code::Internal
        | Code::DataLoss
        | Code::OutOfRange
        | Code::Ok => AGAIN,

        Code::AlreadyExists => NEVER,
    }
}

/// `Domain <name or id> does not exist.`: the only mark that tells it from a workflow that does not exist.
fn is_unknown_domain(message: &str) -> bool {
    message.starts_with("Domain ") && message.trim_end_matches('.').ends_with("does not exist")
}

/// YARPC's words for calls without its metadata. Seen when something between us and the frontend drops headers.
fn is_missing_metadata(message: &str) -> bool {
    let named = ["caller name", "service name", "encoding", "TTL"].iter().any(|name| message.contains(name));
    (message.contains("missing") && named) || message.contains("header has more than one value")
}

/// grpc-go's and tonic's words for a message over the size limit.
fn is_message_limit(message: &str) -> bool {
    message.contains("larger than max") || message.contains("message too large")
}

/// The name of a code as gRPC writes it.
pub(crate) fn code_name(code: Code) -> &'static str {
    match code {
        Code::Ok => "OK",
        Code::Cancelled => "CANCELLED",
        Code::Unknown => "UNKNOWN",
        Code::InvalidArgument => "INVALID_ARGUMENT",
        Code::DeadlineExceeded => "DEADLINE_EXCEEDED",
        Code::NotFound => "NOT_FOUND",
        Code::AlreadyExists => "ALREADY_EXISTS",
        Code::PermissionDenied => "PERMISSION_DENIED",
        Code::ResourceExhausted => "RESOURCE_EXHAUSTED",
        Code::FailedPrecondition => "FAILED_PRECONDITION",
        Code::Aborted => "ABORTED",
        Code::OutOfRange => "OUT_OF_RANGE",
        Code::Unimplemented => "UNIMPLEMENTED",
        Code::Internal => "INTERNAL",
        Code::Unavailable => "UNAVAILABLE",
        Code::DataLoss => "DATA_LOSS",
        Code::Unauthenticated => "UNAUTHENTICATED",
    }
}

#[cfg(test)]
#[path = "status_tests.rs"]
mod tests;
