//! Every decoder keeps its promises for any bytes: the short form of what `fuzz/` does for hours.
//!
//! The whole corpus is played, then mutations of it. `HANDBACK_FUZZ_CASES=100000 cargo test --test integration fuzzing`
//! plays more of them, and `HANDBACK_FUZZ_SEED=17` those that failed once more.

#[path = "../fuzzing/mod.rs"]
mod entries;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::{env, fmt, fs, process};

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;
use proptest::test_runner::{Config, RngSeed, TestRunner};

use entries::{SECRET, TARGETS, Target, measured};

/// Mutations of each target: about a second in a debug build.
const CASES: u32 = 1500;

/// No input that a mutation makes is longer.
const LONGEST: usize = 16 * 1024;

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz").join(name)
}

/// Name and bytes of each file, in order.
fn corpus(target: &Target) -> Vec<(String, Vec<u8>)> {
    let folder = folder("corpus").join(target.name);
    let files = fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut files: Vec<_> = files
        .map(|file| file.unwrap().path())
        .map(|path| (path.file_name().unwrap().to_string_lossy().into_owned(), fs::read(&path).unwrap()))
        .collect();
    files.sort();
    assert!(!files.is_empty(), "{} is empty", folder.display());
    files
}

/// The dictionary's words, which libFuzzer reads too.
fn words() -> Vec<Vec<u8>> {
    let text = fs::read_to_string(folder("words.dict")).unwrap();
    let quoted = text.lines().filter_map(|line| line.strip_prefix('"')?.strip_suffix('"'));
    let words: Vec<_> = quoted.map(unescaped).collect();
    assert!(words.len() > 50 && words.iter().any(|word| word == SECRET.as_bytes()));
    words
}

/// A word as libFuzzer's dictionaries write it: `\\`, `\"` and `\xff`.
fn unescaped(word: &str) -> Vec<u8> {
    let mut out = Vec::new();
    let mut rest = word.as_bytes();
    loop {
        (rest, _) = match rest {
            [] => return out,
            [b'\\', b'x', high, low, after @ ..] => {
                let digits = [*high, *low];
                let byte = u8::from_str_radix(std::str::from_utf8(&digits).unwrap(), 16).unwrap();
                (after, out.push(byte))
            }
            [b'\\', byte, after @ ..] | [byte, after @ ..] => (after, out.push(*byte)),
        };
    }
}

/// One change of some bytes.
#[derive(Clone, Debug)]
enum Edit {
    Byte(Index, u8),
    Cut(Index, usize),
    Insert(Index, Vec<u8>),
    /// A piece of the text itself, several times.
    Repeat(Index, usize, usize),
    /// From here on as another file has it.
    Splice(Index, Index, Index),
}

fn edit(words: Arc<Vec<Vec<u8>>>) -> impl Strategy<Value = Edit> {
    let at = any::<Index>;
    prop_oneof![
        2 => (at(), any::<u8>()).prop_map(|(at, byte)| Edit::Byte(at, byte)),
        2 => (at(), 1..64_usize).prop_map(|(at, size)| Edit::Cut(at, size)),
        1 => (at(), vec(any::<u8>(), 1..16)).prop_map(|(at, bytes)| Edit::Insert(at, bytes)),
        4 => (at(), at()).prop_map(move |(at, word)| Edit::Insert(at, word.get(&words[..]).clone())),
        1 => (at(), 1..32_usize, 1..64_usize).prop_map(|(at, size, times)| Edit::Repeat(at, size, times)),
        1 => (at(), at(), at()).prop_map(|(at, file, from)| Edit::Splice(at, file, from)),
    ]
}

fn apply(bytes: &mut Vec<u8>, edit: &Edit, corpus: &[(String, Vec<u8>)]) {
    let place = |at: &Index, bytes: &[u8]| at.index(bytes.len() + 1);
    match edit {
        Edit::Byte(at, byte) => {
            let at = place(at, bytes);
            match bytes.get_mut(at) {
                Some(there) => *there = *byte,
                None => bytes.push(*byte),
            }
        }
        Edit::Cut(at, size) => {
            let at = place(at, bytes);
            bytes.drain(at..bytes.len().min(at + size));
        }
        Edit::Insert(at, more) => {
            let at = place(at, bytes);
            bytes.splice(at..at, more.iter().copied());
        }
        Edit::Repeat(at, size, times) => {
            let at = place(at, bytes);
            let piece = bytes[at..bytes.len().min(at + size)].repeat(*times);
            bytes.splice(at..at, piece);
        }
        Edit::Splice(at, file, from) => {
            let other = &file.get(corpus).1;
            bytes.truncate(place(at, bytes));
            bytes.extend_from_slice(&other[place(from, other)..]);
        }
    }
    bytes.truncate(LONGEST);
}

