//! What a look into a workflow shows, in plain words: the state that the engine describes and, where that does not say it
//! all, what history says about activities. Pure; an engine's client fills it in, `judge` reads it.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;

use crate::wire::{Action, Answer, Failure, FailureStyle, Fingerprint, Target};

/// How much of a history is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reach {
    /// Pages read at most.
    pub max_pages: usize,
    /// Bytes of events read at most; of the page that passes the limit everything still counts.
    pub max_bytes: usize,
}

/// What a look found.
#[derive(Clone, Debug)]
pub enum Sight {
    /// The engine knows no such workflow or run.
    Nothing,
    /// The workflow is there.
    Workflow(WorkflowSight),
}

/// What a look reads; each reads what those before it read too.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Reads {
    /// The workflow's state: enough where that shows the activity open.
    State,
    /// Its history as well: how activities were closed.
    History,
    /// The id of its domain as well: what names with an attempt are answered by.
    DomainId,
}

impl Sight {
    /// What was read. Of a workflow that does not exist there is nothing to read.
    pub(super) fn reads(&self) -> Reads {
        match self {
            Self::Nothing => Reads::DomainId,
            Self::Workflow(WorkflowSight { history: None, .. }) => Reads::State,
            Self::Workflow(WorkflowSight { domain_id: None, .. }) => Reads::History,
            Self::Workflow(_) => Reads::DomainId,
        }
    }

    /// Whether it read all that a look for `target` would read, whatever it was for.
    pub(super) fn is_enough_for(&self, target: &Target) -> bool {
        let needed = match (self, target) {
            (_, Target::ById(id)) if id.attempt.is_some() => Reads::DomainId,
            (Self::Workflow(workflow), _) if workflow.open(target).is_some() => Reads::State,
            _ => Reads::History,
        };
        self.reads() >= needed
    }
}

/// A workflow at one moment.
#[derive(Clone, Debug, Default)]
pub struct WorkflowSight {
    /// UUID of its domain, when the look was for names with an attempt: what a token needs.
    pub domain_id: Option<Arc<str>>,
    /// How it ended; `None` while it is open. Read it first: a terminated workflow still lists its activities.
    pub closed: Option<CloseStatus>,
    /// The activities that the engine lists as open.
    pub pending: Vec<Pending>,
    /// What history says. `None` when the state says it all: the workflow is open, and so is the activity. Read after the
    /// state: it may know of more.
    pub history: Option<History>,
}

impl WorkflowSight {
    /// The activity, if the engine lists it and the workflow is open.
    #[must_use]
    pub fn open(&self, target: &Target) -> Option<&Pending> {
        let listed = self.closed.is_none().then_some(&self.pending)?;
        listed.iter().find(|it| is_about(target, it.schedule_id, &it.activity_id))
    }
}

/// Whether a target is this activity of its workflow.
pub(super) fn is_about(target: &Target, schedule_id: i64, activity_id: &str) -> bool {
    match target {
        Target::Token(token) => token.claims().schedule_id == schedule_id,
        Target::ById(id) => id.activity_id == activity_id,
    }
}

/// How a workflow ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CloseStatus {
    /// It returned.
    Completed,
    /// It returned an error.
    Failed,
    /// It was canceled and said so.
    Canceled,
    /// Somebody ended it.
    Terminated,
    /// It goes on under another run id.
    ContinuedAsNew,
    /// It took too long.
    TimedOut,
}

impl fmt::Display for CloseStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::Canceled => "canceled",
            Self::Terminated => "terminated",
            Self::ContinuedAsNew => "continued as new",
            Self::TimedOut => "timed out",
        })
    }
}

/// An activity that is open.
#[derive(Clone, Debug)]
pub struct Pending {
    /// Event id of its schedule event.
    pub schedule_id: i64,
    /// Its id.
    pub activity_id: String,
    /// Its type.
    pub activity_type: String,
    /// The present attempt, from 0.
    pub attempt: i64,
    /// Where that attempt stands.
    pub state: PendingState,
    /// Why the attempt before this one ended.
    pub last_failure: Option<LastFailure>,
}

/// Where an open activity stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PendingState {
    /// No worker has taken it, or it pauses before its next attempt: it cannot be answered.
    Scheduled,
    /// A worker has taken it.
    Started,
    /// A worker has taken it, and the workflow wants it to stop.
    CancelRequested,
}

/// Why an attempt ended that was tried again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LastFailure {
    /// It ran out of time.
    TimedOut(Timeout),
    /// It failed like this.
    Failed(Content),
}

