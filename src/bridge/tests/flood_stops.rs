//! What becomes of a topic that a flood has stopped: it is tried, flows again, and waits for nobody at a rebalance or a stop.

use super::flood::{LIMIT, OTHER, bad_tokens, flood, is_paused, letters, two_topics};
use super::model::{Step, unavailable};
use super::support::{P0, P1, Stage, completes, millis, play_with, seconds};
use crate::bridge::seams::{PartitionId, Probed};
use crate::bridge::{Ending, Options, Shared};

#[test]
fn a_stopped_topic_tries_again_and_flows_when_the_rubbish_is_over() {
    play_with(two_topics, async |stage| {
        flood(stage, 75).await;
        stage.deliver(P0, completes(0..300));
        stage.pass(seconds(20)).await;
        let before = letters(stage);
        stage.pass(seconds(15)).await;
        assert!((before + 1..=before + 10).contains(&letters(stage)), "a trial, all of it rubbish, and no more");
        assert!(!stage.shared.health.is_ready() && is_paused(stage, P0), "stopped anew");
        assert!(stage.metric("handback_flood_stops_total 2"));
        stage.eventually("all rubbish", |s| letters(s) == 75).await;
        stage.eventually_stored(P0, 375).await;
        stage.eventually("ready", |s| s.shared.health.is_ready()).await;
        assert!(stage.log.paused.borrow().is_empty());
        assert!(stage.metric("handback_flood_state{topic=\"activity-replies\",worker=\"0\"} 0"));
        assert_eq!((stage.engine.total(), letters(stage)), (300, 75), "everything once");
    });
}

#[test]
fn a_topic_that_is_silent_after_a_flood_is_ready_again() {
    play_with(two_topics, async |stage| {
        flood(stage, LIMIT).await;
        stage.pass(seconds(31)).await;
        assert!(!is_paused(stage, P0), "read again, to be tried");
        assert!(!stage.shared.health.is_ready(), "and not trusted yet");
        stage.eventually("ready", |s| s.shared.health.is_ready()).await;
        stage.deliver(P0, completes(0..100));
        stage.eventually_stored(P0, 150).await;
    });
}

#[test]
fn a_rebalance_while_stopped_loses_nothing() {
    play_with(two_topics, async |stage| {
        flood(stage, 60).await;
        stage.pass(seconds(1)).await;
        let stored = stage.log.stored(P0).unwrap();
        let prefixes = stage.log.revoke(&[P0]);
        let began = tokio::time::Instant::now();
        assert_eq!(stage.let_go(&prefixes).await, [(P0, stored)], "nothing in hand, nothing to wait for");
        assert!(began.elapsed() < seconds(1));
        let before = letters(stage);
        stage.log.assign(&[P0, P1]);
        stage.pass(millis(1)).await;
        assert!(is_paused(stage, P0) && is_paused(stage, P1), "from the start, and not once it is looked after");
        stage.read(P0, stored, 60);
        stage.deliver(P1, completes(0..50));
        stage.pass(seconds(20)).await;
        assert_eq!((letters(stage), stage.engine.total()), (before, 0), "stopped as before");
        stage.eventually_stored(P0, 60).await;
        stage.eventually_stored(P1, 50).await;
        assert_eq!((letters(stage), stage.engine.total()), (60, 50), "everything, and once");
        stage.eventually("read again", |s| s.log.paused.borrow().is_empty() && s.shared.health.is_ready()).await;
    });
}

#[test]
fn one_partition_of_rubbish_does_not_speak_for_all_in_a_trial() {
    play_with(two_topics, async |stage| {
        let good: Vec<_> = (1..5).map(|partition| PartitionId { topic: 0, partition }).collect();
        stage.log.assign(&good);
        flood(stage, 1000).await;
        for (number, id) in good.iter().enumerate() {
            stage.deliver(*id, completes(number * 200..(number + 1) * 200));
        }
        stage.pass(seconds(35)).await;
        assert!(stage.metric("handback_flood_stops_total 1"), "two of ten were rubbish: below the share");
        for id in good {
            stage.eventually_stored(id, 200).await;
        }
    });
}

