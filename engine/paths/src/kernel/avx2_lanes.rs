//! The steps of choosing for a few destinations at once, for AVX2.

#![allow(
    unsafe_code,
    reason = "vector loads, and the one way to call what is compiled for an instruction set that was detected"
)]

use std::arch::x86_64::{
    __m256i, _CMP_LE_OQ, _CMP_LT_OQ, _mm256_and_si256, _mm256_andnot_si256, _mm256_blendv_ps,
    _mm256_castps_si256, _mm256_castsi256_ps, _mm256_cmp_ps, _mm256_cmpeq_epi32, _mm256_loadu_ps,
    _mm256_loadu_si256, _mm256_min_ps, _mm256_movemask_ps, _mm256_or_si256, _mm256_permute2f128_ps,
    _mm256_set1_epi32, _mm256_set1_ps, _mm256_shuffle_ps, _mm256_storeu_ps, _mm256_storeu_si256,
    _mm256_unpackhi_ps, _mm256_unpacklo_ps,
};

use super::avx2::is_detected;
use super::operands::{Bits, Floats, Free, LANES, NO_WAY, STRAIGHT, Short, SingleLists};
use crate::UNREACHABLE;

/// Does as `plain::turned` does, if this CPU has AVX2.
#[inline(always)]
pub(super) fn turned_if_detected(rows: &[Bits; LANES]) -> Option<[Bits; LANES]> {
    // SAFETY: the function needs AVX2 and nothing else, and this CPU has it.
    is_detected().then(|| unsafe { turned(rows) })
}

#[inline]
#[target_feature(enable = "avx2")]
fn turned(rows: &[Bits; LANES]) -> [Bits; LANES] {
    // SAFETY: arrays as long as the vectors.
    let rows = rows.map(|row| unsafe { _mm256_loadu_ps(row.as_ptr().cast()) });
    let [mut twos, mut fours, mut turned] = [rows; 3];
    for at in (0..LANES).step_by(2) {
        twos[at] = _mm256_unpacklo_ps(rows[at], rows[at + 1]);
        twos[at + 1] = _mm256_unpackhi_ps(rows[at], rows[at + 1]);
    }
    for at in [0, 1, 4, 5] {
        let place = at / 4 * 4 + at % 4 * 2;
        fours[place] = _mm256_shuffle_ps::<0b01_00_01_00>(twos[at], twos[at + 2]);
        fours[place + 1] = _mm256_shuffle_ps::<0b11_10_11_10>(twos[at], twos[at + 2]);
    }
    for at in 0..LANES / 2 {
        turned[at] = _mm256_permute2f128_ps::<0x20>(fours[at], fours[at + 4]);
        turned[at + 4] = _mm256_permute2f128_ps::<0x31>(fours[at], fours[at + 4]);
    }
    turned.map(|row| bits_of(_mm256_castps_si256(row)))
}

/// Does as `plain::short` does, if this CPU has AVX2.
#[inline(always)]
pub(super) fn short_if_detected(free: &Free, singles: &SingleLists) -> Option<Short> {
    // SAFETY: the function needs AVX2 and nothing else, and this CPU has it.
    is_detected().then(|| unsafe { short(free, singles) })
}