/// Bytes that a person can copy out of a message.
#[derive(Clone)]
struct Input(Vec<u8>);

impl fmt::Debug for Input {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "b\"{}\"", self.0.escape_ascii())
    }
}

fn number(name: &str) -> Option<u64> {
    env::var(name).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{name} must be a number, not {text:?}")))
}

/// Plays mutations of a target's corpus. A failure is shrunk, and shown with the seed.
fn mutate(name: &str) {
    let target = TARGETS.iter().find(|target| target.name == name).unwrap();
    let corpus = Arc::new(corpus(target));
    let words = Arc::new(words());
    let seed = number("HANDBACK_FUZZ_SEED").unwrap_or_else(|| u64::from(process::id()));
    let cases = number("HANDBACK_FUZZ_CASES").map_or(CASES, |cases| u32::try_from(cases).unwrap());
    println!("HANDBACK_FUZZ_SEED={seed} plays these {cases} mutations of {name} again");
    let config = Config { cases, rng_seed: RngSeed::Fixed(seed), failure_persistence: None, ..Config::default() };
    let inputs = (any::<Index>(), vec(edit(words), 1..8)).prop_map(move |(file, edits)| {
        let mut bytes = file.get(&corpus[..]).1.clone();
        edits.iter().for_each(|edit| apply(&mut bytes, edit, &corpus));
        Input(bytes)
    });
    let played = TestRunner::new(config).run(&inputs, |input| {
        (target.check)(&input.0);
        Ok(())
    });
    if let Err(fault) = played {
        panic!("{name}, HANDBACK_FUZZ_SEED={seed}: {fault}");
    }
}

#[test]
fn every_file_of_the_corpus_keeps_the_promises() {
    for target in TARGETS {
        for (file, bytes) in corpus(target) {
            println!("fuzz/corpus/{}/{file}", target.name);
            (target.check)(&bytes);
        }
    }
}

#[test]
fn any_envelope_keeps_the_promises() {
    mutate("envelope");
}

#[test]
fn any_headers_keep_the_promises() {
    mutate("headers");
}

#[test]
fn any_message_keeps_the_promises_to_its_end() {
    mutate("message");
}

#[test]
fn any_token_keeps_the_promises() {
    mutate("token");
}

#[test]
fn any_request_keeps_the_promises() {
    mutate("request");
}

#[test]
fn any_outcome_keeps_the_promises() {
    mutate("outcome");
}

#[test]
fn anything_read_back_keeps_the_promises() {
    mutate("read_back");
}

#[test]
fn any_record_on_a_retry_topic_keeps_the_promises() {
    mutate("retry");
}

#[test]
fn any_settings_keep_the_promises() {
    mutate("settings");
}

/// A target is a line in the list, a binary, a corpus and a test here: whoever forgets one is told.
#[test]
fn every_target_is_fuzzed_in_both_forms() {
    let listed: BTreeSet<String> = TARGETS.iter().map(|target| target.name.to_owned()).collect();
    let files = |folder: PathBuf| -> BTreeSet<String> {
        let files = fs::read_dir(folder).unwrap().map(|file| file.unwrap().path());
        files.map(|path| path.file_stem().unwrap().to_string_lossy().into_owned()).collect()
    };
    assert_eq!(files(folder("fuzz_targets")), listed, "fuzz/fuzz_targets");
    assert_eq!(files(folder("corpus")), listed, "fuzz/corpus");
    let manifest: toml::Table = fs::read_to_string(folder("Cargo.toml")).unwrap().parse().unwrap();
    let binaries = manifest["bin"].as_array().unwrap().iter();
    let binaries: BTreeSet<String> = binaries.map(|bin| bin["name"].as_str().unwrap().to_owned()).collect();
    assert_eq!(binaries, listed, "[[bin]] in fuzz/Cargo.toml");
    let here = include_str!("fuzzing.rs");
    let mutated = |name: &&String| here.contains(&format!("    mutate(\"{name}\");\n"));
    assert_eq!(listed.iter().filter(mutated).count(), listed.len(), "a test for each");
    for name in &listed {
        let main = fs::read_to_string(folder("fuzz_targets").join(format!("{name}.rs"))).unwrap();
        assert!(main.contains(&format!("handback_fuzz::run(\"{name}\", bytes)")), "{name}");
    }
}

#[test]
fn the_bound_on_memory_can_be_broken() {
    let take = |bytes: usize| measured(1000, 2, || drop(std::hint::black_box(vec![1_u8; bytes])));
    take(6000);
    let panic = std::panic::catch_unwind(|| take(7000)).expect_err("7000 bytes are more than 2 * 1000 + 4096");
    assert!(panic.downcast::<String>().is_ok_and(|text| text.contains("for an input of 1000")));
    take(6000);
}

