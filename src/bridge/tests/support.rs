//! The stage of a test: a worker between the two models, and replies to feed it.

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::mpsc;
use tokio::task::{JoinHandle, LocalSet};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::books::{Books, OUTCOMES, REPLIES};
use super::log_model::{LogModel, Member};
use super::model::EngineModel;
pub(super) use super::time::{millis, seconds, wall_clock};
use crate::admin::{Health, Metrics};
use crate::bridge::seams::{Control, PartitionId, Received};
use crate::bridge::{Ailing, Ending, Intake, Options, Postponed, Reads, Shared, Tier, run};
use crate::config::Settings;
use crate::wire::{
    Action, ActivityId, Answer, Failure, FailureStyle, Headers, Limits, Origin, OutRecord, Outcome, Record,
    ReplyBuilder, Target, TaskToken, decode,
};

/// The virtual time after which something that was waited for counts as never coming.
const PATIENCE: Duration = Duration::from_secs(120);

pub(super) const DOMAIN_ID: &str = "5a1d3c6e-7f6f-4d57-9d2c-0d8a3c0b8a11";
pub(super) const RUN_ID: &str = "b5c5d0a4-1c38-4c1b-8f5e-2f7a4c1d9e00";

pub(super) const P0: PartitionId = PartitionId { topic: 0, partition: 0 };
pub(super) const P1: PartitionId = PartitionId { topic: 0, partition: 1 };

/// A worker between models.
pub(super) struct Stage {
    pub(super) engine: Rc<EngineModel>,
    pub(super) log: Rc<LogModel>,
    pub(super) shared: Shared,
    pub(super) stop: CancellationToken,
    pub(super) running: JoinHandle<Ending>,
    options: Options,
    records: mpsc::Sender<Vec<Received>>,
    next: RefCell<HashMap<PartitionId, i64>>,
    pub(super) zombies: Vec<Zombie>,
}

/// What the members of one group have in common: what was sent, and what is stored.
type Group = (Rc<RefCell<BTreeMap<(PartitionId, i64), (Record, bool)>>>, Rc<RefCell<HashMap<PartitionId, i64>>>);

/// A worker that the group has given up. Its channels stay open, as a consumer that is stopped keeps them.
pub(super) struct Zombie {
    running: JoinHandle<Ending>,
    control: mpsc::UnboundedSender<Control>,
    #[expect(dead_code, reason = "kept open")]
    records: mpsc::Sender<Vec<Received>>,
    #[expect(dead_code, reason = "never cancelled")]
    stop: CancellationToken,
}

impl Drop for Zombie {
    fn drop(&mut self) {
        self.running.abort();
    }
}

fn controls() -> (mpsc::UnboundedSender<Control>, mpsc::UnboundedReceiver<Control>) {
    #[expect(clippy::disallowed_methods, reason = "a test sends a handful of controls")]
    mpsc::unbounded_channel()
}

/// For tests about repeats that the ledger would answer by itself.
pub(super) const WITHOUT_LEDGER: fn(&mut Options, &mut Shared) =
    |options, _| (options.ledger, options.ledger_entries) = (None, false);

/// Retry topics with delays that a test has the patience for.
pub(super) fn with_tiers(options: &mut Options) {
    let tier =
        |seconds: u64| Tier { topic: format!("{REPLIES}-retry-{seconds}s").into(), delay: self::seconds(seconds) };
    options.tiers = [5, 10, 20].map(tier).into();
    options.lookup.wait = seconds(2);
}

/// Plays a test with the default options (without jitter).
pub(super) fn play(test: impl AsyncFnOnce(&mut Stage)) {
    play_with(|_, _| {}, test);
}

/// Plays a test with other options. P0 is assigned; the worker starts at the test's first pause.
pub(super) fn play_with(set: impl FnOnce(&mut Options, &mut Shared), test: impl AsyncFnOnce(&mut Stage)) {
    let clock = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    on_runtime(&clock, set, test);
}

pub(super) fn on_runtime(
    runtime: &tokio::runtime::Runtime,
    set: impl FnOnce(&mut Options, &mut Shared),
    test: impl AsyncFnOnce(&mut Stage),
) {
    LocalSet::new().block_on(runtime, async {
        let mut stage = Stage::new(set);
        stage.log.assign(&[P0]);
        test(&mut stage).await;
        stage.running.abort();
        let faults = stage.log.faults.borrow();
        assert!(faults.is_empty(), "broken promises: {faults:#?}\n{}", stage.dump());
    });
}

