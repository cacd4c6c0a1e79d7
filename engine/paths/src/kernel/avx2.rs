//! `least` for AVX2.
//!
//! First the minimum of each *slot*: what stands in one lane of a block's vectors. Eight slots' minima that are apart
//! bound what can be among the least; so then only the few slots are looked at whose minimum is not above.

#![allow(
    unsafe_code,
    reason = "vector loads, and the one way to call what is compiled for an instruction set that was detected"
)]

use std::arch::x86_64::{
    __m256, _CMP_GT_OQ, _CMP_LE_OQ, _MM_HINT_T0, _mm_prefetch, _mm256_add_ps, _mm256_and_ps,
    _mm256_blendv_ps, _mm256_cmp_ps, _mm256_loadu_ps, _mm256_max_ps, _mm256_min_ps,
    _mm256_movemask_ps, _mm256_permute2f128_ps, _mm256_set1_ps, _mm256_shuffle_ps,
    _mm256_storeu_ps, _mm256_unpackhi_ps, _mm256_unpacklo_ps,
};

use super::{BLOCK, Entry, GROUP, KEPT, LANES, LEVELS, Least, Limited, Reaches, Scratch, insert};
use crate::UNREACHABLE;
use crate::rows::{Group, Row};

/// Does as `plain_least` does, if this CPU has AVX2.
#[inline]
pub(super) fn least_if_detected(
    base: Row<'_>,
    group: Group<'_>,
    limited: Option<&Limited<'_>>,
    scratch: &mut Scratch,
) -> Option<[Least; GROUP]> {
    if !std::arch::is_x86_feature_detected!("avx2") {
        return None;
    }
    // SAFETY: the function needs AVX2 and nothing else, and this CPU has it.
    Some(unsafe { least(base, group, limited, scratch) })
}

/// Does as `plain_within_reach` does and returns true, if this CPU has AVX2.
#[inline]
pub(super) fn within_reach_if_detected(
    reaches: &Reaches<'_>,
    last: &[f32],
    rest: &[f32],
    limit: f32,
    penalty: f32,
    bounds: &mut [f32],
) -> bool {
    let detected = std::arch::is_x86_feature_detected!("avx2");
    if detected {
        // SAFETY: the function needs AVX2 and nothing else, and this CPU has it.
        unsafe { within_reach(reaches, last, rest, limit, penalty, bounds) };
    }
    detected
}

#[target_feature(enable = "avx2")]
fn within_reach(
    reaches: &Reaches<'_>,
    last: &[f32],
    rest: &[f32],
    limit: f32,
    penalty: f32,
    bounds: &mut [f32],
) {
    let width = bounds.len();
    let rows = reaches.limits.iter().chain(&reaches.costs);
    assert!(
        rows.chain([&reaches.nearest, &last, &rest])
            .all(|row| row.len() == width)
    );
    let (limit, penalty) = (_mm256_set1_ps(limit), _mm256_set1_ps(penalty));
    for (number, bounds) in bounds.as_chunks_mut::<LANES>().0.iter_mut().enumerate() {
        let at = number * LANES;
        // SAFETY: all rows are as long as `bounds`, which has a vector there.
        let part = |row: &[f32]| unsafe { load(row, at) };
        let (last, rest) = (part(last), part(rest));
        let over = |reach| _mm256_cmp_ps::<_CMP_GT_OQ>(_mm256_add_ps(reach, rest), limit);
        let any = part(reaches.costs[LEVELS - 1]);
        let mut cost = any;
        for level in (0..LEVELS - 1).rev() {
            let enough = over(part(reaches.limits[level]));
            cost = _mm256_blendv_ps(cost, part(reaches.costs[level]), enough);
        }
        let never = over(part(reaches.nearest));
        let cost = _mm256_blendv_ps(cost, _mm256_set1_ps(f32::INFINITY), never);
        let slow = _mm256_add_ps(_mm256_add_ps(any, last), penalty);
        store(bounds, _mm256_min_ps(slow, _mm256_add_ps(cost, last)));
    }
}

/// What sums are made of, in one order of the columns, with the lengths checked.
struct Sums<'a> {
    width: usize,
    stride: usize,
    base: &'a [f32],
    group: &'a [f32],
    limited: Option<(&'a [f32], &'a [f32], &'a Limited<'a>)>,
}

