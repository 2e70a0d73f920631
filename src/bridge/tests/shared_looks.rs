//! A look into a workflow serves others than the one that made it, and tells them only what it read.

use std::rc::Rc;

use bytes::Bytes;

use super::model::{not_found, unavailable};
use super::support::{DOMAIN_ID, P0, RUN_ID, Stage, by_id, millis, play, reply, seconds};
use crate::bridge::sight::{Closing, Content, History, Past, Pending, PendingState, Sight, Timeout, WorkflowSight};
use crate::wire::{Action, ActivityId, Answer, Evidence, OutcomeKind, Target, TaskToken};

/// An activity of the one workflow that all of these are in.
fn of(schedule_id: i64) -> Target {
    let token = format!(
        r#"{{"domainId":"{DOMAIN_ID}","workflowId":"w-all","runId":"{RUN_ID}","scheduleId":{schedule_id},"scheduleAttempt":0,"activityId":"b{schedule_id}","activityType":"Charge","workflowType":"Order"}}"#
    );
    Target::Token(TaskToken::check(Bytes::from(token)).unwrap())
}

fn named(activity: &str, attempt: Option<i64>) -> Target {
    let Target::ById(id) = by_id("orders", activity, attempt) else { unreachable!() };
    Target::ById(ActivityId { workflow_id: "w-all".to_owned(), ..id })
}

fn pending(schedule_id: i64, activity_id: &str) -> Pending {
    Pending {
        schedule_id,
        activity_id: activity_id.to_owned(),
        activity_type: "Charge".to_owned(),
        attempt: 0,
        state: PendingState::CancelRequested,
        last_failure: None,
    }
}

fn past(schedule_id: i64, activity_id: &str, closing: Option<Closing>) -> Past {
    Past { schedule_id, activity_id: activity_id.to_owned(), attempt: Some(0), last_failure: None, closing }
}

fn answered_by(identity: &str, result: Option<&'static str>) -> Closing {
    let content = Content::completed(result.map(Bytes::from));
    Closing::Answered { action: Action::Complete, content, identity: identity.to_owned() }
}

/// `b1` is open and `b2` closed, as a look for one of them shows it: history is read only where the state does not show what it
/// is for open.
fn shown(target: &Target, closing: Closing, cut_short: Option<&'static str>) -> Sight {
    let Target::Token(token) = target else { unreachable!() };
    let activities = vec![past(2, "b2", Some(closing))];
    let history = (token.claims().schedule_id != 1).then_some(History { activities, cut_short });
    Sight::Workflow(WorkflowSight { pending: vec![pending(1, "b1")], history, ..WorkflowSight::default() })
}

fn cancel(target: Target) -> crate::wire::Record {
    reply(target, Answer::Cancel { details: None })
}

fn complete(target: Target) -> crate::wire::Record {
    reply(target, Answer::Complete { result: None })
}

fn kind(stage: &Stage, offset: i64) -> (OutcomeKind, Option<Evidence>) {
    let outcome = stage.outcome_of(offset).unwrap();
    (outcome.kind, outcome.evidence)
}

#[test]
fn a_look_for_an_open_activity_says_nothing_of_one_that_a_timeout_closed() {
    play(async |stage| {
        stage.engine.script("b2", [not_found()]);
        stage.engine.on_look(|target| Ok(shown(target, Closing::TimedOut(Timeout::StartToClose), None)));
        stage.deliver(P0, [cancel(of(1))]);
        stage.eventually_stored(P0, 1).await;
        stage.deliver(P0, [complete(of(2))]);
        stage.eventually_stored(P0, 2).await;
        assert_eq!(kind(stage, 1), (OutcomeKind::TimedOut, None), "{:?}", stage.outcome_of(1));
    });
}

#[test]
fn a_look_for_an_open_activity_says_nothing_of_one_that_this_record_closed() {
    play(async |stage| {
        stage.engine.script("b2", [unavailable(), not_found()]);
        let engine = Rc::clone(&stage.engine);
        stage.engine.on_look(move |target| {
            let ours = engine.calls_for("b2").first().map(|called| called.identity.clone()).unwrap_or_default();
            Ok(shown(target, answered_by(&ours, None), None))
        });
        stage.deliver(P0, [cancel(of(1))]);
        stage.eventually_stored(P0, 1).await;
        stage.deliver(P0, [complete(of(2))]);
        stage.eventually_stored(P0, 2).await;
        assert_eq!(kind(stage, 1), (OutcomeKind::Applied, Some(Evidence::History)), "{:?}", stage.outcome_of(1));
        assert!(stage.log.dead_letters.borrow().is_empty());
    });
}

