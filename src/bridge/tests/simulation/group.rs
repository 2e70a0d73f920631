//! The workers of a simulated process and their consumers: two that read the reply topics, one of which may be idle, and one
//! that reads the retry topics.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;
use std::time::Duration;

use tokio::time::Instant;

use super::faults::Fault;
use super::world::{Of, World};
use crate::bridge::Ending;
use crate::bridge::seams::{Epoch, PartitionId};
use crate::bridge::tests::books::REPLIES;
use crate::bridge::tests::support::{P0, P1, Stage, millis, seconds, wall_clock};
use crate::wire::{Action, Limits, Origin, Record, decode};

/// The second topic has a partition of the same number as the first: they share a ledger.
pub(super) const PARTITIONS: [PartitionId; 3] = [P0, P1, PartitionId { topic: 1, partition: 0 }];
pub(super) const RETRIES: [PartitionId; 6] = [
    PartitionId { topic: 0, partition: 0 },
    PartitionId { topic: 0, partition: 1 },
    PartitionId { topic: 1, partition: 0 },
    PartitionId { topic: 1, partition: 1 },
    PartitionId { topic: 2, partition: 0 },
    PartitionId { topic: 2, partition: 1 },
];

/// How often what goes on is looked at.
const SLICE: Duration = Duration::from_millis(100);

/// Longest time in which everything comes to its end once all is mended: three tiers of 35 s together, twice.
const PATIENCE: Duration = seconds(120);

thread_local! {
    /// How far the wall clock of the process is off.
    pub(super) static SHIFT: Cell<i64> = const { Cell::new(0) };
}

/// The wall clock of the process; the broker's is never wrong.
pub(super) fn shifted_clock() -> i64 {
    wall_clock() + SHIFT.get()
}

pub(super) struct Group<'a> {
    pub(super) world: Rc<World>,
    /// Of the reply topics.
    pub(super) workers: [&'a mut Stage; 2],
    pub(super) retries: &'a mut Stage,
    next: HashMap<PartitionId, i64>,
    /// Where each consumer reads on: worker (2 for the one of the retry topics), epoch and offset.
    positions: RefCell<HashMap<(usize, PartitionId), (Epoch, i64)>>,
    stored: RefCell<HashMap<(usize, PartitionId), i64>>,
}

impl<'a> Group<'a> {
    pub(super) fn new(world: Rc<World>, workers: [&'a mut Stage; 2], retries: &'a mut Stage) -> Self {
        let (positions, stored) = (RefCell::default(), RefCell::default());
        Self { world, workers, retries, next: HashMap::new(), positions, stored }
    }

    pub(super) fn stage(&self, worker: usize) -> &Stage {
        if worker < 2 { &*self.workers[worker] } else { &*self.retries }
    }

    pub(super) fn stage_mut(&mut self, worker: usize) -> &mut Stage {
        if worker < 2 { &mut *self.workers[worker] } else { &mut *self.retries }
    }

    fn ids(worker: usize) -> &'static [PartitionId] {
        if worker < 2 { &PARTITIONS } else { &RETRIES }
    }

    /// Which worker has a partition of the reply topics.
    pub(super) fn owner(&self, id: PartitionId) -> Option<usize> {
        (0..2).find(|worker| self.stage(*worker).log.is_assigned(id))
    }

    /// Everything that concerns a partition as a whole is its replies' own trouble.
    fn disturb(&self, worker: usize, id: PartitionId) {
        if worker < 2 {
            self.world.trouble(Of::Partition(id.partition));
        }
    }

    pub(super) fn assign(&self, worker: usize, id: PartitionId) {
        self.disturb(worker, id);
        self.world.story.tell(|| format!("worker {worker} is assigned {}", name(worker, id)));
        self.stage(worker).log.assign(&[id]);
    }

    /// What nobody has goes to some worker.
    pub(super) fn assign_all(&self) {
        for id in PARTITIONS.into_iter().filter(|id| self.owner(*id).is_none()) {
            let other = self.world.menu.has(Fault::Rebalance) && self.world.choices.chance(40);
            self.assign(usize::from(other), id);
        }
        RETRIES.into_iter().filter(|id| !self.retries.log.is_assigned(*id)).for_each(|id| self.assign(2, id));
    }

