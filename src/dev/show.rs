//! The show: starts everything, lets the demo run, tells what is seen, and checks the books at the end.

use std::collections::{BTreeSet, VecDeque};
use std::time::Duration;

use anstyle::{AnsiColor, Style};
use rdkafka::error::KafkaError;
use tokio::task::JoinHandle;
use tokio::time::{Instant, MissedTickBehavior};
use tokio_util::sync::CancellationToken;

use super::account::Account;
use super::audit::audit;
use super::demo::{self, DOMAIN, Story, TASK_LIST};
use super::engine::{Books, CloseStatus, Refusal};
use super::observer::{Sighting, Watch, What, watch};
use super::play::invitation;
use super::services::Services;
use super::stack::{Stack, StackError};
use super::timeline::Timeline;
use super::worker::Worker;
use super::{Options, clients};
use crate::cadence::ConnectError;
use crate::exit::Exit;
use crate::run::wall_clock_ms;
use crate::wire::{OutcomeKind, names};

/// The demo takes four seconds; a machine that is busy with something else may take much longer.
const DEADLINE: Duration = Duration::from_secs(60);

/// How often the engine is looked at, and the demo goes on.
const TICK: Duration = Duration::from_millis(50);

/// Ticks between two orders, so that people can follow.
const TICKS_PER_ORDER: u32 = 3;

const BOLD: Style = Style::new().bold();
const DIM: Style = Style::new().dimmed();
const GOOD: Style = AnsiColor::Green.on_default().bold();
const BAD: Style = AnsiColor::Red.on_default().bold();

