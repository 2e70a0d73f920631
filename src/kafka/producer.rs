//! The producer of outcomes, dead letters and requests: one for the process, shared by all workers.

use std::ops::Deref;
use std::panic::{self, AssertUnwindSafe};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::Sender;
use std::sync::{Arc, OnceLock, Weak};
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
use tokio::time::Instant;

use super::copies;
use super::deliveries::Deliveries;
use super::errors::{self, Conditions, Error, Observer};
use super::produce_fault::fault;
use super::statistics::Statistics;
use super::topics::{self, Seen};
use super::turns::{Lane, Turns, Waiting};
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
        Ok(Self { inner: Arc::new(Polled::new(client)?) })
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
            delivery.await.map_err(|error| self.fault(&error, &topic, partition))
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
        Err(self.fault(&error, &record.topic, record.partition))
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

    fn fault(&self, error: &KafkaError, topic: &str, partition: Option<i32>) -> ProduceFault {
        match error.rdkafka_error_code() {
            Some(code) => fault(code, topic, partition, self.inner.client().fatal_error()),
            None => ProduceFault::Permanent(format!("cannot write to {topic}: {error}")),
        }
    }
}

/// Gives the client a copy of the record, and `number` to carry along.
fn enqueue(client: &BaseProducer<Context>, record: &OutRecord, number: usize) -> Result<(), KafkaError> {
    let mut out = BaseRecord::<[u8], [u8], _>::with_opaque_to(&record.topic, number);
    out.partition = record.partition;
    out.key = record.key.as_deref();
    out.payload = record.value.as_deref();
    out.headers = copies::headers(&record.headers);
    client.send(out).map_err(|(error, _)| error)
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
    turns: Turns,
    /// Told at each delivery: the queue has room.
    room: Notify,
    /// The client that this is the context of.
    client: OnceLock<Weak<BaseProducer<Context>>>,
}

impl Context {
    /// One record less is with the client: somebody's turn may have come.
    fn told(&self, lane: Lane) {
        if !self.turns.told(lane) {
            return;
        }
        let Some(client) = self.client.get().and_then(Weak::upgrade) else { return };
        while let Some((lane, turn)) = self.turns.next(Instant::now()) {
            let rest = self.hand_over(&client, lane, turn);
            let full = !rest.is_empty();
            self.turns.handed(lane, rest);
            if full {
                // There are deliveries to come: the next one tries again.
                return;
            }
        }
    }

    /// Gives the client a turn; returns what it has no room for.
    fn hand_over(&self, client: &BaseProducer<Self>, lane: Lane, turn: Vec<Waiting>) -> Vec<Waiting> {
        let mut turn = turn.into_iter();
        while let Some((record, place)) = turn.next() {
            match enqueue(client, &record, lane.with(place)) {
                Ok(()) => {}
                Err(KafkaError::MessageProduction(Code::QueueFull)) => {
                    return std::iter::once((record, place)).chain(turn).collect();
                }
                Err(error) => {
                    self.turns.told(lane);
                    self.deliveries.tell(place, Err(error));
                }
            }
        }
        Vec::new()
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
        // For a turn that found no room when the last delivery was told: that one's own was not free yet.
        self.told(Lane::NONE);
        if Statistics::parse(json).is_some_and(|s| s.connected()) {
            self.conditions.connected();
        }
    }
}

impl ProducerContext<NoCustomPartitioner> for Context {
    type DeliveryOpaque = usize;

    fn delivery(&self, result: &DeliveryResult<'_>, number: usize) {
        let (lane, place) = Lane::parse(number);
        let result = result.as_ref().map(|_| ()).map_err(|(error, _)| error.clone());
        self.deliveries.tell(place, result);
        self.told(lane);
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
    // A batch for each acknowledgement is all that a partition gets, and one record that is too large fails its whole batch
    // at the broker: half of the limit that topics have by default. A quarter of it cuts the rate to half when a broker
    // takes 50 ms (bench `end_to_end`).
    default(&mut config, "batch.size", "524288");
    // Memory while the brokers are away. Beyond it, sends wait.
    default(&mut config, "queue.buffering.max.kbytes", "131072");
    // As the Java client does it, for records without a fixed partition.
    default(&mut config, "partitioner", "murmur2_random");
    config
}

/// Turns as long as the client's batches.
fn turns(config: &ClientConfig) -> Turns {
    let number = |name: &str| config.get(name).and_then(|text| text.parse::<f64>().ok());
    // librdkafka's own default; the batch's size was set above.
    let linger_ms = number("linger.ms").unwrap_or(5.0).max(0.0);
    Turns::new(Duration::from_secs_f64(linger_ms / 1000.0), number("batch.size").unwrap_or_default() as usize)
}

/// Sets a property that the settings leave open.
fn default(config: &mut ClientConfig, name: &str, value: &str) {
    if config.get(name).is_none() {
        config.set(name, value);
    }
}
