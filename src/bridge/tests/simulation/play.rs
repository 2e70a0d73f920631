//! Playing schedules: one by one, again when one fails, shortened, and told.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::Once;
use std::time::Duration;

use super::choices::{Choices, from_text, shorten, to_text};
use super::story::{Broken, Story};

/// Plays that the shortening of a failure may take: some seconds.
const SHORTENING: usize = 400;

/// Plays the schedule that these choices lead to and tells its story. What it answers is counted.
pub(super) trait Play: Copy + Fn(Rc<Choices>, Rc<Story>) -> bool {}
impl<F: Copy + Fn(Rc<Choices>, Rc<Story>) -> bool> Play for F {}

/// What came of a schedule.
pub(super) struct Played {
    pub(super) broken: Option<Broken>,
    pub(super) choices: Rc<Choices>,
    pub(super) story: Rc<Story>,
    pub(super) answer: bool,
}

impl Played {
    /// Tells the story, and fails if a promise is broken.
    pub(super) fn print(self) {
        println!("{}", self.story.timeline());
        if let Some(Broken { promise, text }) = self.broken {
            panic!("broken: {promise}\n{text}");
        }
        println!("every promise holds");
    }
}

pub(super) fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().and_then(|text| text.parse().ok())
}

thread_local! {
    static QUIET: Cell<bool> = const { Cell::new(false) };
}

/// Panics of schedules that are played are told once, in the end.
fn be_quiet() {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let loud = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            if !QUIET.get() {
                loud(panic);
            }
        }));
    });
}

/// Plays a schedule, panics included.
pub(super) fn try_play(play: impl Play, choices: Choices, is_told: bool) -> Played {
    be_quiet();
    QUIET.set(true);
    let (choices, story) = (Rc::new(choices), Rc::new(Story::new(is_told)));
    let played = catch_unwind(AssertUnwindSafe(|| play(Rc::clone(&choices), Rc::clone(&story))));
    QUIET.set(false);
    let answer = played.unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
        story.broke("nothing panics", || text.unwrap_or_default());
        false
    });
    Played { broken: story.broken(), choices, story, answer }
}

/// Plays the schedule that the environment names, and tells it.
pub(super) fn play_list(play: impl Play) -> Option<Played> {
    let seed = number("HANDBACK_SEED").map(Choices::of_seed);
    let list = || std::env::var("HANDBACK_CHOICES").ok().map(|text| Choices::of_list(from_text(&text)));
    seed.or_else(list).map(|choices| try_play(play, choices, true))
}

/// Plays schedules by their seeds. Answers how many answered yes, and the longest wait without a reason.
pub(super) fn play_seeds(seeds: Range<u64>, play: impl Play) -> (usize, Duration) {
    let (mut yes, mut longest) = (0, Duration::ZERO);
    let mut survey = number("HANDBACK_SURVEY").map(|_| Survey::default());
    for seed in seeds {
        let played = try_play(play, Choices::of_seed(seed), false);
        match (&played.broken, &mut survey) {
            (Some(broken), Some(survey)) => survey.note(seed, broken),
            (Some(broken), None) => fail(&format!("seed {seed}"), broken, played.choices.list(), play),
            (None, _) => longest = longest.max(played.story.longest()),
        }
        yes += usize::from(played.answer);
    }
    survey.iter().for_each(Survey::print);
    (yes, longest)
}

/// Plays schedules by their seeds, where some promises may be broken. Answers in how many one of them was.
pub(super) fn play_seeds_but(seeds: Range<u64>, may_break: &[&str], play: impl Play) -> usize {
    let mut count = 0;
    for seed in seeds {
        let played = try_play(play, Choices::of_seed(seed), false);
        match &played.broken {
            Some(broken) if may_break.contains(&broken.promise.as_str()) => count += 1,
            Some(broken) => fail(&format!("seed {seed}"), broken, played.choices.list(), play),
            None => {}
        }
    }
    count
}

/// Broken promises of many schedules: how often each, and where first.
#[derive(Default)]
struct Survey(BTreeMap<String, (usize, u64, String)>);

impl Survey {
    fn note(&mut self, seed: u64, Broken { promise, text }: &Broken) {
        self.0.entry(promise.clone()).or_insert_with(|| (0, seed, text.clone())).0 += 1;
    }

    fn print(&self) {
        for (promise, (count, seed, text)) in &self.0 {
            println!("{count} schedules, first with seed {seed}: {promise}\n    {text}");
        }
    }
}

/// Shortens a failure, tells it, and fails.
pub(super) fn fail(which: &str, broken: &Broken, list: Vec<u16>, play: impl Play) -> ! {
    let fails = |list: &[u16]| {
        let played = try_play(play, Choices::of_list(list.to_vec()), false);
        played.broken.is_some_and(|again| again.promise == broken.promise)
    };
    let short = if number("HANDBACK_LONG").is_some() { list } else { shorten(list, SHORTENING, fails) };
    let told = try_play(play, Choices::of_list(short.clone()), true);
    let (Broken { promise, text }, again) = (told.broken.as_ref().unwrap_or(broken), to_text(&short));
    panic!(
        "{which}\nbroken: {promise}\n{text}\nplay it again: HANDBACK_CHOICES={again} cargo test --lib {}\n{}",
        std::thread::current().name().unwrap_or("simulation"),
        told.story.timeline()
    );
}
