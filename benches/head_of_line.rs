//! Head of line: how long replies take while one in a hundred fails all the time, beside a run in which none does. Replies
//! come at a steady rate below what the bridge can do, so that what is measured is waiting for each other and not for
//! the machine. Latency is from the moment at which the consumer hands a reply over to the acknowledgement of its outcome.
//!
//! | variable | meaning | default |
//! |---|---|---|
//! | `HANDBACK_BENCH_BROKERS` | a real broker to use | librdkafka's mock |
//! | `HANDBACK_BENCH_RECORDS` | records a run | 60000 |
//! | `HANDBACK_BENCH_RATE` | replies a second | 5000 |
//! | `HANDBACK_BENCH_RUNS` | runs of each, of which the median counts | 3 |

#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, reason = "a bench that cannot go on stops")]
#![allow(dead_code, reason = "the stage is shared with the bench end_to_end")]

#[path = "end_to_end/bridged.rs"]
mod bridged;
#[path = "end_to_end/figures.rs"]
mod figures;
#[path = "end_to_end/stage.rs"]
mod stage;

use std::cell::{Cell, RefCell};
use std::env;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use handback::admin::{Health, Metrics};
use handback::bridge::seams::{
    Accepted, Call, CallError, Command as ToConsumer, DomainRef, Engine, Log, Probed, ProduceFault, ReadBack, Received,
    Verdict, Wiring,
};
use handback::bridge::sight::{Reach, Sight};
use handback::bridge::{self, Ailing, Ending, Intake, Options, Postponed, Shared};
use handback::cadence::Client;
use handback::kafka::{self, KafkaLog, Producer, ProducerSpec};
use handback::wire::{OutRecord, Outcome, Target};
use tokio::sync::mpsc;
use tokio::time::{Instant, MissedTickBehavior};
use tokio_util::sync::CancellationToken;

use figures::{Stage, micros, percentiles};

/// As in the program itself.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const ROLE: &str = "HANDBACK_BENCH_ROLE";

/// One reply in this many fails, where any does.
const ONE_IN: usize = 100;

/// The pacing's step.
const STEP: Duration = Duration::from_millis(2);

fn main() {
    if env::var(ROLE).as_deref() == Ok("stage") {
        return stage::play(number("HANDBACK_BENCH_RECORDS", 60_000));
    }
    let real = env::args().any(|arg| arg == "--bench");
    let records = number("HANDBACK_BENCH_RECORDS", if real { 60_000 } else { 2_000 });
    let runs = number("HANDBACK_BENCH_RUNS", if real { 3 } else { 1 });
    let rate = number("HANDBACK_BENCH_RATE", 5_000);
    let (mut theatre, stage) = set_stage(records);
    println!(
        "{records} replies a run at {rate} a second, median of {runs} runs; milliseconds from delivery to outcome\n"
    );
    println!("{:<44} {:>8} {:>8} {:>8}", "", "p50", "p99", "moved");
    for (failing, name) in [(false, "none fails"), (true, "1 % fails all the time")] {
        let mut seen: Vec<(f64, f64, usize)> = (0..runs).map(|run| play(&stage, records, rate, failing, run)).collect();
        seen.sort_by(|a, b| a.1.total_cmp(&b.1));
        let (p50, p99, moved) = seen[seen.len() / 2];
        println!("{name:<44} {p50:>8.2} {p99:>8.2} {moved:>8}");
    }
    let _ = theatre.kill();
    let _ = theatre.wait();
}

fn set_stage(records: usize) -> (Child, Stage) {
    let mut child = Command::new(env::current_exe().unwrap())
        .env(ROLE, "stage")
        .env("HANDBACK_BENCH_RECORDS", records.to_string())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let stage = Stage::parse(&line).expect("the stage says where it stands");
    (child, stage)
}

/// p50 and p99 of the good replies, and how many were moved to a retry topic.
fn play(stage: &Stage, records: usize, rate: usize, failing: bool, run: usize) -> (f64, f64, usize) {
    let group = format!("head-of-line-{failing}-{run}-{}", std::process::id());
    let stage = Stage { records, window: 256, group, ..stage.clone() };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(tokio::task::LocalSet::new().run_until(bridge(&stage, rate, failing)))
}

