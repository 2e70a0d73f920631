//! Reads outcomes back for the ledger: on a thread of its own, as a consumer that joins no group and commits nothing.
//!
//! It lives while something is read: a ledger is read once per assignment, and an idle client would keep its connections
//! and threads for nothing.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, TryRecvError, channel};
use std::thread;
use std::time::Duration;

use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use rdkafka::{ClientConfig, ClientContext, Offset, TopicPartitionList};
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::errors::Error;
use super::fetching;
use super::native::{Event, EventConsumer, Trouble};
use crate::bridge::seams::{Piece, ReadBack, Reading};

mod going;
mod later;
mod ranges;

use going::{Going, Seen, seen};
use later::{Asked, Later};

/// Records looked at between two pieces.
const PIECE: usize = 1024;

/// Pieces on their way to the worker. It takes one in within a millisecond.
const PIECES: usize = 8;

/// How long a poll waits; a new question is heard after this long at the latest.
const POLL: Duration = Duration::from_millis(100);

/// How much of `ledger.load_timeout` what could pass is tried for, before its ledger is told to have failed: late enough to
/// outlast an election, and soon enough to say why before the worker's patience ends.
const PATIENCE: f64 = 0.8;

/// What a reader needs.
#[derive(Clone, Debug)]
pub struct ReaderSpec {
    /// Name of the thread, such as `ledger-0`.
    pub name: String,
    /// Brokers and security: see [`super::client::reader`].
    pub config: ClientConfig,
    /// The outcome topic.
    pub topic: Arc<str>,
    /// Reply topics, in the order of `topics.replies`.
    pub reply_topics: Vec<String>,
    /// Bound of each look-up of offsets.
    pub lookup_timeout: Duration,
    /// How long the worker waits for an answer.
    pub load_timeout: Duration,
}

/// A reader's two ends. Dropping either ends its thread.
#[derive(Debug)]
pub struct LedgerReader {
    /// Questions.
    pub asks: Sender<ReadBack>,
    /// Answers.
    pub pieces: mpsc::Receiver<Piece>,
}

/// Starts a reader. It connects to nobody before the first question.
///
/// # Errors
/// When there is no thread to be had.
pub fn spawn(spec: ReaderSpec) -> Result<LedgerReader, Error> {
    let (asks, questions) = channel();
    let (answers, pieces) = mpsc::channel(PIECES);
    let name = spec.name.clone();
    let body = move || {
        while let Ok(first) = questions.recv() {
            if serve(&spec, first, &questions, &answers).is_err() {
                return;
            }
        }
    };
    thread::Builder::new().name(name).spawn(body).map_err(Error::Thread)?;
    Ok(LedgerReader { asks, pieces })
}

/// Nobody asks or listens any more.
struct Gone;

/// Reads until nothing is left to read.
fn serve(
    spec: &ReaderSpec,
    first: ReadBack,
    questions: &Receiver<ReadBack>,
    answers: &mpsc::Sender<Piece>,
) -> Result<(), Gone> {
    let made: Result<BaseConsumer<Quiet>, _> = spec.config.create_with_context(Quiet);
    let consumer = match made.map(EventConsumer::new) {
        Ok(Some(consumer)) => consumer,
        Ok(None) => return tell(answers, failed(&first, "a reader needs group.id".to_owned())),
        Err(error) => return tell(answers, failed(&first, format!("the Kafka client cannot be made: {error}"))),
    };
    let mut reader = Reader { spec, consumer, answers, reading: HashMap::new(), later: Later::default() };
    let mut asked = HashMap::from([(first.partition, Asked { ask: first, since: Instant::now() })]);
    loop {
        // An assignment asks for all of its partitions at once. Asked twice, the later one counts.
        loop {
            match questions.try_recv() {
                Ok(ask) => {
                    reader.later.forget(ask.partition);
                    asked.insert(ask.partition, Asked { ask, since: Instant::now() });
                }
                Err(TryRecvError::Empty) => break,
                Err(TryRecvError::Disconnected) => return Err(Gone),
            }
        }
        asked.extend(reader.later.due(Instant::now()).into_iter().map(|asked| (asked.ask.partition, asked)));
        if !asked.is_empty() {
            reader.begin(asked.drain().map(|(_, asked)| asked).collect())?;
        }
        if reader.reading.is_empty() && reader.later.is_empty() {
            return Ok(());
        }
        match reader.consumer.poll(POLL, |message| seen(message, &spec.reply_topics)) {
            None if answers.is_closed() => return Err(Gone),
            None | Some(Event::Heard) => {}
            Some(Event::Record(seen)) => reader.take(seen)?,
            Some(Event::End(place)) => reader.end(place.partition)?,
            Some(Event::Trouble(trouble)) => reader.trouble(&trouble)?,
        }
        reader.give_up()?;
    }
}

