//! Multiply and add 32 bytes at a time: `vpshufb` looks up 32 half-byte products in one instruction.
//!
//! `unsafe` stands here because `core::arch` loads and stores through raw pointers, and because code for a CPU
//! feature may only run where the CPU has it. Pure.

#![allow(
    unsafe_code,
    reason = "SIMD loads, stores and the call across a target feature; argued at each block"
)]

use core::arch::x86_64::{
    __m256i, _mm_loadu_si128, _mm256_and_si256, _mm256_broadcastsi128_si256, _mm256_loadu_si256,
    _mm256_set1_epi8, _mm256_shuffle_epi8, _mm256_srli_epi64, _mm256_storeu_si256,
    _mm256_xor_si256,
};

use super::scalar;
use crate::field::HALVES;

const LANE: usize = 32;

/// For a caller whose kernel value proves that this CPU has AVX2.
#[inline]
pub(super) fn mul_add_detected(dst: &mut [u8], src: &[u8], coefficient: u8) {
    // SAFETY: `Kernel::detect` makes the value that leads here only after it found AVX2.
    unsafe { mul_add(dst, src, coefficient) }
}

#[target_feature(enable = "avx2")]
fn mul_add(dst: &mut [u8], src: &[u8], coefficient: u8) {
    let common = dst.len().min(src.len());
    let (dst_lanes, dst_rest) = dst[..common].as_chunks_mut::<LANE>();
    let (src_lanes, src_rest) = src[..common].as_chunks::<LANE>();
    let halves = &HALVES[usize::from(coefficient)];
    let (low, high) = (broadcast(&halves.low), broadcast(&halves.high));
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

#[inline]
#[target_feature(enable = "avx2")]
fn broadcast(bytes: &[u8; 16]) -> __m256i {
    // SAFETY: the type says that 16 bytes are readable; `loadu` asks for no alignment.
    _mm256_broadcastsi128_si256(unsafe { _mm_loadu_si128(bytes.as_ptr().cast()) })
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
