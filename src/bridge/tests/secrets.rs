//! Tokens are secrets: whatever happens to a reply, nobody reads its token anywhere.

use std::io;
use std::sync::{Arc, Mutex};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE};
use bytes::Bytes;

use super::books::{OUTCOMES, permanent, transient};
use super::model::{Step, busy, not_active, not_found, odd, refused, unavailable, unknown_domain};
use super::support::{P0, P1, Stage, complete, fail, heartbeat, play_with, reply, seconds, token, token_bytes};
use crate::bridge::seams::Probed;
use crate::bridge::seams::{Call, Control, Received};
use crate::wire::{Answer, Headers, Limits, OutRecord, Record, TaskToken, decode, names};

/// Every form in which the bytes of a token could be shown.
fn forms(activity: &str) -> Vec<String> {
    let bytes = token_bytes(activity);
    let text = String::from_utf8(bytes.to_vec()).unwrap();
    let list = format!("{:?}", &bytes[..12]);
    vec![
        STANDARD.encode(&bytes),
        STANDARD_NO_PAD.encode(&bytes),
        URL_SAFE.encode(&bytes),
        text.escape_debug().to_string(),
        list.trim_matches(['[', ']']).to_owned(),
        text,
    ]
}

/// Everything that is logged.
#[derive(Clone, Default)]
pub(crate) struct Sink(Arc<Mutex<Vec<u8>>>);

impl io::Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Sink {
    /// Hears everything on this thread, at trace, until the guards are dropped.
    pub(crate) fn listen() -> (Self, impl Sized) {
        let sink = Self::default();
        let writer = sink.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_max_level(tracing::Level::TRACE)
            .with_writer(move || writer.clone())
            .with_ansi(false)
            .finish();
        // With a second one around, call sites that other tests reach first on their threads are not switched off for all.
        let second = tracing::Dispatch::new(tracing::subscriber::NoSubscriber::default());
        let guard = tracing::subscriber::set_default(subscriber);
        tracing::callsite::rebuild_interest_cache();
        (sink, (second, guard))
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.0.lock().unwrap()).into_owned()
    }
}

/// A reply whose token is good and the rest is not, in each form of reply.
fn refusals() -> Vec<Record> {
    let header_mode = |extra: &[(&'static str, &'static [u8])]| {
        let mut headers = Headers::new();
        headers.push(names::CORRELATION_ID, token_bytes("h1"));
        extra.iter().for_each(|(name, value)| headers.push(*name, Bytes::from_static(value)));
        Record { headers, ..complete("h1") }
    };
    let envelope = |text: String| Record { value: Some(text.into()), headers: Headers::new(), ..complete("e1") };
    let good = STANDARD.encode(token_bytes("e1"));
    let claims = String::from_utf8(token_bytes("e1").to_vec()).unwrap();
    let wrong = |from: &str, to: &str| STANDARD.encode(claims.replace(from, to));
    vec![
        envelope(format!("{{\"task_token\": \"{good}\", \"resultt\": 1}}")),
        envelope(format!("{{\"task_token\": \"{good}\", \"task_token\": \"{good}\"}}")),
        envelope(format!("{{\"task_token\": \"{good}??\", \"result\": 1}}")),
        envelope(format!("{{\"task_token\": \"{}\", \"result\": 1}}", wrong(":5,", ":-23,"))),
        envelope(format!("{{\"task_token\": \"{}\", \"result\": 1}}", wrong("runId", "runid"))),
        envelope(format!("{{\"task_token\": {claims}, \"result\": 1}}")),
        envelope(format!("{{\"{good}\": 1}}")),
        envelope(good),
        envelope(claims),
        header_mode(&[(names::ACTION, b"explode")]),
        header_mode(&[(names::TASK_TOKEN, b"!!")]),
        header_mode(&[(names::FAILURE_REASON, b"a"), (names::FAILURE_REASON, b"b")]),
    ]
}

