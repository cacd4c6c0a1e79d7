//! Whether a queue stands somewhere on a link's way out: its one-way delay is well above the least of the last seconds.
//!
//! Loss that comes with such a queue says that the link is full; repairing it would fill it more (RFC 9265). Two clocks are compared, so only changes
//! of the transit time mean something, and the least of long ago means nothing. Called by `probe`. Pure.

use crate::Nanos;

/// The least transit time is that of the last one to two of these.
const WINDOW: Nanos = 10_000_000_000;
/// A rise below this is no queue worth the name.
const RISE_MIN: i64 = 5_000_000;
/// Nor is one that the link's own jitter explains: so many times the mean change from probe to probe.
const WOBBLES: i64 = 2;

#[derive(Debug, Default)]
pub(crate) struct StandingQueue {
    /// Smoothed transit time; `None`: no probe was answered yet.
    transit: Option<i64>,
    last: i64,
    /// Smoothed change of the transit time from probe to probe.
    wobble: i64,
    /// Least smoothed transit time of this window and of the one before, and when this one began.
    least: (i64, i64),
    window_at: Nanos,
}

impl StandingQueue {
    /// A probe took `transit` by the clocks of both ends.
    pub(crate) fn told(&mut self, now: Nanos, transit: i64) {
        let Some(smoothed) = self.transit else {
            (self.transit, self.last, self.least) = (Some(transit), transit, (transit, transit));
            self.window_at = now;
            return;
        };
        let change = transit.wrapping_sub(self.last).saturating_abs();
        self.last = transit;
        self.wobble += change.saturating_sub(self.wobble) / 8;
        let smoothed = smoothed.saturating_add(transit.wrapping_sub(smoothed) / 8);
        self.transit = Some(smoothed);
        if now >= self.window_at + WINDOW {
            self.window_at = now;
            self.least = (smoothed, self.least.0);
        }
        self.least.0 = self.least.0.min(smoothed);
    }

    pub(crate) fn stands(&self) -> bool {
        let least = self.least.0.min(self.least.1);
        self.transit.is_some_and(|transit| {
            let rise = transit.saturating_sub(least);
            rise > RISE_MIN.max(self.wobble.saturating_mul(WOBBLES))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;
    /// What the clocks of both ends differ by.
    const CLOCKS: i64 = -7_777_777_777;

    /// A probe each 20 ms whose transit time in ms is `transit(time in ms)`; how often a queue was seen.
    fn run(until: u64, transit: impl Fn(u64) -> u64) -> usize {
        let mut queue = StandingQueue::default();
        let mut seen = 0;
        for at in (0..until).step_by(20) {
            queue.told(at * MS, CLOCKS + (transit(at) * MS).cast_signed());
            seen += usize::from(queue.stands());
        }
        seen
    }

    #[test]
    fn a_queue_is_seen_while_it_stands() {
        assert_eq!(run(5_000, |_| 20), 0);
        let seen = run(
            5_000,
            |at| if (2_000..4_000).contains(&at) { 50 } else { 20 },
        );
        assert!((95..115).contains(&seen), "{seen} of 100");
    }

    #[test]
    fn jitter_is_no_queue() {
        let random = |at: u64| {
            let mixed = (at + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
            let mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            (mixed ^ mixed >> 27) % 40
        };
        let seen = run(60_000, |at| 20 + random(at));
        assert!(seen < 30, "{seen} of 3000");
    }

    #[test]
    fn another_way_through_the_network_is_a_queue_for_seconds_only() {
        let seen = run(60_000, |at| if at < 5_000 { 20 } else { 80 });
        assert!(seen <= 1_000, "{seen} of 3000");
    }
}
