//! The contract between handback and a Cadence server: one list of probes, run against the development engine and
//! against a real server, that asserts codes, texts, typed details and the shapes of answers on the wire.

pub(crate) mod call;
pub(crate) mod calls;
pub(crate) mod expect;
pub(crate) mod situations;
pub(crate) mod stage;

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Instant;

use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use expect::{Report, Verdict};
use stage::{Play, Stage};

type Scene = Pin<Box<dyn Future<Output = Result<(), String>> + Send>>;

/// Runs every probe, up to `at_once` scenes at the same time.
pub(crate) async fn run<S: Stage>(stage: S, at_once: usize) -> Vec<Verdict> {
    let play = Play { stage: Arc::new(stage) };
    let report = Report::default();
    let permits = Arc::new(Semaphore::new(at_once));
    let mut running = JoinSet::new();
    for (name, scene) in scenes(&play, &report) {
        let (permits, report) = (Arc::clone(&permits), report.clone());
        running.spawn(async move {
            let _permit = permits.acquire_owned().await;
            let began = Instant::now();
            if let Err(why) = scene.await {
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
    for situation in situations::ALL {
        let scene = situations::probe(play.clone(), report.clone(), situation);
        scenes.push((format!("{situation:?}"), Box::pin(scene)));
    }
    scenes
}
