//! Why a reply came to nothing, on the embedded stack: every row of the table of outcomes.

use std::time::Duration;

use handback::config::Settings;
use handback::dev::engine::{
    ActivityPlan, ActivityState, Attempt, Effect, Ending, Method, Plan, Refusal, RetryPlan, Rule,
};
use handback::wire::{Evidence, Outcome, OutcomeKind, names};
use tonic::Code;

use crate::support::{Bridge, DOMAIN, Source, Stage, until, value};

/// One more attempt a second after the first has failed.
fn retried() -> ActivityPlan {
    let retry = RetryPlan { initial_interval_seconds: 1, backoff: 1.0, max_attempts: 3, non_retriable: Vec::new() };
    ActivityPlan { retry: Some(retry), ..ActivityPlan::new("courier", "BookCourier") }
}

/// A workflow that stays open when its activity is closed.
fn lasting(stage: &Stage, workflow_id: &str, activity: ActivityPlan) -> Attempt {
    let plan = Plan { stay_open: true, ..Plan::parallel([activity]) };
    stage.engine.start_workflow(DOMAIN, workflow_id, "tasks", plan).unwrap();
    stage.take().unwrap()
}

async fn next_attempt(stage: &Stage) -> Attempt {
    let mut next = None;
    until("the next attempt is there", async || {
        next = stage.take();
        next.is_some()
    })
    .await;
    next.unwrap()
}

