//! The stage of a test: a worker between the two models.

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::{JoinHandle, LocalSet};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::books::{Books, REPLIES};
use super::log_model::{LogModel, Member};
use super::model::EngineModel;
pub(super) use super::replies::{
    DOMAIN_ID, RUN_ID, STRANGE_ID, by_id, complete, completed, completes, fail, heartbeat, on_topics, reply, rubbish,
    token, token_bytes, token_of,
};
pub(super) use super::time::{millis, seconds, wall_clock};
use crate::admin::{Health, Metrics};
use crate::bridge::seams::{Control, PartitionId, Received};
use crate::bridge::{Ailing, Ending, Intake, Options, Postponed, Reads, Shared, Tier, run};
use crate::config::Settings;
use crate::wire::{Action, Limits, Origin, Outcome, Record, decode};

/// The virtual time after which something that was waited for counts as never coming.
const PATIENCE: Duration = Duration::from_secs(120);

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
