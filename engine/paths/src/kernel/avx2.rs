//! The kernels for AVX2.

#![allow(
    unsafe_code,
    reason = "vector loads, and the one way to call what is compiled for an instruction set that was detected"
)]

use std::arch::x86_64::{
    __m256, __m256i, _CMP_GT_OQ, _CMP_LE_OQ, _CMP_LT_OQ, _mm256_add_epi32, _mm256_add_ps,
    _mm256_adds_epi16, _mm256_adds_epu16, _mm256_and_ps, _mm256_blendv_ps, _mm256_castps_si256,
    _mm256_castsi256_ps, _mm256_cmp_ps, _mm256_cmpgt_epi16, _mm256_load_ps, _mm256_loadu_ps,
    _mm256_loadu_si256, _mm256_max_epu32, _mm256_min_epu16, _mm256_min_epu32, _mm256_min_ps,
    _mm256_movemask_ps, _mm256_or_si256, _mm256_set1_epi16, _mm256_set1_epi32, _mm256_set1_ps,
    _mm256_slli_epi32, _mm256_storeu_ps, _mm256_storeu_si256, _mm256_unpackhi_epi16,
    _mm256_unpacklo_epi16,
};

use super::operands::{
    Blocked, Bound, Entry, Exact, ExactLimited, Floats, KEPT, LANES, LEVELS, Least, Limited, Lows,
    NO_WAY, RUN, Reach, Runs, Sums, TILE, WORDS, Ways, Work, insert, number_of,
};
use crate::rows::Line;
use crate::{SECONDS_LIMIT, UNREACHABLE};

/// Whether this CPU has AVX2.
#[inline(always)]
pub(super) fn is_detected() -> bool {
    std::arch::is_x86_feature_detected!("avx2")
}

/// Does the work as compiled for AVX2, which this CPU must have.
#[inline]
pub(super) fn compiled<W: Work>(work: W) {
    #[target_feature(enable = "avx2")]
    fn run<W: Work>(work: W) {
        work.run();
    }
    // SAFETY: the function needs AVX2 and nothing else; the caller has seen that this CPU has it.
    unsafe { run(work) }
}

/// Does as `plain::sieve` does, if this CPU has AVX2.
#[inline]
pub(super) fn sieve_if_detected(sums: Sums<'_>, limited: Option<&Limited<'_>>) -> Option<Runs> {
    if !is_detected() {
        return None;
    }
    // SAFETY: the functions need AVX2 and nothing else, and this CPU has it.
    Some(unsafe {
        match limited {
            None => sieve::<false>(sums, sums, [0; TILE]),
            Some(limited) => sieve::<true>(sums, limited.sums, limited.limits),
        }
    })
}

#[target_feature(enable = "avx2")]
fn sieve<const LIMITED: bool>(sums: Sums<'_>, second: Sums<'_>, limits: [i16; TILE]) -> Runs {
    let length = sums.base.len();
    assert!(length.is_multiple_of(RUN) && sums.tile.len() == length);
    assert!(second.base.len() == length && second.tile.len() == length);
    // SAFETY: an array as long as the vector.
    let limits = unsafe { _mm256_loadu_si256(limits.as_ptr().cast()) };
    let most = _mm256_set1_epi32(-1);
    let mut low = [most; KEPT + 1];
    let mut high = [most; KEPT + 1];
    for run in 0..length / RUN {
        let mut least = most;
        for relay in run * RUN..(run + 1) * RUN {
            // SAFETY: below the length of all four slices.
            let (base, to) = unsafe { at(&sums, relay) };
            let mut sum = _mm256_adds_epu16(base, to);
            if LIMITED {
                // SAFETY: as above.
                let (base, to) = unsafe { at(&second, relay) };
                let over = _mm256_cmpgt_epi16(_mm256_adds_epi16(base, to), limits);
                sum = _mm256_or_si256(sum, over);
            }
            least = _mm256_min_epu16(least, sum);
        }
        let number = _mm256_set1_epi16(run as i16);
        keep(&mut low, _mm256_unpacklo_epi16(number, least));
        keep(&mut high, _mm256_unpackhi_epi16(number, least));
    }
    let mut runs = [[0; TILE]; KEPT + 1];
    for (runs, (low, high)) in runs.iter_mut().zip(low.into_iter().zip(high)) {
        // Unpacked were the lower halves of both sides, and the upper ones.
        let (low, high) = (halves(low), halves(high));
        runs[..4].copy_from_slice(&low[0]);
        runs[4..8].copy_from_slice(&high[0]);
        runs[8..12].copy_from_slice(&low[1]);
        runs[12..].copy_from_slice(&high[1]);
    }
    runs
}

