//! The values that labels of metrics take.

use prometheus_client::encoding::EncodeLabelSet;

/// A partition.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct PartitionLabels {
    pub(super) topic: String,
    pub(super) partition: i32,
}

/// gRPC status names as Cadence's documentation spells them. The first is looked for first.
pub(super) const CODES: [&str; 17] = [
    "OK",
    "NOT_FOUND",
    "UNAVAILABLE",
    "DEADLINE_EXCEEDED",
    "RESOURCE_EXHAUSTED",
    "UNKNOWN",
    "INVALID_ARGUMENT",
    "CANCELLED",
    "ALREADY_EXISTS",
    "PERMISSION_DENIED",
    "FAILED_PRECONDITION",
    "ABORTED",
    "OUT_OF_RANGE",
    "UNIMPLEMENTED",
    "INTERNAL",
    "DATA_LOSS",
    "UNAUTHENTICATED",
];

/// Where a code goes that is none of the above.
pub(super) const OTHER_CODE: &str = "OTHER";

/// The engine's methods that handback calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "named like the methods they stand for")]
pub enum EngineMethod {
    RespondCompleted,
    RespondFailed,
    RespondCanceled,
    RecordHeartbeat,
    RespondCompletedById,
    RespondFailedById,
    RespondCanceledById,
    RecordHeartbeatById,
    DescribeDomain,
    DescribeWorkflow,
    GetHistory,
    Health,
    PollActivity,
}

impl EngineMethod {
    /// Every method, in the order of declaration.
    pub const ALL: [Self; 13] = [
        Self::RespondCompleted,
        Self::RespondFailed,
        Self::RespondCanceled,
        Self::RecordHeartbeat,
        Self::RespondCompletedById,
        Self::RespondFailedById,
        Self::RespondCanceledById,
        Self::RecordHeartbeatById,
        Self::DescribeDomain,
        Self::DescribeWorkflow,
        Self::GetHistory,
        Self::Health,
        Self::PollActivity,
    ];

    /// The method's name in Cadence's API.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::RespondCompleted => "RespondActivityTaskCompleted",
            Self::RespondFailed => "RespondActivityTaskFailed",
            Self::RespondCanceled => "RespondActivityTaskCanceled",
            Self::RecordHeartbeat => "RecordActivityTaskHeartbeat",
            Self::RespondCompletedById => "RespondActivityTaskCompletedByID",
            Self::RespondFailedById => "RespondActivityTaskFailedByID",
            Self::RespondCanceledById => "RespondActivityTaskCanceledByID",
            Self::RecordHeartbeatById => "RecordActivityTaskHeartbeatByID",
            Self::DescribeDomain => "DescribeDomain",
            Self::DescribeWorkflow => "DescribeWorkflowExecution",
            Self::GetHistory => "GetWorkflowExecutionHistory",
            Self::Health => "Health",
            Self::PollActivity => "PollForActivityTask",
        }
    }
}

/// How a topic of a worker is doing. The numbers are the gauge's values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FloodGauge {
    /// Its replies are taken up.
    Flowing = 0,
    /// Some replies try whether the flood is over.
    Trial = 1,
    /// Its partitions are paused.
    Stopped = 2,
}

/// What the breaker of a worker is doing. The numbers are the gauge's values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BreakerGauge {
    /// Calls go through.
    Closed = 0,
    /// One record tries whether the engine is back.
    Probing = 1,
    /// Partitions are paused.
    Open = 2,
}

/// A number as gauges take it.
pub(super) fn gauge_value(number: usize) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
