//! A look at everything, for checks.

use std::collections::BTreeMap;

use bytes::Bytes;

use super::activity::{Activity, Closing, Phase};
use super::core::Core;
use super::method::Method;
use super::run::Run;

pub use crate::cadence::api::WorkflowExecutionCloseStatus as CloseStatus;

/// The engine's state at one moment.
#[derive(Clone, Debug)]
pub struct Books {
    /// Every run, in the order of their starts.
    pub workflows: Vec<WorkflowBook>,
    /// How often each method was called, refused calls included.
    pub calls: BTreeMap<Method, u64>,
}

/// One run of a workflow.
#[derive(Clone, Debug)]
pub struct WorkflowBook {
    /// Name of the domain.
    pub domain: String,
    /// Workflow id.
    pub workflow_id: String,
    /// Run id.
    pub run_id: String,
    /// How it was closed; `None` while it is open.
    pub closed: Option<CloseStatus>,
    /// Its activities, in the order in which they were scheduled.
    pub activities: Vec<ActivityBook>,
}

/// One activity.
#[derive(Clone, Debug)]
pub struct ActivityBook {
    /// Activity id.
    pub activity_id: String,
    /// Activity type.
    pub activity_type: String,
    /// Where it stands.
    pub state: ActivityState,
    /// The present attempt, from 0.
    pub attempt: i32,
    /// Reason of the last failure of an attempt that was repeated.
    pub last_failure: Option<String>,
    /// Heartbeats taken, over all attempts.
    pub heartbeats: u64,
    /// Details of the last heartbeat.
    pub heartbeat_details: Option<Bytes>,
    /// Whether the workflow has asked for it to be cancelled.
    pub cancel_requested: bool,
    /// The event that closed it.
    pub closing: Option<Closing>,
}

/// Where an activity stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ActivityState {
    /// No worker has it.
    Scheduled,
    /// A worker has it.
    Started,
    /// It has its closing event.
    Closed,
}

impl Books {
    /// The latest run of a workflow, in whichever domain.
    pub fn workflow(&self, workflow_id: &str) -> Option<&WorkflowBook> {
        self.workflows.iter().rev().find(|workflow| workflow.workflow_id == workflow_id)
    }

    /// An activity of the latest run of a workflow.
    pub fn activity(&self, workflow_id: &str, activity_id: &str) -> Option<&ActivityBook> {
        self.workflow(workflow_id)?.activities.iter().find(|activity| activity.activity_id == activity_id)
    }

    /// How often a method was called.
    pub fn calls(&self, method: Method) -> u64 {
        self.calls.get(&method).copied().unwrap_or_default()
    }
}

pub(super) fn read(core: &Core) -> Books {
    let calls = core.calls.snapshot();
    let state = core.lock();
    Books {
        workflows: state.runs.iter().map(workflow).collect(),
        calls: Method::ALL.into_iter().map(|method| (method, calls[method as usize])).collect(),
    }
}

fn workflow(run: &Run) -> WorkflowBook {
    WorkflowBook {
        domain: run.domain_name.to_string(),
        workflow_id: run.start.workflow_id.clone(),
        run_id: run.run_id.to_string(),
        closed: run.closed.map(|(status, _)| status),
        activities: run.activities.iter().map(activity).collect(),
    }
}

fn activity(activity: &Activity) -> ActivityBook {
    let (state, closing) = match &activity.phase {
        Phase::Scheduled => (ActivityState::Scheduled, None),
        Phase::Started(_) => (ActivityState::Started, None),
        Phase::Closed(closing) => (ActivityState::Closed, Some(closing.clone())),
    };
    ActivityBook {
        activity_id: activity.plan.activity_id.clone(),
        activity_type: activity.plan.activity_type.clone(),
        state,
        attempt: activity.attempt,
        last_failure: activity.last_failure.as_ref().map(|failure| failure.reason.clone()),
        heartbeats: activity.heartbeats,
        heartbeat_details: activity.heartbeat_details.clone(),
        cancel_requested: activity.cancel_requested.is_some(),
        closing,
    }
}
