//! Models of the engine's task lists and of the log, and a dispatcher between them.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use crate::admin::{Dispatched, Health, Metrics};
use crate::bridge::seams::{CallError, ProduceFault, Verdict, Wiring};
use crate::config::{Route, Settings};
use crate::dispatch::seams::{Requests, Task, TaskList, Tasks, Times};
use crate::dispatch::{Ending, Options, Shared, run};
use crate::wire::{Encoding, Failure, OutRecord, RequestActivity};

pub(super) const TOPIC: &str = "charges";
pub(super) const SECOND: Duration = Duration::from_secs(1);

/// What one produce does.
#[derive(Clone, Debug)]
pub(super) enum Write {
    Acknowledge,
    AcknowledgeAfter(Duration),
    Fail(ProduceFault),
    Never,
    Panic,
}

/// What the models share with the test.
#[derive(Default)]
pub(super) struct World {
    waiting: RefCell<VecDeque<Task>>,
    arrived: Notify,
    /// Answers to polls before any task is handed out.
    pub(super) poll_errors: RefCell<VecDeque<CallError>>,
    /// Answers to fail calls before one is taken.
    pub(super) fail_errors: RefCell<VecDeque<CallError>>,
    pub(super) fail_panics: Cell<bool>,
    pub(super) wiring: RefCell<Option<Wiring>>,
    /// When each poll began, and how long it was ready to wait.
    pub(super) polls: RefCell<Vec<(Instant, Duration)>>,
    pub(super) polling: Cell<usize>,
    pub(super) probes: RefCell<Vec<Instant>>,
    /// When and with what details each heartbeat came.
    pub(super) beats: RefCell<Vec<(Instant, Option<Bytes>)>>,
    /// Answers to heartbeats before one is taken.
    pub(super) beat_errors: RefCell<VecDeque<CallError>>,
    pub(super) failed: RefCell<Vec<(Instant, Bytes, Failure)>>,
    /// What produces do, one after the other; then they acknowledge.
    pub(super) writes: RefCell<VecDeque<Write>>,
    /// What they do instead, if set.
    pub(super) every_write: RefCell<Option<Write>>,
    /// The topic that takes nothing and says nothing.
    pub(super) mute: RefCell<Option<&'static str>>,
    /// Every produce that was begun.
    pub(super) written: RefCell<Vec<(Instant, OutRecord)>>,
    pub(super) acknowledged: RefCell<Vec<(Instant, OutRecord)>>,
    pub(super) writing: Cell<usize>,
    pub(super) most_writing: Cell<usize>,
}

impl World {
    /// A task waits to be polled for.
    pub(super) fn schedule(&self, task: Task) {
        self.waiting.borrow_mut().push_back(task);
        self.arrived.notify_waiters();
    }

    pub(super) fn waiting(&self) -> usize {
        self.waiting.borrow().len()
    }

    pub(super) fn reasons(&self) -> Vec<String> {
        self.failed.borrow().iter().map(|(_, _, failure)| failure.reason.clone()).collect()
    }
}

struct Lists(Rc<World>);

/// Counts as long as it lives.
struct Counted<'a>(&'a Cell<usize>);

impl<'a> Counted<'a> {
    fn new(cell: &'a Cell<usize>) -> Self {
        cell.set(cell.get() + 1);
        Self(cell)
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
}

impl Tasks for Lists {
    async fn poll(&self, list: &TaskList, identity: &str, within: Duration) -> Result<Option<Task>, CallError> {
        assert_eq!((list.domain.as_str(), list.name.as_str(), identity), ("orders", "list", "tester"));
        let _polling = Counted::new(&self.0.polling);
        self.0.polls.borrow_mut().push((Instant::now(), within));
        let refused = self.0.poll_errors.borrow_mut().pop_front();
        if let Some(error) = refused {
            return Err(error);
        }
        // As the server: answered a second before the deadline, after a minute at most.
        let until = Instant::now() + (within - SECOND).min(60 * SECOND);
        loop {
            let arrived = self.0.arrived.notified();
            let next = self.0.waiting.borrow_mut().pop_front();
            if next.is_some() {
                return Ok(next);
            }
            if tokio::time::timeout_at(until, arrived).await.is_err() {
                return Ok(None);
            }
        }
    }

    async fn fail(&self, token: &Bytes, failure: &Failure, identity: &str) -> Result<(), CallError> {
        assert_eq!(identity, "tester");
        assert!(!self.0.fail_panics.get(), "as scripted");
        if let Some(error) = self.0.fail_errors.borrow_mut().pop_front() {
            return Err(error);
        }
        self.0.failed.borrow_mut().push((Instant::now(), token.clone(), failure.clone()));
        Ok(())
    }

    async fn heartbeat(&self, _: &Bytes, details: Option<&Bytes>, _: &str) -> Result<(), CallError> {
        self.0.beats.borrow_mut().push((Instant::now(), details.cloned()));
        self.0.beat_errors.borrow_mut().pop_front().map_or(Ok(()), Err)
    }

