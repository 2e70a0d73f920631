//! Payloads and forms of others, on the embedded stack: CloudEvents, and what a schema registry's serialisers write.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use handback::dev::engine::{Attempt, Ending};
use handback::wire::{
    Answer, EventRef, Failure, FailureStyle, Headers, Limits, Mode, OutRecord, OutcomeKind, ReplyBuilder, Target,
    TaskToken, names,
};

use crate::support::{REPLIES, Stage, value};

/// Avro in Confluent's wire format: a zero, the schema's id in four bytes, then the record.
const AVRO: &[u8] = b"\x00\x00\x00\x00\x2a\x08ch_1\x02\xc4\x13\x00\xff";

/// Protobuf likewise, with the path to the message's type behind the id.
const PROTOBUF: &[u8] = b"\x00\x00\x00\x00\x2b\x00\x0a\x04ch_1\x10\xe2\x09\x1a\x00";

fn header(name: &'static str, text: &str) -> Headers {
    let mut headers = Headers::new();
    headers.push(name, Bytes::copy_from_slice(text.as_bytes()));
    headers
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn registry_payloads_reach_the_engine_byte_for_byte() {
    let stage = Stage::set().await;
    let _bridge = stage.bridge().await;
    for (workflow_id, payload) in [("avro", AVRO), ("protobuf", PROTOBUF)] {
        let attempt = stage.activity(workflow_id);
        let headers = header(names::TASK_TOKEN, &STANDARD.encode(&attempt.token));
        let source = stage.log.write(OutRecord { headers, ..value(payload) }).await;
        stage.outcome(source, OutcomeKind::Applied).await;
        let closing = stage.book(workflow_id).closing.unwrap();
        assert_eq!((closing.ending, closing.payload.as_deref()), (Ending::Completed, Some(payload)), "{workflow_id}");
    }
    let attempt = stage.activity("details");
    let mut headers = header(names::TASK_TOKEN, &STANDARD.encode(&attempt.token));
    headers.push(names::FAILURE_REASON, Bytes::from_static(b"CardDeclined"));
    let source = stage.log.write(OutRecord { headers, ..value(AVRO) }).await;
    stage.outcome(source, OutcomeKind::Applied).await;
    let closing = stage.book("details").closing.unwrap();
    assert_eq!((closing.ending, closing.payload.as_deref()), (Ending::Failed, Some(AVRO)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn registry_payloads_reach_the_dead_letters_byte_for_byte() {
    let stage = Stage::set().await;
    let _bridge = stage.bridge().await;
    let attempt = stage.activity("order-1");
    let token = STANDARD.encode(&attempt.token);
    let first = stage.log.write(OutRecord { headers: header(names::TASK_TOKEN, &token), ..value(PROTOBUF) }).await;
    stage.outcome(first, OutcomeKind::Applied).await;
    // Another answer: a conflict.
    let mut headers = header(names::TASK_TOKEN, &token);
    headers.push("schema-version", Bytes::from_static(b"\x00\x07\xff"));
    let sent = OutRecord { key: Some(Bytes::from_static(AVRO)), headers, ..value(AVRO) };
    let second = stage.log.write(sent.clone()).await;
    stage.outcome(second, OutcomeKind::Conflict).await;
    let letter = stage.letter(second).await;
    assert_eq!((&letter.key, &letter.value), (&sent.key, &sent.value));
    assert!(letter.headers.iter().take(sent.headers.len()).eq(sent.headers.iter()));
    assert_eq!(stage.book("order-1").closing.unwrap().payload.as_deref(), Some(PROTOBUF));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn header_names_that_are_no_text_stop_nobody_and_reach_the_dead_letters_byte_for_byte() {
    let stage = Stage::set().await;
    let _bridge = stage.bridge().await;
    let attempt = stage.activity("order-1");
    let mut headers = header(names::TASK_TOKEN, &STANDARD.encode(&attempt.token));
    headers.push(b"tr\xe4ce".to_vec(), Bytes::from_static(b"1"));
    let first = stage.log.write(OutRecord { headers: headers.clone(), ..value(AVRO) }).await;
    stage.outcome(first, OutcomeKind::Applied).await;
    assert_eq!(stage.book("order-1").closing.unwrap().payload.as_deref(), Some(AVRO), "judged by what is readable");
    // Another answer: a conflict. A null value and a NUL in a name as well.
    headers.push(b"\xff\xfe".to_vec(), None);
    let sent = OutRecord { headers: headers.clone(), ..value(PROTOBUF) };
    let second = stage.log.write(sent.clone()).await;
    stage.outcome(second, OutcomeKind::Conflict).await;
    let letter = stage.letter(second).await;
    assert_eq!(letter.value, sent.value);
    assert!(letter.headers.iter().take(sent.headers.len()).eq(sent.headers.iter()));
    headers.push(b"a\0b".to_vec(), Bytes::from_static(b"2"));
    let third = stage.log.write(OutRecord { headers, ..value(PROTOBUF) }).await;
    stage.outcome(third, OutcomeKind::Conflict).await;
    let letter = stage.letter(third).await;
    let detail = String::from_utf8(letter.headers.last(names::DLQ_DETAIL).unwrap().to_vec()).unwrap();
    assert!(detail.contains("up to their first NUL"), "{detail}");
}

/// A reply as a CloudEvent.
fn event(attempt: &Attempt, answer: Answer, mode: Mode) -> OutRecord {
    let token = TaskToken::check(attempt.token.clone()).unwrap();
    let named = EventRef { id: format!("{mode:?}"), source: "/shop".into() };
    let builder = ReplyBuilder::new(Target::Token(token), answer).event(named).mode(mode);
    builder.into_record(REPLIES.into(), &Limits::default()).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cloud_events_finish_activities_and_are_named_in_their_outcomes() {
    let stage = Stage::set().await;
    let _bridge = stage.bridge().await;
    for mode in [Mode::BinaryEvent, Mode::StructuredEvent] {
        for payload in [AVRO, b"{\"n\":12345678901234567890.10}"] {
            let workflow_id = format!("{mode:?}-{}", payload.len());
            let attempt = stage.activity(&workflow_id);
            let answer = Answer::Complete { result: Some(Bytes::from_static(payload)) };
            let source = stage.log.write(event(&attempt, answer, mode)).await;
            let outcome = stage.outcome(source, OutcomeKind::Applied).await;
            assert_eq!(stage.book(&workflow_id).closing.unwrap().payload.as_deref(), Some(payload));
            assert_eq!(outcome.cloud_event.unwrap().id, format!("{mode:?}"));
            assert!(outcome.metadata.is_none(), "the service's own, and it gave none");
        }
        let attempt = stage.activity(&format!("{mode:?}-failing"));
        let failure = Failure { reason: "Declined".into(), message: None, details: None, style: FailureStyle::Custom };
        let source = stage.log.write(event(&attempt, Answer::Fail(failure), mode)).await;
        stage.outcome(source, OutcomeKind::Applied).await;
        let closing = stage.book(&format!("{mode:?}-failing")).closing.unwrap();
        assert_eq!((closing.ending, closing.reason.as_deref()), (Ending::Failed, Some("Declined")));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refused_cloud_event_is_a_dead_letter_that_names_the_attribute() {
    let stage = Stage::set().await;
    let _bridge = stage.bridge().await;
    let attempt = stage.activity("order-1");
    let sent = event(&attempt, Answer::Complete { result: None }, Mode::BinaryEvent);
    let headers = sent.headers.iter().filter(|(name, _)| *name != "ce_id");
    let headers: Headers = headers.map(|(name, value)| (name.clone(), value.cloned())).collect();
    let source = stage.log.write(OutRecord { headers: headers.clone(), ..sent }).await;
    let outcome = stage.outcome(source, OutcomeKind::Rejected).await;
    assert_eq!(outcome.reason.as_deref(), Some("missing_field"));
    assert!(outcome.detail.unwrap().contains("ce_id"));
    assert_eq!(outcome.activity.unwrap().workflow_id.as_deref(), Some("order-1"));
    let letter = stage.letter(source).await;
    assert!(letter.headers.iter().take(headers.len()).eq(headers.iter()), "as it was received");
    assert!(stage.book("order-1").closing.is_none());
}