#[test]
fn what_two_looks_read_is_remembered_of_both() {
    play(async |stage| {
        stage.engine.script("b2", [not_found(), not_found()]);
        stage.engine.on_look(|target| Ok(shown(target, Closing::TimedOut(Timeout::StartToClose), None)));
        for (next, target) in [(1, complete(of(2))), (2, cancel(of(1))), (3, complete(of(2)))] {
            stage.deliver(P0, [target]);
            stage.eventually_stored(P0, next).await;
        }
        assert_eq!((kind(stage, 0).0, kind(stage, 2).0), (OutcomeKind::TimedOut, OutcomeKind::TimedOut));
        assert_eq!(stage.engine.looks.borrow().len(), 2, "the third is told from the first look");
    });
}

#[test]
fn a_history_that_is_too_long_for_a_closed_activity_says_nothing_against_an_open_one() {
    play(async |stage| {
        stage.engine.script("b2", [not_found()]);
        let closing = || Closing::TimedOut(Timeout::StartToClose);
        stage
            .engine
            .on_look(move |target| Ok(shown(target, closing(), Some("its history is longer than lookup.max_pages"))));
        stage.deliver(P0, [complete(of(2))]);
        stage.eventually_stored(P0, 1).await;
        stage.deliver(P0, [cancel(of(1))]);
        stage.eventually_stored(P0, 2).await;
        assert_eq!(kind(stage, 1), (OutcomeKind::Applied, Some(Evidence::Engine)), "{:?}", stage.outcome_of(1));
    });
}

#[test]
fn a_look_by_names_without_an_attempt_is_none_for_names_with_one() {
    play(async |stage| {
        stage.engine.look_time.set(millis(400));
        // Only for names with an attempt it reads the domain's id, and history beside an open activity.
        stage.engine.on_look(|target| {
            let Target::ById(id) = target else { unreachable!() };
            let exact = id.attempt.is_some();
            Ok(Sight::Workflow(WorkflowSight {
                domain_id: exact.then(|| DOMAIN_ID.into()),
                closed: None,
                pending: (0..10).map(|n| pending(n + 1, &format!("c{n}"))).collect(),
                history: exact.then(History::default),
            }))
        });
        let cancels = (0..9).map(|n| cancel(named(&format!("c{n}"), None)));
        stage.deliver(P0, cancels.chain([complete(named("c9", Some(0)))]).collect::<Vec<_>>());
        stage.eventually_stored(P0, 10).await;
        assert_eq!(kind(stage, 9), (OutcomeKind::Applied, Some(Evidence::Engine)), "{:?}", stage.outcome_of(9));
    });
}

#[test]
fn what_closed_an_activity_of_these_names_says_nothing_of_the_next_one() {
    play(async |stage| {
        let began = tokio::time::Instant::now();
        stage.engine.on_look(move |_| {
            let mut activities = vec![past(1, "c1", Some(answered_by("worker", Some("else"))))];
            let again = began.elapsed() > seconds(2);
            activities.extend(again.then(|| past(9, "c1", None)));
            Ok(Sight::Workflow(WorkflowSight {
                domain_id: Some(DOMAIN_ID.into()),
                closed: None,
                pending: again.then(|| pending(9, "c1")).into_iter().collect(),
                history: Some(History { activities, cut_short: None }),
            }))
        });
        stage.deliver(P0, [complete(named("c1", Some(0)))]);
        stage.eventually_stored(P0, 1).await;
        stage.pass(seconds(3)).await;
        stage.deliver(P0, [reply(named("c1", Some(0)), Answer::Complete { result: Some("2".into()) })]);
        stage.eventually_stored(P0, 2).await;
        assert_eq!(kind(stage, 0).0, OutcomeKind::Conflict);
        assert_eq!(kind(stage, 1), (OutcomeKind::Applied, Some(Evidence::Engine)), "{:?}", stage.outcome_of(1));
    });
}

#[test]
fn a_workflow_that_was_not_there_is_looked_for_again() {
    play(async |stage| {
        stage.engine.always(not_found());
        let began = tokio::time::Instant::now();
        stage.engine.on_look(move |target| {
            if began.elapsed() < seconds(2) {
                return Ok(Sight::Nothing);
            }
            Ok(shown(target, Closing::TimedOut(Timeout::StartToClose), None))
        });
        stage.deliver(P0, [complete(of(2))]);
        stage.eventually_stored(P0, 1).await;
        stage.pass(seconds(3)).await;
        stage.deliver(P0, [reply(of(2), Answer::Complete { result: Some("2".into()) })]);
        stage.eventually_stored(P0, 2).await;
        assert_eq!((kind(stage, 0).0, kind(stage, 1).0), (OutcomeKind::Unknown, OutcomeKind::TimedOut));
    });
}
