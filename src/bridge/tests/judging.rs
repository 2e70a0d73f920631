//! Every row of the table of outcomes: what was asked, what was seen, what is concluded.

use bytes::Bytes;
use proptest::prelude::*;

use super::support::{by_id, token};
use crate::bridge::judge::{Judgement, Known, Question};
use crate::bridge::sight::{
    CloseStatus, Closing, Content, History, LastFailure, Past, Pending, PendingState, Sight, Timeout, WorkflowSight,
};
use crate::wire::{Action, Answer, Evidence, Failure, FailureStyle, Fingerprint, OutcomeKind, Target};

const OURS: &str = "activity-replies/0/7";

fn complete(result: &'static str) -> Answer {
    Answer::Complete { result: Some(Bytes::from_static(result.as_bytes())) }
}

fn fail(reason: &str) -> Answer {
    let (reason, style) = (reason.to_owned(), FailureStyle::Custom);
    Answer::Fail(Failure { reason, message: None, details: None, style })
}

fn identity(source: &str, answer: &Answer) -> String {
    format!("handback/1/cluster/{source}/{}", Fingerprint::of(answer))
}

/// The activity was closed by this answer, given by `who`, at attempt `attempt`.
fn answered(attempt: i64, answer: &Answer, who: &str) -> Past {
    let (action, content) = (answer.action(), Content::of(answer));
    past(attempt, Some(Closing::Answered { action, content, identity: who.to_owned() }))
}

fn timed_out(attempt: i64) -> Past {
    past(attempt, Some(Closing::TimedOut(Timeout::StartToClose)))
}

fn past(attempt: i64, closing: Option<Closing>) -> Past {
    Past { schedule_id: 5, activity_id: "a1".to_owned(), attempt: Some(attempt), last_failure: None, closing }
}

fn after(last_failure: LastFailure, past: Past) -> Past {
    Past { last_failure: Some(last_failure), ..past }
}

fn pending(attempt: i64, state: PendingState, last_failure: Option<LastFailure>) -> Pending {
    let (activity_id, activity_type) = ("a1".to_owned(), "Charge".to_owned());
    Pending { schedule_id: 5, activity_id, activity_type, attempt, state, last_failure }
}

fn open(pending: Pending) -> Sight {
    Sight::Workflow(WorkflowSight { pending: vec![pending], ..WorkflowSight::default() })
}

fn read(closed: Option<CloseStatus>, activities: Vec<Past>, cut_short: Option<&'static str>) -> Sight {
    let history = Some(History { activities, cut_short });
    // The engine goes on listing the activities of a workflow that is over.
    let listed = closed.map(|_| pending(0, PendingState::Started, None));
    Sight::Workflow(WorkflowSight { closed, pending: listed.into_iter().collect(), history, domain_id: None })
}

fn judge(target: &Target, answer: &Answer, sight: &Sight) -> String {
    let (fingerprint, identity) = (Fingerprint::of(answer), identity(OURS, answer));
    match (Question { target, answer, fingerprint, identity: &identity }).judge(sight) {
        Judgement::Final(Known { outcome, evidence: None, detail }) => format!("{outcome}: {detail}"),
        Judgement::Final(Known { outcome, evidence: Some(evidence), .. }) => {
            format!("{outcome} by {}", evidence.as_str())
        }
        Judgement::Open(pending) => format!("open {}", pending.attempt),
        Judgement::NotYet => "not yet".to_owned(),
        Judgement::Unseen => "look again".to_owned(),
    }
}

/// By token of attempt 0: this answer, this sight, and how the judgement begins.
fn check(answer: &Answer, sight: &Sight, expected: &str) {
    let judged = judge(&token("a1"), answer, sight);
    assert!(judged.starts_with(expected), "{judged:?} instead of {expected:?}: {sight:?}");
}

#[test]
fn every_row_of_an_activity_that_an_answer_closed() {
    let (one, two) = (complete("1"), complete("2"));
    let ours = identity(OURS, &one);
    let theirs = |answer| identity("activity-replies/0/3", answer);
    for closed in [None, Some(CloseStatus::Completed), Some(CloseStatus::Terminated)] {
        let sight = |past| read(closed, vec![past], None);
        check(&one, &sight(answered(0, &one, &ours)), "applied by history");
        check(
            &one,
            &sight(answered(0, &one, &theirs(&one))),
            "duplicate: the same answer was applied before, from activity-replies/0/3",
        );
        check(
            &one,
            &sight(answered(0, &two, &theirs(&two))),
            "conflict: another answer was applied before, from activity-replies/0/3",
        );
        check(
            &one,
            &sight(answered(0, &one, "7@host@list")),
            "duplicate: the same answer was given before, by 7@host@list",
        );
        check(&one, &sight(answered(0, &two, "")), "conflict: another answer was given before, by somebody");
        check(&one, &sight(answered(1, &one, &theirs(&one))), "superseded: attempt 0 is over");
        // What the engine makes of a payload over its limit carries our identity too.
        check(&one, &sight(answered(0, &fail("COMPLETE_RESULT_EXCEEDS_LIMIT"), &ours)), "rejected:");
        check(&one, &sight(timed_out(0)), "timed_out: the activity was closed by a timeout (START_TO_CLOSE)");
        check(&one, &sight(timed_out(1)), "superseded:");
        check(
            &Answer::Heartbeat { details: None },
            &sight(answered(0, &one, &ours)),
            "not_found: the activity was answered before",
        );
    }
}

