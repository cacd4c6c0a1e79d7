//! Multiply and add 32 bytes at a time: `vpshufb` looks up 32 half-byte products in one instruction.
//!
//! A block of up to four sums takes eight registers, a block of a term in halves four, mask, table and product the rest. The two shuffles
//! and two additions per product are the limit: 38 vector operations for a block in four sums, of which a Zen 3 issues four a cycle.
//!
//! `unsafe` stands here because `core::arch` loads and stores through raw pointers, and because code for a CPU
//! feature may only run where the CPU has it. Pure.

#![allow(
    unsafe_code,
    reason = "SIMD loads, stores and the call across a target feature; argued at each block"
)]

use core::arch::x86_64::{
    __m256i, _mm256_and_si256, _mm256_loadu_si256, _mm256_set1_epi8, _mm256_setzero_si256,
    _mm256_shuffle_epi8, _mm256_srli_epi64, _mm256_storeu_si256, _mm256_xor_si256,
};

use super::{Block, SoFar, Term, scalar};
use crate::field::HALVES;

const LANE: usize = 32;

/// `HALVES`, each for both halves of a register. To widen them on the way would take the units that shuffle, of which there are two, half as
/// long as the shuffles do. A cache line for each coefficient; 16 KiB.
static TABLES: [Tables; 256] = widened();

#[derive(Clone, Copy)]
#[repr(C, align(64))]
struct Tables {
    low: [u8; LANE],
    high: [u8; LANE],
}

/// For a caller whose kernel value proves that this CPU has AVX2.
#[inline]
pub(super) fn mul_add_detected(dst: &mut [u8], src: &[u8], coefficient: u8) {
    // SAFETY: `Kernel::available` makes the value that leads here only after it found AVX2.
    unsafe { mul_add(dst, src, coefficient) }
}

#[target_feature(enable = "avx2")]
fn mul_add(dst: &mut [u8], src: &[u8], coefficient: u8) {
    let common = dst.len().min(src.len());
    let (dst_lanes, dst_rest) = dst[..common].as_chunks_mut::<LANE>();
    let (src_lanes, src_rest) = src[..common].as_chunks::<LANE>();
    let [low, high] = tables(coefficient);
    let mask = _mm256_set1_epi8(0x0f);
    for (dst, src) in dst_lanes.iter_mut().zip(src_lanes) {
        let factor = load(src);
        let low_product = _mm256_shuffle_epi8(low, _mm256_and_si256(factor, mask));
        let high_product =
            _mm256_shuffle_epi8(high, _mm256_and_si256(_mm256_srli_epi64::<4>(factor), mask));
        let product = _mm256_xor_si256(low_product, high_product);
        store(dst, _mm256_xor_si256(load(dst), product));
    }
    scalar::mul_add(dst_rest, src_rest, coefficient);
}

/// For a caller whose kernel value proves that this CPU has AVX2.
#[inline]
pub(super) fn add_terms_detected<const R: usize>(
    sums: &mut [&mut [Block]; R],
    so_far: SoFar,
    terms: &[Term<'_, R>],
) {
    // SAFETY: `Kernel::available` makes the value that leads here only after it found AVX2.
    unsafe { add_terms(sums, so_far, terms) }
}

#[target_feature(enable = "avx2")]
fn add_terms<const R: usize>(sums: &mut [&mut [Block]; R], so_far: SoFar, terms: &[Term<'_, R>]) {
    let mask = _mm256_set1_epi8(0x0f);
    let columns = sums.iter().map(|sum| sum.len()).min().unwrap_or(0);
    for column in 0..columns {
        let mut totals = [[_mm256_setzero_si256(); 2]; R];
        for term in terms {
            let Some(block) = term.blocks.get(column) else {
                continue;
            };
            let factors = lanes(block);
            let low = factors.map(|factor| _mm256_and_si256(factor, mask));
            let high = factors.map(|factor| _mm256_and_si256(_mm256_srli_epi64::<4>(factor), mask));
            for (total, coefficient) in totals.iter_mut().zip(term.coefficients) {
                // One table at a time: there is no register for a second one.
                for (table, indices) in tables(coefficient).into_iter().zip([low, high]) {
                    for (total, index) in total.iter_mut().zip(indices) {
                        *total = _mm256_xor_si256(*total, _mm256_shuffle_epi8(table, index));
                    }
                }
            }
        }
        for (sum, mut total) in sums.iter_mut().zip(totals) {
            if so_far == SoFar::Sums {
                let before = lanes(&sum[column]);
                total = [0, 1].map(|lane| _mm256_xor_si256(total[lane], before[lane]));
            }
            let (lanes, _) = sum[column].as_chunks_mut::<LANE>();
            for (lane, total) in lanes.iter_mut().zip(total) {
                store(lane, total);
            }
        }
    }
}

#[inline]
#[target_feature(enable = "avx2")]
fn lanes(block: &Block) -> [__m256i; 2] {
    let (lanes, _) = block.as_chunks::<LANE>();
    [load(&lanes[0]), load(&lanes[1])]
}

#[inline]
#[target_feature(enable = "avx2")]
fn tables(coefficient: u8) -> [__m256i; 2] {
    let Tables { low, high } = &TABLES[usize::from(coefficient)];
    [load(low), load(high)]
}

#[inline]
#[target_feature(enable = "avx2")]
fn load(bytes: &[u8; LANE]) -> __m256i {
    // SAFETY: the type says that 32 bytes are readable; `loadu` asks for no alignment.
    unsafe { _mm256_loadu_si256(bytes.as_ptr().cast()) }
}

#[inline]
#[target_feature(enable = "avx2")]
fn store(bytes: &mut [u8; LANE], lane: __m256i) {
    // SAFETY: the type says that 32 bytes are writable; `storeu` asks for no alignment.
    unsafe { _mm256_storeu_si256(bytes.as_mut_ptr().cast(), lane) }
}

const fn widened() -> [Tables; 256] {
    let mut tables = [Tables {
        low: [0; LANE],
        high: [0; LANE],
    }; 256];
    let mut constant = 0;
    while constant < 256 {
        let mut byte = 0;
        while byte < LANE {
            tables[constant].low[byte] = HALVES[constant].low[byte % 16];
            tables[constant].high[byte] = HALVES[constant].high[byte % 16];
            byte += 1;
        }
        constant += 1;
    }
    tables
}