    pub(super) async fn revoke(&self, worker: usize, id: PartitionId) {
        self.world.story.tell(|| format!("worker {worker} is to give up {}", name(worker, id)));
        let stage = self.stage(worker);
        let (prefixes, began) = (stage.log.revoke(&[id]), Instant::now());
        // The consumer waits for the answer, but not for ever.
        while stage.log.answered(&prefixes).is_none() && began.elapsed() < seconds(2) {
            self.disturb(worker, id);
            tokio::time::sleep(millis(20)).await;
        }
        if began.elapsed() >= seconds(2) {
            self.world.story.broke("a revoke is answered in time", || name(worker, id));
        }
        self.disturb(worker, id);
    }

    pub(super) fn lose(&self, worker: usize, id: PartitionId) {
        self.world.story.tell(|| format!("worker {worker} has lost {}", name(worker, id)));
        self.stage(worker).log.lose(&[id]);
        self.disturb(worker, id);
    }

    fn disturb_all(&self, worker: usize) {
        Self::ids(worker)
            .iter()
            .filter(|id| self.stage(worker).log.is_assigned(**id))
            .for_each(|id| self.disturb(worker, *id));
    }

    pub(super) fn crash(&mut self, worker: usize) {
        self.world.story.tell(|| format!("worker {worker} dies, and another takes its place"));
        self.disturb_all(worker);
        self.stage_mut(worker).crash();
    }

    pub(super) fn strand(&mut self, worker: usize) {
        self.world.story.tell(|| format!("the group gives worker {worker} up, which goes on"));
        self.disturb_all(worker);
        self.stage_mut(worker).strand();
    }

    pub(super) fn wake(&mut self, worker: usize) {
        self.stage_mut(worker).wake(Self::ids(worker));
    }

    /// Replies come to a partition.
    pub(super) fn send(&mut self, id: PartitionId, replies: impl IntoIterator<Item = Record>) {
        let mut next = self.next.get(&id).copied().unwrap_or(0);
        let (mut told, mut alike) = (String::new(), 0);
        for mut record in replies {
            let topic = if id.topic == 0 { REPLIES } else { "more-replies" };
            let timestamp_ms = Some(wall_clock());
            record.origin = Origin { topic: topic.into(), partition: id.partition, offset: next, timestamp_ms };
            let reply = decode(&record, &Limits::default());
            let owes = !reply.as_ref().is_ok_and(|reply| reply.answer.action() == Action::Heartbeat);
            let text = shown(reply.as_ref().ok(), &record);
            if text != told {
                self.tell_alike(alike);
                self.world.story.tell(|| format!("sent {}/{next}: {text}", name(0, id)));
                (told, alike) = (text, 0);
            } else {
                alike += 1;
            }
            self.world.waits.arrive(id, &record);
            self.workers[0].log.sent.borrow_mut().insert((id, next), (record, owes));
            next += 1;
        }
        self.tell_alike(alike);
        self.next.insert(id, next);
    }

    fn tell_alike(&self, count: usize) {
        if count > 0 {
            self.world.story.tell(|| format!("and {count} more of these"));
        }
    }

    pub(super) fn end(&self, worker: usize, id: PartitionId) -> i64 {
        if worker < 2 { self.next.get(&id).copied().unwrap_or(0) } else { self.retries.end(id) }
    }

    pub(super) fn committed(&self, worker: usize, id: PartitionId) -> i64 {
        self.stage(worker).log.stored(id).unwrap_or(0)
    }

    /// Reads again what was read before.
    pub(super) fn read_again(&self, worker: usize, id: PartitionId) {
        self.positions.borrow_mut().remove(&(worker, id));
    }

    /// Each consumer hands over what it can read.
    pub(super) fn read(&self) {
        for worker in 0..3 {
            let stage = self.stage(worker);
            for id in Self::ids(worker).iter().filter(|id| stage.log.is_assigned(**id)) {
                if stage.log.paused.borrow().contains(id) {
                    continue;
                }
                let (epoch, end) = (stage.log.epoch(*id), self.end(worker, *id));
                let mut positions = self.positions.borrow_mut();
                let position = positions.entry((worker, *id)).or_insert((epoch, -1));
                if position.0 != epoch || position.1 < 0 {
                    *position = (epoch, self.committed(worker, *id));
                }
                if position.1 < end {
                    stage.read(*id, position.1, end);
                    position.1 = end;
                }
            }
        }
    }

