//! The house rules that a compiler does not know, read from the sources.

use std::fs;
use std::path::{Path, PathBuf};

/// The rooms from the lowest to the highest. A room may use those before it, never those after it.
const ROOMS: [(&str, usize); 13] = [
    ("wire", 0),
    ("exit", 0),
    ("config", 1),
    ("admin", 2),
    ("bridge", 3),
    ("dispatch", 4),
    ("kafka", 5),
    ("cadence", 5),
    ("publish", 6),
    ("run", 6),
    ("dev", 7),
    ("testkit", 8),
    ("cli", 8),
];

/// Crates that only some rooms may know.
const EDGES: [(&str, &[&str]); 4] = [
    ("rdkafka", &["kafka", "dev"]),
    ("tonic", &["cadence", "dev"]),
    ("prost", &["cadence", "dev"]),
    ("axum", &["admin", "dev"]),
];

/// Longest file. Past it a reader loses the thread.
const MAX_LINES: usize = 400;

fn sources(folder: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join(folder)];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|ending| ending == "rs") {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

fn relative(path: &Path) -> String {
    path.strip_prefix(env!("CARGO_MANIFEST_DIR")).unwrap().display().to_string()
}

/// The room of a file under `src`: its folder, or its own name.
fn room(path: &Path) -> String {
    let inside = relative(path);
    let first = inside.trim_start_matches("src/").split('/').next().unwrap();
    first.trim_end_matches(".rs").to_owned()
}

fn rank(room: &str) -> Option<usize> {
    ROOMS.iter().find(|(name, _)| *name == room).map(|(_, rank)| *rank)
}

/// The lines of a file with comments and everything from its test module on left out.
fn code(path: &Path) -> Vec<String> {
    let text = fs::read_to_string(path).unwrap();
    let lines = text.lines().take_while(|line| line.trim() != "#[cfg(test)]");
    lines.map(|line| line.split("//").next().unwrap_or_default().to_owned()).collect()
}

fn is_test_file(path: &Path) -> bool {
    let name = relative(path);
    name.contains("/tests") || name.ends_with("_tests.rs")
}

#[test]
fn arrows_between_rooms_only_point_down() {
    let mut faults = Vec::new();
    for path in sources("src").iter().filter(|path| !is_test_file(path)) {
        let from = room(path);
        let Some(from_rank) = rank(&from) else {
            assert!(["lib", "main", "shutdown"].contains(&from.as_str()), "{from} is not in the list of rooms");
            continue;
        };
        for line in code(path) {
            for (at, _) in line.match_indices("crate::") {
                let to: String = line[at + 7..].chars().take_while(|c| c.is_ascii_lowercase() || *c == '_').collect();
                let Some(to_rank) = rank(&to) else { continue };
                if to != from && to_rank >= from_rank {
                    faults.push(format!("{}: {from} uses {to}: {}", relative(path), line.trim()));
                }
            }
        }
    }
    assert!(faults.is_empty(), "upward arrows:\n{}", faults.join("\n"));
}

#[test]
fn client_libraries_stay_in_their_rooms() {
    let mut faults = Vec::new();
    for path in sources("src").iter().filter(|path| !is_test_file(path)) {
        for line in code(path) {
            for (name, rooms) in EDGES {
                let used = line.contains(&format!("{name}::")) || line.contains(&format!("use {name};"));
                if used && !rooms.contains(&room(path).as_str()) {
                    faults.push(format!("{}: {}", relative(path), line.trim()));
                }
            }
        }
    }
    assert!(faults.is_empty(), "client libraries outside their rooms:\n{}", faults.join("\n"));
}

#[test]
fn the_pure_parts_know_no_runtime_and_no_clock() {
    let pure = ["offsets", "lanes", "breaker", "flood", "retry", "sight", "judge"];
    let dispatching = ["reasons", "request", "routes", "times"].map(|name| format!("src/dispatch/{name}.rs"));
    let pure: Vec<_> = pure.iter().map(|name| format!("src/bridge/{name}.rs")).chain(dispatching).collect();
    let is_pure = |path: &Path| room(path) == "wire" || pure.contains(&relative(path));
    let mut faults = Vec::new();
    for path in sources("src").iter().filter(|path| is_pure(path) && !is_test_file(path)) {
        for line in code(path) {
            if ["tokio", "::now()", "fastrand", "rand::"].iter().any(|word| line.contains(word)) {
                faults.push(format!("{}: {}", relative(path), line.trim()));
            }
        }
    }
    assert!(faults.is_empty(), "not pure:\n{}", faults.join("\n"));
}

/// Raw calls of librdkafka are all that safe Rust cannot do here.
#[test]
fn unsafe_stands_in_one_folder_only() {
    let native = "src/kafka/native/";
    let is_unsafe = |line: &str| {
        let mut words = line.split(|letter: char| !letter.is_alphanumeric() && letter != '_');
        words.any(|word| word == "unsafe" || word == "unsafe_code")
    };
    let mut faults = Vec::new();
    for path in ["src", "benches", "tests"].iter().flat_map(|folder| sources(folder)) {
        let name = relative(&path);
        if name.starts_with(native) || name.ends_with("tidy.rs") {
            continue;
        }
        let text = fs::read_to_string(&path).unwrap();
        let lines = text.lines().map(|line| line.split("//").next().unwrap_or_default());
        let lines =
            lines.filter(|line| is_unsafe(line) && !(name == "src/kafka/mod.rs" && line.contains("allow(unsafe_code")));
        faults.extend(lines.map(|line| format!("{name}: {}", line.trim())));
    }
    assert!(faults.is_empty(), "unsafe outside of {native}:\n{}", faults.join("\n"));
}

/// Each block that the compiler cannot check says why it is sound.
#[test]
fn each_unsafe_block_says_why_it_is_sound() {
    for path in sources("src/kafka/native") {
        let text = fs::read_to_string(&path).unwrap();
        let lines: Vec<_> = text.lines().collect();
        for (at, line) in lines.iter().enumerate().filter(|(_, line)| line.contains("unsafe {")) {
            let above = &lines[at.saturating_sub(5)..at];
            assert!(above.iter().any(|line| line.contains("// SAFETY:")), "{}: {}", relative(&path), line.trim());
        }
    }
}

#[test]
fn no_file_is_longer_than_a_reader_can_hold() {
    let mut faults = Vec::new();
    for path in ["src", "tests", "benches"].iter().flat_map(|folder| sources(folder)) {
        let lines = fs::read_to_string(&path).unwrap().lines().count();
        if lines > MAX_LINES {
            faults.push(format!("{}: {lines} lines", relative(&path)));
        }
    }
    assert!(faults.is_empty(), "longer than {MAX_LINES} lines:\n{}", faults.join("\n"));
}

#[test]
fn one_version_of_each_grpc_crate_is_in_the_lock() {
    let lock = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.lock")).unwrap();
    for name in ["tonic", "prost", "hyper", "h2", "rdkafka"] {
        let copies = lock.matches(&format!("name = \"{name}\"\n")).count();
        assert_eq!(copies, 1, "{name} is in Cargo.lock {copies} times");
    }
}
