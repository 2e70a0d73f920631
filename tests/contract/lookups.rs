//! The look-ups and other calls that handback, its tests and `handback dev` rely on.

use std::time::Duration;

use bytes::Bytes;
use handback::cadence::api::{
    self, PendingActivityState, WorkflowExecutionCloseStatus as CloseStatus, history_event::Attributes,
};
use prost::Message;
use tokio::time::Instant;
use tonic::Code;

use super::call::{Head, Seen};
use super::calls::{self, Form, Say, Verb};
use super::expect::{Expect, Report};
use super::situations::UNKNOWN_RUN_ID;
use super::stage::{Part, Play, Stage, Workflow};

pub(crate) const DESCRIBE: &str = "/uber.cadence.api.v1.WorkflowAPI/DescribeWorkflowExecution";
pub(crate) const CANCEL: &str = "/uber.cadence.api.v1.WorkflowAPI/RequestCancelWorkflowExecution";
pub(crate) const TERMINATE: &str = "/uber.cadence.api.v1.WorkflowAPI/TerminateWorkflowExecution";
const NOBODY: &str = "contract-no-such-workflow";

/// What a call about a workflow gets that names none.
pub(crate) async fn misnamed_workflows<S: Stage>(play: Play<S>, report: Report) -> Result<(), String> {
    let workflow = play.stage.begin(Vec::new(), 300).await?;
    let of = |workflow_id: &str, run_id: &str| Some(calls::execution(workflow_id, run_id));
    let known = workflow.domain.as_str();
    let no_run = "GetCurrentExecution failed.  Error: sql: no rows in result set";
    let not_found = |workflow_id: &str| {
        Expect::not_exists(format!("Workflow execution not found.  WorkflowId: {workflow_id}, RunId: {UNKNOWN_RUN_ID}"))
    };
    let cases = [
        ("no domain", "", of(NOBODY, ""), Expect::bad("Domain name is empty")),
        (
            "unknown domain",
            "contract-nowhere",
            of(NOBODY, ""),
            Expect::not_exists("Domain contract-nowhere does not exist."),
        ),
        ("no execution", known, None, Expect::bad("Execution is not set on request.")),
        ("no workflow id", known, of("", ""), Expect::bad("WorkflowId is not set on request.")),
        ("run that is no UUID", known, of(NOBODY, "zzz"), Expect::bad("Invalid RunId.")),
        ("unknown workflow", known, of(NOBODY, UNKNOWN_RUN_ID), not_found(NOBODY)),
        ("unknown workflow, no run", known, of(NOBODY, ""), Expect::not_exists(no_run)),
        ("unknown run", known, of(&workflow.workflow_id, UNKNOWN_RUN_ID), not_found(&workflow.workflow_id)),
    ];
    for (name, domain, execution, expected) in cases {
        for (path, message) in about(domain, execution) {
            let seen = play.wire().send(path, Head::default(), message.into()).await;
            let method = path.rsplit('/').next().unwrap_or_default();
            report.answer(format!("{name} / {method}"), &expected, &seen);
        }
    }
    Ok(())
}