impl Stage {
    fn new(set: impl FnOnce(&mut Options, &mut Shared)) -> Self {
        super::time::begin();
        let mut settings = Settings::default();
        settings.kafka.group_id = "bridge".to_owned();
        let mut options = Options::new(&settings, 0, "cluster".into(), 7);
        options.retry.jitter = 0.0;
        // Most tests are about what happens in place.
        options.tiers = Vec::new();
        options.lookup.wait = Duration::from_secs(15);
        let mut shared = Shared {
            metrics: Arc::new(Metrics::new()),
            health: Arc::new(Health::new()),
            limiter: None,
            ailing: Ailing::default(),
            postponed: Postponed::default(),
            wall_clock,
        };
        set(&mut options, &mut shared);
        Self::start(options, shared, Rc::default(), Rc::default(), None)
    }

    /// One more worker of the reply topics in the same group, between the same models, with nothing assigned.
    pub(super) fn another(&self, worker: usize) -> Self {
        let options = Options { worker, ..self.options.clone() };
        let (engine, books) = (Rc::clone(&self.engine), Rc::clone(&self.log.books));
        let group = Some((Rc::clone(&self.log.sent), Rc::clone(&self.log.stored)));
        Self::start(options, self.shared.clone(), engine, books, group)
    }

    /// The worker of the retry topics, between the same models. `ids` are assigned.
    pub(super) fn beside(&self, ids: &[PartitionId]) -> Self {
        self.beside_with(ids, |_| {})
    }

    /// The same with other options.
    pub(super) fn beside_with(&self, ids: &[PartitionId], set: impl FnOnce(&mut Options)) -> Self {
        let worker = self.options.worker + 1;
        let mut options = Options { worker, reads: Reads::Retries, ledger: None, flood: None, ..self.options.clone() };
        set(&mut options);
        let (engine, books) = (Rc::clone(&self.engine), Rc::clone(&self.log.books));
        let beside = Self::start(options, self.shared.clone(), engine, books, None);
        beside.log.assign(ids);
        beside
    }

    fn start(
        options: Options,
        shared: Shared,
        engine: Rc<EngineModel>,
        books: Rc<Books>,
        group: Option<Group>,
    ) -> Self {
        let (control_in, control) = controls();
        let (records, records_out) = mpsc::channel(100_000);
        let (pieces_in, pieces) = mpsc::channel(100_000);
        let mut log = LogModel::new(books, control_in, pieces_in);
        if let Some((sent, stored)) = group {
            (log.sent, log.stored) = (sent, stored);
        }
        if options.reads == Reads::Retries {
            log.retry_topics = options.tiers.iter().map(|tier| Arc::clone(&tier.topic)).collect();
        }
        let log = Rc::new(log);
        let intake = Intake { control, records: records_out, pieces };
        let stop = CancellationToken::new();
        let member = Member { model: Rc::clone(&log), number: 0 };
        let worker = run(Rc::clone(&engine), member, options.clone(), shared.clone(), intake, stop.clone());
        let running = tokio::task::spawn_local(worker);
        Self { engine, log, shared, stop, running, options, records, next: RefCell::default(), zombies: Vec::new() }
    }

    /// The process dies where it stands, and another one joins in its place.
    pub(super) fn crash(&mut self) {
        self.running.abort();
        self.rejoin();
    }

    /// The group gives the member up, which does not know it yet: it goes on until [`Stage::wake`]. Another one joins.
    pub(super) fn strand(&mut self) {
        let stranded = std::mem::replace(&mut self.stop, CancellationToken::new());
        let records = self.records.clone();
        let (running, control) = self.rejoin();
        self.zombies.extend(control.map(|control| Zombie { running, control, records, stop: stranded }));
    }

    /// Stranded members learn that all is lost.
    pub(super) fn wake(&mut self, ids: &[PartitionId]) {
        for zombie in &self.zombies {
            // Whichever epoch it knows: at most as many as there were.
            let lost = ids.iter().flat_map(|id| (0..=self.log.epoch(*id)).map(|epoch| (*id, epoch)));
            let _ = zombie.control.send(Control::Lost(lost.collect()));
        }
    }

