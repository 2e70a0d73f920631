//! Reading the file: its table, and the line of every name in it.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::Path;

use toml::de::{DeTable, DeValue};

use super::{Fault, Origin};

/// What a file says.
#[derive(Default)]
pub(super) struct File {
    pub(super) table: toml::Table,
    /// Dotted name to line.
    pub(super) lines: BTreeMap<String, usize>,
}

/// Reads and parses `path`. A file that is not TOML yields every syntax fault in it.
pub(super) fn read(path: &Path) -> Result<File, Vec<Fault>> {
    let unreadable = |error| {
        let message = format!("cannot read settings file {}: {error}", path.display());
        vec![Fault { setting: String::new(), origin: Origin::Default, message }]
    };
    let text = std::fs::read_to_string(path).map_err(unreadable)?;
    parse(&text).map_err(|errors| {
        let fault = |(line, message)| Fault {
            setting: String::new(),
            origin: Origin::File { path: path.to_owned(), line },
            message,
        };
        errors.into_iter().map(fault).collect()
    })
}

fn parse(text: &str) -> Result<File, Vec<(usize, String)>> {
    let line = |span: Range<usize>| text[..span.start.min(text.len())].matches('\n').count() + 1;
    let fault = |error: toml::de::Error| (error.span().map_or(1, line), format!("not TOML: {}", error.message()));
    let (document, errors) = DeTable::parse_recoverable(text);
    if !errors.is_empty() {
        return Err(errors.into_iter().map(fault).collect());
    }
    let table = text.parse().map_err(|error| vec![fault(error)])?;
    let mut lines = BTreeMap::new();
    note_lines("", document.get_ref(), &line, &mut lines);
    Ok(File { table, lines })
}

fn note_lines(
    prefix: &str,
    table: &DeTable<'_>,
    line: &impl Fn(Range<usize>) -> usize,
    lines: &mut BTreeMap<String, usize>,
) {
    for (key, value) in table {
        let name = if prefix.is_empty() { key.get_ref().to_string() } else { format!("{prefix}.{}", key.get_ref()) };
        match value.get_ref() {
            DeValue::Table(inner) => note_lines(&name, inner, line, lines),
            DeValue::Array(elements) => {
                for (number, element) in elements.iter().enumerate() {
                    let DeValue::Table(inner) = element.get_ref() else { continue };
                    let name = format!("{name}[{number}]");
                    note_lines(&name, inner, line, lines);
                    lines.insert(name, line(element.span()));
                }
            }
            _ => {}
        }
        lines.insert(name, line(key.span()));
    }
}
