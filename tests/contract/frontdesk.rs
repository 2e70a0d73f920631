//! Polls, domains and health: what a caller meets before it has a workflow.

use std::time::Duration;

use handback::cadence::api::{self, describe_domain_request::DescribeBy};
use prost::Message;
use tokio::time::Instant;
use tonic::Code;

use super::call::Head;
use super::calls;
use super::expect::{Expect, Report};
use super::situations::UNKNOWN_DOMAIN_ID;
use super::stage::{Part, Play, Stage};

const POLL: &str = "/uber.cadence.api.v1.WorkerAPI/PollForActivityTask";
const DESCRIBE_DOMAIN: &str = "/uber.cadence.api.v1.DomainAPI/DescribeDomain";
const REGISTER_DOMAIN: &str = "/uber.cadence.api.v1.DomainAPI/RegisterDomain";
const HEALTH: &str = "/uber.cadence.api.v1.MetaAPI/Health";

pub(crate) async fn polls<S: Stage>(play: Play<S>, report: Report) -> Result<(), String> {
    let good = api::PollForActivityTaskRequest {
        domain: play.stage.domain().to_owned(),
        task_list: Some(calls::task_list("contract-empty-list")),
        identity: "contract-worker".to_owned(),
        task_list_metadata: None,
    };
    let long = Duration::from_secs(3);
    let cases = [
        ("short deadline", good.clone(), Duration::from_millis(500), Expect::bad("Context timeout is too short.")),
        (
            "no domain",
            api::PollForActivityTaskRequest { domain: String::new(), ..good.clone() },
            long,
            Expect::bad("Domain name is empty"),
        ),
        (
            "no task list",
            api::PollForActivityTaskRequest { task_list: None, ..good.clone() },
            long,
            Expect::bad("TaskList is not set on request."),
        ),
        (
            "unknown domain",
            api::PollForActivityTaskRequest { domain: "contract-nowhere".to_owned(), ..good.clone() },
            long,
            Expect::not_exists("Domain contract-nowhere does not exist."),
        ),
    ];
    for (name, request, deadline, expected) in cases {
        let seen = play.wire().send(POLL, Head::within(deadline), request.encode_to_vec().into()).await;
        report.answer(format!("poll: {name}"), &expected, &seen);
    }
    let began = Instant::now();
    let seen = play.wire().send(POLL, Head::within(long), good.encode_to_vec().into()).await;
    let waited = began.elapsed();
    report.answer("poll: no task", &Expect::ok(), &seen);
    let task = api::PollForActivityTaskResponse::decode(seen.body).unwrap_or_default();
    report.same("poll: no token", true, task.task_token.is_empty());
    let in_time = waited > Duration::from_millis(1500) && waited < Duration::from_millis(2900);
    report.same("poll: answered a second before the deadline", true, in_time);
    Ok(())
}

/// A task as a worker gets it.
pub(crate) async fn tasks<S: Stage>(play: Play<S>, report: Report) -> Result<(), String> {
    let workflow = play.stage.begin(vec![Part::new("a").start_to_close(77).heartbeat(33)], 300).await?;
    let poll = api::PollForActivityTaskRequest {
        domain: workflow.domain.clone(),
        task_list: Some(calls::task_list(&workflow.task_list)),
        identity: "contract-worker".to_owned(),
        task_list_metadata: None,
    };
    let task: api::PollForActivityTaskResponse =
        play.wire().ask(POLL, Duration::from_secs(20), &poll).await.map_err(|seen| format!("poll: {seen}"))?;
    let execution = task.workflow_execution.unwrap_or_default();
    report.same("task: workflow", workflow.workflow_id, execution.workflow_id);
    report.same("task: run", workflow.run_id, execution.run_id);
    report.same("task: activity", "a".to_owned(), task.activity_id);
    report.same("task: type", "contract-activity".to_owned(), task.activity_type.unwrap_or_default().name);
    report.same("task: domain", workflow.domain, task.workflow_domain);
    report.same("task: start to close", calls::seconds(77), task.start_to_close_timeout);
    report.same("task: heartbeat", calls::seconds(33), task.heartbeat_timeout);
    report.same("task: attempt", 0, task.attempt);
    report.same(
        "task: times",
        [true; 3],
        [task.scheduled_time, task.started_time, task.scheduled_time_of_this_attempt].map(|time| time.is_some()),
    );
    report.same("task: no input", None, task.input);
    Ok(())
}

pub(crate) async fn domains<S: Stage>(play: Play<S>, report: Report) -> Result<(), String> {
    let name = play.stage.domain().to_owned();
    let describe = |by| {
        let request = api::DescribeDomainRequest { describe_by: Some(by) };
        let wire = play.wire().clone();
        async move { wire.call(DESCRIBE_DOMAIN, &request).await }
    };
    let seen = describe(DescribeBy::Name(name.clone())).await;
    report.answer("domain: by name", &Expect::ok(), &seen);
    let by_name = api::DescribeDomainResponse::decode(seen.body).unwrap_or_default().domain.unwrap_or_default();
    let seen = describe(DescribeBy::Id(by_name.id.clone())).await;
    let by_id = api::DescribeDomainResponse::decode(seen.body).unwrap_or_default().domain.unwrap_or_default();
    report.same("domain: by id", name.clone(), by_id.name);
    report.same("domain: registered", api::DomainStatus::Registered as i32, by_id.status);
    for (case, by, expected) in [
        (
            "unknown name",
            DescribeBy::Name("contract-nowhere".into()),
            Expect::not_exists("Domain contract-nowhere does not exist."),
        ),
        (
            "unknown id",
            DescribeBy::Id(UNKNOWN_DOMAIN_ID.into()),
            Expect::not_exists(format!("Domain {UNKNOWN_DOMAIN_ID} does not exist.")),
        ),
        ("no name", DescribeBy::Name(String::new()), Expect::bad("Domain not set on request.")),
    ] {
        report.answer(format!("domain: {case}"), &expected, &describe(by).await);
    }
    let register = |name: &str| {
        let request = api::RegisterDomainRequest {
            name: name.to_owned(),
            workflow_execution_retention_period: calls::seconds(86_400),
            ..Default::default()
        };
        let wire = play.wire().clone();
        async move { wire.call(REGISTER_DOMAIN, &request).await }
    };
    let again = Expect::typed(Code::AlreadyExists, "Domain already exists.", "DomainAlreadyExistsError");
    report.answer("domain: registered twice", &again, &register(&name).await);
    report.answer("domain: a name that is none", &Expect::bad("*"), &register("no_such name").await);
    Ok(())
}

pub(crate) async fn health<S: Stage>(play: Play<S>, report: Report) -> Result<(), String> {
    let seen = play.wire().call(HEALTH, &api::HealthRequest {}).await;
    report.answer("health", &Expect::ok(), &seen);
    let health = api::HealthResponse::decode(seen.body).unwrap_or_default();
    report.same("health: ok", (true, "OK".to_owned()), (health.ok, health.message));
    Ok(())
}
