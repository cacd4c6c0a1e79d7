//! The kernels of this CPU against plain Rust, bit for bit.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests fail by panicking"
)]

use proptest::prelude::*;

use super::*;
use crate::rows::{Rows, fill};

/// Small whole numbers, so that there are ties; now and then infinite.
fn cost() -> impl Strategy<Value = f32> {
    prop_oneof![8 => (0_u8..9).prop_map(f32::from), 2 => 0.0_f32..50.0, 1 => Just(f32::INFINITY)]
}

fn low() -> impl Strategy<Value = u16> {
    prop_oneof![6 => 0_u16..40, 2 => 0_u16..0x7FFF, 1 => Just(0x7FFF)]
}

fn lows() -> impl Strategy<Value = (Vec<u32>, Vec<Lows>)> {
    (1_usize..9).prop_flat_map(|runs| {
        let base =
            prop::collection::vec(low().prop_map(|low| u32::from(low) * 0x1_0001), runs * RUN);
        let tile = prop::collection::vec(prop::array::uniform16(low()).prop_map(Lows), runs * RUN);
        (base, tile)
    })
}

fn rows(number: usize, columns: usize) -> impl Strategy<Value = Rows> {
    prop::collection::vec(prop::collection::vec(cost(), columns), number).prop_map(move |costs| {
        let mut rows = Rows::new(costs.len(), columns);
        for (row, costs) in rows.rows_together(1).zip(costs) {
            fill(row, costs);
        }
        rows
    })
}

fn lanes() -> impl Strategy<Value = [f32; LANES]> {
    prop::array::uniform8(cost())
}

fn values() -> impl Strategy<Value = [f32; SECONDS_LIMIT]> {
    prop::collection::vec(cost(), SECONDS_LIMIT).prop_map(|values| values.try_into().unwrap())
}

