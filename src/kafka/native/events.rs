//! The events of a consumer. rdkafka's own `poll` drops topic and partition of every error, and the topic of a partition's
//! end, so that nobody could tell which partition is not read.

use std::cell::RefCell;
use std::ffi::{CStr, c_char};
use std::ops::Deref;
use std::ptr::{self, NonNull};
use std::time::Duration;

use rdkafka::TopicPartitionList;
use rdkafka::bindings as raw;
use rdkafka::config::RDKafkaLogLevel as Level;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use rdkafka::types::{RDKafkaEvent, RDKafkaRespErr, RDKafkaTopicPartitionList};

use super::message::Message;
use super::offsets::{Question, Spec};

/// What a poll brought. `T` is what the caller made of a record.
#[derive(Debug)]
pub(in crate::kafka) enum Event<T> {
    /// A record.
    Record(T),
    /// Reading has come to the end of a partition: there was no record at this offset yet. Told only with
    /// `enable.partition.eof`, and once for each end.
    End(Place),
    /// Something went wrong.
    Trouble(Trouble),
    /// Something that the context has heard.
    Heard,
}

/// What went wrong, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::kafka) struct Trouble {
    pub(in crate::kafka) code: Code,
    /// The client is dead.
    pub(in crate::kafka) fatal: bool,
    /// librdkafka's words.
    pub(in crate::kafka) text: String,
    /// The partition that it is about, if it is about one.
    pub(in crate::kafka) place: Option<Place>,
}

/// A place in a partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::kafka) struct Place {
    pub(in crate::kafka) topic: String,
    pub(in crate::kafka) partition: i32,
    /// Negative where no offset is meant.
    pub(in crate::kafka) offset: i64,
}

/// A consumer whose events are read here, and not by rdkafka.
pub(in crate::kafka) struct EventConsumer<C: ConsumerContext> {
    // Let go before the consumer that they belong to.
    queue: Queue,
    question: RefCell<Option<Question>>,
    consumer: BaseConsumer<C>,
}

impl<C: ConsumerContext> Deref for EventConsumer<C> {
    type Target = BaseConsumer<C>;

    fn deref(&self) -> &BaseConsumer<C> {
        &self.consumer
    }
}

impl<C: ConsumerContext> EventConsumer<C> {
    /// `None` for a consumer that was made without a group.
    pub(in crate::kafka) fn new(consumer: BaseConsumer<C>) -> Option<Self> {
        // SAFETY: the client lives as long as its consumer; the queue is given as one more reference, which `Queue` owns.
        let queue = unsafe { Queue::new(raw::rd_kafka_queue_get_consumer(consumer.client().native_ptr())) };
        Some(Self { queue: queue?, question: RefCell::new(None), consumer })
    }

    /// Asks for offsets, and forgets an earlier question with whatever would have been answered. False when the client cannot.
    /// Does not wait.
    pub(in crate::kafka) fn ask_offsets(&self, partitions: &[((String, i32), Spec)], within: Duration) -> bool {
        let question = Question::ask(&self.consumer, partitions, within);
        self.question.replace(question);
        self.question.borrow().is_some()
    }

    /// What was asked for, once it is there: topic, partition and offset of those that have one. Does not wait.
    pub(in crate::kafka) fn offsets(&self) -> Option<Vec<(String, i32, i64)>> {
        let answer = self.question.borrow().as_ref().and_then(Question::answer);
        answer.inspect(|_| _ = self.question.take())
    }

