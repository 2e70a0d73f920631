//! The embedded broker: librdkafka's mock cluster, a Kafka that any client can talk to over TCP.

use std::fmt;
use std::sync::mpsc::{self, Sender};
use std::thread::{self, JoinHandle};

use rdkafka::error::KafkaError;
use rdkafka::mocking::MockCluster;
use rdkafka::producer::DefaultProducerContext;

/// The cluster as it can be scripted: errors, delays, brokers that are down.
pub type Cluster = MockCluster<'static, DefaultProducerContext>;

/// Something to be done with the cluster on its own thread.
type Job = Box<dyn FnOnce(&Cluster) + Send>;

/// Why there is no broker.
#[derive(Debug, thiserror::Error)]
pub enum BrokerError {
    /// librdkafka could not start its mock cluster, or not make a topic.
    #[error("cannot start the embedded broker: {0}")]
    Kafka(#[from] KafkaError),
    /// The operating system gave no thread.
    #[error("cannot start the embedded broker's thread: {0}")]
    Thread(#[from] std::io::Error),
    /// The broker's thread ended at once.
    #[error("the embedded broker ended at once")]
    Ended,
}

/// A running broker with one node. It stops when the handle is dropped.
///
/// Each partition keeps its last 5 MiB; group coordination, idempotent producing and every client's reading and
/// writing work as on a real broker. There are no admin requests: topics are made here.
pub struct Broker {
    bootstrap_servers: String,
    jobs: Option<Sender<Job>>,
    thread: Option<JoinHandle<()>>,
}

impl Broker {
    /// Starts a broker with these topics and their numbers of partitions.
    ///
    /// # Errors
    /// As [`BrokerError`] says.
    pub fn start(topics: &[(String, i32)]) -> Result<Self, BrokerError> {
        let (ready, started) = mpsc::channel();
        let (jobs, todo) = mpsc::channel::<Job>();
        let topics = topics.to_vec();
        // The cluster cannot leave the thread it was made on.
        let thread = thread::Builder::new().name("broker".to_owned()).spawn(move || {
            let cluster = match cluster(&topics) {
                Ok(cluster) => cluster,
                Err(error) => return drop(ready.send(Err(error))),
            };
            if ready.send(Ok(cluster.bootstrap_servers())).is_ok() {
                todo.iter().for_each(|job| job(&cluster));
            }
        })?;
        let bootstrap_servers = started.recv().map_err(|_| BrokerError::Ended)??;
        Ok(Self { bootstrap_servers, jobs: Some(jobs), thread: Some(thread) })
    }

    /// Where clients connect first.
    #[must_use]
    pub fn bootstrap_servers(&self) -> &str {
        &self.bootstrap_servers
    }

    /// Does something with the cluster, and returns what came of it once it is done.
    ///
    /// # Panics
    /// If the job panics, or one before it did.
    #[doc(hidden)]
    pub fn with<T: Send + 'static>(&self, job: impl FnOnce(&Cluster) -> T + Send + 'static) -> T {
        let (done, result) = mpsc::channel();
        let job: Job = Box::new(move |cluster| drop(done.send(job(cluster))));
        let sent = self.jobs.as_ref().and_then(|jobs| jobs.send(job).ok());
        match sent.and_then(|()| result.recv().ok()) {
            Some(result) => result,
            None => panic!("a job on the embedded broker panicked"),
        }
    }
}

fn cluster(topics: &[(String, i32)]) -> Result<Cluster, KafkaError> {
    let cluster = MockCluster::new(1)?;
    for (topic, partitions) in topics {
        cluster.create_topic(topic, *partitions, 1)?;
    }
    Ok(cluster)
}

impl fmt::Debug for Broker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Broker").field("bootstrap_servers", &self.bootstrap_servers).finish_non_exhaustive()
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        drop(self.jobs.take());
        if let Some(thread) = self.thread.take() {
            // A panic there was told to whoever asked for the job.
            let _ = thread.join();
        }
    }
}
