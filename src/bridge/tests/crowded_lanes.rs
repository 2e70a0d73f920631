//! Floods of replies to one activity: whatever they wait for, a reply to another activity behind them in the same partition is
//! handled within [`SOON`], and none of them is lost.

use std::time::Duration;

use tokio::time::Instant;

use super::model::{Step, not_found, open, unavailable};
use super::retry_topics::{T, TIERS, eventually, path};
use super::support::{
    DOMAIN_ID, P0, P1, Stage, by_id, complete, completed, fail, heartbeat, millis, play_with, reply, seconds, token,
    with_tiers,
};
use crate::bridge::sight::{PendingState, Sight};
use crate::bridge::{Options, Shared};
use crate::wire::{Action, Answer, OutcomeKind, Record, Target, TaskToken};

/// What nobody's reply has to wait for others beyond a call that is under way: a few turns of the worker.
const SOON: Duration = Duration::from_millis(500);

/// With retry topics, and without the ledger that would answer repeats by itself.
fn tiers(options: &mut Options, _: &mut Shared) {
    with_tiers(options);
    options.lookup.wait = seconds(15);
    (options.ledger, options.ledger_entries) = (None, false);
    // The flood guard would stop the topic, which is another limit.
    options.flood = None;
}

fn cancel(activity: &str) -> Record {
    reply(token(activity), Answer::Cancel { details: None })
}

/// A reply by id, whose domain's name nobody has to look up.
fn innocent() -> Record {
    reply(by_id("orders", "innocent", None), completed())
}

/// Delivers a flood and an innocent reply behind it. Answers how long that waited for its outcome.
async fn behind(stage: &Stage, flood: Vec<Record>) -> Duration {
    let began = Instant::now();
    let behind = i64::try_from(flood.len()).unwrap();
    stage.deliver(P0, flood.into_iter().chain([innocent()]));
    stage.eventually("the innocent one", |s| s.outcome_of(behind).is_some()).await;
    began.elapsed()
}

/// Waits until each of so many replies has an outcome, also from the retry topics.
async fn all_told(stage: &Stage, count: usize) {
    let retry = stage.beside(&T);
    eventually(&retry, "all outcomes", |s| s.log.outcomes.borrow().len() >= count).await;
    assert_eq!(stage.log.without_outcome(), []);
    retry.running.abort();
}

/// The source offsets of the calls for an activity.
fn called(stage: &Stage, activity: &str) -> Vec<usize> {
    let calls = stage.engine.calls_for(activity);
    calls.iter().map(|called| called.identity.split('/').nth(5).unwrap().parse().unwrap()).collect()
}

#[test]
fn a_reply_behind_a_hundred_cancels_that_nobody_asked_for_is_handled_soon() {
    play_with(tiers, async |stage| {
        stage.engine.on_look(|_| Ok(open("a1", 0, PendingState::Started)));
        let waited = behind(stage, (0..100).map(|_| cancel("a1")).collect()).await;
        assert!(waited < SOON, "{waited:?}");
        stage.eventually_stored(P0, 101).await;
        assert_eq!(stage.engine.looks.borrow().len(), 1, "those behind it learn what the first has learnt");
        all_told(stage, 101).await;
        let rejected = stage.log.kinds().iter().filter(|kind| **kind == OutcomeKind::Rejected).count();
        assert_eq!((rejected, path(stage).len()), (100, 100), "each of them went once");
        assert!(stage.engine.looks.borrow().len() <= 103, "{}", stage.engine.looks.borrow().len());
    });
}

#[test]
fn a_few_cancels_that_nobody_asked_for_wait_for_the_request_at_the_same_time() {
    let without_tiers = |options: &mut Options, shared: &mut Shared| {
        tiers(options, shared);
        options.tiers.clear();
    };
    play_with(without_tiers, async |stage| {
        stage.engine.on_look(|_| Ok(open("a1", 0, PendingState::Started)));
        let began = Instant::now();
        stage.deliver(P0, (0..30).map(|_| cancel("a1")));
        stage.eventually_stored(P0, 30).await;
        let took = began.elapsed();
        assert!((seconds(15)..seconds(17)).contains(&took), "each of them had `lookup.wait`: {took:?}");
    });
}