#[test]
fn a_trial_of_what_comes_newly_is_made_with_all_partitions_too() {
    play_with(two_topics, async |stage| {
        let good: Vec<_> = (1..4).map(|partition| PartitionId { topic: 0, partition }).collect();
        stage.log.assign(&good);
        flood(stage, LIMIT).await;
        stage.eventually("the trial", |s| !is_paused(s, P0)).await;
        stage.deliver(P0, bad_tokens(20));
        for (number, id) in good.iter().enumerate() {
            stage.deliver(*id, completes(number * 5..(number + 1) * 5));
        }
        stage.eventually_stored(P0, 70).await;
        assert!(stage.metric("handback_flood_stops_total 1"));
    });
}

#[test]
fn a_trial_whose_partition_leaves_is_made_with_others() {
    let four = |options: &mut Options, shared: &mut Shared| {
        two_topics(options, shared);
        options.flood.as_mut().unwrap().trial = 4;
    };
    play_with(four, async |stage| {
        stage.log.assign(&[P1]);
        flood(stage, LIMIT).await;
        stage.log.lose(&[P0]);
        // What is tried waits, too few to open the breaker, and leaves before anything is known of it.
        (0..4).for_each(|number| stage.engine.script(&format!("a{number}"), vec![unavailable(); 50]));
        stage.deliver(P1, completes(0..40));
        let tried = |s: &Stage| (0..4).all(|number| s.engine.count(&format!("a{number}")) > 0);
        stage.eventually("the trial", tried).await;
        stage.log.lose(&[P1]);
        (0..4).for_each(|number| stage.engine.forget(&format!("a{number}")));
        let began = tokio::time::Instant::now();
        stage.log.assign(&[P1]);
        stage.read(P1, 0, 40);
        stage.eventually_stored(P1, 40).await;
        assert!(began.elapsed() < seconds(10), "not only once the window has passed");
        stage.eventually("ready", |s| s.shared.health.is_ready()).await;
    });
}

#[test]
fn a_topic_stays_stopped_when_the_engine_is_well_again() {
    play_with(two_topics, async |stage| {
        stage.log.assign(&[OTHER]);
        flood(stage, 200).await;
        *stage.engine.history.borrow_mut() = Probed::Unwell("down".to_owned());
        stage.engine.always(unavailable());
        stage.deliver(OTHER, completes(0..20));
        stage.eventually("the breaker open", |s| is_paused(s, OTHER)).await;
        *stage.engine.history.borrow_mut() = Probed::Well;
        stage.engine.always(Step::Ok);
        let before = letters(stage);
        stage.eventually_stored(OTHER, 20).await;
        stage.eventually("the others read", |s| !is_paused(s, OTHER)).await;
        assert!(is_paused(stage, P0) && letters(stage) == before);
        stage.eventually("tried in the end", |s| letters(s) > before).await;
    });
}

#[test]
fn a_ledger_that_is_read_while_its_topic_is_stopped_opens_nothing() {
    play_with(two_topics, async |stage| {
        flood(stage, LIMIT).await;
        stage.log.mute.set(true);
        stage.log.assign(&[P1]);
        stage.deliver(P1, completes(0..5));
        stage.pass(seconds(1)).await;
        let ask = *stage.log.asked.borrow().last().unwrap();
        stage.log.tell_ledger(ask);
        stage.pass(seconds(20)).await;
        assert!(stage.engine.total() == 0 && is_paused(stage, P1));
        stage.eventually_stored(P1, 5).await;
    });
}

#[test]
fn a_process_that_stops_does_not_wait_for_a_stopped_topic() {
    play_with(two_topics, async |stage| {
        flood(stage, 200).await;
        stage.stop.cancel();
        let began = tokio::time::Instant::now();
        assert_eq!(stage.ended().await, Ending::Drained);
        assert!(began.elapsed() < seconds(1));
        stage.log.last_prefixes();
        assert_eq!(usize::try_from(stage.log.stored(P0).unwrap()).unwrap(), letters(stage), "the rest comes again");
    });
}