    /// Waits for one event, at most this long. `None` when there was none. Records are looked at where they are, by `record`.
    pub(in crate::kafka) fn poll<T>(&self, wait: Duration, record: impl FnOnce(Message<'_>) -> T) -> Option<Event<T>> {
        let event = self.queue.poll(wait)?;
        Some(self.hear(&event, record).unwrap_or(Event::Heard))
    }

    /// `None`: the context has heard it.
    fn hear<T>(&self, event: &OwnEvent, record: impl FnOnce(Message<'_>) -> T) -> Option<Event<T>> {
        match event.kind() {
            raw::RD_KAFKA_EVENT_FETCH => event.message().map(|message| Event::Record(record(message))),
            raw::RD_KAFKA_EVENT_ERROR => self.error(event),
            raw::RD_KAFKA_EVENT_STATS => {
                // SAFETY: the text of this kind of event lives as long as the event.
                self.context()
                    .stats_raw(unsafe { CStr::from_ptr(raw::rd_kafka_event_stats(event.0.as_ptr())) }.to_bytes());
                None
            }
            raw::RD_KAFKA_EVENT_LOG => {
                event.log(|level, facility, line| self.context().log(level, facility, line));
                None
            }
            raw::RD_KAFKA_EVENT_REBALANCE => {
                let mut list = event.take_list();
                self.context().rebalance(&self.consumer, event.error(), &mut list);
                None
            }
            raw::RD_KAFKA_EVENT_OFFSET_COMMIT => {
                let error = event.error();
                let ok = error == RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR;
                let result = if ok { Ok(()) } else { Err(KafkaError::ConsumerCommit(error.into())) };
                self.context().commit_callback(result, &event.take_list());
                None
            }
            _ => None,
        }
    }

    fn error<T>(&self, event: &OwnEvent) -> Option<Event<T>> {
        let place = event.place();
        match event.error() {
            RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR => None,
            RDKafkaRespErr::RD_KAFKA_RESP_ERR__PARTITION_EOF => place.map(Event::End),
            error => {
                let (code, text) = (Code::from(error), event.error_text());
                // SAFETY: a plain question to an event that lives.
                let fatal = unsafe { raw::rd_kafka_event_error_is_fatal(event.0.as_ptr()) } != 0;
                if place.is_none() {
                    self.context().error(KafkaError::Global(code), &text);
                }
                Some(Event::Trouble(Trouble { code, fatal: fatal || code == Code::Fatal, text, place }))
            }
        }
    }
}

/// A reference to one of librdkafka's queues.
pub(super) struct Queue(NonNull<raw::rd_kafka_queue_t>);

// SAFETY: librdkafka's queues lock themselves; nothing here is bound to a thread.
unsafe impl Send for Queue {}

impl Queue {
    /// # Safety
    /// `queue` must be null, or a reference of which nobody else lets go.
    pub(super) unsafe fn new(queue: *mut raw::rd_kafka_queue_t) -> Option<Self> {
        NonNull::new(queue).map(Self)
    }

    pub(super) fn ptr(&self) -> *mut raw::rd_kafka_queue_t {
        self.0.as_ptr()
    }

    pub(super) fn poll(&self, wait: Duration) -> Option<OwnEvent> {
        let millis = wait.as_millis().try_into().unwrap_or(i32::MAX);
        // SAFETY: the queue lives as long as this reference; an event that is given is ours to destroy.
        NonNull::new(unsafe { raw::rd_kafka_queue_poll(self.0.as_ptr(), millis) }).map(OwnEvent)
    }
}

impl Drop for Queue {
    fn drop(&mut self) {
        // SAFETY: this reference is ours, and nobody has it any more.
        unsafe { raw::rd_kafka_queue_destroy(self.0.as_ptr()) }
    }
}

/// An event, destroyed when dropped.
pub(super) struct OwnEvent(NonNull<RDKafkaEvent>);

impl Drop for OwnEvent {
    fn drop(&mut self) {
        // SAFETY: the event is ours, and what was borrowed of it is gone.
        unsafe { raw::rd_kafka_event_destroy(self.0.as_ptr()) }
    }
}

impl OwnEvent {
    pub(super) fn ptr(&self) -> *mut RDKafkaEvent {
        self.0.as_ptr()
    }

    fn kind(&self) -> i32 {
        // SAFETY: the event lives.
        unsafe { raw::rd_kafka_event_type(self.0.as_ptr()) }
    }

    pub(super) fn error(&self) -> RDKafkaRespErr {
        // SAFETY: the event lives; an event without error says that there is none.
        unsafe { raw::rd_kafka_event_error(self.0.as_ptr()) }
    }

    fn error_text(&self) -> String {
        // SAFETY: the text lives as long as the event; it is copied here.
        unsafe { text(raw::rd_kafka_event_error_string(self.0.as_ptr())) }
    }

    /// The record of an event of this kind: there is one, and it is given once.
    fn message(&self) -> Option<Message<'_>> {
        // SAFETY: the message lives as long as the event, to which the result is bound.
        unsafe { raw::rd_kafka_event_message_next(self.0.as_ptr()).as_ref().map(|message| Message::new(message)) }
    }

    /// The partition that an error is about.
    fn place(&self) -> Option<Place> {
        // SAFETY: what is given is a copy of our own; its topic is a text that lives until it is destroyed.
        unsafe {
            let copy = raw::rd_kafka_event_topic_partition(self.0.as_ptr());
            let raw::rd_kafka_topic_partition_s { topic, partition, offset, .. } = *copy.as_ref()?;
            let place = Place { topic: text(topic), partition, offset };
            raw::rd_kafka_topic_partition_destroy(copy);
            Some(place)
        }
    }

    /// Takes the list of a rebalance or a commit: all of it, also what the wrapper knows nothing of, such as topic ids.
    fn take_list(&self) -> TopicPartitionList {
        let list = TopicPartitionList::new();
        // SAFETY: both are whole lists that own their elements and differ from each other; each is still freed by its owner
        // after they have changed places. Nobody else looks at the event's.
        unsafe {
            let theirs: *mut RDKafkaTopicPartitionList = raw::rd_kafka_event_topic_partition_list(self.0.as_ptr());
            if !theirs.is_null() {
                ptr::swap(theirs, list.ptr());
            }
        }
        list
    }

    fn log(&self, hear: impl FnOnce(Level, &str, &str)) {
        let (mut facility, mut line, mut level) = (ptr::null(), ptr::null(), 0);
        // SAFETY: both texts live as long as the event, and are copied here.
        let (facility, line) = unsafe {
            if raw::rd_kafka_event_log(self.0.as_ptr(), &raw mut facility, &raw mut line, &raw mut level) != 0 {
                return;
            }
            (text(facility), text(line))
        };
        hear(severity(level), facility.trim(), line.trim());
    }
}

/// # Safety
/// `start` must be null, or the start of a text that ends in NUL.
pub(super) unsafe fn text(start: *const c_char) -> String {
    if start.is_null() {
        return String::new();
    }
    // SAFETY: promised by the caller.
    unsafe { CStr::from_ptr(start) }.to_string_lossy().trim().to_owned()
}

/// syslog's numbers.
fn severity(level: i32) -> Level {
    match level {
        0 => Level::Emerg,
        1 => Level::Alert,
        2 => Level::Critical,
        3 => Level::Error,
        4 => Level::Warning,
        5 => Level::Notice,
        6 => Level::Info,
        _ => Level::Debug,
    }
}
