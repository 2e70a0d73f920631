//! Whether the topics that are read are still those that were read before. A topic that was deleted and made again has the
//! same name and other records; librdkafka goes on at the old offset.
//!
//! Offsets are committed with the id of the topic they are of ([`Note`]), which is how the next owner of a partition knows. No
//! commit passes for one of the new topic: what is read before the change is noticed is still committed as of the old one.

use std::collections::HashMap;
use std::sync::{Arc, MutexGuard, PoisonError};
use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::error::KafkaResult;
use rdkafka::{Offset, TopicPartitionList};
use tokio::time::Instant;

use super::native::{AskTopicIds, TopicId, TopicIds};
use super::notes::Note;
use super::positions::Start;
use super::rebalance::Context;

/// How often topics are looked at: within seconds somebody knows, for one small request of each consumer.
const CHECK: Duration = Duration::from_secs(5);

/// What is known of the topics' ids.
#[derive(Debug, Default)]
pub(super) struct Identity {
    /// By topic, the id that it had when it was first seen by this process, or read before by another.
    known: HashMap<String, TopicId>,
    /// Topic and id of those made again that may be read (`topics.accept_recreated`).
    accepted: Vec<(String, TopicId)>,
    /// A broker that answers.
    broker: Option<i32>,
}

impl Identity {
    pub(super) fn new(accepted: Vec<(String, String)>) -> Self {
        let ids = accepted.into_iter().filter_map(|(topic, id)| Some((topic, TopicId::parse(&id)?)));
        Self { accepted: ids.collect(), ..Self::default() }
    }

    /// The id that a topic had.
    pub(super) fn known(&self, topic: &str) -> Option<TopicId> {
        self.known.get(topic).copied()
    }

    /// A topic is read as this one from now on.
    pub(super) fn is_known(&mut self, topic: &str, id: TopicId) {
        self.known.insert(topic.to_owned(), id);
    }

    /// Notes a topic's id, unless it had one before.
    pub(super) fn first_seen(&mut self, topic: &str, id: TopicId) -> TopicId {
        *self.known.entry(topic.to_owned()).or_insert(id)
    }

    /// Whether somebody has said that this topic may be read although there was one before.
    pub(super) fn accepts(&self, topic: &str, id: TopicId) -> bool {
        self.accepted.iter().any(|(name, accepted)| name == topic && *accepted == id)
    }

    /// This broker is connected.
    pub(super) fn broker_is_up(&mut self, broker: i32) {
        self.broker = Some(broker);
    }
}

impl Context {
    pub(super) fn identity(&self) -> MutexGuard<'_, Identity> {
        self.identity.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The ids of the topics; none when nobody tells them in time, or the brokers have none: what is committed is believed
    /// then, and looked at again at the next check.
    pub(super) fn topic_ids(&self, consumer: &BaseConsumer<Self>) -> TopicIds {
        let asked =
            self.some_broker(consumer).zip(AskTopicIds::new(consumer.client())).and_then(|(broker, mut ask)| {
                ask.ask(consumer.client(), &self.topics, broker, self.lookup_timeout);
                // It ends by itself, in an error at the latest.
                ask.answer(self.lookup_timeout + Duration::from_secs(1))
            });
        match asked {
            Some(Ok(ids)) => ids,
            Some(Err(error)) => {
                tracing::warn!(consumer = %self.name, %error, "cannot read the topics' ids");
                TopicIds::new()
            }
            None => TopicIds::new(),
        }
    }

    fn some_broker(&self, consumer: &BaseConsumer<Self>) -> Option<i32> {
        let known = self.identity().broker;
        known.or_else(|| {
            let metadata =
                consumer.fetch_metadata(self.topics.first().map(|topic| &**topic), self.lookup_timeout).ok()?;
            metadata.brokers().first().map(|broker| broker.id())
        })
    }

    /// Stops what is read of a topic that is another now.
    fn compare(&self, consumer: &BaseConsumer<Self>, ids: &TopicIds) {
        let mut remade = false;
        for (topic, is) in ids {
            let known = self.identity().first_seen(topic, *is);
            let ours = self.partitions().topic_ids();
            for (id, was) in ours.into_iter().filter(|(id, _)| **self.partitions().topic(*id) == **topic) {
                let was = was.unwrap_or(known);
                self.partitions().is_of(id, was);
                if was != *is {
                    remade = true;
                    self.partitions().halt(id, true);
                    self.tell_start(id, Some(Start::Recreated { was, is: *is }));
                }
            }
        }
        if remade {
            self.apply_pauses(consumer);
            self.remember_remade(consumer);
        }
    }

    /// Commits, for each partition of a topic that was made again, an offset of the topic that was there before: the brokers
    /// deleted the group's offsets with it, and who reads the partition next would know of nothing. The offset itself is that
    /// of the new one's beginning, in case that an older handback comes to read it.
    pub(super) fn remember_remade(&self, consumer: &BaseConsumer<Self>) {
        let remade = self.partitions().of_remade();
        let commit = || -> KafkaResult<()> {
            let mut list = TopicPartitionList::with_capacity(remade.len());
            for (id, _) in &remade {
                let (topic, partition) = self.partitions().named(*id);
                list.add_partition_offset(&topic, partition, Offset::Offset(0))?;
            }
            let notes = remade.iter().map(|(_, was)| Note { topic_id: Some(*was), leader_epoch: None });
            for (mut element, note) in list.elements().into_iter().zip(notes) {
                element.set_metadata(note.to_string());
            }
            consumer.commit(&list, CommitMode::Async)
        };
        if !remade.is_empty()
            && let Err(error) = commit()
        {
            tracing::warn!(consumer = %self.name, %error, "cannot commit that a topic was made again; it is tried again");
        }
    }
}

/// Looks at the topics' ids now and then.
pub(super) struct IdentityCheck {
    ask: AskTopicIds,
    next: Instant,
}

impl IdentityCheck {
    /// `None` when librdkafka has no memory.
    pub(super) fn new(consumer: &BaseConsumer<Context>) -> Option<Self> {
        Some(Self { ask: AskTopicIds::new(consumer.client())?, next: Instant::now() + CHECK })
    }

    /// Asks when it is time, and acts on the answer when it is there. Waits for nothing.
    pub(super) fn tend(&mut self, consumer: &BaseConsumer<Context>) {
        let context = consumer.context();
        if self.ask.is_asked() {
            match self.ask.answer(Duration::ZERO) {
                None => {}
                Some(Ok(ids)) => context.compare(consumer, &ids),
                Some(Err(error)) => {
                    tracing::debug!(consumer = %context.name, %error, "cannot read the topics' ids");
                }
            }
            return;
        }
        if self.next > Instant::now() {
            return;
        }
        self.next = Instant::now() + CHECK;
        // Without a broker that is up there is nothing to ask, and nothing is read either.
        let broker = context.identity().broker;
        if let Some(broker) = broker {
            let topics: &[Arc<str>] = &context.topics;
            self.ask.ask(consumer.client(), topics, broker, context.lookup_timeout);
        }
    }
}
