//! One worker: takes records from the consumer, starts their stories, and moves offsets when they end.

use std::collections::VecDeque;
use std::pin::pin;
use std::rc::Rc;

use futures_util::FutureExt;
use futures_util::StreamExt;
use futures_util::future::LocalBoxFuture;
use futures_util::stream::FuturesUnordered;
use tokio::sync::mpsc::{Receiver, UnboundedReceiver};
use tokio::time::{Instant, MissedTickBehavior};
use tokio_util::sync::CancellationToken;

use super::core::{Core, Shared};
use super::lanes::Lanes;
use super::options::{Options, Reads};
use super::partitions::{Delivered, Partition, Partitions};
use super::seams::{Command, Control, Engine, Epoch, Log, PartitionId, Piece, Received};
use super::watch::{ENGINE, watch};
use super::windows::{Asking, Slot, Windows};
use super::work::{Fate, Work};
use crate::admin::BreakerGauge;

mod first_look;
mod flood;
mod handover;
mod holds;
mod intake;
mod opening;
mod story;

pub use first_look::{FirstLook, first_look};
use handover::Leaving;
use opening::Opening;
use story::story;

/// What the consumer sends.
#[derive(Debug)]
pub struct Intake {
    /// Assignments, revokes, faults. Read first.
    pub control: UnboundedReceiver<Control>,
    /// Records in batches.
    pub records: Receiver<Vec<Received>>,
    /// What was asked for with [`Log::read_back`].
    pub pieces: Receiver<Piece>,
}

/// Why a worker ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ending {
    /// Asked to stop, and everything in hand was finished.
    Drained,
    /// Asked to stop, and this many records were still in hand at the deadline. They come again.
    DrainMissed(usize),
    /// What answers is not a Cadence frontend that accepts us.
    Wiring(String),
    /// The Kafka client cannot go on.
    Fatal(String),
}

/// Stories ended in one turn of the loop. More would keep a revoke waiting.
const MAX_FINISHES: usize = 32;

struct Worker<E, L> {
    core: Rc<Core<E, L>>,
    windows: Rc<Windows>,
    partitions: Partitions,
    lanes: Lanes<Rc<Work>>,
    /// Records whose turn in their lane has come and that wait for a place.
    ready: VecDeque<(Rc<Work>, Asking)>,
    /// Records delivered and not looked at yet.
    backlog: VecDeque<Delivered>,
    /// Partitions that are held back, probably for a moment: nothing is read meanwhile.
    short: Vec<(PartitionId, Epoch)>,
    /// Partitions that are held back until fewer of their replies ask the engine: the others are read meanwhile.
    asking: Vec<(PartitionId, Epoch)>,
    running: FuturesUnordered<LocalBoxFuture<'static, (Rc<Work>, Fate)>>,
    leaving: Option<Leaving>,
    /// Ledgers that are being read.
    openings: Vec<Opening>,
    last_ticket: u64,
    /// Whether the consumer was told to pause because of the gate.
    paused: bool,
}

/// Runs a worker until `stop` is cancelled or it cannot go on.
pub async fn run<E: Engine + 'static, L: Log + 'static>(
    engine: E,
    log: L,
    options: Options,
    shared: Shared,
    intake: Intake,
    stop: CancellationToken,
) -> Ending {
    let looked = match options.reads {
        Reads::Replies => first_look(&engine).await,
        // Those that read replies have asked already, or are asking.
        Reads::Retries => FirstLook::Sound,
    };
    run_after(looked, engine, log, options, shared, intake, stop).await
}