    fn rejoin(&mut self) -> (JoinHandle<Ending>, Option<mpsc::UnboundedSender<Control>>) {
        let (control_in, control) = controls();
        let (records, records_out) = mpsc::channel(100_000);
        let (pieces_in, pieces) = mpsc::channel(100_000);
        let (number, old) = self.log.replace(control_in, pieces_in);
        self.records = records;
        let intake = Intake { control, records: records_out, pieces };
        let member = Member { model: Rc::clone(&self.log), number };
        let options = self.options.clone();
        let worker = run(Rc::clone(&self.engine), member, options, self.shared.clone(), intake, self.stop.clone());
        (std::mem::replace(&mut self.running, tokio::task::spawn_local(worker)), old)
    }

    /// Delivers records as one batch, each at its partition's next offset. Answers the first offset.
    pub(super) fn deliver(&self, id: PartitionId, records: impl IntoIterator<Item = Record>) -> i64 {
        let first = self.next.borrow().get(&id).copied().unwrap_or(0);
        let mut at = first;
        for mut record in records {
            let topic = if id.topic == 0 { REPLIES } else { "more-replies" };
            record.origin = Origin { topic: topic.into(), partition: id.partition, offset: at, timestamp_ms: Some(at) };
            let heartbeat = decode(&record, &Limits::default()).is_ok_and(|r| r.answer.action() == Action::Heartbeat);
            self.log.sent.borrow_mut().insert((id, at), (record, !heartbeat));
            at += 1;
        }
        self.next.borrow_mut().insert(id, at);
        self.read(id, first, at);
        first
    }

    /// Delivers what has come to a retry topic's partition since the last time.
    pub(super) fn deliver_retries(&self, id: PartitionId) {
        let from = self.next.borrow().get(&id).copied().unwrap_or(0);
        let to = self.end(id);
        if to > from {
            self.read(id, from, to);
        }
        self.next.borrow_mut().insert(id, to);
    }

    /// The end of a partition.
    pub(super) fn end(&self, id: PartitionId) -> i64 {
        let last =
            |sent: &BTreeMap<_, _>| sent.range((id, 0)..=(id, i64::MAX)).next_back().map_or(0, |((_, o), _)| o + 1);
        let mut sent = self.log.sent.borrow_mut();
        if !self.log.retry_topics.is_empty() {
            let new = self.log.on_retry_topic(id, last(&sent));
            sent.extend(new.into_iter().map(|r| ((id, r.origin.offset), (r, true))));
        }
        last(&sent)
    }

    /// Delivers what was delivered before once more, under the present epoch.
    pub(super) fn read(&self, id: PartitionId, from: i64, to: i64) {
        let sent = self.log.sent.borrow();
        let (epoch, range) = (self.log.epoch(id), sent.range((id, from)..(id, to)));
        let batch: Vec<_> =
            range.map(|(_, (record, _))| Received { partition: id, epoch, record: record.clone() }).collect();
        self.records.try_send(batch).expect("room for a batch");
    }

    /// The number of its worker.
    pub(super) fn worker(&self) -> usize {
        self.options.worker
    }

    /// The consumer's end of the records.
    pub(super) fn records(&self) -> mpsc::Sender<Vec<Received>> {
        self.records.clone()
    }

    /// Waits until something holds.
    pub(super) async fn eventually(&self, what: &str, mut holds: impl FnMut(&Self) -> bool) {
        let began = Instant::now();
        while !holds(self) {
            let waited = began.elapsed();
            assert!(waited < PATIENCE, "never: {what}\n{}", self.dump());
            // Closely at first; what takes minutes is not looked at each millisecond.
            tokio::time::sleep((waited / 20).clamp(millis(1), millis(50))).await;
        }
    }

    /// Waits until everything up to `next` is settled and stored.
    pub(super) async fn eventually_stored(&self, id: PartitionId, next: i64) {
        self.eventually(&format!("{next} of {id:?} stored"), |stage| stage.log.stored(id) == Some(next)).await;
    }

    /// Lets time pass.
    pub(super) async fn pass(&self, time: Duration) {
        tokio::time::sleep(time).await;
    }

    /// Waits for the answer to a revoke.
    pub(super) async fn let_go(
        &self,
        prefixes: &std::sync::mpsc::Receiver<Vec<(PartitionId, i64)>>,
    ) -> Vec<(PartitionId, i64)> {
        let mut answer = None;
        self.eventually("the revoke answered", |stage| {
            answer = stage.log.answered(prefixes);
            answer.is_some()
        })
        .await;
        answer.unwrap()
    }

