//! A mock cluster in this process, an observer that remembers, and a worker that only sleeps.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use handback::bridge::seams::{Command, Control, Epoch, PartitionId, Received};
use handback::kafka::{self, Batches, Condition, ConsumerHandle, ConsumerSpec, Observer, OnGap};
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::mocking::MockCluster;
use rdkafka::producer::{BaseProducer, BaseRecord, DefaultProducerContext, Producer};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};
use tokio::task::JoinSet;

pub(crate) const GROUP: &str = "handback-test";
pub(crate) const TOPIC: &str = "activity-replies";
/// Longest that any awaited event may take on a loaded machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(40);

pub(crate) type Cluster = MockCluster<'static, DefaultProducerContext>;

pub(crate) fn cluster(partitions: i32) -> Cluster {
    // RUST_LOG=handback=debug,librdkafka=debug shows what a failing test did.
    let filter = tracing_subscriber::EnvFilter::from_default_env();
    let _ = tracing_subscriber::fmt().with_env_filter(filter).with_test_writer().try_init();
    let cluster = MockCluster::new(1).unwrap();
    cluster.create_topic(TOPIC, partitions, 1).unwrap();
    cluster
}

pub(crate) fn partition(partition: i32) -> PartitionId {
    PartitionId { topic: 0, partition }
}

/// What the observer was told.
#[derive(Default)]
pub(crate) struct Told {
    conditions: Mutex<BTreeMap<String, String>>,
    committed: Mutex<HashMap<i32, i64>>,
    lag: Mutex<HashMap<i32, i64>>,
    still: Mutex<HashMap<i32, Duration>>,
}

impl Observer for Told {
    fn condition(&self, condition: Condition) {
        let mut conditions = self.conditions.lock().unwrap();
        match condition {
            Condition::Raised { key, reason } => conditions.insert(key, reason),
            Condition::Cleared { key } => conditions.remove(&key),
        };
    }

    fn committed(&self, _topic: &str, partition: i32, offset: i64) {
        self.committed.lock().unwrap().insert(partition, offset);
    }

    fn lag(&self, _topic: &str, partition: i32, records: i64) {
        self.lag.lock().unwrap().insert(partition, records);
    }

    fn standing(&self, _topic: &str, partition: i32, still: Duration) {
        self.still.lock().unwrap().insert(partition, still);
    }

    fn left(&self, _topic: &str, partition: i32) {
        self.lag.lock().unwrap().remove(&partition);
    }
}

impl Told {
    pub(crate) fn reason(&self, key: &str) -> Option<String> {
        self.conditions.lock().unwrap().get(key).cloned()
    }

    pub(crate) fn lag_of(&self, partition: i32) -> Option<i64> {
        self.lag.lock().unwrap().get(&partition).copied()
    }

    /// How long a partition has stood still with more behind it.
    pub(crate) fn still(&self, partition: i32) -> Duration {
        self.still.lock().unwrap().get(&partition).copied().unwrap_or_default()
    }

    pub(crate) fn committed_of(&self, partition: i32) -> Option<i64> {
        self.committed.lock().unwrap().get(&partition).copied()
    }
}

/// Properties of a group member. The mock takes 3 s for the first join and forgets members whose session is shorter.
pub(crate) fn member_config(cluster: &Cluster, client: &str) -> ClientConfig {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", cluster.bootstrap_servers()).set("group.id", GROUP);
    config.set("client.id", client).set("session.timeout.ms", "3600").set("heartbeat.interval.ms", "200");
    config.set("auto.commit.interval.ms", "200").set("fetch.queue.backoff.ms", "20");
    config
}

pub(crate) fn spec(config: ClientConfig, observer: Arc<dyn Observer>) -> ConsumerSpec {
    ConsumerSpec {
        name: config.get("client.id").unwrap().to_owned(),
        config,
        topics: [Arc::from(TOPIC)].into(),
        on_gap: OnGap::Stop,
        batches: Batches::of_replies(32 << 20),
        accept_recreated: Vec::new(),
        revoke_timeout: Duration::from_secs(2),
        lookup_timeout: Duration::from_secs(5),
        statistics_interval: Duration::from_millis(200),
        observer,
    }
}

/// A consumer with nobody behind it.
pub(crate) fn consumer(config: ClientConfig) -> ConsumerHandle {
    kafka::spawn(spec(config, Arc::new(()))).unwrap()
}

/// Writes records of `size` bytes with the given partitions, and waits until they are there.
pub(crate) fn write(cluster: &Cluster, partitions: impl IntoIterator<Item = i32>, size: usize) {
    let producer: BaseProducer = ClientConfig::new()
        .set("bootstrap.servers", cluster.bootstrap_servers())
        .set("message.max.bytes", "4000000")
        .set("linger.ms", "0")
        .create()
        .unwrap();
    let value = vec![b'x'; size];
    for partition in partitions {
        producer.send(BaseRecord::<[u8], [u8]>::to(TOPIC).partition(partition).payload(&value)).unwrap();
    }
    producer.flush(PATIENCE).unwrap();
}

