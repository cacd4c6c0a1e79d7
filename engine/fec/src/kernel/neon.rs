//! Multiply and add 16 bytes at a time: `tbl` looks up 16 half-byte products in one instruction.
//!
//! `unsafe` stands here because `core::arch` loads and stores through raw pointers, and because code for a CPU
//! feature may only run where the CPU has it. Pure.

#![allow(
    unsafe_code,
    reason = "SIMD loads, stores and the call across a target feature; argued at each block"
)]

use core::arch::aarch64::{
    uint8x16_t, vandq_u8, vdupq_n_u8, veorq_u8, vld1q_u8, vqtbl1q_u8, vshrq_n_u8, vst1q_u8,
};

use super::{Block, SoFar, Term, scalar};
use crate::field::HALVES;

const LANE: usize = 16;
const LANES: usize = size_of::<Block>() / LANE;

/// For a caller whose kernel value proves that this CPU has NEON.
#[inline]
pub(super) fn mul_add_detected(dst: &mut [u8], src: &[u8], coefficient: u8) {
    // SAFETY: `Kernel::available` makes the value that leads here only after it found NEON.
    unsafe { mul_add(dst, src, coefficient) }
}

/// For a caller whose kernel value proves that this CPU has NEON.
#[inline]
pub(super) fn add_terms_detected<const R: usize>(
    sums: &mut [&mut [Block]; R],
    so_far: SoFar,
    terms: &[Term<'_, R>],
) {
    // SAFETY: `Kernel::available` makes the value that leads here only after it found NEON.
    unsafe { add_terms(sums, so_far, terms) }
}

#[target_feature(enable = "neon")]
fn mul_add(dst: &mut [u8], src: &[u8], coefficient: u8) {
    let common = dst.len().min(src.len());
    let (dst_lanes, dst_rest) = dst[..common].as_chunks_mut::<LANE>();
    let (src_lanes, src_rest) = src[..common].as_chunks::<LANE>();
    let tables = tables(coefficient);
    for (dst, src) in dst_lanes.iter_mut().zip(src_lanes) {
        let (low, high) = halves(load(src));
        store(dst, veorq_u8(load(dst), product(tables, low, high)));
    }
    scalar::mul_add(dst_rest, src_rest, coefficient);
}

#[target_feature(enable = "neon")]
fn add_terms<const R: usize>(sums: &mut [&mut [Block]; R], so_far: SoFar, terms: &[Term<'_, R>]) {
    let columns = sums.iter().map(|sum| sum.len()).min().unwrap_or(0);
    for column in 0..columns {
        let mut totals = [[vdupq_n_u8(0); LANES]; R];
        if so_far == SoFar::Sums {
            totals = sums.each_ref().map(|sum| lanes(&sum[column]));
        }
        for term in terms {
            let Some(block) = term.blocks.get(column) else {
                continue;
            };
            let factors = lanes(block);
            for (total, coefficient) in totals.iter_mut().zip(term.coefficients) {
                let tables = tables(coefficient);
                for (total, factor) in total.iter_mut().zip(factors) {
                    let (low, high) = halves(factor);
                    *total = veorq_u8(*total, product(tables, low, high));
                }
            }
        }
        for (sum, total) in sums.iter_mut().zip(totals) {
            let (lanes, _) = sum[column].as_chunks_mut::<LANE>();
            for (lane, total) in lanes.iter_mut().zip(total) {
                store(lane, total);
            }
        }
    }
}

#[inline]
#[target_feature(enable = "neon")]
fn tables(coefficient: u8) -> (uint8x16_t, uint8x16_t) {
    let halves = &HALVES[usize::from(coefficient)];
    (load(&halves.low), load(&halves.high))
}

#[inline]
#[target_feature(enable = "neon")]
fn halves(factor: uint8x16_t) -> (uint8x16_t, uint8x16_t) {
    (vandq_u8(factor, vdupq_n_u8(0x0f)), vshrq_n_u8::<4>(factor))
}

#[inline]
#[target_feature(enable = "neon")]
fn product(tables: (uint8x16_t, uint8x16_t), low: uint8x16_t, high: uint8x16_t) -> uint8x16_t {
    veorq_u8(vqtbl1q_u8(tables.0, low), vqtbl1q_u8(tables.1, high))
}

#[inline]
#[target_feature(enable = "neon")]
fn lanes(block: &Block) -> [uint8x16_t; LANES] {
    let (lanes, _) = block.as_chunks::<LANE>();
    [
        load(&lanes[0]),
        load(&lanes[1]),
        load(&lanes[2]),
        load(&lanes[3]),
    ]
}

#[inline]
#[target_feature(enable = "neon")]
fn load(bytes: &[u8; LANE]) -> uint8x16_t {
    // SAFETY: the type says that 16 bytes are readable; `vld1q` asks for no alignment.
    unsafe { vld1q_u8(bytes.as_ptr()) }
}

#[inline]
#[target_feature(enable = "neon")]
fn store(bytes: &mut [u8; LANE], lane: uint8x16_t) {
    // SAFETY: the type says that 16 bytes are writable; `vst1q` asks for no alignment.
    unsafe { vst1q_u8(bytes.as_mut_ptr(), lane) }
}
