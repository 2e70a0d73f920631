//! Properties of one topic: the Rust wrapper knows only those of the whole client.

use std::ffi::{CString, c_char};
use std::ptr::{self, NonNull};

use rdkafka::bindings::{
    rd_kafka_conf_res_t, rd_kafka_default_topic_conf_dup, rd_kafka_topic_conf_destroy, rd_kafka_topic_conf_set,
    rd_kafka_topic_destroy, rd_kafka_topic_new, rd_kafka_topic_t,
};
use rdkafka::client::{Client, ClientContext};
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};

/// A topic that a client knows with properties of its own, for as long as this lives. To be dropped before the client.
pub(crate) struct Topic(NonNull<rd_kafka_topic_t>);

// SAFETY: librdkafka's handles of topics may be used and given back by any thread; this one is only given back.
unsafe impl Send for Topic {}

// SAFETY: as above; there is nothing that could be called on it.
unsafe impl Sync for Topic {}

impl Topic {
    /// Has `client` write to the topic of this name with `property` set to `value`, and as it was made otherwise. Counts
    /// only if it has not written there before.
    ///
    /// # Errors
    /// When librdkafka does not take the property or the name.
    pub(crate) fn with<C: ClientContext>(
        client: &Client<C>,
        name: &str,
        property: &str,
        value: &str,
    ) -> Result<Self, KafkaError> {
        let fault = |what: &str| {
            let (property, value) = (property.to_owned(), value.to_owned());
            KafkaError::ClientConfig(
                rdkafka::types::RDKafkaConfRes::RD_KAFKA_CONF_INVALID,
                what.to_owned(),
                property,
                value,
            )
        };
        let text = |text: &str| CString::new(text).map_err(|_| fault("holds a NUL"));
        let (topic, key, setting) = (text(name)?, text(property)?, text(value)?);
        // SAFETY: the client lives as long as it is borrowed; the copy is ours.
        let conf = unsafe { rd_kafka_default_topic_conf_dup(client.native_ptr()) };
        let no_text: *mut c_char = ptr::null_mut();
        // SAFETY: the copy is ours, and the texts end with a NUL and are copied. No room is given for what went wrong.
        let told = unsafe { rd_kafka_topic_conf_set(conf, key.as_ptr(), setting.as_ptr(), no_text, 0) };
        if told != rd_kafka_conf_res_t::RD_KAFKA_CONF_OK {
            // SAFETY: the copy is ours still.
            unsafe { rd_kafka_topic_conf_destroy(conf) };
            return Err(fault("is not taken by librdkafka"));
        }
        // SAFETY: the client lives, the name is copied; the copy of the properties is librdkafka's from here on.
        let topic = unsafe { rd_kafka_topic_new(client.native_ptr(), topic.as_ptr(), conf) };
        NonNull::new(topic).map(Self).ok_or(KafkaError::MessageProduction(Code::InvalidTopic))
    }
}

impl Drop for Topic {
    fn drop(&mut self) {
        // SAFETY: `rd_kafka_topic_new` gave it to us, and it is given back once.
        unsafe { rd_kafka_topic_destroy(self.0.as_ptr()) };
    }
}
