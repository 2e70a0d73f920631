//! Tells a flood of dead letters from a few: a deployment that writes rubbish must not drain a whole topic of replies into
//! the dead-letter topic. Looks at the number of unforeseen dead letters and at their share of a topic's replies, so
//! that a busy topic with some rubbish never stops. Pure: time is an argument.

use std::collections::VecDeque;
use std::time::Duration;

use rustc_hash::FxHashMap;

use crate::wire::Origin;

/// When a topic is stopped, and for how long.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Policy {
    /// How far back replies count.
    pub window: Duration,
    /// Fewer dead letters than this never stop a topic.
    pub max_dead_letters: usize,
    /// Dead letters as a share of a topic's replies, 0 to 1.
    pub share: f64,
    /// The first stop.
    pub pause: Duration,
    /// Longest stop.
    pub max_pause: Duration,
    /// Replies that are tried after a stop.
    pub trial: usize,
}

/// How a topic is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Everything goes.
    Flowing,
    /// Nothing is taken up.
    Stopped,
    /// Some replies go first.
    Trial,
}

/// What has become of a topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// It is stopped.
    Stopped(Stop),
    /// The stop is over: some replies are tried.
    Trying,
    /// Everything goes again.
    Flowing,
}

/// Why a topic is stopped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stop {
    /// Unforeseen dead letters in the window.
    pub letters: usize,
    /// Replies that reached their end in the window, these among them.
    pub replies: usize,
    /// The commonest reason among them.
    pub code: &'static str,
    /// How many have it.
    pub alike: usize,
    /// The last of those.
    pub example: Origin,
    /// How long nothing is taken up.
    pub pause: Duration,
}

/// A reply that was taken up. What is said of replies of before a stop counts no more.
#[derive(Clone, Copy, Debug)]
pub struct Ticket {
    topic: usize,
    stops: u64,
    said: Said,
}