#[test]
fn conflicts_name_both_fingerprints() {
    let (one, two) = (complete("1"), complete("2"));
    let judged = judge(&token("a1"), &one, &read(None, vec![answered(0, &two, &identity("r/1/2", &two))], None));
    for answer in [&one, &two] {
        assert!(judged.contains(&Fingerprint::of(answer).to_string()), "{judged}");
    }
}

#[test]
fn every_row_of_an_activity_that_is_not_closed() {
    let one = complete("1");
    let idle = || past(0, None);
    check(&one, &Sight::Nothing, "unknown: the engine knows no such workflow or run");
    check(&one, &read(None, vec![], None), "unknown: the workflow never had such an activity");
    check(&one, &read(None, vec![idle()], None), "look again");
    check(&one, &read(None, vec![idle()], Some("limit")), "not_found: why was not learnt: limit");
    check(&one, &read(None, vec![], Some("limit")), "not_found: why was not learnt: limit");
    check(
        &one,
        &read(Some(CloseStatus::Terminated), vec![idle()], None),
        "workflow_closed: the workflow is over: terminated",
    );
    check(&one, &read(Some(CloseStatus::TimedOut), vec![idle()], Some("limit")), "not_found:");
    check(&one, &open(pending(0, PendingState::Started, None)), "open 0");
    check(&one, &open(pending(0, PendingState::CancelRequested, None)), "open 0");
    check(&one, &open(pending(0, PendingState::Scheduled, None)), "not yet");
    let later = judge(&token("a1"), &one, &open(pending(1, PendingState::Started, None)));
    assert_eq!(later, "superseded: attempt 0 is over; the engine has come to attempt 1");
}

#[test]
fn every_row_of_a_failure_whose_attempt_was_tried_again() {
    let (busy, other) = (fail("Busy"), fail("Other"));
    let last = |answer: &Answer| LastFailure::Failed(Content::of(answer));
    let timeout = LastFailure::of("cadenceInternal:Timeout HEARTBEAT", None);
    let at = |attempt, last| open(pending(attempt, PendingState::Scheduled, Some(last)));
    check(&busy, &at(1, last(&busy)), "applied by last_failure");
    check(&busy, &at(1, last(&other)), "superseded: attempt 0 failed otherwise");
    check(&busy, &at(1, timeout), "superseded: attempt 0 timed out (HEARTBEAT)");
    check(&busy, &at(2, last(&busy)), "superseded: attempt 0 is over; the engine has come to attempt 2");
    check(&complete("1"), &at(1, last(&busy)), "superseded: attempt 0 failed otherwise");
    // The last attempt's start is written down with the failure before it.
    let closed = |attempt, last| read(None, vec![after(last, answered(attempt, &complete("1"), "worker"))], None);
    check(&busy, &closed(1, last(&busy)), "applied by last_failure");
    check(&busy, &closed(1, last(&other)), "superseded:");
    check(&busy, &closed(2, last(&busy)), "superseded:");
    // Who can tell: the answer to an own earlier try was lost, or the process that made it.
    let judged = judge(&token("a1"), &busy, &at(2, last(&busy)));
    assert!(judged.contains("it may have been this very record"), "{judged}");
    let judged = judge(&token("a1"), &busy, &at(1, last(&other)));
    assert!(!judged.contains("very record"), "ours was not applied, the last failure says: {judged}");
}

