//! What becomes of one reply.

use super::books::OUTCOMES;
use super::model::{Step, not_found, open, refused};
use super::support::{P0, P1, by_id, complete, fail, play, play_with, reply, rubbish, token};
use crate::bridge::sight::PendingState;
use crate::wire::{Action, Answer, Evidence, Headers, OutcomeKind, Record, ReplyBuilder, decode, names, source_of};

fn text<'a>(headers: &'a Headers, name: &str) -> Option<&'a str> {
    headers.last(name).map(|value| std::str::from_utf8(value).unwrap())
}

#[test]
fn reply_completes_the_activity() {
    play(async |stage| {
        stage.deliver(P0, [complete("a1")]);
        stage.eventually_stored(P0, 1).await;
        let calls = stage.engine.calls_for("a1");
        assert_eq!(calls.len(), 1);
        assert_eq!(calls[0].action, Action::Complete);
        assert_eq!(calls[0].payload.as_deref(), Some(&b"{\"charge\": 1}"[..]), "byte for byte");
        let reply = decode(&complete("a1"), &Default::default()).unwrap();
        assert_eq!(calls[0].identity, format!("handback/1/cluster/activity-replies/0/0/{}", reply.fingerprint));
        let outcome = stage.outcome_of(0).unwrap();
        assert_eq!((outcome.kind, outcome.evidence), (OutcomeKind::Applied, Some(Evidence::Engine)));
        assert_eq!((outcome.action, outcome.attempts), (Some(Action::Complete), 1));
        assert_eq!(outcome.fingerprint, Some(reply.fingerprint));
        let activity = outcome.activity.unwrap();
        assert_eq!((activity.activity_id.as_deref(), activity.domain.as_deref()), (Some("a1"), Some("orders")));
        let record = stage.log.outcome_records.borrow()[0].clone();
        assert_eq!((&*record.topic, record.partition), (OUTCOMES, Some(0)), "the origin's partition");
        assert_eq!(record.key.as_deref(), reply.target.key().map(|key| key.into_string().into_bytes()).as_deref());
        assert!(stage.log.dead_letters.borrow().is_empty());
        assert!(stage.metric("handback_outcomes_total{outcome=\"applied\"} 1"));
    });
}

#[test]
fn failure_reply_fails_the_activity() {
    play(async |stage| {
        stage.engine.on_look(|_| Ok(open("a2", 0, PendingState::CancelRequested)));
        stage.deliver(P0, [fail("a1"), reply(token("a2"), Answer::Cancel { details: None })]);
        stage.eventually_stored(P0, 2).await;
        assert_eq!(stage.engine.calls_for("a1")[0].action, Action::Fail);
        assert_eq!(stage.engine.calls_for("a2")[0].action, Action::Cancel);
        assert_eq!(stage.log.kinds(), [OutcomeKind::Applied; 2]);
    });
}

#[test]
fn undecodable_reply_reaches_dead_letters_unchanged() {
    play(async |stage| {
        let received = rubbish(b"{\"task_token\": 7}");
        stage.deliver(P0, [complete("a0"), received.clone()]);
        stage.eventually_stored(P0, 2).await;
        assert_eq!(stage.engine.total(), 1, "nothing unchecked reaches the engine");
        let letters = stage.log.dead_letters.borrow();
        assert_eq!(letters.len(), 1);
        let letter = &letters[0];
        assert_eq!((&letter.key, &letter.value), (&received.key, &received.value));
        let kept: Vec<_> = letter.headers.iter().take(received.headers.len()).collect();
        assert_eq!(kept, received.headers.iter().collect::<Vec<_>>(), "headers as received come first");
        assert_eq!(text(&letter.headers, names::DLQ_OUTCOME), Some("rejected"));
        assert_eq!(text(&letter.headers, names::DLQ_REASON), Some("bad_field"));
        assert!(text(&letter.headers, names::DLQ_DETAIL).unwrap().contains("task_token"), "the field is named");
        assert_eq!(text(&letter.headers, names::DLQ_ATTEMPTS), Some("0"));
        let outcome = stage.outcome_of(1).unwrap();
        assert_eq!((outcome.kind, outcome.reason.as_deref()), (OutcomeKind::Rejected, Some("bad_field")));
    });
}