    async fn probe_wiring(&self) -> Wiring {
        self.0.probes.borrow_mut().push(Instant::now());
        self.0.wiring.borrow().clone().unwrap_or(Wiring::Sound)
    }
}

struct Log(Rc<World>);

impl Requests for Log {
    async fn write(&self, record: OutRecord) -> Result<(), ProduceFault> {
        let world = &self.0;
        let _writing = Counted::new(&world.writing);
        world.most_writing.set(world.most_writing.get().max(world.writing.get()));
        world.written.borrow_mut().push((Instant::now(), record.clone()));
        let next = world.writes.borrow_mut().pop_front();
        let mute = *world.mute.borrow() == Some(&*record.topic);
        let next = next.or_else(|| mute.then_some(Write::Never));
        let next = next.or_else(|| world.every_write.borrow().clone()).unwrap_or(Write::Acknowledge);
        match next {
            Write::Acknowledge => {}
            Write::AcknowledgeAfter(pause) => sleep(pause).await,
            Write::Fail(fault) => return Err(fault),
            Write::Never => std::future::pending().await,
            Write::Panic => panic!("as scripted"),
        }
        world.acknowledged.borrow_mut().push((Instant::now(), record));
        Ok(())
    }
}

/// A dispatcher that runs beside the test.
pub(super) struct Stage {
    pub(super) world: Rc<World>,
    pub(super) stop: CancellationToken,
    pub(super) health: Arc<Health>,
    pub(super) metrics: Arc<Metrics>,
    pub(super) began: Instant,
    dispatcher: Pin<Box<dyn Future<Output = Ending>>>,
}

/// Two pollers, one route, and times that are easy to reckon with.
pub(super) fn settings() -> Settings {
    let mut settings = Settings::default();
    settings.dispatch.pollers = 2;
    settings.dispatch.max_in_hand = 8;
    settings.dispatch.routes = vec![Route {
        domain: "orders".into(),
        task_list: "list".into(),
        activity_type: "Charge".into(),
        topic: TOPIC.into(),
        encoding: Encoding::Go,
        ..Route::default()
    }];
    settings.retry.jitter = 0.0;
    settings.bridge.drain_timeout = 20 * SECOND;
    settings
}

impl Stage {
    pub(super) fn set() -> Self {
        Self::with(|_| {})
    }

    pub(super) fn with(change: impl FnOnce(&mut Settings)) -> Self {
        let mut settings = settings();
        change(&mut settings);
        let world = Rc::new(World::default());
        let stop = CancellationToken::new();
        let (metrics, health) = (Arc::new(Metrics::new()), Arc::new(Health::new()));
        let shared = Shared { metrics: Arc::clone(&metrics), health: Arc::clone(&health) };
        let options = Options::new(&settings, "tester".to_owned(), 7);
        let dispatcher = Box::pin(run(Lists(Rc::clone(&world)), Log(Rc::clone(&world)), options, shared, stop.clone()));
        Self { world, stop, health, metrics, began: Instant::now(), dispatcher }
    }

    /// Lets it run until this long after the beginning.
    pub(super) async fn until(&mut self, after: Duration) {
        let at = self.began + after;
        tokio::select! {
            biased;
            ending = self.dispatcher.as_mut() => panic!("it has ended: {ending:?}"),
            () = tokio::time::sleep_until(at) => {}
        }
    }

    /// Lets it run until it ends, and tells how and how long after the beginning.
    pub(super) async fn ending(&mut self) -> (Ending, Duration) {
        let ending = tokio::time::timeout(3600 * SECOND, self.dispatcher.as_mut()).await;
        (ending.expect("it never ends"), self.began.elapsed())
    }

    pub(super) fn counted(&self, result: Dispatched, times: usize) {
        let line = format!("handback_dispatch_tasks_total{{result=\"{}\"}} {times}", result.as_str());
        self.shows(&line);
    }

    #[track_caller]
    pub(super) fn shows(&self, line: &str) {
        let text = self.metrics.encode();
        assert!(text.lines().any(|shown| shown == line), "{line} is not in\n{text}");
    }

    /// Every task has exactly one fate.
    #[track_caller]
    pub(super) fn each_was_published_or_failed(&self, tasks: usize) {
        let published = self.world.acknowledged.borrow().len();
        let failed = self.world.failed.borrow().len();
        assert_eq!(published + failed, tasks, "{published} published, {failed} failed");
    }

    /// Reasons and times of the failures, in seconds after the beginning.
    pub(super) fn failures(&self) -> Vec<(String, f64)> {
        let since = |at: Instant| (at - self.began).as_secs_f64();
        self.world.failed.borrow().iter().map(|(at, _, failure)| (failure.reason.clone(), since(*at))).collect()
    }
}

/// An attempt with this long to close, handed out as soon as it is polled for.
pub(super) fn task(number: usize, start_to_close: Duration) -> Task {
    let token = format!(
        r#"{{"domainId":"01a20512-c4f1-7204-8a3e-9b1d2c3e4f50","workflowId":"order-{number}","workflowType":"Order","runId":"b5c5a5d2-7f0e-4b7c-9a51-2f6f0c1d9e83","scheduleId":12,"scheduleAttempt":0,"activityId":"3","activityType":"Charge"}}"#
    );
    Task {
        token: token.into(),
        activity: RequestActivity {
            domain: "orders".into(),
            workflow_id: format!("order-{number}"),
            run_id: "b5c5a5d2-7f0e-4b7c-9a51-2f6f0c1d9e83".into(),
            activity_id: "3".into(),
            attempt: 0,
            activity_type: "Charge".into(),
            workflow_type: "Order".into(),
        },
        input: Some(Bytes::from_static(b"{\"amount\":12.50}\n")),
        times: Times {
            scheduled_ms: Some(1_000_000),
            attempt_scheduled_ms: Some(1_000_000),
            started_ms: Some(1_000_000),
            schedule_to_close: 3600 * SECOND,
            start_to_close,
            heartbeat: Duration::ZERO,
        },
        heartbeat_details: None,
        headers: Vec::new(),
    }
}

pub(super) fn transient() -> Write {
    Write::Fail(ProduceFault::Transient("no leader".into()))
}

pub(super) fn refusal(verdict: Verdict, status: &'static str) -> CallError {
    CallError { verdict, status, message: "as scripted".into() }
}

pub(super) const NOT_PUBLISHED: &str = "handback.NotPublished";
