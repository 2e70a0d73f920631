//! The consumer thread: polls, hands records to the worker in batches, keeps the group membership alive whatever the
//! worker does, and stores the offsets that the worker says are settled.
//!
//! A thread of its own, because librdkafka's rebalance callback runs inside `poll` and waits there for the work in
//! hand, while the worker's runtime must go on finishing it.

use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use tokio::sync::{mpsc, oneshot};

use super::errors::{Conditions, Error, Observer};
use super::handover::Handover;
use super::identity::Identity;
use super::inbox::Inbox;
use super::membership::{self, Membership};
use super::native::EventConsumer;
use super::partitions::Partitions;
use super::positions::OnGap;
use super::pump::Pump;
use super::rebalance::Context;
use crate::bridge::Batches;
use crate::bridge::seams::{Command, Control, Received};

/// What a consumer needs.
pub struct ConsumerSpec {
    /// Name of this consumer in conditions, logs and the thread's name, such as `consumer-0`.
    pub name: String,
    /// Brokers, group, security. What the bridge's promise rests on is set here and wins over it.
    pub config: ClientConfig,
    /// Reply topics; the index is [`PartitionId::topic`](crate::bridge::seams::PartitionId::topic).
    pub topics: Arc<[Arc<str>]>,
    /// What to do about records that retention removed before they were handled.
    pub on_gap: OnGap,
    /// How much waits for the worker.
    pub batches: Batches,
    /// Topics that were deleted and made again and may be read, each with its new id.
    pub accept_recreated: Vec<(String, String)>,
    /// How long a revoke waits for the worker's answer.
    pub revoke_timeout: Duration,
    /// Bound of each look-up of offsets and metadata. They block the consumer thread: far below `max.poll.interval.ms`.
    pub lookup_timeout: Duration,
    /// How often lag and broker states are reported. librdkafka asks for the ends of paused partitions at most every
    /// ten seconds.
    pub statistics_interval: Duration,
    /// Hears what happens.
    pub observer: Arc<dyn Observer>,
}

/// The worker's end of a running consumer.
///
/// The worker reads `control` before `records`, and drops records whose epoch is not their partition's present one. A
/// [`Command::Pause`] does not outlive its assignment. Dropping the handle's channels closes the consumer as
/// [`Command::Close`] does.
#[derive(Debug)]
pub struct ConsumerHandle {
    /// Assignments, revokes, the end. Unbounded, since it carries a handful of messages a rebalance.
    pub control: mpsc::UnboundedReceiver<Control>,
    /// Records in batches, as [`ConsumerSpec::batches`] says.
    pub records: mpsc::Receiver<Vec<Received>>,
    /// Commands to the consumer.
    pub commands: Sender<Command>,
    /// Resolves when the consumer has left the group and its thread ends. Wait with a bound: with all brokers down it
    /// takes as long as the session timeout.
    pub ended: oneshot::Receiver<()>,
}

/// Starts a consumer on a thread of its own. The topics are subscribed to when it returns; partitions come later.
///
/// # Errors
/// When librdkafka refuses the properties or the topics, or there is no thread to be had.
pub fn spawn(spec: ConsumerSpec) -> Result<ConsumerHandle, Error> {
    let name = spec.name.clone();
    let (ends, ended) = oneshot::channel();
    let (pump, Channels { control, records, commands }) = subscribed(spec)?;
    thread::Builder::new()
        .name(name)
        .spawn(move || {
            pump.run();
            // Nobody may be waiting any more.
            let _ = ends.send(());
        })
        .map_err(Error::Thread)?;
    Ok(ConsumerHandle { control, records, commands, ended })
}

/// The worker's ends of the channels to a consumer.
pub(super) struct Channels {
    pub(super) control: mpsc::UnboundedReceiver<Control>,
    pub(super) records: mpsc::Receiver<Vec<Received>>,
    pub(super) commands: Sender<Command>,
}

/// A consumer that has subscribed, and no thread yet: tests run its turns themselves.
pub(super) fn subscribed(spec: ConsumerSpec) -> Result<(Pump, Channels), Error> {
    #[expect(clippy::disallowed_methods, reason = "a few messages for each rebalance, and one rebalance at a time")]
    let (control_out, control) = mpsc::unbounded_channel();
    let (records_out, records) = Handover::new(spec.batches);
    let (commands, inbox) = channel();

    let config = own_properties(&spec);
    let context = Context {
        name: spec.name.clone(),
        partitions: Mutex::new(Partitions::new(spec.topics.clone())),
        inbox: Mutex::new(Inbox::new(inbox)),
        topics: spec.topics.clone(),
        identity: Mutex::new(Identity::new(spec.accept_recreated)),
        control: control_out,
        conditions: Conditions::new(&spec.name, spec.topics.clone(), spec.observer.clone()),
        observer: spec.observer,
        on_gap: spec.on_gap,
        revoke_timeout: spec.revoke_timeout,
        lookup_timeout: spec.lookup_timeout,
        membership: Mutex::new(Membership::new(config.get("group.protocol") == Some("consumer"))),
    };
    context.conditions.joining(membership::joining(config.get("group.id").unwrap_or_default()));
    let consumer: BaseConsumer<Context> = config.create_with_context(context).map_err(Error::Client)?;
    let names: Vec<&str> = spec.topics.iter().map(|t| &**t).collect();
    consumer.subscribe(&names).map_err(Error::Subscribe)?;
    let consumer = EventConsumer::new(consumer).ok_or_else(no_queue)?;

    Ok((Pump::new(consumer, spec.topics, records_out), Channels { control, records, commands }))
}

/// Only a consumer without a group has no queue of its own.
fn no_queue() -> Error {
    Error::Client(KafkaError::ClientCreation("a consumer needs group.id".to_owned()))
}

/// The given properties with those that belong to this file.
fn own_properties(spec: &ConsumerSpec) -> ClientConfig {
    let mut config = spec.config.clone();
    // What is stored gets committed, and only settled offsets are ever stored.
    config.set("enable.auto.commit", "true");
    config.set("enable.auto.offset.store", "false");
    // Never skip silently: every start is decided in `positions`.
    config.set("auto.offset.reset", "error");
    // The end of a partition is as good a proof as a record that it is read.
    config.set("enable.partition.eof", "true");
    config.set("statistics.interval.ms", spec.statistics_interval.as_millis().to_string());
    if config.get("group.protocol") == Some("consumer") {
        // The broker decides these; librdkafka refuses to start when they are given.
        for name in ["session.timeout.ms", "heartbeat.interval.ms", "partition.assignment.strategy"] {
            config.remove(name);
        }
    } else {
        // Only the revoked partitions stop.
        config.set("partition.assignment.strategy", "cooperative-sticky");
    }
    config
}
