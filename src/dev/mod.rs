//! `handback dev`: broker, engine, bridge and a demo in one process, with nothing to install. Broker and engine are
//! what the tests stand on too.

mod stack;

mod broker;
pub mod engine;

mod show;

mod demo;
mod services;

mod account;
mod audit;
mod observer;
mod texts;
mod timeline;

mod play;

mod clients;

#[cfg(test)]
mod tests;

use tokio_util::sync::CancellationToken;

use crate::exit::Exit;

pub use broker::{Broker, BrokerError, Cluster};
pub(crate) use stack::Stack;
pub use stack::{StackError, settings};

/// How `handback dev` is run.
#[derive(Clone, Debug)]
pub struct Options {
    /// Run the demo, check its books and end.
    pub once: bool,
    /// How this program was called, for the commands that are shown.
    pub program: String,
}

/// Runs the stack and the demo, and tells on standard output what there is to see. Needs a tokio runtime.
///
/// With [`Options::once`] it ends after the demo, well if the books agree; otherwise it goes on until `shutdown`.
pub async fn dev(options: Options, shutdown: CancellationToken) -> Exit {
    match show::run(&options, &shutdown).await {
        Ok(exit) => exit,
        Err(error) => {
            anstream::eprintln!("handback dev: {}", crate::admin::Printable(&error));
            Exit::Failed
        }
    }
}