/// Writes some 1,500 records a second to all partitions in turn, until stopped.
pub(crate) struct Writer {
    stopped: Arc<AtomicBool>,
    thread: thread::JoinHandle<usize>,
}

impl Writer {
    pub(crate) fn start(cluster: &Cluster, partitions: i32) -> Self {
        let producer: BaseProducer =
            ClientConfig::new().set("bootstrap.servers", cluster.bootstrap_servers()).create().unwrap();
        let stopped = Arc::new(AtomicBool::new(false));
        let stop = Arc::clone(&stopped);
        let thread = thread::spawn(move || {
            let mut written = 0;
            while !stop.load(Ordering::Relaxed) {
                for _ in 0..30 {
                    let partition = written as i32 % partitions;
                    producer.send(BaseRecord::<(), str>::to(TOPIC).partition(partition).payload("x")).unwrap();
                    written += 1;
                }
                producer.poll(Duration::from_millis(20));
            }
            producer.flush(PATIENCE).unwrap();
            written
        });
        Self { stopped, thread }
    }

    /// How many were written.
    pub(crate) fn stop(self) -> usize {
        self.stopped.store(true, Ordering::Relaxed);
        self.thread.join().unwrap()
    }
}

/// The group's committed offset of a partition.
pub(crate) fn committed(cluster: &Cluster, partition: i32) -> Option<i64> {
    let client: BaseConsumer = member_config(cluster, "looker").create().unwrap();
    let mut list = TopicPartitionList::new();
    list.add_partition(TOPIC, partition);
    let found = client.committed_offsets(list, PATIENCE).unwrap();
    match found.elements()[0].offset() {
        Offset::Offset(offset) => Some(offset),
        _ => None,
    }
}

/// Commits an offset for the group, as a former member would have.
pub(crate) fn commit(cluster: &Cluster, partition: i32, offset: i64) {
    let client: BaseConsumer = member_config(cluster, "former").create().unwrap();
    let mut list = TopicPartitionList::new();
    list.add_partition_offset(TOPIC, partition, Offset::Offset(offset)).unwrap();
    client.commit(&list, CommitMode::Sync).unwrap();
}

/// Waits until `true`, checking often.
pub(crate) async fn until(what: &str, mut done: impl FnMut() -> bool) {
    let waited = tokio::time::timeout(PATIENCE, async {
        while !done() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    });
    waited.await.unwrap_or_else(|_| panic!("not within {PATIENCE:?}: {what}"));
}

/// The next control message; panics when there is none in time.
pub(crate) async fn control(handle: &mut ConsumerHandle) -> Control {
    tokio::time::timeout(PATIENCE, handle.control.recv()).await.expect("a control message").expect("a living consumer")
}

/// Waits for an assignment, whatever comes before.
pub(crate) async fn assigned(handle: &mut ConsumerHandle) -> Vec<(PartitionId, Epoch)> {
    loop {
        if let Control::Assigned(partitions) = control(handle).await {
            return partitions;
        }
    }
}

/// Reads `count` records.
pub(crate) async fn read(handle: &mut ConsumerHandle, count: usize) -> Vec<Received> {
    let mut records = Vec::new();
    while records.len() < count {
        let batch = tokio::time::timeout(PATIENCE, handle.records.recv()).await.expect("records in time");
        records.extend(batch.expect("a living consumer"));
    }
    records
}

/// Closes a consumer that has nothing in hand.
pub(crate) async fn close(mut handle: ConsumerHandle) {
    handle.commands.send(Command::Close).unwrap();
    loop {
        tokio::select! {
            message = handle.control.recv() => if let Some(Control::Revoked(_, answer)) = message {
                let _ = answer.send(Vec::new());
            },
            ended = &mut handle.ended => return ended.unwrap(),
        }
    }
}

/// What all members have done together: how often each record was finished.
#[derive(Default)]
pub(crate) struct Books {
    finished: Mutex<HashMap<(i32, i64), u32>>,
    /// Assignments taken away without a chance to finish.
    lost: Mutex<usize>,
    /// By partition, the offset that was settled when it last left a member.
    settled: Mutex<HashMap<i32, i64>>,
    /// By partition, the offset last committed.
    committed: Mutex<HashMap<i32, i64>>,
    /// How often a partition came to a member without the offset settled before.
    refused: Mutex<usize>,
    /// Commits that failed.
    failed_commits: Mutex<usize>,
}

impl Observer for Books {
    fn committed(&self, _topic: &str, partition: i32, offset: i64) {
        self.committed.lock().unwrap().insert(partition, offset);
    }

    fn not_committed(&self) {
        *self.failed_commits.lock().unwrap() += 1;
    }
}

impl Books {
    pub(crate) fn finished(&self) -> usize {
        self.finished.lock().unwrap().len()
    }

    pub(crate) fn repeated(&self) -> usize {
        self.finished.lock().unwrap().values().filter(|n| **n > 1).count()
    }

    pub(crate) fn lost(&self) -> usize {
        *self.lost.lock().unwrap()
    }

    /// How often the broker refused to commit what was settled when a partition left a member.
    pub(crate) fn refused(&self) -> usize {
        *self.refused.lock().unwrap()
    }

