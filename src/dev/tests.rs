//! The parts of the show that need no stack: what services write, what the timeline shows, what the audit finds.

use bytes::Bytes;
use serde_json::json;

use super::account::Account;
use super::audit::audit;
use super::demo::{DOMAIN, stories};
use super::engine::{ActivityBook, ActivityState, Books, CloseStatus, Closing, Ending, WorkflowBook};
use super::observer::{Reach, Sighting, What};
use super::services::answers;
use super::timeline::Timeline;
use crate::wire::{
    self, DeadLetter, Headers, Input, Limits, Origin, OutRecord, Outcome, OutcomeKind, Record, RefusalCode, Request,
    RequestActivity, TaskToken,
};

const RUN: &str = "0d6f4d3e-9a4c-4f43-8f2e-7d8a2b1c0e5f";

fn token(activity_type: &str, attempt: i64) -> TaskToken {
    let claims = json!({
        "domainId": RUN, "workflowId": "order-1", "runId": RUN, "scheduleId": 5, "scheduleAttempt": attempt,
        "activityId": activity_type.to_lowercase(), "activityType": activity_type, "workflowType": "plan",
    });
    TaskToken::check(claims.to_string().into()).unwrap()
}

fn request(activity_type: &str, attempt: i64, amount: u32) -> Request {
    let activity = RequestActivity {
        domain: DOMAIN.to_owned(),
        workflow_id: "order-1".to_owned(),
        run_id: RUN.to_owned(),
        activity_id: activity_type.to_lowercase(),
        attempt,
        activity_type: activity_type.to_owned(),
        workflow_type: "plan".to_owned(),
    };
    let mut request = Request::new(token(activity_type, attempt)).with_activity(activity);
    request.input = Some(Input::from_payload(Bytes::from(format!("{}\n", json!({"amount": amount})))));
    request.reply_to = Some("activity-replies".to_owned());
    request
}

/// A record as it stands on the topic.
fn standing(record: OutRecord, offset: i64) -> Record {
    let origin = Origin { topic: record.topic, partition: 0, offset, timestamp_ms: Some(1_000) };
    Record { origin, key: record.key, value: record.value, headers: record.headers }
}

fn seen(record: &Record) -> What {
    What::Reply(Box::new(record.clone()), wire::decode(record, &Limits::default()).map(Box::new))
}

#[test]
fn every_activity_of_the_demo_has_a_service_whose_replies_can_be_read() {
    for activity in stories().into_iter().flat_map(|story| story.plan.activities) {
        let replies = answers(&request(&activity.activity_type, 0, 100));
        assert!(!replies.is_empty(), "{}", activity.activity_type);
        let unreadable = replies.into_iter().map(|(_, reply)| standing(reply, 0));
        let unreadable = unreadable.filter(|reply| wire::decode(reply, &Limits::default()).is_err()).count();
        // The label printer's first one, and no other.
        assert_eq!(unreadable, usize::from(activity.activity_type == "PrintLabel"), "{}", activity.activity_type);
    }
}

