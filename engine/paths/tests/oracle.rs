//! The search against plain enumeration: every path of at most two relays of small random networks, taken in turn.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests fail by panicking"
)]

use overlayd_paths::{ABSENT, Cap, Change, Costs, NONE, Network, Relays, Tracker};
use proptest::prelude::*;

/// A network as one would write it down: `[from][to]`, infinite where there is no link.
#[derive(Clone, Debug)]
struct Drawn {
    n: usize,
    direct: Vec<f32>,
    link: Vec<f32>,
    relays: Vec<u16>,
    passage: Vec<f32>,
    cap: Option<(Vec<f32>, Vec<f32>)>,
}

const PER_RELAY: f32 = 2.0;
const PENALTY: f32 = 10_000.0;

impl Drawn {
    fn costs(&self) -> Costs {
        let relay = |k: u16| usize::from(k);
        Costs {
            direct: self.direct.clone(),
            relays: self.relays.clone(),
            passage: self.passage.clone(),
            to_relay: (0..self.n)
                .flat_map(|from| {
                    self.relays
                        .iter()
                        .map(move |&k| self.link[from * self.n + relay(k)])
                })
                .collect(),
            from_relay: self
                .relays
                .iter()
                .flat_map(|&k| self.link[relay(k) * self.n..][..self.n].to_vec())
                .collect(),
            cap: self.cap.clone().map(|(rtt, limit)| Cap {
                rtt,
                limit,
                per_relay: PER_RELAY,
                penalty: PENALTY,
            }),
        }
    }

    /// The cost of a path; infinite if it has a link that cannot be used, passes an end, or a relay twice.
    fn cost(&self, from: usize, to: usize, path: Relays) -> f32 {
        let nodes: Vec<usize> = path
            .iter()
            .filter(|&&k| k >= 0)
            .map(|&k| k as usize)
            .collect();
        let repeated = nodes.len() == 2 && nodes[0] == nodes[1];
        if repeated || nodes.contains(&from) || nodes.contains(&to) {
            return f32::INFINITY;
        }
        let (mut cost, mut rtt, mut at) = (0.0, 0.0, from);
        for &node in &nodes {
            let passage = self.relays.iter().position(|&k| usize::from(k) == node);
            cost += self.link[at * self.n + node] + self.passage[passage.unwrap()];
            rtt += self.rtt(at, node) + PER_RELAY;
            at = node;
        }
        let last = if nodes.is_empty() {
            &self.direct
        } else {
            &self.link
        };
        cost += last[at * self.n + to];
        rtt += self.rtt(at, to);
        let over = self
            .cap
            .as_ref()
            .is_some_and(|(_, limit)| rtt > limit[from * self.n + to]);
        cost + if over { PENALTY } else { 0.0 }
    }

    fn rtt(&self, from: usize, to: usize) -> f32 {
        self.cap
            .as_ref()
            .map_or(0.0, |(rtt, _)| rtt[from * self.n + to])
    }

    /// The cheapest of all paths that share nothing with those in `avoid`.
    fn cheapest(&self, from: usize, to: usize, avoid: &[Relays], seconds: &[i16]) -> f32 {
        let free = |k: i16| avoid.iter().all(|path| !path.contains(&k));
        let relays: Vec<i16> = self
            .relays
            .iter()
            .map(|&k| k as i16)
            .filter(|&k| free(k))
            .collect();
        let direct = avoid.iter().all(|path| path[0] != NONE);
        let singles = relays.iter().map(|&k| [k, NONE]);
        let pairs = relays
            .iter()
            .flat_map(|&a| seconds.iter().filter(|&&b| free(b)).map(move |&b| [a, b]));
        direct
            .then_some([NONE, NONE])
            .into_iter()
            .chain(singles)
            .chain(pairs)
            .map(|path| self.cost(from, to, path))
            .fold(f32::INFINITY, f32::min)
    }

    fn check(&self, from: usize, to: usize, costs: &[f32], paths: &[Relays]) {
        let everyone: Vec<i16> = self.relays.iter().map(|&k| k as i16).collect();
        self.check_among(from, to, costs, paths, &everyone);
    }

