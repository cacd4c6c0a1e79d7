//! The loop that costs time: of the sums of two rows, the least few and where they stand.
//!
//! Here in plain Rust, in `avx2` for CPUs that have it. Both give the same bits. Pure.

use crate::UNREACHABLE;
use crate::rows::{Group, Row};

#[cfg(target_arch = "x86_64")]
mod avx2;

/// Floats in a vector.
pub(crate) const LANES: usize = 8;

/// Columns of rows are padded to a multiple of this: a square of vectors.
pub(crate) const BLOCK: usize = LANES * LANES;

/// So many rows are taken together.
pub(crate) const GROUP: usize = LANES;

/// How many are found of each row.
pub(crate) const KEPT: usize = 4;

/// A column and its sum in one number, in the order of sums and then of columns.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Entry(u64);

/// The least entries, the least first; [`Entry::NONE`] where there are no more.
pub(crate) type Least = [Entry; KEPT];

/// A second sum and a limit for each row of a group: where it is above, the first one is `penalty` more.
#[derive(Clone, Copy)]
pub(crate) struct Limited<'a> {
    pub(crate) base: Row<'a>,
    pub(crate) group: Group<'a>,
    pub(crate) limits: [f32; GROUP],
    pub(crate) penalty: f32,
}

/// How many lists of first relays there are to each second one, where there is a cap.
pub(crate) const LEVELS: usize = 7;

/// Rows by second relay: for each level the RTT that it reaches, and the cost of the cheapest first relay within it.
/// The last level has no limit.
pub(crate) struct Reaches<'a> {
    pub(crate) limits: [&'a [f32]; LEVELS],
    pub(crate) costs: [&'a [f32]; LEVELS],
    pub(crate) nearest: &'a [f32],
}

/// Room to work in.
#[derive(Default)]
pub(crate) struct Scratch {
    minima: Vec<[f32; LANES]>,
}

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

    #[inline(always)]
    pub(crate) fn column(self) -> usize {
        self.0 as u32 as usize
    }
}

/// For each row of the group the least sums with the base, none of them infinite.
#[inline]
pub(crate) fn least(
    base: Row<'_>,
    group: Group<'_>,
    limited: Option<&Limited<'_>>,
    scratch: &mut Scratch,
) -> [Least; GROUP] {
    #[cfg(target_arch = "x86_64")]
    if let Some(found) = avx2::least_if_detected(base, group, limited, scratch) {
        return found;
    }
    plain_least(base, group, limited)
}

fn plain_least(base: Row<'_>, group: Group<'_>, limited: Option<&Limited<'_>>) -> [Least; GROUP] {
    let mut found = [[Entry::NONE; KEPT]; GROUP];
    for (number, found) in found.iter_mut().enumerate() {
        let row = &group.straight[number * group.stride..];
        for (column, (base, cost)) in base.straight.iter().zip(row).enumerate() {
            let over = limited.filter(|limited| {
                let at = number * group.stride + column;
                let second = limited.base.straight[column] + limited.group.straight[at];
                second > limited.limits[number]
            });
            let sum = base + cost + over.map_or(0.0, |limited| limited.penalty);
            if sum <= found[KEPT - 1].sum_or_limit() {
                insert(found, Entry::new(sum, column));
            }
        }
    }
    found
}

impl Entry {
    #[inline(always)]
    fn sum_or_limit(self) -> f32 {
        if self == Self::NONE {
            UNREACHABLE
        } else {
            self.sum()
        }
    }
}

/// What a path through each second relay costs at least: see `Firsts::bounds`.
#[inline]
pub(crate) fn within_reach(
    reaches: &Reaches<'_>,
    last: &[f32],
    rest: &[f32],
    limit: f32,
    penalty: f32,
    bounds: &mut [f32],
) {
    #[cfg(target_arch = "x86_64")]
    if avx2::within_reach_if_detected(reaches, last, rest, limit, penalty, bounds) {
        return;
    }
    plain_within_reach(reaches, last, rest, limit, penalty, bounds);
}