/// # Safety
/// The relay must be within both slices.
#[inline]
#[target_feature(enable = "avx2")]
unsafe fn at(sums: &Sums<'_>, relay: usize) -> (__m256i, __m256i) {
    // SAFETY: the caller's; a tile's row is as long as the vector.
    unsafe {
        let base = _mm256_set1_epi32(*sums.base.get_unchecked(relay) as i32);
        let lows: *const Lows = sums.tile.as_ptr().add(relay);
        (base, _mm256_loadu_si256(lows.cast()))
    }
}

/// Puts keys in place among the least.
#[inline]
#[target_feature(enable = "avx2")]
fn keep(kept: &mut [__m256i; KEPT + 1], mut key: __m256i) {
    for place in kept {
        let lower = _mm256_min_epu32(*place, key);
        key = _mm256_max_epu32(*place, key);
        *place = lower;
    }
}

#[inline]
#[target_feature(enable = "avx2")]
fn halves(vector: __m256i) -> [[u32; 4]; 2] {
    let mut halves = [[0; 4]; 2];
    // SAFETY: as many bytes as the vector has.
    unsafe { _mm256_storeu_si256(halves.as_mut_ptr().cast(), vector) };
    halves
}

/// Does as `plain::least_in` does, if this CPU has AVX2.
#[inline]
pub(super) fn least_in_if_detected(
    exact: &Exact<'_>,
    runs: &Runs,
    rest: &[f32; TILE],
) -> Option<[Least; TILE]> {
    if !is_detected() {
        return None;
    }
    // SAFETY: the functions need AVX2 and nothing else, and this CPU has it.
    Some(unsafe {
        match &exact.limited {
            None => least_in::<false>(exact, None, runs, rest),
            limited => least_in::<true>(exact, limited.as_ref(), runs, rest),
        }
    })
}

/// First all sums, without a branch, so that none waits for the other's memory.
#[target_feature(enable = "avx2")]
fn least_in<const LIMITED: bool>(
    exact: &Exact<'_>,
    limited: Option<&ExactLimited<'_>>,
    runs: &Runs,
    rest: &[f32; TILE],
) -> [Least; TILE] {
    const { assert!(KEPT * RUN == 64) };
    let mut sums = [[0.0_f32; KEPT * RUN]; TILE];
    let mut below = [0_u64; TILE];
    for lane in 0..TILE {
        let most = _mm256_set1_ps(rest[lane]);
        for (number, keys) in runs[..KEPT].iter().enumerate() {
            let Some(run) = number_of(keys[lane]) else {
                break;
            };
            let (base, to) = (
                halves_of(&exact.base[run]),
                halves_of(&exact.rows[lane][run]),
            );
            for half in 0..2 {
                let mut sum = _mm256_add_ps(base[half], to[half]);
                if let (true, Some(limited)) = (LIMITED, limited) {
                    let base = halves_of(&limited.base[run])[half];
                    let to = halves_of(&limited.rows[lane][run])[half];
                    let limit = _mm256_set1_ps(limited.limits[lane]);
                    let over = _mm256_cmp_ps::<_CMP_GT_OQ>(_mm256_add_ps(base, to), limit);
                    let penalty = _mm256_and_ps(over, _mm256_set1_ps(limited.penalty));
                    sum = _mm256_add_ps(sum, penalty);
                }
                let place = number * RUN + half * LANES;
                // SAFETY: there are KEPT runs of two vectors each.
                unsafe { _mm256_storeu_ps(sums[lane].as_mut_ptr().add(place), sum) };
                let mask = _mm256_movemask_ps(_mm256_cmp_ps::<_CMP_LT_OQ>(sum, most));
                below[lane] |= u64::from(mask as u32) << place;
            }
        }
    }
    let mut found = [[Entry::NONE; KEPT]; TILE];
    for (lane, found) in found.iter_mut().enumerate() {
        let mut below = below[lane];
        while below != 0 {
            let place = below.trailing_zeros() as usize;
            below &= below - 1;
            let run = (runs[place / RUN % KEPT][lane] & 0xFFFF) as usize;
            insert(
                found,
                Entry::new(sums[lane][place % 64], run * RUN + place % RUN),
            );
        }
    }
    found
}

#[inline]
#[target_feature(enable = "avx2")]
fn halves_of(line: &Line) -> [__m256; 2] {
    // SAFETY: a line is aligned, and as long as two vectors.
    unsafe {
        [
            _mm256_load_ps(line.as_ptr()),
            _mm256_load_ps(line.as_ptr().add(LANES)),
        ]
    }
}

