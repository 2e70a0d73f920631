//! Somebody sets the wall clock: nothing is forgotten, given up or kept for longer because of that.

use super::model::{Step, not_active, unavailable, unknown_domain};
use super::retry_topics::{T, TIERS, path, play, the_outcome};
use super::support::{P0, P1, Stage, complete, millis, play as play_alone, play_with, seconds, with_tiers};
use super::time::set_wall_clock_by;
use crate::wire::{OutcomeKind, names};

const HOUR: i64 = 3_600;
const DAY: i64 = 24 * HOUR;

#[test]
fn a_ledger_forgets_nothing_because_the_clock_was_set_forward() {
    play_alone(async |stage| {
        stage.deliver(P0, [complete("a1")]);
        stage.eventually_stored(P0, 1).await;
        set_wall_clock_by(2 * DAY);
        stage.pass(seconds(5)).await;
        assert!(stage.metric("handback_ledger_entries{worker=\"0\"} 1"));
        stage.deliver(P0, [complete("a1")]);
        stage.eventually_stored(P0, 2).await;
        assert_eq!(stage.log.kinds(), [OutcomeKind::Applied, OutcomeKind::Duplicate]);
        assert_eq!(stage.engine.count("a1"), 1);
        // And what it forgets by age it forgets in time.
        set_wall_clock_by(-30 * DAY);
        stage.pass(seconds(25 * 3_600)).await;
        assert!(stage.metric("handback_ledger_entries{worker=\"0\"} 0"));
    });
}

#[test]
fn a_ledger_that_is_read_after_the_clock_was_set_holds_what_it_would_hold() {
    for by in [2 * DAY, -2 * DAY] {
        play_alone(async |stage| {
            stage.deliver(P0, [complete("a1")]);
            stage.eventually_stored(P0, 1).await;
            // Another process takes over, which has begun before.
            stage.crash();
            stage.pass(seconds(1)).await;
            set_wall_clock_by(by);
            stage.log.assign(&[P0]);
            stage.read(P0, 1, 1);
            stage.deliver(P0, [complete("a1")]);
            stage.eventually_stored(P0, 2).await;
            assert_eq!(stage.log.kinds(), [OutcomeKind::Applied, OutcomeKind::Duplicate], "{by}");
            let asked = stage.log.asked.borrow().last().unwrap().since_ms;
            assert!(asked <= super::books::WRITTEN_AT, "nothing is left unread: {asked}");
        });
    }
}

/// The time until a reply that left for the first tier, 5 s, is called again, when the clock is set once it is there.
async fn waits(stage: &Stage, retry: &Stage, set_by: i64, before_it_comes: bool) -> std::time::Duration {
    stage.engine.script("a1", vec![unavailable(); 5]);
    stage.deliver(P0, [complete("a1")]);
    stage.eventually_stored(P0, 1).await;
    let began = tokio::time::Instant::now();
    if before_it_comes {
        set_wall_clock_by(set_by);
    }
    retry.deliver_retries(T[0]);
    retry.pass(millis(500)).await;
    if !before_it_comes {
        set_wall_clock_by(set_by);
    }
    stage.eventually("called again", |s| s.engine.count("a1") == 6).await;
    began.elapsed()
}

#[test]
fn a_reply_on_a_retry_topic_is_due_in_time_whatever_the_clock_does() {
    for (set_by, before_it_comes) in [(-HOUR, false), (-HOUR, true), (DAY, false), (DAY, true)] {
        play(async |stage, retry| {
            let waited = waits(stage, retry, set_by, before_it_comes).await;
            assert!((millis(4_900)..millis(6_000)).contains(&waited), "{set_by} {before_it_comes}: {waited:?}");
        });
    }
}

#[test]
fn a_parked_reply_is_not_given_up_because_the_clock_was_set_forward() {
    play(async |stage, retry| {
        stage.engine.script("a1", vec![not_active(); 6]);
        stage.deliver(P0, [complete("a1")]);
        stage.eventually_stored(P0, 1).await;
        set_wall_clock_by(2 * DAY);
        let outcome = the_outcome(retry).await;
        assert_eq!(outcome.kind, OutcomeKind::Applied, "{:?}", outcome.detail);
        assert_eq!(path(stage), [TIERS[2]; 3]);
    });
}

#[test]
fn a_parked_reply_is_given_up_at_its_age_although_the_clock_was_set_back() {
    play_with(
        |options, _| {
            with_tiers(options);
            options.max_parked = seconds(60);
        },
        async |stage| {
            let retry = stage.beside(&T);
            stage.engine.always(unknown_domain());
            stage.deliver(P0, [complete("a1")]);
            stage.eventually_stored(P0, 1).await;
            retry.deliver_retries(T[2]);
            stage.pass(seconds(1)).await;
            // First seen in the future, from then on: as old as it gets in hand, each time anew.
            set_wall_clock_by(-HOUR);
            stage.engine.on_call(|_| Step::after(seconds(35), unknown_domain()));
            let outcome = the_outcome(&retry).await;
            assert_eq!(outcome.kind, OutcomeKind::Exhausted);
            retry.running.abort();
        },
    );
}

#[test]
fn a_reply_that_was_first_seen_in_the_future_is_shown_as_seen_now() {
    play(async |stage, retry| {
        set_wall_clock_by(HOUR);
        stage.engine.script("a1", vec![unavailable(); 5]);
        stage.deliver(P0, [complete("a1")]);
        stage.eventually_stored(P0, 1).await;
        set_wall_clock_by(-HOUR);
        the_outcome(retry).await;
        let record = retry.log.outcome_records.borrow()[0].clone();
        let document: serde_json::Value = serde_json::from_slice(record.value.as_ref().unwrap()).unwrap();
        let (received, settled) = (document["received_at"].as_str().unwrap(), document["settled_at"].as_str().unwrap());
        assert!(received <= settled, "{received} {settled}");
        assert!(received < "2025-11-22T09:00", "by the clock that is right: {received}");
        let first_seen = stage.log.retries.borrow()[0].0.headers.last(names::FIRST_SEEN).unwrap().clone();
        assert!(&first_seen[..] > received.as_bytes(), "it was written by the other");
    });
}

#[test]
fn an_answer_is_not_settled_before_it_was_received() {
    play_alone(async |stage| {
        stage.log.assign(&[P1]);
        stage.engine.on_call(|_| Step::after(seconds(5), Step::Ok));
        stage.deliver(P0, [complete("a1")]);
        stage.pass(seconds(1)).await;
        set_wall_clock_by(-HOUR);
        stage.eventually_stored(P0, 1).await;
        let record = stage.log.outcome_records.borrow()[0].clone();
        let document: serde_json::Value = serde_json::from_slice(record.value.as_ref().unwrap()).unwrap();
        assert!(document["received_at"].as_str() <= document["settled_at"].as_str(), "{document}");
    });
}
