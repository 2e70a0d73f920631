//! `handback reply`

use std::io::Read;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde_json::value::RawValue;

use super::Failed;
use super::args::{Complete, Fail, Progress, Reply, Target};
use super::paint::say;
use crate::admin::Printable;
use crate::config::Settings;
use crate::exit::Exit;
use crate::kafka::send::send;
use crate::wire::{
    self, ActivityId, Answer, EventRef, Failure, Limits, OutRecord, ReplyBuilder, TaskToken, decode_base64,
};

/// A reply read from standard input as a token is at most this long: more is not a token.
const MAX_TOKEN_TEXT: u64 = 2 * wire::MAX_TOKEN_BYTES as u64;

/// Where a CloudEvent of ours says that it comes from.
const EVENT_SOURCE: &str = "/handback/reply";

/// Writes one reply.
pub(super) async fn reply(settings: &Settings, reply: Reply) -> Result<Exit, Failed> {
    let (target, answer) = match reply {
        Reply::Complete(args) => completed(args)?,
        Reply::Fail(args) => failed(args)?,
        Reply::Cancel(Progress { target, details }) => (target, Answer::Cancel { details: json("details", details)? }),
        Reply::Heartbeat(Progress { target, details }) => {
            (target, Answer::Heartbeat { details: json("details", details)? })
        }
    };
    let topic = target.topic.clone().unwrap_or_else(|| settings.topics.replies[0].clone());
    let dry_run = target.dry_run;
    let token = target.token.as_deref().map(token).transpose()?;
    let mut builder = ReplyBuilder::new(named(&target, token.clone())?, answer);
    if let Some(key) = target.idempotency_key {
        builder = builder.idempotency_key(key);
    }
    if let Some(mode) = target.cloudevents {
        let event = EventRef { id: uuid::Uuid::new_v4().to_string(), source: EVENT_SOURCE.to_owned() };
        builder = builder.event(event).mode(mode.into());
    }
    let record = builder
        .into_record(topic.as_str().into(), &limits(settings, &topic))
        .map_err(|refusal| Failed::Usage(format!("handback would refuse this: {}", refusal.detail)))?;
    if dry_run {
        show(&record, token.as_ref());
        return Ok(Exit::Ok);
    }
    let place = send(&settings.kafka, record).await?;
    let topic = Printable(topic);
    say!("written to {topic}, partition {}, offset {}", place.partition, place.offset);
    say!("what becomes of it will be on {}", settings.topics.outcomes);
    Ok(Exit::Ok)
}

fn completed(args: Complete) -> Result<(Target, Answer), Failed> {
    let result = match args.result_file {
        Some(path) => {
            let bytes = std::fs::read(&path)
                .map_err(|error| Failed::Usage(format!("cannot read --result-file {}: {error}", path.display())))?;
            Some(Bytes::from(bytes))
        }
        None => json("result", args.result)?,
    };
    Ok((args.target, Answer::Complete { result }))
}

fn failed(args: Fail) -> Result<(Target, Answer), Failed> {
    let failure = Failure {
        reason: args.reason.unwrap_or_default(),
        message: args.message,
        details: json("details", args.details)?,
        style: args.style.into(),
    };
    Ok((args.target, Answer::Fail(failure)))
}

/// The text of an option that takes JSON, as it was written.
fn json(option: &str, text: Option<String>) -> Result<Option<Bytes>, Failed> {
    let Some(text) = text else { return Ok(None) };
    match serde_json::from_str::<&RawValue>(&text) {
        Ok(value) => Ok(Some(Bytes::copy_from_slice(value.get().as_bytes()))),
        Err(error) => Err(Failed::Usage(format!(
            "--{option} is not JSON ({error}); a text needs its own quotes: '\"like this\"'"
        ))),
    }
}

/// The token given, or read from standard input.
fn token(text: &str) -> Result<TaskToken, Failed> {
    let mut read = String::new();
    let text = if text == "-" {
        std::io::stdin()
            .take(MAX_TOKEN_TEXT)
            .read_to_string(&mut read)
            .map_err(|error| Failed::Usage(format!("cannot read the token from standard input: {error}")))?;
        read.trim()
    } else {
        text
    };
    let bytes = decode_base64(text.as_bytes()).ok_or_else(|| Failed::Usage("the token is not base64".into()))?;
    TaskToken::check(bytes.into()).map_err(|fault| Failed::Usage(format!("this is no task token: {fault}")))
}

fn named(target: &Target, token: Option<TaskToken>) -> Result<wire::Target, Failed> {
    if let Some(token) = token {
        return Ok(wire::Target::Token(token));
    }
    match (&target.domain, &target.workflow_id, &target.run_id, &target.activity_id) {
        (Some(domain), Some(workflow_id), Some(run_id), Some(activity_id)) => Ok(wire::Target::ById(ActivityId {
            domain: domain.clone(),
            workflow_id: workflow_id.clone(),
            run_id: run_id.clone(),
            activity_id: activity_id.clone(),
            attempt: None,
        })),
        _ => Err(Failed::Usage("give --token, or --domain, --workflow-id, --run-id and --activity-id".into())),
    }
}

/// What the bridge will allow on this topic.
fn limits(settings: &Settings, topic: &String) -> Limits {
    Limits {
        max_payload_bytes: settings.bridge.max_payload_bytes,
        require_json: settings.topics.require_json.contains(topic),
        allow_fail_by_id_without_attempt: settings.cadence.allow_fail_by_id_without_attempt,
        ..Limits::default()
    }
}

/// The record as people read it. The token is a secret, on a screen too.
fn show(record: &OutRecord, token: Option<&TaskToken>) {
    let secret = token.map(|token| STANDARD.encode(token.bytes()));
    let shown = |bytes: Option<&Bytes>| {
        let text = bytes.map_or_else(|| "null".into(), |bytes| String::from_utf8_lossy(bytes).into_owned());
        Printable(match &secret {
            Some(secret) => text.replace(secret.as_str(), "[token]"),
            None => text,
        })
    };
    say!("topic   {}", Printable(&record.topic));
    say!("key     {}", shown(record.key.as_ref()));
    for (name, value) in record.headers.iter() {
        say!("header  {}: {}", Printable(name), shown(value));
    }
    say!("value   {}", shown(record.value.as_ref()));
}
