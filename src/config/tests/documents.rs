//! The documents name the settings that there are, all of them and no others.

use std::fs;
use std::path::Path;

use crate::config::Settings;
use crate::config::names::SECTIONS;

#[test]
fn the_page_on_configuration_shows_every_setting() {
    let page = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/configuration.md")).unwrap();
    let (_, rest) = page.split_once("<!-- settings: handback settings --markdown -->\n").unwrap();
    let (table, _) = rest.split_once("<!-- /settings -->").unwrap();
    assert_eq!(table, Settings::markdown(), "put the output of `handback settings --markdown` between the two marks");
}

#[test]
fn settings_that_the_documents_cite_are_there() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut pages: Vec<_> = fs::read_dir(root.join("docs")).unwrap().map(|entry| entry.unwrap().path()).collect();
    pages.push(root.join("README.md"));
    let mut cited = 0;
    for page in pages.iter().filter(|page| page.extension().is_some_and(|ending| ending == "md")) {
        let text = fs::read_to_string(page).unwrap();
        for name in text.split('`').filter_map(|part| part.split(" = ").next()) {
            let Some((section, field)) = name.split_once('.') else { continue };
            let Some(section) = SECTIONS.iter().find(|known| known.name == section) else { continue };
            if matches!(field, "rs" | "md") || !field.bytes().all(|b| b.is_ascii_lowercase() || b == b'_') {
                continue;
            }
            assert!(section.fields.iter().any(|(known, _)| *known == field), "{}: {name}", page.display());
            cited += 1;
        }
    }
    assert!(cited > 100, "only {cited} settings are cited");
}
