//! A small seeded generator of pseudo-random numbers: xoshiro256++, its state filled by splitmix64.
//!
//! Not for secrets. Source: Blackman and Vigna, "Scrambled linear pseudorandom number generators", 2021;
//! both algorithms are in the public domain. Pure.

/// A stream of pseudo-random numbers that is a function of its seed.
#[derive(Clone, Debug)]
pub struct Rng {
    state: [u64; 4],
}

impl Rng {
    /// Starts the stream of `seed`; `stream` separates independent streams of one seed.
    pub fn new(seed: u64, stream: u64) -> Self {
        let mut key = mix(seed ^ mix(stream));
        let state = std::array::from_fn(|_| {
            key = key.wrapping_add(GOLDEN);
            mix(key)
        });
        Self { state }
    }

    /// The next 64 bits.
    pub fn next_u64(&mut self) -> u64 {
        let s = &mut self.state;
        let answer = s[0].wrapping_add(s[3]).rotate_left(23).wrapping_add(s[0]);
        let t = s[1] << 17;
        s[2] ^= s[0];
        s[3] ^= s[1];
        s[1] ^= s[2];
        s[0] ^= s[3];
        s[2] ^= t;
        s[3] = s[3].rotate_left(45);
        answer
    }

    /// A number in `0.0..1.0`, uniform.
    pub fn unit(&mut self) -> f64 {
        to_unit(self.next_u64())
    }

    /// True with probability `ratio`. Draws nothing where the answer is certain.
    pub fn chance(&mut self, ratio: f64) -> bool {
        ratio > 0.0 && (ratio >= 1.0 || self.unit() < ratio)
    }

    /// A number in `0..bound`, uniform but for a bias below `bound / 2^64`; 0 where `bound` is 0.
    pub fn below(&mut self, bound: u64) -> u64 {
        ((u128::from(self.next_u64()) * u128::from(bound)) >> 64) as u64
    }

    /// An exponentially distributed time of the given mean, at least 1 ns.
    pub fn exponential_ns(&mut self, mean_ns: u64) -> u64 {
        let time = -(1.0 - self.unit()).ln() * mean_ns as f64;
        (time as u64).max(1)
    }
}

const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;

/// The mixing function of splitmix64: a bijection that spreads every input bit over the whole word.
pub(crate) fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// Maps 64 random bits to `0.0..1.0`, uniform over the 2^53 values that a double tells apart.
pub(crate) fn to_unit(bits: u64) -> f64 {
    (bits >> 11) as f64 * (1.0 / (1u64 << 53) as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn follows_the_published_sequence() {
        // First outputs of the reference C code for the state {1, 2, 3, 4}.
        let mut rng = Rng {
            state: [1, 2, 3, 4],
        };
        let expected = [
            41_943_041,
            58_720_359,
            3_588_806_011_781_223,
            3_591_011_842_654_386,
        ];
        assert_eq!(expected, std::array::from_fn(|_| rng.next_u64()));
    }

    #[test]
    fn streams_of_one_seed_differ() {
        assert_ne!(Rng::new(1, 0).next_u64(), Rng::new(1, 1).next_u64());
        assert_ne!(Rng::new(1, 0).next_u64(), Rng::new(2, 0).next_u64());
        assert_eq!(Rng::new(1, 0).next_u64(), Rng::new(1, 0).next_u64());
    }

    #[test]
    fn exponential_times_have_their_mean() {
        let mut rng = Rng::new(3, 0);
        let count = 200_000;
        let sum: u64 = (0..count).map(|_| rng.exponential_ns(1_000_000)).sum();
        let mean = sum as f64 / f64::from(count);
        assert!((mean - 1e6).abs() < 1e4, "{mean}");
    }

    #[test]
    fn below_stays_below() {
        let mut rng = Rng::new(4, 0);
        assert!((0..1_000).all(|_| rng.below(7) < 7));
        assert_eq!(rng.below(0), 0);
    }
}