    /// How often any commit failed.
    pub(crate) fn failed_commits(&self) -> usize {
        *self.failed_commits.lock().unwrap()
    }

    fn leaves(&self, partition: i32, settled: i64) {
        self.settled.lock().unwrap().insert(partition, settled);
    }

    fn comes(&self, partition: i32) {
        let settled = self.settled.lock().unwrap().get(&partition).copied();
        if settled > self.committed.lock().unwrap().get(&partition).copied() {
            *self.refused.lock().unwrap() += 1;
        }
    }
}

/// One partition in hand.
struct Hand {
    epoch: Epoch,
    started: BTreeSet<i64>,
    next: i64,
}

impl Hand {
    /// Next to read once everything before the first unfinished record is settled.
    fn prefix(&self) -> i64 {
        self.started.first().copied().unwrap_or(self.next)
    }
}

/// A worker that takes some milliseconds for each record, many at a time, and drains at a revoke.
pub(crate) struct Member {
    commands: std::sync::mpsc::Sender<Command>,
    task: tokio::task::JoinHandle<()>,
    pub(crate) held: Arc<Mutex<BTreeSet<i32>>>,
}

impl Member {
    pub(crate) fn start(config: ClientConfig, books: Arc<Books>, work_ms: Range<u64>) -> Self {
        let handle = kafka::spawn(spec(config, books.clone())).unwrap();
        let commands = handle.commands.clone();
        let held = Arc::default();
        let task = tokio::spawn(work(handle, books, work_ms, Arc::clone(&held)));
        Self { commands, task, held }
    }

    pub(crate) fn partitions(&self) -> usize {
        self.held.lock().unwrap().len()
    }

    pub(crate) async fn leave(self) {
        self.commands.send(Command::Close).unwrap();
        tokio::time::timeout(PATIENCE, self.task).await.expect("the member leaves in time").unwrap();
    }
}

async fn work(mut handle: ConsumerHandle, books: Arc<Books>, work_ms: Range<u64>, held: Arc<Mutex<BTreeSet<i32>>>) {
    let mut hands: HashMap<PartitionId, Hand> = HashMap::new();
    let mut running = JoinSet::new();
    let mut tick = tokio::time::interval(Duration::from_millis(100));
    let finish = |hands: &mut HashMap<PartitionId, Hand>, (id, epoch, offset): (PartitionId, Epoch, i64)| {
        *books.finished.lock().unwrap().entry((id.partition, offset)).or_default() += 1;
        if let Some(hand) = hands.get_mut(&id).filter(|h| h.epoch == epoch) {
            hand.started.remove(&offset);
        }
    };
    loop {
        tokio::select! {
            biased;
            message = handle.control.recv() => match message {
                None => return,
                Some(Control::Assigned(partitions)) => {
                    for (id, epoch) in partitions {
                        held.lock().unwrap().insert(id.partition);
                        books.comes(id.partition);
                        hands.insert(id, Hand { epoch, started: BTreeSet::new(), next: -1 });
                    }
                }
                Some(Control::Revoked(partitions, answer)) => {
                    while partitions.iter().any(|(id, _)| hands.get(id).is_some_and(|h| !h.started.is_empty())) {
                        finish(&mut hands, running.join_next().await.unwrap().unwrap());
                    }
                    let gone: Vec<_> = partitions.iter().filter_map(|(id, _)| Some((*id, hands.remove(id)?))).collect();
                    gone.iter().for_each(|(id, _)| { held.lock().unwrap().remove(&id.partition); });
                    let read = gone.iter().filter(|(_, h)| h.next >= 0);
                    let prefixes: Vec<_> = read.map(|(id, h)| (*id, h.prefix())).collect();
                    prefixes.iter().for_each(|(id, prefix)| books.leaves(id.partition, *prefix));
                    answer.send(prefixes).unwrap();
                }
                Some(Control::Lost(partitions)) => {
                    *books.lost.lock().unwrap() += 1;
                    for (id, _) in partitions {
                        hands.remove(&id);
                        held.lock().unwrap().remove(&id.partition);
                    }
                }
                Some(Control::Fatal(text)) => panic!("{text}"),
            },
            Some(done) = running.join_next() => finish(&mut hands, done.unwrap()),
            _ = tick.tick() => {
                let prefixes = hands.iter().filter(|(_, h)| h.next >= 0).map(|(id, h)| (*id, h.prefix())).collect();
                let _ = handle.commands.send(Command::Store(prefixes));
            }
            Some(batch) = handle.records.recv(), if running.len() < 256 => for received in batch {
                let offset = received.record.origin.offset;
                let Some(hand) = hands.get_mut(&received.partition).filter(|h| h.epoch == received.epoch) else { continue };
                hand.started.insert(offset);
                hand.next = offset + 1;
                let span = work_ms.end - work_ms.start;
                let took = work_ms.start + offset.unsigned_abs() * 7919 % span.max(1);
                running.spawn(async move {
                    tokio::time::sleep(Duration::from_millis(took)).await;
                    (received.partition, received.epoch, offset)
                });
            },
        }
    }
}
