//! A class's costs, checked and laid out for searching. Pure.

use std::error::Error;
use std::fmt;

use crate::kernel::{LANES, TILE};
use crate::parallel::in_parallel;
use crate::rows::{Rows, fill, usable};
use crate::sums::{Bases, Pairing, Scale, Shortlist, Targets, Within};
use crate::{NODES_LIMIT, NONE, SECONDS_LIMIT};

/// How many sources are asked which relay serves them best, when second relays are chosen.
const ASKED: usize = 64;

/// No position.
pub(crate) const NOBODY: u16 = u16::MAX;

/// Matrices by row. Infinity and NaN: cannot be used. For `n` nodes and `k` relays:
#[derive(Clone, Debug, Default)]
pub struct Costs {
    /// `[n][n]` from, to: a link as the whole path.
    pub direct: Vec<f32>,
    /// `[k]` the relays' nodes, each once.
    pub relays: Vec<u16>,
    /// `[k]` what is paid for passing the relay.
    pub passage: Vec<f32>,
    /// `[n][k]` from a node to the relay, as the first link of a path or between its relays.
    pub to_relay: Vec<f32>,
    /// `[k][n]` from the relay to the destination.
    pub from_relay: Vec<f32>,
    pub cap: Option<Cap>,
}

/// A path whose RTT is above the limit of its ends costs `penalty` more.
#[derive(Clone, Debug)]
pub struct Cap {
    /// `[n][n]` from, to: of a link.
    pub rtt: Vec<f32>,
    /// `[n][n]` from, to: of a path.
    pub limit: Vec<f32>,
    /// What each relay adds to the path's.
    pub per_relay: f32,
    pub penalty: f32,
}

/// Costs that do not fit together; says which.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed(pub &'static str);

impl fmt::Display for Malformed {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.0)
    }
}

impl Error for Malformed {}

/// One class's links, ready to be searched. A relay's *position* is its place among all relays.
pub struct Network {
    pub(crate) n: usize,
    /// The nodes of the relays, ascending.
    pub(crate) relays: Vec<u16>,
    /// The same as they are told, and [`NONE`] behind the last.
    pub(crate) told: Vec<i16>,
    /// `[n]` the position of a node, or [`NOBODY`].
    pub(crate) position: Vec<u16>,
    /// The positions of those that may be second relays, most useful first.
    pub(crate) seconds: Vec<u16>,
    pub(crate) passage: Vec<f32>,
    /// `[n][n]`
    pub(crate) direct: Vec<f32>,
    /// `[n][k]` to a relay and through it.
    pub(crate) into: Bases,
    /// `[n][k]` of a destination, from each relay.
    pub(crate) out: Targets,
    /// `[second][k]` to a second relay from each first one, and through it.
    pub(crate) middle: Targets,
    /// Of second relays, to a few destinations each.
    pub(crate) last: Last,
    pub(crate) cap: Option<LaidOutCap>,
}

/// RTTs, laid out as the costs of the same name.
pub(crate) struct LaidOutCap {
    /// `[n][n]`
    pub(crate) rtt: Vec<f32>,
    /// `[n][n]`
    pub(crate) limit: Vec<f32>,
    pub(crate) per_relay: f32,
    pub(crate) penalty: f32,
    pub(crate) to: Bases,
    pub(crate) out: Targets,
    pub(crate) middle: Targets,
    pub(crate) last: Last,
}

/// From second relays to destinations: `[destinations, a few together][second]`.
pub(crate) struct Last {
    seconds: usize,
    cells: Vec<[f32; LANES]>,
}

impl Last {
    /// Of what is known by relay and destination.
    fn new(out: &Targets, seconds: &[u16], n: usize) -> Self {
        let groups = n.div_ceil(LANES);
        let mut last = Self {
            seconds: seconds.len(),
            cells: vec![[f32::INFINITY; LANES]; groups * seconds.len()],
        };
        for to in 0..n {
            for (second, &at) in seconds.iter().enumerate() {
                last.set(to, second, out.exact.at(to, usize::from(at)));
            }
        }
        last
    }

    #[inline]
    pub(crate) fn at(&self, to: usize, second: usize) -> f32 {
        self.cells[to / LANES * self.seconds + second][to % LANES]
    }

    /// By second relay, to the destinations of a group.
    #[inline]
    pub(crate) fn group(&self, group: usize) -> &[[f32; LANES]] {
        &self.cells[group * self.seconds..][..self.seconds]
    }

