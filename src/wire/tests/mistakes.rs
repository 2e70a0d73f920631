//! What people get wrong most often: accepted where nothing else can be meant, and otherwise told what it looks like.

use super::*;

/// Values of envelopes that are none, and what the detail says beside the fault.
const VALUES: [(&[u8], &str); 22] = [
    (
        b"\0\0\0\0\x07{\"task_token\": \"x\", \"result\": 1}",
        "JSON in the frame of Confluent's schema registry (schema id 7)",
    ),
    (b"\0\0\0\x01\x00\x02\x08", "a value in the frame of Confluent's schema registry (schema id 256)"),
    (b"\xef\xbb\xbf{\"result\": 1}", "byte order mark"),
    (b"\xff\xfe{\0\"\0", "UTF-16"),
    (b"{\0\"\0r\0", "UTF-16"),
    (b"\x1f\x8b\x08\0\0", "gzip: leave compression to the producer"),
    (b"\x28\xb5\x2f\xfd\x04", "zstd: leave compression to the producer"),
    (b"\xac\xed\0\x05sr", "a serialised Java object"),
    (b"\x80\x04\x95", "a Python pickle"),
    (b"Obj\x01\x04", "an Avro file"),
    (b"<reply/>", "XML"),
    (b"[{\"result\": 1}]", "a list: write each reply as a record of its own"),
    (b"\"{\\\"task_token\\\": \\\"x\\\"}\"", "serialised twice"),
    (b"{'task_token': 'x', 'result': 1}", "JSON has double quotes (json.dumps, JSON.stringify)"),
    (b"{ 'result': 1}", "JSON has double quotes"),
    (b"'{\"result\": 1}'", "inside quotes of the language that wrote it"),
    (b"b'{\"result\": 1}'", "inside quotes of the language that wrote it"),
    (b"{task_token=x, result=1}", "a map printed by Java"),
    (b"{task_token: \"x\"}", "names of its fields have no quotes"),
    (b"eyJ0YXNrX3Rva2VuIjogIngifQ==", "base64 of JSON"),
    (b"{\"specversion\": \"1.0\", \"type\": \"t\", \"id\": \"1\"}", "content-type, application/cloudevents+json"),
    (b"{\"taskToken\": \"x\", \"result\": 1}", "did you mean `task_token`?"),
];

#[test]
fn a_value_that_is_no_envelope_is_told_what_it_looks_like() {
    for (value, hint) in VALUES {
        let refusal = read(&record(&[], Some(value))).expect_err(hint);
        assert!(refusal.detail.contains(hint), "{hint}: {}", refusal.detail);
    }
    for value in [&b"hello"[..], b"", b"7", b"\"text\"", b"{\"result\": 1}", b"\0\0"] {
        let detail = read(&record(&[], Some(value))).unwrap_err().detail;
        assert!(!detail.contains("looks like"), "{detail}");
    }
}

/// Headers that nobody reads as they are written, and the one that was meant.
const HEADERS: [(&str, &str, &str); 13] = [
    ("ce-specversion", "1.0", "did you mean header ce_specversion?"),
    ("CE_Type", "handback.reply.complete", "did you mean header ce_type?"),
    ("ce-tasktoken", "x", "looks like a CloudEvent in binary mode"),
    ("cloudEvents_type", "t", "looks like a CloudEvent as AMQP carries it"),
    ("cloudEvents:type", "t", "looks like a CloudEvent as AMQP carries it"),
    ("Content-Type", "application/cloudevents+json", "did you mean header content-type?"),
    ("contentType", "application/vnd.handback.reply+json", "did you mean header content-type?"),
    ("Handback-Task-Token", "x", "did you mean header handback-task-token?"),
    ("handback_task_token", "x", "did you mean header handback-task-token?"),
    ("handback.activity.id", "3", "did you mean header handback-activity-id?"),
    ("kafka_correlationID", "x", "did you mean header kafka_correlationId?"),
    ("KAFKA_CORRELATION_ID", "x", "did you mean header kafka_correlationId?"),
    ("Handback-Failure-Reason", "X", "did you mean header handback-failure-reason?"),
];

