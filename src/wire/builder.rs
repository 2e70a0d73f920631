//! Writing replies: for `handback reply`, for services in Rust and for tests.

mod event;

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde::Serialize;
use serde_json::value::RawValue;

use self::event::Attributes;
use super::{
    Action, ActivityId, Answer, EventRef, Failure, FailureStyle, Headers, Limits, Mode, Origin, OutRecord, Record,
    Refusal, RefusalCode, Request, Target, decode, json, names,
};

impl Request {
    /// A reply to this request: its token, its key, its trace.
    ///
    /// ```
    /// use handback::wire::{Answer, Limits, Request};
    ///
    /// # let value = include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/schemas/examples/valid/request/full.json"));
    /// let request = Request::parse(value)?;
    /// let answer = Answer::completed(&serde_json::json!({"charge_id": "ch_1"}))?;
    /// let record = request.reply(answer).into_record("activity-replies".into(), &Limits::default())?;
    /// assert_eq!(&*record.topic, "activity-replies");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn reply(&self, answer: Answer) -> ReplyBuilder {
        let mut reply = ReplyBuilder::new(Target::Token(self.task_token.clone()), answer);
        reply.key = self.key();
        reply.traceparent.clone_from(&self.traceparent);
        reply
    }
}

/// Makes a reply's record. Payloads go as the bytes given: inside a JSON envelope when they are JSON, otherwise in base64 or
/// in header mode, whichever the contract has for the action.
#[derive(Clone)]
pub struct ReplyBuilder {
    target: Target,
    answer: Answer,
    idempotency_key: Option<String>,
    metadata: Option<Box<RawValue>>,
    traceparent: Option<String>,
    key: Option<Bytes>,
    event: Option<EventRef>,
    mode: Option<Mode>,
}

impl ReplyBuilder {
    /// A reply that says `answer` about `target`.
    #[must_use]
    pub fn new(target: Target, answer: Answer) -> Self {
        Self {
            target,
            answer,
            idempotency_key: None,
            metadata: None,
            traceparent: None,
            key: None,
            event: None,
            mode: None,
        }
    }

    /// Names this answer within its target, 1 to 512 bytes.
    #[must_use]
    pub fn idempotency_key(mut self, key: impl Into<String>) -> Self {
        self.idempotency_key = Some(key.into());
        self
    }

    /// Own fields, a JSON object of at most 16 KiB; envelopes only.
    #[must_use]
    pub fn metadata(mut self, object: Box<RawValue>) -> Self {
        self.metadata = Some(object);
        self
    }

    /// W3C trace context.
    #[must_use]
    pub fn traceparent(mut self, traceparent: impl Into<String>) -> Self {
        self.traceparent = Some(traceparent.into());
        self
    }

    /// The record's key; the request's key keeps replies about one workflow in order. Default: domain and workflow id.
    #[must_use]
    pub fn key(mut self, key: Bytes) -> Self {
        self.key = Some(key);
        self
    }

    /// What the CloudEvent calls itself; needed for the modes of CloudEvents, and of no effect in the others.
    #[must_use]
    pub fn event(mut self, event: EventRef) -> Self {
        self.event = Some(event);
        self
    }

    /// Writes this form, whatever the payload.
    #[must_use]
    pub fn mode(mut self, mode: Mode) -> Self {
        self.mode = Some(mode);
        self
    }

