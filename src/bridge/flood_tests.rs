use proptest::prelude::*;

use super::*;
use crate::wire::RefusalCode;

const POLICY: Policy = Policy {
    window: Duration::from_secs(10),
    max_dead_letters: 5,
    share: 0.5,
    pause: Duration::from_secs(30),
    max_pause: Duration::from_secs(100),
    trial: 4,
};

fn at(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn origin(offset: i64) -> Origin {
    Origin { topic: "replies".into(), partition: 3, offset, timestamp_ms: None }
}

/// A reply that becomes a dead letter at once.
fn letter(flood: &mut Flood, now: Duration, code: &'static str, offset: i64) -> Option<Change> {
    let mut ticket = flood.take(0);
    flood.letter(now, &mut ticket, code, &origin(offset))
}

fn fine(flood: &mut Flood, now: Duration) -> Option<Change> {
    let mut ticket = flood.take(0);
    flood.fine(now, &mut ticket)
}

fn stopped(change: Option<Change>) -> Stop {
    match change {
        Some(Change::Stopped(stop)) => stop,
        other => panic!("not stopped: {other:?}"),
    }
}

/// Stops it by five dead letters.
fn flooded(now: Duration) -> Flood {
    let mut flood = Flood::new(POLICY, 1);
    (0..4).for_each(|offset| assert_eq!(letter(&mut flood, now, "bad_json", offset), None));
    stopped(letter(&mut flood, now, "bad_json", 4));
    flood
}

/// Ends its pause.
fn tried(flood: &mut Flood, now: Duration) {
    assert_eq!(flood.tick(now.saturating_sub(at(1)), 0), None, "not before its time");
    assert!(!flood.admits(0));
    assert_eq!(flood.tick(now, 0), Some(Change::Trying));
}

#[test]
fn a_stop_names_the_commonest_reason_and_the_last_that_has_it() {
    let mut flood = Flood::new(POLICY, 2);
    assert_eq!(fine(&mut flood, at(0)), None);
    for (offset, code) in ["bad_token", "unknown", "bad_token", "bad_json"].into_iter().enumerate() {
        assert_eq!(letter(&mut flood, at(offset as u64), code, offset as i64), None);
    }
    let stop = stopped(letter(&mut flood, at(4), "bad_token", 9));
    let expected = Stop { letters: 5, replies: 6, code: "bad_token", alike: 3, example: origin(9), pause: at(30) };
    assert_eq!(stop, expected);
    assert!(!flood.admits(0) && flood.admits(1), "only this topic");
}

#[test]
fn some_rubbish_on_a_busy_topic_never_stops_it() {
    let mut flood = Flood::new(POLICY, 1);
    for reply in 0..100_000_u64 {
        let now = Duration::from_millis(reply);
        let change = if reply % 3 == 0 { letter(&mut flood, now, "bad_json", 0) } else { fine(&mut flood, now) };
        assert_eq!(change, None, "one in three is below the share");
    }
}

#[test]
fn a_few_dead_letters_far_apart_never_stop_a_topic() {
    let mut flood = Flood::new(POLICY, 1);
    assert!((0..1000).all(|reply| letter(&mut flood, at(reply * 3), "bad_json", 0).is_none()), "four in ten seconds");
}

#[test]
fn what_is_in_hand_counts_as_good_until_it_is_not() {
    let mut flood = Flood::new(POLICY, 1);
    let mut slow: Vec<_> = (0..20).map(|_| flood.take(0)).collect();
    assert!(
        (0..19).all(|offset| letter(&mut flood, at(1), "bad_json", offset).is_none()),
        "twenty are asked about yet"
    );
    assert_eq!(flood.fine(at(2), &mut slow[0]), None);
    flood.leave(&slow[0]);
    assert_eq!(flood.letter(at(2), &mut slow[1], "unknown", &origin(1)).map(|_| ()), Some(()), "20 of 40");
}

#[test]
fn a_trial_is_small_and_stops_anew_at_once_and_for_longer() {
    let mut flood = flooded(at(0));
    let mut now = at(0);
    for (pause, next) in [(30, 60), (60, 100), (100, 100)] {
        now += at(pause);
        tried(&mut flood, now);
        let mut tickets: Vec<_> = (0..4).map(|_| flood.take(0)).collect();
        assert!(!flood.admits(0), "no more than four");
        flood.leave(&tickets.remove(3));
        assert!(flood.admits(0), "one that left without an end gives its place to another");
        assert_eq!(flood.letter(now, &mut tickets[0], "unknown", &origin(7)), None);
        let stop = stopped(flood.letter(now, &mut tickets[1], "unknown", &origin(8)));
        assert_eq!((stop.letters, stop.replies, stop.code, stop.pause), (2, 2, "unknown", at(next)));
        assert_eq!(
            flood.letter(now, &mut tickets[2], "unknown", &origin(9)),
            None,
            "that it is one more changes nothing"
        );
    }
}

#[test]
fn good_replies_end_a_trial() {
    let mut flood = flooded(at(0));
    tried(&mut flood, at(30));
    assert_eq!(letter(&mut flood, at(30), "bad_json", 1), None, "one of four is below the share");
    assert_eq!(fine(&mut flood, at(31)), None);
    assert_eq!(fine(&mut flood, at(31)), None);
    assert_eq!(fine(&mut flood, at(31)), Some(Change::Flowing));
    assert!((0..10).all(|_| flood.take(0).stops == 1 && flood.admits(0)));
}

#[test]
fn a_trial_that_nobody_comes_to_ends_with_the_window() {
    let mut flood = flooded(at(0));
    tried(&mut flood, at(30));
    assert_eq!(flood.tick(at(39), 0), None);
    assert_eq!(flood.tick(at(40), 0), Some(Change::Flowing));
    assert_eq!(flood.tick(at(41), 0), None);
}

#[test]
fn a_topic_that_has_flowed_for_a_window_begins_with_a_short_pause_again() {
    for (calm, pause) in [(9, 60), (10, 30)] {
        let mut flood = flooded(at(0));
        tried(&mut flood, at(30));
        assert_eq!(flood.tick(at(40), 0), Some(Change::Flowing));
        (0..4).for_each(|_| assert_eq!(letter(&mut flood, at(40 + calm), "bad_json", 0), None));
        assert_eq!(stopped(letter(&mut flood, at(40 + calm), "bad_json", 0)).pause, at(pause), "after {calm} s");
    }
}

#[test]
fn what_was_in_hand_at_a_stop_says_nothing_about_the_trial() {
    let mut flood = Flood::new(POLICY, 1);
    let mut slow: Vec<_> = (0..5).map(|_| flood.take(0)).collect();
    (0..9).for_each(|_| drop(letter(&mut flood, at(0), "bad_json", 0)));
    assert_eq!(flood.state(0), State::Stopped);
    tried(&mut flood, at(30));
    for ticket in &mut slow {
        assert_eq!(flood.letter(at(31), ticket, "unknown", &origin(0)), None);
        flood.leave(ticket);
    }
    assert_eq!((flood.state(0), flood.topics[0].in_hand), (State::Trial, 0));
}

#[test]
fn a_reply_is_counted_once_and_a_dead_letter_after_all_is_one() {
    let mut flood = Flood::new(POLICY, 1);
    let mut ticket = flood.take(0);
    assert_eq!(flood.fine(at(0), &mut ticket), None);
    for _ in 0..20 {
        assert_eq!(flood.letter(at(0), &mut ticket, "internal_error", &origin(0)), None);
        assert_eq!(flood.fine(at(0), &mut ticket), None);
    }
    flood.leave(&ticket);
    let topic = &flood.topics[0];
    assert_eq!((topic.slices[0].replies, topic.slices[0].letters["internal_error"].0, topic.in_hand), (1, 1, 0));
}

#[test]
fn memory_is_bounded_by_slices_and_codes() {
    let mut flood = Flood::new(Policy { max_dead_letters: usize::MAX, ..POLICY }, 1);
    for reply in 0..50_000_u64 {
        let code = RefusalCode::ALL[reply as usize % RefusalCode::ALL.len()].as_str();
        letter(&mut flood, Duration::from_millis(reply * 7), code, 0);
    }
    let slices = &flood.topics[0].slices;
    assert!(slices.len() <= SLICES as usize && slices.iter().all(|s| s.letters.len() <= RefusalCode::ALL.len()));
}

/// The same, told without slices and counters: all that was ever said, and what follows from it.
#[derive(Default)]
struct Model {
    now: u64,
    /// When, and whether it was a dead letter, since the last stop.
    said: Vec<(u64, bool)>,
    in_hand: usize,
    stops: u64,
    /// Since when it is in that state.
    since: u64,
    state: Option<State>,
    pause: u64,
}

impl Model {
    fn state(&self) -> State {
        self.state.unwrap_or(State::Flowing)
    }

    fn tick(&mut self) {
        let next = match self.state() {
            State::Stopped if self.now >= self.since + self.pause => State::Trial,
            State::Trial if self.now >= self.since + 10 => State::Flowing,
            _ => return,
        };
        (self.state, self.since) = (Some(next), self.now);
    }

    fn say(&mut self, letter: bool) {
        self.in_hand -= 1;
        self.said.push((self.now, letter));
        let letters = |said: &[(u64, bool)]| said.iter().filter(|(_, letter)| *letter).count();
        let recent: Vec<_> = self.said.iter().copied().filter(|(then, _)| then + 9 >= self.now).collect();
        let bad = letters(&self.said);
        let stops = match self.state() {
            State::Flowing => {
                let bad = letters(&recent);
                letter && bad >= 5 && 2 * bad >= recent.len() + self.in_hand
            }
            State::Trial => bad >= 2,
            State::Stopped => unreachable!("what was in hand does not count"),
        };
        if stops {
            let calm = self.state() == State::Flowing && self.now - self.since >= 10;
            self.pause = if self.pause == 0 || calm { 30 } else { (self.pause * 2).min(100) };
            (self.state, self.since) = (Some(State::Stopped), self.now);
            self.said.clear();
            self.in_hand = 0;
            self.stops += 1;
        } else if self.state() == State::Trial && self.said.len() - bad >= 3 {
            (self.state, self.since) = (Some(State::Flowing), self.now);
        }
    }

    fn admits(&self) -> bool {
        match self.state() {
            State::Flowing => true,
            State::Stopped => false,
            State::Trial => self.said.len() + self.in_hand < 4,
        }
    }
}

#[derive(Clone, Debug)]
enum Step {
    Pass(u64),
    Take,
    /// The reply in hand of this number, counted round.
    Say(usize, bool),
    Leave(usize),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        2 => (0u64..8).prop_map(Step::Pass),
        1 => (25u64..60).prop_map(Step::Pass),
        8 => Just(Step::Take),
        8 => (0usize..50, prop::bool::weighted(0.6)).prop_map(|(which, letter)| Step::Say(which, letter)),
        1 => (0usize..50).prop_map(Step::Leave),
    ]
}

