//! The producer's client: its thread, what it calls back, and its own properties.

use std::ops::Deref;
use std::panic::{self, AssertUnwindSafe};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock, Weak};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use rdkafka::producer::{
    BaseProducer, BaseRecord, DeliveryResult, NoCustomPartitioner, Producer as _, ProducerContext,
};
use rdkafka::{ClientConfig, Message};
use tokio::sync::Notify;
use tokio::time::Instant;

use super::deliveries::{Deliveries, Undelivered};
use super::errors::{self, Conditions, Error};
use super::native::Topic;
use super::produce_fault::is_too_large;
use super::statistics::Statistics;
use super::turns::{self, Lane, Turns, Waiting};
use super::{client, copies};
use crate::wire::OutRecord;

/// How long the polling thread waits for the next event. The end of a producer takes up to this and half a second more.
const POLL: Duration = Duration::from_millis(250);

/// Why a producer is unready for good.
const DEAF: &str = "the producer's thread panicked: what is written is not heard of any more; report this with the process \
    log, and restart";

/// Gives the client a copy of the record, and `number` to carry along.
pub(super) fn enqueue(client: &BaseProducer<Context>, record: &OutRecord, number: usize) -> Result<(), KafkaError> {
    let mut out = BaseRecord::<[u8], [u8], _>::with_opaque_to(&record.topic, number);
    out.partition = record.partition;
    out.key = record.key.as_deref();
    out.payload = record.value.as_deref();
    out.headers = copies::headers(&record.headers);
    client.send(out).map_err(|(error, _)| error)
}

/// A client with a thread that hears what it has to say. `ThreadedProducer` is the same with ten polls a second, each of
/// which ends in a millisecond of spinning.
pub(super) struct Polled {
    /// Held for their properties, and let go before the client.
    _topics: Vec<Topic>,
    client: Arc<BaseProducer<Context>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Polled {
    pub(super) fn new(client: Arc<BaseProducer<Context>>, topics: Vec<Topic>) -> Result<Self, Error> {
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
        Ok(Self { _topics: topics, client, stop, thread: Some(thread) })
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

/// What librdkafka calls back.
pub(super) struct Context {
    pub(super) name: String,
    pub(super) conditions: Conditions,
    pub(super) deliveries: Deliveries,
    pub(super) turns: Turns,
    /// Told at each delivery: the queue has room.
    pub(super) room: Notify,
    /// The client that this is the context of.
    pub(super) client: OnceLock<Weak<BaseProducer<Context>>>,
}

impl Context {
    /// One record less is with the client: somebody's turn may have come.
    pub(super) fn told(&self, lane: Lane) {
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
                    let bytes = turns::size(&record);
                    self.deliveries.tell(place, Err(Undelivered { error, bytes, batched: false }));
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
        let result = result.as_ref().map(|_| ()).map_err(|(error, message)| {
            let too_large = error.rdkafka_error_code().is_some_and(is_too_large);
            let batched = too_large && !self.turns.too_large(lane, Instant::now());
            Undelivered {
                error: error.clone(),
                bytes: message.key().map_or(0, <[u8]>::len) + message.payload().map_or(0, <[u8]>::len),
                batched,
            }
        });
        self.deliveries.tell(place, result);
        self.told(lane);
        self.room.notify_waiters();
    }
}

/// The given properties with those that belong to this file.
pub(super) fn own_properties(mut config: ClientConfig) -> ClientConfig {
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
    client::fit_into_queue(&mut config);
    // As the Java client does it, for records without a fixed partition.
    default(&mut config, "partitioner", "murmur2_random");
    config
}

/// Turns as long as the client's batches.
pub(super) fn turns(config: &ClientConfig) -> Turns {
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
