//! How the process ends: the exit codes of the command.

use std::process::ExitCode;

/// Why the process ended, as its exit code. Numbers from 64 on follow `sysexits.h`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// Drained after a signal, or the command did what it was asked.
    Ok = 0,
    /// Failed for a reason that has no code of its own; `handback check` found a fault.
    Failed = 1,
    /// Bad settings or usage. Nothing was started.
    BadSettings = 64,
    /// What answers at `cadence.endpoint` is no Cadence frontend that accepts us: restarting will not help, offsets are
    /// untouched.
    Wiring = 69,
    /// Work in hand did not finish by the drain deadline, or a second signal came first; it comes again.
    DrainMissed = 70,
    /// The Kafka client is dead; restarting helps.
    KafkaFatal = 75,
}

impl Exit {
    /// The number.
    #[must_use]
    pub fn code(self) -> u8 {
        self as u8
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}
