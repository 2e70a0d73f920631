//! `handback check`

mod engine;
mod finding;
mod group;
mod kafka;
mod secrets;
mod show;
mod topics;

use std::path::Path;

use super::Failed;
use super::args::Check;
use super::paint::Level;
use crate::config::Settings;
use crate::exit::Exit;

/// Shows the settings in effect and everything that is right or wrong with what they point to.
/// `file` is where the settings come from, if that is a file.
pub(super) async fn check(settings: &Settings, file: Option<&Path>, args: &Check) -> Result<Exit, Failed> {
    if !args.json {
        show::settings(settings);
    }
    // Kafka and the engine have nothing to do with each other: the slower one decides how long this takes.
    let (mut findings, engine) = tokio::join!(kafka::probe(settings), engine::probe(settings));
    findings.extend(engine);
    findings.extend(secrets::look(settings, file));
    if args.json {
        show::json(settings, &findings);
    } else {
        show::findings(&findings);
    }
    Ok(if findings.iter().any(|finding| finding.level == Level::Fault) { Exit::Failed } else { Exit::Ok })
}
