//! Activities of a task list become requests: one dispatching process between the embedded engine, whose task list is full, and a
//! broker. Engine and broker are a process of their own, so that CPU and memory are those of dispatching alone: this program
//! starts itself again for each part.
//!
//! | variable | meaning | default |
//! |---|---|---|
//! | `HANDBACK_BENCH_BROKERS` | a real broker to use | librdkafka's mock |
//! | `HANDBACK_BENCH_TASKS` | activities a run | 50000 |
//! | `HANDBACK_BENCH_RUNS` | runs of each, of which the median counts | 3 |
//! | `HANDBACK_BENCH_POLLERS` | polls at once | 8,32 |

#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, reason = "a bench that cannot go on stops")]
#![allow(dead_code, reason = "figures and stage are shared with the bench end_to_end")]

#[path = "end_to_end/figures.rs"]
mod figures;
#[path = "end_to_end/stage.rs"]
mod stage;

use std::cell::RefCell;
use std::env;
use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, Stdio};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use handback::admin::{Health, Metrics};
use handback::bridge::seams::{CallError, ProduceFault, Wiring};
use handback::cadence::Client;
use handback::config::{Route, Settings};
use handback::dev::engine::{ActivityPlan, Engine, Plan};
use handback::dispatch::seams::{Requests, Task, TaskList, Tasks};
use handback::dispatch::{self, Ending, Options, Shared};
use handback::kafka::{self, Producer, ProducerSpec};
use handback::wire::{Failure, OutRecord};
use rdkafka::mocking::MockCluster;
use tokio::net::TcpListener;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use figures::{Began, Figures, Stage, micros};

/// As in the program itself.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const ROLE: &str = "HANDBACK_BENCH_ROLE";
const DOMAIN: &str = "bench";

/// What `handback topics create` makes.
const PARTITIONS: i32 = 12;

/// Activities of one workflow.
const EACH: usize = 100;

/// One write in this many is timed.
const ACKS_TIMED: usize = 8;

fn main() {
    let real = env::args().any(|arg| arg == "--bench") && !env::args().any(|arg| arg == "--test");
    let tasks = number("HANDBACK_BENCH_TASKS", if real { 50_000 } else { 2_000 });
    let runs = number("HANDBACK_BENCH_RUNS", if real { 3 } else { 1 });
    let pollers = env::var("HANDBACK_BENCH_POLLERS").unwrap_or_else(|_| "8,32".to_owned());
    let pollers: Vec<usize> = pollers.split(',').map(|n| n.trim().parse().expect("a number of pollers")).collect();
    match env::var(ROLE).as_deref() {
        Ok("stage") => play_stage(tasks, runs * pollers.len()),
        Ok("dispatch") => play_dispatch(&Stage::from_env()).print(),
        Ok(other) => panic!("{ROLE}={other} is no part of this bench"),
        Err(_) => compare(tasks, runs, &pollers),
    }
}

fn compare(tasks: usize, runs: usize, pollers: &[usize]) {
    let (mut theatre, stage) = set_stage(tasks, runs, pollers);
    let broker = env::var("HANDBACK_BENCH_BROKERS").unwrap_or_else(|_| "librdkafka mock".to_owned());
    println!("{tasks} activities a run, median of {runs} runs, broker: {broker}\n");
    println!(
        "{:>8}  {:>12}  {:>11}  {:>8}  {:>17}  {:>17}",
        "pollers", "activities/s", "CPU us/task", "peak MiB", "poll p50/p99 ms", "ack p50/p99 ms"
    );
    for (turn, pollers) in pollers.iter().enumerate() {
        let list = |run: usize| list(turn * runs + run);
        let figures = Figures::median((0..runs).map(|run| play(&stage, tasks, *pollers, &list(run))).collect());
        let Figures { records_per_second, cpu_us, peak_mib, call, ack } = figures;
        println!(
            "{pollers:>8}  {records_per_second:>12.0}  {cpu_us:>11.1}  {peak_mib:>8.0}  {:>17}  {:>17}",
            format!("{:.1} / {:.1}", call.0, call.1),
            format!("{:.1} / {:.1}", ack.0, ack.1)
        );
    }
    let _ = theatre.kill();
    let _ = theatre.wait();
}

/// The task list of one run: what a run leaves behind must not be another's.
fn list(turn: usize) -> String {
    format!("list-{turn}")
}

fn set_stage(tasks: usize, runs: usize, pollers: &[usize]) -> (Child, Stage) {
    let pollers = pollers.iter().map(ToString::to_string).collect::<Vec<_>>().join(",");
    let mut child = Command::new(env::current_exe().unwrap())
        .env(ROLE, "stage")
        .env("HANDBACK_BENCH_TASKS", tasks.to_string())
        .env("HANDBACK_BENCH_RUNS", runs.to_string())
        .env("HANDBACK_BENCH_POLLERS", pollers)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let stage = Stage::parse(&line).expect("the stage says where it stands");
    (child, stage)
}

fn play(stage: &Stage, tasks: usize, pollers: usize, list: &str) -> Figures {
    let output = Command::new(env::current_exe().unwrap())
        .env(ROLE, "dispatch")
        .envs(stage.to_env(tasks, pollers, list))
        .stderr(Stdio::inherit())
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    Figures::parse(&text).unwrap_or_else(|| panic!("no figures: {} {text}", output.status))
}