/// The four calls about a workflow, with the same address.
fn about(domain: &str, execution: Option<api::WorkflowExecution>) -> [(&'static str, Vec<u8>); 4] {
    let (domain, workflow_execution) = (domain.to_owned(), execution);
    let describe = api::DescribeWorkflowExecutionRequest {
        domain: domain.clone(),
        workflow_execution: workflow_execution.clone(),
        ..Default::default()
    };
    let history = api::GetWorkflowExecutionHistoryRequest {
        domain: domain.clone(),
        workflow_execution: workflow_execution.clone(),
        ..Default::default()
    };
    let cancel = api::RequestCancelWorkflowExecutionRequest {
        domain: domain.clone(),
        workflow_execution: workflow_execution.clone(),
        request_id: uuid::Uuid::new_v4().to_string(),
        ..Default::default()
    };
    let terminate = api::TerminateWorkflowExecutionRequest { domain, workflow_execution, ..Default::default() };
    [
        (DESCRIBE, describe.encode_to_vec()),
        (calls::HISTORY, history.encode_to_vec()),
        (CANCEL, cancel.encode_to_vec()),
        (TERMINATE, terminate.encode_to_vec()),
    ]
}

/// What describe says about activities, and of which it says nothing.
pub(crate) async fn describe<S: Stage>(play: Play<S>, report: Report) -> Result<(), String> {
    let workflow = play.stage.begin(vec![Part::new("a"), Part::new("b")], 300).await?;
    let taken = play.take(&workflow).await?;
    let seen = play.describe(&workflow).await?;
    report.same("describe: pending activities", 2, seen.pending_activities.len());
    let of = |id: &str| seen.pending_activities.iter().find(|it| it.activity_id == id).cloned().unwrap_or_default();
    let (mine, other) = (of(&taken.activity_id), of(if taken.activity_id == "a" { "b" } else { "a" }));
    report.same("describe: taken", PendingActivityState::Started as i32, mine.state);
    report.same("describe: waiting", PendingActivityState::Scheduled as i32, other.state);
    report.same("describe: attempt", 0, mine.attempt);
    report.same("describe: no word of the worker", String::new(), mine.started_worker_identity.clone());
    report.same("describe: schedule id", taken.claims()["scheduleId"].as_i64(), Some(mine.schedule_id));
    let info = seen.workflow_execution_info.unwrap_or_default();
    report.same("describe: open", CloseStatus::Invalid as i32, info.close_status);
    report.same("describe: no close time", true, info.close_time.is_none());
    play.must(&Say::new(Verb::Complete, Form::Token), &taken).await?;
    let seen = play.describe(&workflow).await?;
    report.same("describe: the closed one is gone", 1, seen.pending_activities.len());
    let unnamed = Workflow { run_id: String::new(), ..workflow.clone() };
    let current = play.describe(&unnamed).await?.workflow_execution_info.unwrap_or_default();
    let run_id = current.workflow_execution.unwrap_or_default().run_id;
    report.same("describe: without a run the current one", workflow.run_id.clone(), run_id);
    Ok(())
}

/// A workflow that ended under its activities: they stay listed, so the status has to be read first.
pub(crate) async fn describe_closed<S: Stage>(play: Play<S>, report: Report) -> Result<(), String> {
    for (name, terminated, status) in
        [("terminated", true, CloseStatus::Terminated), ("completed", false, CloseStatus::Completed)]
    {
        let (workflow, _) = play.one(Part::new("a")).await?;
        if terminated {
            play.terminate(&workflow).await?;
        } else {
            play.stage.complete(&workflow).await?;
        }
        let seen = play.describe(&workflow).await?;
        let info = seen.workflow_execution_info.unwrap_or_default();
        report.same(format!("describe {name}: status"), status as i32, info.close_status);
        report.same(format!("describe {name}: close time"), true, info.close_time.is_some());
        let states: Vec<i32> = seen.pending_activities.iter().map(|it| it.state).collect();
        report.same(format!("describe {name}: its activity"), vec![PendingActivityState::Started as i32], states);
        let execution = Some(calls::execution(&workflow.workflow_id, &workflow.run_id));
        for (path, message) in about(&workflow.domain, execution).into_iter().skip(2) {
            let seen = play.wire().send(path, Head::default(), message.into()).await;
            let method = path.rsplit('/').next().unwrap_or_default();
            report.answer(format!("{name} / {method}"), &Expect::workflow_closed(), &seen);
        }
    }
    Ok(())
}

/// Events of an ordinary run, in pages of batches.
pub(crate) async fn history<S: Stage>(play: Play<S>, report: Report) -> Result<(), String> {
    let (workflow, attempt) = play.one(Part::new("a")).await?;
    play.must(&Say::new(Verb::Complete, Form::Token), &attempt).await?;
    play.stage.complete(&workflow).await?;
    let events = play.events(&workflow).await?;
    let ids: Vec<i64> = events.iter().map(|event| event.event_id).collect();
    report.same("history: ids count from one", (1..=ids.len() as i64).collect::<Vec<_>>(), ids);
    let place =
        |wanted: fn(&Attributes) -> bool| events.iter().position(|it| it.attributes.as_ref().is_some_and(wanted));
    let scheduled = place(|it| matches!(it, Attributes::ActivityTaskScheduledEventAttributes(_)));
    let token_id = attempt.claims()["scheduleId"].as_i64();
    report.same("history: schedule id is the event's", token_id, scheduled.map(|place| place as i64 + 1));
    report.same("history: the first schedule id", Some(5), token_id);
    let started = place(|it| matches!(it, Attributes::ActivityTaskStartedEventAttributes(_)));
    let completed = events.iter().find_map(|it| match it.attributes.as_ref()? {
        Attributes::ActivityTaskCompletedEventAttributes(it) => Some((it.scheduled_event_id, it.started_event_id)),
        _ => None,
    });
    let expected = token_id.zip(started.map(|place| place as i64 + 1));
    report.same("history: the completion names both", expected, completed);

    let mut request = api::GetWorkflowExecutionHistoryRequest { page_size: 2, ..calls::history(&workflow) };
    let mut paged = Vec::new();
    for _ in 0..50 {
        let page = read(&play, &request).await?;
        paged.extend(page.history.unwrap_or_default().events);
        request.next_page_token = page.next_page_token;
        if request.next_page_token.is_empty() {
            break;
        }
    }
    report.same("history: pages add up", true, paged == events);
    let all = api::EventFilterType::CloseEvent as i32;
    let request =
        api::GetWorkflowExecutionHistoryRequest { history_event_filter_type: all, ..calls::history(&workflow) };
    let page = read(&play, &request).await?;
    let last = page.history.unwrap_or_default().events;
    report.same("history: the closing event alone", events.last().cloned().into_iter().collect::<Vec<_>>(), last);
    report.same("history: and no next page", true, page.next_page_token.is_empty());
    Ok(())
}

/// Page tokens that are none, or another run's.
pub(crate) async fn page_tokens<S: Stage>(play: Play<S>, report: Report) -> Result<(), String> {
    let (workflow, _) = play.one(Part::new("a")).await?;
    let other = play.stage.begin(Vec::new(), 300).await?;
    let first = api::GetWorkflowExecutionHistoryRequest { page_size: 1, ..calls::history(&workflow) };
    let token = read(&play, &first).await?.next_page_token;
    report.same("page token: there is more", false, token.is_empty());
    let junk =
        api::GetWorkflowExecutionHistoryRequest { next_page_token: b"junk".to_vec(), ..calls::history(&workflow) };
    let seen = play.wire().call(calls::HISTORY, &junk).await;
    report.answer("page token: junk", &Expect::bad("Invalid NextPageToken."), &seen);
    let astray = api::GetWorkflowExecutionHistoryRequest { next_page_token: token.clone(), ..calls::history(&other) };
    let seen = play.wire().call(calls::HISTORY, &astray).await;
    let text = "RunID in the request does not match the NextPageToken.";
    report.answer("page token: another run's", &Expect::bad(text), &seen);
    let again =
        api::GetWorkflowExecutionHistoryRequest { next_page_token: token, page_size: 100, ..calls::history(&workflow) };
    let (one, two) = (read(&play, &again).await?, read(&play, &again).await?);
    report.same("page token: can be used again", one.history, two.history);
    Ok(())
}

/// Waiting for events: for the closing one even unasked, for new ones when asked.
pub(crate) async fn waiting_for_events<S: Stage>(play: Play<S>, report: Report) -> Result<(), String> {
    let workflow = play.stage.begin(Vec::new(), 300).await?;
    let close = api::EventFilterType::CloseEvent as i32;
    let request =
        api::GetWorkflowExecutionHistoryRequest { history_event_filter_type: close, ..calls::history(&workflow) };
    let began = Instant::now();
    let seen =
        play.wire().send(calls::HISTORY, Head::within(Duration::from_secs(2)), request.encode_to_vec().into()).await;
    report.answer("closing event of an open workflow", &Expect::ok(), &seen);
    report.same("closing event of an open workflow: none", true, events_of(&seen).is_empty());
    report.same("closing event of an open workflow: waited", true, began.elapsed() > Duration::from_millis(1500));
    let request = api::GetWorkflowExecutionHistoryRequest { wait_for_new_event: true, ..request };
    let (path, message) = (calls::HISTORY, request.encode_to_vec());
    let (waits, completes) = tokio::join!(play.wire().send(path, Head::default(), message.into()), async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        play.stage.complete(&workflow).await
    });
    completes?;
    report.answer("closing event, waited for", &Expect::ok(), &waits);
    report.same("closing event, waited for: it came", 1, events_of(&waits).len());
    Ok(())
}

