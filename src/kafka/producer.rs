//! The producer of outcomes, dead letters and requests: one for the process, shared by all workers.

use std::sync::mpsc::Sender;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::client::{Client, ClientContext};
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use rdkafka::producer::{BaseProducer, Producer as _};
use tokio::sync::Notify;
use tokio::time::Instant;

use super::deliveries::{Deliveries, Undelivered};
use super::errors::{Conditions, Error, Observer};
use super::native::Topic;
use super::produce_fault::{Refused, RefusedBy, fault};
use super::producer_client::{Context, Polled, enqueue, own_properties, turns};
use super::topics::{self, Seen};
use super::turns::{self, Lane};
use crate::bridge::seams::{Command, Log, ProduceFault, ReadBack};
use crate::dispatch::seams::Requests;
use crate::wire::OutRecord;

/// How often a full queue is tried again when no delivery says that there is room.
const ROOM_CHECK: Duration = Duration::from_millis(10);

/// Compresses best of what is quick, so that what a producer of replies has compressed with anything fits again. Known to brokers from Kafka 2.1 on, as the idempotent producer's requests are.
const COMPRESSION: &str = "zstd";

/// What a producer needs.
pub struct ProducerSpec {
    /// Name in conditions and logs, such as `producer`.
    pub name: String,
    /// Brokers and security. What the bridge's promise rests on is set here and wins over it.
    pub config: ClientConfig,
    /// Hears what happens.
    pub observer: Arc<dyn Observer>,
}

/// An idempotent producer that waits for all in-sync replicas. Cheap to clone. Records still on their way when the last
/// clone is dropped are lost: [`Producer::flush`] first.
#[derive(Clone)]
pub struct Producer {
    inner: Arc<Polled>,
}

impl Producer {
    /// Creates it. Nothing is sent and no broker is waited for.
    ///
    /// # Errors
    /// When librdkafka refuses the properties.
    pub fn new(spec: ProducerSpec) -> Result<Self, Error> {
        Self::compressing(spec, &[])
    }

    /// The same, which compresses what it writes to these topics unless its properties have a `compression.type`: what a reply
    /// topic takes compressed, the topics that it is moved to must take as well. Others read requests and outcomes, which
    /// are small, and many clients can read no compression but gzip.
    ///
    /// # Errors
    /// When librdkafka refuses the properties or a name.
    pub fn compressing(spec: ProducerSpec, topics: &[&str]) -> Result<Self, Error> {
        let config = own_properties(spec.config);
        let context = Context {
            conditions: Conditions::new(&spec.name, Arc::new([]), spec.observer),
            name: spec.name,
            deliveries: Deliveries::default(),
            turns: turns(&config),
            room: Notify::new(),
            client: OnceLock::new(),
        };
        let client: Arc<BaseProducer<Context>> = Arc::new(config.create_with_context(context).map_err(Error::Client)?);
        let _ = client.context().client.set(Arc::downgrade(&client));
        let topics = if config.get("compression.type").is_some() { &[] } else { topics };
        let topic = |name: &&str| Topic::with(client.client(), name, "compression.type", COMPRESSION);
        let topics = topics.iter().map(topic).collect::<Result<_, _>>().map_err(Error::Client)?;
        Ok(Self { inner: Arc::new(Polled::new(client, topics)?) })
    }

    /// Writes a record, and resolves once all in-sync replicas have it. It waits for its turn and while the client's queue is
    /// full, in the order of the calls. Dropping the future does not call the record back.
    ///
    /// # Errors
    /// As [`ProduceFault`] says. After a transient fault the record may be in the log nevertheless.
    pub fn send(&self, record: OutRecord) -> impl Future<Output = Result<(), ProduceFault>> {
        let (topic, partition) = (Arc::clone(&record.topic), record.partition);
        let context = self.inner.context();
        let mut delivery = context.deliveries.open();
        let full = match context.turns.enter(record, delivery.place(), Instant::now()) {
            // It is told in any case.
            None => {
                delivery.sent();
                None
            }
            // The client has its own copy. Hundreds of records wait here at a time, and what they hold the caches do not.
            Some((record, lane)) => match enqueue(&self.inner, &record, lane.with(delivery.place())) {
                Ok(()) => {
                    delivery.sent();
                    None
                }
                Err(error) => {
                    let given = Given { context, lane };
                    Some(Box::pin(self.enqueue_when_room(record, given, delivery.place(), error)))
                }
            },
        };
        async move {
            if let Some(full) = full {
                full.await?;
                delivery.sent();
            }
            delivery.await.map_err(|undelivered| {
                let Undelivered { error, bytes, batched } = undelivered;
                self.fault(&error, Refused { topic: &topic, partition, bytes, by: RefusedBy::Broker { batched } })
            })
        }
    }