/// Does as `plain::cheapest` does, if this CPU has AVX2.
#[inline]
pub(super) fn cheapest_if_detected(
    ways: Ways<'_>,
    last: &[[f32; LANES]],
    blocked: Option<&Blocked>,
    best: &mut [f32; LANES],
) -> Option<[u32; LANES]> {
    if !is_detected() {
        return None;
    }
    // SAFETY: the function needs AVX2 and nothing else, and this CPU has it.
    Some(unsafe {
        match blocked {
            None => cheapest::<false>(ways, last, &[[0; LANES]; WORDS], best),
            Some(blocked) => cheapest::<true>(ways, last, blocked, best),
        }
    })
}

#[target_feature(enable = "avx2")]
fn cheapest<const BLOCKED: bool>(
    ways: Ways<'_>,
    last: &[[f32; LANES]],
    blocked: &Blocked,
    best: &mut [f32; LANES],
) -> [u32; LANES] {
    let never = _mm256_set1_ps(f32::INFINITY);
    let one = _mm256_set1_epi32(1);
    // SAFETY: an array as long as the vector.
    let mut least = unsafe { _mm256_loadu_ps(best.as_ptr()) };
    let mut found = _mm256_castsi256_ps(_mm256_set1_epi32(NO_WAY as i32));
    let mut way = _mm256_set1_epi32(0);
    let words = ways.costs.chunks(32).zip(ways.seconds.chunks(32));
    for ((costs, seconds), blocked) in words.zip(blocked) {
        // SAFETY: an array as long as the vector.
        let mut blocked = unsafe { _mm256_loadu_si256(blocked.as_ptr().cast()) };
        for (cost, second) in costs.iter().zip(seconds) {
            let last = &last[*second as usize];
            // SAFETY: an array as long as the vector.
            let last = unsafe { _mm256_loadu_ps(last.as_ptr()) };
            let sum = _mm256_add_ps(_mm256_set1_ps(*cost), last);
            let sum = if BLOCKED {
                // Looks at the highest bits only.
                _mm256_blendv_ps(sum, never, _mm256_castsi256_ps(blocked))
            } else {
                sum
            };
            blocked = _mm256_slli_epi32::<1>(blocked);
            let better = _mm256_cmp_ps::<_CMP_LT_OQ>(sum, least);
            least = _mm256_min_ps(sum, least);
            found = _mm256_blendv_ps(found, _mm256_castsi256_ps(way), better);
            way = _mm256_add_epi32(way, one);
        }
    }
    let mut answer = [0; LANES];
    // SAFETY: arrays as long as the vectors.
    unsafe {
        _mm256_storeu_ps(best.as_mut_ptr(), least);
        _mm256_storeu_si256(answer.as_mut_ptr().cast(), _mm256_castps_si256(found));
    }
    answer
}

/// Does as `plain::first_least` does, if this CPU has AVX2.
#[inline]
pub(super) fn first_least_if_detected(values: &[f32; SECONDS_LIMIT]) -> Option<(usize, f32)> {
    #[target_feature(enable = "avx2")]
    fn compiled(values: &[f32; SECONDS_LIMIT]) -> (usize, f32) {
        let lower = |a, b| _mm256_min_ps(a, b);
        let none = _mm256_set1_ps(f32::INFINITY);
        let lanes = values.as_chunks().0.iter().map(|values| vector_of(values));
        let mut least = [0.0; LANES];
        // SAFETY: an array as long as the vector.
        unsafe { _mm256_storeu_ps(least.as_mut_ptr(), lanes.fold(none, lower)) };
        let least = least
            .into_iter()
            .fold(f32::INFINITY, |a, b| if b < a { b } else { a });
        let first = at_most(values, least).trailing_zeros();
        (first as usize % SECONDS_LIMIT, least)
    }
    if !is_detected() {
        return None;
    }
    // SAFETY: the function needs AVX2 and nothing else, and this CPU has it.
    Some(unsafe { compiled(values) })
}

/// Does as `plain::at_most` does, if this CPU has AVX2.
#[inline]
pub(super) fn at_most_if_detected(values: &[f32; SECONDS_LIMIT], limit: f32) -> Option<u64> {
    if !is_detected() {
        return None;
    }
    // SAFETY: the function needs AVX2 and nothing else, and this CPU has it.
    Some(unsafe { at_most(values, limit) })
}

#[inline]
#[target_feature(enable = "avx2")]
fn at_most(values: &[f32; SECONDS_LIMIT], limit: f32) -> u64 {
    let limit = _mm256_set1_ps(limit);
    let mut bits = 0;
    for (number, values) in values.as_chunks().0.iter().enumerate() {
        let mask = _mm256_movemask_ps(_mm256_cmp_ps::<_CMP_LE_OQ>(vector_of(values), limit));
        bits |= u64::from(mask as u32) << (number * LANES);
    }
    bits
}

