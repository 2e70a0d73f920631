//! Tokens are secrets here too: whatever becomes of an activity, nobody reads its token anywhere but on the request topic.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::model::{SECOND, Stage, Write, refusal, task, transient};
use crate::bridge::seams::{ProduceFault, Verdict};
use crate::bridge::tests::secrets::Sink;

#[test]
fn tokens_of_activities_never_reach_the_log() {
    let (sink, _guards) = Sink::listen();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
    runtime.block_on(async {
        let mut stage = Stage::set();
        let permanent = Write::Fail(ProduceFault::Permanent("no such topic".into()));
        let too_large = Write::Fail(ProduceFault::TooLarge("raise max.message.bytes".into()));
        stage.world.writes.borrow_mut().extend([transient(), permanent, too_large, Write::Panic]);
        stage.world.beat_errors.borrow_mut().push_back(refusal(Verdict::Transient { busy: false }, "UNAVAILABLE"));
        stage.world.fail_errors.borrow_mut().push_back(refusal(Verdict::Transient { busy: false }, "UNAVAILABLE"));
        let mut stray = task(9, 30 * SECOND);
        stray.activity.activity_type = "Refund".into();
        let mut beating = task(8, 30 * SECOND);
        beating.times.heartbeat = SECOND;
        let mut tasks = vec![beating, stray];
        tasks.extend((0..6).map(|number| task(number, 30 * SECOND)));
        let shown = format!("{tasks:?}");
        let tokens: Vec<_> = tasks.iter().map(|task| task.token.clone()).collect();
        tasks.into_iter().for_each(|task| stage.world.schedule(task));
        stage.until(60 * SECOND).await;
        let logged = sink.text();
        for said in ["no leader", "panicked", "handback.NoRoute", "handback.TooLarge"] {
            assert!(logged.contains(said), "the scenario has to reach {said:?}");
        }
        let details: String =
            stage.world.failed.borrow().iter().map(|(_, _, failure)| format!("{:?}", failure.details)).collect();
        let places = [
            ("the log", logged),
            ("Debug", shown),
            ("health", format!("{:?}", stage.health.reasons())),
            ("metrics", stage.metrics.encode()),
            ("the details of a failure", details),
        ];
        for (place, text) in places {
            assert!(!text.contains("scheduleId"), "a token is shown by {place}");
            for token in &tokens {
                let list = format!("{:?}", &token[..12]);
                for form in [STANDARD.encode(token), list.trim_matches(['[', ']']).to_owned()] {
                    assert!(!text.contains(&form), "a token is shown by {place}: {form}");
                }
            }
        }
    });
}