    /// Tries again and again while the client's queue is full.
    async fn enqueue_when_room(
        &self,
        record: OutRecord,
        given: Given<'_>,
        place: usize,
        first: KafkaError,
    ) -> Result<(), ProduceFault> {
        let mut error = first;
        while matches!(error, KafkaError::MessageProduction(Code::QueueFull)) {
            // Made before the try, so that room which comes in between is not missed.
            let room = self.inner.context().room.notified();
            match enqueue(&self.inner, &record, given.lane.with(place)) {
                Ok(()) => {
                    std::mem::forget(given);
                    return Ok(());
                }
                Err(again) => error = again,
            }
            // A delivery is told just before its room is free, so the last one may be told too early.
            let _ = tokio::time::timeout(ROOM_CHECK, room).await;
        }
        let (topic, partition, bytes) = (&record.topic, record.partition, turns::size(&record));
        Err(self.fault(&error, Refused { topic, partition, bytes, by: RefusedBy::Client }))
    }

    /// Waits until everything sent is delivered or has failed; true when it did so in time. Blocks.
    #[must_use]
    pub fn flush(&self, within: Duration) -> bool {
        let give_up = Instant::now() + within;
        loop {
            let in_time = self.inner.flush(give_up.saturating_duration_since(Instant::now())).is_ok();
            if !in_time || self.inner.context().turns.is_empty() {
                return in_time;
            }
            // The last delivery of a turn begins the next one, unless that found no room.
            self.inner.context().told(Lane::NONE);
        }
    }

    /// The cluster's id, `None` when no broker tells it in time. Blocks.
    #[must_use]
    pub fn cluster_id(&self, within: Duration) -> Option<String> {
        cluster_id(self.inner.client(), within)
    }

    /// Whether a topic is there. Creates none. Blocks.
    #[must_use]
    pub fn topic(&self, name: &str, within: Duration) -> Seen {
        topics::seen(self.inner.client(), name, within)
    }

    fn fault(&self, error: &KafkaError, refused: Refused<'_>) -> ProduceFault {
        match error.rdkafka_error_code() {
            Some(code) => fault(code, refused, self.inner.client().fatal_error()),
            None => ProduceFault::Permanent(format!("cannot write to {}: {error}", refused.topic)),
        }
    }
}

/// A record that counts as given to the client, until it was or never will be.
struct Given<'a> {
    context: &'a Context,
    lane: Lane,
}

impl Drop for Given<'_> {
    fn drop(&mut self) {
        self.context.told(self.lane);
    }
}

/// The cluster's id, `None` when no broker tells it in time. Blocks.
#[must_use]
pub fn cluster_id<C: ClientContext>(client: &Client<C>, within: Duration) -> Option<String> {
    client.fetch_cluster_id(within).filter(|id| !id.is_empty())
}

/// The log of one worker: the shared producer, its own consumer, and its own reader of the ledger.
#[derive(Clone)]
pub struct KafkaLog {
    producer: Producer,
    commands: Sender<Command>,
    ledger: Option<Sender<ReadBack>>,
}

impl KafkaLog {
    /// Joins the three. Without a reader of ledgers none may be asked for.
    #[must_use]
    pub fn new(producer: Producer, commands: Sender<Command>, ledger: Option<Sender<ReadBack>>) -> Self {
        Self { producer, commands, ledger }
    }
}

impl Log for KafkaLog {
    fn produce(&self, record: OutRecord) -> impl Future<Output = Result<(), ProduceFault>> {
        self.producer.send(record)
    }

    fn read_back(&self, ask: ReadBack) {
        // A reader that is gone answers nothing: the partition opens at the deadline.
        if let Some(ledger) = &self.ledger {
            let _ = ledger.send(ask);
        }
    }

    fn command(&self, command: Command) {
        // A consumer that is gone has said so on its control channel.
        let _ = self.commands.send(command);
    }
}

impl Requests for Producer {
    fn write(&self, record: OutRecord) -> impl Future<Output = Result<(), ProduceFault>> {
        self.send(record)
    }
}
