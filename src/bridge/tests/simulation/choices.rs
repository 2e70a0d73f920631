//! The one source of everything that a schedule leaves open: drawn by a seed, read from a list, or enumerated.

use std::cell::RefCell;
use std::time::Duration;

use fastrand::Rng;

use crate::bridge::tests::support::millis;

/// A choice that was made: which of how many. The first of the possible ones is always the calmest.
#[derive(Clone, Copy)]
struct Made {
    taken: u16,
    of: u16,
}

enum Source {
    Seed(RefCell<Rng>),
    /// Beyond its end everything is calm.
    List(Vec<u16>),
}

/// The choices of one schedule, in the order in which they are asked for.
pub(super) struct Choices {
    source: Source,
    made: RefCell<Vec<Made>>,
}

impl Choices {
    pub(super) fn of_seed(seed: u64) -> Self {
        Self { source: Source::Seed(RefCell::new(Rng::with_seed(seed))), made: RefCell::default() }
    }

    pub(super) fn of_list(list: Vec<u16>) -> Self {
        Self { source: Source::List(list), made: RefCell::default() }
    }

    /// One of as many as there are weights. A list and an enumeration know no weights, only how many there are.
    pub(super) fn weighed(&self, weights: &[u32]) -> usize {
        self.choose(weights.len(), |rng| {
            let mut left = rng.u32(0..weights.iter().sum());
            let falls = |weight: &u32| left.checked_sub(*weight).map(|rest| left = rest).is_none();
            weights.iter().position(falls).unwrap_or(0)
        })
    }

    pub(super) fn below(&self, of: usize) -> usize {
        self.choose(of, |rng| rng.usize(0..of))
    }

    pub(super) fn chance(&self, percent: u32) -> bool {
        self.weighed(&[100 - percent, percent]) == 1
    }

    /// A time of up to `most` milliseconds, in steps of a twentieth.
    pub(super) fn millis(&self, most: u64) -> Duration {
        millis(most / 20 * self.below(20) as u64)
    }

    fn choose(&self, of: usize, draw: impl FnOnce(&mut Rng) -> usize) -> usize {
        if of < 2 {
            return 0;
        }
        let mut made = self.made.borrow_mut();
        let taken = match &self.source {
            Source::Seed(rng) => draw(&mut rng.borrow_mut()),
            Source::List(list) => list.get(made.len()).map_or(0, |taken| usize::from(*taken) % of),
        };
        made.push(Made { taken: u16::try_from(taken).unwrap(), of: u16::try_from(of).unwrap() });
        taken
    }

    /// What was chosen so far: as a list it leads to the same schedule.
    pub(super) fn list(&self) -> Vec<u16> {
        self.made.borrow().iter().map(|made| made.taken).collect()
    }

    /// The list that comes next when all are played, depth first: the last choice that can be another one is.
    pub(super) fn next(&self) -> Option<Vec<u16>> {
        let made = self.made.borrow();
        let at = made.iter().rposition(|made| made.taken + 1 < made.of)?;
        let mut list: Vec<u16> = made[..=at].iter().map(|made| made.taken).collect();
        list[at] += 1;
        Some(list)
    }
}

/// As it is printed and read: `3,0*12,1`, without the calm end.
pub(super) fn to_text(list: &[u16]) -> String {
    let end = list.iter().rposition(|taken| *taken > 0).map_or(0, |at| at + 1);
    let runs = list[..end].chunk_by(|a, b| a == b);
    let text = runs.map(|run| match run.len() {
        1 => run[0].to_string(),
        many => format!("{}*{many}", run[0]),
    });
    text.collect::<Vec<_>>().join(",")
}

pub(super) fn from_text(text: &str) -> Vec<u16> {
    let run = |part: &str| {
        let (taken, many) = part.split_once('*').unwrap_or((part, "1"));
        vec![taken.trim().parse().expect("a number"); many.trim().parse().expect("a number")]
    };
    text.split(',').filter(|part| !part.trim().is_empty()).flat_map(run).collect()
}

/// Makes a list of choices that fails shorter and calmer, as long as it fails: in at most `runs` plays.
pub(super) fn shorten(mut list: Vec<u16>, mut runs: usize, mut fails: impl FnMut(&[u16]) -> bool) -> Vec<u16> {
    let mut fails = |tried: &[u16]| {
        let left = runs.checked_sub(1);
        runs = left.unwrap_or(0);
        left.is_some() && fails(tried)
    };
    // What comes after the failure, or does not matter for it, goes in large pieces first.
    let mut size = list.len();
    while size > 0 {
        let mut at = list.len();
        while at > 0 {
            let from = at.saturating_sub(size);
            let without = [&list[..from], &list[at.min(list.len())..]].concat();
            let mut calm = list.clone();
            calm[from..at].fill(0);
            if fails(&without) {
                list = without;
            } else if calm != list && fails(&calm) {
                list = calm;
            }
            at = from;
        }
        size /= 2;
    }
    list
}

#[test]
fn a_list_of_choices_leads_to_the_same_choices_and_is_enumerated_whole() {
    let drawn = Choices::of_seed(3);
    let make = |choices: &Choices| (choices.below(7), choices.chance(30), choices.weighed(&[1, 2, 3]));
    let made = make(&drawn);
    assert_eq!(make(&Choices::of_list(from_text(&to_text(&drawn.list())))), made);
    let (mut next, mut seen) = (Some(Vec::new()), std::collections::BTreeSet::new());
    while let Some(list) = next {
        let choices = Choices::of_list(list);
        // How many there are may hang on what was chosen before.
        let first = choices.below(3);
        assert!(seen.insert((first, choices.below(1 + first))), "played twice");
        next = choices.next();
    }
    assert_eq!(seen.len(), 6);
}

#[test]
fn a_failing_list_is_shortened_to_what_matters() {
    let list: Vec<u16> = (0..200).map(|n| n % 5).collect();
    let short = shorten(list, 400, |list| list.iter().filter(|taken| **taken == 3).count() >= 2);
    assert_eq!(short, [3, 3]);
    assert_eq!((to_text(&[1, 0, 0, 0, 2, 0]), from_text("1,0*3,2")), ("1,0*3,2".to_owned(), vec![1, 0, 0, 0, 2]));
}
