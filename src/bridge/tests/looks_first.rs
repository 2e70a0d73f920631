//! Looks before an answer: cancels, and names with an attempt.

use std::cell::Cell;
use std::rc::Rc;

use super::looks::{STARTED, failing, kind};
use super::model::{Step, not_found, open};
use super::support::{P0, by_id, complete, completes, millis, play, play_with, reply, seconds, token};
use crate::bridge::seams::Verdict;
use crate::bridge::sight::PendingState;
use crate::wire::{Answer, Evidence, OutcomeKind, Target, TaskToken};

#[test]
fn a_cancel_that_nobody_asked_for_is_not_sent() {
    play(async |stage| {
        stage.engine.on_look(|_| Ok(open("a1", 0, STARTED)));
        stage.deliver(P0, [reply(token("a1"), Answer::Cancel { details: None }), complete("a2")]);
        stage.pass(seconds(12)).await;
        assert!(stage.outcome_of(0).is_none() && stage.outcome_of(1).is_some());
        stage.eventually_stored(P0, 2).await;
        let outcome = stage.outcome_of(0).unwrap();
        assert_eq!((outcome.kind, outcome.reason.as_deref()), (OutcomeKind::Rejected, Some("cancel_not_requested")));
        assert_eq!(stage.engine.count("a1"), 0);
        assert!(stage.engine.looks.borrow().len() < 15, "slowly");
        assert_eq!(stage.log.dead_letters.borrow().len(), 1);
    });
}

#[test]
fn cancels_that_wait_do_not_hold_up_good_replies() {
    play_with(
        |options, _| options.max_in_flight = 10,
        async |stage| {
            stage.engine.on_look(|target| {
                let Target::Token(token) = target else { unreachable!() };
                Ok(open(token.claims().activity_id, 0, STARTED))
            });
            let cancels = (0..10).map(|n| reply(token(&format!("c{n}")), Answer::Cancel { details: None }));
            stage.deliver(P0, cancels.chain(completes(0..50)).collect::<Vec<_>>());
            let began = tokio::time::Instant::now();
            stage.eventually("the good ones", |s| s.log.kinds().len() == 50).await;
            assert!(began.elapsed() < millis(100), "{:?}", began.elapsed());
            stage.eventually_stored(P0, 60).await;
        },
    );
}

#[test]
fn a_cancel_waits_until_the_workflow_asks_for_it() {
    play(async |stage| {
        let began = tokio::time::Instant::now();
        stage.engine.on_look(move |_| {
            if began.elapsed() < millis(100) {
                return Err(failing(Verdict::Transient { busy: false }, "UNAVAILABLE"));
            }
            Ok(open("a1", 0, if began.elapsed() < seconds(5) { STARTED } else { PendingState::CancelRequested }))
        });
        stage.deliver(P0, [reply(token("a1"), Answer::Cancel { details: None })]);
        stage.eventually_stored(P0, 1).await;
        assert_eq!(kind(stage, 0), (OutcomeKind::Applied, Some(Evidence::Engine)));
        assert_eq!((stage.engine.count("a1"), stage.outcome_of(0).unwrap().attempts), (1, 1), "looks are no calls");
    });
}

#[test]
fn a_waiting_cancel_leaves_with_its_partition() {
    play(async |stage| {
        stage.engine.on_look(|_| Ok(open("a1", 0, STARTED)));
        stage.deliver(P0, [reply(token("a1"), Answer::Cancel { details: None })]);
        stage.pass(seconds(5)).await;
        let prefixes = stage.log.revoke(&[P0]);
        let began = tokio::time::Instant::now();
        assert_eq!(stage.let_go(&prefixes).await, [(P0, 0)], "its offset has not moved");
        assert!(began.elapsed() < millis(100));
    });
}

fn by_attempt(attempt: i64) -> crate::wire::Record {
    reply(by_id("orders", "a1", Some(attempt)), Answer::Complete { result: None })
}

#[test]
fn a_reply_by_id_with_an_attempt_is_answered_by_its_token() {
    play(async |stage| {
        stage.engine.on_look(|_| Ok(open("a1", 2, STARTED)));
        stage.deliver(P0, [by_attempt(2)]);
        stage.eventually_stored(P0, 1).await;
        let calls = stage.engine.calls_for("a1");
        let Target::Token(token) = &calls[0].target else { panic!("by id") };
        assert_eq!((token.claims().schedule_id, token.claims().attempt), (5, 2));
        assert_eq!(TaskToken::check(token.bytes().clone()).as_ref(), Ok(token));
        let outcome = stage.outcome_of(0).unwrap();
        let activity = outcome.activity.unwrap();
        assert_eq!((activity.domain.as_deref(), activity.schedule_id), (Some("orders"), Some(5)));
        let record = stage.log.outcome_records.borrow()[0].clone();
        let key = calls[0].target.key().map(|key| key.into_string().into_bytes());
        assert_eq!(record.key.as_deref(), key.as_deref(), "the token's key");
    });
}

#[test]
fn a_reply_by_id_waits_for_its_attempt_and_not_for_ever() {
    play(async |stage| {
        let attempt = Rc::new(Cell::new(0));
        let now = Rc::clone(&attempt);
        stage.engine.on_look(move |_| Ok(open("a1", now.get(), STARTED)));
        stage.deliver(P0, [by_attempt(1)]);
        stage.pass(seconds(12)).await;
        assert_eq!(stage.engine.total(), 0);
        attempt.set(1);
        stage.eventually_stored(P0, 1).await;
        assert_eq!(kind(stage, 0).0, OutcomeKind::Applied);
        stage.deliver(P0, [by_attempt(2), by_attempt(0)]);
        stage.eventually_stored(P0, 3).await;
        assert_eq!(kind(stage, 1).0, OutcomeKind::Exhausted);
        assert_eq!(kind(stage, 2).0, OutcomeKind::Superseded);
        assert_eq!(stage.engine.total(), 1);
    });
}

#[test]
fn a_reply_by_id_between_two_attempts_is_tried_again() {
    play(async |stage| {
        stage.engine.script("a1", [not_found(), not_found(), Step::Ok]);
        stage.engine.on_look(|_| Ok(open("a1", 1, PendingState::Scheduled)));
        stage.deliver(P0, [reply(by_id("orders", "a1", None), Answer::Complete { result: None })]);
        stage.eventually_stored(P0, 1).await;
        assert_eq!((kind(stage, 0).0, stage.outcome_of(0).unwrap().attempts), (OutcomeKind::Applied, 3));
    });
}
