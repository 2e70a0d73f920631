//! Repeats: what the ledger answers without a call, and what it must leave to the engine.

use bytes::Bytes;

use super::books::{Act, Event, OUTCOMES, transient};
use super::model::{Step, not_found, refused};
use super::support::{
    P0, P1, Stage, WITHOUT_LEDGER, complete, fail, heartbeat, millis, play, play_with, seconds, token,
};
use crate::bridge::seams::{PartitionId, Piece, Reading};
use crate::wire::{Answer, Limits, OutcomeKind, Record, ReplyBuilder, names};

/// A reply of another text with the same idempotency key, or the same text with another.
fn keyed(activity: &str, result: &'static [u8], key: &str) -> Record {
    let answer = Answer::Complete { result: Some(Bytes::from_static(result)) };
    let written = ReplyBuilder::new(token(activity), answer)
        .idempotency_key(key)
        .into_record("x".into(), &Limits::default())
        .unwrap();
    Record { key: written.key, value: written.value, headers: written.headers, ..complete(activity) }
}

/// The partition goes and comes back; what was not committed is delivered again.
async fn hand_over(stage: &Stage, id: PartitionId) {
    let prefixes = stage.log.revoke(&[id]);
    stage.let_go(&prefixes).await;
    stage.log.assign(&[id]);
}

#[test]
fn the_same_answer_again_is_a_duplicate_and_another_one_a_conflict_without_a_call() {
    play(async |stage| {
        stage.deliver(P0, [complete("a1"), complete("a1"), fail("a1")]);
        stage.eventually_stored(P0, 3).await;
        assert_eq!(stage.log.kinds(), [OutcomeKind::Applied, OutcomeKind::Duplicate, OutcomeKind::Conflict]);
        assert_eq!(stage.engine.count("a1"), 1);
        assert!(stage.metric("handback_ledger_hits_total 2"));

        let (applied, repeat, conflict) =
            (stage.outcome_of(0).unwrap(), stage.outcome_of(1).unwrap(), stage.outcome_of(2).unwrap());
        assert_eq!(repeat.detail.unwrap(), "the same answer was applied before: activity-replies/0/0");
        assert_eq!((repeat.attempts, repeat.evidence), (0, None));
        let detail = conflict.detail.unwrap();
        for print in [applied.fingerprint, conflict.fingerprint] {
            assert!(detail.contains(&print.unwrap().to_string()), "both fingerprints: {detail}");
        }
        let letters = stage.log.dead_letters.borrow();
        assert_eq!(letters.len(), 1, "the conflict's alone");
        assert_eq!(letters[0].headers.last(names::DLQ_DETAIL).unwrap(), detail.as_bytes());
    });
}

#[test]
fn a_rejected_reply_followed_by_the_corrected_one_is_applied() {
    play(async |stage| {
        stage.engine.script("a1", [refused()]);
        stage.engine.script("a2", [not_found()]);
        stage.deliver(P0, [fail("a1"), complete("a1"), complete("a2"), complete("a2")]);
        stage.eventually_stored(P0, 4).await;
        let kinds: Vec<_> = (0..4).map(|offset| stage.outcome_of(offset).unwrap().kind).collect();
        assert_eq!(
            kinds,
            [OutcomeKind::Rejected, OutcomeKind::Applied, OutcomeKind::NotFound, OutcomeKind::Applied],
            "only what was applied is remembered"
        );
    });
}

#[test]
fn one_idempotency_key_used_for_two_activities_finishes_both() {
    play(async |stage| {
        stage.deliver(P0, [keyed("a1", b"1", "order-17"), keyed("a2", b"1", "order-17")]);
        stage.eventually_stored(P0, 2).await;
        assert_eq!(stage.log.kinds(), [OutcomeKind::Applied, OutcomeKind::Applied]);
        assert_eq!(stage.engine.count("a1") + stage.engine.count("a2"), 2);
    });
}

#[test]
fn the_idempotency_key_says_what_is_the_same_answer() {
    play(async |stage| {
        stage.deliver(P0, [keyed("a1", b"1", "k"), keyed("a1", b"2", "k"), keyed("a1", b"1", "other")]);
        stage.eventually_stored(P0, 3).await;
        assert_eq!(stage.log.kinds(), [OutcomeKind::Applied, OutcomeKind::Duplicate, OutcomeKind::Conflict]);
    });
}

#[test]
fn a_duplicate_after_a_conflict_is_still_a_duplicate() {
    play(async |stage| {
        stage.deliver(P0, [complete("a1"), fail("a1"), complete("a1")]);
        stage.eventually_stored(P0, 3).await;
        assert_eq!(stage.log.kinds(), [OutcomeKind::Applied, OutcomeKind::Conflict, OutcomeKind::Duplicate]);
    });
}

