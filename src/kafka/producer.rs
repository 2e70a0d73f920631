//! The producer of outcomes, dead letters and requests: one for the process, shared by all workers.

use std::ops::Deref;
use std::panic::{self, AssertUnwindSafe};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::Sender;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::client::{Client, ClientContext};
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use rdkafka::producer::{
    BaseProducer, BaseRecord, DeliveryResult, NoCustomPartitioner, Producer as _, ProducerContext,
};
use tokio::sync::Notify;

use super::copies;
use super::deliveries::Deliveries;
use super::errors::{self, Conditions, Error, Observer};
use super::produce_fault::fault;
use super::statistics::Statistics;
use crate::bridge::seams::{Command, Log, ProduceFault, ReadBack};
use crate::dispatch::seams::Requests;
use crate::wire::OutRecord;

/// How often a full queue is tried again when no delivery says that there is room.
const ROOM_CHECK: Duration = Duration::from_millis(10);

/// How long the polling thread waits for the next event. The end of a producer takes up to this and half a second more.
const POLL: Duration = Duration::from_millis(250);

/// Why a producer is unready for good.
const DEAF: &str = "the producer's thread panicked: what is written is not heard of any more; report this with the process \
    log, and restart";

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
        let context = Context {
            conditions: Conditions::new(&spec.name, Arc::new([]), spec.observer),
            name: spec.name,
            deliveries: Deliveries::default(),
            room: Notify::new(),
        };
        let client = own_properties(spec.config).create_with_context(context).map_err(Error::Client)?;
        Ok(Self { inner: Arc::new(Polled::new(Arc::new(client))?) })
    }

    /// Writes a record: hands it to the client at once, and resolves once all in-sync replicas have it. While the client's
    /// queue is full it waits for room. Dropping the future does not call the record back.
    ///
    /// # Errors
    /// As [`ProduceFault`] says. After a transient fault the record may be in the log nevertheless.
    pub fn send(&self, record: OutRecord) -> impl Future<Output = Result<(), ProduceFault>> {
        let (topic, partition) = (Arc::clone(&record.topic), record.partition);
        let mut delivery = self.inner.context().deliveries.open();
        // The client has its own copy. Hundreds of records wait here at a time, and what they hold the caches do not.
        let full = match self.enqueue(&record, delivery.place()) {
            Ok(()) => {
                delivery.sent();
                None
            }
            Err(error) => Some(Box::pin(self.enqueue_when_room(record, delivery.place(), error))),
        };
        async move {
            if let Some(full) = full {
                full.await?;
                delivery.sent();
            }
            delivery.await.map_err(|error| self.fault(&error, &topic, partition))
        }
    }

    /// Tries again and again while the client's queue is full.
    async fn enqueue_when_room(&self, record: OutRecord, place: usize, first: KafkaError) -> Result<(), ProduceFault> {
        let mut error = first;
        while matches!(error, KafkaError::MessageProduction(Code::QueueFull)) {
            // Made before the try, so that room which comes in between is not missed.
            let room = self.inner.context().room.notified();
            match self.enqueue(&record, place) {
                Ok(()) => return Ok(()),
                Err(again) => error = again,
            }
            // A delivery is told just before its room is free, so the last one may be told too early.
            let _ = tokio::time::timeout(ROOM_CHECK, room).await;
        }
        Err(self.fault(&error, &record.topic, record.partition))
    }

    /// Waits until everything sent is delivered or has failed; true when it did so in time. Blocks.
    #[must_use]
    pub fn flush(&self, within: Duration) -> bool {
        self.inner.flush(within).is_ok()
    }

    /// The cluster's id, `None` when no broker tells it in time. Blocks.
    #[must_use]
    pub fn cluster_id(&self, within: Duration) -> Option<String> {
        cluster_id(self.inner.client(), within)
    }

    fn enqueue(&self, record: &OutRecord, place: usize) -> Result<(), KafkaError> {
        let mut out = BaseRecord::<[u8], [u8], _>::with_opaque_to(&record.topic, place);
        out.partition = record.partition;
        out.key = record.key.as_deref();
        out.payload = record.value.as_deref();
        out.headers = copies::headers(&record.headers);
        self.inner.send(out).map_err(|(error, _)| error)
    }

    fn fault(&self, error: &KafkaError, topic: &str, partition: Option<i32>) -> ProduceFault {
        match error.rdkafka_error_code() {
            Some(code) => fault(code, topic, partition, self.inner.client().fatal_error()),
            None => ProduceFault::Permanent(format!("cannot write to {topic}: {error}")),
        }
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

/// A client with a thread that hears what it has to say. `ThreadedProducer` is the same with ten polls a second, each of
/// which ends in a millisecond of spinning.
struct Polled {
    client: Arc<BaseProducer<Context>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Polled {
    fn new(client: Arc<BaseProducer<Context>>) -> Result<Self, Error> {
        let stop = Arc::new(AtomicBool::new(false));
        let (polled, stopped) = (Arc::clone(&client), Arc::clone(&stop));
        let poll = move || {
            let poll = || {
                while !stopped.load(Ordering::Relaxed) {
                    polled.poll(POLL);
                }
            };
            // Deliveries are told no more. Nothing is lost, but nothing is settled either, and somebody must hear of it.
            if panic::catch_unwind(AssertUnwindSafe(poll)).is_err() {
                polled.context().conditions.raise("deliveries", DEAF.to_owned());
            }
        };
        let thread = thread::Builder::new().name("producer".to_owned()).spawn(poll).map_err(Error::Thread)?;
        Ok(Self { client, stop, thread: Some(thread) })
    }
}

impl Deref for Polled {
    type Target = BaseProducer<Context>;

    fn deref(&self) -> &Self::Target {
        &self.client
    }
}

impl Drop for Polled {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // Its panic was caught.
            let _ = thread.join();
        }
    }
}

struct Context {
    name: String,
    conditions: Conditions,
    deliveries: Deliveries,
    /// Told at each delivery: the queue has room.
    room: Notify,
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
        if Statistics::parse(json).is_some_and(|s| s.connected()) {
            self.conditions.connected();
        }
    }
}

impl ProducerContext<NoCustomPartitioner> for Context {
    type DeliveryOpaque = usize;

    fn delivery(&self, result: &DeliveryResult<'_>, place: usize) {
        let result = result.as_ref().map(|_| ()).map_err(|(error, _)| error.clone());
        self.deliveries.tell(place, result);
        self.room.notify_waiters();
    }
}

/// The given properties with those that belong to this file.
fn own_properties(mut config: ClientConfig) -> ClientConfig {
    // Durable before done; and a retry inside librdkafka makes no second copy.
    config.set("enable.idempotence", "true");
    config.set("acks", "all");
    // Each record is awaited.
    config.set("delivery.report.only.error", "false");
    config.set("statistics.interval.ms", "5000");
    // One record that is too large fails its whole batch at the broker: keep batches far below any topic's limit.
    default(&mut config, "batch.size", "131072");
    // Memory while the brokers are away. Beyond it, sends wait.
    default(&mut config, "queue.buffering.max.kbytes", "131072");
    // As the Java client does it, for records without a fixed partition.
    default(&mut config, "partitioner", "murmur2_random");
    config
}

/// Sets a property that the settings leave open.
fn default(config: &mut ClientConfig, name: &str, value: &str) {
    if config.get(name).is_none() {
        config.set(name, value);
    }
}
