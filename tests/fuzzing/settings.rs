//! Settings: `Settings::load`, from a file and from the environment.

use std::io::Write as _;

use handback::config::Settings;

use super::{SECRET, measured};

/// How many times its size a file may cost: it is parsed twice, into trees, and once more for each value of a wrong
/// type. Nobody but the operator writes it, so this only tells trees from explosions.
const TIMES: usize = 400;

/// What settings cost that say nothing: every default with its name.
const DEFAULTS: usize = 256 * 1024;

/// The bytes are lines `HANDBACK__SECTION__FIELD=text`, then a file.
pub(crate) fn check(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let (variables, file) = split(&text);
    let Some(path) = written(file) else { return };
    let secret = ("HANDBACK__KAFKA__PROPERTIES__SASL_PASSWORD".to_owned(), SECRET.to_owned());
    let env = || variables.iter().cloned().chain([secret.clone()]);
    let loaded =
        measured(DEFAULTS / TIMES + text.len(), TIMES, || Settings::load_without_group(Some(path.path()), env()));
    match loaded {
        Ok(settings) => {
            let shown = format!("{settings:?}");
            assert!(text.contains(SECRET) || !shown.contains(SECRET), "settings show a secret");
            written_again_they_are_the_same(&settings);
        }
        Err(faults) => {
            assert!(!faults.0.is_empty());
            assert!(text.contains(SECRET) || !faults.to_string().contains(SECRET), "a fault shows a secret");
            assert!(faults.0.iter().all(|fault| !fault.message.is_empty()));
        }
    }
}

fn split(text: &str) -> (Vec<(String, String)>, &str) {
    let mut variables = Vec::new();
    let mut rest = text;
    while rest.starts_with("HANDBACK__") {
        let (line, after) = rest.split_once('\n').unwrap_or((rest, ""));
        let (name, value) = line.split_once('=').unwrap_or((line, ""));
        variables.push((name.to_owned(), value.to_owned()));
        rest = after;
    }
    (variables, rest)
}

fn written(text: &str) -> Option<tempfile::NamedTempFile> {
    let mut file = tempfile::NamedTempFile::new().ok()?;
    file.write_all(text.as_bytes()).ok()?;
    Some(file)
}

/// As a dump writes them, secrets apart, they are read as they were.
fn written_again_they_are_the_same(settings: &Settings) {
    let Ok(dump) = toml::to_string(settings) else { panic!("settings cannot be written") };
    let Some(path) = written(&dump) else { return };
    match Settings::load_without_group(Some(path.path()), std::iter::empty()) {
        Ok(again) => assert_eq!(toml::to_string(&again).as_ref(), Ok(&dump), "read otherwise than written"),
        Err(faults) => panic!("what was written cannot be read: {faults}\n{dump}"),
    }
}
