//! What librdkafka calls back on the consumer thread: assignments, revokes, commits, errors, statistics. All of it runs
//! inside `poll` or inside the drop of the consumer, so nothing here needs to be quick, only bounded.

use std::collections::HashMap;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext, RebalanceProtocol};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode as Code};
use rdkafka::types::RDKafkaRespErr;
use rdkafka::{Offset, TopicPartitionList};
use tokio::sync::mpsc::UnboundedSender;

use super::errors::{self, Conditions, Observer};
use super::fetching;
use super::inbox::Inbox;
use super::membership::Membership;
use super::partitions::Partitions;
use super::positions::{self, OnGap, Start};
use super::statistics::Statistics;
use crate::bridge::seams::{Control, PartitionId};

/// The consumer's context. Only the consumer thread locks anything here, so no lock is ever waited for; they are there
/// because librdkafka's contexts must be `Sync`.
pub(super) struct Context {
    pub(super) name: String,
    pub(super) partitions: Mutex<Partitions>,
    pub(super) inbox: Mutex<Inbox>,
    pub(super) control: UnboundedSender<Control>,
    pub(super) conditions: Conditions,
    pub(super) observer: Arc<dyn Observer>,
    pub(super) on_gap: OnGap,
    pub(super) revoke_timeout: Duration,
    pub(super) lookup_timeout: Duration,
    pub(super) membership: Mutex<Membership>,
}

impl Context {
    pub(super) fn partitions(&self) -> MutexGuard<'_, Partitions> {
        self.partitions.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn inbox(&self) -> MutexGuard<'_, Inbox> {
        self.inbox.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn ids(&self, list: &TopicPartitionList) -> Vec<PartitionId> {
        let partitions = self.partitions();
        list.elements().iter().filter_map(|e| partitions.id(e.topic(), e.partition())).collect()
    }

    /// Decides where each partition starts. `wanted` holds what is known already; for the others the group is asked.
    /// `None` for a partition: the group's answer is missing, librdkafka must find it itself.
    pub(super) fn starts(
        &self,
        consumer: &BaseConsumer<Self>,
        wanted: &[(PartitionId, Option<i64>)],
    ) -> Vec<(PartitionId, Option<Start>)> {
        let named: HashMap<_, _> = wanted.iter().map(|(id, _)| (*id, self.partitions().named(*id))).collect();
        let unknown: Vec<_> = wanted.iter().filter(|(_, at)| at.is_none()).map(|(id, _)| named[id].clone()).collect();
        let committed = if unknown.is_empty() {
            Ok(HashMap::new())
        } else {
            positions::committed(consumer, &unknown, self.lookup_timeout)
        };
        if let Err(error) = &committed {
            tracing::warn!(consumer = %self.name, %error, "cannot read committed offsets");
        }
        let known: Vec<_> = wanted
            .iter()
            .filter_map(|(id, at)| {
                let at = at.or_else(|| committed.as_ref().ok().and_then(|c| c.get(&named[id]).copied()));
                at.map(|_| named[id].clone())
            })
            .collect();
        let marks = if known.is_empty() {
            HashMap::new()
        } else {
            positions::watermarks(consumer, &known, self.lookup_timeout)
        };
        let start = |(id, at): &(PartitionId, Option<i64>)| {
            let marks = marks.get(&named[id]).copied();
            let start = match (at, &committed) {
                (Some(at), _) => Some(positions::decide(Some(*at), marks)),
                (None, Ok(committed)) => Some(positions::decide(committed.get(&named[id]).copied(), marks)),
                (None, Err(_)) => None,
            };
            (*id, start)
        };
        wanted.iter().map(start).collect()
    }

    /// Turns a start into what is assigned: offset, known position, whether the partition is halted. Reports gaps.
    pub(super) fn settle_start(&self, id: PartitionId, start: Option<Start>) -> (Offset, Option<i64>, bool) {
        let (topic, partition) = self.partitions().named(id);
        let condition = format!("position/{topic}/{partition}");
        if let Some(reason) = start.and_then(|s| positions::halt_reason(&topic, partition, s, self.on_gap)) {
            self.conditions.raise(&condition, reason);
        } else {
            self.conditions.clear(&condition);
        }
        match start {
            // librdkafka reads the committed offset itself; without one it says AutoOffsetReset and we decide again.
            None => (Offset::Invalid, None, false),
            Some(Start::Beginning) => (Offset::Beginning, None, false),
            Some(Start::At(offset)) => (Offset::Offset(offset), Some(offset), false),
            Some(Start::Gap { wanted, low }) if self.on_gap == OnGap::Continue => {
                tracing::warn!(topic, partition, wanted, low, records = low - wanted, "records lost to retention");
                (Offset::Offset(low), Some(low), false)
            }
            Some(Start::Gap { wanted, low }) => (Offset::Offset(low), Some(wanted), true),
            Some(Start::Beyond { wanted, high }) => (Offset::Offset(high), Some(wanted), true),
        }
    }

