//! Writing replies.

use super::*;

fn build(answer: Answer) -> ReplyBuilder {
    ReplyBuilder::new(Target::Token(token()), answer)
}

fn record_of(builder: ReplyBuilder) -> Record {
    let out = builder.into_record("activity-replies".into(), &Limits::default()).unwrap();
    Record { origin: origin(), key: out.key, value: out.value, headers: out.headers }
}

fn some(bytes: &'static [u8]) -> Option<Bytes> {
    Some(Bytes::from_static(bytes))
}

#[test]
fn json_results_stand_in_the_envelope_as_they_are() {
    let record = record_of(build(Answer::Complete { result: some(b"{ \"a\":1.10 }") }));
    let expected = format!(r#"{{"task_token":"{}","result":{{ "a":1.10 }}}}"#, token_base64());
    assert_eq!(record.value.unwrap(), expected);
    assert_eq!(record.key.unwrap(), format!("{DOMAIN_ID}/order-17"));
    assert_eq!(text(&record.headers, names::CONTENT_TYPE), Some(names::ENVELOPE_TYPE));
}

#[test]
fn payloads_that_no_envelope_holds_exactly_go_another_way() {
    for (answer, mode) in [
        (Answer::Complete { result: some(b"1\n") }, Mode::Envelope),
        (Answer::Complete { result: some(b"\xff\0") }, Mode::Envelope),
        (Answer::Complete { result: some(b"null") }, Mode::Envelope),
        (Answer::Complete { result: None }, Mode::Envelope),
        (Answer::Cancel { details: None }, Mode::Envelope),
        (Answer::Heartbeat { details: some(b"40") }, Mode::Envelope),
        (Answer::Heartbeat { details: some(b"null") }, Mode::Headers),
        (Answer::Heartbeat { details: some(b"40 ") }, Mode::Headers),
        (Answer::Cancel { details: some(b"\xff\0") }, Mode::Headers),
    ] {
        let reply = read(&record_of(build(answer.clone()))).unwrap();
        assert_eq!((reply.answer, reply.mode), (answer, mode));
    }
}

#[test]
fn both_forms_carry_every_answer_by_token_and_by_id() {
    let failure = |style, reason: &str, details| {
        let message = Some("m \"quoted\"".to_owned());
        Answer::Fail(Failure { reason: reason.into(), message, details, style })
    };
    for target in [Target::Token(token()), Target::ById(activity_id())] {
        for answer in [
            failure(FailureStyle::Custom, "X", some(b"{}")),
            failure(FailureStyle::Custom, "X", some(b"null")),
            failure(FailureStyle::Generic, "", None),
            failure(FailureStyle::Java, "x.Y", some(b"\xff")),
            failure(FailureStyle::Java, "x.Y", None),
            Answer::Complete { result: some(b"7") },
        ] {
            for mode in [Mode::Envelope, Mode::Headers] {
                let builder = ReplyBuilder::new(target.clone(), answer.clone()).mode(mode).idempotency_key("k");
                let reply = read(&record_of(builder)).unwrap();
                assert_eq!((&reply.target, &reply.answer, reply.mode), (&target, &answer, mode));
                assert_eq!(reply.idempotency_key.as_deref(), Some("k"));
            }
        }
    }
}

#[test]
fn what_handback_would_refuse_is_not_written() {
    let refusal =
        |builder: ReplyBuilder| builder.into_record("r".into(), &Limits::default()).expect_err("refused").code;
    let failure =
        |reason: &str| Failure { reason: reason.into(), message: None, details: None, style: FailureStyle::Custom };
    assert_eq!(refusal(build(Answer::Fail(failure("")))), RefusalCode::MissingReason);
    assert_eq!(refusal(build(Answer::Fail(failure("cadenceInternal:Panic")))), RefusalCode::ReservedReason);
    assert_eq!(refusal(build(Answer::Complete { result: None }).idempotency_key("")), RefusalCode::BadField);
    let large = Answer::Complete { result: Some(vec![b'1'; (2 << 20) + 1].into()) };
    assert_eq!(refusal(build(large)), RefusalCode::TooLarge);
    let raw = Answer::Heartbeat { details: some(b"\xff") };
    assert_eq!(refusal(build(raw.clone()).mode(Mode::Envelope)), RefusalCode::Contradiction);
    let metadata = serde_json::value::RawValue::from_string("{}".into()).unwrap();
    assert_eq!(refusal(build(raw).metadata(metadata)), RefusalCode::Contradiction);
    let by_id = Target::ById(ActivityId { attempt: None, ..activity_id() });
    assert_eq!(refusal(ReplyBuilder::new(by_id, Answer::Fail(failure("X")))), RefusalCode::FailByIdWithoutAttempt);
}
