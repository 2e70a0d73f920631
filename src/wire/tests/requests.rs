//! `docs/wire-contract.md`, section 2: requests.

use super::*;

fn request() -> Request {
    let activity = RequestActivity {
        domain: "orders".into(),
        workflow_id: "order/17".into(),
        run_id: RUN_ID.into(),
        activity_id: "3".into(),
        attempt: 0,
        activity_type: "ChargeCard".into(),
        workflow_type: "OrderWorkflow".into(),
    };
    Request {
        input: Some(Input::from_payload(Bytes::from_static(b"{\"amount\": 1250.10}\n\"EUR\"\n"))),
        reply_to: Some("activity-replies".into()),
        scheduled_at_ms: Some(1_795_341_600_000),
        deadline_ms: Some(1_795_428_000_000),
        heartbeat_timeout_seconds: Some(60),
        traceparent: Some("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".into()),
        ..Request::new(token()).with_activity(activity)
    }
}

#[test]
fn a_request_is_written_as_the_contract_shows_it() {
    let record = request().to_record("activity-requests".into());
    let expected = format!(
        concat!(
            r#"{{"task_token":"{}","activity":{{"domain":"orders","workflow_id":"order/17","run_id":"{run}","activity_id":"3","#,
            r#""attempt":0,"activity_type":"ChargeCard","workflow_type":"OrderWorkflow"}},"#,
            r#""input":[{{"amount": 1250.10}},"EUR"],"request_key":"orders/order%2F17/{run}/3","reply_to":"activity-replies","#,
            r#""scheduled_at":"2026-11-22T10:00:00.000Z","deadline":"2026-11-23T10:00:00.000Z","heartbeat_timeout_seconds":60}}"#
        ),
        token_base64(),
        run = RUN_ID
    );
    assert_eq!(std::str::from_utf8(&record.value.unwrap()).unwrap(), expected);
    assert_eq!(record.key.unwrap(), "orders/order/17");
    assert_eq!(record.headers.last(names::CORRELATION_ID), Some(token().bytes()), "raw token bytes");
    assert_eq!(text(&record.headers, names::REPLY_TOPIC), Some("activity-replies"));
    assert!(text(&record.headers, names::TRACEPARENT).is_some());
    assert_eq!(record.headers.last(names::TRACESTATE), None);
}

#[test]
fn a_request_is_read_back() {
    let written = request();
    let read = Request::parse(&written.to_value()).unwrap();
    assert_eq!(read.to_value(), written.to_value());
    assert_eq!(read.task_token, token());
}

#[test]
fn only_objects_are_read_as_a_request_and_as_its_activity() {
    let token = token_base64();
    for list in [
        format!(r#"["{token}", null, null, null, null, null, null, null, null]"#),
        format!(r#"{{"task_token": "{token}", "activity": ["orders"]}}"#),
    ] {
        assert!(Request::parse(list.as_bytes()).is_err(), "{list}");
    }
    Request::parse(format!(r#"{{"task_token": "{token}", "activity": {{"domain": "orders"}}}}"#).as_bytes()).unwrap();
}

#[test]
fn arguments_are_a_list_only_when_each_is_json() {
    for (payload, values) in [
        (&b""[..], Some(0)),
        (b"\n", Some(0)),
        (b"1\n\"a\"\nnull\n", Some(3)),
        (b"{\"a\": 1} {\"b\": 2}", Some(2)),
        (b"[1,2]", Some(1)),
        (b"1\nOK\n", None),
        (b"\0\x01", None),
        (b"{\"a\": ", None),
    ] {
        match Input::from_payload(Bytes::from_static(payload)) {
            Input::Json(list) => assert_eq!(Some(list.len()), values, "{payload:?}"),
            Input::Bytes(bytes) => assert_eq!((&bytes[..], values), (payload, None)),
        }
    }
}

/// The arguments as the request lists them; `None` when they stay bytes.
fn listed(payload: &'static str, encoding: Encoding) -> Option<String> {
    match Input::decode(Bytes::from_static(payload.as_bytes()), encoding) {
        Input::Json(values) => Some(values.iter().map(|value| value.get()).collect::<Vec<_>>().join(";")),
        Input::Bytes(bytes) => {
            assert_eq!(bytes, payload, "as it was");
            None
        }
    }
}

#[test]
fn each_clients_arguments_are_listed_as_it_means_them() {
    use Encoding::{Auto, Go, Java, Python};
    for (encodings, payload, expected) in [
        // Go: two arguments, one list, one list beside another.
        (&[Go, Auto][..], "{\"a\":1.50}\n\"b\"\n", Some("{\"a\":1.50};\"b\"")),
        (&[Go, Auto], "[1,2]\n", Some("[1,2]")),
        (&[Go, Auto], "[1]\n[2]\n", Some("[1];[2]")),
        (&[Go, Auto], "null\n", Some("null")),
        // Java: several arguments are one list, a single one stands alone.
        (
            &[Java, Auto],
            r#"["a",1e400,{"n":10000000000000000000000001}]"#,
            Some(r#""a";1e400;{"n":10000000000000000000000001}"#),
        ),
        (&[Java, Auto], "{\"a\":[1]}", Some("{\"a\":[1]}")),
        (&[Java, Auto], "null", Some("null")),
        (&[Java, Auto], "[null,null]", Some("null;null")),
        (&[Java, Auto], "[]", Some("")),
        // Python: a space between two, none at the end.
        (&[Python, Auto], "1 \"two\" {\"three\": [3]}", Some("1;\"two\";{\"three\": [3]}")),
        (&[Python, Auto], "[1] [2]", Some("[1];[2]")),
        (&[Python, Auto], "true", Some("true")),
        // What the bytes do not tell, the setting does.
        (&[Python], "[1,2]", Some("[1,2]")),
        (&[Go], "[1,2]", Some("[1,2]")),
        (&[Java], "[1,2]\n", Some("1;2")),
        // No arguments at all.
        (&[Go, Java, Python, Auto], "", Some("")),
        // Neither.
        (&[Go, Java, Python, Auto], "OK", None),
        (&[Go, Java, Python, Auto], "[1,2", None),
        (&[Go, Java, Python, Auto], "1\nOK\n", None),
        (&[Go, Java, Python, Auto], "[1,]", None),
    ] {
        for encoding in encodings {
            assert_eq!(listed(payload, *encoding).as_deref(), expected, "{encoding:?} {payload:?}");
        }
    }
    let latin = Bytes::from_static(b"\"\xe9\"\n");
    assert!(matches!(Input::decode(latin.clone(), Auto), Input::Bytes(bytes) if bytes == latin), "not UTF-8");
}

#[test]
fn a_spring_service_that_echoes_the_request_answers_it() {
    let request = request().to_record("activity-requests".into());
    let echoed =
        Headers::from_iter([(names::CORRELATION_ID.to_owned(), request.headers.last(names::CORRELATION_ID).cloned())]);
    let reply = Record { origin: origin(), key: None, value: Some(Bytes::from_static(b"7")), headers: echoed };
    assert_eq!(read(&reply).unwrap().target, Target::Token(token()));
}