/// Does as `plain::within_reach` does, if this CPU has AVX2.
#[inline]
pub(super) fn within_reach_if_detected(reach: Reach<'_>, bounds: &mut [Floats]) -> Option<Floats> {
    if !is_detected() {
        return None;
    }
    // SAFETY: the function needs AVX2 and nothing else, and this CPU has it.
    Some(unsafe { within_reach(reach, bounds) })
}

#[target_feature(enable = "avx2")]
fn within_reach(reach: Reach<'_>, bounds: &mut [Floats]) -> Floats {
    let (limits, penalty) = (vector_of(reach.limits), _mm256_set1_ps(reach.penalty));
    let mut all = _mm256_set1_ps(f32::INFINITY);
    let places = bounds.iter_mut().zip(reach.last.iter().zip(reach.rest));
    for (reaches, (bounds, (last, rest))) in reach.reaches.iter().zip(places) {
        let (last, rest) = (vector_of(last), vector_of(rest));
        let over = |reach| {
            let rtt = _mm256_add_ps(_mm256_set1_ps(reach), rest);
            _mm256_cmp_ps::<_CMP_GT_OQ>(rtt, limits)
        };
        let any = _mm256_set1_ps(reaches.costs[LEVELS - 1]);
        let mut cost = any;
        for level in (0..LEVELS - 1).rev() {
            let enough = over(reaches.limits[level]);
            cost = _mm256_blendv_ps(cost, _mm256_set1_ps(reaches.costs[level]), enough);
        }
        let never = _mm256_set1_ps(f32::INFINITY);
        let cost = _mm256_blendv_ps(cost, never, over(reaches.nearest));
        let slow = _mm256_add_ps(_mm256_add_ps(any, last), penalty);
        let least = _mm256_min_ps(slow, _mm256_add_ps(cost, last));
        // SAFETY: an array as long as the vector.
        unsafe { _mm256_storeu_ps(bounds.as_mut_ptr(), least) };
        all = _mm256_min_ps(all, least);
    }
    let mut least = [0.0; LANES];
    // SAFETY: an array as long as the vector.
    unsafe { _mm256_storeu_ps(least.as_mut_ptr(), all) };
    least
}

#[inline]
#[target_feature(enable = "avx2")]
fn vector_of(values: &[f32; LANES]) -> __m256 {
    // SAFETY: an array as long as the vector.
    unsafe { _mm256_loadu_ps(values.as_ptr()) }
}

/// Does as `plain::cheapest_of_all` does, if this CPU has AVX2.
#[inline]
pub(super) fn cheapest_of_all_if_detected(
    rows: [&[Line]; 2],
    limited: Option<&Bound<'_>>,
    taken: &[u16],
) -> Option<Entry> {
    if !is_detected() {
        return None;
    }
    // SAFETY: the function needs AVX2 and nothing else, and this CPU has it.
    Some(unsafe { cheapest_of_all(rows, limited, taken) })
}

#[target_feature(enable = "avx2")]
fn cheapest_of_all(rows: [&[Line]; 2], bound: Option<&Bound<'_>>, taken: &[u16]) -> Entry {
    let mut found = Entry::NONE;
    let mut most = _mm256_set1_ps(UNREACHABLE);
    for (number, (base, to)) in rows[0].iter().zip(rows[1]).enumerate() {
        let (base, to) = (halves_of(base), halves_of(to));
        let mut sums = [0.0_f32; RUN];
        let mut below = 0;
        for half in 0..2 {
            let mut sum = _mm256_add_ps(base[half], to[half]);
            if let Some(bound) = bound {
                let [base, to] = bound.rows.map(|row| halves_of(&row[number])[half]);
                let (rest, limit) = (_mm256_set1_ps(bound.rest), _mm256_set1_ps(bound.limit));
                let second = _mm256_add_ps(_mm256_add_ps(base, to), rest);
                let over = _mm256_cmp_ps::<_CMP_GT_OQ>(second, limit);
                sum = _mm256_add_ps(sum, _mm256_and_ps(over, _mm256_set1_ps(bound.penalty)));
            }
            // SAFETY: a run is two vectors.
            unsafe { _mm256_storeu_ps(sums.as_mut_ptr().add(half * LANES), sum) };
            let mask = _mm256_movemask_ps(_mm256_cmp_ps::<_CMP_LT_OQ>(sum, most));
            below |= (mask as u32) << (half * LANES);
        }
        while below != 0 {
            let place = below.trailing_zeros() as usize % RUN;
            below &= below - 1;
            let entry = Entry::new(sums[place], number * RUN + place);
            if entry < found && !taken.contains(&(entry.column() as u16)) {
                found = entry;
                most = _mm256_set1_ps(entry.sum());
            }
        }
    }
    found
}
