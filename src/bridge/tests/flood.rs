//! A flood of dead letters stops its topic, and nothing is lost by it.

use super::books::{Act, DEAD_LETTERS};
use super::model::not_found;
use super::support::{P0, P1, Stage, complete, completes, fail, heartbeat, play_with, rubbish, seconds};
use crate::bridge::seams::PartitionId;
use crate::bridge::sight::{CloseStatus, History, Past, Sight, WorkflowSight};
use crate::bridge::{Options, Shared};
use crate::wire::{OutcomeKind, Record, Target};

/// A partition of another topic.
pub(super) const OTHER: PartitionId = PartitionId { topic: 1, partition: 5 };

/// The least that stops a topic, by default.
pub(super) const LIMIT: usize = 50;

/// Replies of one partition that ask the engine at most, with eight places for calls.
const IN_HAND: usize = 11;

/// The same with the usual limits.
const USUALLY_IN_HAND: usize = 321;

pub(super) const NEVER_STOPPED: &str = "handback_flood_stops_total 0";

/// Two topics, few records in hand, and stops that are short enough for a test.
pub(super) fn two_topics(options: &mut Options, _: &mut Shared) {
    options.max_in_flight = 8;
    options.reply_topics.push("other-replies".to_owned());
    options.limits.push(options.limits[0].clone());
    let flood = options.flood.as_mut().unwrap();
    flood.max_pause = flood.pause;
}

