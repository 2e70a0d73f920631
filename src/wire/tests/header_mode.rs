//! `docs/wire-contract.md`, section 3.2 and the order of forms. More records, with their headers, are in
//! `schemas/examples/header-mode`.

use super::*;

fn by_token(headers: &[(&'static str, &str)], value: Option<&[u8]>) -> Record {
    let token = token_base64();
    let mut all = vec![(names::TASK_TOKEN, token.as_str())];
    all.extend_from_slice(headers);
    record(&all, value)
}

fn by_correlation_id(headers: &[(&'static str, &str)], value: Option<&[u8]>) -> Record {
    let token = token_json();
    let mut all = vec![(names::CORRELATION_ID, token.as_str())];
    all.extend_from_slice(headers);
    record(&all, value)
}

#[test]
fn the_value_is_the_payload_untouched() {
    let avro = b"\0\0\0\0\x07\xff\xfe";
    for (headers, action) in [
        (&[][..], Action::Complete),
        (&[(names::ACTION, "cancel")], Action::Cancel),
        (&[(names::ACTION, "heartbeat")], Action::Heartbeat),
        (&[(names::FAILURE_REASON, "X")], Action::Fail),
        (&[(names::FAILURE_REASON, "X"), (names::ACTION, "fail")], Action::Fail),
    ] {
        for record in [by_token(headers, Some(avro)), by_correlation_id(headers, Some(avro))] {
            let reply = read(&record).unwrap();
            assert_eq!((reply.answer.action(), reply.mode), (action, Mode::Headers));
            assert_eq!(reply.answer.engine_payload().as_deref(), Some(&avro[..]));
            assert_eq!(reply.target, Target::Token(token()));
        }
        for empty in [Some(&b""[..]), None] {
            assert_eq!(read(&by_token(headers, empty)).unwrap().answer.engine_payload(), None);
        }
    }
}

#[test]
fn a_failure_is_said_by_its_headers() {
    let headers = [(names::FAILURE_REASON, "x.Y"), (names::FAILURE_STYLE, "java"), (names::FAILURE_MESSAGE, "m")];
    let Answer::Fail(failure) = read(&by_token(&headers, None)).unwrap().answer else { panic!("fail") };
    assert_eq!(
        (failure.reason.as_str(), failure.message.as_deref(), failure.style),
        ("x.Y", Some("m"), FailureStyle::Java)
    );
    let message = [(names::FAILURE_MESSAGE, "m")];
    refused(&by_token(&message, None), RefusalCode::Contradiction, "handback-failure-message");
    let reserved = [(names::FAILURE_REASON, "cadenceInternal:Generic")];
    refused(&by_token(&reserved, None), RefusalCode::ReservedReason, "handback-failure-reason");
    let heartbeat = [(names::FAILURE_REASON, "X"), (names::ACTION, "heartbeat")];
    refused(&by_token(&heartbeat, None), RefusalCode::Contradiction, "handback-failure-reason");
}

#[test]
fn what_names_the_answer_may_stand_only_once() {
    for name in [
        names::ACTION,
        names::FAILURE_REASON,
        names::DOMAIN,
        names::WORKFLOW_ID,
        names::RUN_ID,
        names::ACTIVITY_ID,
        names::ATTEMPT,
    ] {
        refused(&by_token(&[(name, "x"), (name, "x")], None), RefusalCode::HeaderRepeated, name);
    }
    refused(&by_token(&[(names::TASK_TOKEN, "x")], None), RefusalCode::HeaderRepeated, names::TASK_TOKEN);
    refused(
        &by_correlation_id(&[(names::CORRELATION_ID, "x")], Some(b"{}")),
        RefusalCode::HeaderRepeated,
        names::CORRELATION_ID,
    );
    let twice = [(names::IDEMPOTENCY_KEY, "a"), (names::IDEMPOTENCY_KEY, "b")];
    assert_eq!(read(&by_token(&twice, None)).unwrap().idempotency_key.as_deref(), Some("b"), "the last wins");
    let mut with_null = by_token(&[], None);
    with_null.headers.push(names::TASK_TOKEN, None);
    refused(&with_null, RefusalCode::HeaderRepeated, names::TASK_TOKEN);
}

#[test]
fn header_names_are_exact_case_and_null_headers_are_absent() {
    let token = token_base64();
    refused(&record(&[("Handback-Task-Token", &token)], Some(b"1")), RefusalCode::BadJson, "not an object");
    let mut record = by_token(&[], Some(b"1"));
    for name in [names::ACTION, names::FAILURE_REASON, names::ACTIVITY_ID, names::CE_SPECVERSION, names::CORRELATION_ID]
    {
        record.headers.push(name, None);
    }
    assert_eq!(read(&record).unwrap().answer.action(), Action::Complete);
}

#[test]
fn wrong_headers_are_named() {
    for (name, value, code) in [
        (names::ACTION, "Complete", RefusalCode::BadHeader),
        (names::ACTION, "", RefusalCode::BadHeader),
        (names::ATTEMPT, "-1", RefusalCode::BadHeader),
        (names::ATTEMPT, "+1", RefusalCode::BadHeader),
        (names::ATTEMPT, "99999999999999999999", RefusalCode::BadHeader),
        (names::IDEMPOTENCY_KEY, "", RefusalCode::BadHeader),
        (names::WORKFLOW_ID, "order-18", RefusalCode::TargetMismatch),
        (names::RUN_ID, "x", RefusalCode::TargetMismatch),
    ] {
        refused(&by_token(&[(name, value)], None), code, name);
    }
    refused(
        &by_token(&[(names::FAILURE_REASON, "X"), (names::FAILURE_STYLE, "go")], None),
        RefusalCode::BadHeader,
        names::FAILURE_STYLE,
    );
    let mut record = by_token(&[], None);
    record.headers.push(names::ACTION, Bytes::from_static(b"\xff"));
    refused(&record, RefusalCode::BadHeader, "handback-action is not UTF-8");
}

#[test]
fn an_echoed_correlation_id_does_not_turn_an_envelope_into_a_payload() {
    let failing = envelope(r#""failure": {"reason": "X"}"#).value.unwrap();
    let reply = read(&by_correlation_id(&[], Some(&failing))).unwrap();
    assert_eq!((reply.answer.action(), reply.mode), (Action::Fail, Mode::Envelope));
    for other in
        [r#"{"task_token": "AAAA"}"#, r#"{"task_token": null, "result": 1}"#, r#"{"a": 1, "task\u005ftoken": 5}"#]
    {
        refused(&by_correlation_id(&[], Some(other.as_bytes())), RefusalCode::AmbiguousMode, "`task_token`");
    }
    let doubled = String::from_utf8(failing.to_vec()).unwrap().replacen('{', r#"{"result": 1, "result": 2, "#, 1);
    refused(&by_correlation_id(&[], Some(doubled.as_bytes())), RefusalCode::DuplicateField, "`result`");
    for payload in [
        &b"{\"taskToken\": 1}"[..],
        b"{\"a\": {\"task_token\": 1}}",
        b"[{\"task_token\": 1}]",
        b"{\"task_token\": ",
        b"{\xff}",
    ] {
        let reply = read(&by_correlation_id(&[], Some(payload))).unwrap();
        assert_eq!(reply.answer, Answer::Complete { result: Some(Bytes::copy_from_slice(payload)) });
    }
    // With a header of handback's own, the form is meant.
    let reply = read(&by_token(&[], Some(&failing))).unwrap();
    assert_eq!((reply.answer.action(), reply.mode), (Action::Complete, Mode::Headers));
}

#[test]
fn springs_dead_letter_recoverer_means_failure_although_it_sends_the_request_back() {
    let request = Request::new(token()).to_value();
    let fqcn = (names::SPRING_EXCEPTION, "org.springframework.kafka.listener.ListenerExecutionFailedException");
    let cause = (names::SPRING_EXCEPTION_CAUSE, "com.example.CardDeclined");
    let message = (names::SPRING_EXCEPTION_MESSAGE, "Listener failed; card declined");
    for (headers, reason, text) in [
        (&[fqcn, cause, message][..], "com.example.CardDeclined", Some("Listener failed; card declined")),
        (&[fqcn], fqcn.1, None),
        (&[(fqcn.0, "a.B"), (fqcn.0, "c.D"), (cause.0, "")], "c.D", None),
    ] {
        let reply = read(&by_correlation_id(headers, Some(&request))).unwrap();
        let Answer::Fail(failure) = reply.answer else { panic!("fail") };
        assert_eq!(
            (failure.reason.as_str(), failure.message.as_deref(), failure.style),
            (reason, text, FailureStyle::Java)
        );
        assert_eq!(failure.details, None, "the value is the request");
    }
    let complete = [fqcn, (names::ACTION, "complete")];
    refused(&by_correlation_id(&complete, Some(&request)), RefusalCode::Contradiction, names::SPRING_EXCEPTION);
    refused(&by_correlation_id(&[(fqcn.0, "")], Some(&request)), RefusalCode::MissingReason, names::SPRING_EXCEPTION);
}

#[test]
fn a_topic_can_require_json() {
    let limits = Limits { require_json: true, ..Limits::default() };
    let read = |record: &Record| decode(record, &limits);
    for good in [&b"\"OK\""[..], b"{\"a\": 1}\n", b"", b"null"] {
        read(&by_token(&[], Some(good))).unwrap();
    }
    for bad in [&b"OK"[..], b"1 2", b"\xff", b"{", b" "] {
        let refusal = read(&by_token(&[], Some(bad))).expect_err("not JSON");
        assert_eq!(refusal.code, RefusalCode::RequireJson);
    }
    assert_eq!(
        read(&by_token(&[(names::FAILURE_REASON, "X")], Some(b"OK"))).expect_err("not JSON").code,
        RefusalCode::RequireJson
    );
    read(&by_correlation_id(&[(names::SPRING_EXCEPTION, "a.B")], Some(b"OK"))).unwrap();
}

#[test]
fn the_form_is_chosen_in_the_order_of_the_contract() {
    let token = token_base64();
    let by_header = (names::TASK_TOKEN, token.as_str());
    let ce = (names::CE_SPECVERSION, "1.0");
    let value = envelope(r#""result": 1"#).value.unwrap();
    let mode = |headers: &[(&'static str, &str)]| read(&record(headers, Some(&value))).map(|reply| reply.mode);
    let envelope_type = ("content-type", "application/vnd.handback.reply+json;v=1");
    assert_eq!(mode(&[envelope_type, ce, by_header]).unwrap(), Mode::Envelope);
    let structured = ("content-type", "APPLICATION/CloudEvents+json");
    assert_eq!(
        mode(&[structured, ce, by_header]).expect_err("no event").detail,
        "`specversion` is missing or empty; every CloudEvent has it"
    );
    assert_eq!(
        mode(&[ce, by_header]).expect_err("no event").detail,
        "header ce_type is missing or empty; every CloudEvent has it"
    );
    assert_eq!(mode(&[("content-type", "application/json"), by_header]).unwrap(), Mode::Headers);
    assert_eq!(mode(&[("content-type", "application/json")]).unwrap(), Mode::Envelope);
    assert_eq!(
        mode(&[("content-type", "application/cloudevents"), envelope_type]).unwrap(),
        Mode::Envelope,
        "the last wins"
    );
}
