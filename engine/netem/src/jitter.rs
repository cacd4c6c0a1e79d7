//! How the delay of a link varies around its mean, within a bound.
//!
//! With reordering each packet draws its own deviation. Without, the deviation is a continuous function of
//! time whose slope stays below one, as behind a queue of cross traffic: a later packet can then never
//! overtake an earlier one. (To clamp independent draws to their running maximum instead would push dense
//! traffic to the upper bound: at 10,000 packets a second nearly every one would be late by the whole
//! jitter.) Pure; called by [`crate::Link`].

use crate::rng::{Rng, mix, to_unit};

/// A deviation from the mean delay in ns, uniform in `-jitter_ns..=jitter_ns`, by itself for each packet.
pub(crate) fn independent_ns(rng: &mut Rng, jitter_ns: u64) -> i64 {
    if jitter_ns == 0 {
        return 0;
    }
    rng.below(2 * jitter_ns + 1) as i64 - jitter_ns as i64
}

/// The deviation at a time: straight lines between random knots, bounded by `jitter_ns` to either side.
///
/// A pure function of seed and time, whatever the traffic. Knots are [`spacing_ns`] apart, so that the slope is at most one half.
pub(crate) fn continuous_ns(seed: u64, at_ns: u64, jitter_ns: u64) -> i64 {
    if jitter_ns == 0 {
        return 0;
    }
    let spacing = spacing_ns(jitter_ns);
    let (index, into) = (at_ns / spacing, at_ns % spacing);
    let knot = |index: u64| (to_unit(mix(seed ^ mix(index))) * 2.0 - 1.0) * jitter_ns as f64;
    let (from, to) = (knot(index), knot(index + 1));
    (from + (to - from) * (into as f64 / spacing as f64)) as i64
}

/// The time between two knots: four times the jitter, at least a millisecond.
fn spacing_ns(jitter_ns: u64) -> u64 {
    (4 * jitter_ns).max(1_000_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    const JITTER: u64 = 5_000_000;

    #[test]
    fn independent_deviation_fills_its_bounds_evenly() {
        let mut rng = Rng::new(1, 0);
        let draws: Vec<i64> = (0..100_000)
            .map(|_| independent_ns(&mut rng, JITTER))
            .collect();
        let bound = JITTER as i64;
        assert!(draws.iter().all(|d| d.abs() <= bound));
        let late = draws.iter().filter(|d| **d > bound / 2).count() as f64 / 100_000.0;
        assert!((late - 0.25).abs() < 0.01, "{late}");
    }

    #[test]
    fn continuous_deviation_is_bounded_centred_and_never_overtakes() {
        let step = 50_000;
        let (mut sum, mut largest, mut last) = (0.0, 0, i64::MIN);
        let count = 1_000_000;
        for i in 0..count {
            let at = i * step;
            let deviation = continuous_ns(9, at, JITTER);
            let arrival = at as i64 + deviation;
            assert!(arrival > last);
            last = arrival;
            largest = largest.max(deviation.abs());
            sum += deviation as f64;
        }
        let mean = sum / count as f64;
        assert!(
            largest <= JITTER as i64 && largest > JITTER as i64 * 9 / 10,
            "{largest}"
        );
        assert!(mean.abs() < JITTER as f64 * 0.05, "{mean}");
    }
}
