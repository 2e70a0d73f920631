//! Which activity a reply is about: keys, lanes, and what a reply must name.

use super::*;

#[test]
fn a_target_key_is_percent_encoded_part_by_part() {
    let key = |workflow_id: &str| {
        let token = TaskToken::check(token_with(workflow_id, 12, 3).into()).unwrap();
        Target::Token(token).key().unwrap().to_string()
    };
    assert_eq!(key("order-17"), format!("{DOMAIN_ID}/order-17/{RUN_ID}/12/3"));
    assert_eq!(key("a/b c%\u{e9}~._-"), format!("{DOMAIN_ID}/a%2Fb%20c%25%C3%A9~._-/{RUN_ID}/12/3"));
}

#[test]
fn ids_have_no_key_even_with_an_attempt() {
    assert_eq!(Target::ById(activity_id()).key(), None);
    assert_eq!(Target::ById(activity_id()).activity().target_key(), None);
    assert_eq!(Target::Token(token()).activity().target_key(), Target::Token(token()).key());
}

#[test]
fn token_and_ids_of_one_activity_share_a_lane_and_others_do_not() {
    let by_token = Target::Token(token()).lane();
    assert_eq!(by_token, Target::ById(activity_id()).lane());
    assert_eq!(by_token, Target::Token(TaskToken::check(token_with("order-17", 12, 5).into()).unwrap()).lane());
    let other = ActivityId { activity_id: "4".into(), ..activity_id() };
    assert_ne!(by_token, Target::ById(other).lane());
    assert_ne!(by_token, Target::Token(TaskToken::check(token_with("order-18", 12, 0).into()).unwrap()).lane());
}

#[test]
fn with_token_and_activity_the_token_is_used_and_partial_ids_may_stand_beside_it() {
    for activity in
        [r#"{"workflow_id": "order-17"}"#, r#"{"activity_id": "3", "attempt": 9}"#, "{}", r#"{"domain": "x"}"#]
    {
        let reply = read(&envelope(&format!(r#""activity": {activity}, "result": 1"#))).unwrap();
        assert_eq!(reply.target, Target::Token(token()), "{activity}");
    }
}

#[test]
fn an_activity_by_id_is_named_whole() {
    let whole = format!(
        r#"{{"domain": "orders", "workflow_id": "order-17", "run_id": "{RUN_ID}", "activity_id": "3", "attempt": 0, "workflow_type": 5, "new": {{}}}}"#
    );
    let by_id = |activity: &str| record(&[], Some(format!(r#"{{"activity": {activity}, "result": 1}}"#).as_bytes()));
    assert_eq!(read(&by_id(&whole)).unwrap().target, Target::ById(activity_id()));
    for part in ["domain", "workflow_id", "run_id", "activity_id"] {
        let without = whole.replacen(&format!("\"{part}\""), &format!("\"{part}_\""), 1);
        refused(&by_id(&without), RefusalCode::MissingField, &format!("`activity.{part}` is missing"));
    }
    let no_attempt = whole.replace("\"attempt\": 0", "\"attempt\": null");
    let Target::ById(id) = read(&by_id(&no_attempt)).unwrap().target else { panic!("by id") };
    assert_eq!(id.attempt, None);
    let long = whole.replace("order-17", &"w".repeat(MAX_ID_BYTES + 1));
    refused(&by_id(&long), RefusalCode::BadField, "`activity.workflow_id` must have 1 to 4000 bytes");
}

#[test]
fn failing_by_id_without_an_attempt_needs_the_setting() {
    let value = format!(
        r#"{{"activity": {{"domain": "d", "workflow_id": "w", "run_id": "{RUN_ID}", "activity_id": "3"}}, "failure": {{"reason": "X"}}}}"#
    );
    let record = record(&[], Some(value.as_bytes()));
    let refusal = refused(&record, RefusalCode::FailByIdWithoutAttempt, "attempt");
    assert_eq!(refusal.activity.unwrap().workflow_id.as_deref(), Some("w"));
    let allowed = Limits { allow_fail_by_id_without_attempt: true, ..Limits::default() };
    assert_eq!(decode(&record, &allowed).unwrap().answer.action(), Action::Fail);
}

#[test]
fn a_refusal_tells_what_it_could_learn() {
    let refusal = refused(&envelope(r#""result": 1, "details": 2"#), RefusalCode::Contradiction, "`details`");
    assert_eq!(refusal.token.unwrap().bytes(), token().bytes());
    assert_eq!(refusal.activity, Some(Target::Token(token()).activity()));
    assert_eq!(refusal.action, Some(Action::Complete));
    let own = r#""result": 1, "details": 2, "idempotency_key": "k", "metadata": {"order": 17}"#;
    let refusal = refused(&envelope(own), RefusalCode::Contradiction, "`details`");
    assert_eq!(refusal.idempotency_key.as_deref(), Some("k"));
    assert_eq!(refusal.metadata.as_ref().map(|raw| raw.get()), Some(r#"{"order": 17}"#));
    let refusal = refused(&envelope(r#""resutl": 1"#), RefusalCode::UnknownField, "did you mean `result`?");
    assert_eq!(refusal.activity, Some(Target::Token(token()).activity()));
    let refusal = refused(&record(&[], Some(b"OK")), RefusalCode::BadJson, "line 1 column 1");
    assert_eq!((refusal.token, refusal.activity, refusal.action), (None, None, None));
}