    pub(crate) fn set(&mut self, to: usize, second: usize, cost: f32) {
        self.cells[to / LANES * self.seconds + second][to % LANES] = usable(cost);
    }
}

impl Network {
    /// Takes the costs; the `second` most useful relays may be second ones. The result does not depend on `threads`.
    pub fn new(costs: Costs, second: usize, threads: usize) -> Result<Self, Malformed> {
        let n = check(&costs)?;
        let k = costs.relays.len();
        let mut given: Vec<usize> = (0..k).collect();
        given.sort_unstable_by_key(|&relay| costs.relays[relay]);
        let relays: Vec<u16> = given.iter().map(|&relay| costs.relays[relay]).collect();
        let mut position = vec![NOBODY; n];
        for (at, &id) in (0..).zip(&relays) {
            position[usize::from(id)] = at;
        }
        let passage: Vec<f32> = given.iter().map(|&relay| costs.passage[relay]).collect();
        let sorted = given.is_sorted();
        let mut from_relay = if sorted {
            costs.from_relay
        } else {
            by_relay(&costs.from_relay, &given, n)
        };
        // A relay is neither its own source nor its own destination.
        for (at, &id) in relays.iter().enumerate() {
            from_relay[at * n + usize::from(id)] = f32::INFINITY;
        }
        let mut into = Rows::new(n, k);
        in_parallel(
            threads,
            into.rows_together(1).enumerate(),
            |(source, row)| {
                let costs = &costs.to_relay[source * k..][..k];
                fill(
                    row,
                    given
                        .iter()
                        .zip(&passage)
                        .map(|(&relay, passage)| costs[relay] + passage),
                );
            },
        );
        for (at, &id) in relays.iter().enumerate() {
            into.set(usize::from(id), at, f32::INFINITY);
        }
        let scale = Scale::of_costs(&into, n, k);
        let out = Targets::new(&from_relay, k, n, scale, threads);
        let into = Bases::new(into, n, k, scale, threads);
        let cap = costs
            .cap
            .map(|cap| LaidOutCap::new(cap, &relays, n, threads));
        let told = relays.iter().map(|&id| id as i16).chain([NONE]).collect();
        let mut network = Self {
            n,
            told,
            position,
            seconds: Vec::new(),
            passage,
            middle: Targets::new(&[], 0, 0, scale, 1),
            last: Last {
                seconds: 0,
                cells: Vec::new(),
            },
            into,
            out,
            cap,
            relays,
            direct: costs.direct,
        };
        network.seconds = network.most_useful(second.min(k).min(SECONDS_LIMIT), threads);
        network.last = Last::new(&network.out, &network.seconds, n);
        network.middle = network.between(&network.into, scale);
        if let Some(mut cap) = network.cap.take() {
            cap.last = Last::new(&cap.out, &network.seconds, n);
            cap.middle = network.between(&cap.to, cap.to.scale);
            network.cap = Some(cap);
        }
        Ok(network)
    }

    /// How many nodes there are.
    pub fn nodes(&self) -> usize {
        self.n
    }

    /// The relays that may be second ones, most useful first.
    pub fn second_relays(&self) -> Vec<u16> {
        let id = |&at: &u16| self.relays[usize::from(at)];
        self.seconds.iter().map(id).collect()
    }

    /// The node at a position, or [`NONE`] of nobody.
    #[inline(always)]
    pub(crate) fn told(&self, at: u16) -> i16 {
        self.told[usize::from(at).min(self.told.len() - 1)]
    }

    pub(crate) fn position(&self, node: usize) -> Option<usize> {
        Some(usize::from(self.position[node])).filter(|&at| at < self.relays.len())
    }

    /// Whether there are lists of single relays. Where all relays are second ones, each is looked at anyway.
    pub(crate) fn has_singles(&self) -> bool {
        self.cap.is_some() || self.seconds.len() < self.relays.len()
    }

    /// The cheapest single relays from a source to the destinations of a tile.
    pub(crate) fn singles(&self, source: usize, tile: usize) -> [Shortlist; TILE] {
        let pairing = Pairing {
            bases: &self.into,
            targets: &self.out,
        };
        let within = self.cap.as_ref().map(|cap| Within {
            pairing: Pairing {
                bases: &cap.to,
                targets: &cap.out,
            },
            limits: std::array::from_fn(|lane| {
                let to = tile * TILE + lane;
                if to < self.n {
                    cap.limit[source * self.n + to]
                } else {
                    f32::INFINITY
                }
            }),
            penalty: cap.penalty,
        });
        pairing.least(source, tile, within.as_ref())
    }

