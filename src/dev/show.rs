//! The show: starts everything, lets the demo run, tells what is seen, and checks the books at the end.

use std::collections::{BTreeSet, VecDeque};
use std::io::Write as _;
use std::time::Duration;

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
use super::{Options, clients, texts};
use crate::admin::Printable;
use crate::config::{ANY_ACTIVITY, Route};
use crate::exit::Exit;
use crate::run::wall_clock_ms;

/// The demo takes four seconds; a machine that is busy with something else may take much longer.
const DEADLINE: Duration = Duration::from_secs(60);

/// How often the engine is looked at, and the demo goes on.
const TICK: Duration = Duration::from_millis(50);

/// Ticks between two orders, so that people can follow.
const TICKS_PER_ORDER: u32 = 3;

/// Why there is no show.
#[derive(Debug, thiserror::Error)]
pub(super) enum ShowError {
    #[error(transparent)]
    Stack(#[from] StackError),
    #[error("cannot start a Kafka client: {0}")]
    Kafka(#[from] KafkaError),
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
    /// The one who waits for an answer has got it.
    answered: bool,
    program: String,
    /// Cancelled when standard output is closed.
    unheard: CancellationToken,
}

/// Runs it all, to the end.
pub(super) async fn run(options: &Options, shutdown: &CancellationToken) -> Result<Exit, ShowError> {
    let began = Instant::now();
    let stack = Stack::start(!options.once, vec![route()]).await?;
    let extras = CancellationToken::new();
    let _ends_extras = extras.clone().drop_guard();
    let mut show = Show::new(stack, options, &extras)?;
    show.say(&texts::welcome(&show.stack, &show.upcoming));
    let mut exit = show.demo(began, shutdown).await?;
    if !options.once && exit == Exit::Ok && !shutdown.is_cancelled() {
        exit = show.play(shutdown).await?;
    }
    extras.cancel();
    let ended = show.stack.stop().await;
    if let Some(message) = ended.message {
        anstream::eprintln!("handback dev: {}", Printable(message));
    }
    Ok(if exit == Exit::Ok { ended.exit } else { exit })
}

/// The demo needs no worker: its activities become requests as `handback dispatch` makes them.
fn route() -> Route {
    Route {
        domain: DOMAIN.to_owned(),
        task_list: TASK_LIST.to_owned(),
        activity_type: ANY_ACTIVITY.to_owned(),
        ..Route::default()
    }
}

impl Show {
    fn new(stack: Stack, options: &Options, extras: &CancellationToken) -> Result<Self, ShowError> {
        let settings = &stack.settings;
        let producer = clients::producer(&settings.kafka.brokers)?;
        let services = Services::start(settings, &producer, extras.clone())?;
        let watch = watch(settings, extras.clone())?;
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
            answered: false,
            program: options.program.clone(),
            unheard: CancellationToken::new(),
            stack,
        })
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
        self.say(&texts::summary(&self.account, &books, began.elapsed(), &faults));
        Ok(if faults.is_empty() { Exit::Ok } else { Exit::Failed })
    }

    /// Activities for whoever wants to answer, one after the other.
    async fn play(&mut self, shutdown: &CancellationToken) -> Result<Exit, ShowError> {
        self.say(&texts::stays_up());
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
                () = self.unheard.cancelled() => return Ok(Pause::Shutdown),
                () = self.stack.bridge_ended() => return Ok(Pause::BridgeEnded),
                Some(sighting) = self.watch.seen.recv() => self.see(sighting),
                now = tick.tick() => {
                    self.next_order()?;
                    let books = self.stack.engine.books();
                    self.change_of_mind(&books)?;
                    if std::mem::take(&mut self.answered) {
                        self.invite()?;
                    }
                    self.look_for_ends(&books);
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
            self.say(&line);
        }
        if let What::Request(_, Some(request)) = &sighting.what
            && request.activity.as_ref().is_some_and(|activity| activity.activity_type == demo::WAITING)
        {
            self.say(&invitation(request, &self.stack.settings, &self.program));
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

    /// The customer of one order cancels it once the service is at work.
    fn change_of_mind(&self, books: &Books) -> Result<(), ShowError> {
        let activity = books.workflow(demo::CANCELED).and_then(|workflow| workflow.activities.first());
        if let Some(activity) = activity.filter(|activity| activity.heartbeats > 1 && !activity.cancel_requested) {
            self.stack.engine.request_activity_cancel(DOMAIN, demo::CANCELED, &activity.activity_id)?;
        }
        Ok(())
    }

    /// Tells of workflows that are over; whoever has answered gets another to play with, at the next tick, so that the end
    /// of the first is told before.
    fn look_for_ends(&mut self, books: &Books) {
        for workflow in &books.workflows {
            let Some(closed) = workflow.closed else { continue };
            if !self.closed.insert(workflow.run_id.clone()) {
                continue;
            }
            let what = What::Closed(workflow.workflow_id.clone(), word(closed));
            // Only the telling would be lost, and only of more ends than there are orders.
            let _ = self.watch.also.try_send(Sighting { at_ms: wall_clock_ms(), what });
            self.answered = self.invitations > 0;
        }
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

    /// Prints. When nobody reads any more, the show is over.
    fn say(&self, text: &str) {
        if writeln!(anstream::stdout(), "{text}").is_err() {
            self.unheard.cancel();
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
