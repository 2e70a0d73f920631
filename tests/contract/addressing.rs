//! Tokens and ids that are not what they should be, or are so in an unusual way.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde_json::json;
use tonic::Code;

use super::call::Head;
use super::calls::{FORMS, Form, Say, VERBS, Verb};
use super::expect::{Expect, Report};
use super::stage::{Attempt, Part, Play, Stage};

/// Tokens that are refused at once, made from a good one.
fn bad_tokens(good: &Attempt) -> Vec<(&'static str, Bytes, Expect)> {
    let unknown = |text: &str| Expect::plain(Code::Unknown, text);
    let bytes = |text: &str| Bytes::copy_from_slice(text.as_bytes());
    let but = |name: &str, value: serde_json::Value| good.clone().with_claim(name, value).token;
    let upper = good.claims()["domainId"].as_str().unwrap_or_default().to_uppercase();
    let begins = "looking for beginning of value";
    vec![
        ("empty", Bytes::new(), unknown("unexpected end of JSON input")),
        ("text", bytes("garbage"), unknown(&format!("invalid character 'g' {begins}"))),
        ("bytes", Bytes::from_static(&[0, 1, 2]), unknown(&format!("invalid character '\\x00' {begins}"))),
        ("truncated", good.token.slice(..good.token.len() / 2), unknown("unexpected end of JSON input")),
        ("base64", bytes(&STANDARD.encode(&good.token)), unknown(&format!("invalid character 'e' {begins}"))),
        ("trailing text", bytes("{} x"), unknown("invalid character 'x' after top-level value")),
        ("array", bytes("[]"), unknown("json: cannot unmarshal array into Go value of type common.TaskToken")),
        ("string", bytes("\"x\""), unknown("json: cannot unmarshal string into Go value of type common.TaskToken")),
        ("number", bytes("1"), unknown("json: cannot unmarshal number into Go value of type common.TaskToken")),
        (
            "number for an id",
            but("workflowId", json!(7)),
            unknown("json: cannot unmarshal number into Go struct field TaskToken.workflowId of type string"),
        ),
        (
            "text for a number",
            but("scheduleId", json!("5")),
            unknown("json: cannot unmarshal string into Go struct field TaskToken.scheduleId of type int64"),
        ),
        (
            "fraction for a number",
            but("scheduleId", json!(5.5)),
            unknown("json: cannot unmarshal number 5.5 into Go struct field TaskToken.scheduleId of type int64"),
        ),
        ("{}", bytes("{}"), Expect::bad("DomainID is empty.")),
        ("null", bytes("null"), Expect::bad("DomainID is empty.")),
        ("no domain", but("domainId", json!("")), Expect::bad("DomainID is empty.")),
        ("no workflow", but("workflowId", json!("")), Expect::bad("WorkflowId is not set on request.")),
        ("run that is no UUID", but("runId", json!("zzz")), Expect::bad("RunID is not valid UUID.")),
        (
            "domain that is no UUID",
            but("domainId", json!("zzz")),
            unknown("panic object is not error: \"uuid: Parse(zzz): invalid UUID length: 3\""),
        ),
        (
            "domain that is no UUID but as long",
            but("domainId", json!("z1a20512-c4f1-7204-8f3a-000000000000")),
            unknown(
                "panic object is not error: \"uuid: Parse(z1a20512-c4f1-7204-8f3a-000000000000): invalid UUID format\"",
            ),
        ),
        (
            "domain in another spelling",
            but("domainId", json!(upper)),
            Expect::plain(Code::Internal, "DefaultDomainCache encounter case where domain exists but cannot be loaded"),
        ),
    ]
}

pub(crate) async fn bad_tokens_are_refused<S: Stage>(play: Play<S>, report: Report) -> Result<(), String> {
    let (_, attempt) = play.one(Part::new("a")).await?;
    for (name, token, expected) in bad_tokens(&attempt) {
        for verb in VERBS {
            let say = Say::new(verb, Form::Token);
            let seen = play.say(&say, &Attempt { token: token.clone(), ..attempt.clone() }).await;
            report.answer(format!("token: {name} / {}", say.method()), &expected, &seen);
        }
    }
    Ok(())
}

pub(crate) async fn bad_ids_are_refused<S: Stage>(play: Play<S>, report: Report) -> Result<(), String> {
    let (_, good) = play.one(Part::new("a")).await?;
    let cases = [
        ("no domain", Attempt { domain: String::new(), ..good.clone() }, Expect::bad("Domain name is empty")),
        (
            "no workflow",
            Attempt { workflow_id: String::new(), ..good.clone() },
            Expect::bad("WorkflowId is not set on request."),
        ),
        (
            "no activity",
            Attempt { activity_id: String::new(), ..good.clone() },
            Expect::bad("ActivityID is not set on request."),
        ),
        (
            "run that is no UUID",
            Attempt { run_id: "zzz".into(), ..good.clone() },
            Expect::bad("RunID is not valid UUID."),
        ),
    ];
    for (name, attempt, expected) in cases {
        for verb in VERBS {
            let say = Say::new(verb, Form::ById);
            let seen = play.say(&say, &attempt).await;
            report.answer(format!("ids: {name} / {}", say.method()), &expected, &seen);
        }
    }
    Ok(())
}

