//! Why the engine does not find what a reply answers.

use std::cell::Cell;
use std::rc::Rc;

use super::model::{not_found, open, unavailable};
use super::support::{P0, Stage, complete, completes, fail, heartbeat, millis, play, play_with, reply, seconds, token};
use crate::bridge::seams::Probed;
use crate::bridge::seams::{CallError, Verdict};
use crate::bridge::sight::{
    CloseStatus, Closing, Content, History, LastFailure, Past, Pending, PendingState, Sight, WorkflowSight,
};
use crate::wire::{Action, Answer, Evidence, OutcomeKind};

pub(super) const STARTED: PendingState = PendingState::Started;

fn history(closing: Option<Closing>, closed: Option<CloseStatus>) -> Sight {
    let past = Past { schedule_id: 5, activity_id: "a1".to_owned(), attempt: Some(0), last_failure: None, closing };
    let history = Some(History { activities: vec![past], cut_short: None });
    Sight::Workflow(WorkflowSight { closed, history, ..WorkflowSight::default() })
}

fn closed_by(identity: &str) -> Sight {
    let content = Content::completed(Some("else".into()));
    history(Some(Closing::Answered { action: Action::Complete, content, identity: identity.to_owned() }), None)
}

pub(super) fn failing(verdict: Verdict, status: &'static str) -> CallError {
    CallError { verdict, status, message: "as told".to_owned() }
}

pub(super) fn kind(stage: &Stage, offset: i64) -> (OutcomeKind, Option<Evidence>) {
    let outcome = stage.outcome_of(offset).unwrap();
    (outcome.kind, outcome.evidence)
}

fn detail(stage: &Stage, offset: i64) -> String {
    stage.outcome_of(offset).unwrap().detail.unwrap()
}

#[test]
fn an_answer_whose_confirmation_was_lost_is_applied_by_history() {
    play(async |stage| {
        stage.engine.script("a1", [unavailable(), not_found()]);
        let engine = Rc::clone(&stage.engine);
        stage.engine.on_look(move |_| Ok(closed_by(&engine.calls.borrow()[0].identity)));
        stage.deliver(P0, [complete("a1")]);
        stage.eventually_stored(P0, 1).await;
        assert_eq!(kind(stage, 0), (OutcomeKind::Applied, Some(Evidence::History)));
        assert_eq!(stage.outcome_of(0).unwrap().attempts, 2);
        assert!(stage.log.dead_letters.borrow().is_empty());
    });
}

#[test]
fn an_answered_activity_makes_a_conflict_and_its_dead_letter() {
    play(async |stage| {
        stage.engine.always(not_found());
        stage.engine.on_look(|_| Ok(closed_by("worker")));
        stage.deliver(P0, [complete("a1"), heartbeat("a1")]);
        stage.eventually_stored(P0, 2).await;
        assert_eq!(kind(stage, 0), (OutcomeKind::Conflict, None));
        assert_eq!(stage.log.dead_letters.borrow().len(), 1, "a heartbeat has none");
        assert_eq!(stage.engine.looks.borrow().len(), 1, "the second is told from the same look");
    });
}

#[test]
fn a_heartbeat_that_comes_too_late_says_why_and_is_no_dead_letter() {
    for (sight, expected) in [
        (history(None, Some(CloseStatus::Terminated)), OutcomeKind::WorkflowClosed),
        (open("a1", 1, STARTED), OutcomeKind::Superseded),
        (Sight::Nothing, OutcomeKind::Unknown),
    ] {
        play(async |stage| {
            stage.engine.always(not_found());
            stage.engine.on_look(move |_| Ok(sight.clone()));
            stage.deliver(P0, [heartbeat("a1")]);
            stage.eventually_stored(P0, 1).await;
            assert_eq!(kind(stage, 0).0, expected);
            assert!(stage.log.dead_letters.borrow().is_empty());
        });
    }
}

