//! `docs/wire-contract.md`, section 3.4: what a token must be before anything reaches the engine. The whole list of bad
//! ones is in `schemas/examples/invalid/reply/decoder/bad_token--*`.

use super::*;

#[test]
fn a_token_keeps_its_bytes_and_tells_its_claims() {
    let json = token_with("order \\u003c17\\u003e", 12, 2);
    let token = TaskToken::check(json.clone().into()).unwrap();
    assert_eq!(&token.bytes()[..], json.as_bytes());
    let expected = TokenClaims {
        domain_id: DOMAIN_ID.into(),
        workflow_id: "order <17>".into(),
        run_id: RUN_ID.into(),
        schedule_id: 12,
        attempt: 2,
        activity_id: "3".into(),
        activity_type: "ChargeCard".into(),
        workflow_type: "OrderWorkflow".into(),
    };
    assert_eq!(token.claims().owned(), expected);
}

#[test]
fn types_attempt_and_unknown_claims_are_optional() {
    let json = format!(
        r#" {{ "scheduleId": 12, "later": {{"a": [1]}}, "activityId": "3", "workflowId": "w", "runId": "{RUN_ID}", "domainId": "{DOMAIN_ID}", "activityType": null }} "#
    );
    let token = TaskToken::check(json.into()).unwrap();
    assert_eq!((token.claims().attempt, token.claims().activity_type), (0, ""));
}

#[test]
fn a_wrong_token_is_refused_and_the_claim_named() {
    let good = token_json();
    let cases: &[(&str, &str, &str)] = &[
        ("\"scheduleId\":12", "\"scheduleId\":0", "`scheduleId` is below 1"),
        ("\"scheduleId\":12", "\"scheduleId\":-23", "`scheduleId` is below 1"),
        ("\"scheduleId\":12", "\"scheduleId\":\"12\"", "`scheduleId` is not an integer"),
        ("\"scheduleId\":12", "\"scheduleId\":1e3", "`scheduleId` is not an integer"),
        ("\"scheduleId\":12", "\"scheduleId\":99999999999999999999", "`scheduleId` is not an integer"),
        ("\"scheduleId\":12,", "", "`scheduleId` is missing"),
        ("\"scheduleAttempt\":0", "\"scheduleAttempt\":-1", "`scheduleAttempt` is below 0"),
        ("\"workflowId\":\"order-17\"", "\"workflowId\":\"\"", "`workflowId` is empty"),
        ("\"workflowId\":\"order-17\"", "\"workflowId\":null", "`workflowId` is missing"),
        ("\"workflowId\":\"order-17\"", "\"workflowId\":\"\\ud800\"", "`workflowId` is not a string"),
        ("\"activityId\":\"3\"", "\"activityId\":3", "`activityId` is not a string"),
        ("01a20512", "01A20512", "`domainId` is not a UUID in canonical form"),
        ("01a20512-", "01a20512", "`domainId` is not a UUID in canonical form"),
        ("b5c5a5d2", "g5c5a5d2", "`runId` is not a UUID in canonical form"),
        ("\"activityType\"", "\"runId\"", "has a field twice, `runId`"),
        ("\"activityType\"", "\"run\\u0049d\"", "has a field twice, `runId`"),
        ("\"activityType\"", "\"runID\"", "wrong case, `runID`"),
        ("\"activityType\"", "\"\u{17f}cheduleId\"", "wrong case, with a name of"),
        ("\"activityType\"", "\"wor\u{212a}flowId\"", "wrong case, with a name of"),
        ("}", "} x", "is not JSON: trailing characters"),
        ("{", "[", "is not JSON"),
    ];
    for (from, to, problem) in cases {
        let token = good.replacen(from, to, 1);
        assert_ne!(token, good, "{from}");
        let fault = TaskToken::check(token.into()).expect_err(problem).to_string();
        assert!(fault.starts_with("the task token ") && fault.contains(problem), "expected `{problem}` in: {fault}");
    }
}

#[test]
fn a_token_has_a_greatest_size_and_a_greatest_number_of_fields() {
    let long = token_with(&"w".repeat(MAX_TOKEN_BYTES), 12, 0);
    assert!(TaskToken::check(long.into()).expect_err("too long").problem().contains("at most 32768 are allowed"));
    let most = token_with(&"w".repeat(MAX_TOKEN_BYTES - token_with("", 12, 0).len()), 12, 0);
    assert_eq!(TaskToken::check(most.into()).unwrap().bytes().len(), MAX_TOKEN_BYTES);
    let many: String = (0..200).map(|n| format!("\"x{n}\":1,")).collect();
    let many = token_json().replacen('{', &format!("{{{many}"), 1);
    assert_eq!(TaskToken::check(many.into()).expect_err("too many").problem(), "has too many fields");
    for nothing in ["", "null", "42", "\"text\"", "[]", "{}"] {
        TaskToken::check(nothing.into()).expect_err(nothing);
    }
    TaskToken::check(Bytes::from_static(b"\xff")).expect_err("not UTF-8");
}

#[test]
fn base64_is_read_in_every_usual_spelling() {
    for (text, bytes) in [
        ("", Some(&b""[..])),
        ("AA==", Some(b"\0")),
        ("AA", Some(b"\0")),
        ("AAE=", Some(b"\0\x01")),
        ("AAE", Some(b"\0\x01")),
        ("AAEC", Some(b"\0\x01\x02")),
        ("+/+/", Some(b"\xfb\xff\xbf")),
        ("-_-_", Some(b"\xfb\xff\xbf")),
        ("-_-_+/", None),
        ("+/-_", None),
        ("A", None),
        ("A===", None),
        ("AA=A", None),
        ("AAF=", None),
        ("AAE=\n", Some(b"\0\x01")),
        ("AA AE", Some(b"\0\0\x04")),
        ("AA\u{a0}AE", None),
        ("====", None),
        ("=", None),
    ] {
        assert_eq!(decode_base64(text.as_bytes()).as_deref(), bytes, "{text:?}");
    }
}