#[test]
fn a_header_in_another_spelling_is_told_the_right_one() {
    for (name, value, hint) in HEADERS {
        for payload in [Some(&b"\x01\x02"[..]), None, Some(b"{\"amount\": 1}")] {
            let refusal = read(&record(&[(name, value)], payload)).expect_err(name);
            assert!(
                refusal.detail.contains(hint) && refusal.detail.contains("CloudEvent") | refusal.detail.contains(name),
                "{name}: {}",
                refusal.detail
            );
        }
    }
    // Content types of other frameworks are none of ours.
    let detail = read(&record(&[("contentType", "application/json")], None)).unwrap_err().detail;
    assert!(!detail.contains("did you mean"), "{detail}");
    // Nothing of a name that is no name is shown.
    let strange = record(&[("ce\u{1b}_type", "x")], None);
    assert!(!read(&strange).unwrap_err().detail.contains('\u{1b}'));
}

#[test]
fn a_failure_that_is_said_where_nobody_reads_it_never_becomes_a_result() {
    let (token, raw) = (token_base64(), token_json());
    let said = [
        ("Handback-Failure-Reason", "X", names::FAILURE_REASON),
        ("handback_failure_reason", "X", names::FAILURE_REASON),
        ("Handback-Action", "fail", names::ACTION),
        ("HANDBACK-FAILURE-MESSAGE", "m", names::FAILURE_MESSAGE),
        ("kafka_DLT-exception-fqcn", "x.Y", names::SPRING_EXCEPTION),
        ("ce-type", "handback.reply.fail", names::CE_TYPE),
        ("ce_type", "handback.reply.fail", names::CE_SPECVERSION),
        ("CE_FailureReason", "X", names::CE_FAILURE_REASON),
        ("ce_failurereason", "X", names::CE_SPECVERSION),
    ];
    for (name, value, meant) in said {
        for by in [(names::TASK_TOKEN, token.as_str()), (names::CORRELATION_ID, raw.as_str())] {
            let record = record(&[by, (name, value)], Some(b"{\"amount\": 1}"));
            refused(&record, RefusalCode::Contradiction, meant);
        }
    }
    // What says the same, or says nothing of ours, is let through.
    for (name, value) in [
        ("Handback-Action", "complete"),
        ("ce_type", "com.shop.order"),
        ("ce-type", "handback.reply.complete"),
        ("ce_id", "e-1"),
        ("Handback-Note", "fail"),
    ] {
        read(&record(&[(names::TASK_TOKEN, &token), (name, value)], Some(b"1"))).expect(name);
    }
    // An event without its content type, beside a correlation id that a framework has copied.
    let event =
        r#"{"specversion": "1.0", "type": "handback.reply.fail", "id": "1", "source": "/s", "failurereason": "X"}"#;
    let beside = record(&[(names::CORRELATION_ID, &raw)], Some(event.as_bytes()));
    refused(&beside, RefusalCode::AmbiguousMode, "content-type to application/cloudevents+json");
    let of_others = event.replace("handback.reply.fail", "com.shop.order");
    read(&record(&[(names::CORRELATION_ID, &raw)], Some(of_others.as_bytes()))).unwrap();
}

#[test]
fn white_space_in_base64_means_nothing() {
    let token = token_base64();
    let (whole, payload) = (STANDARD.encode([0_u8, 1, 254, 255].repeat(30)), [0_u8, 1, 254, 255].repeat(30));
    let breaks = |text: &str, by: &str| {
        text.as_bytes().chunks(76).map(|row| std::str::from_utf8(row).unwrap()).collect::<Vec<_>>().join(by)
    };
    for by in ["\n", "\r\n", " ", "\t"] {
        let (token, payload64) = (breaks(&token, by) + by, breaks(&whole, by) + by);
        let json = |text: &str| serde_json::to_string(text).unwrap();
        let value = format!(r#"{{"task_token": {}, "result_base64": {}}}"#, json(&token), json(&payload64));
        let reply = read(&record(&[], Some(value.as_bytes()))).unwrap();
        assert_eq!(reply.answer.engine_payload().as_deref(), Some(&payload[..]));
        let Target::Token(read_token) = &reply.target else { panic!("by token") };
        assert_eq!(read_token.bytes(), token_json().as_bytes());
        read(&record(&[(names::TASK_TOKEN, &token)], Some(b"1"))).unwrap();
    }
    assert_eq!(decode_base64(b" \n").as_deref(), Some(&b""[..]));
    for wrong in ["a b c d e", "a===", "=\n", "ab\u{b}cd", "ab-+"] {
        assert_eq!(decode_base64(wrong.as_bytes()), None, "{wrong:?}");
    }
}