/// What costs the most, in sizes that mutations do not come to: the bound on memory is the entry point's own.
#[test]
fn the_memory_of_hostile_records_is_bounded() {
    const MANY: usize = 512 * 1024;
    let check = |name: &str, bytes: Vec<u8>| entries::run(name, &bytes);
    let envelope = |rest: String| check("envelope", format!(r#"{{"task_token": "~<@@>~", {rest}}}"#).into_bytes());
    envelope(format!(r#""result": {}{}"#, "[".repeat(MANY), "]".repeat(MANY)));
    envelope(format!(r#""result": 1, "metadata": {}1{}"#, "{\"a\":".repeat(MANY), "}".repeat(MANY)));
    envelope(format!(r#""result_base64": "{}""#, "A".repeat(2 * MANY)));
    envelope(format!(r#""result_base64": "{}""#, "\\u0041".repeat(MANY / 4)));
    envelope(format!(r#""result": "{}""#, "\\ud83d\\ude00".repeat(MANY / 4)));
    envelope(format!(r#""idempotency_key": "{}", "result": 1"#, "\\n".repeat(MANY)));
    for style in ["custom", "generic", "java"] {
        let text = "\\u0001".repeat(MANY / 8);
        envelope(format!(r#""failure": {{"style": "{style}", "reason": "X", "message": "{text}"}}"#));
        envelope(format!(r#""failure": {{"style": "{style}", "reason": "{text}", "message": ""}}"#));
    }
    envelope((0..MANY / 16).map(|n| format!("\"{n}\":0,")).collect::<String>() + "\"result\":1");
    envelope(format!("\"activity\":{{{}\"a\":1}}", "\"\\u0061\":0,".repeat(MANY / 16)));
    let headers = |lines: &str| check("headers", lines.as_bytes().to_vec());
    headers(&"a\n".repeat(MANY / 16));
    headers(&"handback-task-token: x\n".repeat(MANY / 16));
    headers(&format!("kafka_correlationId: @@\n{}\n{{\"task_token\":1}}", "x: y\n".repeat(MANY / 16)));
    let mut spring = b"kafka_correlationId: @@\nkafka_dlt-exception-fqcn: x\nkafka_dlt-exception-message: ".to_vec();
    spring.extend_from_slice(&vec![0xff; MANY]);
    check("headers", spring.clone());
    spring.extend_from_slice(&vec![1; MANY]);
    check("headers", spring);
    let event = |rest: String| {
        let required =
            r#""specversion":"1.0","type":"handback.reply.complete","id":"e","source":"/s","tasktoken":"~<@@>~""#;
        headers(&format!("content-type: application/cloudevents+json\n\n{{{required},{rest}}}"));
    };
    event(format!(r#""data": {}{}"#, "[".repeat(MANY), "]".repeat(MANY)));
    event(format!(r#""data_base64": "{}""#, "A".repeat(2 * MANY)));
    event(format!(r#""datacontenttype": "text/plain", "data": "{}""#, "\\ud83d\\ude00".repeat(MANY / 4)));
    event((0..MANY / 16).map(|n| format!("\"x{n}\":0,")).collect::<String>() + "\"data\":1");
    event(format!(r#""failuremessage": "{}""#, "\\u0001".repeat(MANY / 8)));
    headers(&format!("ce_specversion: 1.0\n{}", "ce_id: x\n".repeat(MANY / 16)));
    headers(&format!("ce_specversion: 1.0\nce_id: {}", "x".repeat(MANY)));
    let token = String::from_utf8(fs::read(folder("corpus").join("token/escapes")).unwrap()).unwrap();
    let long = token.replace(r#""activityId":""#, &format!(r#""activityId":"{}"#, "\\n".repeat(15_000)));
    assert!(long.len() > 30_000);
    check("token", long.into_bytes());
    check("token", format!("{{{}}}", "\"\":0,".repeat(6_000)).into_bytes());
    check("request", format!(r#"{{"task_token":"~<@@>~","input":[{}0]}}"#, "0,".repeat(MANY / 8)).into_bytes());
    let outcome = String::from_utf8(fs::read(folder("corpus").join("outcome/applied")).unwrap()).unwrap();
    let long = outcome.replace("\"detail\": null", &format!("\"detail\": \"{}\"", "\\n".repeat(MANY)));
    assert!(long.len() > MANY);
    check("outcome", long.into_bytes());
    check(
        "outcome",
        outcome.replace("{}", &format!("{{\"a\": {}{}}}", "[".repeat(MANY), "]".repeat(MANY))).into_bytes(),
    );
    check("outcome", "[".repeat(MANY).into_bytes());
}
