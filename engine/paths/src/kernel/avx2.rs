//! The loops of the parent module for AVX2: the comparisons are done by eight, and only the lanes that pass are looked
//! at one by one.

#![allow(
    unsafe_code,
    reason = "vector loads, and the one way to call what is compiled for an instruction set that was detected"
)]

use std::arch::x86_64::{
    __m256, _CMP_GT_OQ, _CMP_LE_OQ, _CMP_LT_OQ, _mm256_add_ps, _mm256_and_ps, _mm256_cmp_ps,
    _mm256_loadu_ps, _mm256_movemask_ps, _mm256_set1_ps, _mm256_storeu_ps,
};

use super::{CappedRow, LANES, Offer};
use crate::lists::Lists;

const HALF: usize = LANES / 2;

/// Does as `offer_row` does and returns true, if this CPU has AVX2.
#[inline]
pub(super) fn offer_if_detected<const K: usize>(
    lists: &mut Lists<K>,
    start: usize,
    offer: Offer<'_>,
    cap: Option<CappedRow<'_>>,
) -> bool {
    let detected = std::arch::is_x86_feature_detected!("avx2");
    if detected {
        match cap {
            // SAFETY: the functions need AVX2 and nothing else, and this CPU has it.
            None => unsafe { offer_row(lists, start, offer) },
            // SAFETY: as above.
            Some(cap) => unsafe { offer_capped(lists, start, offer, cap) },
        }
    }
    detected
}

/// Does as `below_row` does and returns true, if this CPU has AVX2.
#[inline]
pub(super) fn below_if_detected(
    base: f32,
    row: &[f32],
    limit: &[f32],
    found: &mut Vec<u32>,
) -> bool {
    let detected = std::arch::is_x86_feature_detected!("avx2");
    if detected {
        // SAFETY: the function needs AVX2 and nothing else, and this CPU has it.
        unsafe { below(base, row, limit, found) };
    }
    detected
}

#[target_feature(enable = "avx2")]
fn offer_row<const K: usize>(lists: &mut Lists<K>, start: usize, offer: Offer<'_>) {
    let base = _mm256_set1_ps(offer.base);
    let (row, _) = offer.row.as_chunks::<LANES>();
    for (number, costs) in row.iter().enumerate() {
        let at = start + number * LANES;
        let worst = lists.worst(at);
        let (low, high) = halves(costs);
        let (worst_low, worst_high) = halves(worst);
        let passed = mask(
            _mm256_cmp_ps::<_CMP_LE_OQ>(_mm256_add_ps(base, low), worst_low),
            _mm256_cmp_ps::<_CMP_LE_OQ>(_mm256_add_ps(base, high), worst_high),
        );
        for lane in lanes(passed) {
            lists.insert(at + lane, offer.base + costs[lane], offer.id);
        }
    }
}

#[target_feature(enable = "avx2")]
fn offer_capped<const K: usize>(
    lists: &mut Lists<K>,
    start: usize,
    offer: Offer<'_>,
    cap: CappedRow<'_>,
) {
    let (base, rtt_base) = (_mm256_set1_ps(offer.base), _mm256_set1_ps(cap.base));
    let penalty = _mm256_set1_ps(cap.penalty);
    let (row, _) = offer.row.as_chunks::<LANES>();
    let (rtts, _) = cap.row.as_chunks::<LANES>();
    let (limits, _) = cap.limit.as_chunks::<LANES>();
    for (number, ((costs, rtts), limits)) in row.iter().zip(rtts).zip(limits).enumerate() {
        let at = start + number * LANES;
        let worst = lists.worst(at);
        let mut totals = [0.0; LANES];
        let mut passed = 0;
        for half in 0..2 {
            let at = half * HALF;
            let rtt = _mm256_add_ps(rtt_base, load(rtts, at));
            let over = _mm256_cmp_ps::<_CMP_GT_OQ>(rtt, load(limits, at));
            let cost = _mm256_add_ps(base, load(costs, at));
            let total = _mm256_add_ps(cost, _mm256_and_ps(over, penalty));
            let below = _mm256_cmp_ps::<_CMP_LE_OQ>(total, load(worst, at));
            passed |= (_mm256_movemask_ps(below) as u32) << at;
            // SAFETY: the array has LANES elements, of which this writes one half.
            unsafe { _mm256_storeu_ps(totals.as_mut_ptr().add(at), total) };
        }
        for lane in lanes(passed) {
            lists.insert(at + lane, totals[lane], offer.id);
        }
    }
}

#[target_feature(enable = "avx2")]
fn below(base: f32, row: &[f32], limit: &[f32], found: &mut Vec<u32>) {
    let base = _mm256_set1_ps(base);
    let (row, _) = row.as_chunks::<LANES>();
    let (limit, _) = limit.as_chunks::<LANES>();
    for (number, (costs, limits)) in row.iter().zip(limit).enumerate() {
        let (low, high) = halves(costs);
        let (limit_low, limit_high) = halves(limits);
        let passed = mask(
            _mm256_cmp_ps::<_CMP_LT_OQ>(_mm256_add_ps(base, low), limit_low),
            _mm256_cmp_ps::<_CMP_LT_OQ>(_mm256_add_ps(base, high), limit_high),
        );
        if passed != 0 {
            found.extend(lanes(passed).map(|lane| (number * LANES + lane) as u32));
        }
    }
}

#[inline]
#[target_feature(enable = "avx2")]
fn halves(row: &[f32; LANES]) -> (__m256, __m256) {
    (load(row, 0), load(row, HALF))
}

#[inline]
#[target_feature(enable = "avx2")]
fn load(row: &[f32; LANES], at: usize) -> __m256 {
    assert!(at <= HALF);
    // SAFETY: the array has LANES elements, of which this reads one half.
    unsafe { _mm256_loadu_ps(row.as_ptr().add(at)) }
}

#[inline]
#[target_feature(enable = "avx2")]
fn mask(low: __m256, high: __m256) -> u32 {
    _mm256_movemask_ps(low) as u32 | (_mm256_movemask_ps(high) as u32) << HALF
}

/// The numbers of the bits that are set.
#[inline]
fn lanes(mut mask: u32) -> impl Iterator<Item = usize> {
    std::iter::from_fn(move || {
        let lane = (mask != 0).then(|| mask.trailing_zeros() as usize);
        mask &= mask.wrapping_sub(1);
        lane
    })
}
