//! Small worlds in which every choice is played: two or three records, two members, one crash, rebalance or zombie at any call,
//! look or write, and faults at any of them.
//!
//! A crash ends the whole process. What goes on afterwards is told by what is on the topics, what the engine has, what is left to
//! be chosen, and how long retries still wait: where two schedules have come to the same there, the second is not played on.
//! Nothing else is cut off, because what a living worker has in mind cannot be compared.
//!
//! `cargo test` plays each world with one fault. `HANDBACK_EXHAUSTIVE=2 cargo test --release --lib exhaustive -- --nocapture`
//! plays them with up to two. A failure names the test and the list of choices that plays it again.

use std::cell::RefCell;
use std::collections::HashSet;
use std::rc::Rc;
use std::time::Duration;

use super::activities::{named, token};
use super::choices::Choices;
use super::faults::{Fault, Menu};
use super::group::{Group, PARTITIONS, SHIFT};
use super::play::{fail, number, play_list, try_play};
use super::schedules::small;
use super::story::Story;
use super::world::World;
use crate::bridge::tests::support::{completed, millis, play_with, reply};
use crate::wire::{Answer, Failure, FailureStyle};

/// What may happen once in a schedule.
#[derive(Clone, Copy, Debug)]
enum Disturbance {
    Crash,
    /// The partition is given up in order, and goes to the other member.
    Rebalance,
    /// The group gives the member up, which goes on; another one takes over.
    Zombie,
}

const DISTURBANCES: [Disturbance; 3] = [Disturbance::Crash, Disturbance::Rebalance, Disturbance::Zombie];

