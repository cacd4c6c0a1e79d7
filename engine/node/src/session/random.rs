//! All randomness of a node, from one seed: a BLAKE2s generator that forgets its past. Pure.

use zeroize::Zeroize;

use super::crypto;

/// Draws from a seed. What was drawn cannot be computed from what is kept (each block replaces the key: fast key erasure).
pub struct Random {
    key: [u8; 32],
    /// What is left of the block that small draws are cut from; what was handed out is zero.
    pool: [u8; 32],
    pool_left: usize,
}

impl Random {
    /// A live shell takes the seed from the system; the same seed gives the same draws.
    pub fn new(seed: [u8; 32]) -> Self {
        Self {
            key: seed,
            pool: [0; 32],
            pool_left: 0,
        }
    }

    pub fn bytes(&mut self) -> [u8; 32] {
        let drawn = crypto::mac256(&self.key, &[b"draw"]);
        self.key = crypto::mac256(&self.key, &[b"next"]);
        drawn
    }

    /// A generator of its own for another part of the node.
    pub fn fork(&mut self) -> Self {
        Self::new(self.bytes())
    }

    pub fn u32(&mut self) -> u32 {
        u32::from_be_bytes(self.small())
    }

    pub fn u64(&mut self) -> u64 {
        u64::from_be_bytes(self.small())
    }

    /// Small draws share a block: two MACs for four bytes of jitter would be felt with every probe.
    fn small<const N: usize>(&mut self) -> [u8; N] {
        if self.pool_left < N {
            self.pool = self.bytes();
            self.pool_left = self.pool.len();
        }
        let mut drawn = [0; N];
        let end = self.pool_left;
        if let Some(taken) = self.pool.get_mut(end - N..end) {
            drawn.copy_from_slice(taken);
            taken.zeroize();
        }
        self.pool_left = end - N;
        drawn
    }

    /// Uniform below `end`, to within 2⁻³²; 0 for 0.
    pub fn below(&mut self, end: u64) -> u64 {
        ((u128::from(self.u64()) * u128::from(end)) >> 64) as u64
    }
}

impl Drop for Random {
    fn drop(&mut self) {
        self.key.zeroize();
        self.pool.zeroize();
    }
}

#[cfg(test)]
mod tests {
    use super::Random;

    #[test]
    fn one_seed_one_sequence_and_no_repeats() {
        let draw = |seed| {
            let mut random = Random::new([seed; 32]);
            (0..100).map(|_| random.u64()).collect::<Vec<_>>()
        };
        assert_eq!(draw(1), draw(1));
        assert_ne!(draw(1), draw(2));
        let mut sorted = draw(1);
        sorted.sort_unstable();
        sorted.dedup();
        assert_eq!(sorted.len(), 100);
    }

    #[test]
    fn nothing_drawn_is_kept() {
        let mut random = Random::new([7; 32]);
        let drawn = [random.u64(), random.u64(), random.u32().into()];
        assert!(drawn.iter().all(|draw| *draw != 0));
        assert_eq!(random.pool_left, 12);
        assert!(random.pool[12..].iter().all(|byte| *byte == 0));
        assert!(random.pool[..12].iter().any(|byte| *byte != 0));
    }

    #[test]
    fn a_fork_is_independent_of_its_parent() {
        let mut parent = Random::new([1; 32]);
        let mut child = parent.fork();
        assert_ne!(parent.bytes(), child.bytes());
    }

    #[test]
    fn below_stays_below() {
        let mut random = Random::new([3; 32]);
        assert_eq!(random.below(0), 0);
        assert!((0..1_000).all(|_| random.below(7) < 7));
        assert!((0..1_000).any(|_| random.below(7) == 6));
    }
}
