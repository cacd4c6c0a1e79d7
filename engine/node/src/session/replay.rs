//! Which counters a session has seen: a sliding window (RFC 4303 § 3.4.3, as a ring of bits). Pure.
//!
//! Two steps on purpose: [`Window::is_fresh`] before the tag is checked, [`Window::commit`] only after it was right. Nothing that an
//! attacker makes up can move the window.

/// Counters of hop sessions may arrive this much out of order.
pub(super) const HOP_BITS: usize = 16_384;
/// The same end to end, where copies travel on different paths.
pub(super) const END_TO_END_BITS: usize = 65_536;

pub(super) struct Window {
    /// Bit of counter c: c modulo the number of bits. Only those of the last `bits` counters mean anything.
    ring: Box<[u64]>,
    /// Highest committed + 1.
    next: u32,
}

impl Window {
    /// Of a power of two of bits, at least 64.
    pub(super) fn new(bits: usize) -> Self {
        Self {
            ring: vec![0; bits.div_ceil(64).next_power_of_two()].into(),
            next: 0,
        }
    }

    #[inline]
    pub(super) fn is_fresh(&self, counter: u32) -> bool {
        if counter >= self.next {
            return true;
        }
        let behind = (self.next - 1 - counter) as usize;
        behind < self.ring.len() * 64 && self.ring[self.word(counter)] & bit(counter) == 0
    }

    /// Marks a counter whose datagram was authentic, and that is fresh.
    #[inline]
    pub(super) fn commit(&mut self, counter: u32) {
        if counter >= self.next {
            self.clear(self.next, counter);
            self.next = counter + 1;
        }
        let word = self.word(counter);
        self.ring[word] |= bit(counter);
    }

    /// Whether any counter between two was not committed. Of what has left the window nothing is known: it counts as committed.
    pub(super) fn is_missing(&self, after: u32, before: u32) -> bool {
        let oldest = u64::from(self.next).saturating_sub(self.ring.len() as u64 * 64) as u32;
        let mut counter = after.saturating_add(1).max(oldest);
        let end = before.min(self.next);
        while counter < end {
            let shift = counter % 64;
            let count = (64 - shift).min(end - counter);
            let wanted = u64::MAX >> (64 - count) << shift;
            if self.ring[self.word(counter)] & wanted != wanted {
                return true;
            }
            counter += count;
        }
        false
    }

    /// Forgets the old counters whose place those from `from` to `to` take.
    fn clear(&mut self, from: u32, to: u32) {
        if (to - from) as usize >= self.ring.len() * 64 {
            return self.ring.fill(0);
        }
        let mut counter = from;
        while counter <= to {
            let word = self.word(counter);
            if counter.is_multiple_of(64) && to - counter >= 63 {
                self.ring[word] = 0;
                counter += 64;
            } else {
                self.ring[word] &= !bit(counter);
                counter += 1;
            }
        }
    }

    #[inline]
    fn word(&self, counter: u32) -> usize {
        (counter as usize / 64) & (self.ring.len() - 1)
    }
}

#[inline]
const fn bit(counter: u32) -> u64 {
    1 << (counter % 64)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    /// All counters ever committed, and the rule in one line.
    #[derive(Default)]
    struct Naive(BTreeSet<u32>);

    impl Naive {
        fn is_fresh(&self, counter: u32, bits: u32) -> bool {
            let highest = self.0.last().copied().unwrap_or(0);
            !self.0.contains(&counter) && u64::from(counter) + u64::from(bits) > u64::from(highest)
        }
    }

    fn step() -> impl Strategy<Value = i64> {
        prop_oneof![10 => -5i64..8, 5 => -300i64..300, 1 => -70_000i64..70_000]
    }

    proptest! {
        #[test]
        fn window_agrees_with_a_list_of_all_counters(steps in vec((step(), any::<bool>()), 1..400), bits in prop_oneof![Just(64usize), Just(256), Just(HOP_BITS)]) {
            let mut window = Window::new(bits);
            let mut naive = Naive::default();
            let mut at = 0i64;
            for (step, authentic) in steps {
                at = (at + step).clamp(0, (1 << 28) - 1);
                let counter = at as u32;
                let fresh = window.is_fresh(counter);
                prop_assert_eq!(fresh, naive.is_fresh(counter, bits as u32), "counter {}", counter);
                if fresh && authentic {
                    window.commit(counter);
                    naive.0.insert(counter);
                }
            }
        }
    }

    #[test]
    fn the_very_ends_of_the_window_are_told_apart() {
        for bits in [HOP_BITS, END_TO_END_BITS] {
            let mut window = Window::new(bits);
            let top = (1 << 28) - 1;
            window.commit(top);
            assert!(window.is_fresh(top - bits as u32 + 1));
            assert!(!window.is_fresh(top - bits as u32));
            assert!(!window.is_fresh(top));
        }
    }

    proptest! {
        #[test]
        fn what_is_missing_between_two_is_known_as_far_as_the_window_goes(
            lost in proptest::collection::btree_set(0u32..300, 0..8), after in 0u32..300, length in 0u32..300,
        ) {
            let mut window = Window::new(256);
            for counter in (0..300).filter(|counter| !lost.contains(counter)) {
                window.commit(counter);
            }
            let next = window.next;
            let before = (after + length).min(next);
            let expected = (after + 1..before).any(|counter| counter + 256 >= next && lost.contains(&counter));
            prop_assert_eq!(window.is_missing(after, before), expected);
        }
    }

    #[test]
    fn looking_moves_nothing() {
        let mut window = Window::new(64);
        window.commit(5);
        assert!(window.is_fresh(1_000_000));
        assert!(window.is_fresh(4));
    }
}
