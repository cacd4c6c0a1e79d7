//! Two matrices whose sums are asked for, and the 16-bit lower bounds that they are sieved by. Pure.
//!
//! A bound counts *units* above the least of its row, so that nodes that are far from everyone lose nothing. It is the
//! greatest number that does not exceed the cost, but for rounding; what is beyond the last number counts as the last.
//! [`Sieved::least`] takes both into account: it is exact wherever it says so.

use crate::kernel::{
    Entry, Exact, ExactLimited, KEPT, Least, Limited, Lows, RUN, Sums, TILE, insert, least_in,
    number_of, sieve,
};
use crate::parallel::in_parallel;
use crate::rows::{Line, Rows, usable};

/// More than the rounding of any sum of three or four `f32`, as a share of it.
const ROUNDING: f32 = 1e-6;

/// So many units is the middle excess over the least of a row. Sums of up to eight times as much stay apart.
const MIDDLE: f32 = 8192.0;

/// How many cells are looked at to find a unit.
const ASKED: usize = 64;

/// What a unit is, and the greatest bound.
#[derive(Clone, Copy)]
pub(crate) struct Scale {
    unit: f32,
    per_unit: f32,
    most: f32,
}

/// Rows of sources, by relay.
pub(crate) struct Bases {
    pub(crate) exact: Rows,
    pub(crate) scale: Scale,
    least: Vec<f32>,
    /// Each bound twice: in both halves of a number.
    lows: Vec<u32>,
    padded: usize,
}

/// Rows of destinations, by relay.
pub(crate) struct Targets {
    pub(crate) exact: Rows,
    least: Vec<f32>,
    tiles: Vec<Lows>,
    padded: usize,
}

/// The cheapest relays of a pair, and what all others cost at least.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Shortlist {
    pub(crate) entries: Least,
    pub(crate) rest: f32,
}

/// Sums of sources and destinations; of costs, and of RTTs where there is a cap.
#[derive(Clone, Copy)]
pub(crate) struct Pairing<'a> {
    pub(crate) bases: &'a Bases,
    pub(crate) targets: &'a Targets,
}

/// A second pairing: where its sum is above the limit of a destination, the first one's is `penalty` more.
#[derive(Clone, Copy)]
pub(crate) struct Within<'a> {
    pub(crate) pairing: Pairing<'a>,
    pub(crate) limits: [f32; TILE],
    pub(crate) penalty: f32,
}

impl Shortlist {
    pub(crate) const NONE: Self = Self {
        entries: [Entry::NONE; KEPT],
        rest: f32::INFINITY,
    };

    /// What those cost at least that are not in the list.
    pub(crate) fn beyond(&self) -> f32 {
        match self.entries[KEPT - 1].some() {
            Some(last) => last.sum().min(self.rest),
            None => self.rest,
        }
    }

    /// Takes over what a relay of the pair costs from now on.
    pub(crate) fn change(&mut self, column: usize, sum: f32) {
        let beyond = self.beyond();
        if let Some(place) = self
            .entries
            .iter()
            .position(|entry| entry.column() == column && *entry != Entry::NONE)
        {
            self.entries[place..].rotate_left(1);
            self.entries[KEPT - 1] = Entry::NONE;
            self.rest = beyond;
        }
        if sum < beyond {
            insert(&mut self.entries, Entry::new(sum, column));
        } else {
            self.rest = self.rest.min(beyond);
        }
    }

    /// Columns and sums in turns.
    #[inline(always)]
    pub(crate) fn halves(&self) -> [u32; 2 * KEPT] {
        let mut halves = [0; 2 * KEPT];
        for (halves, entry) in halves.as_chunks_mut().0.iter_mut().zip(&self.entries) {
            *halves = entry.halves();
        }
        halves
    }

    /// Whether there is more than one relay, or no more to be found.
    pub(crate) fn is_enough(&self) -> bool {
        self.entries[1] != Entry::NONE || self.rest == f32::INFINITY
    }

    /// What the cheapest costs at least.
    pub(crate) fn least(&self) -> f32 {
        self.entries[0]
            .some()
            .map_or(self.rest, |entry| entry.sum())
    }
}