#[test]
fn dead_letter_headers_name_source_partition_and_offset() {
    play(async |stage| {
        stage.engine.always(refused());
        stage.log.assign(&[P1]);
        stage.deliver(P1, [complete("a0"), complete("a1"), complete("a2")]);
        stage.eventually_stored(P1, 3).await;
        let letters = stage.log.dead_letters.borrow();
        let mut sources: Vec<_> = letters.iter().map(|letter| source_of(&letter.headers).unwrap()).collect();
        sources.sort_by_key(|source| source.offset);
        let expected = [(1, 0), (1, 1), (1, 2)];
        assert_eq!(sources.iter().map(|source| (source.partition, source.offset)).collect::<Vec<_>>(), expected);
        assert_eq!(letters[0].partition, Some(1), "the origin's partition");
        assert_eq!(text(&letters[0].headers, names::DLQ_REASON), Some("cancel_not_requested"));
        assert_eq!(text(&letters[0].headers, names::DLQ_ENGINE_STATUS), Some("INVALID_ARGUMENT"));
        assert_eq!(text(&letters[0].headers, names::DLQ_ATTEMPTS), Some("1"));
        assert_eq!(text(&letters[0].headers, names::DLQ_TOKEN).map(str::len), Some(12), "a print, no token");
    });
}

/// Plays a reply that the engine does not find.
fn gone(dead_letter: bool, letters: usize) {
    play_with(
        |options, _| options.dead_letters.not_found = dead_letter,
        async |stage| {
            stage.engine.always(not_found());
            stage.deliver(P0, [complete("a1")]);
            stage.eventually_stored(P0, 1).await;
            let outcome = stage.outcome_of(0).unwrap();
            assert_eq!((outcome.kind, outcome.evidence), (OutcomeKind::NotFound, None), "never a guess");
            assert_eq!(stage.log.dead_letters.borrow().len(), letters);
            assert_eq!(stage.engine.total(), 1, "final at once");
        },
    );
}

#[test]
fn what_is_not_found_is_a_dead_letter_unless_set_otherwise() {
    gone(true, 1);
    gone(false, 0);
}

#[test]
fn a_reply_by_id_is_answered_by_id() {
    play(async |stage| {
        stage.deliver(P0, [reply(by_id("orders", "a1", None), Answer::Complete { result: None })]);
        stage.eventually_stored(P0, 1).await;
        assert_eq!(stage.engine.calls_for("a1")[0].payload, None, "no result is no bytes");
        assert_eq!(stage.log.kinds(), [OutcomeKind::Applied]);
        assert!(stage.log.outcome_records.borrow()[0].key.as_deref().unwrap().starts_with(b"source:"));
    });
}

#[test]
fn metadata_and_keys_of_the_service_come_back_in_the_outcome() {
    play(async |stage| {
        let metadata = serde_json::value::RawValue::from_string("{\"shop\":7}".to_owned()).unwrap();
        let built = ReplyBuilder::new(token("a1"), Answer::Complete { result: None })
            .idempotency_key("order-7")
            .metadata(metadata)
            .traceparent("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01");
        let out = built.into_record("activity-replies".into(), &Default::default()).unwrap();
        stage.deliver(P0, [Record { value: out.value, headers: out.headers, ..complete("a1") }]);
        stage.eventually_stored(P0, 1).await;
        let outcome = stage.outcome_of(0).unwrap();
        assert_eq!(outcome.idempotency_key.as_deref(), Some("order-7"));
        assert_eq!(outcome.metadata.unwrap().get(), "{\"shop\":7}");
        let record = stage.log.outcome_records.borrow()[0].clone();
        assert!(text(&record.headers, names::TRACEPARENT).is_some_and(|parent| parent.starts_with("00-0af7")));
    });
}

#[test]
fn a_reply_whose_handling_panics_becomes_a_dead_letter_and_others_go_on() {
    play(async |stage| {
        stage.engine.script("a1", [Step::Panic]);
        stage.deliver(P0, [complete("a0"), complete("a1"), complete("a1"), complete("a2")]);
        stage.eventually_stored(P0, 4).await;
        let outcome = stage.outcome_of(1).unwrap();
        assert_eq!((outcome.kind, outcome.reason.as_deref()), (OutcomeKind::Rejected, Some("internal_error")));
        assert_eq!(outcome.activity.unwrap().activity_id.as_deref(), Some("a1"));
        let letters = stage.log.dead_letters.borrow();
        assert_eq!(letters.len(), 1);
        assert_eq!(letters[0].value, complete("a1").value);
        for offset in [0, 2, 3] {
            assert_eq!(stage.outcome_of(offset).unwrap().kind, OutcomeKind::Applied, "{offset}: also in its lane");
        }
        assert!(!stage.running.is_finished());
    });
}
