//! From what was asked and what was seen to what is true of a reply: the table of `docs/wire-contract.md`, section 4.
//! Pure.

use super::sight::{
    Closing, Content, History, LastFailure, Past, Pending, PendingState, Sight, WorkflowSight, is_about,
};
use crate::wire::{Action, Answer, Evidence, Fingerprint, OutcomeKind, Target};

/// Most of a stranger's identity that is shown.
const SHOWN_IDENTITY: usize = 100;

/// Which reply it is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Question<'a> {
    pub(crate) target: &'a Target,
    pub(crate) answer: &'a Answer,
    pub(crate) fingerprint: Fingerprint,
    /// Who the calls for this very record say they are.
    pub(crate) identity: &'a str,
}

/// What became of a reply.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Known {
    pub(crate) outcome: OutcomeKind,
    /// For what is applied.
    pub(crate) evidence: Option<Evidence>,
    /// For people.
    pub(crate) detail: String,
}

/// What is true of a reply.
#[derive(Debug)]
pub(crate) enum Judgement<'a> {
    /// This became of it.
    Final(Known),
    /// The answer that closed the activity does not show yet: look again.
    Unseen,
    /// The attempt is open: it can be answered.
    Open(&'a Pending),
    /// The attempt has not begun yet: it cannot be answered now.
    NotYet,
}

fn found<'a>(outcome: OutcomeKind, detail: impl Into<String>) -> Judgement<'a> {
    Judgement::Final(Known { outcome, evidence: None, detail: detail.into() })
}

fn applied<'a>(evidence: Evidence, detail: &str) -> Judgement<'a> {
    Judgement::Final(Known { outcome: OutcomeKind::Applied, evidence: Some(evidence), detail: detail.to_owned() })
}

