//! What a reply does to its activity, on the embedded stack.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use handback::dev::engine::{ActivityPlan, ActivityState, Ending, RetryPlan};
use handback::wire::{Headers, OutRecord, OutcomeKind, names, source_of};

use crate::support::{DOMAIN, PARTITIONS, REPLIES, Stage, envelope, until, value};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reply_completes_the_activity() {
    let stage = Stage::set().await;
    let bridge = stage.bridge().await;
    let attempt = stage.activity("order-1");
    // Spaces, an escape and a number no float can hold: what was received is what the workflow gets.
    let result = r#"{ "charge" : "ch_\u0031", "n": 12345678901234567890.10 }"#;
    let source = stage.reply(&attempt, &format!(r#""result": {result}"#)).await;

    let outcome = stage.outcome(source, OutcomeKind::Applied).await;
    let closing = stage.book("order-1").closing.unwrap();
    assert_eq!(closing.ending, Ending::Completed);
    assert_eq!(closing.payload.as_deref(), Some(result.as_bytes()));
    assert_eq!(closing.identity, stage.identity(&outcome).await);
    let activity = outcome.activity.unwrap();
    assert_eq!(activity.domain.as_deref(), Some(DOMAIN));
    assert_eq!(activity.workflow_id.as_deref(), Some("order-1"));
    assert_eq!(activity.activity_type.as_deref(), Some("ChargeCard"));
    assert_eq!(outcome.attempts, 1);
    stage.until_committed(source).await;
    assert!(stage.log.letters().is_empty());
    assert_eq!(bridge.stop().await.exit, handback::exit::Exit::Ok);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn results_of_every_kind_arrive_as_they_were_sent() {
    let stage = Stage::set().await;
    let _bridge = stage.bridge().await;
    let png = b"\x89PNG\r\n\x1a\n";
    let base64 = format!(r#""result_base64": "{}""#, STANDARD.encode(png));
    let cases: [(&str, &str, Option<&[u8]>); 5] = [
        ("text", r#""result": "yes""#, Some(b"\"yes\"")),
        ("null", r#""result": null"#, Some(b"null")),
        ("none", r#""action": "complete""#, None),
        ("bytes", &base64, Some(png)),
        ("number", r#""result": 1.0"#, Some(b"1.0")),
    ];
    let mut sources = Vec::new();
    for (workflow_id, fields, _) in cases {
        sources.push(stage.reply(&stage.activity(workflow_id), fields).await);
    }
    for (source, (workflow_id, _, payload)) in sources.into_iter().zip(cases) {
        stage.outcome(source, OutcomeKind::Applied).await;
        let closing = stage.book(workflow_id).closing.unwrap();
        assert_eq!(closing.payload.as_deref(), payload, "{workflow_id}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn failure_reply_fails_the_activity() {
    let stage = Stage::set().await;
    let _bridge = stage.bridge().await;
    let java = r#""failure": {"reason": "shop.CardDeclined", "style": "java", "message": "no cover"}"#;
    let cases = [
        ("custom", r#""failure": {"reason": "CardDeclined", "details": {"code": 51}}"#, "CardDeclined"),
        ("generic", r#""failure": {"message": "no cover", "style": "generic"}"#, "cadenceInternal:Generic"),
        ("java", java, "shop.CardDeclined"),
    ];
    for (style, fields, reason) in cases {
        let source = stage.reply(&stage.activity(style), fields).await;
        stage.outcome(source, OutcomeKind::Applied).await;
        let closing = stage.book(style).closing.unwrap();
        assert_eq!(closing.ending, Ending::Failed);
        assert_eq!(closing.reason.as_deref(), Some(reason));
        let details = String::from_utf8(closing.payload.unwrap().to_vec()).unwrap();
        match style {
            "custom" => assert_eq!(details, r#"{"code": 51}"#),
            "generic" => assert_eq!(details, "no cover"),
            _ => assert!(details.contains("no cover") && details.contains("shop.CardDeclined"), "{details}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn failed_attempt_is_repeated_by_the_engine() {
    let stage = Stage::set().await;
    let _bridge = stage.bridge().await;
    let retry = RetryPlan { initial_interval_seconds: 1, backoff: 1.0, max_attempts: 2, non_retriable: Vec::new() };
    let plan = ActivityPlan { retry: Some(retry), ..ActivityPlan::new("courier", "BookCourier") };
    let first = stage.start("order-1", plan);
    let busy = stage.reply(&first, r#""failure": {"reason": "Busy"}"#).await;
    stage.outcome(busy, OutcomeKind::Applied).await;
    assert_eq!(stage.book("order-1").last_failure.as_deref(), Some("Busy"));

    let mut second = None;
    until("the second attempt is there", async || {
        second = stage.take();
        second.is_some()
    })
    .await;
    // The first attempt has had its answer.
    let late = stage.reply(&first, r#""result": 1"#).await;
    stage.outcome(late, OutcomeKind::Conflict).await;
    let good = stage.reply(&second.unwrap(), r#""result": 2"#).await;
    stage.outcome(good, OutcomeKind::Applied).await;
    assert_eq!(stage.book("order-1").closing.unwrap().payload.as_deref(), Some(&b"2"[..]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn heartbeats_keep_the_activity_alive() {
    let stage = Stage::set().await;
    let _bridge = stage.bridge().await;
    let plan = ActivityPlan { heartbeat_seconds: 2, ..ActivityPlan::new("pack", "PackParcel") };
    let attempt = stage.start("order-1", plan);
    let began = tokio::time::Instant::now();
    let mut beats = 0;
    // Half again as long as the activity may be silent.
    while began.elapsed() < Duration::from_secs(3) {
        beats += 1;
        stage.reply(&attempt, &format!(r#""action": "heartbeat", "details": {{"n": {beats}}}"#)).await;
        until("the heartbeat is taken", async || stage.book("order-1").heartbeats == beats).await;
    }
    let source = stage.reply(&attempt, r#""result": "packed""#).await;
    stage.outcome(source, OutcomeKind::Applied).await;
    let book = stage.book("order-1");
    assert_eq!(book.heartbeat_details, Some(Bytes::from(format!(r#"{{"n": {beats}}}"#))));
    assert_eq!(book.closing.unwrap().ending, Ending::Completed);
    stage.until_committed(source).await;
    assert_eq!(stage.log.outcomes().len(), 1, "heartbeats without news leave no outcome");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn service_learns_of_a_cancel_request_and_cancels() {
    let stage = Stage::set().await;
    let _bridge = stage.bridge_with(|settings| settings.lookup.wait = Duration::from_millis(100)).await;
    let attempt = stage.activity("order-1");
    let early = stage.reply(&attempt, r#""action": "cancel""#).await;
    let outcome = stage.outcome(early, OutcomeKind::Rejected).await;
    assert_eq!(outcome.reason.as_deref(), Some("cancel_not_requested"));

    assert!(stage.engine.request_activity_cancel(DOMAIN, "order-1", "charge").unwrap());
    let beat = stage.reply(&attempt, r#""action": "heartbeat""#).await;
    assert!(stage.outcome(beat, OutcomeKind::Applied).await.cancel_requested);
    let cancel = stage.reply(&attempt, r#""action": "cancel", "details": {"by": "ops"}"#).await;
    stage.outcome(cancel, OutcomeKind::Applied).await;
    let closing = stage.book("order-1").closing.unwrap();
    assert_eq!(closing.ending, Ending::Canceled);
    assert_eq!(closing.payload.as_deref(), Some(&br#"{"by": "ops"}"#[..]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reply_by_id_completes_the_activity() {
    let stage = Stage::set().await;
    let _bridge = stage.bridge().await;
    let attempt = stage.activity("order-1");
    let reply = format!(
        r#"{{"activity": {{"domain": "{DOMAIN}", "workflow_id": "order-1", "run_id": "{}", "activity_id": "charge"}}, "result": 7}}"#,
        attempt.run_id
    );
    let source = stage.log.write(value(reply)).await;
    let outcome = stage.outcome(source, OutcomeKind::Applied).await;
    let closing = stage.book("order-1").closing.unwrap();
    assert_eq!(closing.payload.as_deref(), Some(&b"7"[..]));
    assert_eq!(closing.identity, stage.identity(&outcome).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn spring_reply_by_correlation_id_completes_the_activity() {
    let stage = Stage::set().await;
    let _bridge = stage.bridge().await;
    let attempt = stage.activity("order-1");
    let mut headers = Headers::new();
    headers.push(names::CORRELATION_ID, attempt.token.clone());
    // Not JSON, on purpose: the value is the result, whatever it is.
    let source = stage.log.write(OutRecord { headers, ..value(&b"\x00avro\xff"[..]) }).await;
    stage.outcome(source, OutcomeKind::Applied).await;
    assert_eq!(stage.book("order-1").closing.unwrap().payload.as_deref(), Some(&b"\x00avro\xff"[..]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn second_answer_is_reported_and_changes_nothing() {
    let stage = Stage::set().await;
    let _bridge = stage.bridge().await;
    let attempt = stage.activity("order-1");
    let first = stage.reply(&attempt, r#""result": 1"#).await;
    let second = stage.reply(&attempt, r#""result": 2"#).await;
    stage.outcome(first, OutcomeKind::Applied).await;
    let outcome = stage.outcome(second, OutcomeKind::Conflict).await;
    assert!(outcome.evidence.is_none());
    assert_eq!(stage.book("order-1").closing.unwrap().payload.as_deref(), Some(&b"1"[..]));
    let letter = stage.letter(second).await;
    assert_eq!(letter.headers.last(names::DLQ_OUTCOME).map(|text| &text[..]), Some(&b"conflict"[..]));
    assert_eq!(letter.headers.last(names::DLQ_ENGINE_STATUS), None, "the engine was not asked");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn second_answer_that_only_the_engine_knows_of_is_reported_and_changes_nothing() {
    let stage = Stage::set().await;
    let _bridge = stage.bridge_with(|settings| settings.ledger.enabled = false).await;
    let attempt = stage.activity("order-1");
    let first = stage.reply(&attempt, r#""result": 1"#).await;
    let second = stage.reply(&attempt, r#""result": 2"#).await;
    stage.outcome(first, OutcomeKind::Applied).await;
    stage.outcome(second, OutcomeKind::Conflict).await;
    let letter = stage.letter(second).await;
    assert_eq!(letter.headers.last(names::DLQ_ENGINE_STATUS).map(|text| &text[..]), Some(&b"NOT_FOUND"[..]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn undecodable_reply_reaches_dead_letters_unchanged() {
    let stage = Stage::set().await;
    let _bridge = stage.bridge().await;
    let mut headers = Headers::new();
    headers.push("trace", Bytes::from_static(b"\x00\x01\xff"));
    headers.push("trace", Bytes::from_static(b"again"));
    headers.push("null", None);
    // Anybody can write these on a reply topic; they must not be believed.
    headers.push(names::SOURCE_OFFSET, Bytes::from_static(b"999"));
    let sent = OutRecord {
        partition: Some(2),
        key: Some(Bytes::from_static(b"\xfekey")),
        headers,
        ..value(&b"{\"result\": \xff}"[..])
    };
    // So that its offset is not the first.
    for _ in 0..3 {
        stage.log.write(OutRecord { partition: Some(2), ..value("x") }).await;
    }
    let source = stage.log.write(sent.clone()).await;
    assert_eq!(source, (2, 3));

    let letter = stage.letter(source).await;
    assert_eq!(letter.key, sent.key);
    assert_eq!(letter.value, sent.value);
    assert!(letter.headers.iter().take(sent.headers.len()).eq(sent.headers.iter()));
    assert_eq!(letter.origin.partition, 2, "the origin's partition number");
    let origin = source_of(&letter.headers).unwrap();
    assert_eq!((&*origin.topic, origin.partition, origin.offset), (REPLIES, 2, 3));
    let header = |name: &str| String::from_utf8(letter.headers.last(name).unwrap().to_vec()).unwrap();
    assert_eq!(header(names::DLQ_OUTCOME), "rejected");
    assert_eq!(header(names::DLQ_REASON), "bad_utf8");
    assert_eq!(header(names::DLQ_ATTEMPTS), "0");
    let outcome = stage.outcome(source, OutcomeKind::Rejected).await;
    assert_eq!(outcome.reason.as_deref(), Some("bad_utf8"));
    stage.until_committed(source).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tombstone_is_a_dead_letter_and_not_the_end() {
    let stage = Stage::set().await;
    let _bridge = stage.bridge().await;
    let tombstone = stage.log.write(OutRecord { value: None, ..value("") }).await;
    let attempt = stage.activity("order-1");
    let good = stage.reply(&attempt, r#""result": 1"#).await;
    stage.outcome(good, OutcomeKind::Applied).await;
    assert_eq!(stage.outcome(tombstone, OutcomeKind::Rejected).await.reason.as_deref(), Some("tombstone"));
    assert!(stage.letter(tombstone).await.value.is_none());
    stage.until_committed(good).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn outcome_stands_on_the_partition_of_its_reply() {
    let stage = Stage::set().await;
    let _bridge = stage.bridge().await;
    for partition in 0..PARTITIONS {
        let attempt = stage.activity(&format!("order-{partition}"));
        let reply = OutRecord { partition: Some(partition), ..envelope(&attempt, r#""result": 1"#) };
        let source = stage.log.write(reply).await;
        let record = stage.log.outcome_record(source).await;
        assert_eq!(record.origin.partition, partition);
        assert_eq!(record.headers.last(names::OUTCOME).map(|text| &text[..]), Some(&b"applied"[..]));
        let key = String::from_utf8(record.key.unwrap().to_vec()).unwrap();
        assert!(key.contains(&attempt.run_id) && key.ends_with("/0"), "{key}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_token_is_on_any_topic_that_the_bridge_writes() {
    let stage = Stage::set().await;
    let _bridge = stage.bridge().await;
    let attempt = stage.activity("order-1");
    let base64 = STANDARD.encode(&attempt.token);
    let good = stage.reply(&attempt, r#""result": 1"#).await;
    let wrong = stage.reply(&attempt, r#""result": 1, "resutl": 2"#).await;
    let outcomes = [stage.log.outcome_record(good).await, stage.log.outcome_record(wrong).await];
    let letter = stage.letter(wrong).await;
    let shown = |bytes: &Bytes| {
        let text = String::from_utf8_lossy(bytes);
        text.contains(&base64[..60]) || text.contains("scheduleId\"")
    };
    for outcome in &outcomes {
        assert!(!shown(outcome.value.as_ref().unwrap()) && !shown(outcome.key.as_ref().unwrap()));
    }
    for (name, text) in letter.headers.iter().filter_map(|(name, text)| Some((name, text?))) {
        assert!(!shown(text), "{name}");
    }
    assert_eq!(stage.book("order-1").state, ActivityState::Closed);
}