#[test]
fn a_failure_that_was_tried_again_is_recognised_by_the_last_failure() {
    play(async |stage| {
        stage.engine.script("a1", [unavailable(), not_found()]);
        stage.engine.on_look(|_| {
            let Sight::Workflow(mut workflow) = open("a1", 1, PendingState::Scheduled) else { unreachable!() };
            workflow.pending[0].last_failure = Some(LastFailure::of("CardDeclined", Some("".into())));
            Ok(Sight::Workflow(workflow))
        });
        stage.deliver(P0, [fail("a1")]);
        stage.eventually_stored(P0, 1).await;
        assert_eq!(kind(stage, 0), (OutcomeKind::Applied, Some(Evidence::LastFailure)));
    });
}

#[test]
fn an_event_that_does_not_show_yet_is_looked_for_again() {
    play(async |stage| {
        stage.engine.always(not_found());
        let looks = Cell::new(0);
        stage.engine.on_look(move |_| {
            looks.set(looks.get() + 1);
            Ok(if looks.get() < 4 { history(None, None) } else { closed_by("worker") })
        });
        stage.deliver(P0, [complete("a1")]);
        stage.eventually_stored(P0, 1).await;
        assert_eq!(kind(stage, 0).0, OutcomeKind::Conflict);
        assert_eq!(stage.engine.total(), 1, "the engine was not asked again");
    });
}

#[test]
fn an_event_that_never_shows_is_looked_for_within_bounds_and_never_unknown() {
    play(async |stage| {
        stage.engine.always(not_found());
        stage.engine.on_look(|_| Ok(history(None, None)));
        stage.deliver(P0, [complete("a1")]);
        stage.pass(seconds(10)).await;
        assert!(stage.outcome_of(0).is_none(), "a decision may take so long");
        stage.eventually_stored(P0, 1).await;
        assert_eq!(kind(stage, 0).0, OutcomeKind::NotFound);
        assert!(detail(stage, 0).contains("does not show"), "{}", detail(stage, 0));
        let looks = stage.engine.looks.borrow().len();
        assert!((15..30).contains(&looks), "{looks} looks");
    });
}

#[test]
fn a_look_that_fails_makes_no_guess() {
    play(async |stage| {
        stage.engine.always(not_found());
        stage.engine.on_look(|_| Err(failing(Verdict::Transient { busy: false }, "UNAVAILABLE")));
        stage.deliver(P0, [complete("a1")]);
        stage.eventually_stored(P0, 1).await;
        assert_eq!(kind(stage, 0), (OutcomeKind::NotFound, None));
        assert!(detail(stage, 0).contains("the look-up failed: UNAVAILABLE as told"), "{}", detail(stage, 0));
        assert_eq!(stage.engine.looks.borrow().len(), 10, "soon at first, then slowly, and not for ever");
    });
}

#[test]
fn an_outage_does_not_use_up_the_patience_of_those_that_look() {
    play(async |stage| {
        stage.engine.always(not_found());
        let began = tokio::time::Instant::now();
        let down = move || began.elapsed() < seconds(60);
        stage.engine.on_look(move |_| {
            if down() {
                Err(failing(Verdict::Transient { busy: false }, "UNAVAILABLE"))
            } else {
                Ok(closed_by("worker"))
            }
        });
        *stage.engine.history.borrow_mut() = Probed::Unwell("down".to_owned());
        stage.deliver(P0, completes(0..30));
        stage.pass(seconds(60)).await;
        assert!(stage.log.kinds().is_empty(), "{:?}", stage.log.kinds());
        *stage.engine.history.borrow_mut() = Probed::Well;
        stage.eventually_stored(P0, 30).await;
        assert_eq!(stage.log.kinds(), [OutcomeKind::Conflict; 30]);
    });
}

#[test]
fn an_engine_that_does_not_take_what_it_lists_is_given_up() {
    play(async |stage| {
        stage.engine.always(not_found());
        stage.engine.on_look(|_| Ok(open("a1", 0, STARTED)));
        stage.deliver(P0, [complete("a1"), heartbeat("a2")]);
        stage.eventually_stored(P0, 2).await;
        assert_eq!(kind(stage, 0).0, OutcomeKind::Exhausted);
        assert!(detail(stage, 0).contains("lists the attempt as open"));
        assert!(stage.outcome_of(0).unwrap().attempts > 5, "it was asked again");
        assert_eq!(stage.engine.count("a2"), 1, "a heartbeat is not asked again");
        assert_eq!(stage.log.dead_letters.borrow().len(), 1);
    });
}

