//! The loops that cost time: which relays can be among the cheapest of a pair, and which path through a second relay is
//! the cheapest that uses nothing taken.
//!
//! Here in plain Rust, in `avx2` for CPUs that have it. Both give the same bits. Pure.

use crate::firsts::{LEVELS, Reaches};
use crate::rows::{LINE, Line};
use crate::{SECONDS_LIMIT, UNREACHABLE};

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx2_lanes;
mod lanes;

pub(crate) use lanes::{Bits, Floats, Free, STRAIGHT, SingleLists, settle, short};

/// So many destinations are taken together by the sieve.
pub(crate) const TILE: usize = 16;

/// How many single relays are found for each pair, and first ones for each second one.
pub(crate) const KEPT: usize = 4;

/// A run: as many relays as there are in one line.
pub(crate) const RUN: usize = LINE;

/// What is compiled for the CPU that it runs on: all of it that is inlined.
pub(crate) trait Work {
    fn run(self);
}

#[inline]
pub(crate) fn compiled<W: Work>(work: W) {
    #[cfg(target_arch = "x86_64")]
    if avx2::is_detected() {
        return avx2::compiled(work);
    }
    work.run();
}

/// A column and its sum in one number, in the order of sums and then of columns.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Entry(u64);

/// The least entries, the least first; [`Entry::NONE`] where there are no more.
pub(crate) type Least = [Entry; KEPT];

impl Entry {
    pub(crate) const NONE: Self = Self(u64::MAX);

    #[inline(always)]
    pub(crate) fn new(sum: f32, column: usize) -> Self {
        Self(u64::from(sum.to_bits()) << 32 | column as u64)
    }

    pub(crate) fn some(self) -> Option<Self> {
        Some(self).filter(|&entry| entry != Self::NONE)
    }

    #[inline(always)]
    pub(crate) fn sum(self) -> f32 {
        f32::from_bits((self.0 >> 32) as u32)
    }

    /// The column and the bits of the sum; all ones where there is none.
    #[inline(always)]
    pub(crate) fn halves(self) -> [u32; 2] {
        [self.0 as u32, (self.0 >> 32) as u32]
    }

    #[inline(always)]
    pub(crate) fn column(self) -> usize {
        self.0 as u32 as usize
    }
}

/// 16-bit lower bounds for the destinations of a tile, at one relay.
#[derive(Clone, Copy, Debug, PartialEq)]
#[repr(align(32))]
pub(crate) struct Lows(pub(crate) [u16; TILE]);

/// What is summed to sieve: each relay's lower bound from the source, in both halves of a number, and to the
/// destinations of a tile.
#[derive(Clone, Copy)]
pub(crate) struct Sums<'a> {
    pub(crate) base: &'a [u32],
    pub(crate) tile: &'a [Lows],
}

/// Second sums: a relay is out where they are surely above the limit. All are 15 bits.
#[derive(Clone, Copy)]
pub(crate) struct Limited<'a> {
    pub(crate) sums: Sums<'a>,
    pub(crate) limits: [i16; TILE],
}

/// The runs with the least sums, the least first, for each destination of a tile: the sum in the upper half, the run's
/// number in the lower one; `u32::MAX` where there are no more runs.
pub(crate) type Runs = [[u32; TILE]; KEPT + 1];

/// Finds the runs with the least sums; as a sum, a relay that is out counts as the greatest.
#[inline]
pub(crate) fn sieve(sums: Sums<'_>, limited: Option<&Limited<'_>>) -> Runs {
    #[cfg(target_arch = "x86_64")]
    if let Some(runs) = avx2::sieve_if_detected(sums, limited) {
        return runs;
    }
    plain_sieve(sums, limited)
}

fn plain_sieve(sums: Sums<'_>, limited: Option<&Limited<'_>>) -> Runs {
    let mut found = [[u32::MAX; TILE]; KEPT + 1];
    for (run, (base, tile)) in sums.base.chunks(RUN).zip(sums.tile.chunks(RUN)).enumerate() {
        for lane in 0..TILE {
            let mut least = u16::MAX;
            for (relay, (base, lows)) in (run * RUN..).zip(base.iter().zip(tile)) {
                let out = limited.is_some_and(|limited| {
                    let (a, b) = (limited.sums.base[relay], limited.sums.tile[relay].0[lane]);
                    (a as u16 as i16).saturating_add(b as i16) > limited.limits[lane]
                });
                if !out {
                    least = least.min((*base as u16).saturating_add(lows.0[lane]));
                }
            }
            let mut key = u32::from(least) << 16 | run as u32;
            for found in &mut found {
                let place = &mut found[lane];
                (*place, key) = (key.min(*place), key.max(*place));
            }
        }
    }
    found
}

