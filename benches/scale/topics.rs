//! Topics of a part, and the replies in them.

use std::time::{Duration, Instant};

use handback::config::Settings;
use rdkafka::ClientConfig;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::OwnedHeaders;
use rdkafka::producer::{BaseRecord, DefaultProducerContext, Producer as _, ThreadedProducer};

use super::figures::Stage;
use super::sink::now;
use super::stage;

/// The topics of one part, created, and the settings of a bridge between them.
pub(crate) struct Topics {
    pub(crate) stage: Stage,
    pub(crate) partitions: i32,
    producer: ThreadedProducer<DefaultProducerContext>,
}

impl Topics {
    pub(crate) fn create(brokers: &str, name: &str, partitions: i32) -> Self {
        let run = format!("{name}-{}", std::process::id());
        let stage = Stage { brokers: brokers.to_owned(), run, ..Stage::default() };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        for topic in ["replies", "outcomes", "dlq"] {
            runtime.block_on(stage::create(&stage, topic, partitions));
        }
        let producer = ClientConfig::new()
            .set("bootstrap.servers", brokers)
            .set("linger.ms", "5")
            .set("queue.buffering.max.messages", "1000000")
            .create()
            .unwrap();
        Self { stage, partitions, producer }
    }

    pub(crate) fn settings(&self, endpoint: &str) -> Settings {
        let mut settings = Settings::default();
        settings.kafka.brokers = self.stage.brokers.clone();
        settings.kafka.group_id = self.stage.topic("group");
        settings.topics.replies = vec![self.stage.topic("replies")];
        settings.topics.outcomes = self.stage.topic("outcomes");
        settings.topics.dead_letters = self.stage.topic("dlq");
        settings.topics.retry = Vec::new();
        endpoint.clone_into(&mut settings.cadence.endpoint);
        settings
    }

    /// Writes this many replies, in turn to each partition.
    pub(crate) fn reply(&self, from: usize, records: usize) {
        let topic = self.stage.topic("replies");
        for number in from..from + records {
            let value = stage::envelope(&format!("order-{}-{number:08}", now()));
            self.send(&topic, number as i32 % self.partitions, &value, None);
        }
    }

    /// Writes replies at a steady rate for a while; says how many.
    pub(crate) fn reply_steadily(&self, from: usize, rate: usize, during: Duration) -> usize {
        const STEP: Duration = Duration::from_millis(10);
        let each = rate / 100;
        let began = Instant::now();
        let mut written = 0;
        while began.elapsed() < during {
            self.reply(from + written, each);
            written += each;
            std::thread::sleep((STEP * (written / each) as u32).saturating_sub(began.elapsed()));
        }
        written
    }

    pub(crate) fn send(&self, topic: &str, partition: i32, value: &str, headers: Option<&OwnedHeaders>) {
        loop {
            let record = BaseRecord::<(), _>::to(topic).partition(partition).payload(value);
            let record = match headers {
                Some(headers) => record.headers(headers.clone()),
                None => record,
            };
            match self.producer.send(record) {
                Ok(()) => break,
                Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), _)) => {
                    std::thread::sleep(Duration::from_millis(5));
                }
                Err((error, _)) => panic!("{error}"),
            }
        }
    }

    pub(crate) fn flush(&self) {
        self.producer.flush(Duration::from_secs(120)).unwrap();
    }
}
