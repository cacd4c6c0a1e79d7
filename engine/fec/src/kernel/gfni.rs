//! Multiply and add 32 or 64 bytes at a time: `gf2p8affineqb` multiplies each byte by an 8 × 8 bit matrix.
//!
//! Multiplication by a constant is linear over bits, so any field of 2^8 elements will do. (The sibling `gf2p8mulb` knows the polynomial of
//! AES only, which is not ours.) There is a form for CPUs with AVX2 alone and one for AVX-512.
//!
//! `unsafe` stands here because `core::arch` loads and stores through raw pointers, and because code for a CPU
//! feature may only run where the CPU has it. Pure.

#![allow(
    unsafe_code,
    reason = "SIMD loads, stores and the call across a target feature; argued at each block"
)]

use core::arch::x86_64::{
    __m256i, __m512i, _mm256_gf2p8affine_epi64_epi8, _mm256_loadu_si256, _mm256_set1_epi64x,
    _mm256_setzero_si256, _mm256_storeu_si256, _mm256_xor_si256, _mm512_gf2p8affine_epi64_epi8,
    _mm512_loadu_si512, _mm512_set1_epi64, _mm512_setzero_si512, _mm512_storeu_si512,
    _mm512_xor_si512,
};

use super::{Block, SoFar, Term, scalar};
use crate::field::multiply;

const LANE: usize = 32;

/// `MATRICES[c]` multiplies by `c`. The byte for the highest bit of the product comes first, at the lowest address; its bit j says whether
/// bit j of the factor counts. (Intel's manual, volume 2, GF2P8AFFINEQB.) 2 KiB.
static MATRICES: [u64; 256] = matrices();

/// Whether this CPU has what the form of 32 bytes needs.
pub(super) fn runs_256() -> bool {
    std::arch::is_x86_feature_detected!("gfni") && std::arch::is_x86_feature_detected!("avx2")
}

/// Whether this CPU has what the form of 64 bytes needs. It is given [`mul_add_detected`] too.
pub(super) fn runs_512() -> bool {
    runs_256() && std::arch::is_x86_feature_detected!("avx512f")
}

/// For a caller whose kernel value proves that [`runs_256`].
#[inline]
pub(super) fn mul_add_detected(dst: &mut [u8], src: &[u8], coefficient: u8) {
    // SAFETY: `Kernel::available` makes the values that lead here only after it found GFNI and AVX2.
    unsafe { mul_add(dst, src, coefficient) }
}