#[inline]
#[target_feature(enable = "avx2")]
fn short(free: &Free, singles: &SingleLists) -> Short {
    let nothing = _mm256_set1_epi32(-1);
    let mut column = nothing;
    let mut sum = _mm256_set1_ps(f32::INFINITY);
    for [columns, sums] in singles.entries.as_chunks::<2>().0.iter().rev() {
        let columns = vector_of(columns);
        let out = _mm256_castsi256_ps(has(free, columns));
        column = blend(columns, column, _mm256_castps_si256(out));
        sum = _mm256_blendv_ps(_mm256_castsi256_ps(vector_of(sums)), sum, out);
    }
    let none = _mm256_castsi256_ps(_mm256_cmpeq_epi32(column, nothing));
    // Both are never NaN but where there is nothing: what is second is taken then.
    let cost = _mm256_min_ps(floats(&free.direct), _mm256_set1_ps(UNREACHABLE));
    let sum = _mm256_blendv_ps(sum, _mm256_set1_ps(f32::INFINITY), none);
    let better = _mm256_castps_si256(_mm256_cmp_ps::<_CMP_LT_OQ>(sum, cost));
    let single = _mm256_or_si256(column, _mm256_set1_epi32(0xFFFF_0000_u32 as i32));
    let rest = _mm256_blendv_ps(_mm256_set1_ps(f32::INFINITY), floats(&singles.beyond), none);
    let mut found = Short {
        costs: [0.0; LANES],
        relays: bits_of(blend(_mm256_set1_epi32(STRAIGHT as i32), single, better)),
        rests: [0.0; LANES],
    };
    // SAFETY: arrays as long as the vectors.
    unsafe {
        _mm256_storeu_ps(found.costs.as_mut_ptr(), _mm256_min_ps(sum, cost));
        _mm256_storeu_ps(found.rests.as_mut_ptr(), rest);
    }
    found
}

/// Does as `plain::settle` does, if this CPU has AVX2.
#[inline(always)]
pub(super) fn settle_if_detected(
    free: &Free,
    costs: &Floats,
    rests: &Floats,
    ways: &Bits,
    relays: &mut Bits,
) -> Option<u32> {
    // SAFETY: the function needs AVX2 and nothing else, and this CPU has it.
    is_detected().then(|| unsafe { settle(free, costs, rests, ways, relays) })
}

#[inline]
#[target_feature(enable = "avx2")]
fn settle(free: &Free, costs: &Floats, rests: &Floats, ways: &Bits, relays: &mut Bits) -> u32 {
    const { assert!(NO_WAY == u32::MAX) };
    let ways = vector_of(ways);
    let no_way = _mm256_cmpeq_epi32(ways, _mm256_set1_epi32(NO_WAY as i32));
    *relays = bits_of(blend(ways, vector_of(relays), no_way));
    let nobody = _mm256_set1_epi32(0xFFFF);
    let first = _mm256_and_si256(ways, nobody);
    let out = _mm256_or_si256(has(free, first), _mm256_cmpeq_epi32(first, nobody));
    let out = _mm256_castsi256_ps(_mm256_andnot_si256(no_way, out));
    let better = _mm256_cmp_ps::<_CMP_LE_OQ>(floats(rests), floats(costs));
    (_mm256_movemask_ps(out) | _mm256_movemask_ps(better)) as u32
}

/// Where a relay is taken.
#[inline]
#[target_feature(enable = "avx2")]
fn has(free: &Free, relays: __m256i) -> __m256i {
    let none = _mm256_set1_epi32(0);
    free.taken.iter().fold(none, |has, slot| {
        _mm256_or_si256(has, _mm256_cmpeq_epi32(vector_of(slot), relays))
    })
}

/// The second where the mask is set.
#[inline]
#[target_feature(enable = "avx2")]
fn blend(first: __m256i, second: __m256i, mask: __m256i) -> __m256i {
    let [first, second, mask] = [first, second, mask].map(|bits| _mm256_castsi256_ps(bits));
    _mm256_castps_si256(_mm256_blendv_ps(first, second, mask))
}

#[inline]
#[target_feature(enable = "avx2")]
fn vector_of(bits: &Bits) -> __m256i {
    // SAFETY: an array as long as the vector.
    unsafe { _mm256_loadu_si256(bits.as_ptr().cast()) }
}

#[inline]
#[target_feature(enable = "avx2")]
fn floats(values: &Floats) -> std::arch::x86_64::__m256 {
    // SAFETY: an array as long as the vector.
    unsafe { _mm256_loadu_ps(values.as_ptr()) }
}

#[inline]
#[target_feature(enable = "avx2")]
fn bits_of(vector: __m256i) -> Bits {
    let mut bits = [0; LANES];
    // SAFETY: an array as long as the vector.
    unsafe { _mm256_storeu_si256(bits.as_mut_ptr().cast(), vector) };
    bits
}
