//! The two seams of dispatching: where activities come from, and where their requests go.

use std::fmt;
use std::future::Future;
use std::time::Duration;

use bytes::Bytes;

pub use super::times::Times;
use crate::bridge::seams::{CallError, ProduceFault, Wiring};
use crate::wire::{Failure, OutRecord, RequestActivity};

/// A task list of a domain.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct TaskList {
    /// Name of the domain.
    pub domain: String,
    /// Name of the task list.
    pub name: String,
}

/// One attempt of an activity, as the engine hands it out. From then on the attempt's time runs. `Debug` shows which
/// activity it is and its size.
#[derive(Clone)]
pub struct Task {
    /// Its token, not checked yet.
    pub token: Bytes,
    /// Which activity it is.
    pub activity: RequestActivity,
    /// Its arguments, as the workflow's data converter wrote them; `None` without any.
    pub input: Option<Bytes>,
    /// When it began and how long it may take.
    pub times: Times,
    /// What the last heartbeat of an earlier attempt said; a heartbeat without it would wipe it out.
    pub heartbeat_details: Option<Bytes>,
    /// What the workflow's context propagators put beside it: name and value of each.
    pub headers: Vec<(String, Bytes)>,
}

impl Task {
    /// About how much memory it takes, in bytes.
    pub(super) fn size(&self) -> usize {
        let headers: usize = self.headers.iter().map(|(name, value)| name.len() + value.len()).sum();
        let part = |part: &Option<Bytes>| part.as_ref().map_or(0, Bytes::len);
        self.token.len() + part(&self.input) + part(&self.heartbeat_details) + headers
    }
}

impl fmt::Debug for Task {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Task").field("activity", &self.activity).field("bytes", &self.size()).finish_non_exhaustive()
    }
}

/// Where activities come from.
pub trait Tasks {
    /// Waits for an activity on a task list, at most about `within`; `None` when none came. An engine that hands one out may
    /// have done so although the future is dropped: that attempt is lost until its timeout.
    fn poll(
        &self,
        list: &TaskList,
        identity: &str,
        within: Duration,
    ) -> impl Future<Output = Result<Option<Task>, CallError>>;

    /// Fails the attempt that `token` names.
    fn fail(&self, token: &Bytes, failure: &Failure, identity: &str) -> impl Future<Output = Result<(), CallError>>;

    /// Tells that somebody still cares for the attempt that `token` names.
    fn heartbeat(
        &self,
        token: &Bytes,
        details: Option<&Bytes>,
        identity: &str,
    ) -> impl Future<Output = Result<(), CallError>>;

    /// Asks something that every healthy frontend answers in one known way, without touching any workflow.
    fn probe_wiring(&self) -> impl Future<Output = Wiring>;
}

/// Where requests go.
pub trait Requests {
    /// Writes a record and resolves once all in-sync replicas have it. Dropping the future does not call the record back.
    fn write(&self, record: OutRecord) -> impl Future<Output = Result<(), ProduceFault>>;
}
