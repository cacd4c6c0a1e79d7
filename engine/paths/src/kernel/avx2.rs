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

use super::{CappedOffers, LANES, Offers};
use crate::lists::Lists;

const HALF: usize = LANES / 2;

/// Does as `plain_offer` does and returns true, if this CPU has AVX2.
#[inline]
pub(super) fn offer_if_detected<const K: usize>(
    lists: &mut Lists<K>,
    start: usize,
    offers: Offers<'_>,
    cap: Option<CappedOffers<'_>>,
) -> bool {
    let detected = std::arch::is_x86_feature_detected!("avx2");
    if detected {
        match cap {
            // SAFETY: the functions need AVX2 and nothing else, and this CPU has it.
            None => unsafe { offer_plain(lists, start, offers) },
            // SAFETY: as above.
            Some(cap) => unsafe { offer_capped(lists, start, offers, cap) },
        }
    }
    detected
}

/// Does as `plain_below` does and returns true, if this CPU has AVX2.
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
fn offer_plain<const K: usize>(lists: &mut Lists<K>, start: usize, offers: Offers<'_>) {
    let (mut worst_low, mut worst_high) = halves(lists.worst(start));
    let relays = offers.ids.iter().zip(offers.bases).zip(offers.tile);
    for ((&id, &base), costs) in relays {
        let (low, high) = halves(costs);
        let spread = _mm256_set1_ps(base);
        let passed = mask(
            _mm256_cmp_ps::<_CMP_LE_OQ>(_mm256_add_ps(spread, low), worst_low),
            _mm256_cmp_ps::<_CMP_LE_OQ>(_mm256_add_ps(spread, high), worst_high),
        );
        if passed != 0 {
            for lane in lanes(passed) {
                lists.insert(start + lane, base + costs[lane], id);
            }
            (worst_low, worst_high) = halves(lists.worst(start));
        }
    }
}

#[target_feature(enable = "avx2")]
fn offer_capped<const K: usize>(
    lists: &mut Lists<K>,
    start: usize,
    offers: Offers<'_>,
    cap: CappedOffers<'_>,
) {
    let (mut worst_low, mut worst_high) = halves(lists.worst(start));
    let (limit_low, limit_high) = halves(cap.limits);
    let penalty = _mm256_set1_ps(cap.penalty);
    let relays = offers.ids.iter().zip(offers.bases).zip(offers.tile);
    for (((&id, &base), costs), (&rtt_base, rtts)) in relays.zip(cap.bases.iter().zip(cap.tile)) {
        let (spread, rtt_spread) = (_mm256_set1_ps(base), _mm256_set1_ps(rtt_base));
        let (low, high) = halves(costs);
        let (rtt_low, rtt_high) = halves(rtts);
        let total = |cost, rtt, limit| {
            let over = _mm256_cmp_ps::<_CMP_GT_OQ>(_mm256_add_ps(rtt_spread, rtt), limit);
            _mm256_add_ps(_mm256_add_ps(spread, cost), _mm256_and_ps(over, penalty))
        };
        let (low, high) = (
            total(low, rtt_low, limit_low),
            total(high, rtt_high, limit_high),
        );
        let passed = mask(
            _mm256_cmp_ps::<_CMP_LE_OQ>(low, worst_low),
            _mm256_cmp_ps::<_CMP_LE_OQ>(high, worst_high),
        );
        if passed != 0 {
            let mut totals = [0.0; LANES];
            store(&mut totals, low, high);
            for lane in lanes(passed) {
                lists.insert(start + lane, totals[lane], id);
            }
            (worst_low, worst_high) = halves(lists.worst(start));
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
fn store(row: &mut [f32; LANES], low: __m256, high: __m256) {
    // SAFETY: the array has LANES elements, which these are all of.
    unsafe {
        _mm256_storeu_ps(row.as_mut_ptr(), low);
        _mm256_storeu_ps(row.as_mut_ptr().add(HALF), high);
    }
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
