//! The loop of the consumer thread.

use std::sync::Arc;
use std::thread;
use std::time::Duration;

use rdkafka::consumer::Consumer;
use rdkafka::error::RDKafkaErrorCode as Code;
use tokio::sync::mpsc::error::TrySendError;
use tokio::time::Instant;

use super::batch::{POLL, Turn, gather};
use super::copies;
use super::handover::Handover;
use super::identity::IdentityCheck;
use super::membership;
use super::native::{Event, EventConsumer, Message, Trouble};
use super::rebalance::Context;
use crate::bridge::seams::{Command, Control, PartitionId, Received};

/// Wait between two tries to hand over a batch while the worker is busy.
const NAP: Duration = Duration::from_millis(2);

/// How long the worker may take nothing before fetching is paused. Pausing throws away what was fetched ahead, so it is
/// for stalls, not for flow control.
const STALL: Duration = Duration::from_secs(1);

/// Shortest time between two repairs of reading positions.
const REPAIR: Duration = Duration::from_secs(1);

/// How often a missing or forbidden topic is looked at again.
const TOPIC_CHECK: Duration = Duration::from_secs(5);

/// How often what is not committed is looked at: several times the usual `kafka.auto_commit_interval`.
const COMMIT_CHECK: Duration = Duration::from_secs(5);

/// The thread's state.
pub(super) struct Pump {
    consumer: EventConsumer<Context>,
    topics: Arc<[Arc<str>]>,
    records: Handover,
    /// Read, not yet handed over. Grows past a batch only by what was on its way when fetching was paused.
    held: Vec<Received>,
    /// Since when the worker has taken nothing.
    full_since: Option<Instant>,
    /// When positions are to be checked.
    repair_at: Option<Instant>,
    next_topic_check: Instant,
    /// What was stored and not committed when that was last looked at, and when it is looked at again.
    uncommitted: (Vec<(PartitionId, i64)>, Instant),
    /// Before the consumer, which must outlive it.
    identity: Option<IdentityCheck>,
}

impl Pump {
    pub(super) fn new(consumer: EventConsumer<Context>, topics: Arc<[Arc<str>]>, records: Handover) -> Self {
        let now = Instant::now();
        Self {
            identity: IdentityCheck::new(&consumer),
            consumer,
            topics,
            held: records.batch(),
            records,
            full_since: None,
            repair_at: None,
            next_topic_check: now,
            uncommitted: (Vec::new(), now),
        }
    }

    pub(super) fn run(mut self) {
        while self.turn() != Turn::Last {}
        drop(self.identity);
        // Runs the revoke callback, which still waits for the worker; commits; leaves the group.
        drop(self.consumer);
    }

    fn context(&self) -> &Arc<Context> {
        self.consumer.context()
    }

    fn turn(&mut self) -> Turn {
        if self.obey() == Turn::Last || self.context().control.is_closed() {
            return Turn::Last;
        }
        self.look_after_positions();
        self.look_after_fetching();
        self.context().look_after_ends(&self.consumer);
        self.look_after_topics();
        if let Some(identity) = &mut self.identity {
            identity.tend(&self.consumer);
        }
        self.look_after_commits();
        if !self.hand_over() {
            return self.wait_for_worker();
        }
        if self.context().partitions().choked() {
            self.choke(false);
        }
        self.fill()
    }

    /// Reads one batch.
    fn fill(&mut self) -> Turn {
        let mut batch = std::mem::take(&mut self.held);
        let turn = gather(self.records.batches(), &mut batch, |held, wait| self.poll(held, wait));
        self.held = batch;
        turn
    }

    /// The worker is busy, and a batch is held.
    fn wait_for_worker(&mut self) -> Turn {
        if self.context().partitions().choked() {
            let mut held = std::mem::take(&mut self.held);
            let turn = self.poll(&mut held, POLL);
            self.held = held;
            return turn;
        }
        let since = *self.full_since.get_or_insert_with(Instant::now);
        if since.elapsed() >= STALL {
            self.choke(true);
        } else {
            thread::sleep(NAP);
        }
        Turn::Next
    }

    fn choke(&mut self, choked: bool) {
        tracing::debug!(consumer = %self.context().name, choked, "worker takes nothing: fetching paused or resumed");
        self.context().partitions().set_choked(choked);
        self.context().apply_pauses(&self.consumer);
    }

    /// Commands first: they are cheap, and stores must not wait for records.
    fn obey(&mut self) -> Turn {
        let context = self.consumer.context().clone();
        let mut pauses_changed = false;
        while let Some(command) = context.inbox().next() {
            match command {
                Command::Store(offsets) => context.store(&self.consumer, offsets),
                Command::Pause(ids) => {
                    context.partitions().set_paused(&ids, true);
                    pauses_changed = true;
                }
                Command::Resume(ids) => {
                    context.partitions().set_paused(&ids, false);
                    pauses_changed = true;
                }
                Command::Close => return Turn::Last,
            }
        }
        // All at once: librdkafka is waited for at each call, and ledgers that come resume their partitions one by one.
        if pauses_changed {
            context.apply_pauses(&self.consumer);
        }
        Turn::Next
    }

