//! What a failed produce means. Nothing here is guessed in favour of going on: a code that is not listed is transient,
//! so the record waits and is tried again.

use rdkafka::error::RDKafkaErrorCode as Code;

use crate::bridge::seams::ProduceFault;

/// Room for headers and for what Kafka puts around a record, as the contract has it between topics.
const HEADROOM: usize = 64 * 1024;

/// A record that could not be written.
#[derive(Clone, Copy, Debug)]
pub(super) struct Refused<'a> {
    pub(super) topic: &'a str,
    /// Its partition, when it was fixed.
    pub(super) partition: Option<i32>,
    /// Its size before it is compressed.
    pub(super) bytes: usize,
    pub(super) by: RefusedBy,
}

/// Who does not take it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RefusedBy {
    /// Our own client, before it is sent.
    Client,
    /// The broker, or our client after it was sent. With others in its batch it may be them who are too large.
    Broker { batched: bool },
}

/// Translates librdkafka's code. `dead` is what the client says of itself: once it is dead every produce fails, with
/// whatever code.
pub(super) fn fault(code: Code, refused: Refused<'_>, dead: Option<(Code, String)>) -> ProduceFault {
    let Refused { topic, partition, .. } = refused;
    if let Some((code, text)) = dead {
        return ProduceFault::Fatal(format!("the Kafka producer is dead: {text}{}", fatal_advice(code)));
    }
    let place = partition.map_or_else(|| topic.to_owned(), |p| format!("{topic}/{p}"));
    if is_fatal(code) {
        return ProduceFault::Fatal(format!("{place}: the Kafka producer is dead: {code}{}", fatal_advice(code)));
    }
    if is_too_large(code) {
        if refused.by == (RefusedBy::Broker { batched: true }) {
            return ProduceFault::Transient(format!(
                "cannot write to {place} yet: a batch was larger than {topic} takes; its records are tried one by one"
            ));
        }
        return ProduceFault::TooLarge(format!("cannot write to {place}: {code}: {}", room_for(refused)));
    }
    match advice(code, topic, partition) {
        Some(advice) => ProduceFault::Permanent(format!("cannot write to {place}: {code}: {advice}")),
        None => ProduceFault::Transient(format!("cannot write to {place} yet: {code}{}", likely_cause(code))),
    }
}

/// Whether it is a matter of size.
pub(super) fn is_too_large(code: Code) -> bool {
    matches!(code, Code::MessageSizeTooLarge | Code::MessageBatchTooLarge | Code::InvalidMessageSize)
}

/// What takes the record in any case. The broker counts it compressed, our client does not.
fn room_for(refused: Refused<'_>) -> String {
    let (topic, bytes) = (refused.topic, refused.bytes);
    match refused.by {
        RefusedBy::Client => format!(
            "our producer does not take its {bytes} bytes; raise message.max.bytes, and queue.buffering.max.kbytes with \
             it, in [kafka.properties]"
        ),
        RefusedBy::Broker { .. } => format!(
            "the record has {bytes} bytes before it is compressed; raise max.message.bytes of {topic} ({} is enough, \
             less where it compresses well)",
            bytes + HEADROOM
        ),
    }
}

fn is_fatal(code: Code) -> bool {
    matches!(
        code,
        Code::Fatal
            | Code::Fenced
            | Code::ProducerFenced
            | Code::InvalidProducerEpoch
            // The idempotent producer gets no producer id.
            | Code::ClusterAuthorizationFailed
            | Code::GaplessGuarantee
    )
}

fn fatal_advice(code: Code) -> &'static str {
    match code {
        Code::ClusterAuthorizationFailed => {
            ". Grant WRITE on the outcome, dead-letter, retry and request topics (or IDEMPOTENT_WRITE on the cluster) to our user"
        }
        Code::Fenced | Code::ProducerFenced | Code::InvalidProducerEpoch => ". Another producer has taken its place",
        _ => "",
    }
}

