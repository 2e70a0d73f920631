//! The bridge with everything on, with a stopwatch at each seam.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use handback::admin::{Health, Metrics};
use handback::bridge::seams::{
    Accepted, Call, CallError, Command, DomainRef, Engine, Log, Piece, Probed, ProduceFault, ReadBack, Reading, Wiring,
};
use handback::bridge::sight::{Reach, Sight};
use handback::bridge::{self, Ailing, Ending, Intake, Options, Postponed, Shared};
use handback::cadence::Client;
use handback::config::Settings;
use handback::kafka::{self, Batches, ConsumerSpec, KafkaLog, OnGap, Producer, ProducerSpec};
use handback::wire::{OutRecord, Target};
use tokio::sync::mpsc::Sender;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::figures::{Began, Figures, Stage, micros};

/// One acknowledgement in this many is timed.
const ACKS_TIMED: usize = 8;

/// What the stopwatches have seen.
#[derive(Debug, Default)]
struct Seen {
    began: Option<Began>,
    calls: Vec<u32>,
    acks: Vec<u32>,
    recorded: usize,
    figures: Option<Figures>,
}

pub(crate) fn settings(stage: &Stage) -> Settings {
    let mut settings = Settings::default();
    settings.kafka.brokers = stage.brokers.clone();
    settings.kafka.group_id = stage.group.clone();
    settings.kafka.session_timeout = Duration::from_secs(6);
    settings.topics.replies = vec![stage.topic("replies")];
    settings.topics.outcomes = stage.topic("outcomes");
    settings.topics.dead_letters = stage.topic("dlq");
    settings.cadence.endpoint = stage.endpoint.clone();
    settings.bridge.max_in_flight = stage.window;
    tune(&mut settings);
    settings
}

/// What the tuning guide varies: `HANDBACK_BENCH_CONNECTIONS=4`, `HANDBACK_BENCH_KAFKA="linger.ms=1 fetch.max.bytes=1000000"`.
fn tune(settings: &mut Settings) {
    if let Ok(connections) = std::env::var("HANDBACK_BENCH_CONNECTIONS") {
        settings.cadence.connections = connections.parse().expect("a number");
    }
    let properties = std::env::var("HANDBACK_BENCH_KAFKA").unwrap_or_default();
    for (name, value) in properties.split_whitespace().filter_map(|pair| pair.split_once('=')) {
        settings.kafka.properties.set(name, value);
    }
}

pub(crate) fn consumer_spec(settings: &Settings) -> ConsumerSpec {
    ConsumerSpec {
        name: "consumer".to_owned(),
        config: kafka::client::consumer(&settings.kafka, 0, 1),
        topics: settings.topics.replies.iter().map(|topic| topic.as_str().into()).collect(),
        on_gap: OnGap::Stop,
        batches: Batches::of_replies(settings.bridge.max_in_flight_bytes),
        accept_recreated: Vec::new(),
        revoke_timeout: Duration::from_secs(2),
        lookup_timeout: Duration::from_secs(10),
        statistics_interval: Duration::from_secs(1),
        observer: Arc::new(()),
    }
}

pub(crate) fn play(stage: &Stage, ledger: bool) -> Figures {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(run(stage, ledger))
}