    /// One call into librdkafka, which may run callbacks; a record goes to `held`.
    fn poll(&mut self, held: &mut Vec<Received>, wait: Duration) -> Turn {
        let Self { consumer, topics, .. } = &*self;
        match consumer.poll(wait, |message| receive(consumer.context(), topics, message)) {
            None => Turn::Idle,
            Some(Event::Heard) => Turn::Next,
            Some(Event::End(place)) => {
                consumer.context().ended(&place);
                consumer.context().reached(consumer, &place);
                Turn::Next
            }
            Some(Event::Record(received)) => {
                held.extend(received);
                Turn::Next
            }
            Some(Event::Trouble(trouble)) => self.trouble(&trouble),
        }
    }

    fn trouble(&mut self, trouble: &Trouble) -> Turn {
        if trouble.fatal {
            let text = match self.consumer.client().fatal_error() {
                Some((code, text)) => format!("{code}: {text}{}", membership::fatal_advice(code)),
                None => trouble.text.clone(),
            };
            let _ = self.context().control.send(Control::Fatal(format!("the Kafka consumer is dead: {text}")));
            return Turn::Last;
        }
        if let Some(place) = trouble.place.as_ref().filter(|_| is_truncation(trouble)) {
            self.context().truncated(&self.consumer, place);
        } else if matches!(trouble.code, Code::AutoOffsetReset | Code::LogTruncation) {
            // librdkafka has stopped reading some partition, and will not say it again.
            self.repair_at.get_or_insert_with(Instant::now);
        } else if let Some(place) = &trouble.place {
            self.context().cannot_read(place, trouble);
        }
        Turn::Next
    }

    /// True when nothing is held any more.
    fn hand_over(&mut self) -> bool {
        if self.held.is_empty() {
            return true;
        }
        match self.records.send(&mut self.held) {
            Ok(()) => {
                self.full_since = None;
                true
            }
            Err(TrySendError::Full(())) => false,
            // The control channel tells the same: the next turn is the last.
            Err(TrySendError::Closed(())) => true,
        }
    }

    /// After an error about positions: start every partition anew where it stands, or where that is impossible, as
    /// [`OnGap`](super::OnGap) says. A seek would not do: it is refused or lost on such a partition.
    fn look_after_positions(&mut self) {
        if self.context().partitions().any_undecided() {
            self.repair_at.get_or_insert_with(Instant::now);
        }
        if let Err(error) = self.context().ask_logs(&self.consumer) {
            tracing::warn!(consumer = %self.context().name, %error, "cannot ask a log what it has; it is read anew");
            self.repair_at.get_or_insert_with(Instant::now);
        }
        if self.repair_at.is_none_or(|at| at > Instant::now()) {
            return;
        }
        match self.context().restart(&self.consumer) {
            Ok(()) => {
                self.repair_at = None;
                self.context().conditions.clear("positions");
            }
            Err(error) => {
                self.repair_at = Some(Instant::now() + REPAIR);
                let reason = format!("some partition is not read, and its position cannot be repaired yet: {error}");
                self.context().conditions.raise("positions", reason);
            }
        }
    }

    fn look_after_fetching(&self) {
        if let Err(error) = self.context().start_anew(&self.consumer) {
            tracing::warn!(consumer = %self.context().name, %error, "a partition that is not read cannot be started anew");
        }
    }

    fn look_after_commits(&mut self) {
        let (before, at) = &mut self.uncommitted;
        if *at <= Instant::now() {
            *before = self.consumer.context().store_again(&self.consumer, before);
            *at = Instant::now() + COMMIT_CHECK;
        }
    }

    /// A missing topic is reported once; that it has come is not reported to members that get none of its partitions.
    fn look_after_topics(&mut self) {
        if self.next_topic_check > Instant::now() || !self.context().conditions.topic_trouble() {
            return;
        }
        self.next_topic_check = Instant::now() + TOPIC_CHECK;
        let bound = self.context().lookup_timeout;
        let seen = |topic: &Arc<str>| {
            let metadata = self.consumer.fetch_metadata(Some(topic), bound);
            metadata.is_ok_and(|m| m.topics().iter().any(|t| t.error().is_none() && !t.partitions().is_empty()))
        };
        let all: Vec<_> = self.topics.iter().filter(|t| seen(t)).collect();
        all.iter().for_each(|t| self.context().conditions.topic_seen(t));
        if all.len() == self.topics.len() {
            self.context().conditions.topics_seen();
        }
    }
}

/// Whether a log no longer has what was read of it. With `auto.offset.reset=error` librdkafka tells that as a position which
/// cannot be, with the cause in its text alone (rdkafka_offset.c, `rd_kafka_toppar_handle_OffsetForLeaderEpoch`).
fn is_truncation(trouble: &Trouble) -> bool {
    trouble.code == Code::LogTruncation
        || trouble.code == Code::AutoOffsetReset && trouble.text.contains("Partition log truncation detected")
}

/// Copies a record out, unless its partition has left.
fn receive(context: &Context, topics: &[Arc<str>], message: Message<'_>) -> Option<Received> {
    let (partition, epoch, was_in_trouble) = {
        let mut partitions = context.partitions();
        let id = partitions.id(message.topic(), message.partition())?;
        (id, partitions.read(id, message.offset(), message.leader_epoch())?, partitions.fetching.well(id))
    };
    if was_in_trouble {
        context.is_read_again(partition);
    }
    let record = copies::record(message, Arc::clone(&topics[usize::from(partition.topic)]));
    Some(Received { partition, epoch, record })
}

#[cfg(test)]
#[path = "pump_tests.rs"]
mod tests;