#[test]
fn timeline_keeps_to_its_columns_and_shows_no_token() {
    let mut timeline = Timeline::new(0);
    let mut tell = |what| {
        let line = timeline.tell(&Sighting { at_ms: 12_345_678, what }).unwrap();
        anstream::adapter::strip_str(&line).to_string()
    };
    let secret = String::from_utf8(token("Leak", 0).bytes().to_vec()).unwrap();
    let long = format!("{}/{}", "d".repeat(80), "w".repeat(90));
    let mut record = standing(answers(&request("PrintLabel", 0, 1)).remove(0).1, 7);
    record.key = Some(long.into());
    let letter = DeadLetter {
        record: &record,
        outcome: OutcomeKind::Rejected,
        reason: RefusalCode::BadJson.as_str(),
        detail: &"every word of it, and ".repeat(12),
        attempts: 0,
        engine_status: None,
        token: None,
    };
    let letter = standing(letter.to_record("activity-replies-dlq".into()), 3);
    let leak = json!({"task_token": wire_token(), "result": {"echo": secret}}).to_string();
    let leak = Record { value: Some(leak.into()), headers: Headers::new(), ..record.clone() };
    let request = request("ThisActivityTypeIsMuchTooLong", 3, 1);
    let lines = [
        tell(What::Request(record.origin.clone(), Some(Box::new(request)))),
        tell(seen(&record)),
        tell(seen(&leak)),
        tell(What::DeadLetter(Box::new(letter))),
        tell(What::Outcome(Box::new(Outcome::new(OutcomeKind::WorkflowClosed, record.origin.clone(), 1, 2)))),
        tell(What::Offsets(vec![Reach { partition: 3, committed: Some(1_234_567), end: 9_999_999 }; 12])),
    ];
    for line in lines.iter().flat_map(|line| line.lines()) {
        assert!(line.chars().count() <= 100, "{line}");
        assert!(!line.contains("scheduleId") && !line.contains("eyJ"), "{line}");
    }
    assert!(lines[3].contains("bad_json") && lines[3].lines().count() > 3, "{}", lines[3]);
    assert!(lines[2].contains(" bytes)"), "{}", lines[2]);
}

/// What a service, or whoever starts a workflow, could write to act on the terminal of whoever watches.
#[test]
fn a_text_of_others_does_not_act_on_the_terminal_that_shows_it() {
    const FORGED: &str = "no\n   1.234  \u{2713} applied    order-9\r\u{1b}[2J\u{9b}31m\u{202e}\u{2028}";
    let mut timeline = Timeline::new(0);
    let mut tell = |what| {
        let line = timeline.tell(&Sighting { at_ms: 5, what }).unwrap();
        anstream::adapter::strip_str(&line).to_string()
    };
    let mut record = standing(answers(&request("PrintLabel", 0, 1)).remove(0).1, 7);
    record.key = Some(format!("{FORGED}/{FORGED}").into());
    let failed = json!({"task_token": wire_token(), "failure": {"reason": FORGED, "details": FORGED}}).to_string();
    let failed = Record { value: Some(failed.into()), headers: Headers::new(), ..record.clone() };
    let mut dead = record.clone();
    dead.headers.push(crate::wire::names::DLQ_REASON, Bytes::from(FORGED));
    dead.headers.push(crate::wire::names::DLQ_DETAIL, Bytes::from(FORGED));
    let mut named = request("Forged", 0, 1);
    if let Some(activity) = &mut named.activity {
        (activity.workflow_id, activity.activity_type) = (FORGED.to_owned(), FORGED.to_owned());
    }
    let invitation = super::play::invitation(&named, &crate::config::Settings::default(), "handback");
    assert!(!invitation.contains(FORGED));
    for what in [
        What::Request(record.origin.clone(), Some(Box::new(named))),
        seen(&record),
        seen(&failed),
        What::DeadLetter(Box::new(dead)),
        What::Closed(FORGED.to_owned(), "completed"),
    ] {
        let told = tell(what);
        let acts =
            |letter: char| letter != '\n' && (letter.is_control() || ('\u{2028}'..='\u{202e}').contains(&letter));
        assert!(!told.chars().any(acts), "{told:?}");
        // Rows below the first are ours, and stand under the text.
        assert!(told.lines().skip(1).all(|row| row.starts_with("                    ")), "{told}");
    }
}

fn wire_token() -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.encode(token("Leak", 0).bytes())
}

