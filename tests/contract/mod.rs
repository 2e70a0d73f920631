//! The contract between handback and a Cadence server: one list of probes, run against the development engine and
//! against a real server, that asserts codes, texts, typed details and the shapes of answers on the wire.

pub(crate) mod addressing;
pub(crate) mod call;
pub(crate) mod calls;
pub(crate) mod client;
pub(crate) mod effects;
pub(crate) mod expect;
pub(crate) mod frontdesk;
pub(crate) mod lookups;
pub(crate) mod metadata;
pub(crate) mod situations;
pub(crate) mod stage;

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::Instant;

use calls::FORMS;
use expect::{Report, Verdict};
use stage::{Play, Stage};

type Scene = Box<dyn Fn() -> Pin<Box<dyn Future<Output = Result<(), String>> + Send>> + Send + Sync>;

/// Runs every probe, up to `at_once` scenes at the same time.
pub(crate) async fn run<S: Stage>(stage: S, at_once: usize) -> Vec<Verdict> {
    let tries = stage.tries();
    let play = Play { stage: Arc::new(stage) };
    let report = Report::default();
    let permits = Arc::new(Semaphore::new(at_once));
    let mut running = JoinSet::new();
    for (name, scene) in scenes(&play, &report) {
        let (permits, report) = (Arc::clone(&permits), report.clone());
        running.spawn(async move {
            let _permit = permits.acquire_owned().await;
            let began = Instant::now();
            if let Err(why) = play_out(&name, &scene, tries).await {
                report.unmade(name.clone(), why);
            }
            (name, began.elapsed())
        });
    }
    let mut slowest = Vec::new();
    while let Some(done) = running.join_next().await {
        slowest.push(done.expect("no scene panics"));
    }
    slowest.sort_by_key(|(_, took)| std::cmp::Reverse(*took));
    for (name, took) in slowest.iter().take(5) {
        println!("      {:5.1} s  {name}", took.as_secs_f64());
    }
    report.verdicts()
}

/// What a scene has asserted stands, whichever try it was; only that the situation did not come about is tried again.
async fn play_out(name: &str, scene: &Scene, tries: u32) -> Result<(), String> {
    for left in (0..tries).rev() {
        match scene().await {
            Err(why) if left > 0 => println!("{name}: once more, because {why}"),
            ended => return ended,
        }
    }
    unreachable!("a scene is played once at least")
}

/// Prints a line for each probe that went wrong, or for all of them, and a summary. `true` = all is well.
pub(crate) fn summary(verdicts: &[Verdict], all: bool) -> bool {
    for verdict in verdicts.iter().filter(|verdict| all || !verdict.passed) {
        println!("{verdict}");
    }
    let wrong = verdicts.iter().filter(|verdict| !verdict.passed).count();
    println!("{} probes, {wrong} wrong", verdicts.len());
    wrong == 0
}

fn scenes<S: Stage>(play: &Play<S>, report: &Report) -> Vec<(String, Scene)> {
    let mut scenes: Vec<(String, Scene)> = Vec::new();
    macro_rules! add {
        ($name:expr, $scene:path $(, $with:expr)?) => {{
            let (play, report) = (play.clone(), report.clone());
            let scene: Scene = Box::new(move || Box::pin($scene(play.clone(), report.clone() $(, $with)?)));
            scenes.push((($name).to_owned(), scene));
        }};
    }
    // The slow ones first: everything else is done while they wait.
    for form in FORMS {
        add!("cancel unasked for long", effects::cancel_unasked_for_long, form);
        add!("sizes", effects::sizes, form);
        add!("cancel on request", effects::cancel_on_request, form);
    }
    for kind in [effects::Timeout::StartToClose, effects::Timeout::Heartbeat] {
        add!(&format!("{kind:?} timeout"), effects::timeouts, kind);
    }
    for situation in situations::ALL {
        add!(&format!("{situation:?}"), situations::probe, situation);
    }
    macro_rules! all {
        ($($scene:path),* $(,)?) => {
            $(add!(stringify!($scene), $scene);)*
        };
    }
    all![
        addressing::a_schedule_id_beyond_the_history_for_long,
        addressing::a_schedule_id_beyond_the_history,
        addressing::bad_ids_are_refused,
        addressing::bad_tokens_are_refused,
        addressing::identities,
        addressing::spellings_are_taken,
        effects::cancel_before_the_start,
        effects::cancel_unasked,
        effects::ends_despite_a_policy,
        effects::heartbeats,
        effects::open,
        effects::payloads,
        effects::races,
        effects::repeats,
        frontdesk::domains,
        frontdesk::health,
        frontdesk::polls,
        frontdesk::tasks,
        lookups::cancelling_workflows,
        lookups::describe,
        lookups::describe_closed,
        lookups::history,
        lookups::misnamed_workflows,
        lookups::page_tokens,
        lookups::starting,
        lookups::waiting_for_events,
        metadata::acceptances,
        metadata::refusals,
        metadata::trailers,
    ];
    scenes
}
