//! Many replies that look at once: what they share, and whose fault it is when they wait.

use bytes::Bytes;

use super::model::{not_found, unavailable};
use super::support::{DOMAIN_ID, P0, RUN_ID, completes, millis, play, reply, seconds};
use crate::bridge::sight::{Closing, Content, History, Past, Sight, WorkflowSight};
use crate::wire::{Action, Answer, OutcomeKind, Record, Target, TaskToken};

/// Activities of one workflow.
const MANY: i64 = 240;

/// A completion of one of the activities of one workflow.
fn answer_of(schedule_id: i64) -> Record {
    let token = format!(
        r#"{{"domainId":"{DOMAIN_ID}","workflowId":"w-all","runId":"{RUN_ID}","scheduleId":{schedule_id},"scheduleAttempt":0,"activityId":"b{schedule_id}","activityType":"Charge","workflowType":"Order"}}"#
    );
    let token = Target::Token(TaskToken::check(Bytes::from(token)).unwrap());
    reply(token, Answer::Complete { result: None })
}

/// The workflow: all closed by somebody else, or their events not written yet.
fn sight(shows: bool) -> Sight {
    let closing = || {
        let content = Content::completed(Some("else".into()));
        Closing::Answered { action: Action::Complete, content, identity: "worker".to_owned() }
    };
    let past = |schedule_id: i64| Past {
        schedule_id,
        activity_id: format!("b{schedule_id}"),
        attempt: Some(0),
        last_failure: None,
        closing: shows.then(closing),
    };
    let history = Some(History { activities: (1..=MANY).map(past).collect(), cut_short: None });
    Sight::Workflow(WorkflowSight { history, ..WorkflowSight::default() })
}

#[test]
fn activities_whose_events_do_not_show_yet_share_each_look_at_their_workflow() {
    play(async |stage| {
        stage.engine.always(not_found());
        // Five at a time: a look for each of them would take 19 s, and lookup.timeout is 10 s.
        stage.engine.look_time.set(millis(400));
        let began = tokio::time::Instant::now();
        stage.engine.on_look(move |_| Ok(sight(began.elapsed() > seconds(12))));
        stage.deliver(P0, (1..=MANY).map(answer_of));
        stage.eventually_stored(P0, MANY).await;
        assert_eq!(stage.log.kinds(), [OutcomeKind::Conflict; 240]);
    });
}

#[test]
fn a_wait_for_a_look_starts_over_when_the_engine_was_unwell_meanwhile() {
    play(async |stage| {
        (0..20).for_each(|n| stage.engine.script(&format!("a{n}"), [not_found()]));
        stage.engine.on_look(|_| Ok(Sight::Nothing));
        // Four at a time after the other: the last ones have their turn after 12 s, and lookup.timeout is 10 s.
        stage.engine.look_time.set(seconds(4));
        stage.deliver(P0, completes(0..20));
        stage.pass(seconds(6)).await;
        (20..60).for_each(|n| stage.engine.script(&format!("a{n}"), [unavailable()]));
        stage.deliver(P0, completes(20..60));
        stage.eventually("the gate to shut", |s| !s.shared.health.is_ready()).await;
        stage.eventually_stored(P0, 60).await;
        let unlearnt = stage.log.kinds().iter().filter(|kind| **kind == OutcomeKind::NotFound).count();
        assert_eq!(unlearnt, 0, "the engine was down: not the records' fault");
    });
}