    fn assigned(&self, consumer: &BaseConsumer<Self>, list: &mut TopicPartitionList) -> KafkaResult<()> {
        let ids = self.ids(list);
        let wanted: Vec<_> = ids.iter().map(|id| (*id, None)).collect();
        let mut settled = Vec::with_capacity(ids.len());
        for (id, start) in self.starts(consumer, &wanted) {
            let (offset, position, halted) = self.settle_start(id, start);
            let (topic, partition) = self.partitions().named(id);
            list.set_partition_offset(&topic, partition, offset)?;
            settled.push((id, position, halted));
        }
        match consumer.rebalance_protocol() {
            RebalanceProtocol::Cooperative => consumer.incremental_assign(list)?,
            RebalanceProtocol::Eager | RebalanceProtocol::None => consumer.assign(list)?,
        }
        self.conditions.member();
        let epochs: Vec<_> = {
            let mut partitions = self.partitions();
            settled.into_iter().map(|(id, at, halted)| (id, partitions.assign(id, at, halted))).collect()
        };
        self.apply_pauses(consumer);
        for (id, epoch) in &epochs {
            let (topic, partition) = self.partitions().named(*id);
            self.conditions.topic_seen(&topic);
            let from = self.partitions().settled(*id);
            tracing::info!(consumer = %self.name, topic, partition, epoch, from, "partition assigned");
        }
        if !epochs.is_empty() {
            let _ = self.control.send(Control::Assigned(epochs));
        }
        Ok(())
    }

    fn revoked(&self, consumer: &BaseConsumer<Self>, list: &TopicPartitionList) -> KafkaResult<()> {
        let ids = self.ids(list);
        let ending = self.partitions().epochs(&ids);
        if consumer.assignment_lost() {
            tracing::warn!(consumer = %self.name, partitions = ids.len(), "partitions lost: the group gave them away");
            let _ = self.control.send(Control::Lost(ending));
        } else if !ending.is_empty() {
            // Bounded to one answer. An answer after the deadline goes nowhere.
            let (answer, answered) = mpsc::sync_channel(1);
            let sent = self.control.send(Control::Revoked(ending, answer));
            let prefixes = match sent.map(|()| answered.recv_timeout(self.revoke_timeout)) {
                Ok(Ok(prefixes)) => prefixes,
                Ok(Err(RecvTimeoutError::Timeout)) => {
                    tracing::warn!(consumer = %self.name, "work on revoked partitions did not end in time");
                    Vec::new()
                }
                // No worker any more.
                Ok(Err(RecvTimeoutError::Disconnected)) | Err(_) => Vec::new(),
            };
            let waiting = self.inbox().take_stores();
            self.store(consumer, waiting);
            // Stored only: librdkafka commits what is stored before the partition moves. A commit from here puts an
            // older offset back.
            self.store(consumer, prefixes);
        }
        for id in &ids {
            let (topic, partition) = self.partitions().named(*id);
            let settled = self.partitions().settled(*id);
            self.partitions().revoke(*id);
            self.conditions.clear(&format!("position/{topic}/{partition}"));
            self.conditions.clear(&fetching::condition(&topic, partition));
            self.observer.left(&topic, partition);
            tracing::info!(consumer = %self.name, topic, partition, settled, "partition revoked");
        }
        match consumer.rebalance_protocol() {
            RebalanceProtocol::Cooperative => consumer.incremental_unassign(list),
            RebalanceProtocol::Eager | RebalanceProtocol::None => consumer.unassign(),
        }
    }

    /// Stores offsets (next to read) for the next commit. A list can fail in part without the call failing.
    pub(super) fn store(&self, consumer: &BaseConsumer<Self>, offsets: Vec<(PartitionId, i64)>) {
        let (offsets, late) = self.partitions().storable(offsets);
        (0..late).for_each(|_| self.observer.late_store());
        if offsets.is_empty() {
            return;
        }
        let mut list = TopicPartitionList::with_capacity(offsets.len());
        for (id, offset) in &offsets {
            // Cannot fail: the element is there and the offset is not negative.
            let _ = list.add_partition_offset(self.partitions().topic(*id), id.partition, Offset::Offset(*offset));
        }
        let stored = consumer.store_offsets(&list);
        for (element, (id, offset)) in list.elements().iter().zip(&offsets) {
            let (topic, partition) = (element.topic(), id.partition);
            match element.error().map_err(|e| e.rdkafka_error_code()) {
                Ok(()) => self.partitions().stored(*id, *offset),
                Err(Some(Code::State)) => self.observer.late_store(),
                Err(code) => tracing::warn!(topic, partition, offset, ?code, ?stored, "offset not stored"),
            }
        }
    }

