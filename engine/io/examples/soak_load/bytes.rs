//! What is sent, as a function of a seed: bytes at any place of a stream, and the sizes that they are sent in. Pure.

const STEP: u64 = 0x9e37_79b9_7f4a_7c15;

/// A stream of numbers.
#[derive(Clone, Debug)]
pub(crate) struct Dice(u64);

impl Dice {
    /// `stream` separates what has the same seed.
    pub(crate) fn new(seed: u64, stream: u64) -> Self {
        Self(mixed(seed ^ mixed(stream.wrapping_mul(STEP))))
    }

    /// In `0..bound`.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(STEP);
        ((u128::from(mixed(self.0)) * u128::from(bound)) >> 64) as u64
    }

    /// In `from..=to`.
    pub(crate) fn between(&mut self, from: u64, to: u64) -> u64 {
        from + self.below(to - from + 1)
    }
}

/// Writes the bytes of a stream from `offset` on.
pub(crate) fn fill(seed: u64, offset: u64, out: &mut [u8]) {
    let word = |number: u64| mixed(seed ^ number.wrapping_mul(STEP)).to_le_bytes();
    let skip = (offset % 8) as usize;
    let mut number = offset / 8;
    let mut rest = out;
    if skip > 0 {
        let head = (8 - skip).min(rest.len());
        let (now, later) = rest.split_at_mut(head);
        now.copy_from_slice(&word(number)[skip..skip + head]);
        (rest, number) = (later, number + 1);
    }
    let (words, tail) = rest.as_chunks_mut::<8>();
    for slot in words {
        *slot = word(number);
        number += 1;
    }
    let last = tail.len();
    tail.copy_from_slice(&word(number)[..last]);
}

/// Where `got` differs first from the bytes of a stream from `offset` on.
pub(crate) fn difference(seed: u64, offset: u64, got: &[u8], scratch: &mut Vec<u8>) -> Option<u64> {
    scratch.resize(got.len(), 0);
    fill(seed, offset, scratch);
    if got == scratch.as_slice() {
        return None;
    }
    let at = got.iter().zip(scratch.iter()).position(|(a, b)| a != b);
    at.map(|at| offset + at as u64)
}

/// The finalizer of splitmix64.
fn mixed(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
