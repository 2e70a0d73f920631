//! The sample services: read requests, do their work, answer. None of them knows Cadence, and each answers in its own
//! way.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use rdkafka::error::KafkaError;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::clients::{self, Writer};
use super::stack::PARTITIONS;
use crate::config::Settings;
use crate::wire::{
    ActivityId, Answer, Failure, FailureStyle, Headers, Input, Limits, OutRecord, Outcome, ReplyBuilder, Request,
    RequestActivity, Target, names,
};

/// Above this amount, in cents, the demo's card is declined.
const CARD_LIMIT: u64 = 50_000;

/// Steps in which a parcel is packed; each is shorter than the activity's heartbeat timeout, all of them are longer.
const PACKING_STEPS: u32 = 5;
const PACKING_STEP: Duration = Duration::from_millis(550);

/// How often the service that only waits says that it does.
const HOLDING_STEP: Duration = Duration::from_millis(300);

/// The services, all in one consumer group.
pub(super) struct Services {
    busy: Arc<AtomicUsize>,
}

/// Run and id of activities whose workflow has asked them to stop.
type Stops = BTreeSet<(String, String)>;

impl Services {
    /// Starts to answer, until `stop`.
    pub(super) fn start(settings: &Settings, producer: &Writer, stop: CancellationToken) -> Result<Self, KafkaError> {
        let (brokers, topics) = (&settings.kafka.brokers, &settings.topics);
        let busy = Arc::new(AtomicUsize::new(0));
        let requests = clients::member(brokers, "demo-services", &topics.requests)?;
        let outcomes = clients::reader(brokers, &[(topics.outcomes.clone(), PARTITIONS)])?;
        let (asked, stops) = watch::channel(Stops::new());
        let (producer, counter) = (producer.clone(), Arc::clone(&busy));
        let serve = async move {
            loop {
                // Errors heal inside librdkafka; the end of a partition is told as one.
                tokio::select! {
                    message = requests.recv() => if let Ok(message) = message {
                        take_up(clients::record(&message).value, &producer, &stops, &counter);
                    },
                    message = outcomes.recv() => if let Ok(message) = message {
                        note_stop(clients::record(&message).value, &asked);
                    },
                }
            }
        };
        tokio::spawn(stop.run_until_cancelled_owned(serve));
        Ok(Self { busy })
    }

    /// Whether everything that was taken up has been answered.
    pub(super) fn idle(&self) -> bool {
        self.busy.load(Ordering::Acquire) == 0
    }
}

/// The outcome of a heartbeat says whether the workflow still wants the activity.
fn note_stop(value: Option<Bytes>, asked: &watch::Sender<Stops>) {
    let Ok(outcome) = Outcome::parse(&value.unwrap_or_default()) else { return };
    let ids = outcome.activity.and_then(|activity| Some((activity.run_id?, activity.activity_id?)));
    if let (true, Some(ids)) = (outcome.cancel_requested, ids) {
        asked.send_if_modified(|stops| stops.insert(ids));
    }
}

/// Works on one request beside the others.
fn take_up(value: Option<Bytes>, producer: &Writer, stops: &watch::Receiver<Stops>, busy: &Arc<AtomicUsize>) {
    // Whoever else writes to the topic finds no service for it.
    let Ok(request) = Request::parse(&value.unwrap_or_default()) else { return };
    let (producer, stops, busy) = (producer.clone(), stops.clone(), Arc::clone(busy));
    busy.fetch_add(1, Ordering::AcqRel);
    tokio::spawn(async move {
        work(&request, &producer, stops).await;
        busy.fetch_sub(1, Ordering::AcqRel);
    });
}

async fn work(request: &Request, producer: &Writer, mut stops: watch::Receiver<Stops>) {
    let ids = request.activity.as_ref().map(|activity| (activity.run_id.clone(), activity.activity_id.clone()));
    let last = when_stopped(request);
    for (work, reply) in answers(request) {
        let stopped = stops.wait_for(|stops| ids.as_ref().is_some_and(|ids| stops.contains(ids)));
        let (reply, go_on) = match &last {
            Some(last) => tokio::select! {
                Ok(_) = stopped => (last.clone(), false),
                () = tokio::time::sleep(work) => (reply, true),
            },
            None => {
                tokio::time::sleep(work).await;
                (reply, true)
            }
        };
        if let Err(error) = clients::send(producer, &reply).await {
            tracing::error!(%error, "a sample service cannot answer");
        }
        if !go_on {
            return;
        }
    }
}

