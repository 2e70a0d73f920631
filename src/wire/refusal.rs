//! Why a reply cannot be settled: stable codes for machines, a sentence for people.

use std::fmt;

use serde_json::value::RawValue;

use super::target::ActivityRef;
use super::token::RawToken;
use super::{Action, EventRef, TokenPrint, TokenPrinter};

/// Declares the codes once: variant, code on the wire, meaning for the documentation.
macro_rules! refusal_codes {
    ($($(#[$doc:meta])* $name:ident = $code:literal, $meaning:literal;)*) => {
        /// Stable short code of a refusal: `reason` in outcomes, `handback-dlq-reason` on dead letters.
        ///
        /// Codes are added, never renamed.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum RefusalCode {
            $(#[doc = $meaning] $name,)*
        }

        impl RefusalCode {
            /// Every code, in the order of the documentation.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// The code as written on the wire.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => $code,)* }
            }

            /// What it means, one sentence for the documentation.
            #[must_use]
            pub const fn meaning(self) -> &'static str {
                match self { $(Self::$name => $meaning,)* }
            }
        }
    };
}

/// Reason of an `exhausted` reply that a retry topic does not take at its size.
pub const TOO_LARGE_TO_WAIT: &str = "too_large_to_wait";

refusal_codes! {
    Tombstone = "tombstone", "The value is null (a tombstone), and the headers do not say that it may be.";
    EmptyValue = "empty_value", "The value is empty, and the headers do not say that it may be.";
    BadUtf8 = "bad_utf8", "The envelope or the structured CloudEvent is not UTF-8.";
    BadJson = "bad_json", "The envelope or the structured CloudEvent is not one JSON object.";
    UnknownField = "unknown_field", "The envelope has a field that the contract does not know, or the CloudEvent more than 64 extensions.";
    DuplicateField = "duplicate_field", "A field is given twice.";
    MissingField = "missing_field", "A required field is absent, or nothing says what to do.";
    BadField = "bad_field", "A field has the wrong type or a value outside its range.";
    BadBase64 = "bad_base64", "A base64 field does not decode.";
    BadHeader = "bad_header", "A header is not UTF-8 or has a value outside its range.";
    UnreadableHeaders = "unreadable_headers", "The record has more than 99,900 headers, or such as a Kafka client cannot read.";
    HeaderRepeated = "header_repeated", "A header that names a token, an action, a target or a reason, or an attribute of a CloudEvent, is given twice.";
    AmbiguousMode = "ambiguous_mode",
        "The correlation id says that the value is a payload, but the value is an envelope for another task token.";
    CloudEventsUnsupported = "cloud_events_unsupported",
        "The CloudEvent is in a form that is not read: a batch, another format than JSON, another version than 1.0.";
    NoTarget = "no_target", "Neither a task token nor an activity is named.";
    BadToken = "bad_token", "The task token fails the checks that must hold before the engine is called.";
    TargetMismatch = "target_mismatch", "Token and ids, or two tokens, name different activities.";
    Contradiction = "contradiction", "Two parts of the reply say different things about what to do.";
    MissingReason = "missing_reason", "The failure has no reason, which its style needs.";
    MissingMessage = "missing_message", "The failure has no message, which the style `generic` needs.";
    ReservedReason = "reserved_reason", "The failure's reason begins with `cadenceInternal:`, which the engine keeps to itself.";
    TooLarge = "too_large", "The payload is larger than `bridge.max_payload_bytes`.";
    MetadataTooLarge = "metadata_too_large", "The metadata is larger than 16 KiB or nested deeper than 64 levels.";
    RequireJson = "require_json", "The topic is set to `require_json`, and the payload is not JSON.";
    DomainNotAllowed = "domain_not_allowed", "The domain is not in `cadence.domains`.";
    FailByIdWithoutAttempt = "fail_by_id_without_attempt",
        "A failure by id without attempt would burn the next attempt when repeated; see `cadence.allow_fail_by_id_without_attempt`.";
    CancelNotRequested = "cancel_not_requested", "The reply cancels an activity whose workflow has not asked for it.";
    BadRetryState = "bad_retry_state",
        "The record stands on a retry topic and does not say where it came from and how often it was tried: handback did not write it.";
    EngineRefused = "engine_refused", "The engine will never take this reply; the detail has its words.";
    InternalError = "internal_error", "Handling the reply failed inside handback; please report it.";
}

impl RefusalCode {
    /// The code written as `text`, if it is one.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|code| code.as_str() == text)
    }
}

impl fmt::Display for RefusalCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A reply that is wrong in itself, and what could be learnt of it all the same. `Debug` shows no texts of the service.
#[derive(Clone)]
pub struct Refusal {
    /// Stable short code.
    pub code: RefusalCode,
    /// One line for people; names the field. Holds no payload bytes and no token text.
    pub detail: String,
    /// The token as received, good or bad; printed only through [`Refusal::token_print`].
    pub token: Option<RawToken>,
    /// The activity that the reply names, as far as it could be read.
    pub activity: Option<ActivityRef>,
    /// What the reply asked for, as far as it could be read.
    pub action: Option<Action>,
    /// The reply's own, if it is right: the service recognises its reply by it.
    pub idempotency_key: Option<String>,
    /// The service's own fields, if they are right: copied into the outcome all the same.
    pub metadata: Option<Box<RawValue>>,
    /// Trace context of the record.
    pub traceparent: Option<String>,
    /// What the CloudEvent calls itself, if it was one and that is right.
    pub event: Option<Box<EventRef>>,
}

impl Refusal {
    /// A refusal without anything learnt of the reply.
    #[must_use]
    pub fn new(code: RefusalCode, detail: impl Into<String>) -> Self {
        Self {
            code,
            detail: detail.into(),
            token: None,
            activity: None,
            action: None,
            idempotency_key: None,
            metadata: None,
            traceparent: None,
            event: None,
        }
    }

    /// The keyed fingerprint of the token, for dead letters and logs.
    #[must_use]
    pub fn token_print(&self, printer: &TokenPrinter) -> Option<TokenPrint> {
        self.token.as_ref().map(|token| printer.print(token.bytes()))
    }
}

impl fmt::Debug for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Refusal")
            .field("code", &self.code)
            .field("detail", &self.detail)
            .field("token", &self.token)
            .field("activity", &self.activity)
            .field("action", &self.action)
            .finish_non_exhaustive()
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code, self.detail)
    }
}

impl std::error::Error for Refusal {}

/// A refusal on its way up, before what was learnt of the reply is added.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Fault {
    pub(crate) code: RefusalCode,
    pub(crate) detail: String,
}

impl Fault {
    pub(crate) fn new(code: RefusalCode, detail: impl Into<String>) -> Self {
        Self { code, detail: detail.into() }
    }
}
