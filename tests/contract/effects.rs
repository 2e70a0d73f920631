//! What an answer that was taken does: to the history, to the activity's next attempt, to the caller.

use std::time::Duration;

use bytes::Bytes;
use handback::cadence::api::{self, history_event::Attributes};
use tonic::Code;

use super::call::Head;
use super::calls::{FORMS, Form, Say, Verb};
use super::expect::{Expect, Report};
use super::stage::{Part, Play, Stage, Workflow};

const LIMIT: usize = 2 << 20;

/// The closing event of a workflow's only activity, in words.
async fn closing<S: Stage>(play: &Play<S>, workflow: &Workflow) -> Result<String, String> {
    let events = play.events(workflow).await?;
    let said = |data: Option<&api::Payload>| data.map(|payload| short(&payload.data));
    let found = events.iter().rev().find_map(|event| match event.attributes.as_ref()? {
        Attributes::ActivityTaskCompletedEventAttributes(it) => {
            Some(format!("completed {:?} by {}", said(it.result.as_ref()), it.identity))
        }
        Attributes::ActivityTaskFailedEventAttributes(it) => {
            let failure = it.failure.as_ref().map(|it| (it.reason.clone(), short(&it.details)));
            Some(format!("failed {failure:?} by {}", it.identity))
        }
        Attributes::ActivityTaskCanceledEventAttributes(it) => {
            let early = if it.started_event_id == -23 { " before its start" } else { "" };
            Some(format!("canceled{early} {:?} by {}", said(it.details.as_ref()), it.identity))
        }
        Attributes::ActivityTaskTimedOutEventAttributes(it) => {
            let kind = api::TimeoutType::try_from(it.timeout_type).unwrap_or_default();
            Some(format!("timed out {} {:?}", kind.as_str_name(), said(it.details.as_ref())))
        }
        _ => None,
    });
    Ok(found.unwrap_or_else(|| "open".to_owned()))
}

/// Bytes as text, or only their number if there are many.
fn short(bytes: &[u8]) -> String {
    if bytes.len() > 100 { format!("{} bytes", bytes.len()) } else { String::from_utf8_lossy(bytes).into_owned() }
}

/// Every verb by token and by id on an open activity: OK, and the event that it makes.
pub(crate) async fn open<S: Stage>(play: Play<S>, report: Report) -> Result<(), String> {
    for form in FORMS {
        for (verb, event) in [
            (Verb::Complete, "completed Some(\"{\\\"n\\\":1}\") by me"),
            (Verb::Fail, "failed Some((\"contract-reason\", \"{\\\"n\\\":1}\")) by me"),
            (Verb::Heartbeat, "open"),
        ] {
            let (workflow, attempt) = play.one(Part::new("a")).await?;
            let say = Say::new(verb, form).identity("me");
            let seen = play.say(&say, &attempt).await;
            report.answer(format!("open / {}", say.method()), &Expect::ok(), &seen);
            report.same(format!("open / {}: the answer's bytes", say.method()), Bytes::new(), seen.body);
            report.same(
                format!("open / {}: the event", say.method()),
                event.to_owned(),
                closing(&play, &workflow).await?,
            );
        }
    }
    Ok(())
}

/// Results and details as they arrive in the history.
pub(crate) async fn payloads<S: Stage>(play: Play<S>, report: Report) -> Result<(), String> {
    let complete = Say::new(Verb::Complete, Form::Token).identity("me");
    let fail = Say::new(Verb::Fail, Form::Token).identity("me");
    let cases = [
        ("no result", complete.clone().payload(None), "completed None by me"),
        ("empty result", complete.clone().payload(Some(Bytes::new())), "completed Some(\"\") by me"),
        ("null", complete.clone().payload(Some(Bytes::from_static(b"null"))), "completed Some(\"null\") by me"),
        (
            "result as it is",
            complete.payload(Some(Bytes::from_static(b" {\"b\": 1,\n}"))),
            "completed Some(\" {\\\"b\\\": 1,\\n}\") by me",
        ),
        ("failure without details", fail.clone().payload(None), "failed Some((\"contract-reason\", \"\")) by me"),
        ("no failure", fail.clone().reason(None), "failed Some((\"\", \"\")) by me"),
        ("failure without a reason", fail.reason(Some("")), "failed Some((\"\", \"{\\\"n\\\":1}\")) by me"),
    ];
    for (name, say, event) in cases {
        let (workflow, attempt) = play.one(Part::new("a")).await?;
        play.must(&say, &attempt).await?;
        report.same(format!("payload: {name}"), event.to_owned(), closing(&play, &workflow).await?);
    }
    Ok(())
}