/// What is behind a code that says little. The client tries on its own while a leader is away or too few replicas are
/// in sync, and says in the end only that its time was up.
fn likely_cause(code: Code) -> &'static str {
    match code {
        Code::MessageTimedOut | Code::NotEnoughReplicas | Code::NotEnoughReplicasAfterAppend => {
            ": its leader is away, or fewer replicas are in sync than min.insync.replicas asks for; look at the brokers"
        }
        _ => "",
    }
}

/// What somebody must change before this record can be written; `None` for what passes by itself.
fn advice(code: Code, topic: &str, partition: Option<i32>) -> Option<String> {
    Some(match code {
        Code::TopicAuthorizationFailed => format!("grant WRITE and DESCRIBE on {topic} to our user"),
        Code::UnknownTopic | Code::UnknownTopicOrPartition => {
            format!(
                "{topic} does not exist, or our user may not see it: create it with `handback topics create`, or grant DESCRIBE \
                 on it"
            )
        }
        Code::UnknownPartition | Code::InvalidPartitions => match partition {
            Some(p) => format!(
                "{topic} does not exist any more, or has too few partitions: create it with `handback topics create`, or give it \
                 at least {} partitions, as many as the largest reply topic; it is seen within half a minute",
                p + 1
            ),
            None => format!(
                "{topic} does not exist any more, or has too few partitions: create it with `handback topics create`, or give it \
                 as many partitions as the largest reply topic has; it is seen within half a minute"
            ),
        },
        Code::InvalidTopic => "this is not a legal topic name; correct it in [topics]".to_owned(),
        Code::PolicyViolation => "a policy of the brokers forbids it; ask their operators".to_owned(),
        Code::SecurityDisabled => "the brokers have no authorizer; correct security.protocol".to_owned(),
        Code::InvalidRecord | Code::InvalidMessage => {
            format!("the brokers refuse the record; check that {topic} has cleanup.policy=delete")
        }
        // Kafka 3.6 and newer have two bounds; before, message.timestamp.difference.max.ms is both.
        Code::InvalidTimestamp => format!(
            "our clock and the broker's are too far apart: correct the one that is wrong. Or raise message.timestamp.after.max.ms \
             of {topic} if ours is ahead (an hour by default), message.timestamp.before.max.ms if it is behind"
        ),
        Code::UnsupportedForMessageFormat | Code::UnsupportedVersion | Code::UnsupportedFeature => {
            "the brokers are too old: Kafka 2.1 or newer is needed".to_owned()
        }
        Code::UnsupportedCompressionType => "choose another compression.type in [kafka.properties]".to_owned(),
        Code::InvalidRequiredAcks | Code::InvalidArgument | Code::InvalidConfig | Code::InvalidRequest => {
            "the brokers refuse the request; check [kafka.properties]".to_owned()
        }
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(by: RefusedBy) -> Refused<'static> {
        Refused { topic: "activity-outcomes", partition: Some(5), bytes: 2_000_000, by }
    }

    const BY_BROKER: RefusedBy = RefusedBy::Broker { batched: false };

    fn kind(code: Code) -> (&'static str, String) {
        match fault(code, refused(BY_BROKER), None) {
            ProduceFault::Transient(text) => ("transient", text),
            ProduceFault::Permanent(text) | ProduceFault::TooLarge(text) => ("permanent", text),
            ProduceFault::Fatal(text) => ("fatal", text),
        }
    }

    #[test]
    fn each_code_means_one_thing() {
        let table = [
            (
                "transient",
                &[
                    Code::MessageTimedOut,
                    Code::BrokerTransportFailure,
                    Code::AllBrokersDown,
                    Code::Authentication,
                    Code::Resolve,
                    Code::SSL,
                    Code::OperationTimedOut,
                    Code::QueueFull,
                    Code::PurgeQueue,
                    Code::PurgeInflight,
                    Code::LeaderNotAvailable,
                    Code::NotLeaderForPartition,
                    Code::RequestTimedOut,
                    Code::NetworkException,
                    Code::NotEnoughReplicas,
                    Code::NotEnoughReplicasAfterAppend,
                    Code::KafkaStorageError,
                    Code::OutOfOrderSequenceNumber,
                    Code::UnknownProducerId,
                    Code::CoordinatorLoadInProgress,
                    Code::Unknown,
                ][..],
            ),
            (
                "permanent",
                &[
                    Code::MessageSizeTooLarge,
                    Code::MessageBatchTooLarge,
                    Code::InvalidMessageSize,
                    Code::TopicAuthorizationFailed,
                    Code::UnknownTopic,
                    Code::UnknownTopicOrPartition,
                    Code::UnknownPartition,
                    Code::InvalidPartitions,
                    Code::InvalidTopic,
                    Code::PolicyViolation,
                    Code::InvalidRecord,
                    Code::InvalidMessage,
                    Code::InvalidTimestamp,
                    Code::UnsupportedForMessageFormat,
                    Code::UnsupportedCompressionType,
                    Code::InvalidRequiredAcks,
                    Code::InvalidArgument,
                ][..],
            ),
            (
                "fatal",
                &[
                    Code::Fatal,
                    Code::Fenced,
                    Code::ProducerFenced,
                    Code::InvalidProducerEpoch,
                    Code::ClusterAuthorizationFailed,
                ][..],
            ),
        ];
        for (expected, codes) in table {
            for code in codes {
                let (got, text) = kind(*code);
                assert_eq!(got, expected, "{code:?}: {text}");
                assert!(text.contains("activity-outcomes/5"), "{code:?} names its place: {text}");
            }
        }
    }

    #[test]
    fn permanent_faults_say_what_to_do() {
        assert!(kind(Code::MessageSizeTooLarge).1.contains("max.message.bytes of activity-outcomes"));
        assert!(kind(Code::TopicAuthorizationFailed).1.contains("grant WRITE"));
        assert!(kind(Code::UnknownPartition).1.contains("at least 6 partitions"));
        for code in [Code::UnknownTopic, Code::UnknownTopicOrPartition, Code::UnknownPartition] {
            let text = kind(code).1;
            assert!(text.contains("activity-outcomes does not exist") && text.contains("topics create"), "{text}");
        }
        let (before, after) = (kind(Code::UnknownPartition).1, "does not exist any more, or has too few partitions");
        assert!(before.contains(after), "a topic that was deleted is known to have none: {before}");
        assert!(kind(Code::ClusterAuthorizationFailed).1.contains("IDEMPOTENT_WRITE"));
    }

    #[test]
    fn a_clock_that_is_wrong_is_told_with_the_bound_of_its_direction() {
        let text = kind(Code::InvalidTimestamp).1;
        assert!(text.contains("message.timestamp.after.max.ms of activity-outcomes if ours is ahead"), "{text}");
        assert!(text.contains("message.timestamp.before.max.ms if it is behind"), "{text}");
    }

    #[test]
    fn a_write_that_timed_out_says_what_may_be_behind_it() {
        assert!(kind(Code::MessageTimedOut).1.contains("min.insync.replicas"));
        assert!(!kind(Code::OutOfOrderSequenceNumber).1.contains("min.insync.replicas"));
    }

    #[test]
    fn a_dead_producer_is_dead_whatever_the_code() {
        let dead = Some((Code::ClusterAuthorizationFailed, "no producer id".to_owned()));
        assert!(
            matches!(fault(Code::PurgeQueue, refused(BY_BROKER), dead), ProduceFault::Fatal(text) if text.contains("WRITE"))
        );
    }

    #[test]
    fn what_is_too_large_says_what_takes_it() {
        let text = kind(Code::MessageSizeTooLarge).1;
        assert!(text.contains("max.message.bytes of activity-outcomes (2065536 is enough"), "{text}");
        let ProduceFault::TooLarge(text) = fault(Code::MessageSizeTooLarge, refused(RefusedBy::Client), None) else {
            panic!("another fault");
        };
        assert!(text.contains("message.max.bytes") && text.contains("2000000 bytes"), "{text}");
    }

    #[test]
    fn no_record_is_said_to_be_too_large_because_of_others_in_its_batch() {
        let batch = fault(Code::MessageSizeTooLarge, refused(RefusedBy::Broker { batched: true }), None);
        assert!(matches!(&batch, ProduceFault::Transient(text) if text.contains("one by one")), "{batch:?}");
    }
}
