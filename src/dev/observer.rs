//! Watches the topics from outside, with what any Kafka client has: records and committed offsets.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::{Message, Offset, TopicPartitionList};
use tokio::sync::mpsc::{self, Receiver, Sender};
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use super::clients::{self, Quiet, Reader};
use super::stack::PARTITIONS;
use crate::config::Settings;
use crate::run::wall_clock_ms;
use crate::wire::{self, Limits, Origin, Outcome, Record, Refusal, Reply, Request};

/// How long a record is held back so that what was written before it on another partition can come first.
const HOLD_MS: i64 = 60;

/// A record whose timestamp is further away than this has its time from somewhere else.
const TRUSTED_MS: i64 = 2_000;

/// How often held records are looked at.
const TICK: Duration = Duration::from_millis(20);

/// How often committed offsets are looked up.
const LOOK_UP: Duration = Duration::from_millis(100);

/// Bound of one look-up.
const PATIENCE: Duration = Duration::from_secs(5);

/// Sightings that wait to be told. More only slows the observer down.
const WAITING: usize = 1024;

/// Something that was seen on the topics.
#[derive(Debug)]
pub(super) struct Sighting {
    /// When it happened, in milliseconds since the epoch.
    pub(super) at_ms: i64,
    /// What it is.
    pub(super) what: What,
}

/// What was seen.
#[derive(Debug)]
pub(super) enum What {
    /// A request; `None` when its value is not one.
    Request(Origin, Option<Box<Request>>),
    /// A reply, and how the contract reads it.
    Reply(Box<Record>, Result<Box<Reply>, Box<Refusal>>),
    /// A dead letter.
    DeadLetter(Box<Record>),
    /// An outcome.
    Outcome(Box<Outcome>),
    /// A workflow is over, in this way.
    Closed(String, &'static str),
    /// Where each partition of the reply topic stands.
    Offsets(Vec<Reach>),
}

impl What {
    /// What comes first of things with the same time.
    fn rank(&self) -> u8 {
        match self {
            Self::Request(..) => 0,
            Self::Reply(..) => 1,
            Self::DeadLetter(_) => 2,
            Self::Outcome(_) => 3,
            Self::Closed(..) => 4,
            Self::Offsets(_) => 5,
        }
    }
}

/// Where a partition of the reply topic stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Reach {
    /// Its number.
    pub(super) partition: i32,
    /// The offset that the group has committed, if it has.
    pub(super) committed: Option<i64>,
    /// Its end: the offset of the next record.
    pub(super) end: i64,
}

/// What is seen, in the order in which it happened, as far as timestamps tell.
pub(super) struct Watch {
    /// What was seen, everything in its place.
    pub(super) seen: Receiver<Sighting>,
    /// Takes what was seen elsewhere.
    pub(super) also: Sender<Sighting>,
    unread: Arc<AtomicUsize>,
}

impl Watch {
    /// Whether every partition is being read.
    pub(super) fn is_ready(&self) -> bool {
        self.unread.load(Ordering::Acquire) == 0
    }
}

/// Begins to watch. Ends with `stop`, or when nobody listens any more.
pub(super) fn watch(settings: &Settings, stop: CancellationToken) -> Result<Watch, KafkaError> {
    let topics = &settings.topics;
    let names = [&topics.requests, &topics.replies[0], &topics.outcomes, &topics.dead_letters];
    let everything: Vec<_> = names.map(|name| (name.clone(), PARTITIONS)).into();
    let reader = clients::reader(&settings.kafka.brokers, &everything)?;
    let look_up = LookUp::new(settings)?;
    let (out, seen) = mpsc::channel(WAITING);
    let (also, others) = mpsc::channel(WAITING);
    let partitions: i32 = everything.iter().map(|(_, partitions)| partitions).sum();
    let unread = Arc::new(AtomicUsize::new(partitions.unsigned_abs() as usize));
    let observer =
        Observer { names: names.map(Clone::clone), reader, unread: Arc::clone(&unread), held: Vec::new(), out };
    tokio::spawn(stop.clone().run_until_cancelled_owned(observer.run(others)));
    tokio::spawn(stop.run_until_cancelled_owned(look_up.run(also.clone())));
    Ok(Watch { seen, also, unread })
}

struct Observer {
    /// Requests, replies, outcomes, dead letters.
    names: [String; 4],
    reader: Reader,
    /// Partitions whose end has not been reached for the first time.
    unread: Arc<AtomicUsize>,
    held: Vec<Sighting>,
    out: Sender<Sighting>,
}

