//! The topics as everybody else sees them.

use std::sync::{Arc, Mutex};

use handback::kafka::copies;
use handback::wire::{OutRecord, Outcome, Record, source_of};
use rdkafka::consumer::{BaseConsumer, Consumer, StreamConsumer};
use rdkafka::message::BorrowedMessage;
use rdkafka::producer::{FutureProducer, FutureRecord};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};
use tokio::task::JoinHandle;

use super::{LETTERS, OUTCOMES, PARTITIONS, PATIENCE, REPLIES, REQUESTS, TIERS, until};

/// Partition and offset of a reply.
pub(crate) type Source = (i32, i64);

/// Writes replies and reads everything that the bridge writes.
pub(crate) struct Log {
    brokers: String,
    producer: FutureProducer,
    seen: Arc<Mutex<Vec<Record>>>,
    reader: JoinHandle<()>,
}

impl Log {
    pub(crate) fn open(brokers: &str) -> Self {
        let producer = config(brokers, "writer").set("linger.ms", "0").create().unwrap();
        let consumer: StreamConsumer = config(brokers, "reader").create().unwrap();
        let mut everything = TopicPartitionList::new();
        let topics: Vec<_> = [REQUESTS, OUTCOMES, LETTERS].into_iter().chain(TIERS).collect();
        for (topic, partition) in topics.iter().flat_map(|t| (0..PARTITIONS).map(move |p| (*t, p))) {
            everything.add_partition_offset(topic, partition, Offset::Beginning).unwrap();
        }
        consumer.assign(&everything).unwrap();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let reader = tokio::spawn({
            let seen = Arc::clone(&seen);
            async move {
                loop {
                    if let Ok(message) = consumer.recv().await {
                        seen.lock().unwrap().push(record(&message));
                    }
                }
            }
        });
        Self { brokers: brokers.to_owned(), producer, seen, reader }
    }

    /// Writes a record and returns where it stands.
    pub(crate) async fn write(&self, record: OutRecord) -> Source {
        let mut out = FutureRecord::<[u8], [u8]>::to(&record.topic);
        out.headers = copies::headers(&record.headers);
        out.partition = record.partition;
        out.key = record.key.as_deref();
        out.payload = record.value.as_deref();
        let delivery = self.producer.send(out, PATIENCE).await.map_err(|(error, _)| error).unwrap();
        (delivery.partition, delivery.offset)
    }

    /// Every outcome so far, in the order of arrival.
    pub(crate) fn outcomes(&self) -> Vec<Outcome> {
        self.records(OUTCOMES).iter().map(|record| Outcome::parse(record.value.as_ref().unwrap()).unwrap()).collect()
    }

    /// Outcomes of one reply so far.
    pub(crate) fn outcomes_of(&self, source: Source) -> Vec<Outcome> {
        let mut outcomes = self.outcomes();
        outcomes.retain(|outcome| (outcome.source.partition, outcome.source.offset) == source);
        outcomes
    }

    /// Every request so far.
    pub(crate) fn requests(&self) -> Vec<Record> {
        self.records(REQUESTS)
    }

    /// Every dead letter so far.
    pub(crate) fn letters(&self) -> Vec<Record> {
        self.records(LETTERS)
    }

    /// Waits for the first outcome of a reply.
    pub(crate) async fn outcome(&self, source: Source) -> Outcome {
        until(&format!("{source:?} has an outcome"), async || !self.outcomes_of(source).is_empty()).await;
        self.outcomes_of(source).remove(0)
    }

    /// Waits for the outcome record of a reply, as it is on the topic.
    pub(crate) async fn outcome_record(&self, source: Source) -> Record {
        self.outcome(source).await;
        let of = |record: &Record| {
            let outcome = Outcome::parse(record.value.as_ref().unwrap()).unwrap();
            (outcome.source.partition, outcome.source.offset) == source
        };
        self.records(OUTCOMES).into_iter().find(of).unwrap()
    }

    /// Waits for the dead letter of a reply.
    pub(crate) async fn letter(&self, source: Source) -> Record {
        let find = || {
            let of = |record: &Record| source_of(&record.headers).is_some_and(|o| (o.partition, o.offset) == source);
            self.letters().into_iter().find(of)
        };
        until(&format!("{source:?} has a dead letter"), async || find().is_some()).await;
        find().unwrap()
    }

    /// A reply as it was moved to retry topics, once it was moved at all.
    pub(crate) async fn moved(&self, source: Source) -> Vec<Record> {
        let find = || {
            let mut moved: Vec<_> = TIERS.iter().flat_map(|topic| self.records(topic)).collect();
            moved.retain(|record| source_of(&record.headers).is_some_and(|o| (o.partition, o.offset) == source));
            moved
        };
        until(&format!("{source:?} is on a retry topic"), async || !find().is_empty()).await;
        find()
    }

    /// The group's committed offset.
    pub(crate) async fn committed(&self, group: &str, partition: i32) -> Option<i64> {
        self.committed_of(group, REPLIES, partition).await
    }

    /// A group's committed offset on any topic.
    pub(crate) async fn committed_of(&self, group: &str, topic: &'static str, partition: i32) -> Option<i64> {
        let config = config(&self.brokers, group);
        let look = move || {
            let client: BaseConsumer = config.create().unwrap();
            let mut asked = TopicPartitionList::new();
            asked.add_partition(topic, partition);
            let found = client.committed_offsets(asked, PATIENCE).unwrap();
            match found.elements()[0].offset() {
                Offset::Offset(offset) => Some(offset),
                _ => None,
            }
        };
        tokio::task::spawn_blocking(look).await.unwrap()
    }

    /// Offsets of the first record that a partition still has, and of the next one that is written.
    pub(crate) async fn watermarks(&self, topic: &'static str, partition: i32) -> (i64, i64) {
        let config = config(&self.brokers, "asker");
        let ask = move || {
            let client: BaseConsumer = config.create().unwrap();
            client.fetch_watermarks(topic, partition, PATIENCE).unwrap()
        };
        tokio::task::spawn_blocking(ask).await.unwrap()
    }

    /// The cluster's id.
    pub(crate) async fn cluster_id(&self) -> String {
        let config = config(&self.brokers, "asker");
        let ask = move || {
            let client: BaseConsumer = config.create().unwrap();
            handback::kafka::cluster_id(client.client(), PATIENCE).unwrap()
        };
        tokio::task::spawn_blocking(ask).await.unwrap()
    }

    fn records(&self, topic: &str) -> Vec<Record> {
        self.seen.lock().unwrap().iter().filter(|record| &*record.origin.topic == topic).cloned().collect()
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        self.reader.abort();
    }
}

fn config(brokers: &str, group: &str) -> ClientConfig {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", brokers).set("group.id", group).set("enable.auto.commit", "false");
    // The mock cluster lets an empty fetch wait to its end, whatever arrives meanwhile.
    config.set("fetch.wait.max.ms", "20");
    config
}

fn record(message: &BorrowedMessage<'_>) -> Record {
    copies::received(message)
}