#[target_feature(enable = "avx2")]
fn least(
    base: Row<'_>,
    group: Group<'_>,
    limited: Option<&Limited<'_>>,
    scratch: &mut Scratch,
) -> [Least; GROUP] {
    let straight = Sums::new(
        (base.straight, group.straight),
        group.stride,
        limited.map(|limited| (limited.base.straight, limited.group.straight, limited)),
    );
    let turned = Sums::new(
        (base.turned, group.turned),
        group.stride,
        limited.map(|limited| (limited.base.turned, limited.group.turned, limited)),
    );
    let blocks = straight.width / BLOCK;
    scratch.minima.resize(blocks * GROUP, [0.0; LANES]);
    let bounds = straight.minima(&mut scratch.minima);
    let mut found = [[Entry::NONE; KEPT]; GROUP];
    for (word, minima) in scratch.minima.chunks(8 * GROUP).enumerate() {
        let first = word * 8 * BLOCK;
        let mut passed = [0; GROUP];
        for (number, passed) in passed.iter_mut().enumerate() {
            let bound = _mm256_set1_ps(bounds[number]);
            for (block, minima) in minima.chunks_exact(GROUP).enumerate() {
                let slots = at_most(loaded(&minima[number]), bound);
                *passed |= u64::from(slots) << (block * LANES);
            }
            // They are scattered over what is too much for the nearest cache: all on their way before the first is used.
            for slot in bits(*passed) {
                turned.prefetch(number, first + slot * LANES);
            }
        }
        for ((number, found), passed) in found.iter_mut().enumerate().zip(passed) {
            let bound = _mm256_set1_ps(bounds[number]);
            for slot in bits(passed) {
                let at = first + slot * LANES;
                let sums = turned.of(number, at);
                let mut values = [0.0; LANES];
                store(&mut values, sums);
                for vector in bits(u64::from(at_most(sums, bound))) {
                    let column = at / BLOCK * BLOCK + vector * LANES + slot % LANES;
                    insert(found, Entry::new(values[vector], column));
                }
            }
        }
    }
    found
}

impl<'a> Sums<'a> {
    fn new(
        (base, group): (&'a [f32], &'a [f32]),
        stride: usize,
        limited: Option<(&'a [f32], &'a [f32], &'a Limited<'a>)>,
    ) -> Self {
        let width = base.len();
        assert!(width.is_multiple_of(BLOCK) && width <= stride && group.len() == GROUP * stride);
        if let Some((base, group, _)) = limited {
            assert!(base.len() == width && group.len() == GROUP * stride);
        }
        Self {
            width,
            stride,
            base,
            group,
            limited,
        }
    }

    /// Fills in the minima `[block][row]` of the slots; returns of each row what its least few cannot be above.
    #[inline]
    #[target_feature(enable = "avx2")]
    fn minima(&self, minima: &mut [[f32; LANES]]) -> [f32; GROUP] {
        assert!(minima.len() == self.width / BLOCK * GROUP);
        let none = _mm256_set1_ps(f32::INFINITY);
        let mut all = [none; GROUP];
        for (block, minima) in minima.chunks_exact_mut(GROUP).enumerate() {
            let mut of_block = [none; GROUP];
            match self.limited {
                None => {
                    for vector in 0..LANES {
                        let at = block * BLOCK + vector * LANES;
                        // SAFETY: within the width, which the base has; as above, by the assertion.
                        let base = unsafe { load(self.base, at) };
                        for (number, least) in of_block.iter_mut().enumerate() {
                            // SAFETY: within the width of a row, of which the group has GROUP.
                            let cost = unsafe { load(self.group, number * self.stride + at) };
                            *least = _mm256_min_ps(_mm256_add_ps(base, cost), *least);
                        }
                    }
                }
                Some(_) => {
                    for (number, least) in of_block.iter_mut().enumerate() {
                        for vector in 0..LANES {
                            let at = block * BLOCK + vector * LANES;
                            *least = _mm256_min_ps(self.of(number, at), *least);
                        }
                    }
                }
            }
            for ((minima, of_block), all) in minima.iter_mut().zip(of_block).zip(&mut all) {
                store(minima, of_block);
                *all = _mm256_min_ps(*all, of_block);
            }
        }
        let mut bounds = [0.0; GROUP];
        let fourth = _mm256_min_ps(fourth(transposed(all)), _mm256_set1_ps(UNREACHABLE));
        store(&mut bounds, fourth);
        bounds
    }

    /// Brings what `of` will add to the base into the cache.
    #[inline]
    fn prefetch(&self, number: usize, at: usize) {
        let row = number * self.stride + at;
        for group in [Some(self.group), self.limited.map(|(_, group, _)| group)] {
            if let Some(cost) = group.and_then(|group| group.get(row)) {
                // SAFETY: reads nothing.
                unsafe { _mm_prefetch::<_MM_HINT_T0>(std::ptr::from_ref(cost).cast()) };
            }
        }
    }

    /// The sums of one row from column `at` on.
    #[inline]
    #[target_feature(enable = "avx2")]
    fn of(&self, number: usize, at: usize) -> __m256 {
        assert!(number < GROUP && at + LANES <= self.width);
        let row = number * self.stride + at;
        // SAFETY: within the width of a row, of which the base is one and the group has GROUP: `Sums::new` saw to that.
        let sums = |base, group| unsafe { _mm256_add_ps(load(base, at), load(group, row)) };
        let sum = sums(self.base, self.group);
        match self.limited {
            None => sum,
            Some((base, group, limited)) => {
                let second = sums(base, group);
                let limit = _mm256_set1_ps(limited.limits[number]);
                let over = _mm256_cmp_ps::<_CMP_GT_OQ>(second, limit);
                _mm256_add_ps(sum, _mm256_and_ps(over, _mm256_set1_ps(limited.penalty)))
            }
        }
    }
}