/// Payloads above the limit are answered with OK and recorded as something else.
pub(crate) async fn sizes<S: Stage>(play: Play<S>, report: Report, form: Form) -> Result<(), String> {
    let large = |more: usize| Some(Bytes::from(vec![b'x'; LIMIT + more]));
    let full = format!("{LIMIT} bytes");
    let failed = |reason: &str| format!("failed Some((\"{reason}\", \"{full}\")) by me");
    let cases = [
        (Verb::Complete, 0, format!("completed Some(\"{full}\") by me"), false),
        (Verb::Complete, 1, failed("COMPLETE_RESULT_EXCEEDS_LIMIT"), false),
        (Verb::Fail, 0, failed("contract-reason"), false),
        (Verb::Fail, 1, failed("FAILURE_DETAILS_EXCEEDS_LIMIT"), false),
        (Verb::Cancel, 1, failed("CANCEL_DETAILS_EXCEEDS_LIMIT"), false),
        (Verb::Heartbeat, 0, "open".to_owned(), false),
        (Verb::Heartbeat, 1, failed("HEARTBEAT_EXCEEDS_LIMIT"), true),
    ];
    for (verb, more, event, stop) in cases {
        // A retry policy would repeat an ordinary failure; these, but for the failure's own, are never repeated.
        let part = Part::new("a");
        let part = if verb == Verb::Fail { part } else { part.retry(1, 3) };
        let (workflow, attempt) = play.one(part).await?;
        let say = Say::new(verb, form).identity("me").payload(large(more));
        let seen = play.say(&say, &attempt).await;
        let name = format!("limit and {more} / {}", say.method());
        report.answer(name.clone(), &Expect::ok(), &seen);
        report.same(format!("{name}: told to stop"), stop, !seen.body.is_empty());
        report.same(format!("{name}: the event"), event, closing(&play, &workflow).await?);
    }
    Ok(())
}

/// A failure that is repeated: no event, and what describe says about it, until it is spent.
pub(crate) async fn repeats<S: Stage>(play: Play<S>, report: Report) -> Result<(), String> {
    let (workflow, first) = play.one(Part::new("a").retry(1, 2)).await?;
    play.must(&Say::new(Verb::Fail, Form::Token), &first).await?;
    report.same("repeat: no event", "open".to_owned(), closing(&play, &workflow).await?);
    let info = pending(&play, &workflow).await?;
    report.same("repeat: attempt", 1, info.attempt);
    report.same("repeat: state", api::PendingActivityState::Scheduled as i32, info.state);
    report.same("repeat: attempts in all", 2, info.maximum_attempts);
    report.same("repeat: the worker of the failed attempt", "contract-worker".to_owned(), info.last_worker_identity);
    let failure = info.last_failure.unwrap_or_default();
    report.same(
        "repeat: last failure",
        ("contract-reason", "{\"n\":1}".to_owned()),
        (failure.reason.as_str(), short(&failure.details)),
    );
    let second = play.take(&workflow).await?;
    report.same("repeat: the second attempt's number", 1, second.number);
    let worker = pending(&play, &workflow).await?.started_worker_identity;
    report.same("repeat: its worker", "contract-worker".to_owned(), worker);
    let claims = (first.claims(), second.claims());
    report.same("repeat: same schedule id", &claims.0["scheduleId"], &claims.1["scheduleId"]);
    play.must(&Say::new(Verb::Fail, Form::Token).identity("me"), &second).await?;
    let event = "failed Some((\"contract-reason\", \"{\\\"n\\\":1}\")) by me";
    report.same("repeat: spent", event.to_owned(), closing(&play, &workflow).await?);
    let started = play.events(&workflow).await?.into_iter().find_map(|event| match event.attributes {
        Some(Attributes::ActivityTaskStartedEventAttributes(it)) => {
            Some((it.attempt, it.last_failure.unwrap_or_default().reason))
        }
        _ => None,
    });
    report.same("repeat: the one started event", Some((1, "contract-reason".to_owned())), started);
    Ok(())
}

/// Reasons that are never repeated, and failures after a cancel request.
pub(crate) async fn ends_despite_a_policy<S: Stage>(play: Play<S>, report: Report) -> Result<(), String> {
    let (workflow, attempt) = play.one(Part::new("a").retry(1, 5)).await?;
    play.must(&Say::new(Verb::Fail, Form::Token).identity("me").reason(Some("never-again")), &attempt).await?;
    let event = "failed Some((\"never-again\", \"{\\\"n\\\":1}\")) by me";
    report.same("non-retriable reason", event.to_owned(), closing(&play, &workflow).await?);
    let (workflow, attempt) = play.one(Part::new("a").retry(1, 5)).await?;
    play.stage.cancel(&workflow, "a").await?;
    play.must(&Say::new(Verb::Fail, Form::Token).identity("me"), &attempt).await?;
    let event = "failed Some((\"contract-reason\", \"{\\\"n\\\":1}\")) by me";
    report.same("failure after a cancel request", event.to_owned(), closing(&play, &workflow).await?);
    Ok(())
}

