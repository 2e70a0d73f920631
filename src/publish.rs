//! Writing requests and replies from Rust: for services, and for activities that publish their own request.

use std::sync::Arc;
use std::time::Duration;

use crate::bridge::seams::ProduceFault;
use crate::config::Kafka;
use crate::kafka::{Condition, Observer, Producer, ProducerSpec, client};
use crate::wire::OutRecord;

/// Why a record could not be written. The texts say what to do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PublishError {
    /// May succeed when tried again. The record may be in the log nevertheless.
    #[error("{0}")]
    Transient(String),
    /// Will not succeed until somebody changes something.
    #[error("{0}")]
    Permanent(String),
    /// The Kafka client is dead: make a new [`Publisher`].
    #[error("{0}")]
    Fatal(String),
}

impl From<ProduceFault> for PublishError {
    fn from(fault: ProduceFault) -> Self {
        match fault {
            ProduceFault::Transient(text) => Self::Transient(text),
            ProduceFault::Permanent(text) | ProduceFault::TooLarge(text) => Self::Permanent(text),
            ProduceFault::Fatal(text) => Self::Fatal(text),
        }
    }
}

/// Writes requests and replies to Kafka: idempotent, and acknowledged by all in-sync replicas. Cheap to clone, and made once
/// for a process. Records still on their way when the last clone is dropped are lost: await each, or call
/// [`Publisher::flush`].
///
/// ```
/// use handback::publish::Publisher;
/// use handback::wire::{Answer, Limits};
/// # tokio::runtime::Runtime::new()?.block_on(async {
/// # let stack = handback::testkit::Stack::start().await?;
/// # let request = stack.activity("ChargeCard", &[])?;
/// let publisher = Publisher::connect(&stack.settings().kafka)?;
/// let reply = request.reply(Answer::failed("CardDeclined", "code 51"));
/// publisher.publish(reply.into_record("activity-replies".into(), &Limits::default())?).await?;
/// # let closing = stack.closed(&request, std::time::Duration::from_secs(30)).await.ok_or("still open")?;
/// # assert_eq!(closing.reason.as_deref(), Some("CardDeclined"));
/// # stack.stop().await;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct Publisher {
    producer: Producer,
}

impl Publisher {
    /// Makes the Kafka client. Nothing is sent and no broker is waited for; trouble with the brokers is logged, and told
    /// by [`Publisher::publish`] once a record cannot be written.
    ///
    /// # Errors
    ///
    /// [`PublishError::Permanent`] when librdkafka refuses the settings.
    pub fn connect(kafka: &Kafka) -> Result<Self, PublishError> {
        let config = client::producer(kafka);
        let spec = ProducerSpec { name: "publisher".to_owned(), config, observer: Arc::new(Trouble) };
        let producer = Producer::new(spec).map_err(|error| {
            let why = std::error::Error::source(&error).map(|source| format!(": {source}")).unwrap_or_default();
            PublishError::Permanent(format!("{error}{why}"))
        })?;
        Ok(Self { producer })
    }

    /// Writes a record and resolves once all in-sync replicas have it. Dropping the future does not call it back.
    ///
    /// # Errors
    ///
    /// As [`PublishError`] says; by default after 30 s (`delivery.timeout.ms`) while no broker takes it.
    pub async fn publish(&self, record: OutRecord) -> Result<(), PublishError> {
        Ok(self.producer.send(record).await?)
    }

    /// Waits until everything is delivered or has failed; true when it was so in time. Blocks.
    #[must_use]
    pub fn flush(&self, within: Duration) -> bool {
        self.producer.flush(within)
    }
}

/// What the client says is in the log already, by the room that hears it.
struct Trouble;

impl Observer for Trouble {
    fn condition(&self, condition: Condition) {
        tracing::debug!(?condition, "publisher");
    }
}