#[test]
fn a_reply_behind_a_hundred_to_an_attempt_that_never_comes_is_handled_soon() {
    play_with(tiers, async |stage| {
        stage.engine.on_look(|_| Ok(open("a1", 0, PendingState::Started)));
        let flood = (0..100).map(|_| reply(by_id("orders", "a1", Some(7)), completed()));
        let waited = behind(stage, flood.collect()).await;
        assert!(waited < SOON, "{waited:?}");
        all_told(stage, 101).await;
        let exhausted = stage.log.kinds().iter().filter(|kind| **kind == OutcomeKind::Exhausted).count();
        assert_eq!((exhausted, path(stage).len()), (100, 300), "each of them had all three retry topics");
        assert!(stage.engine.looks.borrow().len() < 200, "{}", stage.engine.looks.borrow().len());
    });
}

/// They are no flood, and may go on for ever after their activities were closed: far more of them than
/// `lookup.max_per_second` lets through, each to a workflow of its own.
#[test]
fn heartbeats_that_come_too_late_wait_for_no_crowd_of_lookups_and_delay_nobody() {
    play_with(tiers, async |stage| {
        stage.log.assign(&[P1]);
        stage.engine.on_call(|called| if called.activity == "innocent" { Step::Ok } else { not_found() });
        stage.engine.on_look(|_| Ok(Sight::Nothing));
        stage.deliver(P0, (0..3_000).map(|n| heartbeat(&format!("a{n}"))));
        stage.pass(millis(300)).await;
        let began = Instant::now();
        stage.deliver(P1, [innocent()]);
        let told = |s: &Stage| s.log.recorded.borrow().iter().any(|origin| origin.partition == 1);
        stage.eventually("the innocent one", told).await;
        assert!(began.elapsed() < SOON, "{:?}", began.elapsed());
        stage.eventually_stored(P0, 3_000).await;
        assert!(began.elapsed() < seconds(3), "{:?}", began.elapsed());
    });
}

async fn unknown_domains(stage: &Stage, count: usize) {
    stage.engine.domains.borrow_mut().remove("orders");
    let waited = behind(stage, (0..count).map(|_| complete("a1")).collect()).await;
    // The first asks for its domain's name until its tries in place are spent.
    assert!(waited < SOON, "{waited:?}");
    stage.engine.domains.borrow_mut().insert("orders", DOMAIN_ID);
    all_told(stage, count + 1).await;
}

#[test]
fn a_reply_behind_tokens_of_an_unknown_domain_is_handled_soon() {
    let listed = |options: &mut Options, shared: &mut Shared| {
        tiers(options, shared);
        options.domains = vec!["orders".to_owned()];
    };
    for count in [70, 2_000] {
        play_with(listed, async |stage| unknown_domains(stage, count).await);
    }
}

#[test]
fn a_flood_of_heartbeats_delays_no_other_activity() {
    for count in [5_000, 20_000] {
        play_with(tiers, async |stage| {
            stage.engine.on_call(|_| Step::after(millis(5), Step::Ok));
            let waited = behind(stage, (0..count).map(|_| heartbeat("a1")).collect()).await;
            assert!(waited < SOON, "{waited:?}");
            stage.eventually_stored(P0, count + 1).await;
            assert!(stage.engine.count("a1") < 100, "of those that wait only the newest is sent");
            assert!(path(stage).is_empty(), "heartbeats never leave");
        });
    }
}