/// The timeouts that a worker can cause.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Timeout {
    StartToClose,
    Heartbeat,
}

/// Timeouts as describe and history show them.
pub(crate) async fn timeouts<S: Stage>(play: Play<S>, report: Report, kind: Timeout) -> Result<(), String> {
    let timeout = play.stage.short_timeout();
    let (name, part, event, reason) = match kind {
        Timeout::StartToClose => {
            ("start to close", Part::new("a").start_to_close(timeout), "TIMEOUT_TYPE_START_TO_CLOSE", "START_TO_CLOSE")
        }
        Timeout::Heartbeat => ("heartbeat", Part::new("a").heartbeat(timeout), "TIMEOUT_TYPE_HEARTBEAT", "HEARTBEAT"),
    };
    let (workflow, attempt) = play.one(part.clone()).await?;
    let beat = Say::new(Verb::Heartbeat, Form::Token).payload(Some(Bytes::from_static(b"42")));
    play.must(&beat, &attempt).await?;
    play.until(&workflow, "the timeout", |seen| seen.pending_activities.is_empty().then_some(())).await?;
    let expected = format!("timed out {event} Some(\"42\")");
    report.same(format!("{name} timeout: the event"), expected, closing(&play, &workflow).await?);
    let (workflow, _) = play.one(part.retry(60, 2)).await?;
    let next = |seen: &api::DescribeWorkflowExecutionResponse| {
        seen.pending_activities.iter().find(|it| it.attempt == 1).map(|it| it.last_failure.clone())
    };
    let failure = play.until(&workflow, "the next attempt", next).await?.unwrap_or_default();
    let expected = (format!("cadenceInternal:Timeout {reason}"), String::new());
    report.same(format!("{name} timeout: last failure"), expected, (failure.reason, short(&failure.details)));
    let event = closing(&play, &workflow).await?;
    report.same(format!("{name} timeout with a policy: no event"), "open".to_owned(), event);
    Ok(())
}

/// Heartbeats: kept, erased, handed on, and they hold off the timeout.
pub(crate) async fn heartbeats<S: Stage>(play: Play<S>, report: Report) -> Result<(), String> {
    let timeout = play.stage.short_timeout();
    let (workflow, attempt) = play.one(Part::new("a").heartbeat(timeout).retry(1, 2)).await?;
    let beat = Say::new(Verb::Heartbeat, Form::Token);
    for (name, details, kept) in [
        ("details", Some(Bytes::from_static(b"1")), Some("1".to_owned())),
        ("no details", None, None),
        ("details again", Some(Bytes::from_static(b"2")), Some("2".to_owned())),
        ("empty details", Some(Bytes::new()), None),
    ] {
        play.must(&beat.clone().payload(details), &attempt).await?;
        let info = pending(&play, &workflow).await?;
        let seen = info.heartbeat_details.map(|payload| short(&payload.data)).filter(|text| !text.is_empty());
        report.same(format!("heartbeat: {name}"), kept, seen);
    }
    for _ in 0..3 {
        tokio::time::sleep(Duration::from_secs(u64::from(timeout)) * 2 / 5).await;
        play.must(&beat.clone().payload(Some(Bytes::from_static(b"3"))), &attempt).await?;
    }
    report.same("heartbeat: alive past its timeout", 0, pending(&play, &workflow).await?.attempt);
    play.must(&Say::new(Verb::Fail, Form::Token), &attempt).await?;
    let second = play.take(&workflow).await?;
    report.same("heartbeat: handed to the next attempt", Some(Bytes::from_static(b"3")), second.heartbeat_details);
    Ok(())
}

