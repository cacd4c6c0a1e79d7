//! What a node may spend on probes, and how often it probes so that it keeps to that. Pure.
//!
//! The pace is a number of steps. Each makes probes half as long again apart: the first ones those of idle links, the others those of what is in
//! use or stands by for it. A second above the budget takes as many steps as it was above; ten seconds that would be within it with fewer take them back. Probes
//! and their answers tell the pace, and a link goes at the slower one of its two ends: who has to answer many is asked less often.

use crate::Nanos;
use crate::counters::Probing;
use crate::liveness::{FAST, SLOW, STAND_BY};

/// Bytes of IP packets per second, where the snapshot says nothing.
const DEFAULT_BUDGET: u64 = 1_000_000;
const STEP: f64 = 1.5;
/// So many steps are those of idle links: up to 5 s between two probes, so that what they say is never stale to the agent.
const IDLE_STEPS: u8 = 4;
/// The others: up to 1.15 s.
const STEPS: u8 = IDLE_STEPS + 10;
/// A path that is only kept in mind waits no longer: the agent forgets it after 5 s.
const KEPT_IN_MIND: Nanos = 3_000_000_000;
/// Steps are taken back for what was spent in so many seconds.
const CALM: u32 = 10;
/// They leave so much of the budget free.
const ROOM: f64 = 0.9;

#[derive(Debug)]
pub(crate) struct Pace {
    budget: u64,
    steps: u8,
    /// Bytes of IP packets since the start: probes, their padding, answers.
    bytes: u64,
    /// When the second began, and the bytes until then.
    began: (Nanos, u64),
    /// What was spent in the last second.
    rate: f64,
    /// The most that was spent in a second at this pace, in bytes per second, and in how many.
    most: f64,
    seconds: u32,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            budget: DEFAULT_BUDGET,
            steps: 0,
            bytes: 0,
            began: (0, 0),
            rate: 0.0,
            most: 0.0,
            seconds: 0,
        }
    }
}

impl Pace {
    pub(crate) fn set_budget(&mut self, bytes_per_second: Option<u64>) {
        self.budget = bytes_per_second.unwrap_or(DEFAULT_BUDGET).max(1);
    }

    /// What probes and answers tell.
    pub(crate) fn steps(&self) -> u8 {
        self.steps
    }

    pub(crate) fn told(&self) -> Probing {
        Probing {
            bytes: self.bytes,
            rate: self.rate as u64,
            budget: self.budget,
            in_use_ns: in_use(self.steps),
            idle_ns: idle(self.steps),
        }
    }

    /// A probe or an answer leaves.
    pub(crate) fn pay(&mut self, bytes: usize) {
        self.bytes += bytes as u64;
    }

    /// Each second: takes steps for what was spent in it, or gives them back.
    pub(crate) fn end_second(&mut self, now: Nanos) {
        let (began, before) = std::mem::replace(&mut self.began, (now, self.bytes));
        let spent = (self.bytes - before) as f64 * 1e9 / now.saturating_sub(began).max(1) as f64;
        let budget = self.budget as f64;
        self.rate = spent;
        self.most = self.most.max(spent);
        self.seconds += 1;
        let steps = if spent > budget {
            let more = (spent / budget).log(STEP).ceil() as u8;
            self.steps.saturating_add(more).min(STEPS)
        } else if self.seconds >= CALM {
            let fewer = (budget * ROOM / self.most.max(1.0)).log(STEP).max(0.0) as u8;
            self.steps.saturating_sub(fewer)
        } else {
            return;
        };
        (self.steps, self.most, self.seconds) = (steps, 0.0, 0);
    }
}

/// Between two probes of a link or path in use.
pub(crate) fn in_use(steps: u8) -> Nanos {
    stretched(FAST, steps.min(STEPS).saturating_sub(IDLE_STEPS))
}

/// Between two probes of a link or path that stands by for one in use.
pub(crate) fn standing_by(steps: u8) -> Nanos {
    stretched(STAND_BY, steps.min(STEPS).saturating_sub(IDLE_STEPS)).min(kept_in_mind(steps))
}

/// Between two probes of an idle link.
pub(crate) fn idle(steps: u8) -> Nanos {
    stretched(SLOW, steps.min(IDLE_STEPS))
}

/// Between two probes of a path that carried traffic not long ago.
pub(crate) fn kept_in_mind(steps: u8) -> Nanos {
    idle(steps).min(KEPT_IN_MIND)
}

fn stretched(interval: Nanos, steps: u8) -> Nanos {
    (interval as f64 * STEP.powi(steps.into())) as Nanos
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Nanos = 1_000_000_000;

    /// The pace after each second of a load that costs so much at the full one: of what is in use, and of idle links.
    fn run(budget: u64, seconds: u64, load: impl Fn(u64) -> (f64, f64)) -> Vec<(u8, f64)> {
        let mut pace = Pace::default();
        pace.set_budget(Some(budget));
        pace.end_second(0);
        (1..=seconds)
            .map(|second| {
                let (used, resting) = load(second);
                let steps = pace.steps();
                let spent = used * FAST as f64 / in_use(steps) as f64
                    + resting * SLOW as f64 / idle(steps) as f64;
                pace.pay(spent as usize);
                pace.end_second(second * SECOND);
                (steps, spent)
            })
            .collect()
    }

    #[test]
    fn within_the_budget_nothing_waits() {
        let paces = run(100_000, 100, |_| (60_000.0, 39_000.0));
        assert!(paces.iter().all(|(steps, _)| *steps == 0));
        assert_eq!((in_use(0), idle(0)), (FAST, SLOW));
    }

    #[test]
    fn idle_links_wait_before_what_is_in_use() {
        let paces = run(100_000, 60, |_| (50_000.0, 200_000.0));
        assert!(paces.iter().all(|(steps, _)| *steps <= IDLE_STEPS));
        assert!(paces[10..].iter().all(|(_, spent)| *spent <= 100_000.0));
        assert_eq!(in_use(IDLE_STEPS), FAST);
    }

    #[test]
    fn the_budget_is_kept_within_seconds_and_most_of_it_is_used() {
        for load in [110_000.0, 400_000.0, 5_000_000.0] {
            let paces = run(100_000, 120, |_| (load, 1_000.0));
            assert!(
                paces[6..].iter().all(|(_, spent)| *spent <= 100_000.0),
                "{load}"
            );
            assert!(
                paces[60..].iter().all(|(_, spent)| *spent > 55_000.0),
                "{load}"
            );
        }
    }

    #[test]
    fn a_load_that_ends_is_forgotten_after_ten_seconds_and_one_that_stays_does_not_swing() {
        let paces = run(100_000, 60, |second| match second {
            ..30 => (2_000_000.0, 1_000.0),
            _ => (20_000.0, 1_000.0),
        });
        let changes = paces[10..29]
            .windows(2)
            .filter(|pair| pair[0].0 != pair[1].0);
        assert_eq!(changes.count(), 0, "{paces:?}");
        assert!(
            paces[52..].iter().all(|(steps, _)| *steps == 0),
            "{paces:?}"
        );
    }

    #[test]
    fn no_pace_is_slower_than_the_last_step() {
        let last = run(1, 60, |_| (1e9, 1e9)).pop().unwrap().0;
        assert_eq!(last, STEPS);
        assert!(last < 16, "it is told in four bits");
        assert_eq!(in_use(15), in_use(STEPS), "whatever a peer tells");
        assert!(in_use(STEPS) < 1_200_000_000 && idle(STEPS) < 5_100_000_000);
        assert_eq!((0..=STEPS).map(standing_by).max(), Some(KEPT_IN_MIND));
    }
}
