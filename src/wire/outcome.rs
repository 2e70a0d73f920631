//! Outcomes: what became of each reply (`docs/wire-contract.md`, section 4).

use std::borrow::Cow;
use std::fmt::{self, Write as _};
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::json::OnlyObject;
use super::target::ActivityView;
use super::time::Millis;
use super::{
    Action, ActivityRef, EventRef, Fingerprint, Headers, LedgerEntry, Origin, OutRecord, document, json, names,
};

/// What became of a reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OutcomeKind {
    /// The engine accepted it.
    Applied,
    /// The same answer was applied before.
    Duplicate,
    /// Another answer was applied before.
    Conflict,
    /// The token belongs to an attempt that the engine has since retried.
    Superseded,
    /// The activity was closed by a timeout.
    TimedOut,
    /// The workflow is over.
    WorkflowClosed,
    /// No such workflow or activity.
    Unknown,
    /// The engine says not found, and why could not be learnt.
    NotFound,
    /// The reply itself is wrong.
    Rejected,
    /// Every allowed attempt failed for a transient reason.
    Exhausted,
}

impl OutcomeKind {
    /// Every kind, in the order of the contract.
    pub const ALL: [Self; 10] = [
        Self::Applied,
        Self::Duplicate,
        Self::Conflict,
        Self::Superseded,
        Self::TimedOut,
        Self::WorkflowClosed,
        Self::Unknown,
        Self::NotFound,
        Self::Rejected,
        Self::Exhausted,
    ];

    /// The name on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Applied => "applied",
            Self::Duplicate => "duplicate",
            Self::Conflict => "conflict",
            Self::Superseded => "superseded",
            Self::TimedOut => "timed_out",
            Self::WorkflowClosed => "workflow_closed",
            Self::Unknown => "unknown",
            Self::NotFound => "not_found",
            Self::Rejected => "rejected",
            Self::Exhausted => "exhausted",
        }
    }

    /// The kind named `text`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == text)
    }
}

impl fmt::Display for OutcomeKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// How it is known that a reply was applied.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Evidence {
    /// The engine answered OK.
    Engine,
    /// History names this very record.
    History,
    /// The next attempt's last failure is equal to ours: likely, not proven.
    LastFailure,
}

impl Evidence {
    /// The name on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Engine => "engine",
            Self::History => "history",
            Self::LastFailure => "last_failure",
        }
    }
}

/// What became of one reply; the record that says so is durable before the reply's offset moves. `Debug` shows
/// what and where, no texts of the service.
#[derive(Clone)]
pub struct Outcome {
    /// What became of it.
    pub kind: OutcomeKind,
    /// What it asked for, if that could be read.
    pub action: Option<Action>,
    /// Stable short code, when there is more to say than the kind: see [`super::RefusalCode`].
    pub reason: Option<Cow<'static, str>>,
    /// The reason for people; no payload bytes.
    pub detail: Option<String>,
    /// How it is known; for applied only.
    pub evidence: Option<Evidence>,
    /// The activity, as far as it is known.
    pub activity: Option<ActivityRef>,
    /// As the reply gave it.
    pub idempotency_key: Option<String>,
    /// Fingerprint of the answer, if there was one.
    pub fingerprint: Option<Fingerprint>,
    /// The workflow asked for the activity to stop; heartbeats only.
    pub cancel_requested: bool,
    /// Where the reply stands on the reply topic.
    pub source: Origin,
    /// Calls made to the engine.
    pub attempts: u32,
    /// When handback read it, milliseconds since the epoch.
    pub received_at_ms: i64,
    /// When it was settled, milliseconds since the epoch.
    pub settled_at_ms: i64,
    /// The service's own fields, an object.
    pub metadata: Option<Box<RawValue>>,
    /// What the reply's CloudEvent calls itself; the field is there only then.
    pub cloud_event: Option<Box<EventRef>>,
    /// Trace context of the reply; a header.
    pub traceparent: Option<String>,
    /// The ledger's entry; a header, binary.
    pub ledger: Option<LedgerEntry>,
}

impl Outcome {
    /// An outcome of a reply that was read at `received_at_ms`, with everything else unknown.
    #[must_use]
    pub fn new(kind: OutcomeKind, source: Origin, received_at_ms: i64, settled_at_ms: i64) -> Self {
        Self {
            kind,
            action: None,
            reason: None,
            detail: None,
            evidence: None,
            activity: None,
            idempotency_key: None,
            fingerprint: None,
            cancel_requested: false,
            source,
            attempts: 0,
            received_at_ms,
            settled_at_ms,
            metadata: None,
            cloud_event: None,
            traceparent: None,
            ledger: None,
        }
    }

