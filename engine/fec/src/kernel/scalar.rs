//! Multiply and add in plain Rust, by the same half-byte tables as the shuffle kernels: 32 bytes of table per
//! coefficient stay in the first cache, whichever coefficients follow each other. Pure.

use super::{Block, SoFar, Term};
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

pub(super) fn add_terms<const R: usize>(
    sums: &mut [&mut [Block]; R],
    so_far: SoFar,
    terms: &[Term<'_, R>],
) {
    if so_far == SoFar::Nothing {
        sums.iter_mut()
            .for_each(|sum| sum.as_flattened_mut().fill(0));
    }
    for term in terms {
        for (sum, coefficient) in sums.iter_mut().zip(term.coefficients) {
            if coefficient != 0 {
                let (sum, term) = (sum.as_flattened_mut(), term.blocks.as_flattened());
                mul_add(sum, term, coefficient);
            }
        }
    }
}