    /// The relays that serve most pairs best as single ones, of sources evenly spread.
    pub(crate) fn most_useful(&self, number: usize, threads: usize) -> Vec<u16> {
        let k = self.relays.len();
        let mut order: Vec<u16> = (0..k as u16).collect();
        if number == k {
            return order;
        }
        let asked = (0..self.n).step_by(self.n.div_ceil(ASKED));
        let mut best: Vec<(usize, Vec<usize>)> = asked.map(|source| (source, Vec::new())).collect();
        in_parallel(threads, best.iter_mut(), |(source, best)| {
            for tile in 0..self.n.div_ceil(TILE) {
                let found = self.singles(*source, tile);
                best.extend(
                    found
                        .iter()
                        .filter_map(|found| found.entries[0].some())
                        .map(|entry| entry.column()),
                );
            }
        });
        let mut served = vec![0_usize; k];
        for relay in best.into_iter().flat_map(|(_, best)| best) {
            served[relay] += 1;
        }
        order.sort_by_key(|&at| (std::cmp::Reverse(served[usize::from(at)]), at));
        order.truncate(number);
        order
    }

    /// From all relays to second ones.
    fn between(&self, into: &Bases, scale: Scale) -> Targets {
        let second = |&at: &u16| usize::from(at);
        let matrix: Vec<f32> = self
            .relays
            .iter()
            .flat_map(|&id| {
                self.seconds
                    .iter()
                    .map(move |at| into.exact.at(usize::from(id), second(at)))
            })
            .collect();
        Targets::new(&matrix, self.relays.len(), self.seconds.len(), scale, 1)
    }
}

impl LaidOutCap {
    fn new(cap: Cap, relays: &[u16], n: usize, threads: usize) -> Self {
        let k = relays.len();
        let mut to = Rows::new(n, k);
        in_parallel(threads, to.rows_together(1).enumerate(), |(source, row)| {
            let rtts = &cap.rtt[source * n..][..n];
            fill(
                row,
                relays
                    .iter()
                    .map(|&id| rtts[usize::from(id)] + cap.per_relay),
            );
        });
        let scale = Scale::of_limits(&cap.limit);
        let out = if k == n {
            Targets::new(&cap.rtt, k, n, scale, threads)
        } else {
            let given: Vec<usize> = relays.iter().map(|&id| usize::from(id)).collect();
            Targets::new(&by_relay(&cap.rtt, &given, n), k, n, scale, threads)
        };
        Self {
            to: Bases::new(to, n, k, scale, threads),
            out,
            middle: Targets::new(&[], 0, 0, scale, 1),
            last: Last {
                seconds: 0,
                cells: Vec::new(),
            },
            rtt: cap.rtt,
            limit: cap.limit,
            per_relay: cap.per_relay,
            penalty: cap.penalty,
        }
    }
}

/// Rows of a matrix [row][n] in another order.
fn by_relay(matrix: &[f32], rows: &[usize], n: usize) -> Vec<f32> {
    rows.iter()
        .flat_map(|&row| &matrix[row * n..][..n])
        .copied()
        .collect()
}

fn check(costs: &Costs) -> Result<usize, Malformed> {
    let n = costs.direct.len().isqrt();
    let k = costs.relays.len();
    let fits = |condition: bool, problem| {
        if condition {
            Ok(())
        } else {
            Err(Malformed(problem))
        }
    };
    fits(
        n <= NODES_LIMIT && n * n == costs.direct.len(),
        "direct: not [n, n]",
    )?;
    fits(costs.passage.len() == k, "passage: not [relays]")?;
    fits(costs.to_relay.len() == n * k, "to_relay: not [n, relays]")?;
    fits(
        costs.from_relay.len() == k * n,
        "from_relay: not [relays, n]",
    )?;
    let mut seen = vec![false; n];
    for &id in &costs.relays {
        let new = seen
            .get_mut(usize::from(id))
            .is_some_and(|seen| !std::mem::replace(seen, true));
        fits(new, "relays: not distinct nodes")?;
    }
    if let Some(cap) = &costs.cap {
        fits(cap.rtt.len() == n * n, "rtt: not [n, n]")?;
        fits(cap.limit.len() == n * n, "limit: not [n, n]")?;
    }
    Ok(n)
}