#[test]
fn a_redelivery_of_what_was_applied_and_recorded_is_settled_without_a_call_or_a_second_outcome() {
    play(async |stage| {
        stage.deliver(P0, [complete("a1"), complete("a2")]);
        stage.eventually_stored(P0, 2).await;
        // As for a member that comes after one which died between outcome and offset.
        hand_over(stage, P0).await;
        stage.log.stored.borrow_mut().clear();
        stage.read(P0, 0, 2);
        stage.eventually_stored(P0, 2).await;
        assert_eq!((stage.engine.total(), stage.log.outcomes.borrow().len()), (2, 2));
        assert!(stage.metric("handback_ledger_hits_total 2"));
    });
}

#[test]
fn an_answer_that_was_applied_and_never_recorded_is_asked_about_again() {
    play(async |stage| {
        stage.log.always(OUTCOMES, transient());
        stage.deliver(P0, [complete("a1")]);
        stage.eventually("applied", |s| s.engine.count("a1") == 1).await;
        let prefixes = stage.log.revoke(&[P0]);
        assert_eq!(stage.let_go(&prefixes).await, [(P0, 0)]);
        stage.log.always(OUTCOMES, Act::Ack);
        stage.log.assign(&[P0]);
        stage.read(P0, 0, 1);
        stage.eventually_stored(P0, 1).await;
        assert_eq!(stage.engine.count("a1"), 2, "silence would have lost it");
        assert_eq!(stage.log.outcomes.borrow().len(), 1);
    });
}

#[test]
fn heartbeats_leave_nothing_and_are_not_looked_for() {
    play(async |stage| {
        stage.engine.script("a1", [Step::CancelRequested, Step::Ok, not_found()]);
        stage.deliver(P0, [heartbeat("a1"), complete("a1"), heartbeat("a1")]);
        stage.eventually_stored(P0, 3).await;
        let entries = |offset| {
            let at = stage.log.outcomes.borrow().iter().position(|outcome| outcome.source.offset == offset).unwrap();
            stage.log.outcome_records.borrow()[at].headers.count(names::LEDGER)
        };
        assert_eq!((entries(0), entries(1), entries(2)), (0, 1, 0));
        assert_eq!(stage.engine.count("a1"), 3, "a heartbeat is told, also when the answer is known");
    });
}

#[test]
fn replies_wait_for_their_partitions_ledger_and_for_no_other() {
    play(async |stage| {
        const P2: PartitionId = PartitionId { topic: 0, partition: 2 };
        stage.pass(millis(10)).await;
        stage.log.mute.set(true);
        stage.log.assign(&[P1, P2]);
        stage.deliver(P1, [complete("b1")]);
        stage.deliver(P2, [complete("c1")]);
        stage.deliver(P0, [complete("a1")]);
        stage.eventually_stored(P0, 1).await;
        stage.pass(seconds(5)).await;
        assert_eq!(stage.engine.total(), 1, "not before its ledger is there");
        assert_eq!(*stage.log.paused.borrow(), [P1, P2].into(), "and nothing more is read meanwhile");
        let asked = stage.log.asked.borrow().clone();
        let [.., first, second] = asked[..] else { panic!("{asked:?}") };
        stage.log.tell_ledger(first);
        stage.eventually_stored(P1, 1).await;
        stage.pass(seconds(5)).await;
        assert_eq!(stage.engine.count("c1"), 0, "another partition's ledger opens only that partition");
        stage.log.tell_ledger(second);
        stage.eventually_stored(P2, 1).await;
        assert!(stage.log.paused.borrow().is_empty());
    });
}

/// A resume takes librdkafka up to a second.
#[test]
fn a_partition_whose_ledger_comes_soon_is_not_paused() {
    play(async |stage| {
        stage.pass(millis(10)).await;
        stage.log.mute.set(true);
        stage.log.assign(&[P1]);
        stage.deliver(P1, (0..300).map(|n| complete(&format!("b{n}"))).collect::<Vec<_>>());
        stage.pass(millis(400)).await;
        assert_eq!(stage.engine.total(), 0, "not before its ledger is there");
        let ask = *stage.log.asked.borrow().last().unwrap();
        stage.log.tell_ledger(ask);
        stage.eventually_stored(P1, 300).await;
        assert!(!stage.log.events.borrow().iter().any(|event| matches!(event, Event::Paused(_))));
    });
}

