//! Task tokens: `TaskToken::check`.

use bytes::Bytes;
use handback::wire::{MAX_TOKEN_BYTES, RawToken, TargetKey, TaskToken, TokenClaims};
use serde_json::Value;

use super::text::expanded;
use super::{fit_for_people, measured};

/// How many times its size a token may cost: its names once each, the texts with escapes in them once more.
const TIMES: usize = 4;

/// What a claim that may be absent costs when it is written out.
const ABSENT: usize = 128;

pub(crate) fn check(bytes: &[u8]) {
    let bytes = expanded(bytes);
    let read = measured(bytes.len(), TIMES, || TaskToken::check(bytes.clone()));
    assert!(format!("{:?}", RawToken::new(bytes.clone())).ends_with("redacted)"));
    match read {
        Ok(token) => good(&bytes, &token),
        Err(fault) => fit_for_people(&fault.to_string()),
    }
}

fn good(bytes: &Bytes, token: &TaskToken) {
    assert_eq!(token.bytes(), bytes, "the bytes sent are the bytes received");
    assert!(format!("{token:?}").ends_with("redacted)"));
    let claims = token.claims();
    for id in [claims.domain_id, claims.run_id] {
        assert_eq!(uuid::Uuid::parse_str(id).map(|it| it.to_string()).as_deref(), Ok(id), "not canonical");
    }
    assert!(!claims.workflow_id.is_empty() && !claims.activity_id.is_empty());
    assert!(claims.schedule_id > 0 && claims.attempt >= 0);
    as_another_reader_sees_it(bytes, &claims);
    if bytes.len() + ABSENT <= MAX_TOKEN_BYTES {
        let built = TaskToken::build(claims.owned()).map(TaskToken::into_claims);
        assert_eq!(built, Ok(claims.owned()), "built of its claims it claims something else");
    }
    let key = TargetKey::of(&claims).into_string();
    let parts: Vec<_> =
        key.split('/').map(|part| percent_encoding::percent_decode_str(part).decode_utf8_lossy()).collect();
    let (schedule_id, attempt) = (claims.schedule_id.to_string(), claims.attempt.to_string());
    assert_eq!(parts, [claims.domain_id, claims.workflow_id, claims.run_id, &schedule_id, &attempt]);
}

/// A reader that makes a tree. It refuses some numbers and texts in places that ours does not look at.
fn as_another_reader_sees_it(bytes: &[u8], claims: &TokenClaims<&str>) {
    let Ok(tree) = serde_json::from_slice::<Value>(bytes) else { return };
    let text = |name: &str| tree.get(name).and_then(Value::as_str).unwrap_or_default();
    let number = |name: &str| tree.get(name).and_then(Value::as_i64).unwrap_or_default();
    let seen = TokenClaims {
        domain_id: text("domainId"),
        workflow_id: text("workflowId"),
        run_id: text("runId"),
        schedule_id: number("scheduleId"),
        attempt: number("scheduleAttempt"),
        activity_id: text("activityId"),
        activity_type: text("activityType"),
        workflow_type: text("workflowType"),
    };
    assert_eq!(&seen, claims);
}
