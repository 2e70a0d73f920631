//! Tokens and payloads are in no text that could reach a log.

use super::*;

/// Parts of the token that no text may show: its own base64, and its own JSON.
#[track_caller]
fn shows_no_secret(text: &str) {
    let token = token_base64();
    assert!(!text.contains(&token[..24]) && !text.contains("domainId") && !text.contains("hush"), "{text}");
}

#[test]
fn debug_shows_neither_token_nor_payload() {
    let record = envelope(r#""result": {"secret": "hush"}, "metadata": {"a": "hush"}"#);
    let reply = read(&record).unwrap();
    let by_header = record_with_token();
    let request =
        Request { input: Some(Input::from_payload(Bytes::from_static(b"\"hush\""))), ..Request::new(token()) };
    let out = request.to_record("r".into());
    let refusal = refused(&envelope(r#""result": "hush", "details": "hush""#), RefusalCode::Contradiction, "");
    let failing = read(&envelope(r#""failure": {"reason": "hush", "message": "hush", "details": "hush"}"#)).unwrap();
    let outcome = Outcome { metadata: reply.metadata.clone(), ..Outcome::new(OutcomeKind::Applied, origin(), 0, 0) };
    shows_no_secret(&format!(
        "{record:?} {by_header:?} {reply:?} {request:?} {out:?} {refusal:?} {failing:?} {outcome:?}"
    ));
    shows_no_secret(&format!("{:?} {:?}", token(), RawToken::new(token_json().into())));
    shows_no_secret(&format!("{:?}", TokenPrinter::new(b"hush")));
}

fn record_with_token() -> Record {
    record(&[(names::CORRELATION_ID, &token_json()), (names::TASK_TOKEN, &token_base64())], Some(b"hush"))
}

#[test]
fn refusals_show_neither_token_nor_payload() {
    let token = token_base64();
    for value in [
        format!(r#"{{"task_token": "{token}", "result": "hush"#),
        format!(r#"{{"task_token": {{"{token}": "hush"}}, "result": 1}}"#),
        format!(r#"{{"task_token": "{token}", "activity": "hush", "result": 1}}"#),
        format!(r#"{{"task_token": "{token}", "action": "hush"}}"#),
        format!(r#"{{"task_token": "{token}", "failure": {{"reason": "X", "style": "hush"}}}}"#),
        format!(r#"{{"task_token": "{token}", "result": 1, "{token}": 1}}"#),
        format!(r#"{{"task_token": "{}", "result": 1}}"#, STANDARD.encode(&token)),
        format!(r#"{{"task_token": "{}", "result": 1}}"#, STANDARD.encode(token_json().replace("12,", "\"hush\","))),
        format!("\"hush{token}\""),
        format!("hush{token}"),
    ] {
        let refusal = read(&record(&[], Some(value.as_bytes()))).expect_err(&value);
        shows_no_secret(&refusal.to_string());
    }
    let required = r#""specversion":"1.0","type":"handback.reply.fail","id":"e","source":"/s""#;
    for fields in [
        format!(r#"{required},"tasktoken":"{token}","failurereason":5,"data":"hush""#),
        format!(r#"{required},"tasktoken":"{token}","failurestyle":"hush!""#),
        format!(r#"{required},"tasktoken":"{token}","{token}":1,"{token}":2"#),
        format!(r#"{required},"tasktoken":"hush {token}""#),
        format!(r#""specversion":"hush","type":"hush","id":"{token}""#),
    ] {
        let headers = [(names::CONTENT_TYPE, names::CLOUD_EVENT_JSON_TYPE)];
        let value = format!("{{{fields}}}");
        let refusal = read(&record(&headers, Some(value.as_bytes()))).expect_err(&value);
        shows_no_secret(&format!("{refusal} {refusal:?}"));
    }
    for value in
        [format!(r#"{{"task_token": "{token}", "activity": "hush"}}"#), format!(r#"{{"task_token": "hush{token}"}}"#)]
    {
        shows_no_secret(&format!("{0} {0:?}", Request::parse(value.as_bytes()).expect_err("wrong")));
    }
    shows_no_secret(&format!("{0} {0:?}", Outcome::parse(br#"{"outcome": "hush"}"#).expect_err("wrong")));
}

#[test]
fn a_token_print_is_keyed_and_short() {
    let print = |key: &[u8], token: &[u8]| TokenPrinter::new(key).print(token).to_string();
    assert_eq!(print(b"key", b"token"), "646b8eac0c4a");
    assert_ne!(print(b"key", b"token"), print(b"other", b"token"));
    assert_ne!(print(b"key", b"token"), print(b"key", b"other"));
    let refusal = refused(&envelope(r#""resutl": 1"#), RefusalCode::UnknownField, "");
    let printer = TokenPrinter::new(b"key");
    assert_eq!(refusal.token_print(&printer), Some(printer.print(token().bytes())));
}