impl Observer {
    async fn run(mut self, mut others: Receiver<Sighting>) {
        let mut tick = tokio::time::interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                message = self.reader.recv() => match message {
                    Ok(message) => {
                        let what = self.read(message.topic(), clients::record(&message));
                        self.held.extend(what);
                    }
                    Err(KafkaError::PartitionEOF(_)) => {
                        let _ = self.unread.fetch_update(Ordering::AcqRel, Ordering::Acquire, |left| left.checked_sub(1));
                    }
                    // Broker and observer stop at the same time; anything else heals inside librdkafka.
                    Err(error) => tracing::debug!(%error, "the observer could not read"),
                },
                Some(sighting) = others.recv() => self.held.push(sighting),
                _ = tick.tick() => if !self.tell().await { return },
            }
        }
    }

    fn read(&self, topic: &str, record: Record) -> Option<Sighting> {
        let now = wall_clock_ms();
        let at_ms = record.origin.timestamp_ms.filter(|at| (now - TRUSTED_MS..=now).contains(at)).unwrap_or(now);
        let [requests, replies, outcomes, _] = &self.names;
        let value = record.value.as_deref().unwrap_or_default();
        let what = if topic == requests {
            let request = Request::parse(value).ok().map(Box::new);
            What::Request(record.origin, request)
        } else if topic == replies {
            let reply = wire::decode(&record, &Limits::default()).map(Box::new);
            What::Reply(Box::new(record), reply)
        } else if topic == outcomes {
            match Outcome::parse(value) {
                Ok(outcome) => What::Outcome(Box::new(outcome)),
                Err(error) => {
                    tracing::error!(%error, origin = %record.origin, "a record of ours cannot be read");
                    return None;
                }
            }
        } else {
            What::DeadLetter(Box::new(record))
        };
        Some(Sighting { at_ms, what })
    }

    /// Tells what was held long enough, in order. False when nobody listens.
    async fn tell(&mut self) -> bool {
        let until = wall_clock_ms() - HOLD_MS;
        // Stable: what is equal stays in the order of its arrival.
        self.held.sort_by_key(|sighting| (sighting.at_ms, sighting.what.rank()));
        let ripe = self.held.partition_point(|sighting| sighting.at_ms <= until);
        for sighting in self.held.drain(..ripe) {
            if self.out.send(sighting).await.is_err() {
                return false;
            }
        }
        true
    }
}

/// Looks committed offsets up, under the name of the group but without being a member of it.
struct LookUp {
    topic: String,
    client: Arc<BaseConsumer<Quiet>>,
}

impl LookUp {
    fn new(settings: &Settings) -> Result<Self, KafkaError> {
        let client = clients::looker(&settings.kafka.brokers, &settings.kafka.group_id)?;
        Ok(Self { topic: settings.topics.replies[0].clone(), client: Arc::new(client) })
    }

    async fn run(self, out: Sender<Sighting>) {
        let mut tick = tokio::time::interval(LOOK_UP);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tick.tick().await;
            // The time of the question: what was written before it is in the answer.
            let at_ms = wall_clock_ms();
            let (topic, client) = (self.topic.clone(), Arc::clone(&self.client));
            let found = tokio::task::spawn_blocking(move || reaches(&client, &topic)).await;
            let reaches = match found {
                Ok(Ok(reaches)) => reaches,
                Ok(Err(error)) => {
                    tracing::debug!(%error, "cannot look committed offsets up");
                    continue;
                }
                Err(_) => return,
            };
            if out.send(Sighting { at_ms, what: What::Offsets(reaches) }).await.is_err() {
                return;
            }
        }
    }
}

fn reaches(client: &BaseConsumer<Quiet>, topic: &str) -> Result<Vec<Reach>, KafkaError> {
    let mut asked = TopicPartitionList::new();
    asked.add_partition_range(topic, 0, PARTITIONS - 1);
    // First what is committed, then the end: so that an end that was reached is an end.
    let found = client.committed_offsets(asked, PATIENCE)?;
    let reach = |partition| {
        let committed = found.find_partition(topic, partition).and_then(|element| match element.offset() {
            Offset::Offset(offset) => Some(offset),
            _ => None,
        });
        let (_, end) = client.fetch_watermarks(topic, partition, PATIENCE)?;
        Ok(Reach { partition, committed, end })
    };
    (0..PARTITIONS).map(reach).collect()
}
