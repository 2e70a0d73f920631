//! Names of the headers that the contract reads or writes.

/// Media type; chooses the form of a reply.
pub const CONTENT_TYPE: &str = "content-type";
/// Its value for a JSON envelope.
pub const ENVELOPE_TYPE: &str = "application/vnd.handback.reply+json";
/// Beginning of its value for CloudEvents in structured mode.
pub const CLOUD_EVENTS_TYPE: &str = "application/cloudevents";
/// Its value for one CloudEvent in structured mode, JSON format.
pub const CLOUD_EVENT_JSON_TYPE: &str = "application/cloudevents+json";
/// Beginning of the names of attributes in CloudEvents binary mode.
pub const CE_PREFIX: &str = "ce_";
/// Present in CloudEvents binary mode.
pub const CE_SPECVERSION: &str = "ce_specversion";
/// CloudEvents binary mode: the action, behind [`EVENT_TYPE_PREFIX`].
pub const CE_TYPE: &str = "ce_type";
/// CloudEvents binary mode: names the event, recorded.
pub const CE_ID: &str = "ce_id";
/// CloudEvents binary mode: who wrote it, recorded.
pub const CE_SOURCE: &str = "ce_source";
/// CloudEvents binary mode: task token, base64 text.
pub const CE_TASK_TOKEN: &str = "ce_tasktoken";
/// CloudEvents binary mode: reason of a failure.
pub const CE_FAILURE_REASON: &str = "ce_failurereason";
/// CloudEvents binary mode: message of a failure.
pub const CE_FAILURE_MESSAGE: &str = "ce_failuremessage";
/// CloudEvents binary mode: style of a failure.
pub const CE_FAILURE_STYLE: &str = "ce_failurestyle";
/// CloudEvents binary mode: names the answer within its target.
pub const CE_IDEMPOTENCY_KEY: &str = "ce_idempotencykey";
/// CloudEvents binary mode: W3C trace context.
pub const CE_TRACEPARENT: &str = "ce_traceparent";
/// Beginning of a CloudEvent's `type`; the action follows.
pub const EVENT_TYPE_PREFIX: &str = "handback.reply.";
/// W3C trace context.
pub const TRACEPARENT: &str = "traceparent";
/// W3C trace state.
pub const TRACESTATE: &str = "tracestate";

/// Raw token bytes, as Spring's `@SendTo` echoes them.
pub const CORRELATION_ID: &str = "kafka_correlationId";
/// Topic that Spring answers to.
pub const REPLY_TOPIC: &str = "kafka_replyTopic";
/// Prefix of the headers that carry what a workflow's context propagators put beside an activity; the rest of the name is
/// their own, the value is theirs byte for byte.
pub const CADENCE_HEADER: &str = "cadence-header-";
/// Exception class that Spring's dead-letter recoverer saw; usually a wrapper.
pub const SPRING_EXCEPTION: &str = "kafka_dlt-exception-fqcn";
/// Class of the exception's cause.
pub const SPRING_EXCEPTION_CAUSE: &str = "kafka_dlt-exception-cause-fqcn";
/// Message of the exception.
pub const SPRING_EXCEPTION_MESSAGE: &str = "kafka_dlt-exception-message";

/// Task token, base64 text.
pub const TASK_TOKEN: &str = "handback-task-token";
/// Target by id: domain name.
pub const DOMAIN: &str = "handback-domain";
/// Target by id: workflow id.
pub const WORKFLOW_ID: &str = "handback-workflow-id";
/// Target by id: run id.
pub const RUN_ID: &str = "handback-run-id";
/// Target by id: activity id.
pub const ACTIVITY_ID: &str = "handback-activity-id";
/// Target by id: attempt.
pub const ATTEMPT: &str = "handback-attempt";
/// What to do.
pub const ACTION: &str = "handback-action";
/// Reason of a failure; its presence alone means fail.
pub const FAILURE_REASON: &str = "handback-failure-reason";
/// Message of a failure.
pub const FAILURE_MESSAGE: &str = "handback-failure-message";
/// Style of a failure.
pub const FAILURE_STYLE: &str = "handback-failure-style";
/// Names the answer within its target.
pub const IDEMPOTENCY_KEY: &str = "handback-idempotency-key";

/// On outcomes: which one.
pub const OUTCOME: &str = "handback-outcome";
/// On outcomes: activity type as the token claims it.
pub const ACTIVITY_TYPE: &str = "handback-activity-type";
/// On outcomes: the ledger entry, binary.
pub const LEDGER: &str = "handback-ledger";

/// Origin topic.
pub const SOURCE_TOPIC: &str = "handback-source-topic";
/// Origin partition.
pub const SOURCE_PARTITION: &str = "handback-source-partition";
/// Origin offset.
pub const SOURCE_OFFSET: &str = "handback-source-offset";
/// Origin timestamp.
pub const SOURCE_TIMESTAMP: &str = "handback-source-timestamp";

/// On retry topics: calls that failed for a reason of the record's own.
pub const ATTEMPTS: &str = "handback-attempts";
/// On retry topics: tiers that the record has passed for reasons of its own.
pub const TIERS: &str = "handback-tiers";
/// On retry topics: when the record was first in hand.
pub const FIRST_SEEN: &str = "handback-first-seen";
/// On retry topics: when the record may be tried again.
pub const NOT_BEFORE: &str = "handback-not-before";
/// On retry topics: why the record waits.
pub const LAST_ERROR: &str = "handback-last-error";

/// On dead letters: the outcome.
pub const DLQ_OUTCOME: &str = "handback-dlq-outcome";
/// On dead letters: stable short code.
pub const DLQ_REASON: &str = "handback-dlq-reason";
/// On dead letters: the reason for people.
pub const DLQ_DETAIL: &str = "handback-dlq-detail";
/// On dead letters: tries that counted.
pub const DLQ_ATTEMPTS: &str = "handback-dlq-attempts";
/// On dead letters: the engine's last status.
pub const DLQ_ENGINE_STATUS: &str = "handback-dlq-engine-status";
/// On dead letters: keyed fingerprint of the token.
pub const DLQ_TOKEN: &str = "handback-dlq-token";
/// On dead letters that no broker takes with their value: its size and SHA-256.
pub const DLQ_VALUE_OMITTED: &str = "handback-dlq-value-omitted";
/// On dead letters that are too large without their value as well: size and SHA-256 of a long key.
pub const DLQ_KEY_OMITTED: &str = "handback-dlq-key-omitted";
/// The same: number and size of the headers that were received.
pub const DLQ_HEADERS_OMITTED: &str = "handback-dlq-headers-omitted";
