//! A partition of the outcome, dead-letter or retry topics that cannot be written stops what needs it, and nothing else.

use super::books::{Act, DEAD_LETTERS, OUTCOMES};
use super::model::unavailable;
use super::retry_topics::TIERS;
use super::support::{
    P0, P1, Stage, complete, completed, completes, play, play_with, reply, rubbish, seconds, token, with_tiers,
};
use crate::bridge::Batches;
use crate::bridge::seams::PartitionId;
use crate::wire::{Answer, OutRecord, Record};

/// Nobody acknowledges what is written to partition 0 of this topic.
fn stuck(stage: &Stage, topic: &'static str) {
    stage.log.on_write(
        move |record: &OutRecord| {
            if record.partition == Some(0) && &*record.topic == topic { Act::Held } else { Act::Ack }
        },
    );
}

fn is_held(stage: &Stage, id: PartitionId, reason: &str) -> bool {
    let line = format!("handback_held_partitions{{worker=\"0\",reason=\"{reason}\"}} 1");
    stage.log.paused.borrow().contains(&id) && stage.metric(&line)
}

/// Replies of other activities, and of other partitions.
fn others(from: usize, count: usize) -> Vec<Record> {
    completes(100_000 + from..100_000 + from + count)
}

/// Bytes of a large reply's result.
const LARGE: usize = 100_000;

fn large(n: usize) -> Record {
    let result = format!("\"{}\"", "x".repeat(LARGE)).into();
    reply(token(&format!("a{n}")), Answer::Complete { result: Some(result) })
}

#[test]
fn a_partition_whose_outcomes_cannot_be_written_stops_no_other() {
    play(async |stage| {
        stage.log.assign(&[P1]);
        stuck(stage, OUTCOMES);
        stage.deliver(P0, completes(0..9_000));
        stage.pass(seconds(5)).await;
        stage.deliver(P1, [complete("b0")]);
        stage.eventually_stored(P1, 1).await;
        assert!(is_held(stage, P0, "writing") && !is_held(stage, P1, "writing"));
        // At the speed of a partition that has the worker for itself.
        let began = tokio::time::Instant::now();
        stage.deliver(P1, others(0, 2_000));
        stage.eventually_stored(P1, 2_001).await;
        assert!(began.elapsed() < seconds(2), "{:?}", began.elapsed());
        // Once it can be written it is read on.
        stage.log.release(OUTCOMES);
        stage.eventually_stored(P0, 9_000).await;
        stage.eventually("read again", |s| s.log.paused.borrow().is_empty()).await;
    });
}

#[test]
fn many_partitions_whose_outcomes_cannot_be_written_stop_no_other() {
    play_with(
        |options, _| options.max_recording = 400,
        async |stage| {
            let stuck: Vec<_> = (2..32).map(|partition| PartitionId { topic: 0, partition }).collect();
            stage.log.assign(&[P1]);
            stage.log.assign(&stuck);
            stage.log.on_write(|record| if record.partition >= Some(2) { Act::Held } else { Act::Ack });
            // In pieces, as they come from a broker.
            for piece in 0..10 {
                for id in &stuck {
                    let from = (usize::try_from(id.partition).unwrap() * 40 + piece) * 50;
                    stage.deliver(*id, completes(from..from + 50));
                }
            }
            stage.pass(seconds(5)).await;
            stage.deliver(P1, others(0, 500));
            stage.eventually_stored(P1, 500).await;
        },
    );
}

#[test]
fn bytes_of_a_partition_whose_outcomes_cannot_be_written_leave_room_for_the_others() {
    play_with(
        |options, _| options.max_in_flight_bytes = 4 * 1024 * 1024,
        async |stage| {
            stage.log.assign(&[P1]);
            stuck(stage, OUTCOMES);
            stage.deliver(P0, (0..30).map(large));
            stage.pass(seconds(2)).await;
            assert!(is_held(stage, P0, "bytes"), "{}", stage.dump());
            stage.deliver(P1, (0..100).map(|n| large(1_000 + n)));
            stage.eventually_stored(P1, 100).await;
        },
    );
}

#[test]
fn partitions_that_become_unwritable_one_after_the_other_stop_no_other_with_what_is_held_of_them() {
    play(async |stage| {
        let stuck = [2, 3, 4].map(|partition| PartitionId { topic: 0, partition });
        stage.log.assign(&[P1]);
        stage.log.assign(&stuck);
        stage.log.on_write(|record| if record.partition >= Some(2) { Act::Held } else { Act::Ack });
        let on_its_way = Batches::of_replies(32 << 20).most() / LARGE + 4;
        // Two thirds of what was free, and what the consumer has handed over by then.
        for (id, share) in stuck.into_iter().zip([112, 75, 50]) {
            let from = usize::try_from(id.partition).unwrap() * 1_000;
            stage.deliver(id, (0..share + on_its_way).map(|n| large(from + n)));
            stage.pass(seconds(2)).await;
        }
        stage.eventually("all held", |s| s.metric("handback_held_partitions{worker=\"0\",reason=\"bytes\"} 3")).await;
        stage.deliver(P1, (0..100).map(|n| large(10_000 + n)));
        stage.eventually_stored(P1, 100).await;
    });
}

#[test]
fn a_dead_letter_partition_that_cannot_be_written_stops_only_what_needs_it() {
    play_with(
        |options, _| (options.flood, options.max_recording) = (None, 120),
        async |stage| {
            stage.log.assign(&[P1]);
            stuck(stage, DEAD_LETTERS);
            stage.deliver(P0, (0..20).map(|_| rubbish(b"?")));
            stage.deliver(P0, completes(0..500));
            stage.eventually("the good replies beside them", |s| s.log.outcomes.borrow().len() == 500).await;
            stage.deliver(P0, (0..200).map(|_| rubbish(b"?")));
            stage.pass(seconds(2)).await;
            stage.deliver(P1, others(0, 100).into_iter().chain([rubbish(b"?")]));
            stage.eventually_stored(P1, 101).await;
            stage.log.release(DEAD_LETTERS);
            stage.eventually_stored(P0, 720).await;
        },
    );
}

#[test]
fn a_retry_partition_that_cannot_be_written_stops_only_what_needs_it() {
    play_with(
        |options, _| with_tiers(options),
        async |stage| {
            stage.log.assign(&[P1]);
            stuck(stage, TIERS[0]);
            (0..50).for_each(|n| stage.engine.script(&format!("a{n}"), vec![unavailable(); 5]));
            // Among others, so that the engine counts as well.
            let mixed = (0..50).flat_map(|n| others(n * 10, 10).into_iter().chain(completes([n])));
            stage.deliver(P0, mixed);
            stage.eventually("all others of its partition", |s| s.log.outcomes.borrow().len() == 500).await;
            stage.engine.script("b0", vec![unavailable(); 5]);
            stage.deliver(P1, [complete("b0"), complete("b1"), reply(token("b2"), completed())]);
            stage.eventually_stored(P1, 3).await;
            stage.log.release(TIERS[0]);
            stage.eventually_stored(P0, 550).await;
        },
    );
}
