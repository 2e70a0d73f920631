//! `handback dev` as it is called.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

/// Nothing here takes seconds; a machine under load may.
const PATIENCE: Duration = Duration::from_secs(60);

fn handback() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_handback"));
    command.env_remove("HANDBACK_CONFIG").env_remove("CLICOLOR_FORCE");
    command
}

#[test]
fn demo_runs_once_and_its_books_agree() {
    let output = handback().args(["dev", "--once"]).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{text}\n{errors}");
    assert!(text.contains("The books agree"), "{text}");
    for kind in [
        "applied",
        "duplicate",
        "rejected",
        "dead letter",
        "committed",
        "heartbeat",
        "attempt 1",
        "cancel requested",
        "cancel {",
    ] {
        assert!(text.contains(kind), "{kind} is not in\n{text}");
    }
    assert!(!text.contains('\u{1b}'), "no colours outside a terminal");
    assert!(!text.contains("eyJ") && !text.contains("scheduleId"), "no token");
    let longest = text.lines().map(|line| line.chars().count()).max().unwrap();
    assert!(longest <= 100, "{longest} columns");
    assert_eq!(errors, "");
}

#[test]
fn stack_stays_up_and_shows_the_reply_that_answers_its_activity() {
    let mut dev = handback().args(["dev"]).stdout(Stdio::piped()).spawn().unwrap();
    let (tell, told) = mpsc::channel();
    let stdout = BufReader::new(dev.stdout.take().unwrap());
    std::thread::spawn(move || stdout.lines().try_for_each(|line| tell.send(line.unwrap())));
    // What is shown of an answer: the engine closes the workflow before the outcome is written, and either may be seen first.
    let mut awaited: Vec<_> = ["play-1", "play-2"]
        .into_iter()
        .flat_map(|play| ["reply", "applied", "closed"].map(|what| (play, what)))
        .collect();
    let mut shown = Vec::new();
    while !awaited.is_empty() {
        let Ok(line) = told.recv_timeout(PATIENCE) else { panic!("{awaited:?} not in\n{}", shown.join("\n")) };
        if line.starts_with("HANDBACK__KAFKA__BROKERS=") {
            // As it is shown, so it is pasted.
            let pasted = Command::new("sh").args(["-c", &line]).output().unwrap();
            assert!(pasted.status.success(), "{}", String::from_utf8_lossy(&pasted.stderr));
        }
        awaited.retain(|(play, what)| !(line.contains(play) && line.contains(what)));
        assert!(!line.contains("← reply") || !line.contains("play-") || line.contains("ship it"), "{line}");
        shown.push(line);
    }
    let interrupted = Command::new("kill").args(["-INT", &dev.id().to_string()]).status().unwrap();
    assert!(interrupted.success());
    assert_eq!(dev.wait().unwrap().code(), Some(0));
}