/// Everything that can happen to a reply while it is handled.
async fn everything(stage: &mut Stage) -> Vec<Record> {
    let steps: [(&str, Vec<Step>); 9] = [
        ("a1", vec![unavailable(); 7]),
        ("a2", vec![busy()]),
        ("a3", vec![not_active()]),
        ("a4", vec![unknown_domain()]),
        ("a5", vec![odd()]),
        ("a6", vec![Step::Panic]),
        ("a7", vec![not_found()]),
        ("a8", vec![refused()]),
        ("a9", vec![Step::CancelRequested]),
    ];
    steps.into_iter().for_each(|(activity, steps)| stage.engine.script(activity, steps));
    let mut records: Vec<_> = (0..9).map(|number| complete(&format!("a{number}"))).collect();
    records.extend([heartbeat("a9"), heartbeat("a9"), heartbeat("a9"), fail("a10"), complete("a1"), complete("a1")]);
    records.push(reply(token("a11"), Answer::Cancel { details: None }));
    records.extend(refusals());
    let mut writes = vec![permanent(), transient(), permanent()];
    writes.extend(vec![transient(); 3]);
    stage.log.script(OUTCOMES, writes);
    stage.deliver(P0, records.clone());
    stage.eventually("all settled", |s| s.log.stored(P0) == Some(i64::try_from(records.len()).unwrap())).await;

    // An outage, and partitions that leave in the middle of it.
    stage.log.assign(&[P1]);
    stage.engine.always(unavailable());
    *stage.engine.history.borrow_mut() = Probed::Unwell("down".to_owned());
    stage.deliver(P1, (20..40).map(|number| complete(&format!("a{number}"))));
    stage.pass(seconds(30)).await;
    let prefixes = stage.log.revoke(&[P1]);
    stage.let_go(&prefixes).await;
    stage.log.lose(&[P0]);
    stage.engine.domains.borrow_mut().clear();
    stage.pass(seconds(5)).await;
    stage.stop.cancel();
    stage.ended().await;
    records
}

/// What handback itself wrote on a record: the headers after those received.
fn ours(record: &OutRecord, received: usize) -> String {
    record.headers.iter().skip(received).map(|(name, value)| format!("{name}={value:?};")).collect()
}

fn check(place: &str, text: &str, activities: &[&str]) {
    for activity in activities {
        for form in forms(activity) {
            assert!(!text.contains(&form), "the token of {activity} is shown by {place}: {form}");
        }
    }
}

#[test]
fn tokens_never_reach_the_log() {
    let (sink, _guards) = Sink::listen();
    play_with(
        |options, _| (options.max_lane_depth, options.domains) = (1, vec!["orders".to_owned()]),
        async |stage| {
            let records = everything(stage).await;
            let activities = ["a1", "a2", "a3", "a4", "a5", "a6", "a7", "a8", "a9", "a10", "a11", "a25", "e1", "h1"];
            let logged = sink.text();
            for said in ["trying again", "it waits", "panicked", "cannot be written", "does not know domain"] {
                assert!(logged.contains(said), "the scenario has to reach {said:?}");
            }
            check("the log", &logged, &activities);
            check("health", &stage.reasons(), &activities);
            check("metrics", &stage.shared.metrics.encode(), &activities);
            let identities: String = stage.engine.calls.borrow().iter().map(|c| c.identity.clone()).collect();
            check("identities", &identities, &activities);
            let letters = stage.log.dead_letters.borrow();
            assert!(letters.len() >= refusals().len() + 2);
            for letter in letters.iter() {
                let origin = crate::wire::source_of(&letter.headers).unwrap();
                let received = &records[usize::try_from(origin.offset).unwrap()];
                assert_eq!((&letter.value, &letter.key), (&received.value, &received.key), "{origin}");
                check("headers of a dead letter", &ours(letter, received.headers.len()), &activities);
            }
            for outcome in stage.log.outcome_records.borrow().iter() {
                let value = String::from_utf8(outcome.value.clone().unwrap().to_vec()).unwrap();
                let key = String::from_utf8(outcome.key.clone().unwrap().to_vec()).unwrap();
                check("an outcome", &format!("{key} {value} {}", ours(outcome, 0)), &activities);
            }
            let debug = format!("{letters:?} {:?}", stage.log.outcome_records.borrow());
            check("Debug of written records", &debug, &activities);
        },
    );
}

#[test]
fn debug_output_shows_no_token() {
    for record in refusals().into_iter().chain([complete("a1"), heartbeat("a1"), fail("a1")]) {
        let reply = decode(&record, &Limits::default());
        let identity = "handback/1";
        let call = reply.as_ref().ok().map(|reply| Call { target: &reply.target, answer: &reply.answer, identity });
        let mut shown = format!("{reply:?} {call:?} {record:?}");
        if let Err(refusal) = &reply {
            shown.push_str(&format!("{refusal} {refusal:#?}"));
        }
        let received = Received { partition: P0, epoch: 1, record };
        shown.push_str(&format!("{received:#?} {:?}", TaskToken::check(token_bytes("a1"))));
        shown.push_str(&format!("{:?}", Control::Lost(vec![(P0, 1)])));
        check("Debug", &shown, &["a1", "e1", "h1"]);
    }
}