impl Scale {
    /// For costs: by how much usual ones are above the least of their row.
    pub(crate) fn of_costs(rows: &Rows, number: usize, columns: usize) -> Self {
        let mut excess: Vec<f32> = Vec::new();
        for row in (0..number).step_by(number.div_ceil(ASKED).max(1)) {
            let finite = || {
                let cells = rows.row(row).iter().flat_map(|line| line.iter().copied());
                cells.take(columns).filter(|cost| cost.is_finite())
            };
            let least = finite().fold(f32::INFINITY, f32::min);
            excess.extend(
                finite()
                    .step_by(columns.div_ceil(ASKED).max(1))
                    .map(|cost| cost - least),
            );
        }
        excess.sort_unstable_by(f32::total_cmp);
        let middle = excess.get(excess.len() / 2).copied().unwrap_or(0.0) / MIDDLE;
        let most = excess.last().copied().unwrap_or(0.0) / f32::from(i16::MAX);
        let unit = [middle, most]
            .into_iter()
            .find(|&unit| unit > f32::MIN_POSITIVE);
        Self::new(unit.unwrap_or(1.0), u16::MAX)
    }

    /// For RTTs: so that no limit is out of reach.
    pub(crate) fn of_limits(limits: &[f32]) -> Self {
        let asked = limits
            .iter()
            .step_by((limits.len() / (ASKED * ASKED)).max(1));
        let most = asked
            .copied()
            .filter(|limit| limit.is_finite())
            .fold(0.0, f32::max);
        let most = most / f32::from(i16::MAX - 1);
        Self::new(
            if most > f32::MIN_POSITIVE { most } else { 1.0 },
            i16::MAX as u16,
        )
    }

    fn new(unit: f32, most: u16) -> Self {
        Self {
            unit,
            per_unit: 1.0 / unit,
            most: f32::from(most),
        }
    }

    #[inline(always)]
    fn low(self, cost: f32, least: f32) -> u16 {
        // An infinite row has no least: its bound is the greatest as well.
        ((cost - least) * self.per_unit).min(self.most) as i32 as u16
    }
}

impl Bases {
    /// Takes the rows; all costs must be usable.
    pub(crate) fn new(
        exact: Rows,
        rows: usize,
        columns: usize,
        scale: Scale,
        threads: usize,
    ) -> Self {
        let padded = columns.next_multiple_of(RUN);
        let mut bases = Self {
            exact,
            scale,
            least: vec![0.0; rows],
            lows: vec![0; rows * padded],
            padded,
        };
        let places = bases
            .least
            .iter_mut()
            .zip(bases.lows.chunks_exact_mut(padded.max(1)));
        in_parallel(threads, places.enumerate(), |(row, (least, lows))| {
            *least = sink(bases.exact.row(row), scale, lows);
        });
        bases
    }

    pub(crate) fn set(&mut self, row: usize, column: usize, cost: f32) {
        self.exact.set(row, column, cost);
        let lows = &mut self.lows[row * self.padded..][..self.padded];
        self.least[row] = sink(self.exact.row(row), self.scale, lows);
    }

    fn lows(&self, row: usize) -> &[u32] {
        &self.lows[row * self.padded..][..self.padded]
    }
}

/// Fills in a row's bounds; returns its least.
fn sink(row: &[Line], scale: Scale, lows: &mut [u32]) -> f32 {
    let mut least = [f32::INFINITY; RUN];
    for line in row {
        for (least, &cost) in least.iter_mut().zip(line.iter()) {
            *least = if cost < *least { cost } else { *least };
        }
    }
    let least = least.into_iter().fold(f32::INFINITY, f32::min);
    for (lows, line) in lows.as_chunks_mut::<RUN>().0.iter_mut().zip(row) {
        for (low, &cost) in lows.iter_mut().zip(line.iter()) {
            *low = u32::from(scale.low(cost, least)) * 0x1_0001;
        }
    }
    least
}

impl Targets {
    /// From a matrix of all costs, by relay and destination.
    pub(crate) fn new(
        matrix: &[f32],
        relays: usize,
        number: usize,
        scale: Scale,
        threads: usize,
    ) -> Self {
        let padded = relays.next_multiple_of(RUN);
        let tiles = number.div_ceil(TILE);
        let mut targets = Self {
            exact: Rows::new(tiles * TILE, relays),
            least: vec![f32::INFINITY; tiles * TILE],
            tiles: vec![Lows([u16::MAX; TILE]); tiles * padded],
            padded,
        };
        let stride = targets.exact.stride();
        let places = targets.exact.rows_together(TILE);
        let places = places.zip(targets.least.chunks_exact_mut(TILE));
        let places = places.zip(targets.tiles.chunks_exact_mut(padded.max(1)));
        in_parallel(
            threads,
            places.enumerate(),
            |(tile, ((exact, least), lows))| {
                let from = tile * TILE;
                let lanes = (number - from).min(TILE);
                for (relay, costs) in matrix.chunks_exact(number.max(1)).enumerate() {
                    for (lane, &cost) in costs[from..from + lanes].iter().enumerate() {
                        let cost = usable(cost);
                        exact[lane * stride + relay / RUN][relay % RUN] = cost;
                        least[lane] = if cost < least[lane] {
                            cost
                        } else {
                            least[lane]
                        };
                    }
                }
                for (relay, lows) in lows[..relays].iter_mut().enumerate() {
                    let costs = &matrix[relay * number + from..][..lanes];
                    for ((low, &cost), &least) in lows.0.iter_mut().zip(costs).zip(&*least) {
                        *low = scale.low(usable(cost), least);
                    }
                }
            },
        );
        targets
    }

