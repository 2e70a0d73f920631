//! The sample services: read requests, do their work, answer. None of them knows Cadence, and each answers in its own
//! way.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use rdkafka::error::KafkaError;
use tokio_util::sync::CancellationToken;

use super::clients::{self, Writer};
use crate::config::Settings;
use crate::wire::{
    ActivityId, Answer, Failure, FailureStyle, Headers, Input, Limits, OutRecord, ReplyBuilder, Request,
    RequestActivity, Target, names,
};

/// Above this amount, in cents, the demo's card is declined.
const CARD_LIMIT: u64 = 50_000;

/// Steps in which a parcel is packed; each is shorter than the activity's heartbeat timeout, all of them are longer.
const PACKING_STEPS: u32 = 5;
const PACKING_STEP: Duration = Duration::from_millis(450);

/// The services, all in one consumer group.
pub(super) struct Services {
    busy: Arc<AtomicUsize>,
}

impl Services {
    /// Starts to answer, until `stop`.
    pub(super) fn start(settings: &Settings, producer: &Writer, stop: CancellationToken) -> Result<Self, KafkaError> {
        let busy = Arc::new(AtomicUsize::new(0));
        let consumer = clients::member(&settings.kafka.brokers, "demo-services", &settings.topics.requests)?;
        let (producer, counter) = (producer.clone(), Arc::clone(&busy));
        let serve = async move {
            loop {
                match consumer.recv().await {
                    Ok(message) => take_up(clients::record(&message).value, &producer, &counter),
                    Err(error) => tracing::debug!(%error, "the sample services could not read"),
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

/// Works on one request beside the others.
fn take_up(value: Option<Bytes>, producer: &Writer, busy: &Arc<AtomicUsize>) {
    // Whoever else writes to the topic finds no service for it.
    let Ok(request) = Request::parse(&value.unwrap_or_default()) else { return };
    let (producer, busy) = (producer.clone(), Arc::clone(busy));
    busy.fetch_add(1, Ordering::AcqRel);
    tokio::spawn(async move {
        for (work, reply) in answers(&request) {
            tokio::time::sleep(work).await;
            if let Err(error) = clients::send(&producer, &reply).await {
                tracing::error!(%error, "a sample service cannot answer");
            }
        }
        busy.fetch_sub(1, Ordering::AcqRel);
    });
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
        "PackParcel" => desk.pack(),
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
    fn pack(&self) -> Vec<(Duration, OutRecord)> {
        let beat = |step: u32| {
            let percent = 100 * step / PACKING_STEPS;
            self.reply(Answer::Heartbeat { details: Some(Bytes::from(format!(r#"{{"percent":{percent}}}"#))) })
        };
        let done = self.complete(0, r#"{"boxes":2}"#).remove(0).1;
        let beats = (1..PACKING_STEPS).map(|step| (PACKING_STEP, beat(step)));
        beats.chain([(PACKING_STEP, done)]).collect()
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