/// Other spellings of a token that name the same attempt.
fn good_tokens(good: &Attempt) -> Vec<(&'static str, Bytes)> {
    let claims = good.claims();
    let but = |name: &str, value: serde_json::Value| good.clone().with_claim(name, value).token;
    let without = |name: &str| {
        let mut claims = claims.clone();
        claims.remove(name);
        Bytes::from(serde_json::Value::Object(claims).to_string())
    };
    let run_id = claims["runId"].as_str().unwrap_or_default();
    let text = String::from_utf8_lossy(&good.token).into_owned();
    vec![
        ("as it came", good.token.clone()),
        ("indented", serde_json::to_vec_pretty(&claims).expect("claims have a JSON form").into()),
        ("with an unknown field", but("extra", json!([1, {"a": null}]))),
        ("with another activity id", but("activityId", json!("somebody-else"))),
        ("without types", Bytes::from(without("workflowType").to_vec())),
        ("without an activity id", without("activityId")),
        ("without a run", but("runId", json!(""))),
        ("with the run in upper case", but("runId", json!(run_id.to_uppercase()))),
        ("with the run without hyphens", but("runId", json!(run_id.replace('-', "")))),
        ("with keys in upper case", text.replacen("\"workflowId\"", "\"WORKFLOWID\"", 1).into()),
        ("with a key twice", text.replacen("{\"domainId\"", "{\"runId\":\"zzz\",\"domainId\"", 1).into()),
        ("by id in disguise", but("scheduleId", json!(-23))),
        (
            "by id in disguise, any attempt",
            Attempt { token: but("scheduleId", json!(-23)), ..good.clone() }
                .with_claim("scheduleAttempt", json!(9))
                .token,
        ),
    ]
}

pub(crate) async fn spellings_are_taken<S: Stage>(play: Play<S>, report: Report) -> Result<(), String> {
    let (_, attempt) = play.one(Part::new("a")).await?;
    for (name, token) in good_tokens(&attempt) {
        let to = Attempt { token, ..attempt.clone() };
        let seen = play.say(&Say::new(Verb::Heartbeat, Form::Token), &to).await;
        report.answer(format!("token: {name}"), &Expect::ok(), &seen);
    }
    let claims = attempt.claims();
    let mut names: Vec<&str> = vec![
        "domainId",
        "workflowId",
        "workflowType",
        "runId",
        "scheduleId",
        "scheduleAttempt",
        "activityId",
        "activityType",
    ];
    let text = String::from_utf8_lossy(&attempt.token).into_owned();
    report.same("token: its fields", names.len(), claims.len());
    let mut places: Vec<Option<usize>> = names.iter().map(|name| text.find(&format!("\"{name}\":"))).collect();
    places.sort();
    names.sort_by_key(|name| text.find(&format!("\"{name}\":")));
    let order = "domainId workflowId workflowType runId scheduleId scheduleAttempt activityId activityType";
    report.same("token: their order", order.to_owned(), names.join(" "));
    report.same(
        "token: domain ids are of version 7",
        Some('7'),
        claims["domainId"].as_str().and_then(|id| id.chars().nth(14)),
    );
    Ok(())
}

/// A schedule id beyond the history: the server takes its own state for stale, and hopes.
pub(crate) async fn a_schedule_id_beyond_the_history<S: Stage>(play: Play<S>, report: Report) -> Result<(), String> {
    let (_, attempt) = play.one(Part::new("a")).await?;
    let beyond = attempt.with_claim("scheduleId", json!(999));
    let calls = VERBS.map(|verb| {
        let (play, say) = (play.clone(), Say::new(verb, Form::Token));
        let message = say.to(&beyond);
        async move {
            let head = Head::within(Duration::from_millis(1100));
            (say.method(), play.wire().send(&say.path(), head, message).await)
        }
    });
    for (method, seen) in futures_util::future::join_all(calls).await {
        report.answer(format!("schedule id 999, short deadline / {method}"), &stale().or_deadline(), &seen);
    }
    Ok(())
}

pub(crate) async fn a_schedule_id_beyond_the_history_for_long<S: Stage>(
    play: Play<S>,
    report: Report,
) -> Result<(), String> {
    let (_, attempt) = play.one(Part::new("a")).await?;
    let say = Say::new(Verb::Complete, Form::Token);
    let beyond = attempt.with_claim("scheduleId", json!(999));
    let head = Head::within(play.stage.patience() + Duration::from_secs(15));
    let seen = play.wire().send(&say.path(), head, say.to(&beyond)).await;
    report.answer("schedule id 999, long deadline", &stale(), &seen);
    Ok(())
}

fn stale() -> Expect {
    let text =
        "cadence internal uncategorized error, msg: code:unknown message:maximum attempts exceeded to update history";
    Expect::plain(Code::Unknown, text)
}

/// Identities of 1000 bytes are taken, longer ones are not; heartbeats do not care.
pub(crate) async fn identities<S: Stage>(play: Play<S>, report: Report) -> Result<(), String> {
    let (_, attempt) = play.one(Part::new("a")).await?;
    for form in FORMS {
        for verb in VERBS {
            let say = Say::new(verb, form).identity("i".repeat(1001));
            let heartbeat = verb == Verb::Heartbeat;
            let expected = if heartbeat { Expect::ok() } else { Expect::bad("Identity length exceeds limit.") };
            let seen = play.say(&say, &attempt).await;
            report.answer(format!("identity of 1001 bytes / {}", say.method()), &expected, &seen);
        }
    }
    let bytes = Say::new(Verb::Complete, Form::Token).identity("ä".repeat(501));
    let seen = play.say(&bytes, &attempt).await;
    let expected = Expect::bad("Identity length exceeds limit.");
    report.answer("identity of 501 characters and 1002 bytes", &expected, &seen);
    let seen = play.say(&Say::new(Verb::Complete, Form::Token).identity("i".repeat(1000)), &attempt).await;
    report.answer("identity of 1000 bytes", &Expect::ok(), &seen);
    Ok(())
}