    pub(crate) fn set(&mut self, target: usize, column: usize, cost: f32, scale: Scale) {
        self.exact.set(target, column, cost);
        let row = self.exact.row(target);
        let costs = || row.iter().flat_map(|line| line.iter().copied());
        let least = costs().fold(f32::INFINITY, f32::min);
        let tile = &mut self.tiles[target / TILE * self.padded..][..self.padded];
        for (lows, cost) in tile.iter_mut().zip(costs()) {
            lows.0[target % TILE] = scale.low(cost, least);
        }
        self.least[target] = least;
    }

    fn tile(&self, tile: usize) -> &[Lows] {
        &self.tiles[tile * self.padded..][..self.padded]
    }
}

impl<'a> Pairing<'a> {
    fn sums(&self, source: usize, tile: usize) -> Sums<'a> {
        Sums {
            base: self.bases.lows(source),
            tile: self.targets.tile(tile),
        }
    }

    fn rows(&self, tile: usize) -> [&'a [Line]; TILE] {
        std::array::from_fn(|lane| self.targets.exact.row(tile * TILE + lane))
    }

    /// The sums of the least of both rows: nothing costs less.
    fn least_of_all(&self, source: usize, target: usize) -> f32 {
        self.bases.least[source] + self.targets.least[target]
    }

    /// What a sum with so many units costs at least.
    fn floor(&self, source: usize, target: usize, units: u16) -> f32 {
        let units = (f32::from(units) - 1.0).max(0.0);
        (self.least_of_all(source, target) + units * self.bases.scale.unit) * (1.0 - ROUNDING)
    }

    /// So many units are surely above the limit.
    fn units(&self, source: usize, target: usize, limit: f32) -> i16 {
        if !limit.is_finite() {
            return i16::MAX;
        }
        let least = self.least_of_all(source, target);
        let room = (limit - least) + (limit + least) * ROUNDING;
        ((room * self.bases.scale.per_unit).max(-2.0) as i16).saturating_add(1)
    }

    /// The least sum.
    pub(crate) fn nearest(&self, source: usize, target: usize) -> f32 {
        let (base, to) = (self.bases.exact.row(source), self.targets.exact.row(target));
        let mut least = [f32::INFINITY; RUN];
        for (base, to) in base.iter().zip(to) {
            for ((least, base), to) in least.iter_mut().zip(base.iter()).zip(to.iter()) {
                let sum = base + to;
                *least = if sum < *least { sum } else { *least };
            }
        }
        least.into_iter().fold(f32::INFINITY, f32::min)
    }

    /// The cheapest relays from a source to the destinations of a tile.
    pub(crate) fn least(
        &self,
        source: usize,
        tile: usize,
        within: Option<&Within<'_>>,
    ) -> [Shortlist; TILE] {
        let limited = within.map(|within| Limited {
            sums: within.pairing.sums(source, tile),
            limits: std::array::from_fn(|lane| {
                within
                    .pairing
                    .units(source, tile * TILE + lane, within.limits[lane])
            }),
        });
        let runs = sieve(self.sums(source, tile), limited.as_ref());
        let penalty = within.map_or(f32::INFINITY, |within| within.penalty);
        let rest = std::array::from_fn(|lane| {
            let target = tile * TILE + lane;
            if number_of(runs[KEPT][lane]).is_none() {
                return f32::INFINITY;
            }
            let rest = self.floor(source, target, (runs[KEPT][lane] >> 16) as u16);
            // What is out counts as the greatest sum, but may cost no more than the penalty.
            rest.min((self.floor(source, target, 0) + penalty) * (1.0 - ROUNDING))
        });
        let exact = Exact {
            base: self.bases.exact.row(source),
            rows: self.rows(tile),
            limited: within.map(|within| ExactLimited {
                base: within.pairing.bases.exact.row(source),
                rows: within.pairing.rows(tile),
                limits: within.limits,
                penalty: within.penalty,
            }),
        };
        let found = least_in(&exact, &runs, &rest);
        std::array::from_fn(|lane| Shortlist {
            entries: found[lane],
            rest: rest[lane],
        })
    }
}
