//! What librdkafka calls back on the consumer thread: assignments, revokes, commits, errors, statistics. All of it runs
//! inside `poll` or inside the drop of the consumer, so nothing here needs to be quick, only bounded.

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
use super::identity::Identity;
use super::inbox::Inbox;
use super::membership::Membership;
use super::notes::Note;
use super::partitions::Partitions;
use super::positions::{self, OnGap};
use super::statistics::Statistics;
use crate::bridge::seams::{Control, PartitionId};

/// The consumer's context. Only the consumer thread locks anything here, so no lock is ever waited for; they are there
/// because librdkafka's contexts must be `Sync`.
pub(super) struct Context {
    pub(super) name: String,
    pub(super) partitions: Mutex<Partitions>,
    pub(super) inbox: Mutex<Inbox>,
    pub(super) topics: Arc<[Arc<str>]>,
    pub(super) identity: Mutex<Identity>,
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

    pub(super) fn ids(&self, list: &TopicPartitionList) -> Vec<PartitionId> {
        let partitions = self.partitions();
        list.elements().iter().filter_map(|e| partitions.id(e.topic(), e.partition())).collect()
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
        for (mut element, (id, offset)) in list.elements().into_iter().zip(&offsets) {
            let note = self.partitions().note(*id, *offset);
            if note != Note::default() {
                element.set_metadata(note.to_string());
            }
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
        statistics.some_broker().into_iter().for_each(|broker| self.identity().broker_is_up(broker));
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
