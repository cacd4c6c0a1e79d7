//! The largest underlay IP packet that a link is proven to carry, found and watched by padded probes (never by ICMP).
//!
//! Starts at what every path is bound to carry; larger sizes are tried while the link is up; a size that stops being answered while small
//! probes are is given up. Sizes are IP packets. Pure.

use crate::Nanos;

/// Every IPv6 path carries this much, and nearly every IPv4 one.
const SAFE: u16 = 1280;
/// Sizes worth trying, beside the link's own limit.
const STEPS: [u16; 5] = [1400, 1420, 1460, 1492, 1500];
/// A size is given up after so many unanswered probes.
const TRIES: u8 = 3;
/// Between two probes of one size.
const RETRY: Nanos = 100_000_000;
/// The proven size is asked for again this often while large frames are sent.
const WATCH_BUSY: Nanos = 200_000_000;
/// And this often when not; then larger ones are tried again too.
const WATCH_IDLE: Nanos = 60_000_000_000;

#[derive(Debug)]
pub(crate) struct MtuSearch {
    limit: u16,
    proven: u16,
    /// Sizes above `proven` and below this failed; tried again after `WATCH_IDLE`.
    ceiling: u16,
    /// Size in question, the probe (by its sequence number) that asks, and how often it was asked.
    asked: Option<(u16, u32)>,
    tries: u8,
    next_at: Nanos,
    grow_at: Nanos,
    large_until: Nanos,
}

impl MtuSearch {
    pub(crate) fn new(limit: u16) -> Self {
        Self {
            limit,
            proven: limit.min(SAFE),
            ceiling: limit,
            asked: None,
            tries: 0,
            next_at: 0,
            grow_at: WATCH_IDLE,
            large_until: 0,
        }
    }

    pub(crate) fn proven(&self) -> u16 {
        self.proven
    }

    pub(crate) fn set_limit(&mut self, limit: u16) {
        if limit != self.limit {
            *self = Self::new(limit);
        }
    }

    /// The link's way has changed: nothing is proven any more.
    pub(crate) fn restart(&mut self) {
        *self = Self::new(self.limit);
    }

    /// A frame of this size leaves; near the proven size it is worth watching that such frames arrive.
    pub(crate) fn frame_sent(&mut self, now: Nanos, size: u16) {
        if size > SAFE && now + WATCH_BUSY > self.large_until {
            if now > self.large_until {
                self.next_at = self.next_at.min(now + WATCH_BUSY);
            }
            self.large_until = now + 2 * WATCH_BUSY;
        }
    }

    pub(crate) fn poll_timeout(&self) -> Nanos {
        self.next_at.min(self.grow_at)
    }

    /// The size to pad a probe to, if one is due. To be called only while small probes are answered.
    pub(crate) fn poll(&mut self, now: Nanos, seq: u32) -> Option<u16> {
        if now >= self.grow_at {
            self.ceiling = self.limit;
            self.grow_at = now + WATCH_IDLE;
            self.next_at = now;
        }
        if now < self.next_at {
            return None;
        }
        if let Some((size, _)) = self.asked {
            self.tries += 1;
            if self.tries >= TRIES {
                self.give_up(now, size);
            }
        }
        let wanted = match self.asked {
            Some((size, _)) => Some(size),
            None => self
                .candidate()
                .or((now < self.large_until).then_some(self.proven)),
        };
        let Some(size) = wanted else {
            self.next_at = now + WATCH_IDLE;
            return None;
        };
        self.asked = Some((size, seq));
        self.next_at = now
            + if size == self.proven {
                WATCH_BUSY
            } else {
                RETRY
            };
        Some(size)
    }

    /// A probe was answered; was it the padded one? True: a larger size is proven.
    pub(crate) fn answered(&mut self, now: Nanos, seq: u32, padded_to: u16) -> bool {
        let Some((size, asked)) = self.asked else {
            return false;
        };
        // An answer to any try counts: the reply tells what size arrived.
        if seq > asked || padded_to < size {
            return false;
        }
        self.asked = None;
        self.tries = 0;
        let grows = size > self.proven;
        self.proven = self.proven.max(size);
        if self.candidate().is_some() {
            self.next_at = now;
        } else {
            let watch = if now < self.large_until {
                WATCH_BUSY
            } else {
                WATCH_IDLE
            };
            self.next_at = now + watch;
        }
        grows
    }

    fn give_up(&mut self, now: Nanos, size: u16) {
        self.asked = None;
        self.tries = 0;
        if size <= self.proven {
            self.proven = self.limit.min(SAFE);
        }
        self.ceiling = size - 1;
        self.grow_at = now + WATCH_IDLE;
    }

    /// The next size to try: the limit first, as most links carry it; then from the bottom up.
    fn candidate(&self) -> Option<u16> {
        if self.ceiling == self.limit && self.proven < self.limit {
            return Some(self.limit);
        }
        STEPS
            .into_iter()
            .rev()
            .find(|size| *size > self.proven && *size <= self.ceiling)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Nanos = 1_000_000;

    /// Runs the search over a link that carries `carries(now)` bytes; RTT 20 ms, polled each 10 ms.
    fn run(search: &mut MtuSearch, from: Nanos, until: Nanos, carries: u16, busy: bool) {
        let mut flying: Vec<(Nanos, u32, u16)> = Vec::new();
        for now in (from..until).step_by(10 * MS as usize) {
            flying.retain(|(at, seq, size)| {
                if *at <= now && *size <= carries {
                    search.answered(now, *seq, *size);
                }
                *at > now
            });
            if busy {
                search.frame_sent(now, search.proven());
            }
            let seq = (now / MS) as u32;
            if let Some(size) = search.poll(now, seq) {
                flying.push((now + 20 * MS, seq, size));
            }
        }
    }

    #[test]
    fn a_link_that_carries_its_limit_is_used_to_the_full_at_once() {
        let mut search = MtuSearch::new(1500);
        assert_eq!(search.proven(), 1280);
        run(&mut search, 0, 100 * MS, 1500, false);
        assert_eq!(search.proven(), 1500);
    }

    #[test]
    fn a_smaller_carrier_is_found_from_above() {
        let mut search = MtuSearch::new(1500);
        run(&mut search, 0, 3_000 * MS, 1430, false);
        assert_eq!(search.proven(), 1420);
    }

    #[test]
    fn a_black_hole_is_left_within_a_second() {
        let mut search = MtuSearch::new(1500);
        run(&mut search, 0, 1_000 * MS, 1500, true);
        run(&mut search, 1_000 * MS, 2_000 * MS, 1280, true);
        assert_eq!(search.proven(), 1280);
    }

    #[test]
    fn what_failed_is_tried_again_after_a_minute() {
        let mut search = MtuSearch::new(1500);
        run(&mut search, 0, 3_000 * MS, 1280, false);
        assert_eq!(search.proven(), 1280);
        run(&mut search, 3_000 * MS, 70_000 * MS, 1500, false);
        assert_eq!(search.proven(), 1500);
    }
}
