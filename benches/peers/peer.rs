//! The peers: what each is called, and how its process is started.

use std::env;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use super::theatre::figures::Stage;

/// Connections to the engine, the same for all (`cadence.connections` by default); the official client has one.
const CONNECTIONS: usize = 2;

/// The collector with the most records a second of three tried, a heap as a service of this size gets, no chatter.
const JAVA_OPTIONS: &str = "-XX:+UseParallelGC -Xmx256m -Dorg.slf4j.simpleLogger.defaultLogLevel=warn";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Peer {
    Go,
    Futures,
    Parallel,
    Official,
    Bare,
    Handback,
}

impl Peer {
    pub(crate) const ALL: [Peer; 6] =
        [Peer::Go, Peer::Futures, Peer::Parallel, Peer::Official, Peer::Bare, Peer::Handback];

    /// As `HANDBACK_BENCH_PEERS` names it.
    pub(crate) fn key(self) -> &'static str {
        match self {
            Peer::Go => "go",
            Peer::Futures => "futures",
            Peer::Parallel => "parallel",
            Peer::Official => "official",
            Peer::Bare => "bare",
            Peer::Handback => "handback",
        }
    }

    pub(crate) fn title(self) -> &'static str {
        match self {
            Peer::Go => "Go: franz-go, grpc-go",
            Peer::Futures => "JVM: poll loop, futures",
            Peer::Parallel => "JVM: parallel-consumer",
            Peer::Official => "JVM: parallel, Cadence client",
            Peer::Bare => "Rust: bare loop, tonic",
            Peer::Handback => "handback, everything on",
        }
    }

    /// Whether it keeps outcomes, a ledger, dead letters and reasons.
    pub(crate) fn keeps_books(self) -> bool {
        self == Peer::Handback
    }

    pub(crate) fn is_built(self) -> bool {
        match self {
            Peer::Go => built("go").exists(),
            Peer::Futures | Peer::Parallel | Peer::Official => built("java/peers.jar").exists(),
            Peer::Bare => true,
            Peer::Handback => handback().exists(),
        }
    }

    /// Starts the peer on a stage. Its output goes to a log beside the builds.
    pub(crate) fn start(self, role: &str, stage: &Stage) -> Running {
        let log = built("logs").join(format!("{}-{}.log", self.key(), stage.run));
        fs::create_dir_all(built("logs")).unwrap();
        let output = File::create(&log).unwrap();
        let mut command = self.command(role, stage);
        command.stdin(Stdio::null()).stdout(output.try_clone().unwrap()).stderr(output);
        let child = command.spawn().unwrap_or_else(|fault| panic!("{} cannot be started: {fault}", self.title()));
        Running { child, log }
    }

    fn command(self, role: &str, stage: &Stage) -> Command {
        match self {
            Peer::Go => told(Command::new(built("go")), stage),
            Peer::Futures => java("peers.Futures", &[], stage),
            Peer::Parallel => java("peers.Parallel", &["reactor"], stage),
            Peer::Official => java("peers.Parallel", &["official"], stage),
            Peer::Bare => {
                let mut command = Command::new(env::current_exe().unwrap());
                command.env(role, "bare").envs(stage.to_env(stage.records, stage.window, &stage.group));
                command
            }
            Peer::Handback => run_handback(stage),
        }
    }
}

/// A process that is killed when it is not needed any more.
pub(crate) struct Running {
    pub(crate) child: Child,
    log: PathBuf,
}

impl Running {
    /// Stops the bench if the peer has ended.
    pub(crate) fn must_run(&mut self) {
        if let Some(status) = self.child.try_wait().unwrap() {
            self.fail(&format!("it ended: {status}"));
        }
    }

    pub(crate) fn fail(&self, fault: &str) -> ! {
        let text = fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        panic!("{fault}\n{}", lines[lines.len().saturating_sub(20)..].join("\n"));
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Where `run` has put what it built.
fn built(name: &str) -> PathBuf {
    let target = env::var_os("CARGO_TARGET_DIR").map(PathBuf::from);
    target.unwrap_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("target")).join("peers").join(name)
}

fn handback() -> PathBuf {
    env::var_os("HANDBACK_BIN").map_or_else(|| built("../release/handback"), PathBuf::from)
}

fn java(class: &str, arguments: &[&str], stage: &Stage) -> Command {
    let options = env::var("HANDBACK_BENCH_JAVA_OPTIONS").unwrap_or_else(|_| JAVA_OPTIONS.to_owned());
    let path = format!("{}:{}/*", built("java/peers.jar").display(), built("java/lib").display());
    let mut command = Command::new("java");
    command.args(options.split_whitespace()).args(["-cp", &path, class]).args(arguments);
    told(command, stage)
}

fn told(mut command: Command, stage: &Stage) -> Command {
    command.env("PEER_BROKERS", &stage.brokers).env("PEER_GROUP", &stage.group);
    command.env("PEER_TOPIC", stage.topic("replies")).env("PEER_ENGINE", stage.endpoint.trim_start_matches("http://"));
    command.env("PEER_WINDOW", stage.window.to_string()).env("PEER_CONNECTIONS", CONNECTIONS.to_string());
    command
}

/// The program as it is installed, with the settings' defaults but for names, addresses and the window.
fn run_handback(stage: &Stage) -> Command {
    let retry = ["30s", "5m", "1h"].map(|delay| format!("{:?}", stage.topic(&format!("retry-{delay}")))).join(", ");
    let text = format!(
        "[kafka]\nbrokers = {:?}\ngroup_id = {:?}\n[cadence]\nendpoint = {:?}\n[bridge]\nmax_in_flight = {}\n\
         [topics]\nreplies = [{:?}]\noutcomes = {:?}\ndead_letters = {:?}\nretry = [{retry}]\n[admin]\nlisten = \"127.0.0.1:0\"\n",
        stage.brokers,
        stage.group,
        stage.endpoint,
        stage.window,
        stage.topic("replies"),
        stage.topic("outcomes"),
        stage.topic("dlq"),
    );
    let settings = built("logs").join(format!("handback-{}.toml", stage.run));
    fs::write(&settings, text).unwrap();
    let mut command = Command::new(handback());
    command.arg("--config").arg(settings).arg("run");
    command
}