    /// How the worker ended, which must be soon.
    pub(super) async fn ended(&mut self) -> Ending {
        let ended = tokio::time::timeout(PATIENCE, &mut self.running).await;
        ended.unwrap_or_else(|_| panic!("never ended\n{}", self.dump())).expect("the worker panicked")
    }

    pub(super) fn outcome_of(&self, offset: i64) -> Option<Outcome> {
        self.log.outcomes.borrow().iter().find(|outcome| outcome.source.offset == offset).cloned()
    }

    /// Reasons to be unready, as one text.
    pub(super) fn reasons(&self) -> String {
        format!("{:?}", self.shared.health.reasons())
    }

    pub(super) fn metric(&self, line: &str) -> bool {
        self.shared.metrics.encode().lines().any(|l| l == line)
    }

    pub(super) fn dump(&self) -> String {
        let events = self.log.events.borrow();
        let last = &events[events.len().saturating_sub(40)..];
        format!(
            "last events: {last:?}\nstored: {:?}\ncalls: {}\nunready: {}\nended: {}",
            self.log.stored.borrow(),
            self.engine.total(),
            self.reasons(),
            self.running.is_finished()
        )
    }
}

/// A task token as the engine writes it. Each activity is in a workflow of its own.
pub(super) fn token_bytes(activity: &str) -> Bytes {
    Bytes::from(format!(
        r#"{{"domainId":"{DOMAIN_ID}","workflowId":"w-{activity}","runId":"{RUN_ID}","scheduleId":5,"scheduleAttempt":0,"activityId":"{activity}","activityType":"Charge","workflowType":"Order"}}"#
    ))
}

/// A domain that nobody has registered.
pub(super) const STRANGE_ID: &str = "7c3f5e80-9b81-4f79-9f4e-2fac5e2dac33";

/// A token of another domain.
pub(super) fn token_of(domain_id: &str, activity: &str) -> Target {
    let text = String::from_utf8(token_bytes(activity).to_vec()).unwrap();
    Target::Token(TaskToken::check(Bytes::from(text.replace(DOMAIN_ID, domain_id))).unwrap())
}

pub(super) fn token(activity: &str) -> Target {
    Target::Token(TaskToken::check(token_bytes(activity)).unwrap())
}

pub(super) fn by_id(domain: &str, activity: &str, attempt: Option<i64>) -> Target {
    let (workflow_id, activity_id) = (format!("w-{activity}"), activity.to_owned());
    Target::ById(ActivityId { domain: domain.to_owned(), workflow_id, run_id: RUN_ID.to_owned(), activity_id, attempt })
}

pub(super) fn reply(target: Target, answer: Answer) -> Record {
    let written = ReplyBuilder::new(target, answer).into_record(REPLIES.into(), &Limits::default()).unwrap();
    Record { origin: nowhere(), key: written.key, value: written.value, headers: written.headers }
}

pub(super) fn complete(activity: &str) -> Record {
    reply(token(activity), completed())
}

pub(super) fn completed() -> Answer {
    Answer::Complete { result: Some(Bytes::from_static(b"{\"charge\": 1}")) }
}

pub(super) fn completes(activities: impl IntoIterator<Item = usize>) -> Vec<Record> {
    activities.into_iter().map(|number| complete(&format!("a{number}"))).collect()
}

pub(super) fn fail(activity: &str) -> Record {
    let failure =
        Failure { reason: "CardDeclined".to_owned(), message: None, details: None, style: FailureStyle::Custom };
    reply(token(activity), Answer::Fail(failure))
}

pub(super) fn heartbeat(activity: &str) -> Record {
    reply(token(activity), Answer::Heartbeat { details: None })
}

/// A record that is no reply.
pub(super) fn rubbish(value: &'static [u8]) -> Record {
    let mut headers = Headers::new();
    headers.push("trace", Bytes::from_static(b"\x00\xff"));
    headers.push("trace", None);
    Record { origin: nowhere(), key: Some(Bytes::from_static(b"k")), value: Some(Bytes::from_static(value)), headers }
}

fn nowhere() -> Origin {
    Origin { topic: OUTCOMES.into(), partition: -1, offset: -1, timestamp_ms: None }
}

/// A record as somebody else wrote it on this topic.
pub(super) fn on_topics(topic: &'static str, record: &Record) -> OutRecord {
    let Record { key, value, headers, .. } = record.clone();
    OutRecord { topic: topic.into(), partition: Some(0), key, value, headers }
}
