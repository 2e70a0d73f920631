//! Requests: what an activity asks of a service (`docs/wire-contract.md`, section 2).

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::json::OnlyObject;
use super::target::push_part;
use super::time::Millis;
use super::{Headers, Input, OutRecord, TaskToken, TokenFault, decode_base64, json, names};

/// A request. Only the token is required of activities that write requests themselves.
#[derive(Clone, Debug)]
pub struct Request {
    /// What the reply must name.
    pub task_token: TaskToken,
    /// Which activity it is.
    pub activity: Option<RequestActivity>,
    /// The activity's arguments.
    pub input: Option<Input>,
    /// The same for every attempt: the service's idempotency key for its own side effects.
    pub request_key: Option<String>,
    /// Topic for the reply.
    pub reply_to: Option<String>,
    /// When the activity was scheduled, milliseconds since the epoch.
    pub scheduled_at_ms: Option<i64>,
    /// When this attempt times out, milliseconds since the epoch.
    pub deadline_ms: Option<i64>,
    /// Longest time between two heartbeats.
    pub heartbeat_timeout_seconds: Option<u32>,
    /// W3C trace context; a header.
    pub traceparent: Option<String>,
    /// W3C trace state; a header.
    pub tracestate: Option<String>,
}

/// The activity that a request is about, by its names.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct RequestActivity {
    /// Name of the domain.
    pub domain: String,
    /// Workflow id.
    pub workflow_id: String,
    /// UUID of the run.
    pub run_id: String,
    /// Activity id.
    pub activity_id: String,
    /// Attempt from 0.
    pub attempt: i64,
    /// Activity type.
    pub activity_type: String,
    /// Workflow type.
    pub workflow_type: String,
}

impl RequestActivity {
    /// `<domain>/<workflow_id>/<run_id>/<activity_id>`, parts percent-encoded: the same for every attempt.
    #[must_use]
    pub fn request_key(&self) -> String {
        let mut key = String::new();
        for part in [&self.domain, &self.workflow_id, &self.run_id, &self.activity_id] {
            push_part(&mut key, part);
        }
        key
    }
}

impl Request {
    /// A request that says nothing but the token.
    #[must_use]
    pub fn new(task_token: TaskToken) -> Self {
        Self {
            task_token,
            activity: None,
            input: None,
            request_key: None,
            reply_to: None,
            scheduled_at_ms: None,
            deadline_ms: None,
            heartbeat_timeout_seconds: None,
            traceparent: None,
            tracestate: None,
        }
    }

    /// Says which activity it is, and with it the request key.
    #[must_use]
    pub fn with_activity(mut self, activity: RequestActivity) -> Self {
        self.request_key = Some(activity.request_key());
        self.activity = Some(activity);
        self
    }

    /// The record to write. Its key is `<domain>/<workflow_id>`, so that the requests of one workflow stay in order.
    #[must_use]
    pub fn to_record(&self, topic: Arc<str>) -> OutRecord {
        let mut headers = Headers::new();
        headers.push(names::CORRELATION_ID, self.task_token.bytes().clone());
        let texts = [
            (names::REPLY_TOPIC, &self.reply_to),
            (names::TRACEPARENT, &self.traceparent),
            (names::TRACESTATE, &self.tracestate),
        ];
        for (name, text) in texts {
            if let Some(text) = text {
                headers.push(name, Bytes::copy_from_slice(text.as_bytes()));
            }
        }
        OutRecord { topic, partition: None, key: self.key(), value: Some(self.to_value()), headers }
    }

    /// The record's key, if it says which activity it is.
    pub(super) fn key(&self) -> Option<Bytes> {
        self.activity.as_ref().map(|it| Bytes::from(format!("{}/{}", it.domain, it.workflow_id)))
    }

    /// The record's value.
    #[must_use]
    pub fn to_value(&self) -> Bytes {
        let (input, input_base64) = match &self.input {
            None => (None, None),
            Some(Input::Json(values)) => (Some(&values[..]), None),
            Some(Input::Bytes(bytes)) => (None, Some(STANDARD.encode(bytes))),
        };
        let document = RequestDocument {
            task_token: STANDARD.encode(self.task_token.bytes()),
            activity: self.activity.as_ref(),
            input,
            input_base64,
            request_key: self.request_key.as_deref(),
            reply_to: self.reply_to.as_deref(),
            scheduled_at: self.scheduled_at_ms.map(Millis),
            deadline: self.deadline_ms.map(Millis),
            heartbeat_timeout_seconds: self.heartbeat_timeout_seconds,
        };
        Bytes::from(json::to_vec(&document, 1024))
    }

    /// Reads a request's value. Fields that newer versions add are ignored; trace headers are not in the value.
    ///
    /// # Errors
    ///
    /// When the value is not a request or its token fails the check.
    pub fn parse(value: &[u8]) -> Result<Self, RequestFault> {
        let OnlyObject(text) = serde_json::from_slice::<OnlyObject<RequestText>>(value)
            .map_err(|fault| RequestFault::Json(json::describe(&fault)))?;
        let base64 = |text: &str, name: &'static str| {
            decode_base64(text.as_bytes()).map(Bytes::from).ok_or(RequestFault::Field(name))
        };
        let time = |text: Option<String>, name: &'static str| {
            text.map(|text| Millis::parse(&text).map(|time| time.0).ok_or(RequestFault::Field(name))).transpose()
        };
        let input = match (text.input, text.input_base64) {
            (Some(values), _) => Some(Input::Json(values)),
            (None, Some(encoded)) => Some(Input::Bytes(base64(&encoded, "input_base64")?)),
            (None, None) => None,
        };
        Ok(Self {
            task_token: TaskToken::check(base64(&text.task_token, "task_token")?)?,
            activity: text.activity.map(|OnlyObject(activity)| activity),
            input,
            request_key: text.request_key,
            reply_to: text.reply_to,
            scheduled_at_ms: time(text.scheduled_at, "scheduled_at")?,
            deadline_ms: time(text.deadline, "deadline")?,
            heartbeat_timeout_seconds: text.heartbeat_timeout_seconds,
            traceparent: None,
            tracestate: None,
        })
    }
}

/// Why a value is not a request. The message holds nothing of the token.
#[derive(Debug, thiserror::Error)]
pub enum RequestFault {
    /// It is not the JSON that a request is.
    #[error("not a request: {0}")]
    Json(String),
    /// A field is not what it should be.
    #[error("not a request: `{0}` is out of range")]
    Field(&'static str),
    /// The token fails the check.
    #[error("not a request: {0}")]
    Token(#[from] TokenFault),
}

#[derive(Serialize)]
struct RequestDocument<'a> {
    task_token: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    activity: Option<&'a RequestActivity>,
    #[serde(skip_serializing_if = "Option::is_none")]
    input: Option<&'a [Box<RawValue>]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    input_base64: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    request_key: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reply_to: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    scheduled_at: Option<Millis>,
    #[serde(skip_serializing_if = "Option::is_none")]
    deadline: Option<Millis>,
    #[serde(skip_serializing_if = "Option::is_none")]
    heartbeat_timeout_seconds: Option<u32>,
}

#[derive(Deserialize)]
struct RequestText {
    task_token: String,
    activity: Option<OnlyObject<RequestActivity>>,
    input: Option<Vec<Box<RawValue>>>,
    input_base64: Option<String>,
    request_key: Option<String>,
    reply_to: Option<String>,
    scheduled_at: Option<String>,
    deadline: Option<String>,
    heartbeat_timeout_seconds: Option<u32>,
}