/// Lists of single relays, in order, of columns below 9, and what is not to be used.
fn lists() -> impl Strategy<Value = (SingleLists, Free)> {
    let list = (prop::collection::vec((cost(), 0_u32..9), 0..=KEPT), cost());
    let lists = prop::collection::vec(list, LANES);
    let taken = prop::collection::vec(prop_oneof![0_u32..9, Just(0xFFFF)], TAKEN * LANES);
    (lists, lanes(), taken).prop_map(|(lists, direct, taken)| {
        let mut singles = SingleLists {
            entries: [[u32::MAX; LANES]; 2 * KEPT],
            beyond: [0.0; LANES],
        };
        for (lane, (mut list, beyond)) in lists.into_iter().enumerate() {
            list.sort_by(|a, b| a.0.total_cmp(&b.0));
            singles.beyond[lane] = beyond;
            for (place, (sum, column)) in list.into_iter().enumerate() {
                singles.entries[2 * place][lane] = column;
                singles.entries[2 * place + 1][lane] = sum.to_bits();
            }
        }
        let mut free = Free::new(direct, [0xFFFF; LANES]);
        free.taken.as_flattened_mut().copy_from_slice(&taken);
        (singles, free)
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_same_runs_are_left((base, tile) in lows(), limits in prop::array::uniform16(0_i16..100), limited: bool) {
        let sums = Sums { base: &base, tile: &tile };
        let limited = limited.then_some(Limited { sums, limits });
        prop_assert_eq!(sieve(sums, limited.as_ref()), plain::sieve(sums, limited.as_ref()));
    }

    #[test]
    fn the_same_sums_of_runs_are_least(
        costs in rows(TILE + 1, 100),
        rtts in rows(TILE + 1, 100),
        // Three of the runs that there are, or fewer.
        chosen in prop::collection::vec(prop::sample::subsequence((0_u32..7).collect::<Vec<_>>(), 0..=KEPT), TILE),
        rest in prop::array::uniform16(0.0_f32..60.0),
        limited: bool,
    ) {
        let mut runs = [[u32::MAX; TILE]; KEPT + 1];
        for (lane, chosen) in chosen.iter().enumerate() {
            for (place, run) in chosen.iter().enumerate() {
                runs[place][lane] = *run;
            }
        }
        let exact = Exact {
            base: costs.row(TILE),
            rows: std::array::from_fn(|lane| costs.row(lane)),
            limited: limited.then(|| ExactLimited {
                base: rtts.row(TILE),
                rows: std::array::from_fn(|lane| rtts.row(lane)),
                limits: std::array::from_fn(|lane| lane as f32),
                penalty: 5.0,
            }),
        };
        prop_assert_eq!(least_in(&exact, &runs, &rest), plain::least_in(&exact, &runs, &rest));
    }

    #[test]
    fn the_same_ways_are_cheapest(
        ways in prop::collection::vec((cost(), 0_u32..9), 0..WORDS * 32),
        last in prop::collection::vec(lanes(), 9),
        blocked in prop::array::uniform8(prop::array::uniform8(any::<u32>())),
        known in lanes(),
        are_blocked: bool,
    ) {
        let (costs, seconds): (Vec<f32>, Vec<u32>) = ways.into_iter().unzip();
        let ways = Ways { costs: &costs, seconds: &seconds };
        let blocked = are_blocked.then_some(&blocked);
        let (mut here, mut plain) = (known, known);
        prop_assert_eq!(
            cheapest(ways, &last, blocked, &mut here),
            plain::cheapest(ways, &last, blocked, &mut plain)
        );
        prop_assert_eq!(here, plain);
    }

    #[test]
    fn the_same_short_paths_are_cheapest((singles, free) in lists()) {
        prop_assert_eq!(short(&free, &singles), plain::short(&free, &singles));
    }

    #[test]
    fn the_same_paths_are_not_sure(
        (_, free) in lists(),
        costs in lanes(),
        rests in lanes(),
        ways in prop::array::uniform8((0_u32..10, 0_u32..10, 0_u8..4)),
    ) {
        let nobody = |relay: u32| if relay == 9 { 0xFFFF } else { relay };
        let way = |(first, second, kind)| if kind == 0 { NO_WAY } else { nobody(second) << 16 | nobody(first) };
        let ways = ways.map(way);
        let (mut here, mut plain) = ([STRAIGHT; LANES], [STRAIGHT; LANES]);
        prop_assert_eq!(
            settle(&free, &costs, &rests, &ways, &mut here),
            plain::settle(&free, &costs, &rests, &ways, &mut plain)
        );
        prop_assert_eq!(here, plain);
    }

    #[test]
    fn rows_turn_into_columns(rows in prop::array::uniform8(prop::array::uniform8(any::<u32>()))) {
        prop_assert_eq!(turned(&rows), plain::turned(&rows));
        prop_assert_eq!(turned(&turned(&rows)), rows);
    }

    #[test]
    fn the_same_are_at_most_a_limit_and_least(values in values(), limit in cost()) {
        prop_assert_eq!(at_most(&values, limit), plain::at_most(&values, limit));
        prop_assert_eq!(first_least(&values), plain::first_least(&values));
        let (first, least) = first_least(&values);
        prop_assert!(values.iter().all(|&value| value >= least) && values[first] == least);
        prop_assert!(values[..first].iter().all(|&value| value > least));
    }

    #[test]
    fn bounds_by_reach_are_the_same(
        reaches in prop::collection::vec((prop::array::uniform7(cost()), prop::array::uniform7(cost()), cost()), 9),
        last in prop::collection::vec(lanes(), 9),
        rest in prop::collection::vec(lanes(), 9),
        limits in lanes(),
    ) {
        let of = |(limits, costs, nearest)| Reaches { limits, costs, nearest };
        let reaches: Vec<Reaches> = reaches.into_iter().map(of).collect();
        let reach = Reach { reaches: &reaches, last: &last, rest: &rest, limits: &limits, penalty: 5.0 };
        let (mut here, mut plain) = ([[0.0; LANES]; 9], [[0.0; LANES]; 9]);
        prop_assert_eq!(within_reach(reach, &mut here), plain::within_reach(reach, &mut plain));
        prop_assert_eq!(here, plain);
    }

    #[test]
    fn the_same_is_cheapest_of_all(
        costs in rows(2, 70),
        rtts in rows(2, 70),
        taken in prop::collection::vec(0_u16..70, 0..5),
        limit in 0.0_f32..20.0,
        limited: bool,
    ) {
        let bound = Bound { rows: [rtts.row(0), rtts.row(1)], rest: 1.0, limit, penalty: 5.0 };
        let bound = limited.then_some(&bound);
        let rows = [costs.row(0), costs.row(1)];
        prop_assert_eq!(cheapest_of_all(rows, bound, &taken), plain::cheapest_of_all(rows, bound, &taken));
    }
}