impl Question<'_> {
    /// The attempt that the reply names, if it names one.
    fn attempt(&self) -> Option<i64> {
        match self.target {
            Target::Token(token) => Some(token.claims().attempt),
            Target::ById(id) => id.attempt,
        }
    }

    /// Of several activities with one id, one after the other, the last: so names are not looked for in half a history.
    fn past<'h>(&self, history: &'h History) -> Option<&'h Past> {
        let about =
            || history.activities.iter().rev().filter(|it| is_about(self.target, it.schedule_id, &it.activity_id));
        // Whichever this very record closed, it is not for a later one of the same name.
        about().find(|it| self.is_by_us(it)).or_else(|| match self.target {
            Target::ById(_) if history.cut_short.is_some() => None,
            _ => about().next(),
        })
    }

    /// Why an earlier activity of the same names may have been missed. A token says which of them it means, and names without
    /// an attempt mean the present one.
    fn cut_short(&self, workflow: &WorkflowSight) -> Option<&'static str> {
        let names = matches!(self.target, Target::ById(id) if id.attempt.is_some());
        workflow.history.as_ref().filter(|_| names).and_then(|history| history.cut_short)
    }

    fn is_by_us(&self, past: &Past) -> bool {
        matches!(&past.closing, Some(Closing::Answered { identity, .. }) if identity == self.identity)
    }

    /// Whether what was known once cannot have changed: only then it may rest on what was seen a while ago.
    pub(crate) fn lasts(&self, known: &Known, sight: &Sight) -> bool {
        let over = matches!(sight, Sight::Workflow(workflow) if workflow.closed.is_some());
        match (known.outcome, self.target) {
            // What the engine did not have then it may have had since: a cluster that replicates is behind.
            (OutcomeKind::Unknown, _) => false,
            (_, Target::Token(_)) => true,
            // Another activity may bear the names since, as long as the workflow goes on.
            (_, Target::ById(_)) => over,
        }
    }

    /// Judges by what was seen.
    pub(crate) fn judge<'s>(&self, sight: &'s Sight) -> Judgement<'s> {
        let Sight::Workflow(workflow) = sight else {
            return found(OutcomeKind::Unknown, "the engine knows no such workflow or run");
        };
        let past = workflow.history.as_ref().and_then(|history| self.past(history));
        if let Some(past) = past
            && let Some(closing) = &past.closing
        {
            return self.by_closing(past, closing);
        }
        match workflow.open(self.target) {
            Some(pending) => match self.cut_short(workflow) {
                Some(limit) => found(
                    OutcomeKind::NotFound,
                    format!("whether this very record closed an earlier activity of this id was not learnt: {limit}"),
                ),
                None => self.by_pending(pending),
            },
            None => by_absence(workflow, past.is_some()),
        }
    }

    /// The activity was closed.
    fn by_closing<'s>(&self, past: &Past, closing: &Closing) -> Judgement<'s> {
        match closing {
            Closing::Answered { action, .. } if self.is_by_us(past) && *action == self.answer.action() => {
                return applied(Evidence::History, "an earlier try of this very record closed the activity");
            }
            Closing::Answered { .. } if self.is_by_us(past) => {
                let text = "an earlier try of this very record was turned into a failure by the engine";
                return found(OutcomeKind::Rejected, text);
            }
            _ => {}
        }
        if let (Some(asked), Some(reached)) = (self.attempt(), past.attempt)
            && reached > asked
        {
            return self.superseded(asked, reached, past.last_failure);
        }
        match closing {
            Closing::TimedOut(kind) => {
                found(OutcomeKind::TimedOut, format!("the activity was closed by a timeout ({kind})"))
            }
            Closing::Answered { .. } if self.answer.action() == Action::Heartbeat => {
                found(OutcomeKind::NotFound, "the activity was answered before this heartbeat")
            }
            Closing::Answered { identity, content, .. } => self.against(identity, *content),
        }
    }

    /// The activity was closed by an answer that is not this record's.
    fn against<'s>(&self, identity: &str, content: Content) -> Judgement<'s> {
        match signed(identity) {
            Some((source, theirs)) if theirs == self.fingerprint => {
                found(OutcomeKind::Duplicate, format!("the same answer was applied before, from {source}"))
            }
            Some((source, theirs)) => found(
                OutcomeKind::Conflict,
                format!(
                    "another answer was applied before, from {source}: its fingerprint is {theirs}, this one's {}",
                    self.fingerprint
                ),
            ),
            None if content == Content::of(self.answer) => {
                found(OutcomeKind::Duplicate, format!("the same answer was given before, by {}", shown(identity)))
            }
            None => found(OutcomeKind::Conflict, format!("another answer was given before, by {}", shown(identity))),
        }
    }

    /// The activity is open.
    fn by_pending<'s>(&self, pending: &'s Pending) -> Judgement<'s> {
        let reached = pending.attempt;
        match self.attempt() {
            Some(asked) if reached > asked => self.superseded(asked, reached, pending.last_failure),
            // A token is made when its attempt begins, so there cannot be one yet.
            Some(asked) if reached < asked && matches!(self.target, Target::Token(_)) => found(
                OutcomeKind::Unknown,
                format!("the token names attempt {asked}, and the engine has only come to attempt {reached}"),
            ),
            Some(asked) if reached < asked => Judgement::NotYet,
            _ if pending.state == PendingState::Scheduled => Judgement::NotYet,
            _ => Judgement::Open(pending),
        }
    }

    /// The engine has come to a later attempt.
    fn superseded<'s>(&self, asked: i64, reached: i64, last: Option<LastFailure>) -> Judgement<'s> {
        let fails = self.answer.action() == Action::Fail;
        let next = reached == asked + 1;
        if fails && next && last == Some(LastFailure::Failed(Content::of(self.answer))) {
            let text = "the next attempt's last failure is equal to this one: likely this very record, not proven";
            return applied(Evidence::LastFailure, text);
        }
        let mut detail = match last {
            Some(LastFailure::TimedOut(kind)) if next => {
                format!("attempt {asked} timed out ({kind}) and was tried again")
            }
            Some(LastFailure::Failed(_)) if next => format!("attempt {asked} failed otherwise and was tried again"),
            _ => format!("attempt {asked} is over; the engine has come to attempt {reached}"),
        };
        if fails && !(next && last.is_some()) {
            detail.push_str("; a failure that is tried again leaves no event, so it may have been this very record");
        }
        found(OutcomeKind::Superseded, detail)
    }
}

/// The activity is not open, and what was read of history does not say how it was closed.
fn by_absence<'s>(workflow: &WorkflowSight, was_scheduled: bool) -> Judgement<'s> {
    let cut_short = workflow.history.as_ref().map_or(Some("history was not read"), |history| history.cut_short);
    match (workflow.closed, cut_short) {
        (_, Some(limit)) => found(OutcomeKind::NotFound, format!("why was not learnt: {limit}")),
        (_, None) if !was_scheduled => found(OutcomeKind::Unknown, "the workflow never had such an activity"),
        (Some(how), None) => found(OutcomeKind::WorkflowClosed, format!("the workflow is over: {how}")),
        // An answer accepted while a decision task runs is written down when that decision ends.
        (None, None) => Judgement::Unseen,
    }
}

/// Source and fingerprint in an identity that handback gave (`docs/wire-contract.md`, section 5).
fn signed(identity: &str) -> Option<(&str, Fingerprint)> {
    let (_cluster, rest) = identity.strip_prefix("handback/1/")?.split_once('/')?;
    let (source, fingerprint) = rest.rsplit_once('/')?;
    Some((source, Fingerprint::parse(fingerprint)?))
}

/// A stranger's identity, for people.
fn shown(identity: &str) -> String {
    if identity.is_empty() {
        return "somebody without a name".to_owned();
    }
    identity.chars().take(SHOWN_IDENTITY).filter(|character| !character.is_control()).collect()
}