#[test]
fn being_denied_a_look_is_no_wiring_fault() {
    play(async |stage| {
        stage.engine.script("a1", [not_found()]);
        stage.engine.on_look(|_| Err(failing(Verdict::Wiring, "PERMISSION_DENIED")));
        stage.deliver(P0, [complete("a1"), reply(token("a2"), Answer::Cancel { details: None })]);
        stage.eventually_stored(P0, 2).await;
        assert_eq!(kind(stage, 0).0, OutcomeKind::NotFound);
        assert_eq!(kind(stage, 1).0, OutcomeKind::Applied, "a cancel goes without a look then");
        assert_eq!(stage.engine.wiring_probes.get(), 1, "the one at the start");
    });
}

#[test]
fn looks_are_bounded_in_rate_and_number_and_good_replies_do_not_wait_for_them() {
    play_with(
        // As many places as there are replies that look: they must not keep them.
        |options, _| (options.lookup.max_per_second, options.max_in_flight) = (20, 40),
        async |stage| {
            (0..40).for_each(|n| stage.engine.script(&format!("a{n}"), [not_found()]));
            stage.engine.look_time.set(millis(500));
            let began = tokio::time::Instant::now();
            stage.deliver(P0, completes(0..200));
            stage.eventually("the good ones", |s| s.log.kinds().len() >= 160).await;
            assert!(began.elapsed() < millis(100), "{:?}", began.elapsed());
            stage.eventually("looks", |s| s.engine.looking.get() > 0).await;
            let mut most = 0;
            stage
                .eventually("all", |s| {
                    most = most.max(s.engine.looking.get());
                    s.log.stored(P0) == Some(200)
                })
                .await;
            assert!(most <= 5, "{most} at once");
            let looks = stage.engine.looks.borrow();
            assert!(looks.windows(2).all(|pair| pair[1] - pair[0] >= millis(49)), "20 a second");
        },
    );
}

#[test]
fn who_waits_too_long_for_a_look_is_told_so() {
    play_with(
        |options, _| options.lookup.timeout = millis(900),
        async |stage| {
            stage.engine.always(not_found());
            stage.engine.look_time.set(millis(800));
            stage.deliver(P0, completes(0..20));
            stage.eventually_stored(P0, 20).await;
            assert!(detail(stage, 19).contains("more look-ups waited"), "{}", detail(stage, 19));
            assert_eq!(stage.log.kinds(), [OutcomeKind::NotFound; 20]);
        },
    );
}

#[test]
fn workflows_are_remembered_for_a_short_time_only() {
    play(async |stage| {
        stage.engine.always(not_found());
        stage.engine.on_look(|_| Ok(closed_by("worker")));
        for (offset, looks) in [(1, 1), (2, 1)] {
            stage.deliver(P0, [complete("a1")]);
            stage.eventually_stored(P0, offset).await;
            assert_eq!(stage.engine.looks.borrow().len(), looks);
        }
        stage.pass(seconds(11)).await;
        stage.deliver(P0, [complete("a1")]);
        stage.eventually_stored(P0, 3).await;
        assert_eq!(stage.engine.looks.borrow().len(), 2);
    });
}

#[test]
fn what_may_change_is_looked_at_again() {
    play(async |stage| {
        stage.engine.always(not_found());
        let known = Pending { schedule_id: 9, ..sole(open("a1", 0, STARTED)) };
        stage.engine.on_look(move |_| {
            let history = Some(History::default());
            Ok(Sight::Workflow(WorkflowSight { pending: vec![known.clone()], history, ..WorkflowSight::default() }))
        });
        for offset in 1..=2 {
            stage.deliver(P0, [complete("a1")]);
            stage.eventually_stored(P0, offset).await;
        }
        assert_eq!(stage.log.kinds(), [OutcomeKind::Unknown; 2]);
        assert_eq!(stage.engine.looks.borrow().len(), 2, "an activity may have been scheduled since");
    });
}

fn sole(sight: Sight) -> Pending {
    let Sight::Workflow(workflow) = sight else { unreachable!() };
    workflow.pending.into_iter().next().unwrap()
}