/// What a tile's sums are, beyond their lower bounds: the source's row and those of the destinations; where there is a
/// limit, second rows, and the penalty for a second sum that is above.
#[derive(Clone, Copy)]
pub(crate) struct Exact<'a> {
    pub(crate) base: &'a [Line],
    pub(crate) rows: [&'a [Line]; TILE],
    pub(crate) limited: Option<ExactLimited<'a>>,
}

#[derive(Clone, Copy)]
pub(crate) struct ExactLimited<'a> {
    pub(crate) base: &'a [Line],
    pub(crate) rows: [&'a [Line]; TILE],
    pub(crate) limits: [f32; TILE],
    pub(crate) penalty: f32,
}

/// Of the first [`KEPT`] runs of each destination the least sums, if they are below its `rest`.
#[inline]
pub(crate) fn least_in(exact: &Exact<'_>, runs: &Runs, rest: &[f32; TILE]) -> [Least; TILE] {
    #[cfg(target_arch = "x86_64")]
    if let Some(found) = avx2::least_in_if_detected(exact, runs, rest) {
        return found;
    }
    plain_least_in(exact, runs, rest)
}

fn plain_least_in(exact: &Exact<'_>, runs: &Runs, rest: &[f32; TILE]) -> [Least; TILE] {
    let mut found = [[Entry::NONE; KEPT]; TILE];
    for (lane, found) in found.iter_mut().enumerate() {
        for run in runs[..KEPT].iter().filter_map(|keys| number_of(keys[lane])) {
            for column in 0..RUN {
                let sum = exact.sum(lane, run, column);
                if sum < rest[lane] {
                    insert(found, Entry::new(sum, run * RUN + column));
                }
            }
        }
    }
    found
}

impl Exact<'_> {
    fn sum(&self, lane: usize, run: usize, column: usize) -> f32 {
        let sum = self.base[run][column] + self.rows[lane][run][column];
        let over = self.limited.filter(|limited| {
            limited.base[run][column] + limited.rows[lane][run][column] > limited.limits[lane]
        });
        sum + over.map_or(0.0, |limited| limited.penalty)
    }
}

/// The number of the run that a key stands for.
#[inline(always)]
pub(crate) fn number_of(key: u32) -> Option<usize> {
    (key != u32::MAX).then_some((key & 0xFFFF) as usize)
}

#[inline(always)]
pub(crate) fn insert(least: &mut Least, mut entry: Entry) {
    for place in least {
        let (lower, higher) = (entry.min(*place), entry.max(*place));
        *place = lower;
        entry = higher;
    }
}

/// So many destinations are taken together when paths through second relays are chosen.
pub(crate) const LANES: usize = 8;

/// What can be known of a source's ways: one bit each.
pub(crate) const WORDS: usize = 8;

/// A source's ways to second relays and through them: what each costs, and the place of its second relay.
#[derive(Clone, Copy)]
pub(crate) struct Ways<'a> {
    pub(crate) costs: &'a [f32],
    pub(crate) seconds: &'a [u32],
}

/// For some destinations the ways that are blocked; a word's first way is in its highest bit.
pub(crate) type Blocked = [[u32; LANES]; WORDS];

/// Rows as columns.
#[inline(always)]
pub(crate) fn turned(rows: &[Bits; LANES]) -> [Bits; LANES] {
    const { assert!(LANES == WORDS && LANES == 2 * KEPT) };
    #[cfg(target_arch = "x86_64")]
    if let Some(turned) = avx2_lanes::turned_if_detected(rows) {
        return turned;
    }
    plain_turned(rows)
}

fn plain_turned(rows: &[Bits; LANES]) -> [Bits; LANES] {
    std::array::from_fn(|row| std::array::from_fn(|column| rows[column][row]))
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
    plain_cheapest(ways, last, blocked, best)
}

/// No way.
pub(crate) const NO_WAY: u32 = u32::MAX;

fn plain_cheapest(
    ways: Ways<'_>,
    last: &[[f32; LANES]],
    blocked: Option<&Blocked>,
    best: &mut [f32; LANES],
) -> [u32; LANES] {
    let mut found = [NO_WAY; LANES];
    for (way, (cost, second)) in ways.costs.iter().zip(ways.seconds).enumerate() {
        for lane in 0..LANES {
            let sum = cost + last[*second as usize][lane];
            let is_blocked = |blocked: &Blocked| blocked[way / 32][lane] << (way % 32) >> 31 != 0;
            let free = !blocked.is_some_and(is_blocked);
            if free && sum < best[lane] {
                (best[lane], found[lane]) = (sum, way as u32);
            }
        }
    }
    found
}