    /// Stores again what was stored and is not committed although commits had the time. librdkafka was seen to forget, now
    /// and then, what is stored while a rebalance runs; nothing is lost by that, but the lag would stand still until the
    /// partition's next record. `before` is what was so the last time; answers what is so now.
    pub(super) fn store_again(
        &self,
        consumer: &BaseConsumer<Self>,
        before: &[(PartitionId, i64)],
    ) -> Vec<(PartitionId, i64)> {
        let now = self.partitions().uncommitted();
        let again: Vec<_> = now.iter().filter(|stored| before.contains(stored)).copied().collect();
        if !again.is_empty() {
            tracing::debug!(consumer = %self.name, partitions = again.len(), "stored again: not committed yet");
            self.store(consumer, again);
        }
        now
    }

    /// Unassigns and assigns all partitions that are read, at positions checked against what the broker has.
    pub(super) fn restart(&self, consumer: &BaseConsumer<Self>) -> KafkaResult<()> {
        let reading = self.partitions().reading();
        if reading.is_empty() {
            return Ok(());
        }
        let starts = self.starts(consumer, &reading);
        if starts.iter().any(|(_, start)| start.is_none()) {
            return Err(KafkaError::OffsetFetch(Code::OperationTimedOut));
        }
        let named: Vec<_> = reading.iter().map(|(id, _)| self.partitions().named(*id)).collect();
        let mut list = positions::list(&named, Offset::Invalid)?;
        consumer.incremental_unassign(&list)?;
        for (id, start) in starts {
            let (offset, position, halted) = self.settle_start(id, start);
            let (topic, partition) = self.partitions().named(id);
            list.set_partition_offset(&topic, partition, offset)?;
            self.partitions().restart(id, position, halted);
        }
        consumer.incremental_assign(&list)?;
        self.apply_pauses(consumer);
        Ok(())
    }

    /// Tells librdkafka which partitions to pause and which to read.
    pub(super) fn apply_pauses(&self, consumer: &BaseConsumer<Self>) {
        let (pause, resume) = self.partitions().pause_changes();
        for (ids, paused) in [(pause, true), (resume, false)] {
            if ids.is_empty() {
                continue;
            }
            let named: Vec<_> = ids.iter().map(|id| self.partitions().named(*id)).collect();
            let done = positions::list(&named, Offset::Invalid)
                .and_then(|list| if paused { consumer.pause(&list) } else { consumer.resume(&list) });
            if let Err(error) = done {
                tracing::warn!(consumer = %self.name, %error, paused, "cannot pause or resume");
            }
        }
    }
}

impl ClientContext for Context {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, line: &str) {
        errors::log(&self.name, level, facility, line);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        if let Some(code) = error.rdkafka_error_code() {
            self.conditions.heard(code, reason);
        }
    }

    fn stats_raw(&self, json: &[u8]) {
        let Some(statistics) = Statistics::parse(json) else { return };
        if statistics.connected() {
            self.conditions.connected();
        }
        if let Some(group) = &statistics.cgrp {
            self.look_at_group(group);
        }
        self.report_lags(&statistics);
    }
}

impl ConsumerContext for Context {
    fn rebalance(&self, consumer: &BaseConsumer<Self>, err: RDKafkaRespErr, list: &mut TopicPartitionList) {
        let (done, what) = match err {
            RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS => (self.assigned(consumer, list), "assignment"),
            RDKafkaRespErr::RD_KAFKA_RESP_ERR__REVOKE_PARTITIONS => (self.revoked(consumer, list), "revoke"),
            other => (Err(KafkaError::Rebalance(Code::from(other))), "rebalance"),
        };
        match done {
            Ok(()) => self.conditions.clear("rebalance"),
            Err(error) => self.conditions.raise("rebalance", format!("{what} failed: {error}")),
        }
    }

    fn commit_callback(&self, result: KafkaResult<()>, offsets: &TopicPartitionList) {
        match result.map_err(|e| e.rdkafka_error_code()) {
            Ok(()) => {
                // Whatever kept us from the group is over, also when no rebalance says so.
                self.conditions.member();
                for element in offsets.elements() {
                    if let (Ok(()), Offset::Offset(offset)) = (element.error(), element.offset()) {
                        let (topic, partition) = (element.topic(), element.partition());
                        let id = self.partitions().id(topic, partition);
                        id.inspect(|id| self.partitions().committed(*id, offset));
                        self.observer.committed(topic, partition, offset);
                    }
                }
            }
            // Nothing new to commit.
            Err(Some(Code::NoOffset)) => {}
            // Everyday: the next commit has the same offsets, unless their partition leaves first.
            Err(Some(Code::RebalanceInProgress)) => {
                self.observer.not_committed();
                tracing::debug!(consumer = %self.name, "offsets not committed during a rebalance");
            }
            Err(code) => {
                self.observer.not_committed();
                tracing::warn!(consumer = %self.name, ?code, "offsets not committed; they will be tried again");
                if let Some(code) = code {
                    self.conditions.heard(code, "offset commit");
                }
            }
        }
    }
}