/// Why there is no show.
#[derive(Debug, thiserror::Error)]
pub(super) enum ShowError {
    #[error(transparent)]
    Stack(#[from] StackError),
    #[error("cannot start a Kafka client: {0}")]
    Kafka(#[from] KafkaError),
    #[error("cannot start the demo's worker: {0}")]
    Worker(#[from] ConnectError),
    #[error("the embedded engine refuses the demo: {0:?}")]
    Engine(Refusal),
}

impl From<Refusal> for ShowError {
    fn from(refusal: Refusal) -> Self {
        Self::Engine(refusal)
    }
}

/// Why the show pauses.
#[derive(Debug, PartialEq, Eq)]
enum Pause {
    /// The demo is over and everything about it was seen.
    DemoOver,
    /// It is not over, and should be.
    TooLong,
    /// Somebody wants to go home.
    Shutdown,
    /// The bridge ended by itself.
    BridgeEnded,
}

/// Everything on the stage.
struct Show {
    stack: Stack,
    services: Services,
    watch: Watch,
    timeline: Timeline,
    account: Account,
    /// Orders that have not begun.
    upcoming: VecDeque<Story>,
    tick: u32,
    /// Since when nothing is left to be answered, in milliseconds since the epoch.
    quiet_since: Option<i64>,
    /// Kafka's cluster id, part of every identity; known long before it is asked for.
    cluster_id: JoinHandle<String>,
    /// Runs whose end was told.
    closed: BTreeSet<String>,
    /// How many activities people were invited to answer; 0 during the demo.
    invitations: u32,
    program: String,
}

/// Runs it all, to the end.
pub(super) async fn run(options: &Options, shutdown: &CancellationToken) -> Result<Exit, ShowError> {
    let began = Instant::now();
    let stack = Stack::start(!options.once).await?;
    let extras = CancellationToken::new();
    let _ends_extras = extras.clone().drop_guard();
    let mut show = Show::new(stack, options, &extras)?;
    show.welcome();
    let mut exit = show.demo(began, shutdown).await?;
    if !options.once && exit == Exit::Ok && !shutdown.is_cancelled() {
        exit = show.play(shutdown).await?;
    }
    extras.cancel();
    let ended = show.stack.stop().await;
    if let Some(message) = ended.message {
        anstream::eprintln!("{BAD}{message}{BAD:#}");
    }
    Ok(if exit == Exit::Ok { ended.exit } else { exit })
}

impl Show {
    fn new(stack: Stack, options: &Options, extras: &CancellationToken) -> Result<Self, ShowError> {
        let settings = &stack.settings;
        stack.engine.register_domain(DOMAIN)?;
        let producer = clients::producer(&settings.kafka.brokers)?;
        let services = Services::start(settings, &producer, extras.clone())?;
        let watch = watch(settings, extras.clone())?;
        let worker = Worker::new(settings, DOMAIN, TASK_LIST, producer)?;
        tokio::spawn(worker.run(extras.clone()));
        let brokers = settings.kafka.brokers.clone();
        let cluster_id = tokio::task::spawn_blocking(move || clients::cluster_id(&brokers));
        Ok(Self {
            services,
            watch,
            timeline: Timeline::new(wall_clock_ms()),
            account: Account::default(),
            upcoming: demo::stories().into(),
            tick: 0,
            quiet_since: None,
            cluster_id,
            closed: BTreeSet::new(),
            invitations: 0,
            program: options.program.clone(),
            stack,
        })
    }

    fn welcome(&self) {
        let settings = &self.stack.settings;
        anstream::println!("{BOLD}handback dev{BOLD:#}  broker, engine, bridge and a few services in one process\n");
        let row = |name, address: &str, what| anstream::println!("  {name:<8}  {address:<22}  {DIM}{what}{DIM:#}");
        row("Kafka", &settings.kafka.brokers, "librdkafka's mock cluster; any client can connect");
        row("Cadence", &self.stack.engine.endpoint(), "embedded development engine, gRPC, domain \"demo\"");
        if let Some(admin) = settings.admin.listen {
            row("health", &format!("http://{admin}"), "/readyz /livez /metrics");
        }
        anstream::println!();
        for story in &self.upcoming {
            anstream::println!("  {BOLD}{}{BOLD:#}  {}", story.workflow_id, story.tells);
        }
        anstream::println!("\n{}", Timeline::heading());
    }

    /// The orders, then the summary.
    async fn demo(&mut self, began: Instant, shutdown: &CancellationToken) -> Result<Exit, ShowError> {
        let pause = self.go_on(Some(began + DEADLINE), shutdown).await?;
        match pause {
            Pause::Shutdown | Pause::BridgeEnded => return Ok(Exit::Failed),
            Pause::DemoOver | Pause::TooLong => {}
        }
        let books = self.stack.engine.books();
        let cluster_id = (&mut self.cluster_id).await.unwrap_or_default();
        let mut faults = audit(&self.account, &books, &cluster_id);
        if pause == Pause::TooLong {
            faults.insert(0, format!("the demo was not over after {} s", DEADLINE.as_secs()));
        }
        self.summary(&books, began.elapsed(), &faults);
        Ok(if faults.is_empty() { Exit::Ok } else { Exit::Failed })
    }

    /// Activities for whoever wants to answer, one after the other.
    async fn play(&mut self, shutdown: &CancellationToken) -> Result<Exit, ShowError> {
        anstream::println!("\n{BOLD}The stack stays up.{BOLD:#} Ctrl-C ends it.\n\n{}", Timeline::heading());
        self.invite()?;
        let pause = self.go_on(None, shutdown).await?;
        Ok(if pause == Pause::Shutdown { Exit::Ok } else { Exit::Failed })
    }

    fn invite(&mut self) -> Result<(), ShowError> {
        self.invitations += 1;
        let (workflow_id, plan) = demo::waiting(self.invitations);
        self.stack.engine.start_workflow(DOMAIN, &workflow_id, TASK_LIST, plan)?;
        Ok(())
    }

    /// Tells what is seen until there is a reason to pause.
    async fn go_on(&mut self, deadline: Option<Instant>, shutdown: &CancellationToken) -> Result<Pause, ShowError> {
        let mut tick = tokio::time::interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = shutdown.cancelled() => return Ok(Pause::Shutdown),
                () = self.stack.bridge_ended() => return Ok(Pause::BridgeEnded),
                Some(sighting) = self.watch.seen.recv() => self.see(sighting),
                now = tick.tick() => {
                    self.next_order()?;
                    let books = self.stack.engine.books();
                    self.look_for_ends(&books)?;
                    if self.invitations == 0 && self.demo_is_over(&books) {
                        return Ok(Pause::DemoOver);
                    }
                    if deadline.is_some_and(|deadline| now >= deadline) {
                        return Ok(Pause::TooLong);
                    }
                }
            }
        }
    }

    fn see(&mut self, sighting: Sighting) {
        if let Some(line) = self.timeline.tell(&sighting) {
            anstream::println!("{line}");
        }
        if let What::Request(_, Some(request)) = &sighting.what
            && request.activity.as_ref().is_some_and(|activity| activity.activity_type == demo::WAITING)
        {
            anstream::println!("{}", invitation(request, &self.stack.settings, &self.program));
        }
        self.account.enter(sighting);
    }

    fn next_order(&mut self) -> Result<(), ShowError> {
        if !self.watch.is_ready() {
            // Nobody watches yet.
            self.timeline = Timeline::new(wall_clock_ms());
            return Ok(());
        }
        self.tick += 1;
        if self.tick.is_multiple_of(TICKS_PER_ORDER)
            && let Some(Story { workflow_id, plan, .. }) = self.upcoming.pop_front()
        {
            self.stack.engine.start_workflow(DOMAIN, workflow_id, TASK_LIST, plan)?;
        }
        Ok(())
    }

    /// Tells of workflows that are over; whoever has answered gets another to play with.
    fn look_for_ends(&mut self, books: &Books) -> Result<(), ShowError> {
        for workflow in &books.workflows {
            let Some(closed) = workflow.closed else { continue };
            if !self.closed.insert(workflow.run_id.clone()) {
                continue;
            }
            let what = What::Closed(workflow.workflow_id.clone(), word(closed));
            // Only the telling would be lost, and only of more ends than there are orders.
            let _ = self.watch.also.try_send(Sighting { at_ms: wall_clock_ms(), what });
            if self.invitations > 0 {
                self.invite()?;
            }
        }
        Ok(())
    }

    fn demo_is_over(&mut self, books: &Books) -> bool {
        let closed = books.workflows.iter().all(|workflow| workflow.closed.is_some());
        if !(self.upcoming.is_empty() && closed && self.services.idle()) {
            self.quiet_since = None;
            return false;
        }
        let quiet_since = *self.quiet_since.get_or_insert_with(wall_clock_ms);
        self.account.is_settled(quiet_since)
    }

    fn summary(&self, books: &Books, took: Duration, faults: &[String]) {
        let account = &self.account;
        let closed = books.workflows.iter().filter(|workflow| workflow.closed.is_some()).count();
        anstream::println!("\n{BOLD}summary{BOLD:#}  {DIM}{:.1} s{DIM:#}\n", took.as_secs_f64());
        let row = |name, count: usize, rest: &str| anstream::println!("  {name:<13}{count:>4}  {DIM}{rest}{DIM:#}");
        row("workflows", closed, &format!("of {} closed", books.workflows.len()));
        row("requests", account.requests, "");
        row(
            "replies",
            account.replies.len(),
            &format!("{} of them heartbeats without news", account.quiet_heartbeats()),
        );
        let kinds = OutcomeKind::ALL.map(|kind| (kind, account.count(kind)));
        let kinds = kinds.iter().filter(|(_, count)| *count > 0).map(|(kind, count)| format!("{count} {kind}"));
        row("outcomes", account.outcomes.len(), &kinds.collect::<Vec<_>>().join(", "));
        let reasons = account.dead_letters.values().filter_map(|letter| letter.headers.last(names::DLQ_REASON));
        let reasons = reasons.map(|reason| String::from_utf8_lossy(reason)).collect::<Vec<_>>();
        row("dead letters", account.dead_letters.len(), &reasons.join(", "));
        let ends = account.reaches.iter();
        let ends = ends.map(|reach| format!("{}: {} of {}", reach.partition, reach.committed.unwrap_or(0), reach.end));
        let committed = account.reaches.iter().filter_map(|reach| reach.committed).sum::<i64>();
        row("committed", usize::try_from(committed).unwrap_or(0), &ends.collect::<Vec<_>>().join(", "));
        anstream::println!();
        if faults.is_empty() {
            anstream::println!(
                "{GOOD}The books agree:{GOOD:#} every reply has its outcome, the engine has each applied answer byte for byte\n\
                 under the identity of its record, dead letters are as received, offsets are at the end of the log."
            );
        }
        for fault in faults {
            anstream::println!("{BAD}The books disagree:{BAD:#} {fault}");
        }
    }
}

fn word(closed: CloseStatus) -> &'static str {
    match closed {
        CloseStatus::Completed => "completed",
        CloseStatus::Canceled => "canceled",
        CloseStatus::TimedOut => "timed out",
        CloseStatus::Failed => "failed",
        CloseStatus::Terminated => "terminated",
        CloseStatus::ContinuedAsNew | CloseStatus::Invalid => "over",
    }
}