/// Runs a worker whose engine was looked at already (`first_look`): a wiring fault is an ending at once, an engine that cannot
/// be reached is waited for.
pub async fn run_after<E: Engine + 'static, L: Log + 'static>(
    looked: FirstLook,
    engine: E,
    log: L,
    options: Options,
    shared: Shared,
    mut intake: Intake,
    stop: CancellationToken,
) -> Ending {
    let core = Rc::new(Core::new(engine, log, options, shared));
    let mut worker = Worker::new(Rc::clone(&core));
    let ending = match looked {
        FirstLook::Broken(text) => Ending::Wiring(text),
        FirstLook::Silent => {
            core.gate.shut();
            worker.work(&mut intake, &stop).await
        }
        FirstLook::Sound => worker.work(&mut intake, &stop).await,
    };
    worker.close(&mut intake, ending).await
}

impl<E: Engine + 'static, L: Log + 'static> Worker<E, L> {
    fn new(core: Rc<Core<E, L>>) -> Self {
        let options = &core.options;
        Self {
            windows: Windows::new(options.max_in_flight, options.max_recording, options.max_in_flight_bytes),
            partitions: Partitions::default(),
            lanes: Lanes::new(options.max_lane_depth),
            ready: VecDeque::new(),
            backlog: VecDeque::new(),
            short: Vec::new(),
            asking: Vec::new(),
            running: FuturesUnordered::new(),
            leaving: None,
            openings: Vec::new(),
            last_ticket: 0,
            paused: false,
            core,
        }
    }

    /// The loop. One task sees all events, so that no state is shared.
    async fn work(&mut self, intake: &mut Intake, stop: &CancellationToken) -> Ending {
        let core = Rc::clone(&self.core);
        let windows = Rc::clone(&self.windows);
        let mut watcher = pin!(watch(&core));
        let mut dead = pin!(core.dead());
        let mut stopped = pin!(stop.cancelled());
        let mut tick = tokio::time::interval(core.options.offset_interval);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut drain_until = None;
        loop {
            // A batch can overtake the assignment it was read under when both come while the arms below are polled.
            if let Some(ending) = self.hear(intake) {
                return ending;
            }
            self.pump();
            if drain_until.is_some() && self.running.is_empty() {
                return Ending::Drained;
            }
            let leave_by = self.leave_by();
            let hungry = self.backlog.is_empty()
                && self.ready.is_empty()
                && drain_until.is_none()
                && core.gate.admits()
                && self.short.is_empty()
                && !self.holds_too_much()
                && !(self.opens_soon() && self.partitions.hold_for_ledgers());
            tokio::select! {
                biased;
                control = intake.control.recv() => match control.map(|control| self.control(control)) {
                    Some(None) => {}
                    Some(Some(ending)) => return ending,
                    None => return Ending::Fatal("the consumer thread ended unexpectedly".to_owned()),
                },
                () = &mut stopped, if drain_until.is_none() => {
                    self.start_draining();
                    drain_until = Some(Instant::now() + core.options.drain_timeout);
                }
                () = until(drain_until) => {
                    return Ending::DrainMissed(self.running.len());
                }
                text = &mut dead => return Ending::Fatal(text),
                text = &mut watcher => return Ending::Wiring(text),
                Some((work, fate)) = self.running.next() => {
                    self.finish(&work, fate);
                    self.finish_more();
                }
                () = until(leave_by) => self.let_go(true),
                Some(piece) = intake.pieces.recv() => self.take_in(piece),
                _ = tick.tick() => self.tick(),
                () = windows.freed() => {}
                batch = intake.records.recv(), if hungry => match batch {
                    Some(batch) => {
                        let (at_ms, steady_ms) = (core.now_ms(), core.clock.steady_ms());
                        let delivered = |received| Delivered { received, at_ms, steady_ms };
                        self.backlog.extend(batch.into_iter().map(delivered));
                    }
                    None => return Ending::Fatal("the consumer thread ended unexpectedly".to_owned()),
                },
            }
        }
    }

    fn start(&mut self, work: Rc<Work>, slot: Slot) {
        if let Some(partition) = self.partitions.current(work.partition, work.epoch) {
            partition.started += 1;
        }
        self.running.push(story(Rc::clone(&self.core), work, slot).boxed_local());
    }