pub(super) fn bad_tokens(count: usize) -> impl Iterator<Item = Record> {
    std::iter::repeat_with(|| rubbish(br#"{"task_token": "Z2FyYmFnZQ==", "result": 1}"#)).take(count)
}

pub(super) fn letters(stage: &Stage) -> usize {
    stage.log.dead_letters.borrow().len()
}

pub(super) fn is_paused(stage: &Stage, id: PartitionId) -> bool {
    stage.log.paused.borrow().contains(&id)
}

/// More bad tokens than it takes.
pub(super) async fn flood(stage: &Stage, count: usize) {
    stage.deliver(P0, bad_tokens(count));
    stage.eventually("stopped", |s| s.reasons().contains("activity-replies is stopped")).await;
    stage.eventually("paused", |s| is_paused(s, P0)).await;
}

#[test]
fn a_flood_of_bad_tokens_stops_the_topic_and_not_the_others() {
    play_with(two_topics, async |stage| {
        stage.log.assign(&[P1]);
        stage.log.assign(&[OTHER]);
        flood(stage, 1000).await;
        stage.deliver(P1, completes(0..20));
        stage.deliver(OTHER, (0..200).map(|number| complete(&format!("b{number}"))));
        stage.eventually_stored(OTHER, 200).await;
        stage.pass(seconds(10)).await;
        assert_eq!(stage.engine.total(), 200, "of the stopped topic nothing is taken up, whatever the partition");
        assert!(is_paused(stage, P0) && is_paused(stage, P1) && !is_paused(stage, OTHER));
        let stored = stage.log.stored(P0).unwrap();
        assert_eq!(usize::try_from(stored).unwrap(), letters(stage), "what was in hand is settled, and no more");
        assert!(stage.metric("handback_flood_stops_total 1"));
        assert!(stage.metric("handback_flood_state{topic=\"activity-replies\",worker=\"0\"} 2"));
        assert!(stage.metric("handback_flood_state{topic=\"other-replies\",worker=\"0\"} 0"));
    });
}

#[test]
fn why_a_topic_is_stopped_is_told_with_a_record_and_a_remedy() {
    play_with(two_topics, async |stage| {
        stage.deliver(P0, [complete("a0")]);
        stage.eventually_stored(P0, 1).await;
        stage.deliver(P0, (0..10).map(|_| rubbish(b"text")));
        flood(stage, 100).await;
        let reasons = stage.reasons();
        let [(key, text)] = &stage.shared.health.reasons()[..] else { panic!("{reasons}") };
        assert_eq!(key, "flood/activity-replies/0");
        for part in [
            "activity-replies is stopped for 30s: of its last 51 replies within 1m, 50 became dead letters or left",
            "40 of them bad_token, the last one activity-replies/0/50.",
            "Look at that record on activity-replies-dlq",
            "up to 10 are tried",
            "flood.enabled = false",
        ] {
            assert!(text.contains(part), "{part}\n{text}");
        }
        assert!(stage.log.sent.borrow().contains_key(&(P0, 50)));
    });
}

#[test]
fn nothing_more_is_dead_lettered_than_the_limit_and_what_was_in_hand() {
    play_with(two_topics, async |stage| {
        // The log is slow: what waits to be written is in hand, and much of it may be.
        stage.log.always(DEAD_LETTERS, Act::AckAfter(seconds(5)));
        stage.deliver(P0, bad_tokens(2000));
        stage.eventually("dead letters", |s| letters(s) >= LIMIT).await;
        stage.pass(seconds(20)).await;
        assert_eq!(letters(stage), LIMIT);
    });
}

#[test]
fn with_the_usual_limits_a_flood_lets_through_what_is_in_hand() {
    let let_through = |unknown: bool| {
        let mut count = 0;
        play_with(
            |_, _| {},
            async |stage| {
                stage.engine.always(not_found());
                stage.engine.on_look(|_| Ok(Sight::Nothing));
                match unknown {
                    true => stage.deliver(P0, completes(0..5000)),
                    false => stage.deliver(P0, bad_tokens(5000)),
                };
                stage.eventually("stopped", |s| !s.shared.health.is_ready()).await;
                stage.pass(seconds(25)).await;
                count = letters(stage);
            },
        );
        count
    };
    let (bad, unknown) = (let_through(false), let_through(true));
    println!("let through: {bad} bad tokens, {unknown} unknown");
    // What is in hand counts as good until it is known: as many become dead letters as are in hand then.
    assert_eq!(bad, LIMIT, "known at once");
    assert!((LIMIT..=2 * USUALLY_IN_HAND).contains(&unknown), "{unknown}");
}

#[test]
fn of_a_flood_that_was_held_back_no_more_is_taken_up_at_once_than_may_ask_the_engine() {
    play_with(
        |_, _| {},
        async |stage| {
            stage.engine.always(not_found());
            stage.engine.on_look(|_| Ok(Sight::Nothing));
            stage.log.mute.set(true);
            stage.log.assign(&[P1]);
            stage.deliver(P1, completes(0..5000));
            stage.pass(seconds(1)).await;
            let ask = *stage.log.asked.borrow().last().unwrap();
            stage.log.tell_ledger(ask);
            stage.eventually("stopped", |s| !s.shared.health.is_ready()).await;
            stage.pass(seconds(25)).await;
            assert!((LIMIT..=2 * USUALLY_IN_HAND).contains(&letters(stage)), "{}", letters(stage));
        },
    );
}

#[test]
fn tokens_of_another_cluster_are_a_flood() {
    play_with(two_topics, async |stage| {
        stage.engine.always(not_found());
        stage.engine.on_look(|_| Ok(Sight::Nothing));
        stage.deliver(P0, completes(0..1000));
        stage.eventually("stopped", |s| s.reasons().contains("of them unknown")).await;
        stage.pass(seconds(20)).await;
        assert!((LIMIT..=LIMIT + IN_HAND).contains(&letters(stage)), "{}", letters(stage));
    });
}

#[test]
fn duplicates_and_closed_workflows_are_no_flood() {
    play_with(two_topics, async |stage| {
        stage.deliver(P0, completes(0..10));
        stage.eventually_stored(P0, 10).await;
        stage.deliver(P0, (0..200).map(|number| complete(&format!("a{}", number % 10))));
        stage.deliver(P0, (0..200).map(|number| fail(&format!("a{}", number % 10))));
        stage.eventually_stored(P0, 410).await;
        stage.engine.always(not_found());
        stage.engine.on_look(|target| {
            let Target::Token(token) = target else { unreachable!("all replies are by token") };
            let activity_id = token.claims().activity_id.to_owned();
            let past = Past { schedule_id: 5, activity_id, attempt: Some(0), last_failure: None, closing: None };
            let history = Some(History { activities: vec![past], cut_short: None });
            let closed = Some(CloseStatus::Terminated);
            Ok(Sight::Workflow(WorkflowSight { closed, history, ..WorkflowSight::default() }))
        });
        stage.deliver(P0, completes(1000..1200));
        stage.eventually_stored(P0, 610).await;
        let count = |kind| stage.log.kinds().iter().filter(|seen| **seen == kind).count();
        use OutcomeKind::{Conflict, Duplicate, WorkflowClosed};
        assert_eq!([count(Duplicate), count(Conflict), count(WorkflowClosed)], [200; 3]);
        assert_eq!(letters(stage), 400);
        assert!(stage.metric(NEVER_STOPPED) && stage.shared.health.is_ready());
    });
}

#[test]
fn some_rubbish_among_many_good_replies_stops_nothing() {
    play_with(two_topics, async |stage| {
        let mixed = (0..1000).flat_map(|number| match number % 3 {
            0 => bad_tokens(1).collect(),
            _ => completes([number]),
        });
        stage.deliver(P0, mixed);
        stage.eventually_stored(P0, 1000).await;
        assert_eq!(letters(stage), 334);
        assert!(stage.metric(NEVER_STOPPED));
    });
}

#[test]
fn heartbeats_that_leave_no_outcome_are_good_replies() {
    play_with(two_topics, async |stage| {
        stage.deliver(P0, (0..100).map(|number| heartbeat(&format!("b{number}"))));
        stage.eventually_stored(P0, 100).await;
        assert!(stage.log.outcomes.borrow().is_empty());
        stage.deliver(P0, bad_tokens(LIMIT + 20));
        stage.eventually_stored(P0, 170).await;
        assert!(stage.metric(NEVER_STOPPED), "70 of 170");
    });
}

#[test]
fn a_handful_of_rubbish_stops_nothing() {
    play_with(two_topics, async |stage| {
        stage.deliver(P0, bad_tokens(LIMIT - 1));
        stage.eventually_stored(P0, 49).await;
        stage.pass(seconds(60)).await;
        stage.deliver(P0, bad_tokens(LIMIT - 1));
        stage.eventually_stored(P0, 98).await;
        assert!(stage.metric(NEVER_STOPPED));
    });
}

#[test]
fn without_the_guard_everything_is_dead_lettered() {
    play_with(
        |options, _| options.flood = None,
        async |stage| {
            stage.deliver(P0, bad_tokens(1000));
            stage.eventually_stored(P0, 1000).await;
            assert!(letters(stage) == 1000 && stage.metric(NEVER_STOPPED));
        },
    );
}
