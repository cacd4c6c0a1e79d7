//! Chance and what it does to bytes. Pure.

use overlayd_netem::Rng;

/// Flips one to three bits.
pub(crate) fn flip(rng: &mut Rng, bytes: &mut [u8]) {
    for _ in 0..=rng.below(3) {
        let place = rng.below(bytes.len() as u64) as usize;
        if let Some(byte) = bytes.get_mut(place) {
            *byte ^= 1 << rng.below(8);
        }
    }
}

/// Any of a list.
pub(crate) fn pick<'a, T>(rng: &mut Rng, list: &'a [T]) -> Option<&'a T> {
    list.get(rng.below(list.len() as u64) as usize)
}

/// Any change to any bytes: bits, ends, lengths up to the longest there can be.
pub(crate) fn spoil(rng: &mut Rng, bytes: &mut Vec<u8>) {
    match rng.below(10) {
        0..5 => flip(rng, bytes),
        5..7 => bytes.truncate(rng.below(bytes.len() as u64 + 1) as usize),
        7 => bytes.push(rng.next_u64() as u8),
        8 => {
            let most = if rng.chance(0.05) { 65_480 } else { 3_000 };
            let length = bytes.len().max(rng.below(most) as usize);
            bytes.resize(length, rng.next_u64() as u8);
        }
        _ => {
            let place = rng.below(bytes.len() as u64) as usize;
            if let Some(byte) = bytes.get_mut(place) {
                *byte = rng.next_u64() as u8;
            }
        }
    }
}

/// One of the words, each as often as its weight says.
pub(crate) fn weighted(rng: &mut Rng, list: &[(&'static str, u64)]) -> &'static str {
    let mut dice = rng.below(list.iter().map(|(_, weight)| weight).sum());
    for (what, weight) in list {
        if dice < *weight {
            return what;
        }
        dice -= weight;
    }
    ""
}