impl Ticket {
    /// Whether something was said of the reply.
    #[must_use]
    pub fn is_told(&self) -> bool {
        self.said != Said::Nothing
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Said {
    Nothing,
    Fine,
    Letter,
}

/// Slices of the window; older slices fall off whole.
const SLICES: u32 = 10;

#[derive(Debug, Default)]
struct Slice {
    number: u64,
    replies: usize,
    /// Dead letters by reason code, of which there are few: how many, and the last of them.
    letters: FxHashMap<&'static str, (usize, Origin)>,
}

#[derive(Clone, Copy, Debug)]
enum Phase {
    Flowing { since: Duration },
    Stopped { until: Duration },
    Trial { until: Duration, fine: usize, letters: usize },
}

#[derive(Debug)]
struct Topic {
    phase: Phase,
    /// How often it was stopped.
    stops: u64,
    /// The last stop was this long; none when it lies too far back to matter.
    last_pause: Option<Duration>,
    /// Replies taken up since the last stop of which nothing is known yet.
    in_hand: usize,
    slices: VecDeque<Slice>,
}

/// The floods of one worker, topic by topic.
#[derive(Debug)]
pub struct Flood {
    policy: Policy,
    topics: Vec<Topic>,
}

impl Flood {
    /// As many topics, all flowing.
    #[must_use]
    pub fn new(policy: Policy, topics: usize) -> Self {
        let fresh = || Topic {
            phase: Phase::Flowing { since: Duration::ZERO },
            stops: 0,
            last_pause: None,
            in_hand: 0,
            slices: VecDeque::new(),
        };
        Self { policy, topics: (0..topics).map(|_| fresh()).collect() }
    }

    /// How a topic is doing.
    #[must_use]
    pub fn state(&self, topic: usize) -> State {
        match self.topics[topic].phase {
            Phase::Flowing { .. } => State::Flowing,
            Phase::Stopped { .. } => State::Stopped,
            Phase::Trial { .. } => State::Trial,
        }
    }

    /// Whether a topic flows again, and not for long yet.
    #[must_use]
    pub fn is_wary(&self, now: Duration, topic: usize) -> bool {
        let Topic { phase, stops, .. } = &self.topics[topic];
        *stops > 0 && matches!(phase, Phase::Flowing { since } if now.saturating_sub(*since) < self.policy.window)
    }

    /// Whether a reply of this topic may be taken up.
    #[must_use]
    pub fn admits(&self, topic: usize) -> bool {
        let Topic { phase, in_hand, .. } = &self.topics[topic];
        match phase {
            Phase::Flowing { .. } => true,
            Phase::Stopped { .. } => false,
            Phase::Trial { fine, letters, .. } => fine + letters + in_hand < self.policy.trial,
        }
    }

    /// A reply of this topic is taken up.
    pub fn take(&mut self, topic: usize) -> Ticket {
        let state = &mut self.topics[topic];
        state.in_hand += 1;
        Ticket { topic, stops: state.stops, said: Said::Nothing }
    }

    /// A reply left, whether anything was said of it or not.
    pub fn leave(&mut self, ticket: &Ticket) {
        if ticket.said == Said::Nothing
            && let Some(topic) = self.counting(ticket)
        {
            topic.in_hand -= 1;
        }
    }

    /// A reply ended well, or in a way that was to be expected. The first word about a reply counts.
    pub fn fine(&mut self, now: Duration, ticket: &mut Ticket) -> Option<Change> {
        if ticket.said != Said::Nothing {
            return None;
        }
        let window = self.policy.window;
        let topic = self.counting(ticket)?;
        ticket.said = Said::Fine;
        topic.in_hand -= 1;
        topic.slice(now, window).replies += 1;
        let Phase::Trial { fine, .. } = &mut topic.phase else { return None };
        *fine += 1;
        self.judge(now, ticket.topic)
    }

    /// A reply becomes a dead letter that nobody foresees, for the reason `code`. Counts although the reply was called
    /// fine before: handling it may fail after that.
    pub fn letter(
        &mut self,
        now: Duration,
        ticket: &mut Ticket,
        code: &'static str,
        origin: &Origin,
    ) -> Option<Change> {
        if ticket.said == Said::Letter {
            return None;
        }
        let window = self.policy.window;
        let topic = self.counting(ticket)?;
        let known = std::mem::replace(&mut ticket.said, Said::Letter) == Said::Fine;
        let slice = topic.slice(now, window);
        slice.letters.entry(code).and_modify(|(count, _)| *count += 1).or_insert((1, origin.clone())).1 =
            origin.clone();
        if !known {
            slice.replies += 1;
            topic.in_hand -= 1;
        }
        if let Phase::Trial { letters, fine, .. } = &mut topic.phase {
            *letters += 1;
            *fine -= usize::from(known);
        }
        self.judge(now, ticket.topic)
    }

    /// What the time has changed.
    pub fn tick(&mut self, now: Duration, topic: usize) -> Option<Change> {
        let Policy { window, .. } = self.policy;
        let topic = &mut self.topics[topic];
        match topic.phase {
            Phase::Stopped { until } if until <= now => {
                topic.phase = Phase::Trial { until: now + window, fine: 0, letters: 0 };
                Some(Change::Trying)
            }
            // Too few came to tell. Whoever unblocks a topic that is written seldom must not wait for ever.
            Phase::Trial { until, .. } if until <= now => {
                topic.phase = Phase::Flowing { since: now };
                Some(Change::Flowing)
            }
            _ => None,
        }
    }

    /// The topic of a ticket, if what is said of it still counts.
    fn counting(&mut self, ticket: &Ticket) -> Option<&mut Topic> {
        let topic = &mut self.topics[ticket.topic];
        (topic.stops == ticket.stops).then_some(topic)
    }

    /// After a dead letter, or any reply of a trial: a good one stops nothing, and need not be weighed.
    fn judge(&mut self, now: Duration, topic: usize) -> Option<Change> {
        let Policy { max_dead_letters, share, trial, .. } = self.policy;
        let reached = |letters: usize, replies: usize| letters as f64 >= share * replies as f64;
        let state = &mut self.topics[topic];
        match state.phase {
            Phase::Flowing { .. } => {
                let letters = state.letters(now, self.policy.window);
                if letters < max_dead_letters {
                    return None;
                }
                // Rubbish ends sooner than what the engine is asked about: what is in hand counts as good until it is not.
                let replies: usize = state.slices.iter().map(|slice| slice.replies).sum();
                if reached(letters, replies + state.in_hand) { self.stop(now, topic) } else { None }
            }
            Phase::Stopped { .. } => None,
            Phase::Trial { letters, .. } if letters > 0 && reached(letters, trial) => self.stop(now, topic),
            Phase::Trial { fine, .. } if !reached(trial.saturating_sub(fine), trial) => {
                state.phase = Phase::Flowing { since: now };
                Some(Change::Flowing)
            }
            Phase::Trial { .. } => None,
        }
    }

    /// Stops a topic of which at least one dead letter is counted.
    fn stop(&mut self, now: Duration, topic: usize) -> Option<Change> {
        let Policy { window, pause, max_pause, .. } = self.policy;
        let topic = &mut self.topics[topic];
        let calm = matches!(topic.phase, Phase::Flowing { since } if now.saturating_sub(since) >= window);
        let last = topic.last_pause.filter(|_| !calm);
        let pause = last.map_or(pause, |last| (last * 2).min(max_pause));
        let stop = topic.report(pause)?;
        topic.last_pause = Some(pause);
        topic.phase = Phase::Stopped { until: now + pause };
        topic.stops += 1;
        topic.in_hand = 0;
        topic.slices.clear();
        Some(Change::Stopped(stop))
    }
}

impl Topic {
    /// Unforeseen dead letters in the window.
    fn letters(&mut self, now: Duration, window: Duration) -> usize {
        self.slice(now, window);
        self.slices.iter().flat_map(|slice| slice.letters.values()).map(|(count, _)| count).sum()
    }

    fn report(&self, pause: Duration) -> Option<Stop> {
        let mut by_code: FxHashMap<&'static str, (usize, Origin)> = FxHashMap::default();
        for (code, (count, example)) in self.slices.iter().flat_map(|slice| &slice.letters) {
            let entry = by_code.entry(code).or_insert((0, example.clone()));
            *entry = (entry.0 + count, example.clone());
        }
        let letters = by_code.values().map(|(count, _)| count).sum();
        let replies = self.slices.iter().map(|slice| slice.replies).sum();
        // Of two that are as common the first by name, so that the same flood is always called the same.
        let commonest = by_code.into_iter().max_by(|a, b| a.1.0.cmp(&b.1.0).then(b.0.cmp(a.0)));
        let (code, (alike, example)) = commonest?;
        Some(Stop { letters, replies, code, alike, example, pause })
    }

    /// The slice of `now`, after dropping those that fell out of the window.
    fn slice(&mut self, now: Duration, window: Duration) -> &mut Slice {
        let number = millis(now) / millis(window / SLICES).max(1);
        while self.slices.front().is_some_and(|oldest| oldest.number + u64::from(SLICES) <= number) {
            self.slices.pop_front();
        }
        if self.slices.back().is_none_or(|newest| newest.number < number) {
            self.slices.push_back(Slice { number, ..Slice::default() });
        }
        let last = self.slices.len() - 1;
        &mut self.slices[last]
    }
}

fn millis(time: Duration) -> u64 {
    time.as_secs() * 1000 + u64::from(time.subsec_millis())
}

#[cfg(test)]
#[path = "flood_tests.rs"]
mod tests;