#[inline(always)]
fn plain_within_reach(
    reaches: &Reaches<'_>,
    last: &[f32],
    rest: &[f32],
    limit: f32,
    penalty: f32,
    bounds: &mut [f32],
) {
    let limits = reaches.limits.map(|row| row.as_chunks::<LANES>().0);
    let costs = reaches.costs.map(|row| row.as_chunks::<LANES>().0);
    let nearest = reaches.nearest.as_chunks::<LANES>().0;
    let (last, rest) = (last.as_chunks::<LANES>().0, rest.as_chunks::<LANES>().0);
    for (at, bounds) in bounds.as_chunks_mut::<LANES>().0.iter_mut().enumerate() {
        let any = costs[LEVELS - 1][at];
        let mut cost = any;
        for level in (0..LEVELS - 1).rev() {
            for lane in 0..LANES {
                let enough = limits[level][at][lane] + rest[at][lane] > limit;
                cost[lane] = if enough {
                    costs[level][at][lane]
                } else {
                    cost[lane]
                };
            }
        }
        for lane in 0..LANES {
            let never = nearest[at][lane] + rest[at][lane] > limit;
            let cost = if never { f32::INFINITY } else { cost[lane] };
            let (within, over) = (
                cost + last[at][lane],
                (any[lane] + last[at][lane]) + penalty,
            );
            bounds[lane] = if over < within { over } else { within };
        }
    }
}

#[inline(always)]
fn insert(least: &mut Least, mut entry: Entry) {
    for place in least {
        let (lower, higher) = (entry.min(*place), entry.max(*place));
        *place = lower;
        entry = higher;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::rows::Rows;

    /// Small whole numbers, so that there are ties; now and then infinite.
    fn cost() -> impl Strategy<Value = f32> {
        prop_oneof![8 => (0_u8..9).prop_map(f32::from), 1 => 0.0_f32..50.0, 1 => Just(f32::INFINITY)]
    }

    fn matrix(columns: usize) -> impl Strategy<Value = Vec<Vec<f32>>> {
        prop::collection::vec(prop::collection::vec(cost(), columns), GROUP + 1)
    }

    /// A base, and a group of rows.
    fn laid_out(matrix: &[Vec<f32>]) -> (Rows, Rows) {
        let columns = matrix[0].len();
        let (mut base, mut group) = (Rows::new(1, columns), Rows::new(GROUP, columns));
        base.set_row(0, matrix[GROUP].iter().copied());
        for (row, costs) in matrix[..GROUP].iter().enumerate() {
            group.set_row(row, costs.iter().copied());
        }
        (base, group)
    }

    fn matrices() -> impl Strategy<Value = (Vec<Vec<f32>>, Vec<Vec<f32>>)> {
        // More than 512 columns are looked at in two goes.
        let columns = prop_oneof![3 => 1_usize..150, 1 => 500_usize..600];
        columns.prop_flat_map(|columns| (matrix(columns), matrix(columns)))
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn what_this_cpu_finds_is_what_plain_rust_finds((costs, rtts) in matrices(), capped: bool) {
            let ((base, group), (rtt_base, rtt_group)) = (laid_out(&costs), laid_out(&rtts));
            let limited = Limited {
                base: rtt_base.row(0),
                group: rtt_group.group(0),
                limits: std::array::from_fn(|row| row as f32),
                penalty: 5.0,
            };
            let limited = capped.then_some(&limited);
            let mut scratch = Scratch::default();
            let here = least(base.row(0), group.group(0), limited, &mut scratch);
            prop_assert_eq!(here, plain_least(base.row(0), group.group(0), limited));
        }

        #[test]
        fn the_least_are_the_first_in_order((costs, _) in matrices()) {
            let (base, group) = laid_out(&costs);
            let found = least(base.row(0), group.group(0), None, &mut Scratch::default());
            for (row, found) in found.iter().enumerate() {
                let sums = costs[GROUP].iter().zip(&costs[row]).map(|(base, cost)| base + cost);
                let sums = sums.enumerate().filter(|(_, sum)| sum.is_finite());
                let mut sums: Vec<(f32, usize)> = sums.map(|(column, sum)| (sum, column)).collect();
                sums.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
                sums.truncate(KEPT);
                let found: Vec<_> = found.iter().filter_map(|entry| entry.some()).collect();
                prop_assert_eq!(found.iter().map(|e| (e.sum(), e.column())).collect::<Vec<_>>(), sums);
            }
        }

        #[test]
        fn bounds_by_reach_are_those_of_plain_rust((costs, rtts) in matrices(), limit in 0.0_f32..20.0) {
            let ((last, levels), (rest, reach)) = (laid_out(&costs), laid_out(&rtts));
            let reaches = Reaches {
                limits: std::array::from_fn(|level| reach.row(level).straight),
                costs: std::array::from_fn(|level| levels.row(level).straight),
                nearest: reach.row(LEVELS).straight,
            };
            let width = last.width();
            let (mut here, mut plain) = (vec![0.0; width], vec![0.0; width]);
            let (last, rest) = (last.row(0).straight, rest.row(0).straight);
            within_reach(&reaches, last, rest, limit, 5.0, &mut here);
            plain_within_reach(&reaches, last, rest, limit, 5.0, &mut plain);
            prop_assert_eq!(here, plain);
        }
    }
}