    fn check_among(
        &self,
        from: usize,
        to: usize,
        costs: &[f32],
        paths: &[Relays],
        seconds: &[i16],
    ) {
        for number in 0..paths.len() {
            let (cost, path, before) = (costs[number], paths[number], &paths[..number]);
            let expected = if from == to {
                f32::INFINITY
            } else {
                self.cheapest(from, to, before, seconds)
            };
            let close = cost == expected || (cost - expected).abs() <= 1e-5 * expected.abs();
            assert!(
                close,
                "{from} → {to}, path {number} {path:?}: {cost}, not {expected}"
            );
            if cost.is_finite() {
                let sum = self.cost(from, to, path);
                assert!((sum - cost).abs() <= 1e-5 * cost, "{path:?} costs {sum}");
                let free = |k: &i16| *k < 0 || before.iter().all(|other| !other.contains(k));
                assert!(path.iter().all(free), "{path:?} shares a relay");
            } else {
                assert_eq!(path, [ABSENT, NONE]);
            }
        }
    }

    fn check_all(&self, costs: &[f32], paths: &[Relays], count: usize) {
        for (pair, (costs, paths)) in costs.chunks(count).zip(paths.chunks(count)).enumerate() {
            self.check(pair / self.n, pair % self.n, costs, paths);
        }
    }
}

