//! Topic ids (KIP-516): which of the topics that had this name, one after the other, it is. Metadata as the Rust wrapper gives
//! it has none.

use std::collections::HashMap;
use std::ffi::{CStr, CString, c_char};
use std::fmt::{self, Write as _};
use std::ptr::{self, NonNull};
use std::sync::Arc;
use std::time::Duration;

use rdkafka::bindings as raw;
use rdkafka::client::{Client, ClientContext};
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use rdkafka::types::{RDKafkaEvent, RDKafkaRespErr};

/// The id of a topic, as Kafka's own tools print it: 22 characters of base64.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(in crate::kafka) struct TopicId([u8; 22]);

/// How brokers from before Kafka 2.8 say that topics have no ids there.
const NONE: &[u8; 22] = b"AAAAAAAAAAAAAAAAAAAAAA";

impl TopicId {
    /// Takes both alphabets of base64: librdkafka prints the one, Kafka's tools the other. `None` for what is no id.
    pub(in crate::kafka) fn parse(text: &str) -> Option<Self> {
        let legal = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'+' | b'/');
        let text: [u8; 22] = text.as_bytes().try_into().ok()?;
        let url_safe = text.map(|b| match b {
            b'+' => b'-',
            b'/' => b'_',
            _ => b,
        });
        (text != *NONE && text.into_iter().all(legal)).then_some(Self(url_safe))
    }
}

impl fmt::Debug for TopicId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for TopicId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| f.write_char(char::from(*byte)))
    }
}

/// Ids by the topics' names; no entry for a topic that does not exist, may not be seen, or has no id.
pub(in crate::kafka) type TopicIds = HashMap<String, TopicId>;

/// Asks for ids, one question at a time, without waiting for the answer.
pub(in crate::kafka) struct AskTopicIds {
    /// Where answers come.
    queue: NonNull<raw::rd_kafka_queue_t>,
    asked: bool,
}

// SAFETY: librdkafka's queues lock themselves; nothing here is bound to a thread.
unsafe impl Send for AskTopicIds {}

impl AskTopicIds {
    /// `None` when librdkafka has no memory. Must be dropped before the client.
    pub(in crate::kafka) fn new<C: ClientContext>(client: &Client<C>) -> Option<Self> {
        // SAFETY: the client lives; the queue that is given is ours.
        let queue = unsafe { raw::rd_kafka_queue_new(client.native_ptr()) };
        Some(Self { queue: NonNull::new(queue)?, asked: false })
    }

    /// Whether an answer is still to come.
    pub(in crate::kafka) fn is_asked(&self) -> bool {
        self.asked
    }

    /// Asks the broker with this id: librdkafka would ask the controller, which some stand-ins for Kafka do not have. The
    /// answer comes within `bound`, be it an error.
    pub(in crate::kafka) fn ask<C: ClientContext>(
        &mut self,
        client: &Client<C>,
        topics: &[Arc<str>],
        broker: i32,
        bound: Duration,
    ) {
        let names: Vec<CString> = topics.iter().filter_map(|name| CString::new(&**name).ok()).collect();
        let mut pointers: Vec<*const c_char> = names.iter().map(|name| name.as_ptr()).collect();
        let millis = bound.as_millis().try_into().unwrap_or(i32::MAX).max(1);
        let mut error = [0 as c_char; 256];
        // SAFETY: the client lives as long as this borrow; names, collection and options live beyond the call, which copies
        // what it needs, and both of ours are destroyed once.
        unsafe {
            let collection = raw::rd_kafka_TopicCollection_of_topic_names(pointers.as_mut_ptr(), pointers.len());
            let options = raw::rd_kafka_AdminOptions_new(
                client.native_ptr(),
                raw::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_DESCRIBETOPICS,
            );
            raw::rd_kafka_AdminOptions_set_request_timeout(options, millis, error.as_mut_ptr(), error.len());
            raw::rd_kafka_AdminOptions_set_broker(options, broker, error.as_mut_ptr(), error.len());
            raw::rd_kafka_DescribeTopics(client.native_ptr(), collection, options, self.queue.as_ptr());
            raw::rd_kafka_AdminOptions_destroy(options);
            raw::rd_kafka_TopicCollection_destroy(collection);
        }
        self.asked = true;
    }

