//! The kernels in plain Rust, for every CPU: what the others are held against. Pure.

use super::operands::*;
use crate::rows::Line;
use crate::{SECONDS_LIMIT, UNREACHABLE};

pub(super) fn sieve(sums: Sums<'_>, limited: Option<&Limited<'_>>) -> Runs {
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

pub(super) fn least_in(exact: &Exact<'_>, runs: &Runs, rest: &[f32; TILE]) -> [Least; TILE] {
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

pub(super) fn turned(rows: &[Bits; LANES]) -> [Bits; LANES] {
    std::array::from_fn(|row| std::array::from_fn(|column| rows[column][row]))
}

pub(super) fn cheapest(
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

#[inline(always)]
pub(super) fn first_least(values: &[f32; SECONDS_LIMIT]) -> (usize, f32) {
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

pub(super) fn at_most(values: &[f32; SECONDS_LIMIT], limit: f32) -> u64 {
    let bits = values.iter().enumerate();
    bits.fold(0, |bits, (place, &value)| {
        bits | u64::from(value <= limit) << place
    })
}

pub(super) fn within_reach(reach: Reach<'_>, bounds: &mut [Floats]) -> Floats {
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

pub(super) fn cheapest_of_all(
    rows: [&[Line]; 2],
    bound: Option<&Bound<'_>>,
    taken: &[u16],
) -> Entry {
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

pub(super) fn short(free: &Free, singles: &SingleLists) -> Short {
    let mut found = Short {
        costs: [UNREACHABLE; LANES],
        relays: [STRAIGHT; LANES],
        rests: [f32::INFINITY; LANES],
    };
    for lane in 0..LANES {
        let entries = singles.entries.as_chunks().0.iter();
        let single = entries
            .map(|[columns, sums]: &[Bits; 2]| (columns[lane], f32::from_bits(sums[lane])))
            .find(|&(column, _)| column != u32::MAX && !free.has(lane, column));
        if free.direct[lane] < UNREACHABLE {
            found.costs[lane] = free.direct[lane];
        }
        match single {
            Some((column, sum)) if sum < found.costs[lane] => {
                found.costs[lane] = sum;
                found.relays[lane] = NOBODY << 16 | column;
            }
            Some(_) => {}
            None => found.rests[lane] = singles.beyond[lane],
        }
    }
    found
}

pub(super) fn settle(
    free: &Free,
    costs: &Floats,
    rests: &Floats,
    ways: &Bits,
    relays: &mut Bits,
) -> u32 {
    let mut unsure = 0;
    for lane in 0..LANES {
        let is_way = ways[lane] != NO_WAY;
        if is_way {
            relays[lane] = ways[lane];
        }
        let first = relays[lane] & NOBODY;
        let is_out = is_way && (first == NOBODY || free.has(lane, first));
        unsure |= u32::from(is_out || rests[lane] <= costs[lane]) << lane;
    }
    unsure
}
