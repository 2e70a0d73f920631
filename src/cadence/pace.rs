//! How often a line may connect: at once after a long life, later and later where attempts follow each other. Without it
//! each call to a frontend that refuses or drops connections makes one.

use std::time::Duration;

use tokio::time::Instant;

/// Pause after the second attempt in a row; doubled after each further one. The first may be bad luck, and costs nothing.
const FIRST: Duration = Duration::from_millis(50);

/// Longest pause: shorter than `breaker.probe_interval`, so that a probe finds out for itself.
const LONGEST: Duration = Duration::from_secs(1);

/// The pace of one line.
#[derive(Debug, Default)]
pub(super) struct Pace {
    /// Attempts in a row.
    tries: u32,
    /// When the next one may be made.
    next: Option<Instant>,
}

impl Pace {
    /// Takes note of an attempt.
    ///
    /// # Errors
    /// When it is too soon for one, and by how much.
    pub(super) fn attempt(&mut self, now: Instant) -> Result<(), Duration> {
        match self.next {
            Some(next) if now < next => return Err(next - now),
            Some(next) if now < next + LONGEST => self.tries += 1,
            _ => self.tries = 1,
        }
        let pause = match self.tries {
            1 => Duration::ZERO,
            tries => FIRST.saturating_mul(1 << (tries - 2).min(10)).min(LONGEST),
        };
        // The processes that lost one frontend must not come back together.
        self.next = Some(now + pause.mul_f64(1.0 - 0.5 * fastrand::f64()));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attempts_in_a_row_come_ever_later_up_to_a_second_and_a_long_life_starts_anew() {
        let (mut pace, began) = (Pace::default(), Instant::now());
        let mut at = began;
        let mut made = Vec::new();
        while at < began + Duration::from_secs(20) {
            if pace.attempt(at).is_ok() {
                made.push(at - began);
            }
            at += Duration::from_millis(1);
        }
        assert_eq!(made[..2], [Duration::ZERO, Duration::from_millis(1)], "one that fails costs nothing");
        assert!((2..=7).contains(&made.iter().filter(|at| **at < Duration::from_secs(1)).count()), "{made:?}");
        let gaps: Vec<_> = made[8..].windows(2).map(|pair| pair[1] - pair[0]).collect();
        assert!(gaps.iter().all(|gap| (LONGEST / 2..=LONGEST + Duration::from_millis(1)).contains(gap)), "{gaps:?}");
        assert!(gaps.iter().any(|gap| *gap != gaps[0]), "no two processes at the same time");
        let later = at + 3 * LONGEST;
        assert!(pace.attempt(later).is_ok() && pace.attempt(later).is_ok());
    }
}
