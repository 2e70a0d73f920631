//! The `handback` command: arguments and settings in, exit code out.

use std::env;
use std::process::ExitCode;

use clap::Parser;
use handback::admin::{self, Printable};
use handback::cli::{self, Cli, Need};
use handback::config::{Fault, Faults, Log, Origin, Settings};
use handback::exit::Exit;
use handback::kafka::client;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::util::SubscriberInitExt;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    client::let_threads_outlive_main();
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            let exit = if error.use_stderr() { Exit::BadSettings } else { Exit::Ok };
            // Nobody is left to be told that the terminal is gone.
            let _ = error.print();
            return exit.into();
        }
    };
    match settings(&cli) {
        Ok(settings) => execute(cli, &settings).into(),
        Err(Faults(faults)) => {
            for fault in faults {
                anstream::eprintln!("handback: {}", Printable(fault));
            }
            Exit::BadSettings.into()
        }
    }
}

fn settings(cli: &Cli) -> Result<Settings, Faults> {
    // A variable that is not Unicode cannot be one of ours with a value that is.
    let env = env::vars_os().filter_map(|(name, text)| Some((name.into_string().ok()?, text.into_string().ok()?)));
    let settings = match cli.command.need() {
        Need::Nothing => return Ok(Settings::default()),
        Need::AllButGroup => Settings::load_without_group(cli.config.as_deref(), env),
        Need::Routes => Settings::load_for_dispatch(cli.config.as_deref(), env),
        Need::GroupOrRoutes => Settings::load_for_check(cli.config.as_deref(), env),
        Need::Everything => Settings::load(cli.config.as_deref(), env),
    }?;
    let refused = client::property_faults(&settings.kafka);
    if refused.is_empty() {
        return Ok(settings);
    }
    let fault = |(setting, message)| Fault { setting, origin: Origin::Default, message };
    Err(Faults(refused.into_iter().map(fault).collect()))
}

fn execute(cli: Cli, settings: &Settings) -> Exit {
    start_logging(&settings.log, cli.command.usual_log_filter());
    // Each worker has a runtime of its own; this one serves health, metrics and signals.
    let runtime = match tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            anstream::eprintln!("handback: cannot start: {error}");
            return Exit::Failed;
        }
    };
    let exit = match runtime.block_on(cli::execute(cli, settings)) {
        Ok(exit) => exit,
        Err(failed) => {
            anstream::eprintln!("handback: {}", Printable(&failed));
            failed.exit()
        }
    };
    // A look-up that still blocks must not hold up the end.
    runtime.shutdown_background();
    exit
}

/// Logs go to stderr; `usual` takes the place of the default filter.
fn start_logging(log: &Log, usual: Option<&str>) {
    let set = log.filter != Log::default().filter;
    let filter = usual.filter(|_| !set).unwrap_or(&log.filter);
    admin::log_to(anstream::stderr, EnvFilter::new(filter), log.format).init();
}
