//! A bridge in a process of its own: for kills and signals.

use std::process::{Child, Command, Stdio};

use handback::config::Settings;
use tempfile::NamedTempFile;

use super::until;

/// A running `handback run`, or `handback dispatch`. Dropped, it is killed.
pub(crate) struct Process {
    child: Child,
    log: NamedTempFile,
    _settings: NamedTempFile,
}

impl Process {
    pub(crate) fn start(settings: &Settings) -> Self {
        Self::start_command(settings, "run")
    }

    pub(crate) fn start_command(settings: &Settings, command: &str) -> Self {
        let file = NamedTempFile::with_suffix(".toml").unwrap();
        std::fs::write(file.path(), toml::to_string(settings).unwrap()).unwrap();
        let log = NamedTempFile::new().unwrap();
        let child = Command::new(env!("CARGO_BIN_EXE_handback"))
            .args(["--config", file.path().to_str().unwrap(), command])
            .env_remove("HANDBACK_CONFIG")
            .stdout(Stdio::null())
            .stderr(log.reopen().unwrap())
            .spawn()
            .unwrap();
        Self { child, log, _settings: file }
    }

    /// Ends it as a power failure would.
    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// What it has logged.
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.log.path()).unwrap()
    }

    /// Sends a signal by name.
    pub(crate) fn signal(&self, name: &str) {
        let sent = Command::new("kill").args([&format!("-{name}"), &self.child.id().to_string()]).status().unwrap();
        assert!(sent.success());
    }

    /// Waits until it has ended, and returns its exit code.
    pub(crate) async fn exit_code(&mut self) -> Option<i32> {
        until("the process ends", async || self.child.try_wait().unwrap().is_some()).await;
        self.child.wait().unwrap().code()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Gone already, if the scenario ended it.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
