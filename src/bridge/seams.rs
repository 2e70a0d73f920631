//! The two seams of the bridge: the workflow engine and the log. Kafka and Cadence stand behind them in production,
//! models of both in tests.

use std::future::Future;
use std::sync::Arc;
use std::sync::mpsc::SyncSender;

use super::sight::{Reach, Sight};
use crate::wire::{Answer, LedgerEntry, OutRecord, Record, RefusalCode, Target};

/// One attempt to tell the engine what became of an activity.
#[derive(Clone, Copy, Debug)]
pub struct Call<'a> {
    /// Which activity.
    pub target: &'a Target,
    /// What became of it.
    pub answer: &'a Answer,
    /// Who says so (`docs/wire-contract.md`, section 5): goes into the engine's history event. At most 1000 bytes.
    pub identity: &'a str,
}

/// The engine took the answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Accepted {
    /// Only heartbeats are told: the workflow asked for this activity to stop.
    pub cancel_requested: bool,
}

/// The engine did not take the answer, and what that means.
#[derive(Clone, Debug)]
pub struct CallError {
    /// What to do about it.
    pub verdict: Verdict,
    /// gRPC status name (`NOT_FOUND`), for the dead letter and the log.
    pub status: &'static str,
    /// The engine's text, for people. Never a token: the engine's texts carry ids only.
    pub message: String,
}

impl CallError {
    /// What the engine said, for people.
    pub(crate) fn told(&self) -> String {
        format!("{} {}", self.status, self.message)
    }
}

/// What an engine's refusal means for the record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The engine knows no such open activity, attempt or workflow. Final; which of them is told by a look.
    NotFound,
    /// The engine will never take this answer.
    Refused(RefusalCode),
    /// Nothing was decided, or it is unknown whether it was: the same call may succeed later.
    Transient {
        /// The engine asked for less load: wait longer than usual.
        busy: bool,
    },
    /// The domain is active in another cluster for now. Heals by itself or by a failover; never counted.
    DomainNotActive,
    /// No such domain: a wiring or replication fault, or a reply that is none of this cluster's. The reply waits; its tries are
    /// never counted.
    UnknownDomain,
    /// The call cannot have reached a Cadence frontend that accepts us: to be confirmed by a probe.
    Wiring,
}

/// A domain as a target names it: by id in tokens, by name in replies by id.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum DomainRef {
    /// UUID of the domain.
    Id(Arc<str>),
    /// Name of the domain.
    Name(Arc<str>),
}

/// What a probe of the wiring found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wiring {
    /// A Cadence frontend answered as it should.
    Sound,
    /// Something answered, but not as a Cadence frontend that accepts us. The text says what and what to do.
    Broken(String),
    /// Nobody answered: says nothing about the wiring.
    Unreachable(String),
}

/// What a probe of the part of the engine that decides about activities found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Probed {
    /// It answers, and this domain is at home here.
    Well,
    /// It answers, but not for this domain: it is unknown here, or active in another cluster. The text is the engine's.
    Elsewhere(String),
    /// It asks for less load.
    Busy(String),
    /// It does not answer, or as an ailing engine does.
    Unwell(String),
}

/// The workflow engine.
pub trait Engine {
    /// Makes one attempt, bounded by the engine client's own deadline. Dropping the future abandons the answer, not
    /// its effect.
    fn call(&self, call: Call<'_>) -> impl Future<Output = Result<Accepted, CallError>>;

    /// Asks something that every healthy frontend answers in one known way, without touching any workflow.
    fn probe_wiring(&self) -> impl Future<Output = Wiring>;

    /// Whether the part of the engine that decides about activities answers: asks about a run that does not exist, of
    /// `workflow_id` in `domain`. The workflow id chooses the shard. Changes nothing.
    fn probe_history(&self, domain: &DomainRef, workflow_id: &str) -> impl Future<Output = Probed>;

    /// The name of the domain with this id, or `None` when the engine knows no such domain. Cached by the
    /// implementation.
    fn domain_name(&self, id: &str) -> impl Future<Output = Result<Option<Arc<str>>, CallError>>;

    /// The id of the domain with this name, or `None` when the engine knows no such domain. Asked anew each time, and seldom:
    /// a domain may have been registered in between, or once more with another id.
    fn domain_id(&self, name: &str) -> impl Future<Output = Result<Option<Arc<str>>, CallError>>;

    /// Looks into the workflow of a target: its state and, unless that shows the target's activity open, its history from
    /// the beginning, as far as `reach`. Changes nothing. A workflow or run that does not exist is [`Sight::Nothing`].
    fn look(&self, target: &Target, reach: Reach) -> impl Future<Output = Result<Sight, CallError>>;
}

/// A partition of a reply topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PartitionId {
    /// Index of the topic in `topics.replies`.
    pub topic: u16,
    /// Partition number.
    pub partition: i32,
}

