//! The record that an activity becomes (`docs/wire-contract.md`, section 2). Pure.

use bytes::Bytes;

use super::routes::Route;
use super::seams::Task;
use crate::wire::{Headers, Input, OutRecord, Request, TaskToken, TokenFault, names};

/// Longest trace header that is taken for one: W3C lets tracestate have 512 characters.
const MAX_TRACE_BYTES: usize = 512;

/// The request of a task.
///
/// # Errors
/// When the engine's token is none that a reply could be given with.
pub(super) fn record(task: &Task, route: &Route) -> Result<OutRecord, TokenFault> {
    let mut request = Request::new(TaskToken::check(task.token.clone())?).with_activity(task.activity.clone());
    // No payload is how every client writes no arguments at all.
    request.input = Some(Input::decode(task.input.clone().unwrap_or_default(), route.encoding));
    request.reply_to = Some(route.reply_to.clone());
    request.scheduled_at_ms = task.times.scheduled_ms;
    request.deadline_ms = task.times.deadline_ms();
    request.heartbeat_timeout_seconds = task.times.heartbeat_seconds();
    let mut carried = Headers::new();
    for (name, value) in &task.headers {
        match trace_header(name, value) {
            Some((names::TRACEPARENT, text)) if request.traceparent.is_none() => request.traceparent = Some(text),
            Some((names::TRACESTATE, text)) if request.tracestate.is_none() => request.tracestate = Some(text),
            _ => carried.push(format!("{}{name}", names::CADENCE_HEADER), value.clone()),
        }
    }
    let mut record = request.to_record(route.topic.clone());
    for (name, value) in carried.iter() {
        record.headers.push(name.clone(), value.cloned());
    }
    Ok(record)
}

/// The W3C header that a field of a Cadence header holds. Clients of Cadence write it as it is (Go by its OpenTracing
/// propagator, Java by its OpenTelemetry one); propagators that put their own name before it do so with a colon.
fn trace_header(name: &str, value: &Bytes) -> Option<(&'static str, String)> {
    let last = name.rsplit(':').next().unwrap_or(name);
    let known = [names::TRACEPARENT, names::TRACESTATE].into_iter().find(|known| last.eq_ignore_ascii_case(known))?;
    let text = std::str::from_utf8(value).ok()?;
    let is_text = (1..=MAX_TRACE_BYTES).contains(&text.len()) && text.bytes().all(|byte| (b' '..=b'~').contains(&byte));
    is_text.then(|| (known, text.to_owned()))
}

/// What a record takes in the log, about: key, value, headers.
pub(super) fn size(record: &OutRecord) -> usize {
    let part = |part: Option<&Bytes>| part.map_or(0, Bytes::len);
    let headers: usize = record.headers.iter().map(|(name, value)| name.as_bytes().len() + part(value)).sum();
    part(record.key.as_ref()) + part(record.value.as_ref()) + headers
}