/// Activity a1, attempt by attempt.
fn of_attempt(attempt: i64) -> Target {
    let token = super::support::token_bytes("a1");
    let text = String::from_utf8(token.to_vec()).unwrap();
    let text = text.replace(r#""scheduleAttempt":0"#, &format!(r#""scheduleAttempt":{attempt}"#));
    Target::Token(TaskToken::check(text.into()).unwrap())
}

#[test]
fn a_stale_heartbeat_of_an_earlier_attempt_drops_no_live_one() {
    play_with(tiers, async |stage| {
        stage.engine.script("a1", [Step::held(Step::Ok)]);
        let beat = |target: Target| reply(target, Answer::Heartbeat { details: None });
        let attempts = [1, 1, 1, 0].map(of_attempt);
        stage.deliver(P0, attempts.map(beat).into_iter().chain([beat(by_id("orders", "a1", None))]));
        stage.eventually("the first call", |s| s.engine.count("a1") == 1).await;
        stage.engine.release("a1");
        stage.eventually_stored(P0, 5).await;
        assert_eq!(called(stage, "a1"), [0, 2, 3, 4], "the live one, the stale one and the one without an attempt");
    });
}

/// The first reply fails for a while; the others would be taken.
fn fails_for(stage: &Stage, calls: usize) {
    stage.engine.script("a1", vec![unavailable(); calls]);
}

#[test]
fn replies_to_one_activity_keep_their_order_over_retry_topics() {
    play_with(tiers, async |stage| {
        let retry = stage.beside(&T);
        // In place, on the first two retry topics, and once more on the third.
        fails_for(stage, 16);
        stage.deliver(P0, [complete("a1"), fail("a1"), heartbeat("a1")]);
        stage.eventually_stored(P0, 3).await;
        // Some come when the first has moved on.
        for _ in 0..4 {
            eventually(&retry, "time", {
                let began = Instant::now();
                move |_| began.elapsed() > seconds(4)
            })
            .await;
            stage.deliver(P0, [complete("a1"), complete("b1")]);
        }
        eventually(&retry, "all outcomes", |s| s.log.outcomes.borrow().len() == 10).await;
        let answers: Vec<_> =
            stage.engine.calls_for("a1").into_iter().filter(|c| c.action != Action::Heartbeat).collect();
        let mut order: Vec<usize> =
            answers.iter().map(|called| called.identity.split('/').nth(5).unwrap().parse().unwrap()).collect();
        assert!(order.is_sorted(), "{order:?}");
        order.dedup();
        assert_eq!(order, [0, 1, 3, 5, 7, 9]);
        retry.running.abort();
    });
}

#[test]
fn a_lane_that_is_full_leaves_in_its_order() {
    play_with(tiers, async |stage| {
        let retry = stage.beside(&T);
        // In place, and on the first retry topic: where many wait, a stay is one call.
        fails_for(stage, 2);
        let waited = behind(stage, (0..500).map(|_| complete("a1")).collect()).await;
        assert!(waited < SOON, "{waited:?}");
        eventually(&retry, "all outcomes", |s| s.log.outcomes.borrow().len() == 501).await;
        let mut order = called(stage, "a1");
        assert!(order.is_sorted(), "{order:?}");
        order.dedup();
        assert_eq!(order, (0..500).collect::<Vec<_>>());
        assert_eq!(stage.log.kinds(), [OutcomeKind::Applied; 501]);
        retry.running.abort();
    });
}

#[test]
fn what_leaves_behind_a_failed_write_leaves_in_its_order() {
    play_with(tiers, async |stage| {
        let retry = stage.beside(&T);
        fails_for(stage, 5);
        stage.log.script(TIERS[0], [super::books::transient(), super::books::Act::Ack, super::books::transient()]);
        stage.deliver(P0, (0..100).map(|_| complete("a1")));
        eventually(&retry, "all outcomes", |s| s.log.outcomes.borrow().len() == 100).await;
        assert!(called(stage, "a1").is_sorted());
        retry.running.abort();
    });
}

#[test]
fn an_answer_does_not_wait_for_one_to_an_attempt_that_never_comes() {
    play_with(tiers, async |stage| {
        stage.engine.on_look(|_| Ok(open("a1", 0, PendingState::Started)));
        let never = reply(by_id("orders", "a1", Some(7)), completed());
        stage.deliver(P0, [never, complete("a1")]);
        stage.eventually_stored(P0, 2).await;
        assert_eq!((path(stage).len(), stage.log.kinds()), (1, vec![OutcomeKind::Applied]));
    });
}

#[test]
fn an_answer_to_the_same_attempt_waits_behind_one_that_has_left() {
    play_with(tiers, async |stage| {
        stage.engine.on_look(|_| Ok(Sight::Nothing));
        stage.engine.script("a1", [super::model::not_found()]);
        stage.deliver(P0, [complete("a1")]);
        stage.eventually_stored(P0, 1).await;
        stage.deliver(P0, [fail("a1"), complete("b1")]);
        stage.eventually_stored(P0, 3).await;
        assert_eq!((stage.engine.count("a1"), path(stage).len()), (1, 2));
        all_told(stage, 3).await;
        assert_eq!(called(stage, "a1"), [0, 0, 1]);
    });
}

#[test]
fn while_nothing_may_leave_a_full_lane_holds_its_partition_and_says_so() {
    play_with(tiers, async |stage| {
        let line = |count: u8| format!("handback_held_partitions{{worker=\"0\",reason=\"lane\"}} {count}");
        // Another worker of the process finds the engine unwell.
        let unwell = stage.shared.ailing.clone();
        unwell.tell(true);
        stage.engine.script("a1", [Step::held(Step::Ok)]);
        stage.deliver(P0, (0..100).map(|_| complete("a1")).chain([innocent()]));
        stage.eventually("held", |s| s.metric(&line(1))).await;
        stage.pass(seconds(5)).await;
        assert!(stage.log.paused.borrow().contains(&P0) && path(stage).is_empty());
        stage.engine.release("a1");
        stage.eventually_stored(P0, 101).await;
        assert!(stage.metric(&line(0)) && path(stage).is_empty());
        drop(unwell);
    });
}
