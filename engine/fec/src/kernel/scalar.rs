//! Multiply and add in plain Rust, by the same half-byte tables as the shuffle kernels: 32 bytes of table per
//! coefficient stay in the first cache, whichever coefficients follow each other. Pure.

use crate::field::HALVES;

pub(super) fn mul_add(dst: &mut [u8], src: &[u8], coefficient: u8) {
    if coefficient == 1 {
        dst.iter_mut().zip(src).for_each(|(d, s)| *d ^= s);
        return;
    }
    let halves = &HALVES[usize::from(coefficient)];
    for (d, &s) in dst.iter_mut().zip(src) {
        *d ^= halves.low[usize::from(s & 15)] ^ halves.high[usize::from(s >> 4)];
    }
}
