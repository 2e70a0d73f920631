//! Replies that leave for a retry topic for what is not their own fault, and what must never leave.

use bytes::Bytes;

use super::books::{Act, DEAD_LETTERS, Event};
use super::model::{Step, busy, not_active, not_found, unavailable, unknown_domain};
use super::retry_topics::{T, TIERS, eventually, path, play, the_outcome};
use super::support::{
    P0, Stage, WITHOUT_LEDGER, complete, completes, fail, heartbeat, millis, on_topics, play_with, seconds, with_tiers,
};
use crate::bridge::seams::{CallError, Probed, Verdict};
use crate::bridge::sight::Sight;
use crate::wire::{OutcomeKind, names};

#[test]
fn a_domain_that_fails_over_parks_its_replies_on_the_last_tier_uncounted() {
    play(async |stage, retry| {
        *stage.engine.history.borrow_mut() = Probed::Elsewhere("domain is active elsewhere".to_owned());
        stage.engine.script("a1", vec![not_active(); 5]);
        stage.deliver(P0, [complete("a1")]);
        stage.eventually_stored(P0, 1).await;
        assert!(stage.reasons().contains("not active in this cluster"), "also while it is parked: {}", stage.reasons());
        let outcome = the_outcome(retry).await;
        assert_eq!((outcome.kind, outcome.attempts), (OutcomeKind::Applied, 1));
        assert_eq!(path(stage), [TIERS[2], TIERS[2]]);
        *stage.engine.history.borrow_mut() = Probed::Well;
        stage.eventually("ready once the domain answers", |s| s.shared.health.is_ready()).await;
    });
}

#[test]
fn a_domain_that_nobody_mends_is_exhausted_at_its_age() {
    play_with(
        |options, _| {
            with_tiers(options);
            options.max_parked = seconds(60);
        },
        async |stage| {
            let retry = stage.beside(&T);
            stage.engine.always(unknown_domain());
            stage.deliver(P0, [complete("a1")]);
            let outcome = the_outcome(&retry).await;
            assert_eq!((outcome.kind, outcome.attempts), (OutcomeKind::Exhausted, 0), "none of its own");
            assert_eq!(path(stage), [TIERS[2]; 2]);
            retry.running.abort();
        },
    );
}

#[test]
fn a_busy_engine_costs_no_attempts_and_no_reply() {
    play(async |stage, retry| {
        stage.engine.script("a1", vec![busy(); 22]);
        stage.deliver(P0, [complete("a1")]);
        let outcome = the_outcome(retry).await;
        assert_eq!((outcome.kind, outcome.attempts), (OutcomeKind::Applied, 3));
        assert_eq!(path(stage), [TIERS[0], TIERS[1], TIERS[2], TIERS[2]]);
    });
}

#[test]
fn a_failover_costs_a_reply_none_of_its_tries() {
    play(async |stage, retry| {
        stage.engine.script("a1", [not_active(), not_active(), not_found(), not_found(), not_found(), not_found()]);
        stage.engine.on_look(|_| Ok(Sight::Nothing));
        stage.deliver(P0, [complete("a1")]);
        assert_eq!(the_outcome(retry).await.kind, OutcomeKind::Unknown);
        assert_eq!(path(stage), [TIERS[2], TIERS[0], TIERS[1], TIERS[2]]);
    });
}

#[test]
fn one_busy_answer_among_failures_is_not_the_replys_fault() {
    play(async |stage, retry| {
        stage.engine.script("a1", [busy(), busy(), busy(), busy(), unavailable()]);
        stage.deliver(P0, [complete("a1")]);
        let outcome = the_outcome(retry).await;
        assert_eq!((outcome.kind, outcome.attempts), (OutcomeKind::Applied, 1));
        assert!(stage.metric("handback_postponed_total{cause=\"busy\"} 1"));
    });
}

#[test]
fn a_domain_that_is_elsewhere_keeps_the_process_unready_after_its_replies_have_left() {
    play(async |stage, _| {
        *stage.engine.history.borrow_mut() = Probed::Elsewhere("domain is active elsewhere".to_owned());
        stage.engine.always(not_active());
        stage.deliver(P0, [complete("a1")]);
        stage.eventually_stored(P0, 1).await;
        stage.pass(seconds(20)).await;
        assert!(stage.reasons().contains("not active in this cluster"), "{}", stage.reasons());
        *stage.engine.history.borrow_mut() = Probed::Well;
        stage.eventually("ready", |s| s.shared.health.is_ready()).await;
    });
}

