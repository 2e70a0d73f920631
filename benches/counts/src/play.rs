//! The fixed run: replies through the bridge on one thread, with a model of the log behind one seam. Behind the other one
//! stands either a model that says OK, or handback's client before a sink that does.

use std::cell::{Cell, RefCell};
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use handback::admin::{Health, Metrics};
use handback::bridge::seams::{
    Accepted, Call, CallError, Command, Control, DomainRef, Engine, Log, PartitionId, Piece, Probed, ProduceFault,
    ReadBack, Reading, Received, Wiring,
};
use handback::bridge::sight::{Reach, Sight};
use handback::bridge::{self, Ailing, Ending, Intake, Options, Postponed, Shared};
use handback::cadence::Client;
use handback::config::Settings;
use handback::wire::{Headers, Origin, OutRecord, Record, Target};
use tokio::sync::mpsc::{self, Sender, UnboundedSender};
use tokio::task::yield_now;
use tokio_util::sync::CancellationToken;

/// Records of the longest run. All are made before every run, so that making them cancels out.
pub(crate) const MAX_RECORDS: usize = 2_500;

/// Size of an envelope, as in the other benches.
const ENVELOPE: usize = 510;

/// Records that the consumer hands over at a time.
pub(crate) const BATCH: usize = 50;

const TOPIC: &str = "activity-replies";

/// A time that is always the same: what is written has the same length in every run.
const NOW_MS: i64 = 1_795_341_607_131;

/// Partitions, of which records come in turn.
const PARTITIONS: i32 = 4;

/// Everything as a user has it, but for the timer: what is done at times is no cost of a record.
pub(crate) fn settings() -> Settings {
    let mut settings = Settings::default();
    settings.kafka.group_id = "counts".to_owned();
    settings.topics.replies = vec![TOPIC.to_owned()];
    settings.bridge.offset_interval = Duration::from_secs(3600);
    settings
}

/// [`MAX_RECORDS`] replies in batches. Each completes an activity of its own.
pub(crate) fn batches() -> Vec<Vec<Received>> {
    let topic: Arc<str> = TOPIC.into();
    let received = |number: usize| {
        let at = PartitionId { topic: 0, partition: number as i32 % PARTITIONS };
        let origin = Origin {
            topic: Arc::clone(&topic),
            partition: at.partition,
            offset: 1_000_000 + number as i64 / i64::from(PARTITIONS),
            timestamp_ms: Some(NOW_MS - 7),
        };
        let record = Record {
            origin,
            key: None,
            value: Some(Bytes::copy_from_slice(envelope(number).as_bytes())),
            headers: Headers::new(),
        };
        Received { partition: at, epoch: 1, record }
    };
    let batch = |first: usize| (first..first + BATCH).map(received).collect();
    (0..MAX_RECORDS).step_by(BATCH).map(batch).collect()
}

fn envelope(number: usize) -> String {
    let token = serde_json::json!({
        "domainId": "0197b3b0-0000-7000-8000-000000000001", "workflowId": format!("order-{number:08}"),
        "workflowType": "OrderWorkflow", "runId": format!("b5c5b5c5-0000-4000-8000-{number:012x}"),
        "scheduleId": 12, "scheduleAttempt": 0, "activityId": "3", "activityType": "ChargeCard",
    });
    let token = BASE64_STANDARD.encode(token.to_string());
    let head = format!(r#"{{"task_token":"{token}","result":{{"charge_id":"ch_{number:08}","note":""#);
    let pad = ENVELOPE.saturating_sub(head.len() + 3);
    format!("{head}{}\"}}}}", "x".repeat(pad))
}

/// Settles the first `records` of `batches` and ends. Everything is on: ledger, outcomes, metrics, breaker, flood guard.
pub(crate) async fn play<E: Engine + 'static>(
    engine: E,
    metrics: Arc<Metrics>,
    settings: &Settings,
    batches: Vec<Vec<Received>>,
    records: usize,
) {
    #[expect(clippy::disallowed_methods, reason = "one message is sent")]
    let (control_in, control) = mpsc::unbounded_channel();
    let (records_in, records_out) = mpsc::channel(batches.len());
    let (pieces_in, pieces) = mpsc::channel(PARTITIONS as usize);
    let ours = (0..PARTITIONS).map(|partition| (PartitionId { topic: 0, partition }, 1)).collect();
    control_in.send(Control::Assigned(ours)).expect("the worker hears");
    let mut later = batches;
    for batch in later.drain(..records / BATCH) {
        records_in.try_send(batch).expect("room for all batches");
    }
    let stop = CancellationToken::new();
    let log = LogModel {
        left: Cell::new(records),
        stop: stop.clone(),
        pieces: pieces_in,
        control: RefCell::new(Some(control_in)),
    };
    let shared = Shared {
        metrics,
        health: Arc::new(Health::new()),
        limiter: None,
        ailing: Ailing::default(),
        postponed: Postponed::default(),
        wall_clock: || NOW_MS,
    };
    let options = Options::new(settings, 0, "counts".into(), 1);
    let intake = Intake { control, records: records_out, pieces };
    let ending = bridge::run(engine, log, options, shared, intake, stop).await;
    assert_eq!(ending, Ending::Drained);
}