fn drawn() -> impl Strategy<Value = Drawn> {
    (1_usize..12).prop_flat_map(|n| {
        // Small whole numbers too: many ties.
        let cost = prop_oneof![
            3 => 1.0_f32..100.0,
            3 => (1_u8..6).prop_map(f32::from),
            1 => Just(f32::INFINITY),
            1 => Just(f32::NAN),
        ];
        let rtts = prop::collection::vec(1.0_f32..100.0, n * n);
        let limits = prop::collection::vec(20.0_f32..200.0, n * n);
        (
            prop::collection::vec(cost.clone(), n * n),
            prop::collection::vec(cost, n * n),
            prop::sample::subsequence((0..n as u16).collect::<Vec<_>>(), 0..=n).prop_shuffle(),
            prop::collection::vec(0.0_f32..5.0, n),
            prop::option::of((rtts, limits)),
        )
            .prop_map(move |(direct, link, relays, passage, cap)| Drawn {
                n,
                direct,
                link,
                passage: passage[..relays.len()].to_vec(),
                relays,
                cap,
            })
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn disjoint_paths_cost_what_enumeration_finds(drawn in drawn(), threads in 1_usize..3) {
        let network = Network::new(drawn.costs(), 64, threads).unwrap();
        let found = network.disjoint(0..drawn.n, 3, threads).unwrap();
        drawn.check_all(&found.costs, &found.relays, 3);
        let mut tracker = Tracker::new(network, threads);
        prop_assert_eq!(&found, tracker.paths());
    }

    #[test]
    fn a_path_that_avoids_others_is_the_best_of_the_rest(drawn in drawn()) {
        let tracker = Tracker::new(Network::new(drawn.costs(), 64, 1).unwrap(), 1);
        let first = tracker.best(&[]).unwrap();
        let second = tracker.best(&first.relays).unwrap();
        let both: Vec<Relays> = first.relays.iter().zip(&second.relays).flat_map(|(a, b)| [*a, *b]).collect();
        drawn.check_all(&second_costs(&first.costs, &second.costs), &both, 2);
    }

    #[test]
    fn an_update_leaves_what_a_new_search_finds(
        drawn in drawn(),
        changes in prop::collection::vec((0_usize..12, 0_usize..12, 1.0_f32..100.0, 1.0_f32..100.0), 1..6),
    ) {
        let mut drawn = drawn;
        let mut tracker = Tracker::new(Network::new(drawn.costs(), 64, 1).unwrap(), 1);
        for (from, to, cost, rtt) in changes {
            let (from, to) = (from % drawn.n, to % drawn.n);
            if from == to {
                continue;
            }
            let before = tracker.paths().clone();
            let changed = tracker.update(Change { from, to, direct: cost, link: cost, rtt }).unwrap();
            drawn.direct[from * drawn.n + to] = cost;
            drawn.link[from * drawn.n + to] = cost;
            if let Some((rtts, _)) = &mut drawn.cap {
                rtts[from * drawn.n + to] = rtt;
            }
            let again = Tracker::new(Network::new(drawn.costs(), 64, 1).unwrap(), 1).paths().clone();
            prop_assert_eq!(tracker.paths(), &again);
            for pair in 0..drawn.n * drawn.n {
                let at = pair * 3..pair * 3 + 3;
                let same = before.relays[at.clone()] == again.relays[at.clone()] && before.costs[at.clone()] == again.costs[at];
                let told = changed.contains(&((pair / drawn.n) as u16, (pair % drawn.n) as u16));
                prop_assert_eq!(told, !same);
            }
        }
    }
}

fn second_costs(first: &[f32], second: &[f32]) -> Vec<f32> {
    first
        .iter()
        .zip(second)
        .flat_map(|(a, b)| [*a, *b])
        .collect()
}

/// Many relays, few of which may be second ones: exact over all single ones, and over the second ones that there are.
fn check_few_seconds(n: usize, second: usize, capped: bool, changes: usize) {
    let mut state = 1_u64;
    let mut random = || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        1.0 + (state >> 40) as f32 / (1 << 24) as f32 * 99.0
    };
    let link: Vec<f32> = (0..n * n).map(|_| random()).collect();
    let rtt: Vec<f32> = (0..n * n).map(|_| random()).collect();
    let limit: Vec<f32> = (0..n * n).map(|_| 30.0 + random()).collect();
    let mut drawn = Drawn {
        n,
        direct: link.clone(),
        link,
        relays: (0..n as u16).collect(),
        passage: vec![1.0; n],
        cap: capped.then_some((rtt, limit)),
    };
    let mut tracker = Tracker::new(Network::new(drawn.costs(), second, 2).unwrap(), 2);
    tracker.paths();
    for _ in 0..changes {
        let (from, to) = (random() as usize % n, random() as usize % n);
        let (cost, rtt, limit) = (random(), random(), random());
        if from != to {
            tracker
                .update(Change {
                    from,
                    to,
                    direct: cost,
                    link: cost,
                    rtt,
                })
                .unwrap();
            let at = from * n + to;
            (drawn.direct[at], drawn.link[at]) = (cost, cost);
            if let Some((rtts, limits)) = &mut drawn.cap {
                tracker.limit(&[(to as u16, from as u16, limit)]).unwrap();
                (rtts[at], limits[to * n + from]) = (rtt, limit);
            }
        }
    }
    let seconds: Vec<i16> = tracker
        .network()
        .second_relays()
        .iter()
        .map(|&k| k as i16)
        .collect();
    assert_eq!(seconds.len(), second);
    let best = tracker.best(&[]).unwrap();
    let found = tracker.paths();
    for pair in (0..n * n).step_by(5).filter(|pair| pair / n != pair % n) {
        assert_eq!(best.relays[pair], found.relays[pair * 3]);
        drawn.check_among(
            pair / n,
            pair % n,
            &found.costs[pair * 3..][..3],
            &found.relays[pair * 3..][..3],
            &seconds,
        );
    }
}

#[test]
fn few_second_relays_are_the_only_restriction() {
    check_few_seconds(40, 4, false, 0);
    check_few_seconds(150, 6, false, 0);
}

#[test]
fn few_second_relays_are_the_only_restriction_under_a_cap() {
    check_few_seconds(40, 4, true, 0);
    check_few_seconds(150, 6, true, 0);
}

#[test]
fn changes_of_links_and_limits_leave_it_exact() {
    check_few_seconds(90, 5, false, 60);
    check_few_seconds(90, 5, true, 60);
}

#[test]
fn costs_that_do_not_fit_together_are_refused() {
    let fitting = Costs {
        direct: vec![1.0; 4],
        relays: vec![1],
        passage: vec![0.0],
        to_relay: vec![1.0; 2],
        from_relay: vec![1.0; 2],
        cap: None,
    };
    assert!(Network::new(fitting.clone(), 64, 1).is_ok());
    for broken in [
        Costs {
            direct: vec![1.0; 3],
            ..fitting.clone()
        },
        Costs {
            relays: vec![2],
            ..fitting.clone()
        },
        Costs {
            passage: vec![],
            ..fitting.clone()
        },
        Costs {
            to_relay: vec![1.0],
            ..fitting.clone()
        },
        Costs {
            from_relay: vec![1.0],
            ..fitting
        },
    ] {
        assert!(Network::new(broken, 64, 1).is_err());
    }
    assert!(Network::new(Costs::default(), 64, 2).is_ok());
}
