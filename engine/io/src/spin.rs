//! Whether to spin before parking: a core that sleeps costs a packet 30 to 80 µs on a virtual machine, one that spins costs its time.
//!
//! An answer that is expected within the time to spin is worth it; a bulk transfer, or a packet that nothing follows, is not. What follows
//! soon depends on where the last packets came from (after a request of this host comes the peer's answer, after its answer perhaps nothing
//! for long), so each source has its own expectation. Pure; called by `shard`.

use overlayd_node::Nanos;

/// Batches of more bytes are bulk, which loses nothing to a sleep.
const BULK_BYTES: usize = 4096;
/// A gap counts for an eighth of what is expected, and at most so many times what may be spun: one long rest is forgotten soon.
const SHARE: u64 = 8;
const GAP_MAX: u64 = 4;

/// Where somebody else waits for the core, spinning only puts off the turn of both: not again for so long. Each time for twice as long, up to
/// the most; half as long after a spin that was worth it.
const REST_MIN: Nanos = 10_000_000;
const REST_MAX: Nanos = 1_000_000_000;

/// Where the last packets came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    Tun,
    Uplinks,
}

#[derive(Debug)]
pub(crate) struct Spin {
    most: Nanos,
    /// The time that passes until more comes, after packets of each source.
    expected: [Nanos; 2],
    last: Option<Source>,
    rest: Nanos,
    rests_until: Nanos,
}

impl Spin {
    /// `most`: the longest spin; 0: never.
    pub(crate) fn new(most: Nanos) -> Self {
        Self {
            most,
            expected: [GAP_MAX * most; 2],
            last: None,
            rest: 0,
            rests_until: 0,
        }
    }

    /// A batch was served.
    pub(crate) fn served(&mut self, source: Source, bytes: usize) {
        self.last = (bytes <= BULK_BYTES).then_some(source);
    }

    /// How long to spin now.
    pub(crate) fn length(&self, now: Nanos) -> Nanos {
        match self.last {
            Some(source)
                if now >= self.rests_until
                    && self.most > 0
                    && self.expected[source as usize] <= self.most =>
            {
                self.most
            }
            _ => 0,
        }
    }

    /// Somebody else wants the core.
    pub(crate) fn crowded(&mut self, now: Nanos) {
        self.rest = (2 * self.rest).clamp(REST_MIN, REST_MAX);
        self.rests_until = now + self.rest;
    }

    /// What was spun for came.
    pub(crate) fn rewarded(&mut self) {
        self.rest /= 2;
    }

    /// Something came, or was due, after so long.
    pub(crate) fn waited(&mut self, gap: Nanos) {
        if let Some(source) = self.last.take() {
            let expected = &mut self.expected[source as usize];
            *expected = (*expected * (SHARE - 1) + gap.min(GAP_MAX * self.most)) / SHARE;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const US: Nanos = 1000;

    /// Rounds of a packet from the TUN, an answer 60 µs later, and a rest; how many of the answers and rests were spun for at the end.
    fn spins(bytes: usize, rest: Nanos) -> (usize, usize) {
        let mut spin = Spin::new(200 * US);
        let mut found = (0, 0);
        for round in 0..100 {
            let late = usize::from(round >= 50);
            spin.served(Source::Tun, bytes);
            found.0 += late * usize::from(spin.length(0) > 0);
            spin.waited(60 * US);
            spin.served(Source::Uplinks, bytes);
            found.1 += late * usize::from(spin.length(0) > 0);
            spin.waited(rest);
        }
        found
    }

    #[test]
    fn an_answer_that_comes_soon_is_spun_for_and_a_rest_is_not() {
        assert_eq!(spins(100, 2000 * US), (50, 0));
        assert_eq!(spins(100, 20 * US), (50, 50));
    }

    #[test]
    fn bulk_is_not_spun_for() {
        assert_eq!(spins(60_000, 20 * US), (0, 0));
    }

    #[test]
    fn a_timer_is_not_spun_after_and_says_nothing_of_packets() {
        let mut spin = Spin::new(200 * US);
        assert_eq!(spin.length(0), 0);
        for _ in 0..50 {
            spin.served(Source::Tun, 100);
            spin.waited(60 * US);
        }
        assert_eq!(spin.length(0), 0);
        spin.waited(10_000 * US);
        spin.served(Source::Tun, 100);
        assert_eq!(spin.length(0), 200 * US);
    }

    #[test]
    fn where_somebody_else_wants_the_core_it_rests() {
        let mut spin = Spin::new(200 * US);
        for _ in 0..50 {
            spin.served(Source::Tun, 100);
            spin.waited(60 * US);
        }
        spin.served(Source::Tun, 100);
        spin.crowded(0);
        assert_eq!(spin.length(REST_MIN - 1), 0);
        assert_eq!(spin.length(REST_MIN), 200 * US);
        let mut now = REST_MIN;
        for _ in 0..20 {
            spin.crowded(now);
            now = spin.rests_until;
        }
        spin.crowded(now);
        assert_eq!(
            spin.length(now + REST_MAX - 1),
            0,
            "the longer, the oftener"
        );
        for _ in 0..20 {
            spin.rewarded();
        }
        spin.crowded(now);
        assert_eq!(
            spin.length(now + REST_MIN),
            200 * US,
            "where it is worth it"
        );
    }

    #[test]
    fn what_comes_within_the_time_to_spin_is_spun_for_and_what_comes_later_is_not() {
        for (gap, length) in [(190, 200), (210, 0)] {
            let mut spin = Spin::new(200 * US);
            for _ in 0..50 {
                spin.served(Source::Tun, 100);
                spin.waited(gap * US);
            }
            spin.served(Source::Tun, 100);
            assert_eq!(spin.length(0), length * US);
        }
    }

    #[test]
    fn it_can_be_switched_off() {
        let mut spin = Spin::new(0);
        for _ in 0..50 {
            spin.served(Source::Tun, 100);
            assert_eq!(spin.length(0), 0);
            spin.waited(0);
        }
    }
}
