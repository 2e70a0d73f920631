//! The audit: whether the topics, the engine and the committed offsets tell the same story.

use super::account::{Account, needs_letter};
use super::engine::{ActivityBook, ActivityState, Books, CloseStatus, Ending, WorkflowBook};
use crate::wire::{Answer, Outcome, OutcomeKind, Record, Reply};

/// What disagrees, a sentence each; nothing when all is well. `cluster_id` is Kafka's, and part of every identity.
pub(super) fn audit(account: &Account, books: &Books, cluster_id: &str) -> Vec<String> {
    let mut faults = Vec::new();
    replies(account, &mut faults);
    dead_letters(account, &mut faults);
    offsets(account, &mut faults);
    for (source, outcome) in account.outcomes.iter().filter(|(_, outcome)| outcome.kind == OutcomeKind::Applied) {
        if let Some(Some(reply)) = account.replies.get(source).map(|seen| &seen.reply) {
            applied(outcome, reply, books, cluster_id, &mut faults);
        }
    }
    for workflow in &books.workflows {
        engine(account, workflow, cluster_id, &mut faults);
    }
    faults
}

/// Every reply has its outcome, every outcome its reply.
fn replies(account: &Account, faults: &mut Vec<String>) {
    faults.extend(account.open().map(|reply| format!("{} has no outcome", reply.record.origin)));
    for (source, outcome) in &account.outcomes {
        let Some(reply) = account.replies.get(source) else {
            faults.push(format!("there is an outcome of {}, where no reply is", outcome.source));
            continue;
        };
        let fingerprint = reply.reply.as_ref().map(|reply| reply.fingerprint);
        if fingerprint != outcome.fingerprint {
            faults.push(format!("the outcome of {} has another fingerprint than the reply", outcome.source));
        }
        if reply.reply.is_none() && outcome.kind != OutcomeKind::Rejected {
            faults.push(format!("{} cannot be read and is {}", outcome.source, outcome.kind));
        }
    }
    if account.repeats > 0 {
        faults.push(format!("{} outcomes or dead letters were written again", account.repeats));
    }
}

/// What is refused is a dead letter, as received; what is applied is none.
fn dead_letters(account: &Account, faults: &mut Vec<String>) {
    let missing = account.letters_missing();
    faults.extend(missing.map(|outcome| format!("{} is {} and no dead letter", outcome.source, outcome.kind)));
    for (source, letter) in &account.dead_letters {
        match (account.outcomes.get(source), account.replies.get(source)) {
            (Some(outcome), _) if !needs_letter(outcome) => {
                faults.push(format!("{} is {} and a dead letter", outcome.source, outcome.kind));
            }
            (Some(_), Some(reply)) if is_copy(letter, &reply.record) => {}
            (Some(outcome), _) => {
                faults.push(format!("the dead letter of {} is not what was received", outcome.source));
            }
            (None, _) => faults.push(format!("{} has a dead letter and no outcome", letter.origin)),
        }
    }
}

/// Key, value and headers byte for byte, with others behind.
fn is_copy(letter: &Record, record: &Record) -> bool {
    let headers = letter.headers.iter().take(record.headers.len()).eq(record.headers.iter());
    letter.key == record.key && letter.value == record.value && headers
}

/// Committed offsets are the ends of the log.
fn offsets(account: &Account, faults: &mut Vec<String>) {
    for reach in &account.reaches {
        let committed = reach.committed.unwrap_or(0);
        if committed != reach.end {
            faults.push(format!("partition {}: committed {committed}, the log ends at {}", reach.partition, reach.end));
        }
    }
}

/// An applied answer is what the engine has.
fn applied(outcome: &Outcome, reply: &Reply, books: &Books, cluster_id: &str, faults: &mut Vec<String>) {
    let activity = reply.target.activity();
    let (run_id, activity_id) = (activity.run_id.unwrap_or_default(), activity.activity_id.unwrap_or_default());
    let workflow = books.workflows.iter().find(|workflow| workflow.run_id == run_id);
    let book = workflow.and_then(|workflow| workflow.activities.iter().find(|book| book.activity_id == activity_id));
    let Some(book) = book else {
        return faults.push(format!("{} is applied, and the engine knows no such activity", outcome.source));
    };
    let attempt = activity.attempt.unwrap_or_else(|| i64::from(book.attempt));
    if !agrees(reply, book, attempt, &identity(cluster_id, outcome)) {
        faults.push(format!("{} is applied, and the engine has something else", outcome.source));
    }
}

fn agrees(reply: &Reply, book: &ActivityBook, attempt: i64, identity: &str) -> bool {
    if let Answer::Heartbeat { .. } = &reply.answer {
        return book.heartbeats > 0;
    }
    if let (Answer::Fail(failure), true) = (&reply.answer, attempt < i64::from(book.attempt)) {
        // An attempt that the engine has repeated leaves no event, only the failure that the next one was told of.
        return book.last_failure.as_deref() == Some(&*failure.engine_reason());
    }
    let Some(closing) = &book.closing else { return false };
    let (ending, reason) = match &reply.answer {
        Answer::Complete { .. } | Answer::Heartbeat { .. } => (Ending::Completed, None),
        Answer::Fail(failure) => (Ending::Failed, Some(failure.engine_reason())),
        Answer::Cancel { .. } => (Ending::Canceled, None),
    };
    closing.identity == identity
        && closing.ending == ending
        && closing.reason.as_deref() == reason.as_deref()
        && closing.payload == reply.answer.engine_payload()
}

/// Who the engine was told has answered (`docs/wire-contract.md`, section 5).
fn identity(cluster_id: &str, outcome: &Outcome) -> String {
    let fingerprint = outcome.fingerprint.map(|fingerprint| fingerprint.to_string()).unwrap_or_default();
    format!("handback/1/{cluster_id}/{}/{fingerprint}", outcome.source)
}

/// What the engine has was applied by a reply.
fn engine(account: &Account, workflow: &WorkflowBook, cluster_id: &str, faults: &mut Vec<String>) {
    let name = &workflow.workflow_id;
    if workflow.closed != Some(CloseStatus::Completed) {
        faults.push(format!("{name} is not completed"));
    }
    for book in &workflow.activities {
        let by = book.closing.as_ref().map(|closing| closing.identity.as_str());
        let answered = by.is_some_and(|by| {
            let said = |outcome: &&Outcome| outcome.kind == OutcomeKind::Applied && identity(cluster_id, outcome) == by;
            account.outcomes.values().filter(said).count() == 1
        });
        if book.state != ActivityState::Closed {
            faults.push(format!("{name} {} is still open", book.activity_type));
        } else if !answered {
            faults.push(format!("{name} {} was closed by no reply that has an outcome", book.activity_type));
        }
    }
}
