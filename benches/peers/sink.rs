//! The sink as a process of its own: handback's development engine, saying OK to every completion, and keeping the
//! stopwatch. It looks at the peer's CPU and memory in the very moment a mark is reached.
//!
//! It is told on its standard input, and answers on its standard output, a line each:
//!
//! | told | answers |
//! |---|---|
//! | `expect <pause ms> <mark>...` | `ready`; everything is forgotten. A mark is a number of distinct records |
//! | `pid <pid>` | nothing; whose CPU and memory count |
//! | (a call) | `mark <records> <unix us> <cpu us> <peak KiB>` at the first call and at each mark |
//! | `tell` | `told <records> <repeats> <late us>...`, a latency for each record that carries the time it was sent |

use std::collections::HashSet;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use handback::dev::engine::Engine;
use tokio::net::TcpListener;

/// Marks the workflow ids of records that carry the time at which they were sent, in microseconds since 1970.
pub(crate) const SENT: &str = "sent-";

#[derive(Default)]
struct Watch {
    pause_ms: u64,
    marks: Vec<usize>,
    pid: u32,
    /// Numbers of the records of the full load, and times of those of the low load, that have come.
    seen: HashSet<u64, rustc_hash::FxBuildHasher>,
    sent: HashSet<u64, rustc_hash::FxBuildHasher>,
    repeats: usize,
    late: Vec<u64>,
}

impl Watch {
    /// Counts a call, and says how long its answer takes; `None` for what is no record of the bench (handback's probe).
    fn call(&mut self, body: &[u8]) -> Option<Duration> {
        let workflow = workflow_id(body)?;
        let (is_sent, number) = match workflow.strip_prefix(SENT) {
            Some(sent) => (true, sent),
            None => (false, workflow.strip_prefix("order-")?),
        };
        let number: u64 = number.parse().ok()?;
        if is_sent && self.sent.insert(number) {
            self.late.push(now_us().saturating_sub(number));
        } else if !is_sent && self.seen.insert(number) {
            self.mark();
        } else {
            self.repeats += 1;
        }
        // The timer adds up to a millisecond, which the range leaves out.
        Some(Duration::from_millis(if self.pause_ms == 0 { 0 } else { fastrand::u64(0..self.pause_ms) }))
    }

    fn mark(&self) {
        let count = self.seen.len();
        if count == 1 || self.marks.contains(&count) {
            println!("mark {count} {} {} {}", now_us(), cpu_us(self.pid), peak_kib(self.pid));
        }
    }

    fn told(&mut self, line: &str) {
        let (verb, rest) = line.split_once(' ').unwrap_or((line, ""));
        let mut numbers = rest.split_whitespace().map(|word| word.parse::<usize>().expect("a number"));
        match verb {
            "expect" => {
                let pause_ms = numbers.next().expect("a pause") as u64;
                *self = Watch { pause_ms, marks: numbers.collect(), ..Watch::default() };
                println!("ready");
            }
            "pid" => self.pid = numbers.next().expect("a pid") as u32,
            "tell" => {
                let late: Vec<String> = self.late.iter().map(ToString::to_string).collect();
                println!("told {} {} {}", self.seen.len(), self.repeats, late.join(" "));
            }
            other => panic!("the sink does not know {other}"),
        }
    }
}

/// Serves until its standard input ends.
pub(crate) fn play() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
    let watch = Arc::new(Mutex::new(Watch::default()));
    let calls = Arc::clone(&watch);
    let engine = runtime
        .block_on(async { Engine::watched_sink(listener, move |body| calls.lock().unwrap().call(body)) })
        .unwrap();
    println!("{}", engine.address());
    std::thread::spawn(move || {
        for line in std::io::stdin().lines() {
            watch.lock().unwrap().told(&line.unwrap());
        }
        std::process::exit(0);
    });
    runtime.block_on(std::future::pending::<()>());
}

/// The workflow id in a JSON token, without parsing it: the sink shares the machine with whom it judges.
fn workflow_id(body: &[u8]) -> Option<&str> {
    const NAME: &[u8] = br#""workflowId":""#;
    let from = body.windows(NAME.len()).position(|window| window == NAME)? + NAME.len();
    let length = body[from..].iter().position(|byte| *byte == b'"')?;
    std::str::from_utf8(&body[from..from + length]).ok()
}

pub(crate) fn now_us() -> u64 {
    jiff::Timestamp::now().as_microsecond() as u64
}

/// User and system time of a process, all threads, in steps of 10 ms. Zero for a process that is not known yet.
fn cpu_us(pid: u32) -> u64 {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let after_name = stat.rsplit(')').next().unwrap_or_default();
    after_name.split_whitespace().skip(11).take(2).filter_map(|word| word.parse::<u64>().ok()).sum::<u64>() * 10_000
}

fn peak_kib(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmHWM")).unwrap_or_default();
    line.split_whitespace().nth(1).and_then(|kib| kib.parse().ok()).unwrap_or(0)
}

/// What the sink saw when a mark was reached.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Mark {
    pub(crate) records: usize,
    pub(crate) at_us: u64,
    pub(crate) cpu_us: u64,
    pub(crate) peak_kib: u64,
}

/// The sink, seen from the bench.
pub(crate) struct Sink {
    child: Child,
    input: ChildStdin,
    lines: Receiver<String>,
    /// `host:port`
    pub(crate) address: String,
}

impl Sink {
    pub(crate) fn start(role: &str) -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .env(role, "sink")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let (send, lines) = channel();
        let output = BufReader::new(child.stdout.take().unwrap());
        std::thread::spawn(move || output.lines().map_while(Result::ok).try_for_each(|line| send.send(line)));
        let address = lines.recv_timeout(Duration::from_secs(10)).expect("the sink says where it listens");
        let input = child.stdin.take().unwrap();
        Self { child, input, lines, address }
    }

    /// A new game: how many records are marks, and how long an answer takes at most.
    pub(crate) fn expect(&mut self, marks: &[usize], pause_ms: usize) {
        let marks: Vec<String> = marks.iter().map(ToString::to_string).collect();
        self.ask(&format!("expect {pause_ms} {}", marks.join(" ")), "ready");
    }

    pub(crate) fn judge(&mut self, pid: u32) {
        self.say(&format!("pid {pid}"));
    }

    /// The next mark, if it is reached within `wait`.
    pub(crate) fn mark(&mut self, wait: Duration) -> Option<Mark> {
        loop {
            let line = self.lines.recv_timeout(wait).ok()?;
            let Some(rest) = line.strip_prefix("mark ") else { continue };
            let n: Vec<u64> = rest.split(' ').map(|word| word.parse().expect("a number")).collect();
            return Some(Mark { records: n[0] as usize, at_us: n[1], cpu_us: n[2], peak_kib: n[3] });
        }
    }

    /// Records that came a second time, and the latencies so far in microseconds.
    pub(crate) fn tell(&mut self) -> (usize, Vec<u64>) {
        let line = self.ask("tell", "told");
        let n: Vec<u64> = line.split_whitespace().skip(1).map(|word| word.parse().expect("a number")).collect();
        (n[1] as usize, n[2..].to_vec())
    }

    fn say(&mut self, line: &str) {
        writeln!(self.input, "{line}").expect("the sink listens");
    }

    /// Marks of a game that is over may still be under way; its answer comes after them.
    fn ask(&mut self, line: &str, word: &str) -> String {
        self.say(line);
        loop {
            let answer = self.lines.recv_timeout(Duration::from_secs(10)).expect("the sink answers");
            if answer.starts_with(word) {
                return answer;
            }
        }
    }
}

impl Drop for Sink {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
