//! The simulation: random schedules over the whole worker. Faults of the engine (also answers that are lost after they were
//! applied) and of the log (also writes whose acknowledgement is lost), partitions that come and go, duplicates, members
//! that die at any moment, and members that the group has given up and that go on without knowing.
//!
//! The log model holds every stored offset against the outcomes acknowledged before it; after every step each outcome is
//! held against what the engine took; at the end every reply has one.
//!
//! `cargo test` plays [`SEEDS`] schedules. `HANDBACK_SEEDS=100000 cargo test --release --lib schedules` plays more, and
//! `HANDBACK_SEED=17` plays the one that failed.

use std::cell::{Cell, RefCell};
use std::collections::hash_map::Entry;
use std::collections::HashMap;
use std::rc::Rc;

use fastrand::Rng;

use super::log_model::{Act, permanent, transient};
use super::model::{Called, Step, busy, not_active, not_found, odd, unavailable, unknown_domain};
use super::support::{P0, P1, Stage, complete, fail, heartbeat, millis, play_with, rubbish};
use crate::bridge::seams::PartitionId;
use crate::bridge::{Ending, Options};
use crate::wire::{Action, Outcome, OutcomeKind, Record};

const SEEDS: u64 = 2_000;
const STEPS: usize = 40;
const PARTITIONS: [PartitionId; 3] = [P0, P1, PartitionId { topic: 0, partition: 2 }];
const MAX_IN_FLIGHT: usize = 4;

/// Says which seed it was.
struct Seed(u64);

impl Drop for Seed {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("seed {}", self.0);
        }
    }
}

/// Small limits, so that all of them are met.
fn small(options: &mut Options) {
    options.max_in_flight = MAX_IN_FLIGHT;
    options.max_recording = 3;
    options.max_gap = 12;
    options.max_lane_depth = 2;
    options.max_in_flight_bytes = 12_000;
    options.retry.spent = millis(1000);
    options.retry.jitter = 0.5;
}

/// An engine that remembers what it took, and has bad times.
struct Weather {
    rng: RefCell<Rng>,
    /// What the engine took: activity, and the identity of the call.
    applied: RefCell<HashMap<String, String>>,
    /// Outcomes looked at so far.
    looked_at: Cell<usize>,
    down: Cell<bool>,
    calm: Cell<bool>,
}

impl Weather {
    fn chance(&self, percent: u32) -> bool {
        self.rng.borrow_mut().u32(0..100) < percent
    }

    fn millis(&self, most: u64) -> std::time::Duration {
        millis(self.rng.borrow_mut().u64(0..most))
    }

    fn accept(&self, called: &Called) -> bool {
        match self.applied.borrow_mut().entry(called.activity.clone()) {
            Entry::Vacant(open) => {
                open.insert(called.identity.clone());
                true
            }
            Entry::Occupied(_) => false,
        }
    }

    /// Each outcome that says what was applied is true.
    fn check(&self, outcomes: &[Outcome]) {
        for outcome in &outcomes[self.looked_at.replace(outcomes.len())..] {
            if outcome.action == Some(Action::Heartbeat) {
                continue;
            }
            let activity = outcome.activity.as_ref().and_then(|activity| activity.activity_id.clone());
            let taken = activity.and_then(|activity| self.applied.borrow().get(&activity).cloned());
            // handback/1/<cluster>/<topic>/<partition>/<offset>/<fingerprint>
            let taken = taken.as_deref().and_then(|identity| identity.split_once("cluster/")).map(|(_, rest)| rest);
            let said = outcome.fingerprint.map(|print| format!("{}/{print}", outcome.source));
            let same_answer = || taken.unwrap().rsplit('/').next() == said.as_deref().unwrap().rsplit('/').next();
            match outcome.kind {
                OutcomeKind::Applied => assert_eq!(taken, said.as_deref(), "this very record was taken"),
                OutcomeKind::Duplicate => assert!(taken != said.as_deref() && same_answer(), "{taken:?} {said:?}"),
                OutcomeKind::Conflict => assert!(!same_answer(), "{taken:?} {said:?}"),
                _ => {}
            }
        }
    }

    /// Takes the first answer to an activity.
    fn take(&self, called: &Called) -> Step {
        let open = match called.action {
            Action::Heartbeat => !self.applied.borrow().contains_key(&called.activity),
            _ => self.accept(called),
        };
        match called.action {
            _ if !open => not_found(),
            Action::Heartbeat if self.chance(30) => Step::CancelRequested,
            _ => Step::Ok,
        }
    }

    fn engine(&self, called: &Called) -> Step {
        if self.calm.get() {
            return self.take(called);
        }
        if self.down.get() {
            return Step::after(self.millis(200), unavailable());
        }
        let step = match self.rng.borrow_mut().u32(0..100) {
            0..10 => unavailable(),
            10..14 => busy(),
            14..16 => not_active(),
            16..18 => unknown_domain(),
            18..20 => odd(),
            20..22 => Step::Panic,
            _ => Step::Ok,
        };
        let step = match step {
            Step::Ok => self.take(called),
            step => {
                // Some failures hide that the answer was taken.
                if self.chance(30) && called.action != Action::Heartbeat {
                    self.accept(called);
                }
                step
            }
        };
        if self.chance(50) { Step::after(self.millis(1500), step) } else { step }
    }

