//! How delivered records are taken up: read, put into the lane of their activity, or held back.

use std::cell::{Cell, OnceCell};
use std::rc::Rc;

use super::Worker;
use super::story::decode;
use crate::bridge::core::Core;
use crate::bridge::options::Reads;
use crate::bridge::partitions::Delivered;
use crate::bridge::seams::{Command, Engine, Epoch, Log, PartitionId, Received};
use crate::bridge::work::Work;
use crate::wire::{Origin, Record, Refusal, RefusalCode, Reply, RetryState};

/// What became of a delivered record.
enum TakenUp {
    Yes,
    /// Too many bytes in hand.
    NoRoom(Delivered),
    /// Its partition or its lane is as far ahead as it may be, or it is not due yet.
    Blocked(Delivered),
}

/// A record that was read.
struct Arrived {
    /// As it was received on its reply topic, if it stands on a retry topic.
    restored: Option<Record>,
    reply: Result<Reply, Box<Refusal>>,
    received_at_ms: i64,
    /// Calls that failed on earlier stays.
    earlier: u32,
    /// Tiers that it has passed for reasons of its own.
    passed: usize,
}

impl<E: Engine + 'static, L: Log + 'static> Worker<E, L> {
    /// Starts whatever may start.
    pub(super) fn pump(&mut self) {
        loop {
            while let Some(work) = self.ready.pop_front() {
                let Some(slot) = self.windows.try_slot() else {
                    self.ready.push_front(work);
                    return;
                };
                self.start(work, slot);
            }
            if !self.core.gate.admits() {
                return;
            }
            let Some(delivered) = self.backlog.pop_front() else { return };
            let (id, epoch) = (delivered.received.partition, delivered.received.epoch);
            // Behind what is held back already: an offset that was passed over would count as delivered.
            if self.partitions.open(id, epoch).is_some_and(|partition| partition.blocked) {
                self.block(id, epoch, delivered);
                continue;
            }
            match self.take_up(delivered) {
                TakenUp::Yes => self.hold_tried(id),
                TakenUp::NoRoom(back) => {
                    self.backlog.push_front(back);
                    return;
                }
                TakenUp::Blocked(back) => self.block(id, epoch, back),
            }
        }
    }

    /// Takes up one delivered record: decodes it and puts it into its lane.
    fn take_up(&mut self, delivered: Delivered) -> TakenUp {
        let Delivered { received, at_ms, steady_ms } = &delivered;
        let (id, epoch) = (received.partition, received.epoch);
        // Read under an assignment that has ended: the new owner has it.
        let Some(partition) = self.partitions.open(id, epoch) else { return TakenUp::Yes };
        if partition.is_opening()
            || partition.offsets.gap() >= self.core.options.max_gap
            || !self.core.floodgate.admits(id)
            || self.core.early_by(&delivered) > 0
        {
            return TakenUp::Blocked(delivered);
        }
        let Some(room) = self.windows.try_room(received.record.size()) else { return TakenUp::NoRoom(delivered) };
        let Origin { offset, timestamp_ms, .. } = received.record.origin;
        let arrived = read(&self.core, received, *at_ms);
        let lane = arrived.reply.as_ref().ok().map(|reply| reply.target.lane());
        if lane.is_some_and(|lane| self.lanes.is_full(lane)) {
            return TakenUp::Blocked(delivered);
        }
        if !partition.offsets.deliver(offset, timestamp_ms) {
            return TakenUp::Yes;
        }
        let Arrived { restored, reply, received_at_ms, earlier, passed } = arrived;
        let since_ms = match restored {
            None => *steady_ms,
            Some(_) => self.core.clock.steady_of(received_at_ms),
        };
        let record = restored.unwrap_or(delivered.received.record);
        let life = Rc::clone(&partition.life);
        let taken = self.core.floodgate.take(id);
        let (overtaken, found) = (Cell::new(false), OnceCell::new());
        let work = Rc::new(Work {
            record,
            partition: id,
            epoch,
            offset,
            reply,
            lane,
            received_at_ms,
            since_ms,
            earlier,
            passed,
            life,
            overtaken,
            found,
            taken,
            _room: room,
        });
        self.core.weigh_refusal(&work);
        self.ready.extend(match lane {
            Some(lane) => self.lanes.enter(lane, work),
            None => Some(work),
        });
        TakenUp::Yes
    }

    /// Holds a record back and pauses its partition, unless that is soon over.
    fn block(&mut self, id: PartitionId, epoch: Epoch, delivered: Delivered) {
        let soon = self.opens_soon();
        let Some(partition) = self.partitions.open(id, epoch) else { return };
        partition.held.push_back(delivered);
        partition.blocked = true;
        if soon && partition.is_opening() {
            return;
        }
        if !std::mem::replace(&mut partition.paused, true) && !self.paused {
            self.core.log.command(Command::Pause(vec![id]));
        }
    }

    /// Tries the records that are held back again, oldest first, and reads on where none is left.
    pub(super) fn retry_held(&mut self) {
        for (id, epoch) in self.partitions.blocked() {
            for _ in 0..self.turns(id) {
                let next = self.partitions.open(id, epoch).and_then(|partition| partition.held.pop_front());
                let back = match next.map(|delivered| self.take_up(delivered)) {
                    Some(TakenUp::Yes) => continue,
                    Some(TakenUp::NoRoom(back) | TakenUp::Blocked(back)) => Some(back),
                    None => None,
                };
                let Some(partition) = self.partitions.open(id, epoch) else { break };
                partition.blocked = back.is_some();
                if let Some(back) = back {
                    partition.held.push_front(back);
                }
                if !partition.blocked && std::mem::replace(&mut partition.paused, false) && !self.paused {
                    self.core.log.command(Command::Resume(vec![id]));
                }
                break;
            }
        }
    }
}

/// Reads a record: on a retry topic, what was received is inside what handback wrote.
fn read<E: Engine, L: Log>(core: &Core<E, L>, received: &Received, delivered_at_ms: i64) -> Arrived {
    let options = &core.options;
    if options.reads == Reads::Replies {
        let reply = decode(&received.record, &options.limits[usize::from(received.partition.topic)]);
        return Arrived { restored: None, reply, received_at_ms: delivered_at_ms, earlier: 0, passed: 0 };
    }
    match RetryState::restore(received.record.clone()) {
        Ok((record, state)) => Arrived {
            reply: decode(&record, &options.limits_of(&record.origin.topic)),
            restored: Some(record),
            // Written by a clock that was wrong, if it is in the future.
            received_at_ms: state.first_seen_ms.min(delivered_at_ms),
            earlier: state.attempts,
            passed: state.passed,
        },
        Err((_, fault)) => {
            let refusal = Refusal::new(RefusalCode::BadRetryState, fault.to_string());
            Arrived {
                restored: None,
                reply: Err(Box::new(refusal)),
                received_at_ms: delivered_at_ms,
                earlier: 0,
                passed: 0,
            }
        }
    }
}