    /// The record to write to the reply topic `topic`.
    ///
    /// # Errors
    ///
    /// When handback would refuse the reply under `limits`, or the form that was asked for cannot carry it.
    pub fn into_record(self, topic: Arc<str>, limits: &Limits) -> Result<OutRecord, Box<Refusal>> {
        let fits = self.fits_envelope();
        let (value, headers) = match self.mode.unwrap_or(if fits { Mode::Envelope } else { Mode::Headers }) {
            Mode::Envelope if fits => (Some(self.envelope()), self.envelope_headers()),
            Mode::Envelope => return Err(unfit("an envelope carries details of cancel and heartbeat only as JSON")),
            Mode::Headers if self.metadata.is_some() => return Err(unfit("header mode carries no `metadata`")),
            Mode::Headers => (self.payload(), self.headers()),
            Mode::BinaryEvent => {
                let payload = self.payload();
                let headers = self.attributes()?.headers(payload.as_ref());
                (payload, headers)
            }
            Mode::StructuredEvent => {
                let mut headers = Headers::new();
                headers.push(names::CONTENT_TYPE, Bytes::from_static(names::CLOUD_EVENT_JSON_TYPE.as_bytes()));
                (Some(self.attributes()?.document(self.payload().as_ref())), headers)
            }
        };
        let key = self.key.clone().unwrap_or_else(|| self.default_key());
        let origin = Origin { topic: Arc::clone(&topic), partition: 0, offset: 0, timestamp_ms: None };
        let record = Record { origin, key: Some(key), value, headers };
        decode(&record, limits)?;
        Ok(OutRecord { topic, partition: None, key: record.key, value: record.value, headers: record.headers })
    }

    fn default_key(&self) -> Bytes {
        let (domain, workflow_id) = match &self.target {
            Target::Token(token) => (token.claims().domain_id, token.claims().workflow_id),
            Target::ById(id) => (&id.domain[..], &id.workflow_id[..]),
        };
        Bytes::from(format!("{domain}/{workflow_id}"))
    }

    /// Details of cancel and heartbeat have no base64 field, and null counts as absent.
    fn fits_envelope(&self) -> bool {
        match &self.answer {
            Answer::Cancel { details: Some(details) } | Answer::Heartbeat { details: Some(details) } => {
                exact_json(details).is_some_and(|raw| !json::is_null(raw))
            }
            _ => true,
        }
    }

    fn payload(&self) -> Option<Bytes> {
        match &self.answer {
            Answer::Complete { result: payload }
            | Answer::Cancel { details: payload }
            | Answer::Heartbeat { details: payload } => payload.clone(),
            Answer::Fail(failure) => failure.details.clone(),
        }
    }

    fn envelope(&self) -> Bytes {
        let payload = self.payload();
        let json = payload.as_deref().and_then(exact_json);
        let base64 = if json.is_none() { payload.as_deref().map(|bytes| STANDARD.encode(bytes)) } else { None };
        let (task_token, activity) = match &self.target {
            Target::Token(token) => (Some(STANDARD.encode(token.bytes())), None),
            Target::ById(id) => (None, Some(ActivityDocument::of(id))),
        };
        let mut document = EnvelopeDocument {
            task_token,
            activity,
            idempotency_key: self.idempotency_key.as_deref(),
            metadata: self.metadata.as_deref(),
            ..EnvelopeDocument::default()
        };
        match &self.answer {
            Answer::Complete { result: Some(_) } => (document.result, document.result_base64) = (json, base64),
            Answer::Fail(failure) => document.failure = Some(FailureDocument::of(failure, json, base64)),
            answer => (document.action, document.details) = (Some(answer.action()), json),
        }
        let size = 1024
            + payload.as_ref().map_or(0, |bytes| bytes.len() * 4 / 3)
            + self.metadata.as_ref().map_or(0, |m| m.get().len());
        Bytes::from(json::to_vec(&document, size))
    }

