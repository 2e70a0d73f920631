//! What can go wrong in a schedule. A schedule has some of these kinds and not others, so that troubles are met alone too.

use std::cell::Cell;

use super::choices::Choices;

/// Kinds that the bridge does not stand yet.
const NOT_YET: &[Fault] = &[];

macro_rules! faults {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(super) enum Fault { $($(#[$doc])* $name,)* }

        impl Fault {
            pub(super) const ALL: &[Self] = &[$(Self::$name,)*];
        }
    };
}

faults! {
    // Of single calls and looks.
    /// A call fails for a transient reason.
    Unavailable,
    /// The same, and the engine has taken the answer all the same.
    AnswerLost,
    /// The engine asks for less load.
    Busy,
    /// One answer says that the domain is active elsewhere or unknown.
    OddDomain,
    /// One answer is that of something else than a Cadence frontend.
    OddAnswer,
    /// The client panics.
    Panic,
    /// Calls take up to half a second.
    SlowCalls,
    /// A look fails, or what closed the activity does not show in it yet.
    BadLooks,
    // Of single writes.
    /// A write fails, for a transient or for a permanent reason.
    WriteFails,
    /// A write is acknowledged late.
    SlowWrites,
    /// A write is made, and acknowledged late or never.
    AckLost,
    // Of activities.
    /// Some activities fail more calls than are tried in place.
    Stubborn,
    /// Some come to be known late.
    Late,
    /// Some time out.
    TimesOut,
    /// Replies name activities of another cluster.
    Strangers,
    /// Replies name a domain that does not exist.
    Nowhere,
    /// Replies name attempts that never begin.
    Future,
    /// Replies are no replies.
    Rubbish,
    /// Replies are larger than dead letters and retries may be.
    Large,
    /// Sixty heartbeats of one activity at once.
    HeartbeatFlood,
    /// Thirty replies to one activity at once that all wait for something.
    LaneFlood,
    /// A reply to each of many activities that cancels what nobody asked to stop, or answers an attempt that has not begun.
    WrongFlood,
    // Of the engine, for a while.
    /// The engine is down and up again.
    Outage,
    /// Nobody answers when the workers start.
    StartsDown,
    /// The part of the engine that has one workflow is unwell.
    Shard,
    /// A domain is unknown, elsewhere, back again.
    Domain,
    // Of the log, for a while.
    /// One partition of the outcome topic cannot be written.
    Outcomes,
    /// One partition of the dead-letter topic cannot be written.
    DeadLetters,
    /// One partition of the retry topics cannot be written.
    Retries,
    /// Ledgers are read slowly, in part, or not at all.
    SlowLedger,
    /// Retention takes what nobody has read.
    Retention,
    // Of members.
    Crash,
    /// The group gives a member up, which goes on.
    Zombie,
    Rebalance,
    /// What was read is read again.
    Redelivery,
    /// The wall clock jumps, in both directions.
    Clock,
    /// Only one domain is allowed.
    AllowList,
}

/// The kinds of one schedule, and how many single faults of the first groups it may still have.
pub(super) struct Menu {
    on: Vec<Fault>,
    budget: Cell<usize>,
    calm: Cell<bool>,
}

impl Menu {
    /// A quarter of all kinds, more or fewer. `HANDBACK_WITHOUT=Large,Clock` leaves some out.
    pub(super) fn drawn(choices: &Choices) -> Self {
        let without = std::env::var("HANDBACK_WITHOUT").unwrap_or_default();
        let is_left = |fault: &Fault| without.split(',').all(|name| name != format!("{fault:?}"));
        let drawn = Fault::ALL.iter().filter(|_| choices.chance(25)).copied();
        let on = drawn.filter(|fault| is_left(fault) && !NOT_YET.contains(fault)).collect();
        Self { on, budget: Cell::new(usize::MAX), calm: Cell::new(false) }
    }

    pub(super) fn of(on: &[Fault], budget: usize) -> Self {
        Self { on: on.to_vec(), budget: Cell::new(budget), calm: Cell::new(false) }
    }

    pub(super) fn has(&self, fault: Fault) -> bool {
        self.on.contains(&fault)
    }

    /// How much of an alternative there is in this schedule.
    pub(super) fn weight(&self, fault: Fault, weight: u32) -> u32 {
        if self.has(fault) { weight } else { 0 }
    }

    /// Single faults are over.
    pub(super) fn calm(&self) {
        self.calm.set(true);
    }

    pub(super) fn is_calm(&self) -> bool {
        self.calm.get()
    }

    pub(super) fn budget(&self) -> usize {
        self.budget.get()
    }

    /// One of these faults with its percentage, or none.
    pub(super) fn single(&self, choices: &Choices, faults: &[(Fault, u32)]) -> Option<Fault> {
        let on: Vec<_> = faults.iter().filter(|(fault, _)| self.has(*fault)).collect();
        if self.calm.get() || self.budget.get() == 0 || on.is_empty() {
            return None;
        }
        let percent: u32 = on.iter().map(|(_, percent)| percent).sum();
        let weights: Vec<u32> = std::iter::once(100 - percent).chain(on.iter().map(|(_, percent)| *percent)).collect();
        let (fault, _) = on[choices.weighed(&weights).checked_sub(1)?];
        self.budget.set(self.budget.get() - 1);
        Some(*fault)
    }
}