async fn run(stage: &Stage, ledger: bool) -> Figures {
    let mut settings = settings(stage);
    settings.ledger.enabled = ledger;
    let metrics = Arc::new(Metrics::new());
    let consumer = kafka::spawn(consumer_spec(&settings)).unwrap();
    let spec = ProducerSpec {
        name: "producer".to_owned(),
        config: kafka::client::producer(&settings.kafka),
        observer: Arc::new(()),
    };
    let producer = Producer::new(spec).unwrap();
    let (pieces_in, pieces) = tokio::sync::mpsc::channel(1000);
    let seen = Rc::new(RefCell::new(Seen::default()));
    let stop = CancellationToken::new();
    let engine =
        Timed { client: Client::connect(&settings.cadence, Arc::clone(&metrics)).unwrap(), seen: Rc::clone(&seen) };
    let log = Counted {
        log: KafkaLog::new(producer, consumer.commands, None),
        seen: Rc::clone(&seen),
        records: stage.records,
        stop: stop.clone(),
        pieces: pieces_in,
    };
    let shared = Shared {
        metrics,
        health: Arc::new(Health::new()),
        limiter: None,
        ailing: Ailing::default(),
        postponed: Postponed::default(),
        wall_clock,
    };
    let options = Options::new(&settings, 0, "bench".into(), 1);
    let intake = Intake { control: consumer.control, records: consumer.records, pieces };
    let ending = bridge::run(engine, log, options, shared, intake, stop).await;
    assert_eq!(ending, Ending::Drained);
    let figures = seen.borrow_mut().figures.take();
    figures.expect("every outcome was acknowledged")
}

fn wall_clock() -> i64 {
    jiff::Timestamp::now().as_millisecond()
}

struct Timed {
    client: Client,
    seen: Rc<RefCell<Seen>>,
}

impl Engine for Timed {
    async fn call(&self, call: Call<'_>) -> Result<Accepted, CallError> {
        self.seen.borrow_mut().began.get_or_insert_with(Began::now);
        let began = Instant::now();
        let answer = self.client.call(call).await;
        self.seen.borrow_mut().calls.push(micros(began.elapsed()));
        answer
    }

    async fn probe_wiring(&self) -> Wiring {
        Wiring::Sound
    }

    async fn probe_history(&self, domain: &DomainRef, workflow_id: &str) -> Probed {
        self.client.probe_history(domain, workflow_id).await
    }

    async fn domain_name(&self, id: &str) -> Result<Option<Arc<str>>, CallError> {
        self.client.domain_name(id).await
    }

    async fn domain_id(&self, name: &str) -> Result<Option<Arc<str>>, CallError> {
        self.client.domain_id(name).await
    }

    async fn look(&self, target: &Target, reach: Reach) -> Result<Sight, CallError> {
        self.client.look(target, reach).await
    }
}

struct Counted {
    log: KafkaLog,
    seen: Rc<RefCell<Seen>>,
    records: usize,
    stop: CancellationToken,
    pieces: Sender<Piece>,
}

impl Counted {
    fn recorded(&self, began: Option<Instant>, answer: Result<(), ProduceFault>) -> Result<(), ProduceFault> {
        let seen = &mut *self.seen.borrow_mut();
        seen.acks.extend(began.map(|began| micros(began.elapsed())));
        seen.recorded += usize::from(answer.is_ok());
        if answer.is_ok() && seen.recorded == self.records {
            let (calls, acks) = (std::mem::take(&mut seen.calls), std::mem::take(&mut seen.acks));
            seen.figures = seen.began.as_ref().map(|began| Figures::since(began, self.records, calls, acks));
            self.stop.cancel();
        }
        answer
    }
}

impl Log for Counted {
    fn produce(&self, record: OutRecord) -> impl Future<Output = Result<(), ProduceFault>> {
        // Not every one: what the stopwatch costs must not count as handback's.
        let began = self.seen.borrow().recorded.is_multiple_of(ACKS_TIMED).then(Instant::now);
        let sent = self.log.produce(record);
        async move { self.recorded(began, sent.await) }
    }

    /// The ledger begins empty: what earlier runs have left in the topic would answer all replies of this one.
    fn read_back(&self, ask: ReadBack) {
        let ReadBack { ticket, partition, .. } = ask;
        let piece = Piece { ticket, partition, entries: Vec::new(), next: None, reading: Reading::Done };
        self.pieces.try_send(piece).expect("room for a piece of each partition");
    }

    fn command(&self, command: Command) {
        self.log.command(command);
    }
}