/// A reply that was applied, one that was refused, and everything as it should be.
fn sound() -> (Account, Books) {
    let mut account = Account::default();
    let mut enter = |what| account.enter(Sighting { at_ms: 5, what });
    let good = standing(answers(&request("ReserveStock", 0, 1)).remove(0).1, 0);
    let bad = standing(answers(&request("PrintLabel", 0, 1)).remove(0).1, 1);
    let reply = wire::decode(&good, &Limits::default()).unwrap();
    let applied = Outcome {
        fingerprint: Some(reply.fingerprint),
        ..Outcome::new(OutcomeKind::Applied, good.origin.clone(), 1, 2)
    };
    let identity = format!("handback/1/cluster/activity-replies/0/0/{}", reply.fingerprint);
    let rejected = Outcome::new(OutcomeKind::Rejected, bad.origin.clone(), 1, 2);
    let letter = DeadLetter {
        record: &bad,
        outcome: OutcomeKind::Rejected,
        reason: "bad_json",
        detail: "",
        attempts: 0,
        engine_status: None,
        token: None,
    };
    let letter = standing(letter.to_record("activity-replies-dlq".into()), 0);
    enter(seen(&good));
    enter(seen(&bad));
    enter(What::Outcome(Box::new(applied)));
    enter(What::DeadLetter(Box::new(letter)));
    enter(What::Outcome(Box::new(rejected)));
    enter(What::Offsets(vec![Reach { partition: 0, committed: Some(2), end: 2 }]));
    let closing = Closing {
        ending: Ending::Completed,
        event_id: 9,
        identity,
        payload: reply.answer.engine_payload(),
        reason: None,
    };
    let activity = ActivityBook {
        activity_id: "reservestock".to_owned(),
        activity_type: "ReserveStock".to_owned(),
        state: ActivityState::Closed,
        attempt: 0,
        last_failure: None,
        heartbeats: 0,
        heartbeat_details: None,
        cancel_requested: false,
        closing: Some(closing),
    };
    let workflow = WorkflowBook {
        domain: DOMAIN.to_owned(),
        workflow_id: "order-1".to_owned(),
        run_id: RUN.to_owned(),
        closed: Some(CloseStatus::Completed),
        activities: vec![activity],
    };
    (account, Books { workflows: vec![workflow], calls: Default::default() })
}

#[test]
fn audit_finds_nothing_where_everything_agrees() {
    let (account, books) = sound();
    assert!(account.is_settled(4));
    assert!(!account.is_settled(5), "offsets that were looked up before prove nothing");
    assert_eq!(audit(&account, &books, "cluster"), Vec::<String>::new());
}

#[test]
fn audit_names_whatever_disagrees() {
    type Breakage = (&'static str, fn(&mut Account, &mut Books));
    fn closing(books: &mut Books) -> &mut Closing {
        books.workflows[0].activities[0].closing.as_mut().unwrap()
    }
    let breakages: [Breakage; 12] = [
        ("0/0 has no outcome", |account, _| drop(account.outcomes.remove(&(0, 0)))),
        ("where no reply is", |account, _| drop(account.replies.remove(&(0, 1)))),
        ("written again", |account, _| account.repeats = 1),
        ("no dead letter", |account, _| account.dead_letters.clear()),
        ("not what was received", |account, _| account.dead_letters.get_mut(&(0, 1)).unwrap().value = None),
        ("not what was received", |account, _| {
            account.replies.get_mut(&(0, 1)).unwrap().record.headers.push("lost", Bytes::from_static(b"header"));
        }),
        ("committed 1, the log ends at 2", |account, _| account.reaches[0].committed = Some(1)),
        ("something else", |_, books| closing(books).identity.push('!')),
        ("something else", |_, books| closing(books).payload = Some(Bytes::from_static(b"{}"))),
        ("something else", |_, books| closing(books).ending = Ending::Failed),
        ("knows no such activity", |_, books| books.workflows[0].activities.clear()),
        ("not completed", |_, books| books.workflows[0].closed = None),
    ];
    for (expected, breakage) in breakages {
        let (mut account, mut books) = sound();
        breakage(&mut account, &mut books);
        let faults = audit(&account, &books, "cluster");
        assert!(faults.iter().any(|fault| fault.contains(expected)), "{expected}: {faults:?}");
    }
}
