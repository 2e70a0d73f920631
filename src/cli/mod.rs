//! The commands: settings in, library call, text out.

mod args;
mod paint;

mod check;
mod reply;
mod run;
mod settings;
mod signals;
mod topics;

use tokio::task::JoinError;

pub use args::{Cli, Command, Need};

use crate::config::Settings;
use crate::exit::Exit;
use crate::kafka::cluster::Unreachable;
use crate::kafka::topics::AdminError;

/// Why a command could not do what it was asked; one line for people.
#[derive(Debug, thiserror::Error)]
pub enum Failed {
    /// The cluster could not be looked at or changed.
    #[error(transparent)]
    Kafka(#[from] Unreachable),
    /// An admin request was not answered.
    #[error(transparent)]
    Admin(#[from] AdminError),
    /// What was asked for makes no sense; nothing was done.
    #[error("{0}")]
    Usage(String),
    /// A task of our own died.
    #[error("internal error: {0}")]
    Task(#[from] JoinError),
}

impl Failed {
    /// The exit code that says the same.
    #[must_use]
    pub fn exit(&self) -> Exit {
        match self {
            Self::Usage(_) => Exit::BadSettings,
            Self::Kafka(_) | Self::Admin(_) | Self::Task(_) => Exit::Failed,
        }
    }
}

/// Does what the command line asks for. Needs a tokio runtime.
///
/// # Errors
/// When the command could not do what it was asked.
pub async fn execute(cli: Cli, settings: &Settings) -> Result<Exit, Failed> {
    match cli.command {
        Command::Run => Ok(run::run(settings).await),
        Command::Dispatch => Ok(run::dispatch(settings).await),
        #[cfg(feature = "dev")]
        Command::Dev(args) => Ok(run::dev(&args).await),
        Command::Check(args) => check::check(settings, cli.config.as_deref(), &args).await,
        Command::Topics(args::Topics::Create(args)) => topics::create(settings, &args).await,
        Command::Reply(reply) => reply::reply(settings, *reply).await,
        Command::Settings(args) => Ok(settings::settings(settings, &args)),
    }
}

/// Runs what blocks where it may.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, JoinError> {
    tokio::task::spawn_blocking(work).await
}