fn tell(answers: &mpsc::Sender<Piece>, piece: Piece) -> Result<(), Gone> {
    answers.blocking_send(piece).map_err(|_| Gone)
}

fn failed(ask: &ReadBack, text: String) -> Piece {
    let ReadBack { ticket, partition, .. } = *ask;
    Piece { ticket, partition, entries: Vec::new(), next: None, reading: Reading::Failed(text) }
}

struct Reader<'a> {
    spec: &'a ReaderSpec,
    consumer: EventConsumer<Quiet>,
    answers: &'a mpsc::Sender<Piece>,
    reading: HashMap<i32, Going>,
    later: Later,
}

impl Reader<'_> {
    fn begin(&mut self, all: Vec<Asked>) -> Result<(), Gone> {
        let asks: Vec<ReadBack> = all.iter().map(|asked| asked.ask).collect();
        let ranges = self.ranges(&asks);
        let mut begun = Vec::with_capacity(asks.len());
        let mut list = TopicPartitionList::with_capacity(asks.len());
        for (asked @ Asked { ask, since }, range) in all.into_iter().zip(ranges) {
            let (start, end) = match range {
                Ok(range) => range,
                Err(error) if Self::is_lasting(&error) || since.elapsed() >= self.patience() => {
                    tell(self.answers, failed(&ask, self.advice(&error)))?;
                    continue;
                }
                Err(error) => {
                    tracing::debug!(%error, partition = ask.partition, "where the ledger begins is not known yet");
                    self.later.put(asked, Instant::now());
                    continue;
                }
            };
            // Asked again while it is read: it goes on to the new end, assigned anew, so that no end is told that was one
            // before.
            let mut going = match self.reading.remove(&ask.partition) {
                Some(going) => {
                    self.let_go(ask.partition);
                    Going { ask, end, ..going }
                }
                None => Going { ask, end, next: start, looked_at: 0, entries: Vec::new(), trouble: None },
            };
            if going.next >= end {
                tell(self.answers, going.piece(Reading::Done))?;
                continue;
            }
            self.add(&mut list, going.ask.partition, Offset::Offset(going.next));
            begun.push(going);
        }
        if begun.is_empty() {
            return Ok(());
        }
        match self.consumer.incremental_assign(&list) {
            Ok(()) => self.reading.extend(begun.into_iter().map(|going| (going.ask.partition, going))),
            Err(error) => {
                let text = self.advice(&error);
                for going in begun {
                    tell(self.answers, failed(&going.ask, text.clone()))?;
                }
            }
        }
        Ok(())
    }

    fn one(&self, partition: i32, offset: Offset) -> TopicPartitionList {
        let mut list = TopicPartitionList::with_capacity(1);
        self.add(&mut list, partition, offset);
        list
    }

    fn add(&self, list: &mut TopicPartitionList, partition: i32, offset: Offset) {
        // Fails for offsets that cannot be, and those given are real.
        if let Err(error) = list.add_partition_offset(&self.spec.topic, partition, offset) {
            tracing::error!(%error, partition, ?offset, "the ledger cannot be read from here");
        }
    }

    fn take(&mut self, seen: Seen) -> Result<(), Gone> {
        let Some(going) = self.reading.get_mut(&seen.partition) else { return Ok(()) };
        going.next = seen.offset + 1;
        going.looked_at += 1;
        going.trouble = None;
        going.entries.extend(seen.remembered);
        if going.next >= going.end {
            return self.end(seen.partition);
        }
        if going.looked_at < PIECE {
            return Ok(());
        }
        let left = going.left();
        tell(self.answers, going.piece(Reading::Left(left)))
    }

    /// Everything that was there is read. Offsets are not dense: the last may be missing, and only the end of the partition
    /// tells.
    fn end(&mut self, partition: i32) -> Result<(), Gone> {
        let Some(mut going) = self.reading.remove(&partition) else { return Ok(()) };
        self.let_go(partition);
        tell(self.answers, going.piece(Reading::Done))
    }

    /// What may pass is waited out for a while. What somebody must change is told at once.
    fn trouble(&mut self, trouble: &Trouble) -> Result<(), Gone> {
        let error = KafkaError::MessageConsumption(trouble.code);
        let lasting = Self::is_lasting(&error);
        let Some(place) = &trouble.place else {
            let text = self.advice(&error);
            let all = self.reading.keys().copied().collect();
            return if lasting { self.fail(all, |_| text.clone()) } else { Ok(()) };
        };
        let text = fetching::reason(place, trouble);
        tracing::debug!(reason = text, "trouble with reading the ledger");
        if lasting {
            return self.fail(vec![place.partition], |_| text.clone());
        }
        if let Some(going) = self.reading.get_mut(&place.partition) {
            going.trouble.get_or_insert_with(|| (Instant::now(), text));
        }
        Ok(())
    }

    /// Tells what has been in trouble for too long.
    fn give_up(&mut self) -> Result<(), Gone> {
        let patience = self.patience();
        let hopeless = |going: &Going| going.trouble.as_ref().is_some_and(|(since, _)| since.elapsed() >= patience);
        if !self.reading.values().any(hopeless) {
            return Ok(());
        }
        let these = self.reading.iter().filter(|(_, going)| hopeless(going)).map(|(partition, _)| *partition).collect();
        self.fail(these, |going| going.trouble.take().map(|(_, text)| text).unwrap_or_default())
    }

    fn fail(&mut self, partitions: Vec<i32>, text: impl Fn(&mut Going) -> String) -> Result<(), Gone> {
        for partition in partitions {
            let Some(mut going) = self.reading.remove(&partition) else { continue };
            self.let_go(partition);
            let text = text(&mut going);
            tell(self.answers, going.piece(Reading::Failed(text)))?;
        }
        Ok(())
    }

    fn patience(&self) -> Duration {
        self.spec.load_timeout.mul_f64(PATIENCE)
    }

    /// Whether waiting does not help. A topic that is not known may have been made a moment ago.
    fn is_lasting(error: &KafkaError) -> bool {
        error.rdkafka_error_code() == Some(Code::TopicAuthorizationFailed)
    }

    fn let_go(&self, partition: i32) {
        if let Err(error) = self.consumer.incremental_unassign(&self.one(partition, Offset::Invalid)) {
            tracing::debug!(%error, partition, "a partition of the ledger could not be let go");
        }
    }

    fn advice(&self, error: &KafkaError) -> String {
        let topic = &self.spec.topic;
        match error.rdkafka_error_code() {
            Some(Code::TopicAuthorizationFailed) => format!("{error}; grant READ and DESCRIBE on {topic}"),
            Some(Code::UnknownTopicOrPartition | Code::UnknownTopic | Code::UnknownPartition) => {
                format!("{error}; {topic} needs as many partitions as the reply topics: `handback topics create`")
            }
            _ => error.to_string(),
        }
    }
}

/// Its troubles are the ledger's, which is told of them in answers. Everything lasting the other clients tell too.
struct Quiet;

impl ClientContext for Quiet {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        tracing::debug!(target: "librdkafka", ?level, facility, "ledger: {message}");
    }

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!(%error, reason, "the reader of the ledger");
    }
}

impl ConsumerContext for Quiet {}