/// Says OK to everything, a turn of the runtime later.
pub(crate) struct EngineModel {
    pub(crate) domain: Arc<str>,
}

impl Engine for EngineModel {
    async fn call(&self, _: Call<'_>) -> Result<Accepted, CallError> {
        yield_now().await;
        Ok(Accepted::default())
    }

    async fn probe_wiring(&self) -> Wiring {
        Wiring::Sound
    }

    async fn probe_history(&self, _: &DomainRef, _: &str) -> Probed {
        Probed::Well
    }

    async fn domain_name(&self, _: &str) -> Result<Option<Arc<str>>, CallError> {
        Ok(Some(Arc::clone(&self.domain)))
    }

    async fn domain_id(&self, _: &str) -> Result<Option<Arc<str>>, CallError> {
        unreachable!("every domain is allowed")
    }

    async fn look(&self, _: &Target, _: Reach) -> Result<Sight, CallError> {
        unreachable!("every activity is found")
    }
}

/// Handback's client before the sink, which takes every completion: also the one that asks whether an engine is there.
pub(crate) struct BeforeSink(pub(crate) Client);

impl Engine for BeforeSink {
    async fn call(&self, call: Call<'_>) -> Result<Accepted, CallError> {
        self.0.call(call).await
    }

    async fn probe_wiring(&self) -> Wiring {
        Wiring::Sound
    }

    async fn probe_history(&self, domain: &DomainRef, workflow_id: &str) -> Probed {
        self.0.probe_history(domain, workflow_id).await
    }

    async fn domain_name(&self, id: &str) -> Result<Option<Arc<str>>, CallError> {
        self.0.domain_name(id).await
    }

    async fn domain_id(&self, name: &str) -> Result<Option<Arc<str>>, CallError> {
        self.0.domain_id(name).await
    }

    async fn look(&self, _: &Target, _: Reach) -> Result<Sight, CallError> {
        unreachable!("every activity is found")
    }
}

/// Acknowledges every record, a turn of the runtime later, and stops the run after the last one.
struct LogModel {
    left: Cell<usize>,
    stop: CancellationToken,
    pieces: Sender<Piece>,
    /// Dropped when the worker ends, as the consumer does it.
    control: RefCell<Option<UnboundedSender<Control>>>,
}

impl Log for LogModel {
    async fn produce(&self, record: OutRecord) -> Result<(), ProduceFault> {
        drop(record);
        yield_now().await;
        self.left.set(self.left.get() - 1);
        if self.left.get() == 0 {
            self.stop.cancel();
        }
        Ok(())
    }

    /// The ledger begins empty, and fills.
    fn read_back(&self, ask: ReadBack) {
        let ReadBack { ticket, partition, .. } = ask;
        let piece = Piece { ticket, partition, entries: Vec::new(), next: None, reading: Reading::Done };
        self.pieces.try_send(piece).expect("room for a piece of each partition");
    }

    fn command(&self, command: Command) {
        if command == Command::Close {
            self.control.borrow_mut().take();
        }
    }
}
