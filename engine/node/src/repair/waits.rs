//! How long frames were missed that repair brought, or waited for a paced link: counts by upper ends, so that both quantiles and sums over lanes and times can be told. Pure.

use crate::Nanos;

/// Upper ends, milliseconds; longer waits are counted behind the last. `overlayd/protocol/engine.py` repeats them.
pub const WAITS_MS: [u16; 15] = [
    1, 2, 5, 10, 20, 30, 40, 50, 60, 80, 100, 150, 200, 400, 1000,
];

/// Counts of waits: up to each end of `WAITS_MS`, and longer ones.
pub type Waits = [u64; WAITS_MS.len() + 1];

pub(crate) fn count(waits: &mut Waits, wait: Nanos) {
    let place = WAITS_MS.partition_point(|end| Nanos::from(*end) * 1_000_000 < wait);
    waits[place] += 1;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_is_counted_up_to_the_next_end() {
        let mut waits = Waits::default();
        for wait in [0, 1_000_000, 1_000_001, 42_000_000, 5_000_000_000] {
            count(&mut waits, wait);
        }
        assert_eq!(waits, [2, 1, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 1]);
    }
}
