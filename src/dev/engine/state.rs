//! Everything the engine knows, behind one lock.

use std::collections::HashMap;
use std::sync::Arc;

use tokio::time::Instant;
use tonic::Code;
use uuid::Uuid;

use super::agenda::Agenda;
use super::refusal::Refusal;
use super::run::{Run, Start};
use super::token::{Claims, uuid};
use crate::cadence::api::{self, WorkflowExecutionCloseStatus as CloseStatus, WorkflowIdReusePolicy as Reuse};

#[derive(Debug)]
pub(super) struct Domain {
    pub(super) id: Arc<str>,
    pub(super) name: Arc<str>,
    pub(super) retention: Option<prost_types::Duration>,
    /// Runs by workflow id; the last of a list is the current run.
    runs: HashMap<String, Vec<usize>>,
}

#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) domains: Vec<Domain>,
    pub(super) runs: Vec<Run>,
    pub(super) agenda: Agenda,
}

impl State {
    /// Registers a domain and returns its id.
    pub(super) fn register(
        &mut self,
        name: &str,
        retention: Option<prost_types::Duration>,
    ) -> Result<Arc<str>, Refusal> {
        if self.domains.iter().any(|domain| &*domain.name == name) {
            let detail = api::DomainAlreadyExistsError {};
            let text = "Domain already exists.";
            return Err(Refusal::typed(Code::AlreadyExists, text, "DomainAlreadyExistsError", &detail));
        }
        let plain = |character: char| character.is_ascii_alphanumeric() || character == '-';
        if name.is_empty() || !name.chars().all(plain) {
            return Err(Refusal::bad_request("Domain name is invalid"));
        }
        let id: Arc<str> = domain_uuid().to_string().into();
        self.domains.push(Domain { id: Arc::clone(&id), name: name.into(), retention, runs: HashMap::new() });
        Ok(id)
    }

    pub(super) fn domain_named(&self, name: &str) -> Result<usize, Refusal> {
        if name.is_empty() {
            return Err(Refusal::bad_request("Domain name is empty"));
        }
        let found = self.domains.iter().position(|domain| &*domain.name == name);
        found.ok_or_else(|| no_such_domain(name))
    }

    /// The domain of a token. The server's store wants a UUID, takes it in any spelling, and then cannot load what it
    /// found under another one than its own.
    pub(super) fn domain_with_id(&self, id: &str) -> Result<usize, Refusal> {
        if id.is_empty() {
            return Err(Refusal::bad_request("DomainID is empty."));
        }
        if let Some(found) = self.domains.iter().position(|domain| &*domain.id == id) {
            return Ok(found);
        }
        let Some(parsed) = uuid(id) else { return Err(not_a_uuid(id)) };
        let parsed = parsed.to_string();
        if self.domains.iter().any(|domain| *domain.id == *parsed) {
            let text = "DefaultDomainCache encounter case where domain exists but cannot be loaded";
            return Err(Refusal::plain(Code::Internal, text));
        }
        Err(no_such_domain(id))
    }

    /// A run by its ids; without a run id the current one.
    pub(super) fn run(&self, domain: usize, workflow_id: &str, run_id: &str) -> Result<usize, Refusal> {
        let known = self.domains[domain].runs.get(workflow_id).map(Vec::as_slice).unwrap_or_default();
        if run_id.is_empty() {
            let text = "GetCurrentExecution failed.  Error: sql: no rows in result set";
            return known.last().copied().ok_or_else(|| Refusal::entity_not_exists(text));
        }
        let wanted = uuid(run_id);
        let found = known.iter().copied().find(|run| Some(self.runs[*run].run_id) == wanted);
        found.ok_or_else(|| {
            let text = format!("Workflow execution not found.  WorkflowId: {workflow_id}, RunId: {run_id}");
            Refusal::entity_not_exists(text)
        })
    }

    pub(super) fn run_of(&self, domain: usize, claims: &Claims) -> Result<usize, Refusal> {
        self.run(domain, &claims.workflow_id, &claims.run_id)
    }

    /// Starts a run, or says which one is in the way.
    pub(super) fn start(&mut self, domain: usize, start: Start, policy: Reuse) -> Result<Uuid, Refusal> {
        if let Some(current) = self.domains[domain].runs.get(&start.workflow_id).and_then(|runs| runs.last()) {
            let current = &self.runs[*current];
            if current.start.request_id == start.request_id {
                return Ok(current.run_id);
            }
            if let Some(text) = in_the_way(current, policy) {
                return Err(already_started(current, text));
            }
        }
        let index = self.runs.len();
        let run = Run::begin(index, domain, &self.domains[domain], start, &mut self.agenda);
        let run_id = run.run_id;
        self.domains[domain].runs.entry(run.start.workflow_id.clone()).or_default().push(index);
        self.runs.push(run);
        Ok(run_id)
    }

    /// Hands the next waiting attempt of a task list to a worker.
    pub(super) fn take(
        &mut self,
        domain: usize,
        task_list: &str,
        worker: &str,
    ) -> Option<api::PollForActivityTaskResponse> {
        while let Some(ready) = self.agenda.take(domain, task_list) {
            let task = self.runs[ready.run].take(ready, worker, &mut self.agenda);
            if task.is_some() {
                return task;
            }
        }
        None
    }

    /// Does everything that is due by now, and says when there is more to do.
    pub(super) fn tick(&mut self, now: Instant) -> Option<Instant> {
        while let Some((run, due)) = self.agenda.pop_due(now) {
            self.runs[run].fall_due(due, &mut self.agenda);
        }
        self.agenda.next()
    }
}

/// Why a workflow id cannot be used again, if it cannot.
fn in_the_way(current: &Run, policy: Reuse) -> Option<&'static str> {
    match (current.closed, policy) {
        (None, _) => Some("Workflow execution is already running."),
        (Some(_), Reuse::RejectDuplicate) => Some("Workflow execution already finished."),
        (Some((CloseStatus::Completed, _)), Reuse::AllowDuplicateFailedOnly) => {
            Some("Workflow execution already finished successfully.")
        }
        (Some(_), _) => None,
    }
}

fn already_started(run: &Run, text: &str) -> Refusal {
    let detail = api::WorkflowExecutionAlreadyStartedError {
        start_request_id: run.start.request_id.clone(),
        run_id: run.run_id.to_string(),
    };
    let text = format!("{text} WorkflowId: {}, RunId: {}.", run.start.workflow_id, run.run_id);
    Refusal::typed(Code::AlreadyExists, text, "WorkflowExecutionAlreadyStartedError", &detail)
}

fn no_such_domain(name_or_id: &str) -> Refusal {
    Refusal::entity_not_exists(format!("Domain {name_or_id} does not exist."))
}

fn not_a_uuid(id: &str) -> Refusal {
    let fault = match id.len() {
        32 | 36 | 38 | 45 => "invalid UUID format".to_owned(),
        length => format!("invalid UUID length: {length}"),
    };
    Refusal::plain(Code::Unknown, format!("panic object is not error: \"uuid: Parse({id}): {fault}\""))
}

/// Domains have UUIDs of version 7: the time first, then chance.
fn domain_uuid() -> Uuid {
    let since = std::time::UNIX_EPOCH.elapsed().unwrap_or_default();
    let mut chance = [0; 10];
    chance.copy_from_slice(&Uuid::new_v4().as_bytes()[..10]);
    uuid::Builder::from_unix_timestamp_millis(u64::try_from(since.as_millis()).unwrap_or_default(), &chance).into_uuid()
}