/// For a caller whose kernel value proves that [`runs_256`].
#[inline]
pub(super) fn add_terms_256_detected<const R: usize>(
    sums: &mut [&mut [Block]; R],
    so_far: SoFar,
    terms: &[Term<'_, R>],
) {
    // SAFETY: `Kernel::available` makes the value that leads here only after it found GFNI and AVX2.
    unsafe { add_terms_256(sums, so_far, terms) }
}

/// For a caller whose kernel value proves that [`runs_512`].
#[inline]
pub(super) fn add_terms_512_detected<const R: usize>(
    sums: &mut [&mut [Block]; R],
    so_far: SoFar,
    terms: &[Term<'_, R>],
) {
    // SAFETY: `Kernel::available` makes the value that leads here only after it found GFNI and AVX-512.
    unsafe { add_terms_512(sums, so_far, terms) }
}

#[target_feature(enable = "gfni,avx2")]
fn mul_add(dst: &mut [u8], src: &[u8], coefficient: u8) {
    let common = dst.len().min(src.len());
    let (dst_lanes, dst_rest) = dst[..common].as_chunks_mut::<LANE>();
    let (src_lanes, src_rest) = src[..common].as_chunks::<LANE>();
    let matrix = matrix_256(coefficient);
    for (dst, src) in dst_lanes.iter_mut().zip(src_lanes) {
        let product = _mm256_gf2p8affine_epi64_epi8::<0>(load_256(src), matrix);
        store_256(dst, _mm256_xor_si256(load_256(dst), product));
    }
    scalar::mul_add(dst_rest, src_rest, coefficient);
}

#[target_feature(enable = "gfni,avx2")]
fn add_terms_256<const R: usize>(
    sums: &mut [&mut [Block]; R],
    so_far: SoFar,
    terms: &[Term<'_, R>],
) {
    let columns = sums.iter().map(|sum| sum.len()).min().unwrap_or(0);
    for column in 0..columns {
        let mut totals = [[_mm256_setzero_si256(); 2]; R];
        if so_far == SoFar::Sums {
            totals = sums.each_ref().map(|sum| lanes_256(&sum[column]));
        }
        for term in terms {
            let Some(block) = term.blocks.get(column) else {
                continue;
            };
            let factors = lanes_256(block);
            for (total, coefficient) in totals.iter_mut().zip(term.coefficients) {
                let matrix = matrix_256(coefficient);
                for (total, factor) in total.iter_mut().zip(factors) {
                    let product = _mm256_gf2p8affine_epi64_epi8::<0>(factor, matrix);
                    *total = _mm256_xor_si256(*total, product);
                }
            }
        }
        for (sum, total) in sums.iter_mut().zip(totals) {
            let (lanes, _) = sum[column].as_chunks_mut::<LANE>();
            for (lane, total) in lanes.iter_mut().zip(total) {
                store_256(lane, total);
            }
        }
    }
}

#[target_feature(enable = "gfni,avx512f")]
fn add_terms_512<const R: usize>(
    sums: &mut [&mut [Block]; R],
    so_far: SoFar,
    terms: &[Term<'_, R>],
) {
    let columns = sums.iter().map(|sum| sum.len()).min().unwrap_or(0);
    for column in 0..columns {
        let mut totals = [_mm512_setzero_si512(); R];
        if so_far == SoFar::Sums {
            totals = sums.each_ref().map(|sum| load_512(&sum[column]));
        }
        for term in terms {
            let Some(block) = term.blocks.get(column) else {
                continue;
            };
            let factor = load_512(block);
            for (total, coefficient) in totals.iter_mut().zip(term.coefficients) {
                let matrix = _mm512_set1_epi64(MATRICES[usize::from(coefficient)].cast_signed());
                let product = _mm512_gf2p8affine_epi64_epi8::<0>(factor, matrix);
                *total = _mm512_xor_si512(*total, product);
            }
        }
        for (sum, total) in sums.iter_mut().zip(totals) {
            store_512(&mut sum[column], total);
        }
    }
}

#[inline]
#[target_feature(enable = "avx2")]
fn matrix_256(coefficient: u8) -> __m256i {
    _mm256_set1_epi64x(MATRICES[usize::from(coefficient)].cast_signed())
}

#[inline]
#[target_feature(enable = "avx2")]
fn lanes_256(block: &Block) -> [__m256i; 2] {
    let (lanes, _) = block.as_chunks::<LANE>();
    [load_256(&lanes[0]), load_256(&lanes[1])]
}

#[inline]
#[target_feature(enable = "avx2")]
fn load_256(bytes: &[u8; LANE]) -> __m256i {
    // SAFETY: the type says that 32 bytes are readable; `loadu` asks for no alignment.
    unsafe { _mm256_loadu_si256(bytes.as_ptr().cast()) }
}

#[inline]
#[target_feature(enable = "avx2")]
fn store_256(bytes: &mut [u8; LANE], lane: __m256i) {
    // SAFETY: the type says that 32 bytes are writable; `storeu` asks for no alignment.
    unsafe { _mm256_storeu_si256(bytes.as_mut_ptr().cast(), lane) }
}

#[inline]
#[target_feature(enable = "avx512f")]
fn load_512(block: &Block) -> __m512i {
    // SAFETY: the type says that 64 bytes are readable; `loadu` asks for no alignment.
    unsafe { _mm512_loadu_si512(block.as_ptr().cast()) }
}

#[inline]
#[target_feature(enable = "avx512f")]
fn store_512(block: &mut Block, lane: __m512i) {
    // SAFETY: the type says that 64 bytes are writable; `storeu` asks for no alignment.
    unsafe { _mm512_storeu_si512(block.as_mut_ptr().cast(), lane) }
}

const fn matrices() -> [u64; 256] {
    let mut table = [0; 256];
    let mut constant = 0;
    while constant < 256 {
        table[constant] = matrix(constant as u8);
        constant += 1;
    }
    table
}

const fn matrix(constant: u8) -> u64 {
    let mut rows = [0u8; 8];
    let mut from = 0;
    while from < 8 {
        let product = multiply(constant, 1 << from);
        let mut to = 0;
        while to < 8 {
            rows[7 - to] |= (product >> to & 1) << from;
            to += 1;
        }
        from += 1;
    }
    u64::from_le_bytes(rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The instruction as the manual states it, for CPUs that do not have it: bit i of the answer is the parity of the factor and the
    /// matrix's byte 7 - i.
    fn affine_byte(factor: u8, matrix: u64) -> u8 {
        (0..8).fold(0, |answer, bit| {
            let row = matrix.to_le_bytes()[7 - bit];
            answer | ((row & factor).count_ones() as u8 & 1) << bit
        })
    }

    #[test]
    fn matrices_multiply_as_the_field_does() {
        for constant in 0..=255 {
            for factor in 0..=255 {
                let product = affine_byte(factor, MATRICES[usize::from(constant)]);
                assert_eq!(product, multiply(constant, factor));
            }
        }
    }
}
