//! How delivered records are taken up: read, put into the lane of their activity, or held back.

use std::cell::OnceCell;
use std::rc::Rc;
use std::time::Duration;

use tokio::time::Instant;

use super::Worker;
use super::story::decode;
use crate::bridge::core::Core;
use crate::bridge::lanes::{Entered, Occupied};
use crate::bridge::options::Reads;
use crate::bridge::partitions::{Delivered, Hold, Partition};
use crate::bridge::seams::{Command, Engine, Epoch, Log, PartitionId, Received};
use crate::bridge::windows::{Full, Room, Windows};
use crate::bridge::work::Work;
use crate::wire::{Action, Origin, Record, Refusal, RefusalCode, Reply, RetryState};

/// How long nothing is read when a partition waits for writes or bytes, before it is paused and the others are read on. A pause
/// throws away what was fetched ahead, and a resume takes up to a second; acknowledgements take milliseconds.
const SHORT: Duration = Duration::from_millis(500);

/// What became of a delivered record.
enum TakenUp {
    Yes,
    /// Too many bytes in hand.
    NoRoom(Delivered),
    /// Its partition is held back.
    Blocked(Delivered, Hold),
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
            while let Some((work, asking)) = self.ready.pop_front() {
                match self.windows.try_slot(asking) {
                    Ok(slot) => self.start(work, slot),
                    Err(asking) => return self.ready.push_front((work, asking)),
                }
            }
            if !self.core.gate.admits() {
                return;
            }
            let Some(delivered) = self.backlog.pop_front() else { return };
            let (id, epoch) = (delivered.received.partition, delivered.received.epoch);
            // Behind what is held back already: an offset that was passed over would count as delivered.
            if let Some(partition) = self.partitions.open(id, epoch).filter(|partition| partition.blocked) {
                let hold = partition.hold.map_or(Hold::Ahead, |(hold, _)| hold);
                self.block(id, epoch, delivered, hold);
                continue;
            }
            match self.take_up(delivered) {
                TakenUp::Yes => self.hold_tried(id),
                TakenUp::NoRoom(back) => {
                    self.backlog.push_front(back);
                    return;
                }
                TakenUp::Blocked(back, hold) => self.block(id, epoch, back, hold),
            }
        }
    }

    /// Takes up one delivered record: decodes it and puts it into its lane.
    fn take_up(&mut self, delivered: Delivered) -> TakenUp {
        let Delivered { received, at_ms, steady_ms } = &delivered;
        let (id, epoch) = (received.partition, received.epoch);
        // Read under an assignment that has ended: the new owner has it.
        let Some(partition) = self.partitions.open(id, epoch) else { return TakenUp::Yes };
        let room = match room_for(&self.core, &self.windows, partition, &delivered) {
            Ok(Some(room)) => room,
            Ok(None) => return TakenUp::NoRoom(delivered),
            Err(hold) => return TakenUp::Blocked(delivered, hold),
        };
        let Origin { offset, timestamp_ms, .. } = received.record.origin;
        let arrived = read(&self.core, received, *at_ms);
        let lane = arrived.reply.as_ref().ok().map(|reply| reply.target.lane());
        let occupied = lane.map_or(Occupied::No, |lane| self.lanes.occupied(lane));
        // What fills a lane leaves with what is before it, for a retry topic; a heartbeat takes no place.
        if occupied == Occupied::Full && !arrived.is_heartbeat() && !self.core.may_spill() {
            return TakenUp::Blocked(delivered, Hold::Lane);
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
        let queued_at = (occupied != Occupied::No).then(Instant::now);
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
            queued_at,
            found: OnceCell::new(),
            taken,
            _room: room,
        });
        self.core.weigh_refusal(&work);
        self.enter(work);
        TakenUp::Yes
    }

    /// Puts a record into its lane.
    fn enter(&mut self, work: Rc<Work>) {
        let Some(lane) = work.lane else { return self.make_ready(work) };
        match self.lanes.enter(lane, work) {
            Entered::Starts(work) => return self.make_ready(work),
            Entered::Waits => {}
            Entered::Replaces(older) => self.pass_over(&older),
        }
        if self.lanes.is_crowded(lane) {
            self.core.crowd(lane);
        }
    }

    /// Its turn in its lane has come.
    pub(super) fn make_ready(&mut self, work: Rc<Work>) {
        let asking = self.windows.ask(&work.life);
        self.ready.push_back((work, asking));
    }

    /// A heartbeat that a newer one of its attempt has overtaken: nothing is to be said or recorded.
    fn pass_over(&mut self, work: &Work) {
        if let Some(partition) = self.partitions.current(work.partition, work.epoch) {
            partition.offsets.settle(work.offset);
            self.core.ended_well(work);
        }
    }

    /// Holds a record back and pauses its partition, unless that is soon over.
    fn block(&mut self, id: PartitionId, epoch: Epoch, delivered: Delivered, hold: Hold) {
        let Some(partition) = self.partitions.open(id, epoch) else { return };
        partition.held.push_back(delivered);
        partition.blocked = true;
        partition.hold.get_or_insert_with(|| (hold, Instant::now()));
        self.pause_if_long(id, epoch);
    }

    /// Pauses a partition that is held back, unless that is soon over.
    fn pause_if_long(&mut self, id: PartitionId, epoch: Epoch) {
        let opens_soon = self.opens_soon();
        let Some(partition) = self.partitions.open(id, epoch) else { return };
        let Some((hold, since)) = partition.hold else { return };
        if hold == Hold::Asking && !self.asking.contains(&(id, epoch)) {
            self.asking.push((id, epoch));
        }
        if partition.paused || opens_soon && partition.is_opening() {
            return;
        }
        // The others are read while answers of the engine are waited for: those may take long.
        if (hold.is_short() || hold == Hold::Asking) && since.elapsed() < SHORT {
            if hold.is_short() && !self.short.contains(&(id, epoch)) {
                self.short.push((id, epoch));
            }
            return;
        }
        partition.paused = true;
        if !self.paused {
            self.core.log.command(Command::Pause(vec![id]));
        }
    }

    /// Pauses partitions for which writes or bytes were waited for in vain.
    pub(super) fn pause_short_holds(&mut self) {
        for (id, epoch) in std::mem::take(&mut self.short) {
            if self.partitions.open(id, epoch).is_some_and(|partition| partition.blocked) {
                self.pause_if_long(id, epoch);
            }
        }
    }

    /// Tries what waits for writes, bytes or answers of the engine, because some have ended.
    pub(super) fn retry_short_holds(&mut self) {
        for (id, epoch) in std::mem::take(&mut self.short).into_iter().chain(std::mem::take(&mut self.asking)) {
            self.retry_partition(id, epoch);
        }
    }

    /// Tries the records that are held back again, oldest first, and reads on where none is left.
    pub(super) fn retry_held(&mut self) {
        for (id, epoch) in self.partitions.blocked() {
            self.retry_partition(id, epoch);
        }
    }

    fn retry_partition(&mut self, id: PartitionId, epoch: Epoch) {
        for _ in 0..self.turns(id) {
            let next = self.partitions.open(id, epoch).and_then(|partition| partition.held.pop_front());
            let back = match next.map(|delivered| self.take_up(delivered)) {
                Some(TakenUp::Yes) => continue,
                Some(TakenUp::NoRoom(back)) => Some((back, Hold::Bytes)),
                Some(TakenUp::Blocked(back, hold)) => Some((back, hold)),
                None => None,
            };
            let Some(partition) = self.partitions.open(id, epoch) else { return };
            partition.blocked = back.is_some();
            let Some((back, hold)) = back else {
                partition.hold = None;
                if std::mem::replace(&mut partition.paused, false) && !self.paused {
                    self.core.log.command(Command::Resume(vec![id]));
                }
                return;
            };
            partition.held.push_front(back);
            let since = partition.hold.map_or_else(Instant::now, |(_, since)| since);
            partition.hold = Some((hold, since));
            return self.pause_if_long(id, epoch);
        }
    }
}