#[test]
fn names_that_are_used_again_are_not_answered_by_the_record_that_closed_the_first_of_them() {
    let (one, names) = (complete("1"), by_id("orders", "a1", Some(0)));
    let again = Pending { schedule_id: 9, ..pending(0, PendingState::Started, None) };
    let sight = |first: &str, cut_short| {
        let activities = vec![answered(0, &one, first), Past { schedule_id: 9, ..past(0, None) }];
        let history = Some(History { activities, cut_short });
        Sight::Workflow(WorkflowSight { pending: vec![again.clone()], history, ..WorkflowSight::default() })
    };
    let ours = identity(OURS, &one);
    assert_eq!(judge(&names, &one, &sight(&ours, None)), "applied by history");
    assert_eq!(judge(&names, &one, &sight(&ours, Some("limit"))), "applied by history");
    let theirs = identity("activity-replies/0/3", &one);
    assert_eq!(judge(&names, &one, &sight(&theirs, None)), "open 0");
    let unread = judge(&names, &one, &sight(&theirs, Some("limit")));
    assert!(unread.starts_with("not_found: whether this very record closed an earlier"), "{unread}");
}

#[test]
fn names_without_an_attempt_mean_whichever_is_current() {
    let (one, names) = (complete("1"), by_id("orders", "a1", None));
    let by_names = |sight: &Sight| judge(&names, &one, sight);
    assert_eq!(by_names(&open(pending(3, PendingState::Started, None))), "open 3");
    assert_eq!(by_names(&open(pending(3, PendingState::Scheduled, None))), "not yet");
    assert!(by_names(&read(None, vec![answered(2, &one, "worker")], None)).starts_with("duplicate"));
    // An id may be used again; in half a history the last that is seen need not be the last.
    let both = vec![answered(0, &one, "worker"), Past { schedule_id: 9, ..timed_out(0) }];
    assert!(by_names(&read(None, both.clone(), None)).starts_with("timed_out"));
    assert!(by_names(&read(None, both, Some("limit"))).starts_with("not_found"));
    let ours = vec![answered(0, &one, &identity(OURS, &one))];
    assert_eq!(by_names(&read(None, ours, Some("limit"))), "applied by history");
}

#[test]
fn names_with_an_attempt_wait_for_it_and_a_token_cannot_be_early() {
    let one = complete("1");
    let early = open(pending(1, PendingState::Started, None));
    assert_eq!(judge(&by_id("orders", "a1", Some(2)), &one, &early), "not yet");
    assert_eq!(judge(&by_id("orders", "a1", Some(1)), &one, &early), "open 1");
    assert!(judge(&by_id("orders", "a1", Some(0)), &one, &early).starts_with("superseded"));
    let before = open(pending(-1, PendingState::Started, None));
    check(&one, &before, "unknown: the token names attempt 0");
}

fn some_answer() -> impl Strategy<Value = Answer> {
    prop_oneof![
        "[a-c]".prop_map(|text| Answer::Complete { result: Some(Bytes::from(text)) }),
        "[a-c]".prop_map(|text| fail(&text)),
        Just(Answer::Cancel { details: None }),
    ]
}

prop_compose! {
    fn some_past()(attempt in 0i64..3, answer in some_answer(), by in 0u8..3, how in 0u8..3) -> Past {
        let who = match by {
            0 => identity(OURS, &answer),
            1 => identity("activity-replies/1/1", &answer),
            _ => "worker".to_owned(),
        };
        match how {
            0 => past(attempt, None),
            1 => timed_out(attempt),
            _ => answered(attempt, &answer, &who),
        }
    }
}

proptest! {
    /// Applied is said only of what history or the last failure shows; beyond the limits nothing is guessed; the state in
    /// which an event is still to come is never taken for an end.
    #[test]
    fn nothing_is_guessed(
        answer in some_answer(),
        pasts in proptest::collection::vec(some_past(), 0..2),
        closed in any::<bool>(),
        cut in any::<bool>(),
        asked in 0i64..3,
    ) {
        let target = by_id("orders", "a1", Some(asked));
        let (identity, fingerprint) = (identity(OURS, &answer), Fingerprint::of(&answer));
        let question = Question { target: &target, answer: &answer, fingerprint, identity: &identity };
        let sight = read(closed.then_some(CloseStatus::Failed), pasts.clone(), cut.then_some("limit"));
        let closing = pasts.first().and_then(|past| past.closing.as_ref());
        let ours = matches!(closing, Some(Closing::Answered { identity: who, action, .. })
            if *who == identity && *action == answer.action());
        match question.judge(&sight) {
            Judgement::Final(known) => {
                prop_assert_eq!(known.outcome == OutcomeKind::Applied, ours);
                prop_assert_eq!(known.evidence, ours.then_some(Evidence::History));
                prop_assert!(ours || !cut || known.outcome == OutcomeKind::NotFound, "a guess: {:?}", known);
                prop_assert!(!known.detail.is_empty());
                prop_assert!(answer.action() != Action::Heartbeat);
            }
            Judgement::Unseen => prop_assert!(!closed && !cut && pasts.len() == 1 && closing.is_none()),
            other => prop_assert!(false, "nothing is open: {:?}", other),
        }
    }
}