fn events_of(seen: &Seen) -> Vec<api::HistoryEvent> {
    let page = api::GetWorkflowExecutionHistoryResponse::decode(seen.body.clone()).unwrap_or_default();
    page.history.unwrap_or_default().events
}

async fn read<S: Stage>(
    play: &Play<S>,
    request: &api::GetWorkflowExecutionHistoryRequest,
) -> Result<api::GetWorkflowExecutionHistoryResponse, String> {
    let answer = play.wire().ask(calls::HISTORY, Duration::from_secs(10), request).await;
    answer.map_err(|seen| format!("history: {seen}"))
}

/// Starting, and what is in the way of it.
pub(crate) async fn starting<S: Stage>(play: Play<S>, report: Report) -> Result<(), String> {
    let domain = play.stage.domain().to_owned();
    let running = play.stage.begin(Vec::new(), 300).await?;
    let plan = Bytes::from_static(b"{\"activities\":[]}");
    let good = || calls::start(&domain, &running.workflow_id, "contract-list", plan.clone(), 300);
    let set = |change: &dyn Fn(&mut api::StartWorkflowExecutionRequest)| {
        let mut request = good();
        change(&mut request);
        request
    };
    let text = format!(
        "Workflow execution is already running. WorkflowId: {}, RunId: {}.",
        running.workflow_id, running.run_id
    );
    let in_the_way = Expect::typed(Code::AlreadyExists, text, "WorkflowExecutionAlreadyStartedError");
    let cases = [
        ("running already", good(), in_the_way),
        ("no domain", set(&|it| it.domain.clear()), Expect::bad("Domain name is empty")),
        ("no workflow id", set(&|it| it.workflow_id.clear()), Expect::bad("WorkflowId is not set on request.")),
        ("no request id", set(&|it| it.request_id.clear()), Expect::bad("requestId \"\" is not a valid UUID")),
        ("no type", set(&|it| it.workflow_type = None), Expect::bad("WorkflowType is not set on request.")),
        ("no task list", set(&|it| it.task_list = None), Expect::bad("TaskList is not set on request.")),
        (
            "no timeout",
            set(&|it| it.execution_start_to_close_timeout = None),
            Expect::bad("A valid ExecutionStartToCloseTimeoutSeconds is not set on request."),
        ),
        (
            "no decision timeout",
            set(&|it| it.task_start_to_close_timeout = None),
            Expect::bad("A valid TaskStartToCloseTimeoutSeconds is not set on request."),
        ),
    ];
    for (name, request, expected) in cases {
        let seen = play.wire().call(calls::START, &request).await;
        report.answer(format!("start: {name}"), &expected, &seen);
        if name == "running already" {
            let detail = api::WorkflowExecutionAlreadyStartedError::decode(seen.detail_value.as_slice());
            report.same("start: the running run is named", Ok(running.run_id.clone()), detail.map(|it| it.run_id));
        }
    }
    Ok(())
}

/// Asking a whole workflow to stop.
pub(crate) async fn cancelling_workflows<S: Stage>(play: Play<S>, report: Report) -> Result<(), String> {
    let (workflow, _) = play.one(Part::new("a")).await?;
    let execution = Some(calls::execution(&workflow.workflow_id, &workflow.run_id));
    let text = "cancellation already requested for this workflow execution";
    let again = Expect::typed(Code::AlreadyExists, text, "CancellationAlreadyRequestedError");
    for (name, expected) in [("first", Expect::ok()), ("again", again)] {
        let [_, _, (path, message), _] = about(&workflow.domain, execution.clone());
        let seen = play.wire().send(path, Head::default(), message.into()).await;
        report.answer(format!("cancel the workflow: {name}"), &expected, &seen);
    }
    let asked = |it: &api::HistoryEvent| {
        matches!(it.attributes, Some(Attributes::WorkflowExecutionCancelRequestedEventAttributes(_)))
    };
    let events = play.events(&workflow).await?;
    report.same("cancel the workflow: the event", 1, events.iter().filter(|it| asked(it)).count());
    Ok(())
}
