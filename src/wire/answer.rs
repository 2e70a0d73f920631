//! What became of an activity, as the reply says it and as the engine is told.

use std::borrow::Cow;
use std::fmt;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::record::Size;

/// Reasons that begin like this belong to Cadence: its clients give them a meaning, or panic on them.
pub const RESERVED_REASON: &str = "cadenceInternal:";

/// The reason that Cadence clients turn into a `GenericError`.
const GENERIC_REASON: &str = "cadenceInternal:Generic";

/// What a reply asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Action {
    /// The activity has a result.
    Complete,
    /// The activity failed.
    Fail,
    /// The activity stopped because its workflow asked for it.
    Cancel,
    /// The activity is still being worked on.
    Heartbeat,
}

impl Action {
    /// Every action.
    pub const ALL: [Self; 4] = [Self::Complete, Self::Fail, Self::Cancel, Self::Heartbeat];

    /// The name on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Complete => "complete",
            Self::Fail => "fail",
            Self::Cancel => "cancel",
            Self::Heartbeat => "heartbeat",
        }
    }

    /// The action named `text`, exact-case.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|action| action.as_str() == text)
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What became of an activity. `None` is "nothing", never empty bytes: the engine's clients cannot decode empty bytes.
///
/// `Debug` shows sizes of payloads only.
#[derive(Clone, PartialEq, Eq)]
pub enum Answer {
    /// It has a result.
    Complete {
        /// The result as received.
        result: Option<Bytes>,
    },
    /// It failed.
    Fail(Failure),
    /// It stopped because its workflow asked for it.
    Cancel {
        /// Details as received.
        details: Option<Bytes>,
    },
    /// It is still being worked on.
    Heartbeat {
        /// Details as received.
        details: Option<Bytes>,
    },
}

impl Answer {
    /// Completed, with this value as JSON. For bytes that are no JSON, or for no result at all, use [`Answer::Complete`].
    ///
    /// # Errors
    ///
    /// When `result` cannot be written as JSON.
    pub fn completed<T: Serialize + ?Sized>(result: &T) -> serde_json::Result<Self> {
        Ok(Self::Complete { result: Some(serde_json::to_vec(result)?.into()) })
    }

    /// Failed for this reason, which is what the workflow matches on. For details and other styles use [`Answer::Fail`].
    #[must_use]
    pub fn failed(reason: impl Into<String>, message: impl Into<String>) -> Self {
        Self::Fail(Failure {
            reason: reason.into(),
            message: Some(message.into()),
            details: None,
            style: FailureStyle::Custom,
        })
    }

    /// Which action it is.
    #[must_use]
    pub fn action(&self) -> Action {
        match self {
            Self::Complete { .. } => Action::Complete,
            Self::Fail(_) => Action::Fail,
            Self::Cancel { .. } => Action::Cancel,
            Self::Heartbeat { .. } => Action::Heartbeat,
        }
    }

    /// The payload that the engine is given with it.
    #[must_use]
    pub fn engine_payload(&self) -> Option<Bytes> {
        match self {
            Self::Complete { result: payload }
            | Self::Cancel { details: payload }
            | Self::Heartbeat { details: payload } => payload.clone(),
            Self::Fail(failure) => failure.engine_details(),
        }
    }
}

impl fmt::Debug for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Complete { result } => f.debug_tuple("Complete").field(&Size(result.as_ref())).finish(),
            Self::Fail(failure) => failure.fmt(f),
            Self::Cancel { details } => f.debug_tuple("Cancel").field(&Size(details.as_ref())).finish(),
            Self::Heartbeat { details } => f.debug_tuple("Heartbeat").field(&Size(details.as_ref())).finish(),
        }
    }
}

/// How the workflow sees a failure.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FailureStyle {
    /// Go `CustomError(reason, details)`.
    #[default]
    Custom,
    /// Go `GenericError(message)`.
    Generic,
    /// A Java exception: the reason is its class name.
    Java,
}

impl FailureStyle {
    /// Every style.
    pub const ALL: [Self; 3] = [Self::Custom, Self::Generic, Self::Java];

    /// The name on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Custom => "custom",
            Self::Generic => "generic",
            Self::Java => "java",
        }
    }

    /// The style named `text`, exact-case.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|style| style.as_str() == text)
    }
}

impl fmt::Display for FailureStyle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A failure as the reply gives it. `Debug` shows sizes of its parts only.
#[derive(Clone, PartialEq, Eq)]
pub struct Failure {
    /// What the workflow matches on; empty only for style generic, which does not use it.
    pub reason: String,
    /// Text for people; what style generic sends.
    pub message: Option<String>,
    /// Details as received.
    pub details: Option<Bytes>,
    /// How the workflow sees it.
    pub style: FailureStyle,
}

impl Failure {
    /// The reason that goes to the engine.
    #[must_use]
    pub fn engine_reason(&self) -> Cow<'_, str> {
        match self.style {
            FailureStyle::Custom | FailureStyle::Java => Cow::Borrowed(&self.reason),
            FailureStyle::Generic => Cow::Borrowed(GENERIC_REASON),
        }
    }

    /// The details that go to the engine: as received for custom, the raw message for generic (Go decodes it as text, not
    /// as JSON), and for java the details as received or else an exception built from the message.
    #[must_use]
    pub fn engine_details(&self) -> Option<Bytes> {
        match (self.style, &self.details) {
            (FailureStyle::Custom, details) => details.clone(),
            (FailureStyle::Generic, _) => self.message.as_ref().map(|text| Bytes::copy_from_slice(text.as_bytes())),
            (FailureStyle::Java, Some(details)) => Some(details.clone()),
            (FailureStyle::Java, None) => Some(java_exception(&self.reason, self.message.as_deref())),
        }
    }
}

impl fmt::Debug for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Failure")
            .field("style", &self.style)
            .field("reason", &format_args!("{} bytes", self.reason.len()))
            .field("message", &format_args!("{:?} bytes", self.message.as_ref().map(String::len)))
            .field("details", &Size(self.details.as_ref()))
            .finish()
    }
}

/// A throwable as Gson writes it: the Java client loads the class by the failure's reason and decodes this into it.
/// Without the two empty fields its adapter throws.
#[derive(Serialize)]
struct JavaException<'a> {
    class: &'a str,
    #[serde(rename = "detailMessage")]
    detail_message: Option<&'a str>,
    #[serde(rename = "stackTrace")]
    stack_trace: &'static str,
    #[serde(rename = "suppressedExceptions")]
    suppressed_exceptions: [(); 0],
}

fn java_exception(class: &str, message: Option<&str>) -> Bytes {
    let exception = JavaException { class, detail_message: message, stack_trace: "", suppressed_exceptions: [] };
    Bytes::from(super::json::to_vec(&exception, 96 + class.len() + message.map_or(0, str::len)))
}
