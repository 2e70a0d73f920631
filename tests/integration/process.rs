//! `handback run` as a supervisor meets it: readiness, signals, exit codes.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use handback::config::Settings;
use handback::dev::Broker;
use handback::dev::engine::{ActivityPlan, ActivityState, Effect, Engine, Method, Plan, Rule};
use tokio::time::Instant;

const DOMAIN: &str = "orders";
const LIST: &str = "list";

/// Nothing here takes seconds; a machine under load may.
const PATIENCE: Duration = Duration::from_secs(60);

/// Waits for `condition`.
#[track_caller]
fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let begin = Instant::now();
    while !condition() {
        assert!(begin.elapsed() < PATIENCE, "waited in vain: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Broker and engine of this test, and how to reach them.
struct Stack {
    engine: Engine,
    _broker: Broker,
    _runtime: tokio::runtime::Runtime,
    admin: String,
    env: Vec<(&'static str, String)>,
}

impl Stack {
    fn start() -> Self {
        let usual = Settings::default().topics;
        let names = usual.replies.into_iter().chain(usual.retry).chain([usual.outcomes, usual.dead_letters]);
        let broker = Broker::start(&names.map(|name| (name, 2)).collect::<Vec<_>>()).unwrap();
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let engine = runtime
            .block_on(async { Engine::start(tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap()).unwrap() });
        engine.register_domain(DOMAIN).unwrap();
        let admin = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
        let env = vec![
            ("HANDBACK__KAFKA__BROKERS", broker.bootstrap_servers().to_owned()),
            ("HANDBACK__KAFKA__GROUP_ID", "process".to_owned()),
            // The mock cluster keeps the first member of a classic group waiting for seconds.
            ("HANDBACK__KAFKA__GROUP_PROTOCOL", "consumer".to_owned()),
            ("HANDBACK__CADENCE__ENDPOINT", engine.endpoint()),
            ("HANDBACK__ADMIN__LISTEN", admin.clone()),
        ];
        Self { engine, _broker: broker, _runtime: runtime, admin, env }
    }

    fn command(&self, args: &[&str], more: &[(&str, &str)]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_handback"));
        command
            .args(args)
            .env_clear()
            .envs(self.env.iter().map(|(name, text)| (name, text)))
            .envs(more.iter().copied());
        command
    }

    fn run(&self, more: &[(&str, &str)]) -> Bridge {
        let mut child = self.command(&["run"], more).stderr(Stdio::piped()).spawn().unwrap();
        let (log, lines) = (Arc::<Mutex<String>>::default(), BufReader::new(child.stderr.take().unwrap()).lines());
        let into = Arc::clone(&log);
        let reader =
            std::thread::spawn(move || lines.for_each(|line| *into.lock().unwrap() += &(line.unwrap() + "\n")));
        Bridge { child, log, reader: Some(reader) }
    }

    /// Status line and body.
    fn get(&self, path: &str) -> Option<(String, String)> {
        let mut stream = TcpStream::connect(&self.admin).ok()?;
        write!(stream, "GET {path} HTTP/1.1\r\nhost: test\r\nconnection: close\r\n\r\n").ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        let (head, body) = answer.split_once("\r\n\r\n")?;
        Some((head.lines().next()?.to_owned(), body.to_owned()))
    }

    fn until_ready(&self) {
        until("ready", || self.get("/readyz").is_some_and(|(status, _)| status.contains(" 200 ")));
    }

    /// Starts a workflow with one activity and writes the reply that completes it.
    fn answer(&self, workflow: &str) {
        let plan = Plan::parallel([ActivityPlan::new("a", "work")]);
        self.engine.start_workflow(DOMAIN, workflow, LIST, plan).unwrap();
        let token = self.engine.take(DOMAIN, LIST, "worker").unwrap().unwrap().token;
        let mut reply = self
            .command(&["reply", "complete", "--token", "-", "--result", "1"], &[])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        reply.stdin.take().unwrap().write_all(STANDARD.encode(&token).as_bytes()).unwrap();
        assert!(reply.wait().unwrap().success());
    }

    fn is_completed(&self, workflow: &str) -> bool {
        self.engine.books().activity(workflow, "a").is_some_and(|book| book.state == ActivityState::Closed)
    }

    /// The next completion of this workflow's activity is never answered.
    fn silence(&self, workflow: &str) {
        self.engine.faults().add(Rule::new(Effect::Silence).on(&[Method::Completed]).workflow(workflow).times(1));
    }

    /// Waits until that completion is in hand.
    fn until_silent(&self) {
        until("the engine is called", || self.engine.faults().pending() == 0);
    }
}

/// A running `handback run`; killed when the test ends early.
struct Bridge {
    child: Child,
    log: Arc<Mutex<String>>,
    reader: Option<std::thread::JoinHandle<()>>,
}

impl Bridge {
    fn signal(&self, name: &str) {
        let sent = Command::new("kill").args([name, &self.child.id().to_string()]).status().unwrap();
        assert!(sent.success());
    }

    fn log(&self) -> String {
        self.log.lock().unwrap().clone()
    }

    /// Exit code and log.
    fn ended(&mut self) -> (i32, String) {
        until("end of the process", || self.child.try_wait().unwrap().is_some());
        let code = self.child.wait().unwrap().code().expect("ends by itself, not by a signal");
        self.reader.take().unwrap().join().unwrap();
        (code, self.log())
    }
}

impl Drop for Bridge {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn a_ready_bridge_answers_and_ends_with_0_after_a_signal() {
    let stack = Stack::start();
    let mut bridge = stack.run(&[]);
    stack.until_ready();
    stack.answer("order-1");
    until("the activity is completed", || stack.is_completed("order-1"));
    until("the outcome is counted", || {
        stack.get("/metrics").is_some_and(|(_, text)| text.contains("handback_outcomes_total{outcome=\"applied\"} 1\n"))
    });
    bridge.signal("-TERM");
    let (code, log) = bridge.ended();
    assert_eq!(code, 0, "{log}");
    assert!(log.contains("SIGTERM"), "{log}");
}

#[test]
fn work_that_does_not_finish_by_the_drain_deadline_ends_with_70() {
    let stack = Stack::start();
    stack.silence("order-2");
    let mut bridge = stack.run(&[("HANDBACK__BRIDGE__DRAIN_TIMEOUT", "500ms")]);
    stack.until_ready();
    stack.answer("order-2");
    stack.until_silent();
    bridge.signal("-TERM");
    let (code, log) = bridge.ended();
    assert_eq!(code, 70, "{log}");
    assert!(!stack.is_completed("order-2"));
}

#[test]
fn a_second_signal_ends_at_once_with_70() {
    let stack = Stack::start();
    stack.silence("order-3");
    let mut bridge = stack.run(&[("HANDBACK__BRIDGE__DRAIN_TIMEOUT", "40s")]);
    stack.until_ready();
    stack.answer("order-3");
    stack.until_silent();
    bridge.signal("-INT");
    until("the first signal is heard", || bridge.log().contains("stopping"));
    bridge.signal("-TERM");
    let begin = Instant::now();
    let (code, log) = bridge.ended();
    assert_eq!(code, 70, "{log}");
    assert!(begin.elapsed() < Duration::from_secs(30), "it waited for the drain");
    assert!(log.contains("second signal"), "{log}");
}

#[test]
fn something_that_is_no_frontend_of_ours_ends_the_process_with_69() {
    let stack = Stack::start();
    let mut bridge = stack.run(&[("HANDBACK__CADENCE__SERVICE", "somebody-else")]);
    let (code, log) = bridge.ended();
    assert_eq!(code, 69, "{log}");
    assert!(log.contains("cadence.service"), "{log}");
}

#[test]
fn a_half_sent_request_keeps_no_process_from_ending() {
    let stack = Stack::start();
    let half_sent = || {
        let mut stream = TcpStream::connect(&stack.admin).unwrap();
        write!(stream, "GET /metrics HTTP/1.1\r\nhost: te").unwrap();
        stream
    };
    let mut bridge = stack.run(&[]);
    stack.until_ready();
    let held = [half_sent(), half_sent()];
    // Connections are taken in order: both are in hand now.
    assert!(stack.get("/livez").is_some());
    bridge.signal("-TERM");
    let (code, log) = bridge.ended();
    assert_eq!(code, 0, "{log}");
    drop(held);

    let mut bridge = stack.run(&[("HANDBACK__CADENCE__SERVICE", "somebody-else")]);
    until("the admin server listens", || TcpStream::connect(&stack.admin).is_ok());
    let held = half_sent();
    let (code, log) = bridge.ended();
    assert_eq!(code, 69, "{log}");
    drop(held);
}

#[test]
fn an_address_that_is_taken_ends_the_process_with_1_and_its_name() {
    let stack = Stack::start();
    let _taken = TcpListener::bind(&stack.admin).unwrap();
    let mut bridge = stack.run(&[]);
    let (code, log) = bridge.ended();
    assert_eq!(code, 1, "{log}");
    assert!(log.contains(&stack.admin) && log.contains("admin.listen"), "{log}");
}

#[test]
fn check_finds_a_stack_that_is_wired_right() {
    let stack = Stack::start();
    let checked =
        stack.command(&["check", "--json"], &[("HANDBACK__CADENCE__DOMAINS", "orders,nosuch")]).output().unwrap();
    assert_eq!(checked.status.code(), Some(1), "one domain does not exist");
    let report: serde_json::Value = serde_json::from_slice(&checked.stdout).unwrap();
    let level = |subject: &str| {
        let found = report["findings"].as_array().unwrap().iter().find(|finding| finding["subject"] == subject);
        found.unwrap_or_else(|| panic!("{subject} in {report:#}"))["level"].as_str().unwrap().to_owned()
    };
    for subject in ["frontend", "history", "orders", "group", "activity-replies"] {
        assert_eq!(level(subject), "ok", "{subject} in {report:#}");
    }
    assert_eq!(level("nosuch"), "fault");
    let alone = stack.command(&["check"], &[("HANDBACK__CADENCE__DOMAINS", "orders")]).output().unwrap();
    assert_eq!(alone.status.code(), Some(0), "warnings are no faults: {}", String::from_utf8_lossy(&alone.stdout));
    let strange = stack.command(&["check"], &[("HANDBACK__CADENCE__SERVICE", "somebody-else")]).output().unwrap();
    assert_eq!(strange.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&strange.stdout).contains("does not answer like a Cadence frontend"));
}