    fn log(&self) -> Act {
        let roll = self.rng.borrow_mut().u32(0..100);
        match roll {
            _ if self.calm.get() => Act::Ack,
            0..8 => transient(),
            8..10 => permanent(),
            10..30 => Act::AckAfter(self.millis(900)),
            30..40 => Act::Late(self.millis(900)),
            40..45 => Act::Unheard,
            _ => Act::Ack,
        }
    }

    fn reply(&self) -> Record {
        let activity = format!("a{}", self.rng.borrow_mut().u32(0..25));
        match self.rng.borrow_mut().u32(0..10) {
            0 => rubbish(b"{\"task_token\": 1}"),
            1 => fail(&activity),
            2..4 => heartbeat(&activity),
            _ => complete(&activity),
        }
    }
}

/// The next offset that a partition's new assignment is read from.
fn committed(stage: &Stage, id: PartitionId) -> i64 {
    stage.log.stored(id).unwrap_or(0)
}

fn delivered(stage: &Stage, id: PartitionId) -> i64 {
    stage.log.sent.borrow().range((id, 0)..=(id, i64::MAX)).next_back().map_or(0, |((_, offset), _)| offset + 1)
}

fn assign(stage: &Stage, id: PartitionId) {
    stage.log.assign(&[id]);
    stage.read(id, committed(stage, id), delivered(stage, id));
}

async fn step(stage: &mut Stage, weather: &Weather) {
    let (choice, id) = {
        let mut rng = weather.rng.borrow_mut();
        (rng.u32(0..100), PARTITIONS[rng.usize(0..PARTITIONS.len())])
    };
    let ours = stage.log.is_assigned(id);
    match choice {
        0..50 if ours => {
            let count = weather.rng.borrow_mut().usize(1..9);
            stage.deliver(id, (0..count).map(|_| weather.reply()));
        }
        50..55 if ours => stage.read(id, committed(stage, id), delivered(stage, id)),
        55..65 if ours => {
            // The consumer waits for the answer, but not for ever.
            let prefixes = stage.log.revoke(&[id]);
            let patience = millis(2000);
            let began = tokio::time::Instant::now();
            while stage.log.answered(&prefixes).is_none() && began.elapsed() < patience {
                stage.pass(millis(20)).await;
            }
            assert!(began.elapsed() < patience, "a revoke was not answered in time\n{}", stage.dump());
        }
        65..68 if ours => stage.log.lose(&[id]),
        68..71 if ours => assign(stage, id),
        50..75 => {
            if !stage.log.is_assigned(id) {
                assign(stage, id);
            }
        }
        75..80 => {
            weather.down.set(!weather.down.get());
            *stage.engine.history.borrow_mut() = if weather.down.get() { Err("down".to_owned()) } else { Ok(()) };
        }
        80..84 => stage.crash(),
        84..86 => stage.strand(),
        86..88 => stage.wake(&PARTITIONS),
        _ => stage.pass(weather.millis(700)).await,
    }
    weather.check(&stage.log.outcomes.borrow());
    let faults = stage.log.faults.borrow();
    assert!(faults.is_empty(), "{faults:#?}\n{}", stage.dump());
    assert!(!stage.running.is_finished(), "{}", stage.dump());
}

fn play_seed(seed: u64) {
    let _seed = Seed(seed);
    let weather = Rc::new(Weather {
        rng: RefCell::new(Rng::with_seed(seed)),
        applied: RefCell::default(),
        looked_at: Cell::new(0),
        down: Cell::new(false),
        calm: Cell::new(false),
    });
    play_with(
        |options, _| small(options),
        async |stage| {
            let (engine, log) = (Rc::clone(&weather), Rc::clone(&weather));
            stage.engine.on_call(move |called| engine.engine(called));
            stage.log.on_write(move |_| log.log());
            for _ in 0..STEPS {
                step(stage, &weather).await;
            }
            weather.calm.set(true);
            stage.wake(&PARTITIONS);
            *stage.engine.history.borrow_mut() = Ok(());
            for id in PARTITIONS {
                if !stage.log.is_assigned(id) {
                    assign(stage, id);
                }
            }
            finish(stage).await;
            weather.check(&stage.log.outcomes.borrow());
        },
    );
}

/// Everything has an outcome, everything is stored, everything is given back.
async fn finish(stage: &mut Stage) {
    for id in PARTITIONS {
        let next = delivered(stage, id);
        stage.eventually(&format!("{next} of {id:?}"), |s| committed(s, id) == next).await;
    }
    stage.eventually("ready", |s| s.shared.health.is_ready()).await;
    stage.eventually("everything read again", |s| s.log.paused.borrow().is_empty()).await;
    stage.eventually("nothing in hand", |s| s.metric("handback_in_flight_records{worker=\"0\"} 0")).await;
    stage.stop.cancel();
    assert_eq!(stage.ended().await, Ending::Drained);
}

#[test]
fn at_no_moment_of_any_schedule_an_offset_passes_a_reply_without_an_outcome() {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse().ok());
    match number("HANDBACK_SEED") {
        Some(seed) => play_seed(seed),
        None => (0..number("HANDBACK_SEEDS").unwrap_or(SEEDS)).for_each(play_seed),
    }
}
