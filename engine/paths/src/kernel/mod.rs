//! The loops that cost time: which relays can be among the cheapest of a pair, and which path through a second relay is
//! the cheapest that uses nothing taken.
//!
//! In `plain` Rust, and in `avx2` for CPUs that have it; here is which of them does it. Both give the same bits. Pure.

use crate::SECONDS_LIMIT;
use crate::rows::Line;

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx2_lanes;
mod operands;
mod plain;

pub(crate) use operands::*;

/// Does the work, compiled for this CPU.
#[inline]
pub(crate) fn compiled<W: Work>(work: W) {
    #[cfg(target_arch = "x86_64")]
    if avx2::is_detected() {
        return avx2::compiled(work);
    }
    work.run();
}

/// Finds the runs with the least sums; as a sum, a relay that is out counts as the greatest.
#[inline]
pub(crate) fn sieve(sums: Sums<'_>, limited: Option<&Limited<'_>>) -> Runs {
    #[cfg(target_arch = "x86_64")]
    if let Some(runs) = avx2::sieve_if_detected(sums, limited) {
        return runs;
    }
    plain::sieve(sums, limited)
}

/// Of the first [`KEPT`] runs of each destination the least sums, if they are below its `rest`.
#[inline]
pub(crate) fn least_in(exact: &Exact<'_>, runs: &Runs, rest: &[f32; TILE]) -> [Least; TILE] {
    #[cfg(target_arch = "x86_64")]
    if let Some(found) = avx2::least_in_if_detected(exact, runs, rest) {
        return found;
    }
    plain::least_in(exact, runs, rest)
}

/// Rows as columns.
#[inline(always)]
pub(crate) fn turned(rows: &[Bits; LANES]) -> [Bits; LANES] {
    const { assert!(LANES == WORDS && LANES == 2 * KEPT) };
    #[cfg(target_arch = "x86_64")]
    if let Some(turned) = avx2_lanes::turned_if_detected(rows) {
        return turned;
    }
    plain::turned(rows)
}

/// For each destination the first of the cheapest ways that are not blocked, with what `last` from its second relay on
/// makes of it; none where that is not below `best`, which it takes the place of.
#[inline]
pub(crate) fn cheapest(
    ways: Ways<'_>,
    last: &[[f32; LANES]],
    blocked: Option<&Blocked>,
    best: &mut [f32; LANES],
) -> [u32; LANES] {
    assert!(ways.costs.len() <= WORDS * 32 && ways.costs.len() == ways.seconds.len());
    #[cfg(target_arch = "x86_64")]
    if let Some(found) = avx2::cheapest_if_detected(ways, last, blocked, best) {
        return found;
    }
    plain::cheapest(ways, last, blocked, best)
}

/// The first of the least, and which it is.
#[inline]
pub(crate) fn first_least(values: &[f32; SECONDS_LIMIT]) -> (usize, f32) {
    #[cfg(target_arch = "x86_64")]
    if let Some(found) = avx2::first_least_if_detected(values) {
        return found;
    }
    plain::first_least(values)
}

/// Which values are not above a limit, one bit each.
#[inline]
pub(crate) fn at_most(values: &[f32; SECONDS_LIMIT], limit: f32) -> u64 {
    #[cfg(target_arch = "x86_64")]
    if let Some(found) = avx2::at_most_if_detected(values, limit) {
        return found;
    }
    plain::at_most(values, limit)
}

/// For each second relay, and each destination: what a path costs at least through the cheapest first relay whose reach
/// may be within the limits, or through any with the penalty. Returns the least for each destination.
#[inline]
pub(crate) fn within_reach(reach: Reach<'_>, bounds: &mut [Floats]) -> Floats {
    #[cfg(target_arch = "x86_64")]
    if let Some(least) = avx2::within_reach_if_detected(reach, bounds) {
        return least;
    }
    plain::within_reach(reach, bounds)
}

/// The least of all sums of two rows whose column is not taken; the first of these. None is infinite.
#[inline]
pub(crate) fn cheapest_of_all(
    rows: [&[Line]; 2],
    bound: Option<&Bound<'_>>,
    taken: &[u16],
) -> Entry {
    #[cfg(target_arch = "x86_64")]
    if let Some(found) = avx2::cheapest_of_all_if_detected(rows, bound, taken) {
        return found;
    }
    plain::cheapest_of_all(rows, bound, taken)
}

/// The direct path, or by the first single relay of the list that is free if that is cheaper.
#[inline(always)]
pub(crate) fn short(free: &Free, singles: &SingleLists) -> Short {
    #[cfg(target_arch = "x86_64")]
    if let Some(found) = avx2_lanes::short_if_detected(free, singles) {
        return found;
    }
    plain::short(free, singles)
}

/// Puts the relays of ways in place, where there is one. Returns the destinations whose path is not sure: a final way's
/// first relay may not be free, and what is in no list may be better.
#[inline(always)]
pub(crate) fn settle(
    free: &Free,
    costs: &Floats,
    rests: &Floats,
    ways: &Bits,
    relays: &mut Bits,
) -> u32 {
    #[cfg(target_arch = "x86_64")]
    if let Some(unsure) = avx2_lanes::settle_if_detected(free, costs, rests, ways, relays) {
        return unsure;
    }
    plain::settle(free, costs, rests, ways, relays)
}

#[cfg(test)]
mod tests;
