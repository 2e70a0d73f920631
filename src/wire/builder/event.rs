//! Writing a reply as a CloudEvent.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde::Serialize;
use serde_json::value::RawValue;

use super::super::{Answer, EventRef, Failure, FailureStyle, Headers, TaskToken, json, names};
use super::exact_json;

const VERSION: &str = "1.0";

/// Everything that an event says beside its payload.
#[derive(Serialize)]
pub(super) struct Attributes<'a> {
    specversion: &'static str,
    #[serde(rename = "type")]
    kind: String,
    id: &'a str,
    source: &'a str,
    tasktoken: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    failurereason: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    failuremessage: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    failurestyle: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    idempotencykey: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    traceparent: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    datacontenttype: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    data_base64: Option<String>,
}

impl<'a> Attributes<'a> {
    pub(super) fn of(event: &'a EventRef, token: &TaskToken, answer: &'a Answer) -> Self {
        let failure: Option<&Failure> = if let Answer::Fail(failure) = answer { Some(failure) } else { None };
        Self {
            specversion: VERSION,
            kind: format!("{}{}", names::EVENT_TYPE_PREFIX, answer.action()),
            id: &event.id,
            source: &event.source,
            tasktoken: STANDARD.encode(token.bytes()),
            failurereason: failure.map(|failure| failure.reason.as_str()).filter(|reason| !reason.is_empty()),
            failuremessage: failure.and_then(|failure| failure.message.as_deref()),
            failurestyle: failure
                .map(|failure| failure.style)
                .filter(|style| *style != FailureStyle::Custom)
                .map(FailureStyle::as_str),
            idempotencykey: None,
            traceparent: None,
            datacontenttype: None,
            data: None,
            data_base64: None,
        }
    }

    pub(super) fn with(mut self, idempotency_key: Option<&'a str>, traceparent: Option<&'a str>) -> Self {
        (self.idempotencykey, self.traceparent) = (idempotency_key, traceparent);
        self
    }

    /// Headers of binary mode; the value is the payload.
    pub(super) fn headers(self, payload: Option<&Bytes>) -> Headers {
        let mut headers = Headers::new();
        let given = [
            (names::CE_SPECVERSION, Some(self.specversion)),
            (names::CE_TYPE, Some(&*self.kind)),
            (names::CE_ID, Some(self.id)),
            (names::CE_SOURCE, Some(self.source)),
            (names::CE_TASK_TOKEN, Some(&*self.tasktoken)),
            (names::CE_FAILURE_REASON, self.failurereason),
            (names::CE_FAILURE_MESSAGE, self.failuremessage),
            (names::CE_FAILURE_STYLE, self.failurestyle),
            (names::CE_IDEMPOTENCY_KEY, self.idempotencykey),
            (names::CE_TRACEPARENT, self.traceparent),
            (names::CONTENT_TYPE, payload.map(|bytes| content_type(bytes))),
        ];
        for (name, text) in given {
            if let Some(text) = text {
                headers.push(name, Bytes::copy_from_slice(text.as_bytes()));
            }
        }
        headers
    }

    /// The value of structured mode.
    pub(super) fn document(mut self, payload: Option<&'a Bytes>) -> Bytes {
        self.datacontenttype = payload.map(|bytes| content_type(bytes));
        self.data = payload.and_then(|bytes| exact_json(bytes));
        self.data_base64 = payload.filter(|_| self.data.is_none()).map(|bytes| STANDARD.encode(bytes));
        Bytes::from(json::to_vec(&self, 1024 + payload.map_or(0, |bytes| bytes.len() * 4 / 3)))
    }
}

fn content_type(payload: &[u8]) -> &'static str {
    if json::is_json(payload) { "application/json" } else { "application/octet-stream" }
}
