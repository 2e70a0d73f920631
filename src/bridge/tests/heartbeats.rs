//! Heartbeats are not answers: they leave a trace only when they carry news.

use super::model::{Step, not_found, unavailable};
use super::support::{P0, complete, heartbeat, play, seconds};
use crate::bridge::tests::books::{OUTCOMES, transient};
use crate::wire::{Action, OutcomeKind};

#[test]
fn a_heartbeat_without_news_leaves_no_outcome() {
    play(async |stage| {
        stage.deliver(P0, [heartbeat("a1")]);
        stage.eventually_stored(P0, 1).await;
        assert_eq!(stage.engine.calls_for("a1")[0].action, Action::Heartbeat);
        assert!(stage.log.outcomes.borrow().is_empty());
        assert!(stage.log.dead_letters.borrow().is_empty());
    });
}

#[test]
fn a_request_to_cancel_is_told_once() {
    play(async |stage| {
        stage.engine.on_call(|called| match called.action {
            Action::Heartbeat => Step::CancelRequested,
            _ => Step::Ok,
        });
        for next in 1..=4 {
            stage.deliver(P0, [heartbeat("a1")]);
            stage.eventually_stored(P0, next).await;
        }
        assert_eq!(stage.engine.count("a1"), 4);
        let outcome = stage.outcome_of(0).unwrap();
        assert_eq!((outcome.kind, outcome.cancel_requested), (OutcomeKind::Applied, true));
        assert_eq!(stage.log.outcomes.borrow().len(), 1, "told once");
        stage.deliver(P0, [heartbeat("a2")]);
        stage.eventually_stored(P0, 5).await;
        assert_eq!(stage.log.outcomes.borrow().len(), 2, "another activity's news is news");
    });
}

#[test]
fn a_request_to_cancel_that_was_not_recorded_is_told_again() {
    play(async |stage| {
        stage.engine.always(Step::CancelRequested);
        stage.log.always(OUTCOMES, transient());
        stage.deliver(P0, [heartbeat("a1")]);
        stage.pass(seconds(1)).await;
        stage.log.lose(&[P0]);
        stage.pass(seconds(10)).await;
        stage.log.script(OUTCOMES, []);
        stage.log.assign(&[P0]);
        stage.read(P0, 0, 1);
        stage.eventually_stored(P0, 1).await;
        assert!(stage.outcome_of(0).unwrap().cancel_requested);
    });
}

#[test]
fn overtaken_heartbeats_make_no_call() {
    play(async |stage| {
        stage.engine.script("a1", [Step::held(Step::Ok)]);
        stage.deliver(P0, (0..5).map(|_| heartbeat("a1")));
        stage.deliver(P0, [complete("a1")]);
        stage.eventually("the first call", |s| s.engine.count("a1") == 1).await;
        stage.engine.release("a1");
        stage.eventually_stored(P0, 6).await;
        let actions: Vec<_> = stage.engine.calls_for("a1").iter().map(|called| called.action).collect();
        assert_eq!(
            actions,
            [Action::Heartbeat, Action::Heartbeat, Action::Complete],
            "the first, the last, the answer"
        );
        assert_eq!(stage.log.outcomes.borrow().len(), 1);
    });
}

#[test]
fn a_heartbeat_that_comes_too_late_is_an_outcome_and_no_dead_letter() {
    play(async |stage| {
        stage.engine.always(not_found());
        stage.deliver(P0, [heartbeat("a1")]);
        stage.eventually_stored(P0, 1).await;
        assert_eq!(stage.log.kinds(), [OutcomeKind::NotFound]);
        assert!(stage.log.dead_letters.borrow().is_empty());
    });
}

#[test]
fn a_heartbeat_is_tried_again_like_an_answer() {
    play(async |stage| {
        stage.engine.script("a1", [unavailable(), unavailable()]);
        stage.deliver(P0, [heartbeat("a1"), complete("a1")]);
        stage.eventually_stored(P0, 2).await;
        assert_eq!(stage.engine.count("a1"), 4);
    });
}
