//! Kills and signals: the bridge as a process, on the embedded stack.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use handback::config::{GroupProtocol, Settings};
use handback::dev::engine::{ActivityState, Attempt, Effect, Method, Rule};
use handback::wire::{OutRecord, OutcomeKind};

use crate::support::{PARTITIONS, Process, Source, Stage, envelope, until, value};

/// The mock cluster forgets members of a classic group whose session ends within the three seconds of the first join.
const SESSION: Duration = Duration::from_millis(3600);

fn classic(stage: &Stage) -> Settings {
    let mut settings = stage.settings();
    settings.kafka.group_protocol = GroupProtocol::Classic;
    settings.kafka.session_timeout = SESSION;
    settings
}

async fn answer(stage: &Stage, number: i32) -> (String, Source) {
    let workflow_id = format!("order-{number}");
    let attempt = stage.activity(&workflow_id);
    let reply = envelope(&attempt, &format!(r#""result": {number}"#));
    let source = stage.log.write(OutRecord { partition: Some(number % PARTITIONS), ..reply }).await;
    (workflow_id, source)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn second_member_takes_over_without_loss() {
    let stage = Stage::set().await;
    let settings = classic(&stage);
    let mut first = Process::start(&settings);
    let _second = Process::start(&settings);
    let mut written = Vec::new();
    for number in 0..60 {
        written.push(answer(&stage, number).await);
    }
    // Both are at it: the kill comes in the middle.
    until("some replies have their outcome", async || stage.log.outcomes().len() >= 20).await;
    for number in 60..160 {
        written.push(answer(&stage, number).await);
        if number == 80 {
            first.kill();
        }
    }
    for (number, (workflow_id, source)) in written.iter().enumerate() {
        let outcome = stage.log.outcome(*source).await;
        let result = stage.book(workflow_id).closing.unwrap().payload.unwrap();
        assert_eq!(result, number.to_string(), "{outcome:?}");
    }
    for (_, source) in &written[written.len() - 4..] {
        stage.until_committed(*source).await;
    }
    // What the kill repeated is found to be closed: by the first outcome of each reply it was applied, or it was
    // applied by the one that was killed before it could say so.
    let unsaid = written.iter().filter(|(_, source)| stage.log.outcomes_of(*source)[0].kind != OutcomeKind::Applied);
    assert!(unsaid.count() < 60, "no more than what was in hand");
}

fn slow(stage: &Stage, effect: Effect) -> Attempt {
    let attempt = stage.activity("slow");
    stage.engine.faults().add(Rule::new(effect).workflow("slow"));
    attempt
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sigterm_finishes_work_in_hand() {
    let stage = Stage::set().await;
    let attempt = slow(&stage, Effect::Delay(Duration::from_millis(700)));
    let mut process = Process::start(&stage.settings());
    let source = stage.reply(&attempt, r#""result": 1"#).await;
    // Each of the two workers asks once whether the engine is ours.
    until("the call is on its way", async || stage.engine.calls(Method::Completed) == 3).await;
    process.signal("TERM");
    assert_eq!(process.exit_code().await, Some(0));
    assert_eq!(stage.committed(0).await, 1);
    stage.outcome(source, OutcomeKind::Applied).await;
    assert_eq!(stage.book("slow").state, ActivityState::Closed);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_token_is_in_the_log_even_at_trace() {
    let stage = Stage::set().await;
    let attempt = stage.activity("order-1");
    stage.engine.faults().add(Rule::new(Effect::ApplyThenReset).workflow("order-1").times(1));
    let mut settings = stage.settings();
    settings.log.filter = "trace".to_owned();
    let mut process = Process::start(&settings);
    // Applied and answered too late, wrong in a field, wrong in the token itself: everything that there is to say.
    let late = stage.reply(&attempt, r#""result": "swordfish""#).await;
    stage.reply(&attempt, r#""resutl": "swordfish""#).await;
    let broken = STANDARD.encode(&attempt.token[..attempt.token.len() - 2]);
    let last = stage.log.write(value(format!(r#"{{"task_token": "{broken}", "result": 1}}"#))).await;
    stage.outcome(late, OutcomeKind::Applied).await;
    stage.outcome(last, OutcomeKind::Rejected).await;
    process.signal("TERM");
    assert_eq!(process.exit_code().await, Some(0));
    let log = process.log();
    assert!(log.contains("partition assigned"), "the log is there");
    for secret in [&STANDARD.encode(&attempt.token)[..80], "scheduleId", "swordfish"] {
        let line = log.lines().find(|line| line.contains(secret));
        assert_eq!(line, None, "{secret} is in the log");
    }
}
