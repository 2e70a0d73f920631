use std::collections::HashMap;

use proptest::prelude::*;

use super::*;

const BOUNDS: Bounds = Bounds { max_age_s: 100, max_entries: 50, max_total: 120 };
const NOW: i64 = 1_763_800_000_000;

fn target(number: u64) -> [u8; 16] {
    // The upper half is what is hashed: equal for several, so that look-ups meet strangers too.
    let mut target = [0; 16];
    target[..8].copy_from_slice(&(number % 5).to_ne_bytes());
    target[8..].copy_from_slice(&number.to_ne_bytes());
    target
}

fn entry(number: u64, print: u8, offset: i64) -> LedgerEntry {
    LedgerEntry {
        target: target(number),
        fingerprint: Fingerprint::from_bytes([print; 16]),
        idempotency_key: None,
        offset,
    }
}

fn applied(entry: LedgerEntry) -> Remembered {
    Remembered { entry, topic: Some(0), at_ms: NOW }
}

#[test]
fn a_repeat_is_told_from_a_contradiction_and_from_a_redelivery() {
    let mut ledger = Ledger::new(BOUNDS);
    ledger.remember(3, &applied(entry(1, 7, 10)), NOW);
    let source = Source { topic: Some(0), offset: 10 };
    assert_eq!(ledger.ask(3, 0, &entry(1, 7, 10), NOW), Known::SameRecord);
    assert_eq!(ledger.ask(3, 0, &entry(1, 7, 11), NOW), Known::SameAnswer(source));
    assert_eq!(ledger.ask(3, 1, &entry(1, 7, 10), NOW), Known::SameAnswer(source), "the same offset of another topic");
    let print = Fingerprint::from_bytes([7; 16]);
    assert_eq!(ledger.ask(3, 0, &entry(1, 8, 12), NOW), Known::OtherAnswer(source, print));
    assert_eq!(ledger.ask(3, 0, &entry(2, 7, 13), NOW), Known::No, "another attempt");
    assert_eq!(ledger.ask(4, 0, &entry(1, 7, 14), NOW), Known::No, "another partition");
    let made_anew = ledger.ask(3, 0, &entry(1, 8, 10), NOW);
    assert_eq!(made_anew, Known::OtherAnswer(source, print), "another record in the same place is not silenced");
}

#[test]
fn idempotency_keys_decide_where_both_have_one() {
    let mut ledger = Ledger::new(BOUNDS);
    let with = |entry: LedgerEntry, key| LedgerEntry { idempotency_key: Some(key), ..entry };
    ledger.remember(0, &applied(with(entry(1, 7, 10), 99)), NOW);
    let ask = |entry| ledger.ask(0, 0, &entry, NOW);
    assert!(matches!(ask(with(entry(1, 8, 11), 99)), Known::SameAnswer(_)), "the key says it is the same");
    assert!(matches!(ask(with(entry(1, 7, 11), 98)), Known::OtherAnswer(..)), "the key says it is another");
    assert!(matches!(ask(entry(1, 7, 11)), Known::SameAnswer(_)), "no key: the answer itself decides");
    assert!(matches!(ask(entry(1, 8, 11)), Known::OtherAnswer(..)));
}

#[test]
fn the_first_that_was_accepted_stays() {
    let mut ledger = Ledger::new(BOUNDS);
    ledger.remember(0, &applied(entry(1, 7, 10)), NOW);
    ledger.remember(0, &applied(entry(1, 8, 11)), NOW);
    assert_eq!(ledger.ask(0, 0, &entry(1, 7, 10), NOW), Known::SameRecord);
    assert_eq!(ledger.len(), 1);
}

#[test]
fn what_is_too_old_counts_no_more_and_makes_room() {
    let mut ledger = Ledger::new(BOUNDS);
    ledger.remember(0, &applied(entry(1, 7, 10)), NOW);
    ledger.read_to(0, 5);
    let later = NOW + 101_000;
    assert_eq!(ledger.ask(0, 0, &entry(1, 7, 11), later), Known::No);
    ledger.remember(0, &Remembered { at_ms: later, ..applied(entry(1, 8, 12)) }, later);
    assert_eq!(ledger.ask(0, 0, &entry(1, 8, 12), later), Known::SameRecord);
    ledger.remember(0, &applied(entry(2, 7, 13)), later);
    assert_eq!(ledger.len(), 1, "too old when it comes");
    ledger.expire(later + 101_000);
    assert!(ledger.is_empty());
    assert_eq!(ledger.next(0), Some(5), "read on from there all the same");
}

#[test]
fn an_entry_takes_at_most_64_bytes() {
    let bounds = Bounds { max_age_s: 100, max_entries: 200_000, max_total: 10_000_000 };
    let mut ledger = Ledger::new(bounds);
    let mut worst = 0.0f64;
    for number in 0..150_000u64 {
        let spread = number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let mut far = entry(number, 7, 10);
        far.target[..8].copy_from_slice(&spread.to_ne_bytes());
        ledger.remember(0, &applied(far), NOW);
        if number > 20_000 {
            worst = worst.max(ledger.bytes() as f64 / ledger.len() as f64);
        }
    }
    assert_eq!(ledger.len(), 150_000);
    assert!(worst <= 64.0, "{worst} bytes an entry");
}

proptest! {
    /// Against a list of what was applied: whatever is answered is true, and what is young enough and among the last is
    /// known.
    #[test]
    fn never_says_what_was_not_applied(
        steps in proptest::collection::vec((0i32..3, 0u64..80, 0u8..3, 0i64..8), 1..600),
    ) {
        let mut ledger = Ledger::new(BOUNDS);
        let mut model: HashMap<(i32, u64), (u8, i64, i64)> = HashMap::new();
        let mut order: HashMap<i32, Vec<u64>> = HashMap::new();
        let mut now = NOW;
        for (offset, (partition, number, print, passed)) in steps.into_iter().enumerate() {
            now += passed * 1000;
            let offset = offset as i64;
            let asked = entry(number, print, offset);
            let known = model.get(&(partition, number)).filter(|(_, _, at)| now - at <= 100_000);
            let recent = order.entry(partition).or_default();
            let among_last = recent.iter().rev().take(20).any(|seen| *seen == number);
            match (ledger.ask(partition, 0, &asked, now), known) {
                (Known::No, Some(_)) => prop_assert!(!among_last, "forgotten too soon"),
                (Known::No, None) => {}
                (Known::SameAnswer(source), Some((print, offset, _))) => {
                    prop_assert_eq!((source.offset, asked.fingerprint.bytes()[0]), (*offset, *print));
                }
                (Known::OtherAnswer(source, found), Some((print, offset, _))) => {
                    prop_assert_eq!((source.offset, found.bytes()[0]), (*offset, *print));
                    prop_assert_ne!(asked.fingerprint.bytes()[0], *print);
                }
                (said, known) => prop_assert!(false, "{:?} of {:?}", said, known),
            }
            if ledger.ask(partition, 0, &asked, now) == Known::No {
                ledger.remember(partition, &Remembered { at_ms: now, ..applied(asked) }, now);
                model.insert((partition, number), (print, offset, now));
                recent.push(number);
            }
            prop_assert!(ledger.len() <= BOUNDS.max_total);
            prop_assert!(ledger.partitions.values().all(|entries| entries.len() <= BOUNDS.max_entries));
            prop_assert_eq!(ledger.len(), ledger.partitions.values().map(Partition::len).sum::<usize>());
        }
    }
}