    /// The record to write. `partition` is the number of the origin's partition. Its key is that of the attempt that the
    /// activity names; otherwise it names the source.
    #[must_use]
    pub fn into_record(mut self, topic: Arc<str>, partition: i32) -> OutRecord {
        let activity = self.activity.take();
        self.into_record_about(activity.as_ref().map(ActivityView::from), topic, partition)
    }

    /// [`Outcome::into_record`], about an activity whose names are somewhere else. The one in here counts for nothing.
    ///
    /// All bytes of the record are parts of one buffer: every reply has an outcome, and a buffer for each part would be half
    /// of what a reply allocates.
    pub(crate) fn into_record_about(
        self,
        activity: Option<ActivityView<'_>>,
        topic: Arc<str>,
        partition: i32,
    ) -> OutRecord {
        let mut all = Vec::with_capacity(self.size_hint(activity));
        let value = part(&mut all, |out| self.write_document(activity, out));
        let key = part(&mut all, |out| self.write_key(activity, out));
        let source_topic = part(&mut all, |out| out.extend_from_slice(self.source.topic.as_bytes()));
        let activity_type = activity.and_then(|activity| activity.activity_type);
        let activity_type = activity_type.map(|name| part(&mut all, |out| out.extend_from_slice(name.as_bytes())));
        let ledger = self.ledger.map(|entry| part(&mut all, |out| out.extend_from_slice(&entry.to_bytes())));
        let all = Bytes::from(all);
        let bytes = |part: Range<usize>| all.slice(part);

        let mut headers = Headers::with_capacity(5);
        headers.push(names::OUTCOME, Bytes::from_static(self.kind.as_str().as_bytes()));
        headers.push(names::SOURCE_TOPIC, bytes(source_topic));
        if let Some(activity_type) = activity_type {
            headers.push(names::ACTIVITY_TYPE, bytes(activity_type));
        }
        if let Some(traceparent) = self.traceparent {
            headers.push(names::TRACEPARENT, Bytes::from(traceparent));
        }
        if let Some(ledger) = ledger {
            headers.push(names::LEDGER, bytes(ledger));
        }
        OutRecord { topic, partition: Some(partition), key: Some(bytes(key)), value: Some(bytes(value)), headers }
    }

    /// Appends the record's key.
    fn write_key(&self, activity: Option<ActivityView<'_>>, out: &mut Vec<u8>) {
        let mut out = Text(out);
        if !activity.is_some_and(|activity| activity.write_key(&mut out)) {
            // A Vec takes every text.
            let _ = write!(out, "source:{}", self.source);
        }
    }

    /// Reads an outcome record's value. Fields that newer versions add are ignored. What rides in key and headers
    /// (`traceparent`, `ledger`) is not in the value and stays `None`.
    ///
    /// # Errors
    ///
    /// When the value is not an outcome.
    pub fn parse(value: &[u8]) -> Result<Self, OutcomeFault> {
        let OnlyObject(text) = serde_json::from_slice::<OnlyObject<OutcomeText>>(value)
            .map_err(|fault| OutcomeFault::Json(json::describe(&fault)))?;
        text.read()
    }

    /// Appends the document. The order of fields is part of what people see, and never changes.
    fn write_document(&self, activity: Option<ActivityView<'_>>, out: &mut Vec<u8>) {
        document::object(out, |doc| {
            doc.word("outcome", Some(self.kind.as_str()));
            doc.word("action", self.action.map(Action::as_str));
            doc.text("reason", self.reason.as_deref());
            doc.text("detail", self.detail.as_deref());
            doc.word("evidence", self.evidence.map(Evidence::as_str));
            match activity {
                Some(activity) => doc.object("activity", |doc| activity.write(doc)),
                None => doc.raw("activity", "null"),
            }
            doc.text("idempotency_key", self.idempotency_key.as_deref());
            let mut hex = [0; 32];
            doc.word("fingerprint", self.fingerprint.as_ref().map(|print| print.hex(&mut hex)));
            doc.flag("cancel_requested", self.cancel_requested);
            let source = &self.source;
            doc.object("source", |doc| {
                doc.text("topic", Some(&source.topic));
                doc.number("partition", Some(source.partition.into()));
                doc.number("offset", Some(source.offset));
                doc.time("timestamp", source.timestamp_ms.and_then(Millis::valid));
            });
            doc.number("attempts", Some(self.attempts.into()));
            doc.time("received_at", Some(Millis(self.received_at_ms)));
            doc.time("settled_at", Some(Millis(self.settled_at_ms)));
            // Always an object, so that readers need not ask.
            doc.raw("metadata", self.metadata.as_ref().map_or("{}", |raw| raw.get()));
            if let Some(event) = &self.cloud_event {
                doc.object("cloud_event", |doc| {
                    doc.text("id", Some(&event.id));
                    doc.text("source", Some(&event.source));
                });
            }
        });
    }