/// A world of a few records.
struct Small {
    name: &'static str,
    faults: &'static [Fault],
    begin: fn(&mut Group<'_>),
}

const WORLDS: &[Small] = &[
    Small {
        name: "repeats",
        faults: &[Fault::Unavailable, Fault::AnswerLost, Fault::WriteFails, Fault::AckLost],
        begin: |group| {
            let fails = Answer::Fail(Failure {
                reason: "CardDeclined".to_owned(),
                message: None,
                details: None,
                style: FailureStyle::Custom,
            });
            let answers = [completed(), completed(), fails];
            group.send(PARTITIONS[0], answers.map(|answer| reply(token(0), answer)));
        },
    },
    Small {
        name: "looks",
        faults: &[Fault::Unavailable, Fault::AnswerLost, Fault::BadLooks],
        begin: |group| {
            // The third activity of the workflow has timed out, the second is asked to stop.
            group.world.truth.time_out(2);
            let replies = [
                reply(token(1), Answer::Cancel { details: None }),
                reply(token(2), completed()),
                reply(named(3, Some(0)), completed()),
            ];
            group.send(PARTITIONS[0], replies);
        },
    },
    Small {
        name: "retries",
        faults: &[Fault::Stubborn, Fault::WriteFails, Fault::AckLost, Fault::AnswerLost],
        begin: |group| {
            let replies = [reply(token(5), completed()), reply(token(5), completed())];
            group.send(PARTITIONS[0], replies);
        },
    },
    Small {
        name: "partitions",
        faults: &[Fault::Unavailable, Fault::AnswerLost, Fault::AckLost],
        begin: |group| {
            // They share a ledger, and are told apart by nothing else than their topics.
            group.send(PARTITIONS[0], [reply(token(0), completed())]);
            group.send(PARTITIONS[2], [reply(token(0), completed())]);
            group.send(PARTITIONS[1], [reply(token(3), completed())]);
        },
    },
];

/// What schedules have come to at a crash; none when one is played again.
type Seen = RefCell<Option<HashSet<String>>>;

/// Plays one schedule. Answers whether it was played to its end.
fn play(small_world: &Small, budget: usize, seen: &Seen, choices: Rc<Choices>, story: Rc<Story>) -> bool {
    SHIFT.set(0);
    let mut whole = true;
    play_with(small, async |stage| {
        let world = Rc::new(World::new(choices, Menu::of(small_world.faults, budget), story));
        world.steady.set(true);
        world.surround(stage);
        let (mut retries, mut other) = (stage.beside(&[]), stage.another(2));
        let mut group = Group::new(Rc::clone(&world), [stage, &mut other], &mut retries);
        group.assign_all();
        (small_world.begin)(&mut group);
        whole = disturb_once(&mut group, seen).await;
        if whole {
            world.release();
            group.wake(0);
            group.assign_all();
            group.finish().await;
        }
        group.stage(0).log.faults.borrow_mut().clear();
    });
    whole
}

/// Lets something happen at one of the moments at which something was called or written, or at none. Answers false where
/// another schedule has come to the same.
async fn disturb_once(group: &mut Group<'_>, seen: &Seen) -> bool {
    let world = Rc::clone(&group.world);
    let mut changes = (usize::MAX, usize::MAX);
    let mut quiet = Duration::ZERO;
    group.look();
    while !world.story.is_broken() && quiet < millis(3_000) && !is_over(group) {
        let now = (world.changes.get(), group.stage(0).log.events.borrow().len());
        if now == changes {
            // Nothing but timers: whatever happens now could as well happen at the next call.
            let pause = if quiet < millis(5) { millis(1) } else { millis(100) };
            tokio::time::sleep(pause).await;
            quiet += pause;
            if pause > millis(1) {
                group.look();
            }
            continue;
        }
        (changes, quiet) = (now, Duration::ZERO);
        match world.choices.below(1 + DISTURBANCES.len()) {
            0 => {
                tokio::time::sleep(millis(1)).await;
                group.look();
            }
            n => {
                let disturbance = DISTURBANCES[n - 1];
                disturb(group, disturbance).await;
                let is_new = |state| seen.borrow_mut().as_mut().is_none_or(|seen| seen.insert(state));
                let cut = matches!(disturbance, Disturbance::Crash);
                return !cut || is_new(state(group));
            }
        }
    }
    true
}

fn is_over(group: &Group<'_>) -> bool {
    PARTITIONS.iter().all(|id| group.committed(0, *id) == group.end(0, *id))
}

async fn disturb(group: &mut Group<'_>, disturbance: Disturbance) {
    match disturbance {
        Disturbance::Crash => (0..3).for_each(|worker| group.crash(worker)),
        Disturbance::Zombie => group.strand(0),
        Disturbance::Rebalance => {
            for id in PARTITIONS {
                group.revoke(0, id).await;
                group.assign(1, id);
            }
        }
    }
    group.assign_all();
    group.read();
}

/// All that what comes after a crash can hang on.
fn state(group: &Group<'_>) -> String {
    let (world, log) = (&group.world, &group.stage(0).log);
    let now = super::group::shifted_clock();
    let outcomes: Vec<_> =
        log.outcomes.borrow().iter().map(|o| format!("{} {:?} {:?}", o.source, o.kind, o.fingerprint)).collect();
    let letters: Vec<_> = log.dead_letters.borrow().iter().map(super::log::about).collect();
    let retries = group.stage(2).log.retries.borrow();
    let retries = retries.iter().map(|(record, _)| {
        let due = crate::wire::RetryState::not_before_ms(&record.headers).map(|due| due - now);
        let own = |name| record.headers.last(name).map(|value| String::from_utf8_lossy(value).into_owned());
        let (tried, passed) = (own(crate::wire::names::ATTEMPTS), own(crate::wire::names::TIERS));
        format!("{:?} {} {due:?} {tried:?} {passed:?}", super::log::about(record), record.topic)
    });
    let stored: Vec<_> = (0..3)
        .map(|worker| {
            let ids = if worker < 2 { &PARTITIONS[..] } else { &super::group::RETRIES[..] };
            ids.iter().map(|id| group.committed(worker, *id)).collect::<Vec<_>>()
        })
        .collect();
    format!(
        "{outcomes:?} {letters:?} {:?} {stored:?} {} {}",
        retries.collect::<Vec<_>>(),
        world.truth.state(),
        world.menu.budget()
    )
}

/// Plays all schedules of a world. Answers how many were played to their end, how many had come to what was seen before, and
/// the longest wait.
fn play_all(small_world: &Small, budget: usize) -> (usize, usize, Duration) {
    let seen = Seen::new(Some(HashSet::new()));
    let play = |choices, story| play(small_world, budget, &seen, choices, story);
    if let Some(played) = play_list(play) {
        played.print();
        return (1, 0, Duration::ZERO);
    }
    let (mut whole, mut cut, mut longest) = (0, 0, Duration::ZERO);
    let mut next = Some(Vec::new());
    while let Some(list) = next {
        let played = try_play(play, Choices::of_list(list), false);
        if let Some(broken) = &played.broken {
            let which = format!("world {} after {} schedules", small_world.name, whole + cut);
            seen.replace(None);
            fail(&which, broken, played.choices.list(), play);
        }
        *(if played.answer { &mut whole } else { &mut cut }) += 1;
        longest = longest.max(played.story.longest());
        next = played.choices.next();
    }
    (whole, cut, longest)
}

/// Tells the story of the calls for which the environment asks, or plays the world whole.
fn play_world(name: &str) {
    let budget = number("HANDBACK_EXHAUSTIVE").map_or(1, |faults| usize::try_from(faults).unwrap().max(1));
    let small_world = WORLDS.iter().find(|world| world.name == name).expect("a world");
    let (whole, cut, longest) = play_all(small_world, budget);
    println!(
        "world {name}: {whole} schedules with up to {budget} faults hold every promise, and {cut} come to what one of them has come \
         to; longest wait {longest:?}"
    );
}

#[test]
fn every_schedule_of_three_answers_to_one_activity_holds_every_promise() {
    play_world("repeats");
}

#[test]
fn every_schedule_of_three_activities_of_one_workflow_holds_every_promise() {
    play_world("looks");
}

#[test]
fn every_schedule_of_a_reply_that_goes_through_retry_topics_holds_every_promise() {
    play_world("retries");
}

#[test]
fn every_schedule_of_three_partitions_holds_every_promise() {
    play_world("partitions");
}
