//! A question for oldest offsets and high watermarks that nobody waits for. What the wrapper offers blocks, and tells a
//! consumer only of what is before the first open transaction.

use std::ptr;
use std::time::Duration;

use rdkafka::bindings as raw;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::KafkaResult;
use rdkafka::types::RDKafkaRespErr;
use rdkafka::{Offset, TopicPartitionList};

use super::events::{OwnEvent, Queue, text};

/// Which offset of a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::kafka) enum Spec {
    /// The oldest there is.
    Earliest,
    /// The high watermark, open transactions or not.
    Latest,
}

/// A question under way.
pub(super) struct Question(Queue);

impl Question {
    /// Asks. `None` when the client cannot.
    pub(super) fn ask<C: ConsumerContext>(
        consumer: &BaseConsumer<C>,
        partitions: &[((String, i32), Spec)],
        within: Duration,
    ) -> Option<Self> {
        let list = list(partitions).ok()?;
        let client = consumer.client().native_ptr();
        let millis = within.as_millis().try_into().unwrap_or(i32::MAX);
        // SAFETY: the client lives; queue, options and list are ours, and the call copies the latter two. The options are
        // destroyed once, and an error that is given is ours to destroy.
        unsafe {
            let queue = Queue::new(raw::rd_kafka_queue_new(client))?;
            let options =
                raw::rd_kafka_AdminOptions_new(client, raw::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_LISTOFFSETS);
            raw::rd_kafka_AdminOptions_set_request_timeout(options, millis, ptr::null_mut(), 0);
            let uncommitted = raw::rd_kafka_IsolationLevel_t::RD_KAFKA_ISOLATION_LEVEL_READ_UNCOMMITTED;
            let error = raw::rd_kafka_AdminOptions_set_isolation_level(options, uncommitted);
            if !error.is_null() {
                raw::rd_kafka_error_destroy(error);
            }
            raw::rd_kafka_ListOffsets(client, list.ptr(), options, queue.ptr());
            raw::rd_kafka_AdminOptions_destroy(options);
            Some(Self(queue))
        }
    }

    /// The answer, once it is there: topic, partition and offset of those that have one.
    pub(super) fn answer(&self) -> Option<Vec<(String, i32, i64)>> {
        let event = self.0.poll(Duration::ZERO)?;
        Some(found(&event))
    }
}

fn list(partitions: &[((String, i32), Spec)]) -> KafkaResult<TopicPartitionList> {
    let mut list = TopicPartitionList::with_capacity(partitions.len());
    for ((topic, partition), spec) in partitions {
        // The numbers that a ListOffsets request has for them.
        let offset = match spec {
            Spec::Earliest => Offset::Beginning,
            Spec::Latest => Offset::End,
        };
        list.add_partition_offset(topic, *partition, offset)?;
    }
    Ok(list)
}

fn found(event: &OwnEvent) -> Vec<(String, i32, i64)> {
    let mut found = Vec::new();
    // SAFETY: the result and what it holds live as long as the event; texts are copied. For an event of another kind, or one
    // that failed as a whole, there is no result or an empty one.
    unsafe {
        let result = raw::rd_kafka_event_ListOffsets_result(event.ptr());
        if result.is_null() {
            return found;
        }
        let mut count = 0;
        let infos = raw::rd_kafka_ListOffsets_result_infos(result, &raw mut count);
        for at in 0..if infos.is_null() { 0 } else { count } {
            let Some(one) = raw::rd_kafka_ListOffsetsResultInfo_topic_partition(*infos.add(at)).as_ref() else {
                continue;
            };
            if one.err == RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR && one.offset >= 0 {
                found.push((text(one.topic), one.partition, one.offset));
            }
        }
    }
    found
}
