//! `handback run`, as an operator starts it.

use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use handback::config::Settings;

/// Longest wait for a process to be ready or to end.
const PATIENCE: Duration = Duration::from_secs(120);

pub(crate) struct Process {
    child: Child,
    port: u16,
    folder: tempfile::TempDir,
}

impl Process {
    pub(crate) fn start(settings: &Settings) -> Self {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let mut settings = settings.clone();
        settings.admin.listen = Some(([127, 0, 0, 1], port).into());
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("handback.toml"), settings.to_toml()).unwrap();
        let log = fs::File::create(folder.path().join("log")).unwrap();
        let child = Command::new(env!("CARGO_BIN_EXE_handback"))
            .args(["run", "--config", "handback.toml"])
            .current_dir(folder.path())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        Self { child, port, folder }
    }

    pub(crate) fn get(&self, path: &str) -> Option<String> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).ok()?;
        write!(stream, "GET {path} HTTP/1.0\r\n\r\n").ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        Some(answer)
    }

    pub(crate) fn wait_ready(&mut self) {
        self.wait("ready", |answer| answer.starts_with("HTTP/1.0 200"), "/readyz");
    }

    /// Waits until it answers so at this path.
    pub(crate) fn wait(&mut self, what: &str, until: impl Fn(&str) -> bool, path: &str) {
        let give_up = Instant::now() + PATIENCE;
        while !self.get(path).is_some_and(|answer| until(&answer)) {
            let log = || fs::read_to_string(self.folder.path().join("log")).unwrap();
            assert!(self.child.try_wait().unwrap().is_none(), "it ended: {}", log());
            assert!(Instant::now() < give_up, "not {what} within {PATIENCE:?}: {:?}\n{}", self.get(path), log());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// The sum of a metric's series.
    pub(crate) fn metric(&self, name: &str) -> f64 {
        sum(&self.get("/metrics").unwrap_or_default(), name)
    }

    /// User and system time of all its threads, in seconds (steps of 10 ms).
    pub(crate) fn cpu_seconds(&self) -> f64 {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.child.id())).unwrap();
        let after_name = stat.rsplit(')').next().unwrap_or_default();
        let words = after_name.split_whitespace().skip(11).take(2);
        words.filter_map(|word| word.parse::<f64>().ok()).sum::<f64>() / 100.0
    }

    /// A line of `/proc/PID/status` in MiB: `VmRSS`, `VmHWM`.
    pub(crate) fn memory_mib(&self, line: &str) -> f64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find(|text| text.starts_with(line)).unwrap();
        line.split_whitespace().nth(1).unwrap().parse::<f64>().unwrap() / 1024.0
    }

    /// SIGTERM, and the end of it.
    pub(crate) fn stop(mut self) {
        let id = self.child.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &id]).status().unwrap().success());
        assert!(self.child.wait().unwrap().success(), "it drains and ends well");
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub(crate) fn sum(metrics: &str, name: &str) -> f64 {
    let values = metrics.lines().filter(|line| line.starts_with(name)).filter_map(|line| line.rsplit(' ').next());
    values.filter_map(|value| value.parse::<f64>().ok()).sum()
}