/// Which time an attempt ran out of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Timeout {
    /// From start to close.
    StartToClose,
    /// From schedule to start.
    ScheduleToStart,
    /// From schedule to close.
    ScheduleToClose,
    /// Between two heartbeats.
    Heartbeat,
    /// One that this version does not know.
    Other,
}

impl Timeout {
    /// The timeout that the engine writes like this (`START_TO_CLOSE`).
    #[must_use]
    pub fn named(text: &str) -> Self {
        match text {
            "START_TO_CLOSE" => Self::StartToClose,
            "SCHEDULE_TO_START" => Self::ScheduleToStart,
            "SCHEDULE_TO_CLOSE" => Self::ScheduleToClose,
            "HEARTBEAT" => Self::Heartbeat,
            _ => Self::Other,
        }
    }
}

impl fmt::Display for Timeout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::StartToClose => "START_TO_CLOSE",
            Self::ScheduleToStart => "SCHEDULE_TO_START",
            Self::ScheduleToClose => "SCHEDULE_TO_CLOSE",
            Self::Heartbeat => "HEARTBEAT",
            Self::Other => "of an unknown kind",
        })
    }
}

/// What history says about activities.
#[derive(Clone, Debug, Default)]
pub struct History {
    /// The activities that were read about, in the order of their schedule ids.
    pub activities: Vec<Past>,
    /// Why the rest was not read; `None` when all was.
    pub cut_short: Option<&'static str>,
}

/// What history says about one activity.
#[derive(Clone, Debug)]
pub struct Past {
    /// Event id of its schedule event.
    pub schedule_id: i64,
    /// Its id.
    pub activity_id: String,
    /// The attempt that was started last, from 0. An attempt that the engine may repeat is written down on closing only.
    pub attempt: Option<i64>,
    /// Why the attempt before that one ended.
    pub last_failure: Option<LastFailure>,
    /// How it was closed, if it was.
    pub closing: Option<Closing>,
}

/// The event that closed an activity.
#[derive(Clone, Debug)]
pub enum Closing {
    /// An answer closed it.
    Answered {
        /// What the engine wrote down: not what was asked for if the payload was too large.
        action: Action,
        /// The answer, as the engine keeps it.
        content: Content,
        /// Who gave it, in the caller's own words; at most 1000 bytes.
        identity: String,
    },
    /// It ran out of time.
    TimedOut(Timeout),
}

/// What an answer comes to in the engine's books: equal for two answers that the engine keeps alike, whatever style or
/// message they had. The engine does not tell an empty payload from none here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Content(Fingerprint);

impl Content {
    /// What an answer comes to.
    #[must_use]
    pub fn of(answer: &Answer) -> Self {
        match answer {
            Answer::Complete { result } => Self::completed(result.clone()),
            Answer::Fail(failure) => Self::failed(&failure.engine_reason(), failure.engine_details()),
            Answer::Cancel { details } => Self::canceled(details.clone()),
            Answer::Heartbeat { details } => Self::print(&Answer::Heartbeat { details: filled(details.clone()) }),
        }
    }

    /// A completion with this result.
    #[must_use]
    pub fn completed(result: Option<Bytes>) -> Self {
        Self::print(&Answer::Complete { result: filled(result) })
    }

    /// A failure with this reason and these details.
    #[must_use]
    pub fn failed(reason: &str, details: Option<Bytes>) -> Self {
        let (reason, style) = (reason.to_owned(), FailureStyle::Custom);
        Self::print(&Answer::Fail(Failure { reason, message: None, details: filled(details), style }))
    }

    /// A cancellation with these details.
    #[must_use]
    pub fn canceled(details: Option<Bytes>) -> Self {
        Self::print(&Answer::Cancel { details: filled(details) })
    }

    fn print(answer: &Answer) -> Self {
        Self(Fingerprint::of(answer))
    }
}

fn filled(payload: Option<Bytes>) -> Option<Bytes> {
    payload.filter(|bytes| !bytes.is_empty())
}

impl LastFailure {
    /// The failure that the engine keeps with this reason and these details.
    #[must_use]
    pub fn of(reason: &str, details: Option<Bytes>) -> Self {
        match reason.strip_prefix("cadenceInternal:Timeout ") {
            Some(kind) => Self::TimedOut(Timeout::named(kind)),
            None => Self::Failed(Content::failed(reason, details)),
        }
    }
}