#[test]
fn while_another_worker_finds_the_engine_unwell_nothing_leaves() {
    play(async |stage, _| {
        let other = stage.shared.ailing.clone();
        other.tell(true);
        stage.engine.script("a1", vec![unavailable(); 7]);
        stage.deliver(P0, [complete("a1")]);
        stage.pass(seconds(15)).await;
        assert!(path(stage).is_empty() && stage.engine.count("a1") > 5, "tried on, and not counted");
        other.tell(false);
        stage.eventually_stored(P0, 1).await;
    });
}

#[test]
fn an_outage_before_the_names_of_domains_are_known_drains_no_topic() {
    play_with(
        |options, _| {
            with_tiers(options);
            options.domains = vec!["orders".to_owned()];
        },
        async |stage| {
            let error = |verdict| CallError { verdict, status: "UNAVAILABLE", message: "gone".to_owned() };
            *stage.engine.untold.borrow_mut() = Some(error(Verdict::Transient { busy: false }));
            *stage.engine.history.borrow_mut() = Probed::Unwell("gone".to_owned());
            stage.deliver(P0, completes(0..5));
            stage.pass(seconds(100)).await;
            assert!(path(stage).is_empty(), "{:?}", path(stage));
            *stage.engine.untold.borrow_mut() = None;
            *stage.engine.history.borrow_mut() = Probed::Well;
            stage.eventually_stored(P0, 5).await;
            assert_eq!(stage.log.kinds(), [OutcomeKind::Applied; 5]);
        },
    );
}

#[test]
fn replies_that_wait_for_one_domain_do_not_stop_the_others() {
    play_with(
        |options, _| {
            with_tiers(options);
            options.max_in_flight = 8;
        },
        async |stage| {
            (0..40).for_each(|n| stage.engine.script(&format!("a{n}"), [not_active()]));
            stage.deliver(P0, completes(0..40));
            stage.deliver(P0, completes(100..120));
            let began = tokio::time::Instant::now();
            stage.eventually("the good ones", |s| s.log.outcomes.borrow().len() == 20).await;
            assert!(began.elapsed() < millis(200), "{:?}", began.elapsed());
            assert!(path(stage).iter().all(|topic| topic == TIERS[0]), "it had no fair try yet");
            stage.eventually("all moved or applied", |s| s.log.stored(P0) == Some(60)).await;
            assert!(stage.metric("handback_postponed_total{cause=\"crowded\"} 32"));
        },
    );
}

#[test]
fn heartbeats_never_come_to_a_retry_topic() {
    play(async |stage, _| {
        stage.engine.script("a1", vec![unavailable(); 5]);
        stage.engine.script("a2", vec![not_active(); 5]);
        stage.engine.script("a3", vec![not_found(); 5]);
        stage.engine.on_look(|_| Ok(Sight::Nothing));
        stage.deliver(P0, ["a1", "a2", "a3"].map(heartbeat));
        stage.eventually_stored(P0, 3).await;
        assert_eq!(stage.log.kinds(), [OutcomeKind::Unknown], "news are told, and nothing else");
        assert!(path(stage).is_empty());
    });
}

#[test]
fn a_record_on_a_retry_topic_skips_the_ledger_and_enters_it() {
    play(async |stage, retry| {
        stage.engine.script("a1", vec![unavailable(); 5]);
        stage.deliver(P0, [complete("a1")]);
        stage.eventually_stored(P0, 1).await;
        assert_eq!(the_outcome(retry).await.kind, OutcomeKind::Applied);
        assert!(retry.log.asked.borrow().is_empty());
        assert_eq!(retry.log.outcome_records.borrow()[0].headers.count(names::LEDGER), 1);
        // Whoever owns the partition next reads it back.
        stage.log.lose(&[P0]);
        stage.log.assign(&[P0]);
        stage.deliver(P0, [complete("a1"), fail("a1")]);
        stage.eventually_stored(P0, 3).await;
        assert_eq!(stage.log.kinds(), [OutcomeKind::Applied, OutcomeKind::Duplicate, OutcomeKind::Conflict]);
        assert_eq!(stage.engine.count("a1"), 6);
    });
}