#[test]
fn a_ledger_that_does_not_come_is_done_without() {
    play_with(
        |options, _| options.ledger_timeout = seconds(30),
        async |stage| {
            stage.pass(millis(10)).await;
            stage.log.mute.set(true);
            stage.log.assign(&[P1]);
            stage.deliver(P1, [complete("b1")]);
            stage.pass(seconds(29)).await;
            assert_eq!(stage.engine.count("b1"), 0);
            stage.eventually_stored(P1, 1).await;
            assert!(stage.metric("handback_ledger_missing_total 1"));
            // What comes late is not refused.
            let ask = *stage.log.asked.borrow().last().unwrap();
            stage.log.tell_ledger(ask);
            stage.pass(seconds(1)).await;
            assert!(stage.metric("handback_ledger_missing_total 1"));
        },
    );
}

#[test]
fn a_ledger_that_cannot_be_read_is_done_without_at_once() {
    play(async |stage| {
        stage.log.mute.set(true);
        stage.log.assign(&[P1]);
        stage.deliver(P1, [complete("b1")]);
        stage.pass(millis(10)).await;
        let ask = *stage.log.asked.borrow().last().unwrap();
        let reading = Reading::Failed("grant READ on activity-outcomes".to_owned());
        stage.log.tell_piece(Piece { ticket: ask.ticket, partition: 1, entries: Vec::new(), next: None, reading });
        stage.pass(seconds(1)).await;
        assert_eq!(stage.log.stored(P1), Some(1));
        assert!(stage.metric("handback_ledger_missing_total 1"));
    });
}

#[test]
fn the_answer_to_an_earlier_assignment_does_not_open_the_next() {
    play(async |stage| {
        stage.log.mute.set(true);
        stage.log.assign(&[P1]);
        stage.pass(millis(10)).await;
        hand_over(stage, P1).await;
        stage.deliver(P1, [complete("b1")]);
        stage.pass(millis(10)).await;
        let asked = stage.log.asked.borrow().clone();
        let [.., earlier, later] = asked[..] else { panic!("{asked:?}") };
        stage.log.tell_ledger(earlier);
        stage.pass(seconds(1)).await;
        assert_eq!(stage.engine.count("b1"), 0, "another owner may have applied it in between");
        stage.log.tell_ledger(later);
        stage.eventually_stored(P1, 1).await;
    });
}

#[test]
fn after_a_rebalance_storm_the_ledger_still_answers() {
    play(async |stage| {
        let mut told = 0;
        for round in 0..30 {
            let first = stage.deliver(P0, [complete(&format!("a{round}")), complete(&format!("a{}", round / 2))]);
            stage.eventually_stored(P0, first + 2).await;
            told = first + 2;
            hand_over(stage, P0).await;
        }
        let kinds = stage.log.kinds();
        let applied = kinds.iter().filter(|kind| **kind == OutcomeKind::Applied).count();
        assert_eq!((applied, kinds.len(), stage.engine.total()), (30, 60, 30), "each once, whoever owned it when");
        stage.pass(millis(10)).await;
        let asked = stage.log.asked.borrow().clone();
        let from: Vec<_> = asked.iter().map(|ask| ask.from).collect();
        assert_eq!(from[..3], [None, Some(0), Some(2)], "read on from where reading ended");
        assert_eq!(from.last().unwrap(), &Some(told - 2), "{from:?}");
    });
}

#[test]
fn what_another_member_applied_is_known_once_its_partition_comes() {
    play(async |stage| {
        stage.deliver(P0, [complete("a1")]);
        stage.eventually_stored(P0, 1).await;
        // The other member's outcome, in the partition that comes next.
        let mut record = stage.log.outcome_records.borrow()[0].clone();
        record.partition = Some(1);
        stage.log.outcome_records.borrow_mut().push(record);
        stage.log.assign(&[P1]);
        stage.deliver(P1, [complete("b0"), complete("a1")]);
        stage.eventually_stored(P1, 2).await;
        let outcomes = stage.log.outcomes.borrow();
        assert_eq!(outcomes.last().unwrap().kind, OutcomeKind::Duplicate);
        assert_eq!(stage.engine.count("a1"), 1);
    });
}

#[test]
fn without_a_ledger_the_engine_decides_and_nothing_is_read() {
    play_with(WITHOUT_LEDGER, async |stage| {
        stage.engine.script("a1", [Step::Ok, not_found()]);
        stage.deliver(P0, [complete("a1"), complete("a1")]);
        stage.eventually_stored(P0, 2).await;
        assert_eq!(stage.log.kinds(), [OutcomeKind::Applied, OutcomeKind::NotFound]);
        assert!(stage.log.asked.borrow().is_empty());
        assert_eq!(stage.log.outcome_records.borrow()[0].headers.count(names::LEDGER), 0);
    });
}