    /// About how long all of the record will be; too little only costs a second allocation.
    fn size_hint(&self, activity: Option<ActivityView<'_>>) -> usize {
        let text = |text: Option<&str>| text.map_or(0, str::len);
        let activity = activity.map_or(0, |activity| activity.size_hint());
        let metadata = self.metadata.as_ref().map_or(0, |raw| raw.get().len());
        let free = text(self.reason.as_deref()) + text(self.detail.as_deref()) + text(self.idempotency_key.as_deref());
        let event = self.cloud_event.as_ref().map_or(0, |event| 64 + event.id.len() + event.source.len());
        // Names of fields, numbers, times and the ledger's entry; what key and headers repeat.
        900 + event + 2 * (self.source.topic.len() + activity) + metadata + free
    }
}

impl fmt::Debug for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Outcome")
            .field("kind", &self.kind)
            .field("action", &self.action)
            .field("reason", &self.reason)
            .field("source", &format_args!("{}", self.source))
            .finish_non_exhaustive()
    }
}

/// Appends a part of a record; answers where it stands.
fn part(all: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) -> Range<usize> {
    let begin = all.len();
    write(all);
    begin..all.len()
}

/// Text appended to bytes.
struct Text<'a>(&'a mut Vec<u8>);

impl fmt::Write for Text<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0.extend_from_slice(text.as_bytes());
        Ok(())
    }
}

/// Why a value is not an outcome.
#[derive(Debug, thiserror::Error)]
pub enum OutcomeFault {
    /// It is not the JSON that an outcome is.
    #[error("not an outcome: {0}")]
    Json(String),
    /// A field is out of range.
    #[error("not an outcome: `{0}` is out of range")]
    Field(&'static str),
}

/// The document as it is read.
#[derive(Deserialize)]
struct OutcomeText {
    outcome: OutcomeKind,
    action: Option<Action>,
    reason: Option<String>,
    detail: Option<String>,
    evidence: Option<Evidence>,
    activity: Option<OnlyObject<ActivityRef>>,
    idempotency_key: Option<String>,
    fingerprint: Option<String>,
    cancel_requested: bool,
    source: OnlyObject<SourceText>,
    attempts: u32,
    received_at: String,
    settled_at: String,
    metadata: Option<Box<RawValue>>,
    cloud_event: Option<OnlyObject<EventRef>>,
}

#[derive(Deserialize)]
struct SourceText {
    topic: String,
    partition: i32,
    offset: i64,
    timestamp: Option<String>,
}

impl OutcomeText {
    fn read(self) -> Result<Outcome, OutcomeFault> {
        let OnlyObject(source) = self.source;
        let time =
            |text: &str, name: &'static str| Millis::parse(text).map(|time| time.0).ok_or(OutcomeFault::Field(name));
        let fingerprint = match &self.fingerprint {
            None => None,
            Some(text) => Some(Fingerprint::parse(text).ok_or(OutcomeFault::Field("fingerprint"))?),
        };
        let timestamp_ms = source.timestamp.as_deref().map(|text| time(text, "source.timestamp")).transpose()?;
        let source =
            Origin { topic: source.topic.into(), partition: source.partition, offset: source.offset, timestamp_ms };
        if self.metadata.as_ref().is_some_and(|raw| !raw.get().starts_with('{')) {
            return Err(OutcomeFault::Field("metadata"));
        }
        let received_at_ms = time(&self.received_at, "received_at")?;
        let settled_at_ms = time(&self.settled_at, "settled_at")?;
        Ok(Outcome {
            action: self.action,
            reason: self.reason.map(Cow::Owned),
            detail: self.detail,
            evidence: self.evidence,
            activity: self.activity.map(|OnlyObject(activity)| activity),
            idempotency_key: self.idempotency_key,
            fingerprint,
            cancel_requested: self.cancel_requested,
            attempts: self.attempts,
            metadata: self.metadata.filter(|raw| raw.get() != "{}"),
            cloud_event: self.cloud_event.map(|OnlyObject(event)| Box::new(event)),
            ..Outcome::new(self.outcome, source, received_at_ms, settled_at_ms)
        })
    }
}