async fn by_id(stage: &Stage, attempt: &Attempt, activity: &str, number: i64, fields: &str) -> Source {
    let (workflow, run) = (&attempt.workflow_id, &attempt.run_id);
    let id = format!(
        r#"{{"domain": "{DOMAIN}", "workflow_id": "{workflow}", "run_id": "{run}", "activity_id": "{activity}", "attempt": {number}}}"#
    );
    stage.log.write(value(format!(r#"{{"activity": {id}, {fields}}}"#))).await
}

fn detail(outcome: &Outcome) -> &str {
    outcome.detail.as_deref().unwrap()
}

/// A bridge without a ledger, which would know of most of this by itself.
async fn looking(stage: &Stage, change: impl FnOnce(&mut Settings)) -> Bridge {
    let change = |settings: &mut Settings| {
        settings.ledger.enabled = false;
        change(settings);
    };
    stage.bridge_with(change).await
}

/// The answer to a call was lost after it was applied, as after a crash between call and outcome.
fn lose_answer(stage: &Stage, workflow_id: &str, method: Method) {
    stage.engine.faults().add(Rule::new(Effect::ApplyThenReset).on(&[method]).workflow(workflow_id).times(1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_whose_confirmation_was_lost_is_applied_by_history() {
    let stage = Stage::set().await;
    let _bridge = looking(&stage, |_| {}).await;
    for (workflow_id, open) in [("over", false), ("open", true)] {
        let plan = ActivityPlan::new("charge", "ChargeCard");
        let attempt = if open { lasting(&stage, workflow_id, plan) } else { stage.start(workflow_id, plan) };
        lose_answer(&stage, workflow_id, Method::Completed);
        let source = stage.reply(&attempt, r#""result": 1"#).await;
        let outcome = stage.outcome(source, OutcomeKind::Applied).await;
        assert_eq!((outcome.evidence, outcome.attempts), (Some(Evidence::History), 2), "{workflow_id}");
        let closing = stage.book(workflow_id).closing.unwrap();
        assert_eq!(closing.identity, stage.identity(&outcome).await);
        stage.until_committed(source).await;
    }
    assert!(stage.log.letters().is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failure_whose_confirmation_was_lost_is_recognised_by_the_last_failure() {
    let stage = Stage::set().await;
    let _bridge = looking(&stage, |_| {}).await;
    let attempt = stage.start("order-1", retried());
    lose_answer(&stage, "order-1", Method::Failed);
    let source = stage.reply(&attempt, r#""failure": {"reason": "Busy", "details": {"try": 1}}"#).await;
    let outcome = stage.outcome(source, OutcomeKind::Applied).await;
    assert_eq!(outcome.evidence, Some(Evidence::LastFailure));
    // Another failure of that attempt is not the one that the engine took.
    let other = stage.reply(&attempt, r#""failure": {"reason": "Busy", "details": {"try": 2}}"#).await;
    let outcome = stage.outcome(other, OutcomeKind::Superseded).await;
    assert!(detail(&outcome).contains("failed otherwise"), "{}", detail(&outcome));
    assert_eq!(stage.book("order-1").attempt, 1, "no attempt was burnt");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_answer_is_a_duplicate_or_a_conflict() {
    let stage = Stage::set().await;
    let _bridge = looking(&stage, |_| {}).await;
    for (workflow_id, open) in [("over", false), ("open", true)] {
        let plan = ActivityPlan::new("charge", "ChargeCard");
        let attempt = if open { lasting(&stage, workflow_id, plan) } else { stage.start(workflow_id, plan) };
        let first = stage.reply(&attempt, r#""result": 1"#).await;
        stage.outcome(first, OutcomeKind::Applied).await;
        let same = stage.reply(&attempt, r#""result": 1"#).await;
        let other = stage.reply(&attempt, r#""result": 2"#).await;
        let failed = stage.reply(&attempt, r#""failure": {"reason": "Late"}"#).await;
        let duplicate = stage.outcome(same, OutcomeKind::Duplicate).await;
        assert!(detail(&duplicate).contains(&format!("activity-replies/{}/{}", first.0, first.1)));
        for source in [other, failed] {
            let conflict = stage.outcome(source, OutcomeKind::Conflict).await;
            let ours = conflict.fingerprint.unwrap().to_string();
            assert!(detail(&conflict).contains(&ours), "both fingerprints are named: {}", detail(&conflict));
            stage.letter(source).await;
        }
        let beat = stage.reply(&attempt, r#""action": "heartbeat""#).await;
        stage.outcome(beat, OutcomeKind::NotFound).await;
    }
    assert_eq!(stage.log.letters().len(), 4, "for the conflicts alone");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_timeout_is_named() {
    let stage = Stage::set().await;
    let _bridge = looking(&stage, |_| {}).await;
    let plan = ActivityPlan { start_to_close_seconds: 1, ..ActivityPlan::new("charge", "ChargeCard") };
    let silent = ActivityPlan { heartbeat_seconds: 1, ..ActivityPlan::new("pack", "PackParcel") };
    let late = [
        (lasting(&stage, "open", plan.clone()), "START_TO_CLOSE"),
        (stage.start("over", plan), "START_TO_CLOSE"),
        (lasting(&stage, "silent", silent), "HEARTBEAT"),
    ];
    for (attempt, kind) in late {
        let workflow_id = attempt.workflow_id.clone();
        until("it timed out", async || stage.book(&workflow_id).state == ActivityState::Closed).await;
        for fields in [r#""result": 1"#, r#""action": "heartbeat""#, r#""action": "cancel""#] {
            let outcome = stage.outcome(stage.reply(&attempt, fields).await, OutcomeKind::TimedOut).await;
            assert!(detail(&outcome).contains(kind), "{}", detail(&outcome));
        }
    }
    assert_eq!(stage.engine.calls(Method::Canceled), 0, "a cancel looks first");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_attempt_that_timed_out_and_was_tried_again_is_superseded() {
    let stage = Stage::set().await;
    let _bridge = looking(&stage, |_| {}).await;
    // Long enough for the second attempt to be answered on a busy machine.
    let first = stage.start("order-1", ActivityPlan { start_to_close_seconds: 4, ..retried() });
    let second = next_attempt(&stage).await;
    let late = stage.reply(&first, r#""result": 1"#).await;
    let outcome = stage.outcome(late, OutcomeKind::Superseded).await;
    assert!(detail(&outcome).contains("timed out (START_TO_CLOSE)"), "{}", detail(&outcome));
    let good = stage.reply(&second, r#""result": 2"#).await;
    stage.outcome(good, OutcomeKind::Applied).await;
    // The workflow is over now, and the last attempt's start says which it was.
    let later = stage.reply(&first, r#""result": 2"#).await;
    stage.outcome(later, OutcomeKind::Superseded).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_workflow_that_is_over_is_named_with_its_end() {
    let stage = Stage::set().await;
    let _bridge = looking(&stage, |_| {}).await;
    let attempt = stage.activity("order-1");
    assert!(stage.engine.complete_workflow(DOMAIN, "order-1").unwrap());
    let outcome = stage.outcome(stage.reply(&attempt, r#""result": 1"#).await, OutcomeKind::WorkflowClosed).await;
    assert!(detail(&outcome).contains("completed"), "{}", detail(&outcome));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_never_was_is_unknown() {
    let stage = Stage::set().await;
    let _bridge = looking(&stage, |_| {}).await;
    let attempt = stage.activity("order-1");
    let elsewhere = Attempt { workflow_id: "nowhere".to_owned(), ..attempt.clone() };
    for (attempt, activity) in [(&elsewhere, "charge"), (&attempt, "nothing")] {
        let source = by_id(&stage, attempt, activity, 0, r#""result": 1"#).await;
        stage.outcome(source, OutcomeKind::Unknown).await;
        let letter = stage.letter(source).await;
        assert_eq!(letter.headers.last(names::DLQ_REASON).map(|text| &text[..]), Some(&b"unknown"[..]));
    }
    assert_eq!(stage.book("order-1").state, ActivityState::Started);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn when_the_history_cannot_be_read_nothing_is_guessed() {
    let stage = Stage::set().await;
    let _bridge = looking(&stage, |settings| settings.retry.max = Duration::from_millis(50)).await;
    let broken = stage.start("order-2", ActivityPlan::new("charge", "ChargeCard"));
    let gone = Rule::new(Effect::Refuse(Refusal::plain(Code::Unavailable, "shard is moving")));
    stage.engine.faults().add(gone.on(&[Method::WorkflowHistory]).workflow("order-2"));
    stage.outcome(stage.reply(&broken, r#""result": 1"#).await, OutcomeKind::Applied).await;
    let outcome = stage.outcome(stage.reply(&broken, r#""result": 1"#).await, OutcomeKind::NotFound).await;
    assert!(detail(&outcome).contains("shard is moving"), "{}", detail(&outcome));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_long_history_is_read_page_by_page_up_to_the_limits() {
    let stage = Stage::set().await;
    // Three batches and more for each, so that they make more than one page.
    let plans = (0..50).map(|number| ActivityPlan::new(format!("a{number}"), "ChargeCard"));
    let plan = Plan { sequential: true, ..Plan::parallel(plans) };
    stage.engine.start_workflow(DOMAIN, "order-1", "tasks", plan).unwrap();
    let generous = looking(&stage, |_| {}).await;
    let mut attempts = Vec::new();
    for _ in 0..50 {
        attempts.push(next_attempt(&stage).await);
        let source = stage.reply(attempts.last().unwrap(), r#""result": 1"#).await;
        stage.outcome(source, OutcomeKind::Applied).await;
    }
    let late = async |attempt: &Attempt| stage.reply(attempt, r#""result": 1"#).await;
    stage.outcome(late(&attempts[49]).await, OutcomeKind::Duplicate).await;
    assert!(stage.engine.calls(Method::WorkflowHistory) > 1, "one page would prove nothing");
    generous.stop().await;

    type Limit = fn(&mut Settings);
    let limits: [(&str, Limit); 2] = [
        ("lookup.max_pages", |settings| settings.lookup.max_pages = 1),
        // Less than a page: it is asked for again in smaller ones.
        ("lookup.max_bytes", |settings| settings.lookup.max_bytes = 12_000),
    ];
    for (limit, set) in limits {
        let narrow = looking(&stage, set).await;
        stage.outcome(late(&attempts[0]).await, OutcomeKind::Duplicate).await;
        let outcome = stage.outcome(late(&attempts[49]).await, OutcomeKind::NotFound).await;
        assert!(detail(&outcome).contains(limit), "{}", detail(&outcome));
        narrow.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reply_by_id_with_an_attempt_is_applied_to_that_attempt_or_not_at_all() {
    let stage = Stage::set().await;
    let _bridge = looking(&stage, |_| {}).await;
    let first = stage.start("order-1", retried());
    let busy = r#""failure": {"reason": "Busy"}"#;
    let applied = stage.outcome(by_id(&stage, &first, "courier", 0, busy).await, OutcomeKind::Applied).await;
    let activity = applied.activity.as_ref().unwrap();
    assert_eq!((activity.domain.as_deref(), activity.attempt), (Some(DOMAIN), Some(0)));
    assert_eq!(activity.activity_type.as_deref(), Some("BookCourier"));
    let record = stage.log.outcome_record((applied.source.partition, applied.source.offset)).await;
    assert_eq!(record.key.as_deref(), activity.target_key().map(|key| key.into_string().into_bytes()).as_deref());
    // Repeated, it burns no attempt. The next attempt's answer is early, and waits.
    stage.outcome(by_id(&stage, &first, "courier", 0, busy).await, OutcomeKind::Applied).await;
    let early = by_id(&stage, &first, "courier", 1, r#""result": 2"#).await;
    next_attempt(&stage).await;
    let outcome = stage.outcome(early, OutcomeKind::Applied).await;
    assert_eq!(stage.book("order-1").closing.unwrap().identity, stage.identity(&outcome).await);
    assert_eq!(stage.book("order-1").attempt, 1);
    stage.outcome(by_id(&stage, &first, "courier", 0, r#""result": 2"#).await, OutcomeKind::Superseded).await;
    let again = by_id(&stage, &first, "courier", 1, r#""result": 2"#).await;
    stage.outcome(again, OutcomeKind::Duplicate).await;
    assert_eq!(stage.engine.calls(Method::CompletedById) + stage.engine.calls(Method::FailedById), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cancel_waits_for_the_request_and_is_never_sent_without_one() {
    let stage = Stage::set().await;
    let _bridge = looking(&stage, |settings| settings.lookup.wait = Duration::from_secs(3)).await;
    let never = stage.activity("never");
    let unasked = stage.reply(&never, r#""action": "cancel""#).await;
    let attempt = stage.activity("order-1");
    let cancel = stage.reply(&attempt, r#""action": "cancel", "details": {"by": "ops"}"#).await;
    until("it was looked at", async || stage.engine.calls(Method::DescribeWorkflow) >= 2).await;
    assert!(stage.engine.request_activity_cancel(DOMAIN, "order-1", "charge").unwrap());
    stage.outcome(cancel, OutcomeKind::Applied).await;
    assert_eq!(stage.book("order-1").closing.unwrap().ending, Ending::Canceled);
    let outcome = stage.outcome(unasked, OutcomeKind::Rejected).await;
    assert_eq!(outcome.reason.as_deref(), Some("cancel_not_requested"));
    stage.letter(unasked).await;
    assert_eq!(stage.engine.calls(Method::Canceled), 1, "the one that was asked for");
    assert_eq!(stage.book("never").state, ActivityState::Started);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_late_replies_to_one_workflow_share_a_look() {
    let stage = Stage::set().await;
    let plans = (0..30).map(|number| ActivityPlan::new(format!("a{number}"), "ChargeCard"));
    stage.engine.start_workflow(DOMAIN, "order-1", "tasks", Plan::parallel(plans)).unwrap();
    let attempts: Vec<_> = std::iter::from_fn(|| stage.take()).collect();
    assert_eq!(attempts.len(), 30);
    assert!(stage.engine.complete_workflow(DOMAIN, "order-1").unwrap());
    let _bridge = looking(&stage, |_| {}).await;
    let mut sources = Vec::new();
    for attempt in &attempts {
        sources.push(stage.reply(attempt, r#""result": 1"#).await);
    }
    for source in sources {
        stage.outcome(source, OutcomeKind::WorkflowClosed).await;
    }
    let looks = stage.engine.calls(Method::WorkflowHistory);
    assert!(looks < 10, "{looks} looks for 30 replies");
}
