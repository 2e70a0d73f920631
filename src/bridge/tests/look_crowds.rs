//! Replies of one partition that wait for look-ups in masses, each of another workflow: they hold up no other partition.

use tokio::time::Instant;

use super::model::{Called, Step, not_found, open};
use super::support::{P0, P1, Stage, by_id, complete, completed, completes, millis, play_with, reply, seconds};
use crate::bridge::seams::PartitionId;
use crate::bridge::sight::{CloseStatus, History, Past, PendingState, Sight, WorkflowSight};
use crate::bridge::{Options, Shared};
use crate::wire::{OutcomeKind, Record, Target};

/// More than `lookup.max_per_second` lets through in half a minute.
const MANY: usize = 3_000;

/// How long another partition's reply may take beside them.
const SOON: std::time::Duration = seconds(1);

/// As many as wait for look-ups would stop the topic, all of it; and the model takes long over thousands of dead letters.
fn unguarded(options: &mut Options, _: &mut Shared) {
    options.flood = None;
    options.dead_letters.workflow_closed = false;
}

fn activity(target: &Target) -> String {
    match target {
        Target::Token(token) => token.claims().activity_id.to_owned(),
        Target::ById(id) => id.activity_id.clone(),
    }
}

/// Finds all but `a…`. A call takes as long as on a busy engine.
fn finds_others(called: &Called) -> Step {
    let found = if called.activity.starts_with('a') { not_found() } else { Step::Ok };
    Step::after(millis(5), found)
}

/// The workflow was terminated while the activity ran.
fn terminated(target: &Target) -> Sight {
    let past =
        Past { schedule_id: 5, activity_id: activity(target), attempt: Some(0), last_failure: None, closing: None };
    let history = Some(History { activities: vec![past], cut_short: None });
    Sight::Workflow(WorkflowSight { closed: Some(CloseStatus::Terminated), history, ..WorkflowSight::default() })
}

/// Names of attempts that never come, each of another workflow.
fn future_attempts() -> Vec<Record> {
    (0..MANY).map(|n| reply(by_id("orders", &format!("a{n}"), Some(3)), completed())).collect()
}

/// Each call for a reply of P1 comes soon, for as long as those of P0 wait.
async fn others_are_called_soon(stage: &Stage) {
    for round in 0..6 {
        stage.pass(seconds(2)).await;
        let (activity, began) = (format!("b{round}"), Instant::now());
        stage.deliver(P1, [complete(&activity)]);
        stage.eventually("the call", |s| s.engine.count(&activity) == 1).await;
        assert!(began.elapsed() < SOON, "{:?} in round {round}", began.elapsed());
    }
}

fn waits_for_the_engine(stage: &Stage) -> bool {
    stage.metric("handback_held_partitions{worker=\"0\",reason=\"asking\"} 1")
}

#[test]
fn replies_that_are_not_found_in_masses_hold_up_no_other_partition() {
    play_with(unguarded, async |stage| {
        stage.engine.on_call(finds_others);
        stage.engine.on_look(|target| Ok(terminated(target)));
        stage.log.assign(&[P1]);
        let began = Instant::now();
        stage.deliver(P0, completes(0..MANY));
        others_are_called_soon(stage).await;
        assert!(waits_for_the_engine(stage));
        stage.eventually_stored(P0, 3_000).await;
        let took = began.elapsed();
        assert!((seconds(28)..seconds(33)).contains(&took), "as the rate allows, and no turn was left out: {took:?}");
        stage.eventually("read on", |s| s.log.paused.borrow().is_empty() && !waits_for_the_engine(s)).await;
        assert_eq!(stage.log.kinds().iter().filter(|kind| **kind == OutcomeKind::WorkflowClosed).count(), MANY);
    });
}

#[test]
fn names_of_attempts_that_never_come_hold_up_no_other_partition() {
    play_with(unguarded, async |stage| {
        stage.engine.on_call(finds_others);
        stage.engine.on_look(|target| Ok(open(&activity(target), 0, PendingState::Started)));
        stage.log.assign(&[P1]);
        stage.deliver(P0, future_attempts());
        others_are_called_soon(stage).await;
        assert!(waits_for_the_engine(stage));
        assert_eq!(stage.engine.total(), 6, "nothing is called for attempts that have not begun");
    });
}

#[test]
fn a_lookup_of_another_partition_does_not_wait_behind_all_of_one() {
    play_with(unguarded, async |stage| {
        stage.engine.on_call(finds_others);
        stage.engine.on_look(|target| Ok(terminated(target)));
        stage.log.assign(&[P1]);
        stage.deliver(P0, completes(0..MANY));
        for round in 0..6 {
            stage.pass(seconds(2)).await;
            let began = Instant::now();
            stage.deliver(P1, [complete(&format!("a{}", MANY + round))]);
            stage.eventually_stored(P1, i64::try_from(round).unwrap() + 1).await;
            assert!(began.elapsed() < SOON, "{:?} in round {round}", began.elapsed());
        }
    });
}

#[test]
fn what_waits_for_lookups_is_bounded_over_all_partitions_and_leaves_room_for_one_more() {
    play_with(unguarded, async |stage| {
        stage.engine.on_call(finds_others);
        stage.engine.on_look(|target| Ok(terminated(target)));
        let many: Vec<_> = (10..40).map(|partition| PartitionId { topic: 0, partition }).collect();
        stage.log.assign(&many);
        stage.log.assign(&[P1]);
        for (n, id) in many.iter().enumerate() {
            stage.deliver(*id, completes(n * 200..(n + 1) * 200));
        }
        stage.pass(seconds(1)).await;
        let waiting = stage.engine.total() - stage.log.kinds().len();
        assert!((256..=642).contains(&waiting), "{waiting} were called and have no outcome");
        others_are_called_soon(stage).await;
    });
}

#[test]
fn a_partition_that_waits_for_lookups_is_let_go_at_once() {
    play_with(unguarded, async |stage| {
        stage.engine.on_call(finds_others);
        stage.engine.on_look(|target| Ok(terminated(target)));
        stage.log.assign(&[P1]);
        stage.deliver(P0, completes(0..MANY));
        stage.pass(seconds(3)).await;
        let (prefixes, began) = (stage.log.revoke(&[P0]), Instant::now());
        stage.let_go(&prefixes).await;
        assert!(began.elapsed() < millis(100), "{:?}", began.elapsed());
        stage.deliver(P1, completes(0..5));
        stage.eventually_stored(P1, 5).await;
        assert!(!waits_for_the_engine(stage) || began.elapsed() < SOON);
    });
}
