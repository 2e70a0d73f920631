//! Lists of partitions: what the Rust wrapper does not show of them, or only at the price of a panic.

use std::ffi::CStr;
use std::slice;

use rdkafka::TopicPartitionList;
use rdkafka::bindings as raw;

/// What stands beside the committed offset of each element, in the list's order: nothing, or what whoever committed it wrote.
/// Bytes that are no text (the wrapper panics over them) are none of ours.
pub(in crate::kafka) fn notes(list: &TopicPartitionList) -> Vec<String> {
    // SAFETY: the list lives and owns its elements; metadata is null or one piece of this size. All of it is copied here.
    unsafe {
        let raw::rd_kafka_topic_partition_list_s { cnt, elems, .. } = *list.ptr();
        let elements = if cnt > 0 { slice::from_raw_parts(elems, cnt as usize) } else { &[] };
        let note = |element: &raw::rd_kafka_topic_partition_t| {
            if element.metadata.is_null() {
                return String::new();
            }
            let bytes = slice::from_raw_parts(element.metadata.cast::<u8>(), element.metadata_size);
            String::from_utf8_lossy(bytes).trim_end_matches('\0').to_owned()
        };
        elements.iter().map(note).collect()
    }
}

/// Has librdkafka ask, before it reads a partition from the offset that is given for it, whether the log still has what came
/// before that offset under leaders up to this epoch (KIP-320).
pub(in crate::kafka) fn set_leader_epoch(list: &mut TopicPartitionList, topic: &str, partition: i32, epoch: i32) {
    // SAFETY: the list lives, is not shared while it is borrowed here, and owns its elements; a topic's name ends in NUL.
    unsafe {
        let raw::rd_kafka_topic_partition_list_s { cnt, elems, .. } = *list.ptr();
        for index in 0..cnt.max(0) as usize {
            let element = elems.add(index);
            if (*element).partition == partition && CStr::from_ptr((*element).topic).to_bytes() == topic.as_bytes() {
                raw::rd_kafka_topic_partition_set_leader_epoch(element, epoch);
            }
        }
    }
}