/// In each lane the fourth least of eight.
#[inline]
#[target_feature(enable = "avx2")]
fn fourth(values: [__m256; 8]) -> __m256 {
    const { assert!(KEPT == 4) };
    let [a, b, c, d, e, f, g, h] = values;
    let [a, b, c, d] = sorted([a, b, c, d]);
    let [e, f, g, h] = sorted([e, f, g, h]);
    let outer = _mm256_min_ps(d, h);
    let inner = _mm256_min_ps(_mm256_max_ps(a, g), _mm256_max_ps(c, e));
    _mm256_min_ps(_mm256_min_ps(outer, inner), _mm256_max_ps(b, f))
}

#[inline]
#[target_feature(enable = "avx2")]
fn sorted([a, b, c, d]: [__m256; 4]) -> [__m256; 4] {
    let (a, b) = (_mm256_min_ps(a, b), _mm256_max_ps(a, b));
    let (c, d) = (_mm256_min_ps(c, d), _mm256_max_ps(c, d));
    let (a, c) = (_mm256_min_ps(a, c), _mm256_max_ps(a, c));
    let (b, d) = (_mm256_min_ps(b, d), _mm256_max_ps(b, d));
    [a, _mm256_min_ps(b, c), _mm256_max_ps(b, c), d]
}

/// A square of eight by eight, rows for columns.
#[inline]
#[target_feature(enable = "avx2")]
fn transposed([a, b, c, d, e, f, g, h]: [__m256; 8]) -> [__m256; 8] {
    let low = quarters([a, b, c, d]);
    let high = quarters([e, f, g, h]);
    [
        _mm256_permute2f128_ps::<0x20>(low[0], high[0]),
        _mm256_permute2f128_ps::<0x20>(low[1], high[1]),
        _mm256_permute2f128_ps::<0x20>(low[2], high[2]),
        _mm256_permute2f128_ps::<0x20>(low[3], high[3]),
        _mm256_permute2f128_ps::<0x31>(low[0], high[0]),
        _mm256_permute2f128_ps::<0x31>(low[1], high[1]),
        _mm256_permute2f128_ps::<0x31>(low[2], high[2]),
        _mm256_permute2f128_ps::<0x31>(low[3], high[3]),
    ]
}

/// Transposes the squares of four by four in both halves.
#[inline]
#[target_feature(enable = "avx2")]
fn quarters([a, b, c, d]: [__m256; 4]) -> [__m256; 4] {
    let (ab_low, ab_high) = (_mm256_unpacklo_ps(a, b), _mm256_unpackhi_ps(a, b));
    let (cd_low, cd_high) = (_mm256_unpacklo_ps(c, d), _mm256_unpackhi_ps(c, d));
    [
        _mm256_shuffle_ps::<0x44>(ab_low, cd_low),
        _mm256_shuffle_ps::<0xEE>(ab_low, cd_low),
        _mm256_shuffle_ps::<0x44>(ab_high, cd_high),
        _mm256_shuffle_ps::<0xEE>(ab_high, cd_high),
    ]
}

/// A vector from `at` on.
///
/// # Safety
/// It must end within the slice.
#[inline]
#[target_feature(enable = "avx2")]
unsafe fn load(values: &[f32], at: usize) -> __m256 {
    debug_assert!(at + LANES <= values.len());
    // SAFETY: the caller's, who is not to pass the end.
    unsafe { _mm256_loadu_ps(values.as_ptr().add(at)) }
}

#[inline]
#[target_feature(enable = "avx2")]
fn loaded(values: &[f32; LANES]) -> __m256 {
    // SAFETY: the array has as many elements as the vector.
    unsafe { load(values, 0) }
}

#[inline]
#[target_feature(enable = "avx2")]
fn store(values: &mut [f32; LANES], vector: __m256) {
    // SAFETY: the array has as many elements as the vector.
    unsafe { _mm256_storeu_ps(values.as_mut_ptr(), vector) };
}

/// The lanes that are not above the bound, one bit each.
#[inline]
#[target_feature(enable = "avx2")]
fn at_most(values: __m256, bound: __m256) -> u32 {
    _mm256_movemask_ps(_mm256_cmp_ps::<_CMP_LE_OQ>(values, bound)) as u32
}

/// The numbers of the bits that are set.
#[inline]
fn bits(mut mask: u64) -> impl Iterator<Item = usize> {
    std::iter::from_fn(move || {
        let bit = (mask != 0).then(|| mask.trailing_zeros() as usize);
        mask &= mask.wrapping_sub(1);
        bit
    })
}
