//! What a group is like. The wrapper asks with a request that knows nothing of groups whose broker assigns (KIP-848).

use std::ptr;
use std::time::Duration;

use rdkafka::bindings as raw;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::RDKafkaErrorCode as Code;
use rdkafka::types::RDKafkaRespErr;

use super::events::{Queue, text};
use crate::kafka::cluster::{Group, Protocol};

/// Asks for a group, with a bound. Blocks. `Ok(None)` when there is none of this name.
///
/// # Errors
/// The code of what went wrong.
pub(in crate::kafka) fn describe<C: ConsumerContext>(
    consumer: &BaseConsumer<C>,
    group: &str,
    within: Duration,
) -> Result<Option<Group>, Code> {
    let Ok(name) = std::ffi::CString::new(group) else { return Err(Code::InvalidGroupId) };
    let client = consumer.client().native_ptr();
    let millis = within.as_millis().try_into().unwrap_or(i32::MAX);
    // SAFETY: the client lives; queue, options and name are ours, and the call copies the latter two. The options are destroyed
    // once.
    let queue = unsafe {
        let queue = Queue::new(raw::rd_kafka_queue_new(client)).ok_or(Code::CriticalSystemResource)?;
        let options =
            raw::rd_kafka_AdminOptions_new(client, raw::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_DESCRIBECONSUMERGROUPS);
        raw::rd_kafka_AdminOptions_set_request_timeout(options, millis, ptr::null_mut(), 0);
        let mut names = [name.as_ptr()];
        raw::rd_kafka_DescribeConsumerGroups(client, names.as_mut_ptr(), names.len(), options, queue.ptr());
        raw::rd_kafka_AdminOptions_destroy(options);
        queue
    };
    let event = queue.poll(within).ok_or(Code::OperationTimedOut)?;
    known(event.error())?;
    // SAFETY: the result and what it holds live as long as the event; texts are copied.
    unsafe {
        let result = raw::rd_kafka_event_DescribeConsumerGroups_result(event.ptr());
        if result.is_null() {
            return Ok(None);
        }
        let mut count = 0;
        let groups = raw::rd_kafka_DescribeConsumerGroups_result_groups(result, &raw mut count);
        if groups.is_null() || count == 0 {
            return Ok(None);
        }
        let found = *groups;
        let error = raw::rd_kafka_ConsumerGroupDescription_error(found);
        if !error.is_null() {
            known(raw::rd_kafka_error_code(error))?;
        }
        let protocol = match raw::rd_kafka_ConsumerGroupDescription_type(found) {
            raw::rd_kafka_consumer_group_type_t::RD_KAFKA_CONSUMER_GROUP_TYPE_CONSUMER => Protocol::Consumer,
            raw::rd_kafka_consumer_group_type_t::RD_KAFKA_CONSUMER_GROUP_TYPE_CLASSIC => Protocol::Classic,
            _ => Protocol::Unknown,
        };
        Ok(Some(Group {
            protocol,
            assignor: text(raw::rd_kafka_ConsumerGroupDescription_partition_assignor(found)),
            members: raw::rd_kafka_ConsumerGroupDescription_member_count(found),
        }))
    }
}

fn known(error: RDKafkaRespErr) -> Result<(), Code> {
    if error == RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR { Ok(()) } else { Err(error.into()) }
}