#[test]
fn what_handback_did_not_write_on_a_retry_topic_becomes_a_dead_letter() {
    play(async |stage, retry| {
        let foreign = complete("a1");
        let out = on_topics(TIERS[0], &foreign);
        retry.log.retries.borrow_mut().push((out, 0));
        eventually(retry, "an outcome", |s| s.log.stored(T[0]) == Some(1)).await;
        let outcome = retry.log.outcomes.borrow()[0].clone();
        assert_eq!((outcome.kind, outcome.reason.as_deref()), (OutcomeKind::Rejected, Some("bad_retry_state")));
        assert_eq!((&*outcome.source.topic, outcome.source.offset), (TIERS[0], 0), "its own place");
        assert_eq!(stage.log.dead_letters.borrow()[0].value, foreign.value);
        assert_eq!(stage.engine.total(), 0);
    });
}

#[test]
fn a_revoked_reply_that_was_about_to_leave_is_not_stored() {
    play(async |stage, _| {
        stage.engine.script("a1", vec![unavailable(); 5]);
        stage.log.always(TIERS[0], Act::Held);
        stage.deliver(P0, [complete("a1")]);
        stage.eventually("on its way", |s| s.log.position(&Event::Writing(TIERS[0].to_owned(), 0)).is_some()).await;
        let prefixes = stage.log.revoke(&[P0]);
        let stored = stage.let_go(&prefixes).await;
        assert_eq!(stored, [(P0, 0)], "not acknowledged: it comes again at the next owner");
    });
}

#[test]
fn without_retry_topics_a_spent_reply_waits_in_place() {
    play_with(WITHOUT_LEDGER, async |stage| {
        stage.engine.always(unavailable());
        stage.deliver(P0, [complete("a1")]);
        stage.pass(seconds(100)).await;
        assert!(path(stage).is_empty() && stage.log.position(&Event::Writing(DEAD_LETTERS.to_owned(), 0)).is_none());
    });
}

#[test]
fn tokens_of_another_cluster_are_a_flood_before_they_have_gone_through_the_retry_topics() {
    play_with(
        |options, _| {
            with_tiers(options);
            options.max_in_flight = 8;
        },
        async |stage| {
            stage.engine.always(not_found());
            stage.engine.on_look(|_| Ok(Sight::Nothing));
            stage.deliver(P0, completes(0..1000));
            stage.eventually("stopped", |s| s.reasons().contains("of them unknown")).await;
            stage.pass(seconds(20)).await;
            let moved = path(stage).len();
            assert!((50..100).contains(&moved), "the limit, and what was in hand: {moved}");
        },
    );
}

#[test]
fn what_is_not_due_stops_nothing_that_is() {
    play_with(
        |options, _| with_tiers(options),
        async |stage| {
            let retry = stage.beside_with(&T, |options| options.max_in_flight_bytes = 10_000);
            stage.engine.always(not_active());
            stage.deliver(P0, completes(0..100));
            stage.eventually_stored(P0, 100).await;
            let waits = |s: &Stage| s.metric("handback_held_partitions{worker=\"1\",reason=\"not_due\"} 1");
            eventually(&retry, "held until due", waits).await;
            let held: usize =
                stage.log.retries.borrow().iter().map(|(record, _)| record.value.as_ref().map_or(0, Bytes::len)).sum();
            assert!(held > 10_000, "{held}");
            let began = tokio::time::Instant::now();
            stage.engine.script("b", vec![unavailable(); 5]);
            stage.engine.script("b", [Step::Ok]);
            stage.deliver(P0, [complete("b")]);
            eventually(&retry, "handled when it is due", |s| s.log.outcomes.borrow().len() == 1).await;
            assert!(began.elapsed() < seconds(10), "{:?}", began.elapsed());
            assert!(!stage.reasons().contains("held back"), "{}", stage.reasons());
            retry.running.abort();
        },
    );
}
