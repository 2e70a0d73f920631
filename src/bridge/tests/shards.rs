//! A part of the engine that is unwell, or a worker with little to do, keeps nothing from going on.

use super::books::REPLIES;
use super::model::{Step, unavailable};
use super::retry_topics::{T, TIERS, eventually, path, the_outcome};
use super::support::{P0, Stage, complete, completes, play_with, seconds, wall_clock, with_tiers};
use crate::bridge::seams::{Probed, Wiring};
use crate::wire::{Origin, OutcomeKind, RetryState};

/// Its workflow's calls fail, and so do probes of it.
fn sicken(stage: &Stage, activity: &str, calls: usize) {
    stage.engine.script(activity, vec![unavailable(); calls]);
    stage.engine.sick.borrow_mut().insert(format!("w-{activity}"));
}

/// A reply that failed before stands on the first retry topic.
fn postponed(stage: &Stage, activity: &str, offset: i64) {
    let mut record = complete(activity);
    record.origin = Origin { topic: REPLIES.into(), partition: 0, offset, timestamp_ms: None };
    let state = RetryState {
        attempts: 5,
        passed: 1,
        first_seen_ms: wall_clock(),
        not_before_ms: wall_clock(),
        last_error: "UNAVAILABLE".to_owned(),
    };
    stage.log.retries.borrow_mut().push((state.to_record(&record, TIERS[0].into()), wall_clock()));
}

#[test]
fn one_shard_that_is_unwell_does_not_stop_a_partition() {
    play_with(
        |options, _| {
            with_tiers(options);
            options.max_gap = 100;
        },
        async |stage| {
            sicken(stage, "a0", 10_000);
            stage.deliver(P0, completes(0..1_000));
            stage.eventually("all others", |s| s.log.outcomes.borrow().len() >= 999).await;
            stage.eventually_stored(P0, 1_000).await;
            assert!(stage.metric("handback_postponed_total{cause=\"shard_unwell\"} 1"));
        },
    );
}

#[test]
fn that_others_are_answered_says_that_the_engine_is_well_where_no_probe_is_answered() {
    play_with(
        |options, _| {
            with_tiers(options);
            options.max_gap = 100;
        },
        async |stage| {
            stage.engine.script("a0", vec![unavailable(); 10_000]);
            *stage.engine.history.borrow_mut() = Probed::Unwell("probes are not served".to_owned());
            stage.deliver(P0, completes(0..50));
            stage.pass(seconds(15)).await;
            assert_eq!(stage.log.stored(P0), None, "nobody else was answered since it failed");
            // While it is tried again now and then, others are.
            for number in 50..250 {
                stage.deliver(P0, completes([number]));
                stage.pass(seconds(1)).await;
            }
            stage.eventually("all others", |s| s.log.outcomes.borrow().len() >= 249).await;
            stage.eventually_stored(P0, 250).await;
        },
    );
}

#[test]
fn an_unwell_shard_costs_a_reply_none_of_its_tries() {
    play_with(
        |options, _| with_tiers(options),
        async |stage| {
            let retry = stage.beside(&T);
            // Five calls in place and on each of the first five stays on a retry topic: twice as many as it has tries.
            sicken(stage, "a1", 30);
            stage.deliver(P0, [complete("a1")]);
            let outcome = the_outcome(&retry).await;
            assert_eq!((outcome.kind, outcome.attempts), (OutcomeKind::Applied, 1));
            assert_eq!(path(stage), [TIERS[0], TIERS[1], TIERS[2], TIERS[2], TIERS[2], TIERS[2]]);
            retry.running.abort();
        },
    );
}

#[test]
fn a_shard_that_asks_for_less_load_keeps_no_reply_in_place() {
    play_with(
        |options, _| with_tiers(options),
        async |stage| {
            stage.engine.script("a1", vec![unavailable(); 5]);
            *stage.engine.history.borrow_mut() = Probed::Busy("shard rps exceeded".to_owned());
            stage.deliver(P0, [complete("a1")]);
            stage.eventually_stored(P0, 1).await;
            assert!(stage.metric("handback_postponed_total{cause=\"busy\"} 1"));
        },
    );
}

#[test]
fn an_idle_worker_keeps_no_reply_from_the_next_retry_topic() {
    play_with(
        |options, _| with_tiers(options),
        async |stage| {
            *stage.engine.wiring.borrow_mut() = [Wiring::Unreachable("refused".to_owned()), Wiring::Sound].into();
            // The engine has come up long ago; no reply ever comes to this worker.
            stage.pass(seconds(60)).await;
            assert!(stage.shared.health.is_ready(), "{}", stage.reasons());
            postponed(stage, "a1", 0);
            stage.engine.script("a1", vec![unavailable(); 1_000]);
            let retry = stage.beside(&T);
            eventually(&retry, "it leaves for the second tier", |s| path(s).len() >= 2).await;
            retry.running.abort();
        },
    );
}

#[test]
fn a_worker_whose_only_reply_fails_keeps_neither_it_nor_others_after_an_outage() {
    play_with(
        |options, _| with_tiers(options),
        async |stage| {
            *stage.engine.wiring.borrow_mut() = [Wiring::Unreachable("refused".to_owned()), Wiring::Sound].into();
            stage.engine.script("a0", vec![unavailable(); 1_000]);
            stage.deliver(P0, [complete("a0")]);
            stage.eventually_stored(P0, 1).await;
            assert_eq!(path(stage), [TIERS[0]]);
        },
    );
}

#[test]
fn a_retry_worker_that_has_only_what_fails_keeps_no_reply_in_place() {
    play_with(
        |options, _| {
            with_tiers(options);
            options.max_gap = 100;
        },
        async |stage| {
            // More than open its breaker, and all of one shard.
            for number in 0..20 {
                let activity = format!("s{number}");
                sicken(stage, &activity, 100_000);
                postponed(stage, &activity, number);
            }
            let retry = stage.beside(&T);
            let open = "handback_breaker_state{worker=\"1\"} 2";
            eventually(&retry, "its breaker open", |s| s.metric(open)).await;
            sicken(stage, "a0", 100_000);
            stage.deliver(P0, completes(0..1_000));
            eventually(&retry, "all others", |s| s.log.kinds().len() >= 999).await;
            stage.eventually_stored(P0, 1_000).await;
            retry.running.abort();
        },
    );
}

#[test]
fn while_the_engine_answers_probes_and_no_call_nothing_is_counted() {
    play_with(
        |options, _| with_tiers(options),
        async |stage| {
            let retry = stage.beside(&T);
            stage.engine.always(unavailable());
            stage.deliver(P0, completes(0..20));
            stage.pass(seconds(300)).await;
            assert!(path(stage).is_empty(), "{:?}", path(stage));
            stage.engine.always(Step::Ok);
            stage.eventually_stored(P0, 20).await;
            assert_eq!(stage.log.kinds(), [OutcomeKind::Applied; 20]);
            retry.running.abort();
        },
    );
}
