//! `docs/wire-contract.md`, section 3.3: CloudEvents. More of them, made by two SDKs, are in `tests/cloudevents`.

use serde::Deserialize;

use super::*;

const TRACE: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

/// An event in binary mode: the required attributes, the token, and `more`, which replaces those of the same name; an
/// empty name in front of a value takes an attribute away.
fn binary(more: &[(&'static str, &str)], value: Option<&[u8]>) -> Record {
    let token = token_base64();
    let usual = [
        (names::CE_SPECVERSION, "1.0"),
        ("ce_type", "handback.reply.complete"),
        ("ce_id", "e-1"),
        ("ce_source", "/shop"),
        ("ce_tasktoken", &token),
    ];
    let replaced = |name: &str| more.iter().any(|(other, _)| *other == name);
    let mut all: Vec<_> = usual.into_iter().filter(|(name, _)| !replaced(name)).collect();
    all.extend(more.iter().filter(|(_, value)| *value != "absent"));
    record(&all, value)
}

/// An event in structured mode with these fields of JSON beside the required ones.
fn structured(more: &str) -> Record {
    structured_with(&format!(
        r#""specversion":"1.0","type":"handback.reply.complete","id":"e-1","source":"/shop","tasktoken":"{}",{more}"#,
        token_base64()
    ))
}

/// An event in structured mode with these fields alone.
fn structured_with(fields: &str) -> Record {
    let value = format!("{{{}}}", fields.trim_end_matches(','));
    record(&[(names::CONTENT_TYPE, "application/cloudevents+json; charset=UTF-8")], Some(value.as_bytes()))
}

#[test]
fn both_modes_say_the_same() {
    let attributes = [
        ("ce_type", "handback.reply.fail"),
        ("ce_failurereason", "CardDeclined"),
        ("ce_failuremessage", "no cover"),
        ("ce_idempotencykey", "k"),
        ("ce_traceparent", TRACE),
        ("ce_subject", "order-17"),
        ("content-type", "application/json"),
    ];
    let in_headers = read(&binary(&attributes, Some(b"{ \"code\":51.0 }"))).unwrap();
    let in_value = read(&structured_with(&format!(
        r#""specversion":"1.0","type":"handback.reply.fail","id":"e-1","source":"/shop","tasktoken":"{}",
        "failurereason":"CardDeclined","failuremessage":"no cover","idempotencykey":"k","traceparent":"{TRACE}",
        "subject":"order-17","sequence":7,"data":{{ "code":51.0 }}"#,
        token_base64()
    )))
    .unwrap();
    assert_eq!((in_headers.mode, in_value.mode), (Mode::BinaryEvent, Mode::StructuredEvent));
    for reply in [in_headers, in_value] {
        let Answer::Fail(failure) = &reply.answer else { panic!("fail") };
        assert_eq!((failure.reason.as_str(), failure.message.as_deref()), ("CardDeclined", Some("no cover")));
        assert_eq!(failure.details.as_deref(), Some(&b"{ \"code\":51.0 }"[..]), "not a byte is changed");
        assert_eq!((&reply.target, reply.idempotency_key.as_deref()), (&Target::Token(token()), Some("k")));
        assert_eq!(reply.traceparent.as_deref(), Some(TRACE));
        assert_eq!(*reply.event.unwrap(), EventRef { id: "e-1".into(), source: "/shop".into() });
        assert_eq!(reply.fingerprint, Fingerprint::of(&reply.answer));
        assert!(reply.metadata.is_none());
    }
}

#[test]
fn every_type_has_its_action_and_any_other_is_refused() {
    for action in Action::ALL {
        let kind = format!("handback.reply.{action}");
        let more = [("ce_type", kind.as_str())];
        let mut with_reason = more.to_vec();
        with_reason.push(("ce_failurereason", "X"));
        let record = if action == Action::Fail { binary(&with_reason, None) } else { binary(&more, None) };
        assert_eq!(read(&record).unwrap().answer.action(), action);
    }
    for other in ["handback.reply.Complete", "handback.reply.", "complete", "com.example.charged"] {
        refused(&binary(&[("ce_type", other)], None), RefusalCode::BadHeader, "ce_type");
        let fields = format!(r#""specversion":"1.0","type":"{other}","id":"e","source":"/s""#);
        refused(&structured_with(&fields), RefusalCode::BadField, "`type`");
    }
}

#[test]
fn required_attributes_are_required() {
    for name in ["specversion", "type", "id", "source"] {
        let fields = r#""specversion":"1.0","type":"handback.reply.complete","id":"e-1","source":"/shop","#;
        for value in ["", "null", "\"\""] {
            let named = fields.split_inclusive(',').find(|field| field.contains(&format!("\"{name}\":"))).unwrap();
            let other = if value.is_empty() { String::new() } else { format!("\"{name}\":{value},") };
            let fields = fields.replace(named, &other) + &format!(r#""tasktoken":"{}""#, token_base64());
            refused(&structured_with(&fields), RefusalCode::MissingField, &format!("`{name}` is missing"));
        }
    }
    for name in ["ce_type", "ce_id", "ce_source"] {
        for value in ["absent", ""] {
            refused(&binary(&[(name, value)], None), RefusalCode::MissingField, &format!("{name} is missing"));
        }
    }
    refused(&binary(&[(names::CE_SPECVERSION, "")], None), RefusalCode::MissingField, names::CE_SPECVERSION);
}

#[test]
fn other_versions_formats_and_batches_are_refused_by_name() {
    for version in ["0.3", "1.0.2", "1", "2.0"] {
        let record = binary(&[(names::CE_SPECVERSION, version)], None);
        refused(&record, RefusalCode::CloudEventsUnsupported, "ce_specversion must be 1.0");
        let fields = format!(r#""specversion":"{version}","type":"handback.reply.complete""#);
        refused(&structured_with(&fields), RefusalCode::CloudEventsUnsupported, "`specversion` must be 1.0");
    }
    let body = structured(r#""data":1"#).value.unwrap();
    for (content_type, names) in [
        ("application/cloudevents-batch+json", "a batch of CloudEvents"),
        ("Application/CloudEvents-Batch+JSON; charset=utf-8", "a batch of CloudEvents"),
        ("application/cloudevents+avro", "another format"),
        ("application/cloudevents+protobuf", "another format"),
        ("application/cloudevents", "another format"),
        ("application/cloudevents+jsonx", "another format"),
    ] {
        let record = record(&[(names::CONTENT_TYPE, content_type)], Some(&body));
        refused(&record, RefusalCode::CloudEventsUnsupported, names);
    }
    let usual = record(&[(names::CONTENT_TYPE, "APPLICATION/CloudEvents+JSON;charset=utf-8")], Some(&body));
    assert_eq!(read(&usual).unwrap().mode, Mode::StructuredEvent);
}

#[test]
fn attributes_stand_once_and_are_texts() {
    for name in ["ce_type", "ce_id", "ce_source", "ce_tasktoken", "ce_failurereason", "ce_idempotencykey"] {
        for value in [Some(Bytes::from_static(b"x")), None] {
            let mut record = binary(&[("ce_failurereason", "x"), ("ce_idempotencykey", "k")], None);
            record.headers.push(name, value);
            refused(&record, RefusalCode::HeaderRepeated, &format!("header {name} is given more than once"));
        }
        let mut record = binary(&[(name, "absent")], None);
        record.headers.push(name, Bytes::from_static(b"\xff"));
        refused(&record, RefusalCode::BadHeader, &format!("header {name} is not UTF-8"));
    }
    refused(&structured(r#""id":"e-1""#), RefusalCode::DuplicateField, "`id`");
    refused(&structured(r#""data":1,"d\u0061ta":1"#), RefusalCode::DuplicateField, "`data`");
    refused(&structured(r#""mine":1,"mine":1"#), RefusalCode::DuplicateField, "`mine`");
    for (name, value) in [("failurereason", "5"), ("idempotencykey", "{}"), ("datacontenttype", "[]")] {
        let record = structured(&format!(r#""{name}":{value}"#));
        refused(&record, RefusalCode::BadField, &format!("`{name}` must be a string"));
    }
    refused(&structured_with(r#""specversion":1.0"#), RefusalCode::BadField, "`specversion` must be a string");
}

#[test]
fn trace_context_never_costs_an_answer() {
    let header = [(names::TRACEPARENT, TRACE), ("ce_traceparent", "none")];
    assert_eq!(read(&binary(&header, None)).unwrap().traceparent.as_deref(), Some(TRACE), "the record's own");
    let other = TRACE.replace("00-0a", "00-0b");
    let header = [(names::TRACEPARENT, TRACE), ("ce_traceparent", "x"), ("ce_traceparent", other.as_str())];
    assert_eq!(read(&binary(&header, None)).unwrap().traceparent, Some(other), "the event's, of those the last");
    assert_eq!(read(&structured(r#""traceparent":7"#)).unwrap().traceparent, None);
}

#[test]
fn the_payload_is_the_exact_bytes_of_the_data() {
    let json = "application/vnd.shop+JSON ; v=1";
    for (fields, expected) in [
        (r#""data":{ "a": 1.10, "b":1e400,"a":2 }"#.to_owned(), Some(&br#"{ "a": 1.10, "b":1e400,"a":2 }"#[..])),
        (r#""data":"OK""#.to_owned(), Some(br#""OK""#)),
        (r#""data":null"#.to_owned(), Some(b"null")),
        (format!(r#""datacontenttype":"{json}","data":"OK""#), Some(br#""OK""#)),
        (r#""datacontenttype":"text/json","data":12345678901234567890.0"#.to_owned(), Some(b"12345678901234567890.0")),
        (r#""datacontenttype":null,"data":[]"#.to_owned(), Some(b"[]")),
        (r#""datacontenttype":"text/plain","data":"gr\u00fcn \"OK\"""#.to_owned(), Some("grün \"OK\"".as_bytes())),
        (r#""datacontenttype":"text/xml","data":"<a/>""#.to_owned(), Some(b"<a/>")),
        (r#""datacontenttype":"json","data":"1""#.to_owned(), Some(b"1")),
        (r#""datacontenttype":"text/plain","data":"""#.to_owned(), None),
        (r#""datacontenttype":"text/plain","data":null"#.to_owned(), None),
        (r#""data_base64":"AAAAAAf//gA=""#.to_owned(), Some(b"\0\0\0\0\x07\xff\xfe\0")),
        (r#""data_base64":"_-8","data":null"#.to_owned(), Some(b"\xff\xef")),
        (r#""data_base64":"""#.to_owned(), None),
        (r#""data_base64":null"#.to_owned(), None),
        (String::new(), None),
    ] {
        let record = structured(&fields);
        let payload = read(&record).unwrap_or_else(|fault| panic!("{fields}: {fault}")).answer.engine_payload();
        assert_eq!(payload.as_deref(), expected, "{fields}");
    }
    for (value, expected) in
        [(Some(&b"\0\0\0\0\x07\xff"[..]), Some(&b"\0\0\0\0\x07\xff"[..])), (Some(b""), None), (None, None)]
    {
        assert_eq!(read(&binary(&[], value)).unwrap().answer.engine_payload().as_deref(), expected);
    }
}

#[test]
fn wrong_data_is_refused_by_name() {
    refused(&structured(r#""data":1,"data_base64":"AA==""#), RefusalCode::Contradiction, "`data` and `data_base64`");
    refused(&structured(r#""data_base64":"A""#), RefusalCode::BadBase64, "`data_base64`");
    refused(&structured(r#""data_base64":7"#), RefusalCode::BadField, "`data_base64`");
    let text = r#""datacontenttype":"text/plain","data":{"a":1}"#;
    refused(&structured(text), RefusalCode::BadField, "`data` must be a string");
    let half = r#""datacontenttype":"text/plain","data":"\ud800""#;
    refused(&structured(half), RefusalCode::BadField, "`data` was cut inside a character");
    let batch = record(&[(names::CONTENT_TYPE, names::CLOUD_EVENT_JSON_TYPE)], Some(b"[{}]"));
    refused(&batch, RefusalCode::BadJson, "not an object");
    for (value, code) in [
        (None, RefusalCode::Tombstone),
        (Some(&b""[..]), RefusalCode::EmptyValue),
        (Some(b"{"), RefusalCode::BadJson),
        (Some(b"{\"\xff\":1}"), RefusalCode::BadUtf8),
    ] {
        refused(&record(&[(names::CONTENT_TYPE, names::CLOUD_EVENT_JSON_TYPE)], value), code, "the value");
    }
    let extensions: String = (0..65).map(|n| format!("\"x{n}\":1,")).collect();
    refused(&structured(&extensions), RefusalCode::UnknownField, "too many extensions");
}

#[test]
fn the_token_may_come_as_correlation_id_and_must_not_be_another() {
    let token = token_json();
    let correlated = (names::CORRELATION_ID, token.as_str());
    let without = ("ce_tasktoken", "absent");
    assert_eq!(read(&binary(&[without, correlated], None)).unwrap().target, Target::Token(super::token()));
    assert_eq!(read(&binary(&[correlated], None)).unwrap().target, Target::Token(super::token()));
    let other = token_with("order-18", 12, 0);
    let other = (names::CORRELATION_ID, other.as_str());
    refused(&binary(&[other], None), RefusalCode::TargetMismatch, "ce_tasktoken and header kafka_correlationId");
    refused(&binary(&[without], None), RefusalCode::NoTarget, "ce_tasktoken nor header kafka_correlationId");
    refused(&binary(&[without, correlated, other], None), RefusalCode::HeaderRepeated, names::CORRELATION_ID);
    refused(&binary(&[without, (names::CORRELATION_ID, "x")], None), RefusalCode::BadToken, names::CORRELATION_ID);
    refused(&binary(&[("ce_tasktoken", "?")], None), RefusalCode::BadBase64, "ce_tasktoken");
    refused(&binary(&[("ce_tasktoken", "AAAA")], None), RefusalCode::BadToken, "ce_tasktoken");
    // An extension for ids does not exist, and the headers of another mode name nothing here.
    let by_id = [without, (names::ACTIVITY_ID, "3"), (names::WORKFLOW_ID, "order-17"), (names::TASK_TOKEN, "x")];
    refused(&binary(&by_id, None), RefusalCode::NoTarget, "ce_tasktoken");
}

#[test]
fn a_failure_never_becomes_the_result_of_a_completion() {
    for name in ["failurereason", "failuremessage"] {
        let header =
            ["ce_failurereason", "ce_failuremessage"].into_iter().find(|header| header.ends_with(name)).unwrap();
        refused(&binary(&[(header, "x")], Some(b"1")), RefusalCode::Contradiction, header);
        refused(&structured(&format!(r#""{name}":"x","data":1"#)), RefusalCode::Contradiction, name);
    }
    for name in [names::FAILURE_REASON, names::ACTION] {
        let mut record = structured(r#""data":1"#);
        record.headers.push(name, Bytes::from_static(b"fail"));
        refused(&record, RefusalCode::Contradiction, &format!("header {name} contradicts the event"));
    }
    let fail = ("ce_type", "handback.reply.fail");
    refused(&binary(&[fail], None), RefusalCode::MissingReason, "ce_failurereason");
    refused(&binary(&[fail, ("ce_failurestyle", "generic")], None), RefusalCode::MissingMessage, "ce_failuremessage");
    refused(&binary(&[fail, ("ce_failurestyle", "go")], None), RefusalCode::BadHeader, "ce_failurestyle");
    let reserved = [fail, ("ce_failurereason", "cadenceInternal:Panic")];
    refused(&binary(&reserved, None), RefusalCode::ReservedReason, "ce_failurereason");
}

#[test]
fn a_refused_event_is_recognised_by_its_service() {
    let wrong = [("ce_type", "com.example.other"), ("ce_idempotencykey", "k"), ("ce_traceparent", TRACE)];
    let refusal = refused(&binary(&wrong, None), RefusalCode::BadHeader, "ce_type");
    assert_eq!(refusal.event.unwrap().id, "e-1");
    assert_eq!((refusal.idempotency_key.as_deref(), refusal.traceparent.as_deref()), (Some("k"), Some(TRACE)));
    assert_eq!(refusal.activity.unwrap().workflow_id.as_deref(), Some("order-17"));
    let refusal = refused(&structured(r#""failurereason":5,"idempotencykey":"k""#), RefusalCode::BadField, "");
    assert_eq!((refusal.action, refusal.idempotency_key.as_deref()), (Some(Action::Complete), Some("k")));
    assert_eq!(refusal.event.unwrap().source, "/shop");
}

#[test]
fn names_of_an_event_and_its_payload_have_limits() {
    let long = "x".repeat(MAX_EVENT_NAME_BYTES);
    for name in ["ce_id", "ce_source"] {
        read(&binary(&[(name, &long)], None)).unwrap();
        refused(&binary(&[(name, &format!("{long}x"))], None), RefusalCode::BadHeader, name);
    }
    refused(&binary(&[("ce_idempotencykey", "")], None), RefusalCode::BadHeader, "ce_idempotencykey");
    let limits = Limits { max_payload_bytes: 8, ..Limits::default() };
    for (record, place) in [
        (binary(&[], Some(b"123456789")), "the value"),
        (structured(r#""data":123456789"#), "`data`"),
        (structured(r#""data_base64":"AAAAAAAAAAAA""#), "`data_base64`"),
    ] {
        let refusal = decode(&record, &limits).expect_err("too large");
        assert!(refusal.code == RefusalCode::TooLarge && refusal.detail.contains(place), "{refusal}");
    }
}

#[test]
fn a_topic_can_require_json_of_events() {
    let limits = Limits { require_json: true, ..Limits::default() };
    for good in [binary(&[], Some(b"\"OK\"")), binary(&[], None), structured(r#""data":1"#), structured("")] {
        decode(&good, &limits).unwrap();
    }
    let text = structured(r#""datacontenttype":"text/plain","data":"OK""#);
    for bad in [binary(&[], Some(b"OK")), text, structured(r#""data_base64":"AA==""#)] {
        assert_eq!(decode(&bad, &limits).expect_err("not JSON").code, RefusalCode::RequireJson);
    }
}

#[test]
fn the_outcome_names_the_event() {
    let event = Some(Box::new(EventRef { id: "e \"1\"".into(), source: "/shop".into() }));
    let outcome = Outcome { cloud_event: event.clone(), ..Outcome::new(OutcomeKind::Applied, origin(), 0, 0) };
    let value = outcome.into_record("o".into(), 0).value.unwrap();
    let text = std::str::from_utf8(&value).unwrap();
    assert!(text.ends_with(r#""metadata":{},"cloud_event":{"id":"e \"1\"","source":"/shop"}}"#), "{text}");
    assert_eq!(Outcome::parse(&value).unwrap().cloud_event, event);
}

#[derive(Deserialize)]
struct Fixture {
    sdk: String,
    case: String,
    mode: String,
    headers: Vec<(String, String)>,
    value: Option<String>,
    value_base64: Option<String>,
    expect: Expected,
}

#[derive(Deserialize)]
struct Expected {
    action: Action,
    id: String,
    source: String,
    payload: Option<String>,
    payload_base64: Option<String>,
    failurereason: Option<String>,
    failuremessage: Option<String>,
    failurestyle: Option<FailureStyle>,
    idempotencykey: Option<String>,
    traceparent: Option<String>,
}

#[test]
fn what_two_sdks_write_is_read_as_it_was_meant() {
    let fixtures: Vec<Fixture> =
        serde_json::from_str(include_str!("../../../tests/cloudevents/fixtures.json")).unwrap();
    let bytes = |text: Option<String>, base64: Option<String>| match base64 {
        Some(base64) => Some(STANDARD.decode(base64).unwrap().into()),
        None => text.map(Bytes::from),
    };
    let mut seen = std::collections::BTreeMap::<_, usize>::new();
    for Fixture { sdk, case, mode, headers, value, value_base64, expect } in fixtures {
        let name = format!("{sdk}, {case}, {mode}");
        let headers = headers.into_iter().map(|(name, value)| (name, Some(Bytes::from(value)))).collect();
        let record = Record { origin: origin(), key: None, value: bytes(value, value_base64), headers };
        let reply = read(&record).unwrap_or_else(|refusal| panic!("{name}: {refusal}"));
        assert_eq!(reply.mode, if mode == "binary" { Mode::BinaryEvent } else { Mode::StructuredEvent }, "{name}");
        assert_eq!(reply.target, Target::Token(token()), "{name}");
        assert_eq!(*reply.event.unwrap(), EventRef { id: expect.id, source: expect.source }, "{name}");
        assert_eq!((reply.idempotency_key, reply.traceparent), (expect.idempotencykey, expect.traceparent), "{name}");
        let payload = bytes(expect.payload, expect.payload_base64);
        let answer = match expect.action {
            Action::Complete => Answer::Complete { result: payload },
            Action::Cancel => Answer::Cancel { details: payload },
            Action::Heartbeat => Answer::Heartbeat { details: payload },
            Action::Fail => Answer::Fail(Failure {
                reason: expect.failurereason.unwrap_or_default(),
                message: expect.failuremessage,
                details: payload,
                style: expect.failurestyle.unwrap_or_default(),
            }),
        };
        assert!(reply.answer == answer, "{name}: {:?} instead of {answer:?}", reply.answer);
        *seen.entry((sdk, mode)).or_default() += 1;
    }
    assert!(seen.len() == 4 && seen.values().all(|count| *count > 10), "two SDKs, two modes: {seen:?}");
}