proptest! {
    #[test]
    fn floods_are_told_as_the_plain_model_tells_them(steps in prop::collection::vec(step(), 1..400)) {
        let (mut flood, mut model) = (Flood::new(POLICY, 1), Model::default());
        let mut hand: Vec<(Ticket, u64)> = Vec::new();
        for step in steps {
            match step {
                Step::Pass(time) => {
                    model.now += time;
                    model.tick();
                    flood.tick(at(model.now), 0);
                }
                Step::Take if model.admits() => {
                    model.in_hand += 1;
                    hand.push((flood.take(0), model.stops));
                }
                Step::Say(which, letter) if !hand.is_empty() => {
                    let (mut ticket, stops) = hand.swap_remove(which % hand.len());
                    if stops == model.stops {
                        model.say(letter);
                    }
                    match letter {
                        true => flood.letter(at(model.now), &mut ticket, "bad_json", &origin(0)),
                        false => flood.fine(at(model.now), &mut ticket),
                    };
                    flood.leave(&ticket);
                }
                Step::Leave(which) if !hand.is_empty() => {
                    let (ticket, stops) = hand.swap_remove(which % hand.len());
                    model.in_hand -= usize::from(stops == model.stops);
                    flood.leave(&ticket);
                }
                _ => {}
            }
            prop_assert_eq!((flood.state(0), flood.admits(0)), (model.state(), model.admits()));
            prop_assert_eq!(flood.topics[0].in_hand, model.in_hand);
            if let Phase::Stopped { until } = flood.topics[0].phase {
                prop_assert_eq!(until, at(model.since + model.pause));
            }
        }
    }
}