    /// A story has ended: the offset moves, and the next of its lane may start.
    fn finish(&mut self, work: &Work, fate: Fate) {
        match self.partitions.current(work.partition, work.epoch) {
            Some(partition) => {
                partition.started -= 1;
                if fate == Fate::Settled {
                    partition.offsets.settle(work.offset);
                    self.core.ended_well(work);
                }
            }
            // The partition left while this was in hand; its new owner gets the record again.
            None => self.core.metrics.late_finish(),
        }
        self.leave_lane(work);
        self.let_go(false);
    }

    /// Stories seldom end alone: a packet of the engine's answers many. Without a turn of the whole loop for each.
    fn finish_more(&mut self) {
        for _ in 0..MAX_FINISHES {
            let Some(Some((work, fate))) = self.running.next().now_or_never() else { break };
            self.finish(&work, fate);
        }
        self.retry_short_holds();
    }

    fn leave_lane(&mut self, work: &Work) {
        if let Some(lane) = work.lane {
            if let Some(next) = self.lanes.leave(lane) {
                self.make_ready(next);
            }
            if self.core.any_crowded() && !self.lanes.is_crowded(lane) {
                self.core.no_longer_crowded(lane);
            }
        }
    }

    /// What is done at times rather than per record.
    fn tick(&mut self) {
        let committable = self.partitions.take_committable();
        if !committable.is_empty() {
            self.core.log.command(Command::Store(committable));
        }
        self.open_overdue();
        self.pause_slow_openings();
        self.pause_short_holds();
        self.tend_floods();
        self.retry_held();
        // One reply goes first, but with none in hand there is none to wait for: an idle process is ready.
        let idle = self.windows.in_hand().0 == 0 && self.core.gate.admits();
        if idle || self.core.gate.is_open() {
            self.core.unready.clear(ENGINE);
        }
        self.pause_for_gate();
        self.core.ailing.tell(self.core.gate.ails(self.core.options.reads == Reads::Retries));
        self.report();
    }

    /// While the gate is shut nothing is read: what is prefetched would only grow old here.
    fn pause_for_gate(&mut self) {
        let pause = !self.core.gate.admits();
        if pause == std::mem::replace(&mut self.paused, pause) {
            return;
        }
        let readable = self.partitions.iter().filter(|(_, p)| !p.paused).map(|(id, _)| id).collect();
        self.core.log.command(if pause { Command::Pause(readable) } else { Command::Resume(readable) });
    }

    /// Since when the oldest record of a partition waits that was read and is not settled: also one that is held back, but not
    /// before it is due.
    fn oldest_ms(&self, partition: &Partition) -> Option<i64> {
        let since = |it: &Delivered| self.core.due_ms(it).or(it.received.record.origin.timestamp_ms);
        let held = partition.held.front().and_then(since);
        partition.offsets.oldest_timestamp_ms().or(held)
    }

    fn report(&self) {
        let Core { options, metrics, gate, .. } = &*self.core;
        let (records, bytes) = self.windows.in_hand();
        metrics.in_flight(options.worker, records, bytes + self.partitions.held_bytes());
        self.report_holds();
        metrics.unknown_domain(options.worker, self.core.unresolved_replies.get());
        metrics.breaker(
            options.worker,
            match gate.breaker() {
                super::breaker::State::Closed => BreakerGauge::Closed,
                super::breaker::State::Open => BreakerGauge::Open,
                super::breaker::State::Trial => BreakerGauge::Probing,
            },
        );
        let now = self.core.now_ms();
        self.core.ledger.borrow_mut().expire(self.core.clock.steady_ms());
        metrics.ledger(options.worker, self.core.ledger.borrow().len());
        for (id, partition) in self.partitions.iter() {
            let age = self.oldest_ms(partition).map_or(0.0, |ms| (now - ms).max(0) as f64 / 1000.0);
            metrics.oldest_unsettled(options.topic(id.topic), id.partition, age);
        }
    }
}

/// Resolves at `deadline`, or never.
async fn until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}