/// The first of the least, and which it is.
#[inline]
pub(crate) fn first_least(values: &[f32; SECONDS_LIMIT]) -> (usize, f32) {
    #[cfg(target_arch = "x86_64")]
    if let Some(found) = avx2::first_least_if_detected(values) {
        return found;
    }
    plain_first_least(values)
}

#[inline(always)]
fn plain_first_least(values: &[f32; SECONDS_LIMIT]) -> (usize, f32) {
    let mut lanes = [f32::INFINITY; LANES];
    for values in values.as_chunks::<LANES>().0 {
        for (least, &value) in lanes.iter_mut().zip(values) {
            *least = if value < *least { value } else { *least };
        }
    }
    let lower = |a: f32, b: f32| if b < a { b } else { a };
    let least = lanes.into_iter().fold(f32::INFINITY, lower);
    let first = at_most(values, least).trailing_zeros();
    (first as usize % SECONDS_LIMIT, least)
}

/// Which values are not above a limit, one bit each.
#[inline]
pub(crate) fn at_most(values: &[f32; SECONDS_LIMIT], limit: f32) -> u64 {
    #[cfg(target_arch = "x86_64")]
    if let Some(found) = avx2::at_most_if_detected(values, limit) {
        return found;
    }
    plain_at_most(values, limit)
}

fn plain_at_most(values: &[f32; SECONDS_LIMIT], limit: f32) -> u64 {
    let bits = values.iter().enumerate();
    bits.fold(0, |bits, (place, &value)| {
        bits | u64::from(value <= limit) << place
    })
}

/// By second relay how far first ones reach, and what the cost and the RTT from it on are to each of some destinations,
/// whose limits are of RTT.
#[derive(Clone, Copy)]
pub(crate) struct Reach<'a> {
    pub(crate) reaches: &'a [Reaches],
    pub(crate) last: &'a [Floats],
    pub(crate) rest: &'a [Floats],
    pub(crate) limits: &'a Floats,
    pub(crate) penalty: f32,
}

/// For each second relay, and each destination: what a path costs at least through the cheapest first relay whose reach
/// may be within the limits, or through any with the penalty. Returns the least for each destination.
#[inline]
pub(crate) fn within_reach(reach: Reach<'_>, bounds: &mut [Floats]) -> Floats {
    #[cfg(target_arch = "x86_64")]
    if let Some(least) = avx2::within_reach_if_detected(reach, bounds) {
        return least;
    }
    plain_within_reach(reach, bounds)
}

fn plain_within_reach(reach: Reach<'_>, bounds: &mut [Floats]) -> Floats {
    let (limits, penalty) = (reach.limits, reach.penalty);
    let mut least = [f32::INFINITY; LANES];
    let places = bounds.iter_mut().zip(reach.last.iter().zip(reach.rest));
    for (reaches, (bounds, (last, rest))) in reach.reaches.iter().zip(places) {
        let any = reaches.costs[LEVELS - 1];
        let mut cost = [any; LANES];
        for level in (0..LEVELS - 1).rev() {
            for lane in 0..LANES {
                let enough = reaches.limits[level] + rest[lane] > limits[lane];
                cost[lane] = if enough {
                    reaches.costs[level]
                } else {
                    cost[lane]
                };
            }
        }
        for lane in 0..LANES {
            let never = reaches.nearest + rest[lane] > limits[lane];
            let cost = if never { f32::INFINITY } else { cost[lane] };
            let (within, over) = (cost + last[lane], (any + last[lane]) + penalty);
            bounds[lane] = if over < within { over } else { within };
            least[lane] = least[lane].min(bounds[lane]);
        }
    }
    least
}

/// Second rows and a limit for their sums with `rest`: where one is above, the first sum is `penalty` more.
#[derive(Clone, Copy)]
pub(crate) struct Bound<'a> {
    pub(crate) rows: [&'a [Line]; 2],
    pub(crate) rest: f32,
    pub(crate) limit: f32,
    pub(crate) penalty: f32,
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
    plain_cheapest_of_all(rows, bound, taken)
}

fn plain_cheapest_of_all(rows: [&[Line]; 2], bound: Option<&Bound<'_>>, taken: &[u16]) -> Entry {
    let sum =
        |[base, to]: [&[Line]; 2], at: usize| base[at / RUN][at % RUN] + to[at / RUN][at % RUN];
    let columns = rows[0].len().min(rows[1].len()) * RUN;
    let free = (0..columns).filter(|&at| !taken.contains(&(at as u16)));
    free.map(|at| {
        let over = bound.filter(|bound| sum(bound.rows, at) + bound.rest > bound.limit);
        Entry::new(sum(rows, at) + over.map_or(0.0, |bound| bound.penalty), at)
    })
    .filter(|entry| entry.sum() < UNREACHABLE)
    .min()
    .unwrap_or(Entry::NONE)
}

#[cfg(test)]
mod tests;
