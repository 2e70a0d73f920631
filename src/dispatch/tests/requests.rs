//! The request that an activity becomes (`docs/wire-contract.md`, section 2).

use std::time::Duration;

use bytes::Bytes;

use super::model::{SECOND, Stage, task};
use crate::dispatch::request::record;
use crate::dispatch::routes::Route;
use crate::dispatch::seams::Task;
use crate::wire::{Encoding, Input, OutRecord, Request, names};

fn route() -> Route {
    Route { topic: "charges".into(), reply_to: "answers".into(), encoding: Encoding::Auto }
}

fn written(task: &Task) -> OutRecord {
    record(task, &route()).unwrap()
}

fn header<'a>(record: &'a OutRecord, name: &str) -> Option<&'a [u8]> {
    record.headers.last(name).map(|value| &value[..])
}

#[test]
fn every_field_of_the_contract_is_filled() {
    let mut task = task(17, 120 * SECOND);
    task.times.heartbeat = Duration::from_secs(60);
    task.times.attempt_scheduled_ms = Some(1_030_000);
    task.times.started_ms = Some(1_040_000);
    task.activity.attempt = 2;
    let record = written(&task);
    let value = String::from_utf8(record.value.clone().unwrap().to_vec()).unwrap();
    let (token, rest) = value.split_once(r#"","activity":"#).unwrap();
    assert!(token.starts_with(r#"{"task_token":""#));
    assert_eq!(
        rest,
        concat!(
            r#"{"domain":"orders","workflow_id":"order-17","run_id":"b5c5a5d2-7f0e-4b7c-9a51-2f6f0c1d9e83","activity_id":"3","#,
            r#""attempt":2,"activity_type":"Charge","workflow_type":"Order"},"input":[{"amount":12.50}],"#,
            r#""request_key":"orders/order-17/b5c5a5d2-7f0e-4b7c-9a51-2f6f0c1d9e83/3","reply_to":"answers","#,
            r#""scheduled_at":"1970-01-01T00:16:40.000Z","deadline":"1970-01-01T00:19:20.000Z","heartbeat_timeout_seconds":60}"#
        )
    );
    assert_eq!(record.key.as_deref(), Some(&b"orders/order-17"[..]));
    assert_eq!(record.partition, None, "by key");
    assert_eq!(header(&record, names::CORRELATION_ID), Some(&task.token[..]), "raw");
    assert_eq!(header(&record, names::REPLY_TOPIC), Some(&b"answers"[..]));
    assert_eq!(record.headers.len(), 2);
    let read = Request::parse(value.as_bytes()).unwrap();
    assert_eq!(read.task_token.bytes(), &task.token);
}

#[test]
fn arguments_follow_the_routes_encoding_and_bytes_stay_bytes() {
    let input = |payload: Option<&'static [u8]>, encoding: Encoding| {
        let task = Task { input: payload.map(Bytes::from_static), ..task(1, SECOND) };
        let record = record(&task, &Route { encoding, ..route() }).unwrap();
        match Request::parse(&record.value.unwrap()).unwrap().input.unwrap() {
            Input::Json(values) => values.iter().map(|value| value.get()).collect::<Vec<_>>().join(";"),
            Input::Bytes(bytes) => format!("{bytes:?}"),
        }
    };
    assert_eq!(input(Some(b"[1.0,\"a\"]"), Encoding::Java), "1.0;\"a\"");
    assert_eq!(input(Some(b"[1.0,\"a\"]"), Encoding::Python), "[1.0,\"a\"]");
    assert_eq!(input(Some(b"\x00\x01avro"), Encoding::Auto), r#"b"\0\x01avro""#);
    assert_eq!(input(None, Encoding::Auto), "", "an empty list");
}

#[test]
fn trace_context_and_cadences_headers_are_carried() {
    let trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let mut task = task(1, SECOND);
    task.headers = vec![
        ("OpenTelemetry:tracestate".into(), Bytes::from_static(b"vendor=1")),
        ("tenant".into(), Bytes::from_static(b"\xff\x00")),
        ("traceparent".into(), Bytes::from_static(trace.as_bytes())),
    ];
    let record = written(&task);
    assert_eq!(header(&record, names::TRACEPARENT), Some(trace.as_bytes()));
    assert_eq!(header(&record, names::TRACESTATE), Some(&b"vendor=1"[..]));
    assert_eq!(header(&record, "cadence-header-tenant"), Some(&b"\xff\x00"[..]), "byte for byte");
    assert_eq!(record.headers.len(), 5, "each once");
    // What cannot be a trace header is carried like any other.
    task.headers = vec![("traceparent".into(), Bytes::from_static(b"\xff"))];
    let record = written(&task);
    assert_eq!(header(&record, names::TRACEPARENT), None);
    assert_eq!(header(&record, "cadence-header-traceparent"), Some(&b"\xff"[..]));
}

#[test]
fn a_field_of_a_cadence_header_cannot_pass_for_one_of_ours() {
    let mut task = task(1, SECOND);
    task.headers = vec![(names::CORRELATION_ID.into(), Bytes::from_static(b"forged"))];
    let record = written(&task);
    assert_eq!(record.headers.count(names::CORRELATION_ID), 1);
    assert_eq!(header(&record, names::CORRELATION_ID), Some(&task.token[..]));
}

#[tokio::test(start_paused = true)]
async fn an_activity_that_no_reply_could_name_is_failed() {
    let mut stage = Stage::set();
    let mut odd = task(1, 30 * SECOND);
    odd.token = Bytes::from_static(b"not a token");
    stage.world.schedule(odd);
    stage.until(SECOND).await;
    assert_eq!(stage.world.reasons(), ["handback.NotPublished"]);
}