/// How often a partition has changed hands here: grows at each assignment and each revoke, so that work of an earlier
/// assignment is told apart from the present one's.
pub type Epoch = u32;

/// A record on its way to the worker.
#[derive(Clone, Debug)]
pub struct Received {
    /// Its partition.
    pub partition: PartitionId,
    /// The partition's epoch when the record was read.
    pub epoch: Epoch,
    /// The record.
    pub record: Record,
}

/// What the consumer tells the worker. Read before any records.
#[derive(Debug)]
pub enum Control {
    /// These partitions are ours from now on.
    Assigned(Vec<(PartitionId, Epoch)>),
    /// These partitions leave. Start nothing more for them; send back, before the consumer's deadline, the next offset
    /// to read of each once its work in hand is done, or what is contiguous by then. The epochs are those that end.
    Revoked(Vec<(PartitionId, Epoch)>, SyncSender<Vec<(PartitionId, i64)>>),
    /// These partitions are already gone (the group gave them away): nothing can be stored for them any more.
    Lost(Vec<(PartitionId, Epoch)>),
    /// The consumer cannot go on; the process must end with this message.
    Fatal(String),
}

/// What the worker tells the consumer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Store these offsets (next to read) for the next commit.
    Store(Vec<(PartitionId, i64)>),
    /// Read no more of these partitions for now.
    Pause(Vec<PartitionId>),
    /// Read them again.
    Resume(Vec<PartitionId>),
    /// Leave the group and end. The revoke that this brings is still sent as [`Control::Revoked`].
    Close,
}

/// Why a record could not be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProduceFault {
    /// May succeed when tried again.
    Transient(String),
    /// Will not succeed until somebody changes something; the text says what.
    Permanent(String),
    /// The same, because this record is larger than its topic takes.
    TooLarge(String),
    /// The producer is dead; the process must end.
    Fatal(String),
}

/// Asks for what the outcome topic holds for one partition's ledger.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReadBack {
    /// Names this question in the answer.
    pub ticket: u64,
    /// Number of the partition.
    pub partition: i32,
    /// Offset to begin at. `None` begins as far back as the other two reach.
    pub from: Option<i64>,
    /// What was written earlier is not wanted, in milliseconds since the epoch.
    pub since_ms: i64,
    /// No more records than this, counted from the end.
    pub max_records: usize,
}

/// A piece of the answer to a [`ReadBack`]. Pieces of one partition come in order.
#[derive(Clone, Debug)]
pub struct Piece {
    /// Which question it answers.
    pub ticket: u64,
    /// Number of the partition.
    pub partition: i32,
    /// What was applied, in the order of the topic.
    pub entries: Vec<Remembered>,
    /// Where reading goes on: everything before was looked at. `None` when nothing was.
    pub next: Option<i64>,
    /// Whether more comes.
    pub reading: Reading,
}

/// How far an answer is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reading {
    /// This many records are still to be read, about.
    Left(u64),
    /// Everything that was there when it was asked.
    Done,
    /// Nothing more comes, and why.
    Failed(String),
}

/// An answer that was applied, as its outcome tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Remembered {
    /// The entry.
    pub entry: LedgerEntry,
    /// Index in `topics.replies` of the topic that its record stands on; `None` when it is not read any more.
    pub topic: Option<u16>,
    /// When the outcome was written, in milliseconds since the epoch.
    pub at_ms: i64,
}

/// The log: where outcomes become durable and offsets move.
pub trait Log {
    /// Writes a record and resolves once all in-sync replicas have it. Takes the record, so that an implementation which
    /// has handed it on need not keep it in memory while it waits.
    fn produce(&self, record: OutRecord) -> impl Future<Output = Result<(), ProduceFault>>;

    /// Asks for the ledger's entries of a partition. Does not wait: the answer comes through
    /// [`Intake::pieces`](super::Intake::pieces).
    fn read_back(&self, ask: ReadBack);

    /// Hands a command to the consumer; does not wait for its effect.
    fn command(&self, command: Command);
}
