//! What holds for every input.

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

use super::*;

fn payload() -> impl Strategy<Value = Option<Bytes>> {
    let json = prop_oneof![
        Just("null".to_owned()),
        any::<i64>().prop_map(|number| number.to_string()),
        any::<String>().prop_map(|text| serde_json::to_string(&text).unwrap()),
        "[ \\[\\]{}\",:0-9a-z\n]{1,12}",
    ];
    option::of(prop_oneof![json.prop_map(Bytes::from), vec(any::<u8>(), 1..64).prop_map(Bytes::from)])
}

fn answer() -> impl Strategy<Value = Answer> {
    let styles = prop_oneof![Just(FailureStyle::Custom), Just(FailureStyle::Generic), Just(FailureStyle::Java)];
    let failure =
        (".{1,20}", option::of(any::<String>()), payload(), styles).prop_map(|(reason, message, details, style)| {
            let message = if style == FailureStyle::Generic { Some(message.unwrap_or_default()) } else { message };
            Answer::Fail(Failure { reason, message, details, style })
        });
    prop_oneof![
        payload().prop_map(|result| Answer::Complete { result }),
        payload().prop_map(|details| Answer::Cancel { details }),
        payload().prop_map(|details| Answer::Heartbeat { details }),
        failure,
    ]
}

fn target() -> impl Strategy<Value = Target> {
    let by_id = (".{1,20}", ".{1,20}", ".{1,20}", option::of(0..i64::MAX)).prop_map(
        |(domain, workflow_id, activity_id, attempt)| {
            Target::ById(ActivityId { domain, workflow_id, run_id: RUN_ID.into(), activity_id, attempt })
        },
    );
    let by_token = (".{1,20}", 1..i64::MAX, 0..i64::MAX).prop_map(|(workflow_id, schedule_id, attempt)| {
        let workflow_id = serde_json::to_string(&workflow_id).unwrap();
        let json = token_with(&workflow_id[1..workflow_id.len() - 1], schedule_id, attempt);
        Target::Token(TaskToken::check(json.into()).unwrap())
    });
    prop_oneof![by_id, by_token]
}

/// Names that mean something, so that random headers reach every branch.
const NAMES: [&str; 16] = [
    names::CONTENT_TYPE,
    names::CORRELATION_ID,
    names::TASK_TOKEN,
    names::ACTION,
    names::FAILURE_REASON,
    names::FAILURE_STYLE,
    names::FAILURE_MESSAGE,
    names::DOMAIN,
    names::WORKFLOW_ID,
    names::RUN_ID,
    names::ACTIVITY_ID,
    names::ATTEMPT,
    names::SPRING_EXCEPTION,
    names::TRACEPARENT,
    names::IDEMPOTENCY_KEY,
    names::SOURCE_TOPIC,
];

fn header() -> impl Strategy<Value = (String, Option<Bytes>)> {
    let value = prop_oneof![
        vec(any::<u8>(), 0..24).prop_map(Bytes::from),
        Just(Bytes::from(token_json())),
        Just(Bytes::from(token_base64())),
        Just(Bytes::from_static(b"complete")),
        Just(Bytes::from_static(b"fail")),
    ];
    ((0..NAMES.len()).prop_map(|index| NAMES[index].to_owned()), option::of(value))
}

/// Bytes that look like an envelope here and there.
fn value() -> impl Strategy<Value = Option<Bytes>> {
    let token = token_base64();
    let pieces = vec![
        "{",
        "}",
        "[",
        "]",
        ":",
        ",",
        "\"",
        "\\",
        "null",
        "1",
        " ",
        "\"result\":",
        "\"failure\":",
        "\"action\":",
        "\"activity\":",
        "\"reason\":",
        "\"details\":",
        "\"metadata\":",
        "\"complete\"",
        "\"fail\"",
        "\u{e9}",
        "\"result_base64\":\"AA\"",
    ];
    let piece = prop_oneof![
        (0..pieces.len()).prop_map(move |index| pieces[index].to_owned()),
        Just(format!("{{\"task_token\":\"{token}\",")),
    ];
    option::of(prop_oneof![
        vec(piece, 0..24).prop_map(|parts| Bytes::from(parts.concat())),
        vec(any::<u8>(), 0..64).prop_map(Bytes::from),
    ])
}

proptest! {
    #[test]
    fn what_the_encoder_writes_is_read_the_same(target in target(), answer in answer(), key in option::of(".{1,20}"), headers in any::<bool>()) {
        let limits = Limits { allow_fail_by_id_without_attempt: true, ..Limits::default() };
        let mut builder = ReplyBuilder::new(target.clone(), answer.clone());
        if let Some(key) = &key {
            builder = builder.idempotency_key(key);
        }
        if headers {
            builder = builder.mode(Mode::Headers);
        }
        let out = builder.into_record("activity-replies".into(), &limits).unwrap();
        let record = Record { origin: origin(), key: out.key, value: out.value, headers: out.headers };
        let reply = decode(&record, &limits).unwrap();
        prop_assert_eq!(&reply.target, &target);
        prop_assert_eq!(&reply.answer, &answer);
        prop_assert_eq!(reply.idempotency_key, key);
        prop_assert_eq!(reply.fingerprint, Fingerprint::of(&answer));
    }

    #[test]
    fn any_record_is_read_or_refused_and_its_dead_letter_keeps_it(headers in vec(header(), 0..6), value in value()) {
        let record = Record { origin: origin(), key: None, value, headers: headers.into_iter().collect() };
        if let Err(refusal) = read(&record) {
            prop_assert!(!refusal.detail.is_empty() && !refusal.detail.contains(&token_base64()[..24]));
            let letter = DeadLetter {
                record: &record, outcome: OutcomeKind::Rejected, reason: refusal.code.as_str(), detail: &refusal.detail,
                attempts: 0, engine_status: None, token: None,
            };
            let out = letter.to_record("dlq".into());
            prop_assert_eq!(&out.value, &record.value);
            prop_assert_eq!(source_of(&out.headers), Some(origin()));
        }
    }

    #[test]
    fn a_token_never_panics_the_check(bytes in vec(any::<u8>(), 0..200), cut in 0..300_usize, byte in any::<u8>()) {
        let _ = TaskToken::check(bytes.into());
        let mut token = token_json().into_bytes();
        let index = cut % token.len();
        token[index] = byte;
        let _ = TaskToken::check(token.clone().into());
        token.truncate(index);
        prop_assert!(TaskToken::check(token.into()).is_err());
    }

    #[test]
    fn base64_is_read_as_it_was_written(bytes in vec(any::<u8>(), 0..100)) {
        use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD};
        for text in [STANDARD.encode(&bytes), STANDARD_NO_PAD.encode(&bytes), URL_SAFE.encode(&bytes), URL_SAFE_NO_PAD.encode(&bytes)] {
            prop_assert_eq!(decode_base64(text.as_bytes()), Some(bytes.clone()));
        }
    }

    #[test]
    fn times_are_read_as_they_were_written(millis in -62_167_219_200_000_i64..=253_402_207_200_000) {
        let origin = Origin { timestamp_ms: Some(millis), ..origin() };
        let value = Outcome::new(OutcomeKind::Applied, origin.clone(), millis, millis).into_record("o".into(), 0).value.unwrap();
        let read = Outcome::parse(&value).unwrap();
        prop_assert_eq!((read.source, read.received_at_ms, read.settled_at_ms), (origin, millis, millis));
    }
}