    fn attributes(&self) -> Result<Attributes<'_>, Box<Refusal>> {
        let Target::Token(token) = &self.target else {
            return Err(unfit("a CloudEvent names its activity by task token only"));
        };
        if self.metadata.is_some() {
            return Err(unfit("a CloudEvent carries no `metadata`"));
        }
        let event = self.event.as_ref().ok_or_else(|| unfit("a CloudEvent needs an `id` and a `source`"))?;
        let attributes = Attributes::of(event, token, &self.answer);
        Ok(attributes.with(self.idempotency_key.as_deref(), self.traceparent.as_deref()))
    }

    fn envelope_headers(&self) -> Headers {
        let mut headers = Headers::new();
        headers.push(names::CONTENT_TYPE, Bytes::from_static(names::ENVELOPE_TYPE.as_bytes()));
        self.push_traceparent(&mut headers);
        headers
    }

    fn headers(&self) -> Headers {
        let mut headers = Headers::new();
        let mut push = |name: &'static str, text: &str| headers.push(name, Bytes::copy_from_slice(text.as_bytes()));
        match &self.target {
            Target::Token(token) => push(names::TASK_TOKEN, &STANDARD.encode(token.bytes())),
            Target::ById(id) => {
                push(names::DOMAIN, &id.domain);
                push(names::WORKFLOW_ID, &id.workflow_id);
                push(names::RUN_ID, &id.run_id);
                push(names::ACTIVITY_ID, &id.activity_id);
                if let Some(attempt) = id.attempt {
                    push(names::ATTEMPT, &attempt.to_string());
                }
            }
        }
        push(names::ACTION, self.answer.action().as_str());
        if let Answer::Fail(failure) = &self.answer {
            if !failure.reason.is_empty() {
                push(names::FAILURE_REASON, &failure.reason);
            }
            if let Some(message) = &failure.message {
                push(names::FAILURE_MESSAGE, message);
            }
            push(names::FAILURE_STYLE, failure.style.as_str());
        }
        if let Some(key) = &self.idempotency_key {
            push(names::IDEMPOTENCY_KEY, key);
        }
        self.push_traceparent(&mut headers);
        headers
    }

    fn push_traceparent(&self, headers: &mut Headers) {
        if let Some(traceparent) = &self.traceparent {
            headers.push(names::TRACEPARENT, Bytes::copy_from_slice(traceparent.as_bytes()));
        }
    }
}

fn unfit(detail: &str) -> Box<Refusal> {
    Box::new(Refusal::new(RefusalCode::Contradiction, detail))
}

/// The JSON value that is these bytes and nothing else: white space around it would be lost in an envelope.
fn exact_json(bytes: &[u8]) -> Option<&RawValue> {
    serde_json::from_slice::<&RawValue>(bytes).ok().filter(|raw| raw.get().len() == bytes.len())
}

#[derive(Default, Serialize)]
struct EnvelopeDocument<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    task_token: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    activity: Option<ActivityDocument<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    action: Option<Action>,
    #[serde(skip_serializing_if = "Option::is_none")]
    result: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    result_base64: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    failure: Option<FailureDocument<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    details: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    idempotency_key: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    metadata: Option<&'a RawValue>,
}

#[derive(Serialize)]
struct ActivityDocument<'a> {
    domain: &'a str,
    workflow_id: &'a str,
    run_id: &'a str,
    activity_id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    attempt: Option<i64>,
}

impl<'a> ActivityDocument<'a> {
    fn of(id: &'a ActivityId) -> Self {
        Self {
            domain: &id.domain,
            workflow_id: &id.workflow_id,
            run_id: &id.run_id,
            activity_id: &id.activity_id,
            attempt: id.attempt,
        }
    }
}

#[derive(Serialize)]
struct FailureDocument<'a> {
    #[serde(skip_serializing_if = "str::is_empty")]
    reason: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    style: Option<FailureStyle>,
    #[serde(skip_serializing_if = "Option::is_none")]
    details: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    details_base64: Option<String>,
}

impl<'a> FailureDocument<'a> {
    fn of(failure: &'a Failure, details: Option<&'a RawValue>, base64: Option<String>) -> Self {
        // Null details count as absent, so null itself goes in base64.
        let null = details.is_some_and(json::is_null);
        Self {
            reason: &failure.reason,
            message: failure.message.as_deref(),
            style: Some(failure.style).filter(|style| *style != FailureStyle::Custom),
            details: details.filter(|_| !null),
            details_base64: if null { Some(STANDARD.encode("null")) } else { base64 },
        }
    }
}
