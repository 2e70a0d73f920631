//! What one reply costs before and after the engine: reading it, checking its token, writing its outcome.

use std::hint::black_box;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use handback::wire::{
    ActivityRef, Answer, DeadLetter, EventRef, Evidence, Headers, Limits, Mode, Origin, Outcome, OutcomeKind, Record,
    ReplyBuilder, Target, TaskToken, TokenPrinter, decode, names,
};

/// Size of a usual envelope, and of those in the end-to-end benchmark.
const ENVELOPE_BYTES: usize = 510;

const TOKEN: &str = concat!(
    r#"{"domainId":"01a20512-c4f1-7204-8a3e-9b1d2c3e4f50","workflowId":"order-17","workflowType":"OrderWorkflow","#,
    r#""runId":"b5c5a5d2-7f0e-4b7c-9a51-2f6f0c1d9e83","scheduleId":12,"scheduleAttempt":0,"activityId":"3","activityType":"ChargeCard"}"#
);

fn record(headers: Headers, value: impl Into<Bytes>) -> Record {
    let origin =
        Origin { topic: "activity-replies".into(), partition: 4, offset: 1187, timestamp_ms: Some(1_795_341_607_000) };
    Record { origin, key: Some("orders/order-17".into()), value: Some(value.into()), headers }
}

/// An envelope of the usual size.
fn envelope() -> Record {
    let token = STANDARD.encode(TOKEN);
    let bare = format!(r#"{{"task_token": "{token}", "result": {{"charge_id": "ch_1", "note": ""}}}}"#);
    let note = "n".repeat(ENVELOPE_BYTES - bare.len());
    let value = bare.replace(r#""note": """#, &format!(r#""note": "{note}""#));
    assert_eq!(value.len(), ENVELOPE_BYTES);
    record(Headers::new(), value)
}

/// The same result as a CloudEvent.
fn event(mode: Mode) -> Record {
    let Ok(token) = TaskToken::check(Bytes::from_static(TOKEN.as_bytes())) else { panic!("not a good token") };
    let answer = Answer::Complete { result: Some(r#"{"charge_id": "ch_1"}"#.into()) };
    let named = EventRef { id: "8c1f0d7e-6f1c-4f0e-9d0a-0d8d3f0c2b11".into(), source: "/payments".into() };
    let builder = ReplyBuilder::new(Target::Token(token), answer).event(named).mode(mode);
    let Ok(out) = builder.into_record("activity-replies".into(), &Limits::default()) else {
        panic!("not a good event")
    };
    record(out.headers, out.value.unwrap_or_default())
}

fn outcome(record: &Record) -> Outcome {
    let Ok(reply) = decode(record, &Limits::default()) else { panic!("not a good reply") };
    Outcome {
        action: Some(reply.answer.action()),
        evidence: Some(Evidence::Engine),
        fingerprint: Some(reply.fingerprint),
        activity: Some(ActivityRef { domain: Some("orders".into()), ..reply.target.into_activity() }),
        attempts: 1,
        ..Outcome::new(OutcomeKind::Applied, record.origin.clone(), 1_795_341_607_120, 1_795_341_607_131)
    }
}

fn benches(criterion: &mut Criterion) {
    let limits = Limits::default();
    let in_envelope = envelope();
    let in_headers = {
        let mut headers = Headers::new();
        headers.push(names::CORRELATION_ID, Bytes::from_static(TOKEN.as_bytes()));
        record(headers, r#"{"charge_id": "ch_1"}"#)
    };
    let wrong = record(Headers::new(), r#"{"taskToken": "AAAA", "result": 1}"#);

    let mut group = criterion.benchmark_group("decode");
    group.throughput(Throughput::Elements(1));
    group.bench_function("envelope of 510 bytes, with token check and fingerprint", |bench| {
        bench.iter(|| decode(black_box(&in_envelope), &limits));
    });
    group.bench_function("header mode, with token check and fingerprint", |bench| {
        bench.iter(|| decode(black_box(&in_headers), &limits));
    });
    for (name, mode) in [("binary", Mode::BinaryEvent), ("structured", Mode::StructuredEvent)] {
        let event = event(mode);
        group.bench_function(format!("CloudEvent, {name}, with token check and fingerprint"), |bench| {
            bench.iter(|| decode(black_box(&event), &limits));
        });
    }
    group.bench_function("refused envelope", |bench| bench.iter(|| decode(black_box(&wrong), &limits)));
    let token = Bytes::from_static(TOKEN.as_bytes());
    group.bench_function("token check alone", |bench| bench.iter(|| TaskToken::check(black_box(token.clone()))));
    group.finish();

    let mut group = criterion.benchmark_group("encode");
    group.throughput(Throughput::Elements(1));
    let topic: Arc<str> = "activity-outcomes".into();
    let template = outcome(&in_envelope);
    group.bench_function("outcome record", |bench| {
        let setup = || template.clone();
        let write = |outcome: Outcome| outcome.into_record(Arc::clone(&topic), 4);
        bench.iter_batched(setup, write, criterion::BatchSize::SmallInput);
    });
    group.bench_function("reply to outcome record, whole", |bench| {
        bench.iter(|| outcome(black_box(&in_envelope)).into_record(Arc::clone(&topic), 4));
    });
    let printer = TokenPrinter::new(b"key");
    group.bench_function("dead letter", |bench| {
        bench.iter(|| {
            let letter = DeadLetter {
                record: black_box(&in_envelope),
                outcome: OutcomeKind::Rejected,
                reason: "conflict",
                detail: "another answer was applied before",
                attempts: 1,
                engine_status: Some("NOT_FOUND"),
                token: Some(printer.print(TOKEN.as_bytes())),
            };
            letter.to_record(Arc::clone(&topic))
        });
    });
    group.finish();
}

criterion_group!(decode_benches, benches);
criterion_main!(decode_benches);