/// Broker and engine, with all activities of all runs on their lists.
fn play_stage(tasks: usize, turns: usize) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
    let engine = runtime.block_on(async { Engine::start(listener) }).unwrap();
    let mock = env::var("HANDBACK_BENCH_BROKERS").is_err().then(|| MockCluster::new(1).unwrap());
    let brokers = match &mock {
        Some(mock) => mock.bootstrap_servers(),
        None => env::var("HANDBACK_BENCH_BROKERS").unwrap(),
    };
    let run = std::process::id().to_string();
    let stage = Stage { brokers, endpoint: engine.endpoint(), run, ..Stage::default() };
    match &mock {
        Some(mock) => mock.create_topic(&stage.topic("requests"), PARTITIONS, 1).unwrap(),
        None => runtime.block_on(stage::create(&stage, "requests", PARTITIONS)),
    }
    engine.register_domain(DOMAIN).unwrap();
    for turn in 0..turns {
        for first in (0..tasks).step_by(EACH) {
            let plan = Plan::parallel((first..tasks.min(first + EACH)).map(charge));
            engine.start_workflow(DOMAIN, &format!("order-{turn}-{first:08}"), &list(turn), plan).unwrap();
        }
    }
    stage.print();
    runtime.spawn_blocking(|| std::io::stdin().read_to_end(&mut Vec::new()));
    runtime.block_on(std::future::pending::<()>());
}

/// With arguments of some 200 bytes.
fn charge(number: usize) -> ActivityPlan {
    let mut plan = ActivityPlan::new(number.to_string(), "ChargeCard");
    plan.input = vec![serde_json::json!({"amount": number, "currency": "EUR", "note": "x".repeat(160)})];
    plan
}

fn settings(stage: &Stage) -> Settings {
    let mut settings = Settings::default();
    settings.kafka.brokers = stage.brokers.clone();
    settings.topics.requests = stage.topic("requests");
    settings.cadence.endpoint = stage.endpoint.clone();
    settings.dispatch.pollers = stage.window;
    settings.dispatch.routes = vec![Route {
        domain: DOMAIN.into(),
        task_list: stage.group.clone(),
        activity_type: "ChargeCard".into(),
        ..Route::default()
    }];
    settings
}

/// What the stopwatches have seen.
#[derive(Default)]
struct Seen {
    began: Option<Began>,
    polls: Vec<u32>,
    acks: Vec<u32>,
    published: usize,
    figures: Option<Figures>,
}

fn play_dispatch(stage: &Stage) -> Figures {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(run(stage))
}

async fn run(stage: &Stage) -> Figures {
    let settings = settings(stage);
    let metrics = Arc::new(Metrics::new());
    let seen = Rc::new(RefCell::new(Seen::default()));
    let stop = CancellationToken::new();
    let client = Client::connect(&settings.cadence, Arc::clone(&metrics)).unwrap();
    let spec = ProducerSpec {
        name: "producer".to_owned(),
        config: kafka::client::producer(&settings.kafka),
        observer: Arc::new(()),
    };
    let requests = Counted {
        producer: Producer::new(spec).unwrap(),
        seen: Rc::clone(&seen),
        tasks: stage.records,
        stop: stop.clone(),
    };
    let tasks = Timed { client, seen: Rc::clone(&seen) };
    let shared = Shared { metrics, health: Arc::new(Health::new()) };
    let options = Options::new(&settings, "bench".to_owned(), 1);
    assert_eq!(dispatch::run(tasks, requests, options, shared, stop).await, Ending::Drained);
    let figures = seen.borrow_mut().figures.take();
    figures.expect("every request was acknowledged")
}

struct Timed {
    client: Client,
    seen: Rc<RefCell<Seen>>,
}

impl Tasks for Timed {
    async fn poll(&self, list: &TaskList, identity: &str, within: Duration) -> Result<Option<Task>, CallError> {
        self.seen.borrow_mut().began.get_or_insert_with(Began::now);
        let began = Instant::now();
        let task = Tasks::poll(&self.client, list, identity, within).await;
        if matches!(task, Ok(Some(_))) {
            self.seen.borrow_mut().polls.push(micros(began.elapsed()));
        }
        task
    }

    async fn fail(&self, _: &Bytes, failure: &Failure, _: &str) -> Result<(), CallError> {
        give_up(&format!("nothing may fail: {failure:?}"))
    }

    async fn heartbeat(&self, _: &Bytes, _: Option<&Bytes>, _: &str) -> Result<(), CallError> {
        give_up("no heartbeat is expected")
    }

    async fn probe_wiring(&self) -> Wiring {
        Wiring::Sound
    }
}

struct Counted {
    producer: Producer,
    seen: Rc<RefCell<Seen>>,
    tasks: usize,
    stop: CancellationToken,
}

impl Requests for Counted {
    async fn write(&self, record: OutRecord) -> Result<(), ProduceFault> {
        // Not every one: what the stopwatch costs must not count as handback's.
        let began = self.seen.borrow().published.is_multiple_of(ACKS_TIMED).then(Instant::now);
        let answer = self.producer.write(record).await;
        let seen = &mut *self.seen.borrow_mut();
        seen.acks.extend(began.map(|began| micros(began.elapsed())));
        seen.published += usize::from(answer.is_ok());
        if answer.is_ok() && seen.published == self.tasks {
            let (polls, acks) = (std::mem::take(&mut seen.polls), std::mem::take(&mut seen.acks));
            seen.figures = seen.began.as_ref().map(|began| Figures::since(began, self.tasks, polls, acks));
            self.stop.cancel();
        }
        answer
    }
}

/// Not by a panic, which dispatching would survive.
fn give_up(text: &str) -> ! {
    eprintln!("{text}");
    std::process::exit(1)
}

fn number(name: &str, default: usize) -> usize {
    env::var(name).map_or(default, |text| text.parse().unwrap_or_else(|_| panic!("{name} is not a number")))
}