/// What the service writes when it hears that the workflow wants the activity no more; `None` for those that do not
/// listen.
fn when_stopped(request: &Request) -> Option<OutRecord> {
    let activity = request.activity.as_ref().filter(|activity| activity.activity_type == "HoldParcel")?;
    let details = Some(text(r#"{"by":"customer"}"#));
    Some(Desk { request, activity }.reply(Answer::Cancel { details }))
}

/// What the service for this activity type writes, each reply after so much work. Nothing for types without a service.
pub(super) fn answers(request: &Request) -> Vec<(Duration, OutRecord)> {
    let Some(activity) = &request.activity else { return Vec::new() };
    let desk = Desk { request, activity };
    match activity.activity_type.as_str() {
        "ScoreFraud" => vec![(millis(90), desk.as_spring_does(b"0.07"))],
        "ReserveStock" => desk.complete(120, r#"{"shelf":"B4-17"}"#),
        "ChargeCard" if desk.amount() > CARD_LIMIT => desk.fail(160, "CardDeclined", r#"{"code":51}"#),
        "ChargeCard" => desk.complete(160, r#"{"charge":"ch_88"}"#),
        "ReleaseStock" => vec![(millis(60), desk.reply(Answer::Complete { result: None }))],
        "ShipParcel" => desk.complete(140, r#""JD0146-0039""#),
        "BookCourier" if activity.attempt == 0 => desk.fail(150, "CourierBusy", r#"{"queue":9}"#),
        "BookCourier" => desk.complete(110, r#"{"courier":"Ada"}"#),
        "PackParcel" => desk.in_steps(PACKING_STEPS, PACKING_STEP, r#"{"boxes":2}"#),
        // Longer than anybody waits, unless it is stopped.
        "HoldParcel" => desk.in_steps(20, HOLDING_STEP, r#"{"held":true}"#),
        "SendReceipt" => [desk.complete(130, r#"{"sent":true}"#), desk.complete(90, r#"{"sent":true}"#)].concat(),
        "PrintLabel" => desk.rubbish_first(),
        "PostLedger" => vec![(millis(170), desk.by_id(br#"{"entry":88121}"#))],
        _ => Vec::new(),
    }
}

/// One request on a service's desk.
struct Desk<'a> {
    request: &'a Request,
    activity: &'a RequestActivity,
}

impl Desk<'_> {
    fn complete(&self, after: u64, result: &str) -> Vec<(Duration, OutRecord)> {
        vec![(millis(after), self.reply(Answer::Complete { result: Some(text(result)) }))]
    }

    fn fail(&self, after: u64, reason: &str, details: &str) -> Vec<(Duration, OutRecord)> {
        let failure = Failure {
            reason: reason.to_owned(),
            message: None,
            details: Some(text(details)),
            style: FailureStyle::Custom,
        };
        vec![(millis(after), self.reply(Answer::Fail(failure)))]
    }

    /// Slow work that says at times that it is still going on.
    fn in_steps(&self, steps: u32, step: Duration, result: &str) -> Vec<(Duration, OutRecord)> {
        let beat = |done: u32| {
            let details = Bytes::from(format!(r#"{{"percent":{}}}"#, 100 * done / steps));
            (step, self.reply(Answer::Heartbeat { details: Some(details) }))
        };
        let last = self.reply(Answer::Complete { result: Some(text(result)) });
        (1..steps).map(beat).chain([(step, last)]).collect()
    }

    /// The label printer's driver writes a line of its own to the topic, then the reply.
    fn rubbish_first(&self) -> Vec<(Duration, OutRecord)> {
        let rubbish = OutRecord { value: Some(text("label printed, 1 page")), ..self.bare() };
        let mut replies = vec![(millis(100), rubbish)];
        replies.extend(self.complete(260, r#"{"pages":1}"#));
        replies
    }

    /// By the activity's names, for a service that has no place to keep a token.
    fn by_id(&self, result: &'static [u8]) -> OutRecord {
        let RequestActivity { domain, workflow_id, run_id, activity_id, .. } = self.activity.clone();
        let id = ActivityId { domain, workflow_id, run_id, activity_id, attempt: None };
        self.build(Target::ById(id), Answer::Complete { result: Some(Bytes::from_static(result)) })
    }

    /// The value is the result, and the correlation id is echoed: what `@SendTo` does without any code.
    fn as_spring_does(&self, result: &'static [u8]) -> OutRecord {
        let mut headers = Headers::new();
        headers.push(names::CORRELATION_ID, self.request.task_token.bytes().clone());
        OutRecord { value: Some(Bytes::from_static(result)), headers, ..self.bare() }
    }

    fn reply(&self, answer: Answer) -> OutRecord {
        self.build(Target::Token(self.request.task_token.clone()), answer)
    }

    fn build(&self, target: Target, answer: Answer) -> OutRecord {
        let bare = self.bare();
        let key = bare.key.clone().unwrap_or_default();
        let built = ReplyBuilder::new(target, answer).key(key).into_record(Arc::clone(&bare.topic), &Limits::default());
        // The demo's replies are right, and a test holds them to it.
        built.unwrap_or(bare)
    }

    /// A record without value for the topic that the request names, with the request's key.
    fn bare(&self) -> OutRecord {
        let topic = self.request.reply_to.as_deref().unwrap_or_default().into();
        let key = format!("{}/{}", self.activity.domain, self.activity.workflow_id);
        OutRecord { topic, partition: None, key: Some(key.into()), value: None, headers: Headers::new() }
    }

    /// The amount that the request asks for, 0 without one.
    fn amount(&self) -> u64 {
        let Some(Input::Json(arguments)) = &self.request.input else { return 0 };
        let order = arguments.first().and_then(|order| serde_json::from_str::<serde_json::Value>(order.get()).ok());
        order.and_then(|order| order.get("amount")?.as_u64()).unwrap_or(0)
    }
}

fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

fn text(text: &str) -> Bytes {
    Bytes::copy_from_slice(text.as_bytes())
}