/// Cancel after the workflow asked for it.
pub(crate) async fn cancel_on_request<S: Stage>(play: Play<S>, report: Report, form: Form) -> Result<(), String> {
    let (workflow, attempt) = play.one(Part::new("a")).await?;
    let beat = Say::new(Verb::Heartbeat, form);
    report.same("cancel: not told to stop yet", Bytes::new(), play.say(&beat, &attempt).await.body);
    play.stage.cancel(&workflow, "a").await?;
    let info = pending(&play, &workflow).await?;
    report.same("cancel: state", api::PendingActivityState::CancelRequested as i32, info.state);
    let told = Bytes::from_static(&[8, 1]);
    report.same("cancel: told to stop", told, play.say(&beat, &attempt).await.body);
    let cancel = Say::new(Verb::Cancel, form).identity("me");
    report.answer(
        format!("cancel on request / {}", cancel.method()),
        &Expect::ok(),
        &play.say(&cancel, &attempt).await,
    );
    let event = "canceled Some(\"{\\\"n\\\":1}\") by me";
    report.same("cancel: the event", event.to_owned(), closing(&play, &workflow).await?);
    let (workflow, attempt) = play.one(Part::new("a")).await?;
    play.stage.cancel(&workflow, "a").await?;
    play.must(&Say::new(Verb::Complete, form).identity("me"), &attempt).await?;
    let event = "completed Some(\"{\\\"n\\\":1}\") by me";
    report.same("cancel: completed all the same", event.to_owned(), closing(&play, &workflow).await?);
    Ok(())
}

/// A cancel request for an activity that no worker has closes it.
pub(crate) async fn cancel_before_the_start<S: Stage>(play: Play<S>, report: Report) -> Result<(), String> {
    let (workflow, attempt) = play.one(Part::new("a").retry(60, 3)).await?;
    play.must(&Say::new(Verb::Fail, Form::Token), &attempt).await?;
    play.stage.cancel(&workflow, "a").await?;
    let expected = "canceled before its start Some(\"ACTIVITY_ID_NOT_STARTED\") by ";
    let seen = closing(&play, &workflow).await?;
    report.same("cancel request during a pause", expected, seen.get(..expected.len()).unwrap_or(&seen));
    Ok(())
}

/// Cancel that nobody asked for: the server hopes until the deadline, and the activity stays as it was.
pub(crate) async fn cancel_unasked<S: Stage>(play: Play<S>, report: Report) -> Result<(), String> {
    let (workflow, attempt) = play.one(Part::new("a")).await?;
    for form in FORMS {
        let say = Say::new(Verb::Cancel, form);
        let seen = play.wire().send(&say.path(), Head::within(Duration::from_millis(1100)), say.to(&attempt)).await;
        report.answer(format!("cancel unasked, short deadline / {}", say.method()), &unasked().or_deadline(), &seen);
    }
    play.must(&Say::new(Verb::Complete, Form::Token).identity("me"), &attempt).await?;
    let event = "completed Some(\"{\\\"n\\\":1}\") by me";
    report.same("cancel unasked: completed afterwards", event.to_owned(), closing(&play, &workflow).await?);
    Ok(())
}

fn unasked() -> Expect {
    let text = "cadence internal error, msg: Unable to add ActivityTaskCanceled event to history.";
    Expect::plain(Code::Unknown, text)
}

pub(crate) async fn cancel_unasked_for_long<S: Stage>(play: Play<S>, report: Report, form: Form) -> Result<(), String> {
    let (_, attempt) = play.one(Part::new("a")).await?;
    let say = Say::new(Verb::Cancel, form);
    let head = Head::within(play.stage.patience() + Duration::from_secs(15));
    let seen = play.wire().send(&say.path(), head, say.to(&attempt)).await;
    report.answer(format!("cancel unasked, long deadline / {}", say.method()), &unasked(), &seen);
    Ok(())
}

/// Equal answers at the same time: one wins.
pub(crate) async fn races<S: Stage>(play: Play<S>, report: Report) -> Result<(), String> {
    for (verb, form, loser) in [
        (Verb::Complete, Form::Token, Expect::no_such_task()),
        (Verb::Complete, Form::ById, Expect::no_such_id()),
        (Verb::Fail, Form::Token, Expect::no_such_task()),
    ] {
        let part = if verb == Verb::Fail { Part::new("a").retry(60, 9) } else { Part::new("a") };
        let (_, attempt) = play.one(part).await?;
        let say = Say::new(verb, form);
        let mut calls = tokio::task::JoinSet::new();
        for _ in 0..20 {
            let (play, say, attempt) = (play.clone(), say.clone(), attempt.clone());
            calls.spawn(async move { play.say(&say, &attempt).await });
        }
        let seen = calls.join_all().await;
        let wins = seen.iter().filter(|seen| seen.code == 0).count();
        report.same(format!("20 at once / {}: winners", say.method()), 1, wins);
        for seen in seen.iter().filter(|seen| seen.code != 0).take(1) {
            report.answer(format!("20 at once / {}: losers", say.method()), &loser, seen);
        }
    }
    Ok(())
}

async fn pending<S: Stage>(play: &Play<S>, workflow: &Workflow) -> Result<api::PendingActivityInfo, String> {
    let seen = play.describe(workflow).await?;
    seen.pending_activities.into_iter().next().ok_or_else(|| "no pending activity".to_owned())
}