    /// Looks at everything that must hold at any time.
    pub(super) fn look(&self) {
        self.read();
        for worker in 0..2 {
            let unread = self.stage(worker).log.unanswered.borrow();
            unread.iter().for_each(|ask| self.world.trouble(Of::Partition(ask.partition)));
        }
        self.world.look_around(&[self.stage(0), self.stage(1)]);
        self.tell_stored();
        if let Some(fault) = self.retries.log.faults.borrow().first() {
            self.world.story.broke("no offset passes a reply without an outcome", || fault.clone());
        }
        for worker in 0..3 {
            if self.stage(worker).running.is_finished() {
                self.world.story.broke("no worker ends by itself", || self.stage(worker).dump());
            }
        }
    }

    fn tell_stored(&self) {
        if !self.world.story.is_told {
            return;
        }
        for worker in [0, 2] {
            for id in Self::ids(worker) {
                let (now, mut told) = (self.committed(worker, *id), self.stored.borrow_mut());
                let before = told.insert((worker, *id), now).unwrap_or(0);
                if now != before {
                    self.world.story.tell(|| format!("offset {now} of {} is stored", name(worker, *id)));
                }
            }
        }
    }

    /// Lets time pass.
    pub(super) async fn pass(&self, time: Duration) {
        let until = Instant::now() + time;
        while Instant::now() < until && !self.world.story.is_broken() {
            tokio::time::sleep(SLICE.min(until - Instant::now())).await;
            self.look();
        }
    }

    async fn eventually(&self, what: &str, holds: impl Fn(&Self) -> bool) {
        let began = Instant::now();
        while !holds(self) && !self.world.story.is_broken() {
            if began.elapsed() > PATIENCE {
                let dump = || format!("{what}\n{}", self.stage(0).dump());
                return self.world.story.broke("everything comes to its end", dump);
            }
            self.pass(SLICE).await;
        }
    }

    /// Everything has an outcome, everything is stored, everything is given back.
    pub(super) async fn finish(&mut self) {
        for id in PARTITIONS {
            let next = self.end(0, id);
            let what = format!("{next} of {} is stored", name(0, id));
            self.eventually(&what, |it| it.committed(0, id) == next).await;
        }
        let passed = |it: &Self| RETRIES.iter().all(|id| it.committed(2, *id) == it.end(2, *id));
        self.eventually("all retry topics are passed", passed).await;
        if !self.world.story.is_broken() && !self.workers[0].log.without_outcome().is_empty() {
            self.world
                .story
                .broke("every reply has an outcome", || format!("{:?}", self.workers[0].log.without_outcome()));
        }
        self.eventually("ready", |it| it.retries.shared.health.is_ready()).await;
        for worker in 0..3 {
            self.eventually("everything is read again", |it| it.stage(worker).log.paused.borrow().is_empty()).await;
            let line = format!("handback_in_flight_records{{worker=\"{}\"}} 0", self.stage(worker).worker());
            self.eventually("nothing is in hand", |it| it.stage(worker).metric(&line)).await;
        }
        if self.world.story.is_broken() {
            return;
        }
        for worker in 0..3 {
            let stage = self.stage_mut(worker);
            stage.stop.cancel();
            let ended = stage.ended().await;
            if ended != Ending::Drained {
                self.world.story.broke("a worker that is stopped ends in order", || format!("{ended:?}"));
            }
        }
    }
}

fn name(worker: usize, id: PartitionId) -> String {
    let topic = match (worker < 2, id.topic) {
        (true, 0) => REPLIES.to_owned(),
        (true, _) => "more-replies".to_owned(),
        (false, tier) => format!("retry topic {tier}"),
    };
    format!("{topic}/{}", id.partition)
}

fn shown(reply: Option<&crate::wire::Reply>, record: &Record) -> String {
    let Some(reply) = reply else { return "no reply".to_owned() };
    let by = match &reply.target {
        crate::wire::Target::Token(token) => format!("{} by token", token.claims().activity_id),
        crate::wire::Target::ById(id) => format!("{} by name, attempt {:?}", id.activity_id, id.attempt),
    };
    let size = record.value.as_ref().map_or(0, bytes::Bytes::len);
    format!("{} {by} ({size} bytes, fingerprint {})", reply.answer.action(), reply.fingerprint)
}