impl Arrived {
    fn is_heartbeat(&self) -> bool {
        self.reply.as_ref().is_ok_and(|reply| reply.answer.action() == Action::Heartbeat)
    }
}

/// Room for a record of a partition; `None` when nothing more can be in hand, and otherwise why the partition is held back.
fn room_for<E: Engine, L: Log>(
    core: &Core<E, L>,
    windows: &Rc<Windows>,
    partition: &Partition,
    delivered: &Delivered,
) -> Result<Option<Room>, Hold> {
    if partition.is_opening() {
        return Err(Hold::Ledger);
    }
    if partition.offsets.gap() >= core.options.max_gap {
        return Err(Hold::Ahead);
    }
    if !core.floodgate.admits(delivered.received.partition) {
        return Err(Hold::Flood);
    }
    if core.early_by(delivered) > 0 {
        return Err(Hold::NotDue);
    }
    if !windows.may_ask(&partition.life) {
        return Err(Hold::Asking);
    }
    if !windows.may_record(&partition.life) {
        return Err(Hold::Writing);
    }
    match windows.try_room(&partition.life, delivered.received.record.size()) {
        Ok(room) => Ok(Some(room)),
        Err(Full::All) => Ok(None),
        Err(Full::Share) => Err(Hold::Bytes),
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