    /// The answer, if it comes within `wait`. After an error the ids are not known; nothing else follows from it.
    pub(in crate::kafka) fn answer(&mut self, wait: Duration) -> Option<Result<TopicIds, KafkaError>> {
        let millis = wait.as_millis().try_into().unwrap_or(i32::MAX);
        // SAFETY: the queue is ours; an event that is given is ours to destroy.
        let event = NonNull::new(unsafe { raw::rd_kafka_queue_poll(self.queue.as_ptr(), millis) }).map(OwnEvent)?;
        self.asked = false;
        Some(event.ids())
    }
}

impl Drop for AskTopicIds {
    fn drop(&mut self) {
        // SAFETY: this reference is ours, and nobody has it any more.
        unsafe { raw::rd_kafka_queue_destroy(self.queue.as_ptr()) }
    }
}

/// An event, destroyed when dropped.
struct OwnEvent(NonNull<RDKafkaEvent>);

impl Drop for OwnEvent {
    fn drop(&mut self) {
        // SAFETY: the event is ours, and what was borrowed of it is gone.
        unsafe { raw::rd_kafka_event_destroy(self.0.as_ptr()) }
    }
}

impl OwnEvent {
    fn ids(&self) -> Result<TopicIds, KafkaError> {
        let event = self.0.as_ptr();
        // SAFETY: the event lives. What it gives lives as long as it does and is copied here: a result, or null for another
        // kind of event; of a result as many topics as it says, each with a name and an id.
        unsafe {
            let error = raw::rd_kafka_event_error(event);
            if error != RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR {
                return Err(KafkaError::AdminOp(Code::from(error)));
            }
            let result = raw::rd_kafka_event_DescribeTopics_result(event);
            if result.is_null() {
                return Err(KafkaError::AdminOp(Code::InvalidType));
            }
            let mut count = 0;
            let topics = raw::rd_kafka_DescribeTopics_result_topics(result, &raw mut count);
            let mut ids = TopicIds::new();
            for index in 0..count {
                let topic = ptr::read(topics.add(index));
                let id = raw::rd_kafka_Uuid_base64str(raw::rd_kafka_TopicDescription_topic_id(topic));
                let (name, id) =
                    (raw::rd_kafka_TopicDescription_name(topic), (!id.is_null()).then(|| CStr::from_ptr(id)));
                let id = id.and_then(|id| TopicId::parse(&id.to_string_lossy()));
                let well = raw::rd_kafka_error_code(raw::rd_kafka_TopicDescription_error(topic))
                    == RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR;
                if let (true, Some(id)) = (well, id) {
                    ids.insert(CStr::from_ptr(name).to_string_lossy().into_owned(), id);
                }
            }
            Ok(ids)
        }
    }
}

#[cfg(test)]
mod tests {
    use rdkafka::ClientConfig;
    use rdkafka::consumer::{BaseConsumer, Consumer};
    use rdkafka::mocking::MockCluster;

    use super::*;

    #[test]
    fn the_ids_of_topics_are_told_by_name() {
        let cluster = MockCluster::new(1).unwrap();
        cluster.create_topic("a", 2, 1).unwrap();
        cluster.create_topic("b", 1, 1).unwrap();
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", cluster.bootstrap_servers()).set("group.id", "g");
        config.set("allow.auto.create.topics", "false");
        let consumer: BaseConsumer = config.create().unwrap();
        let mut ask = AskTopicIds::new(consumer.client()).unwrap();
        let mut ids = |names: &[&str]| {
            let names: Vec<Arc<str>> = names.iter().map(|name| Arc::from(*name)).collect();
            ask.ask(consumer.client(), &names, 1, Duration::from_secs(20));
            ask.answer(Duration::from_secs(30)).unwrap().unwrap()
        };
        let both = ids(&["a", "b"]);
        assert_eq!(both.len(), 2, "{both:?}");
        assert_ne!(both["a"], both["b"]);
        assert_eq!(both, ids(&["b", "a"]), "they stay");
    }

    #[test]
    fn what_is_no_id_is_none() {
        let id = TopicId::parse("Ki3xXsVZQkSW0S-CpcIdr_").unwrap();
        assert_eq!(id.to_string(), "Ki3xXsVZQkSW0S-CpcIdr_");
        assert_eq!(TopicId::parse("Ki3xXsVZQkSW0S+CpcIdr/"), Some(id), "as librdkafka prints it");
        for text in
            ["", "AAAAAAAAAAAAAAAAAAAAAA", "Ki3xXsVZQkSW0S-CpcIdr", "Ki3xXsVZQkSW0S CpcIdrQ", "Ki3xXsVZQkSW0S-CpcIdrQQ"]
        {
            assert_eq!(TopicId::parse(text), None, "{text}");
        }
    }
}