async fn bridge(stage: &Stage, rate: usize, failing: bool) -> (f64, f64, usize) {
    let mut settings = bridged::settings(stage);
    settings.ledger.enabled = false;
    settings.topics.retry = vec![stage.topic("retry-30s")];
    let metrics = Arc::new(Metrics::new());
    let consumer = kafka::spawn(bridged::consumer_spec(&settings)).unwrap();
    let spec = ProducerSpec {
        name: "producer".to_owned(),
        config: kafka::client::producer(&settings.kafka),
        observer: Arc::new(()),
    };
    let producer = Producer::new(spec).unwrap();
    let seen = Rc::new(Seen { records: stage.records, ..Seen::default() });
    let engine = Failing { client: Client::connect(&settings.cadence, Arc::clone(&metrics)).unwrap(), failing };
    let log = Timed { log: KafkaLog::new(producer, consumer.commands, None), seen: Rc::clone(&seen) };
    let (paced, records) = mpsc::channel(16);
    tokio::task::spawn_local(pace(consumer.records, paced, rate, Rc::clone(&seen)));
    let wall_clock = || jiff::Timestamp::now().as_millisecond();
    let shared = Shared {
        metrics,
        health: Arc::new(Health::new()),
        limiter: None,
        ailing: Ailing::default(),
        postponed: Postponed::default(),
        wall_clock,
    };
    let options = Options::new(&settings, 0, "bench".into(), 1);
    let intake = Intake { control: consumer.control, records, pieces: mpsc::channel(1).1 };
    let ending = bridge::run(engine, log, options, shared, intake, seen.stop.clone()).await;
    assert_eq!(ending, Ending::Drained);
    let (p50, p99) = percentiles(seen.took.take());
    (p50, p99, seen.moved.get())
}

#[derive(Default)]
struct Seen {
    records: usize,
    /// By partition and offset: when it was handed over.
    delivered: RefCell<std::collections::HashMap<(i32, i64), Instant>>,
    took: RefCell<Vec<u32>>,
    moved: Cell<usize>,
    ended: Cell<usize>,
    stop: CancellationToken,
}

/// Hands records over at a steady rate.
async fn pace(mut from: mpsc::Receiver<Vec<Received>>, to: mpsc::Sender<Vec<Received>>, rate: usize, seen: Rc<Seen>) {
    let mut ticks = tokio::time::interval(STEP);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let each = (rate as f64 * STEP.as_secs_f64()).ceil() as usize;
    let mut waiting: Vec<Received> = Vec::new();
    while let Some(batch) = from.recv().await {
        waiting.extend(batch);
        while waiting.len() >= each {
            ticks.tick().await;
            send(waiting.drain(..each).collect(), &to, &seen).await;
        }
        if from.is_empty() && !waiting.is_empty() {
            ticks.tick().await;
            send(std::mem::take(&mut waiting), &to, &seen).await;
        }
    }
}

async fn send(batch: Vec<Received>, to: &mpsc::Sender<Vec<Received>>, seen: &Seen) {
    let now = Instant::now();
    let place = |received: &Received| (received.partition.partition, received.record.origin.offset);
    seen.delivered.borrow_mut().extend(batch.iter().map(|received| (place(received), now)));
    // The worker has ended when nobody listens.
    let _ = to.send(batch).await;
}

struct Failing {
    client: Client,
    failing: bool,
}

impl Failing {
    fn fails(&self, target: &Target) -> bool {
        let number = target.workflow_id().rsplit('-').next().and_then(|text| text.parse::<usize>().ok());
        self.failing && number.is_some_and(|number| number.is_multiple_of(ONE_IN))
    }
}

impl Engine for Failing {
    async fn call(&self, call: Call<'_>) -> Result<Accepted, CallError> {
        if self.fails(call.target) {
            let message = "this one always fails".to_owned();
            return Err(CallError { verdict: Verdict::Transient { busy: false }, status: "UNAVAILABLE", message });
        }
        self.client.call(call).await
    }

    async fn probe_wiring(&self) -> Wiring {
        Wiring::Sound
    }

    async fn probe_history(&self, _: &DomainRef, _: &str) -> Probed {
        Probed::Well
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

struct Timed {
    log: KafkaLog,
    seen: Rc<Seen>,
}

impl Log for Timed {
    async fn produce(&self, record: OutRecord) -> Result<(), ProduceFault> {
        let outcome = record.value.as_ref().and_then(|value| Outcome::parse(value).ok());
        let answer = self.log.produce(record).await;
        let seen = &*self.seen;
        match outcome.filter(|_| answer.is_ok()) {
            Some(outcome) => {
                let delivered = seen.delivered.borrow_mut().remove(&(outcome.source.partition, outcome.source.offset));
                seen.took.borrow_mut().extend(delivered.map(|at| micros(at.elapsed())));
            }
            None => seen.moved.set(seen.moved.get() + 1),
        }
        seen.ended.set(seen.ended.get() + usize::from(answer.is_ok()));
        if seen.ended.get() == seen.records {
            seen.stop.cancel();
        }
        answer
    }

    fn read_back(&self, _: ReadBack) {}

    fn command(&self, command: ToConsumer) {
        self.log.command(command);
    }
}

fn number(name: &str, default: usize) -> usize {
    env::var(name).map_or(default, |text| text.parse().unwrap_or_else(|_| panic!("{name} is not a number")))
}
