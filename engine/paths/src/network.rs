//! A class's costs, checked and laid out for searching: relays in order of use, rows padded, the cheapest first relays
//! to each second one at hand. Pure.

use std::error::Error;
use std::fmt;

use crate::kernel::{CappedOffers, LANES, Offers, offer};
use crate::lists::Lists;
use crate::solve::in_parallel;
use crate::tiles::Tiles;
use crate::{FIRSTS, NODES_LIMIT};

/// How many sources are asked which relay serves them best, when relays are ordered.
const ASKED: usize = 64;

/// So many relays, the nearest ones of a source, are offered to its destinations before all others.
const SEEDS: usize = 48;

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

/// One class's links, ready to be searched.
pub struct Network {
    pub(crate) n: usize,
    /// `n`, padded.
    pub(crate) width: usize,
    /// The nodes of the relays, most useful first.
    pub(crate) relays: Vec<u16>,
    /// The first so many relays may be second relays.
    pub(crate) second: usize,
    pub(crate) passage: Vec<f32>,
    pub(crate) direct: Vec<f32>,
    /// `[n][k]` to a relay and through it.
    pub(crate) into: Vec<f32>,
    /// `[k][width]` from a relay to the destination.
    pub(crate) out: Tiles,
    /// `[second][width]` the same of second relays, by row.
    pub(crate) last: Vec<f32>,
    /// `[k][second, padded]` from a first relay to a second one and through it.
    pub(crate) middle: Tiles,
    pub(crate) cap: Option<LaidOutCap>,
    /// `[n]` of each source, a lane per second relay: the cheapest first relays.
    pub(crate) firsts: Vec<Lists<FIRSTS>>,
}

pub(crate) struct LaidOutCap {
    /// `[n][n]`
    pub(crate) rtt: Vec<f32>,
    /// `[n][width]`
    pub(crate) limit: Vec<f32>,
    pub(crate) per_relay: f32,
    pub(crate) penalty: f32,
    /// `[k][width]` from a relay on.
    pub(crate) out: Tiles,
    /// `[k][second]` from a first relay to a second one.
    pub(crate) to_second: Vec<f32>,
    /// `[n][second]` the least RTT from a source to a second relay by any first one.
    pub(crate) nearest: Vec<f32>,
}

impl Network {
    /// Takes the costs; the `second` most useful relays may be second ones. The result does not depend on `threads`.
    pub fn new(costs: Costs, second: usize, threads: usize) -> Result<Self, Malformed> {
        let n = check(&costs)?;
        let k = costs.relays.len();
        let second = second.min(k);
        let width = padded(n);
        let mut network = Self {
            n,
            width,
            second,
            into: into(&costs, n),
            out: out(&costs, n),
            relays: costs.relays,
            passage: costs.passage,
            direct: costs.direct,
            last: Vec::new(),
            middle: Tiles::new(0, 0),
            cap: None,
            firsts: Vec::new(),
        };
        if second < k {
            network.order(threads);
        }
        network.last = network.last_rows();
        network.middle = network.between();
        network.cap = costs.cap.map(|cap| network.lay_out(cap));
        network.find_firsts(threads);
        Ok(network)
    }

    /// How many nodes there are.
    pub fn nodes(&self) -> usize {
        self.n
    }

    /// The relays that may be second ones, most useful first.
    pub fn second_relays(&self) -> &[u16] {
        &self.relays[..self.second]
    }

    pub(crate) fn position(&self, node: usize) -> Option<usize> {
        self.relays.iter().position(|&id| usize::from(id) == node)
    }

    pub(crate) fn second_width(&self) -> usize {
        padded(self.second)
    }

    pub(crate) fn last_row(&self, second: usize) -> &[f32] {
        &self.last[second * self.width..(second + 1) * self.width]
    }

    /// Fills the lists of the sources from `first` on, one each, with the cheapest single relays.
    pub(crate) fn find_singles<const K: usize>(&self, first: usize, lists: &mut [Lists<K>]) {
        let rtts: Vec<Vec<f32>> = (first..)
            .zip(lists.iter())
            .map(|(source, _)| self.rtts_to_relays(source))
            .collect();
        let bases: Vec<&[f32]> = (first..)
            .zip(lists.iter())
            .map(|(source, _)| self.to_relays(source))
            .collect();
        let capped = |number: usize, tile: usize| {
            let cap = self.cap.as_ref()?;
            let limits = &cap.limit[(first + number) * self.width + tile * LANES..];
            Some(CappedOffers {
                bases: &rtts[number],
                tile: cap.out.tile(tile),
                limits: limits.first_chunk()?,
                penalty: cap.penalty,
            })
        };
        self.fill(&self.out, &bases, capped, lists);
    }

    /// Fills a source's lists of first relays.
    pub(crate) fn find_firsts_of(&self, source: usize, lists: &mut Lists<FIRSTS>) {
        lists.clear();
        let bases = [self.to_relays(source)];
        self.fill(
            &self.middle,
            &bases,
            |_, _| None,
            std::slice::from_mut(lists),
        );
        if let Some(own) = self.position(source).filter(|&own| own < self.second) {
            lists.clear_lane(own);
        }
    }

    /// Offers all relays to all lanes of each source's lists. `bases` are what it costs each source to get to them.
    fn fill<'a, const K: usize>(
        &self,
        tiles: &Tiles,
        bases: &[&[f32]],
        capped: impl Fn(usize, usize) -> Option<CappedOffers<'a>>,
        lists: &mut [Lists<K>],
    ) {
        let number_of_tiles = lists.first().map_or(0, Lists::width) / LANES;
        // The nearest relays come first, so that few of the others get past the lists' last places.
        let mut others = Vec::with_capacity(bases.len());
        for (number, (bases, lists)) in bases.iter().zip(lists.iter_mut()).enumerate() {
            let mut others_of = bases.to_vec();
            for relay in nearest(bases, SEEDS) {
                others_of[relay] = f32::INFINITY;
                for tile in 0..number_of_tiles {
                    let one = Offers {
                        ids: &self.relays[relay..=relay],
                        bases: &bases[relay..=relay],
                        tile: &tiles.tile(tile)[relay..=relay],
                    };
                    let cap = capped(number, tile).map(|cap| CappedOffers {
                        bases: &cap.bases[relay..=relay],
                        tile: &cap.tile[relay..=relay],
                        ..cap
                    });
                    offer(lists, tile * LANES, one, cap);
                }
            }
            others.push(others_of);
        }
        for tile in 0..number_of_tiles {
            for (number, (bases, lists)) in others.iter().zip(lists.iter_mut()).enumerate() {
                let all = Offers {
                    ids: &self.relays,
                    bases,
                    tile: tiles.tile(tile),
                };
                offer(lists, tile * LANES, all, capped(number, tile));
            }
        }
    }

    fn rtts_to_relays(&self, source: usize) -> Vec<f32> {
        self.cap.as_ref().map_or_else(Vec::new, |cap| {
            let rtt = |id: &u16| cap.rtt[source * self.n + usize::from(*id)] + cap.per_relay;
            self.relays.iter().map(rtt).collect()
        })
    }

    fn to_relays(&self, source: usize) -> &[f32] {
        let k = self.relays.len();
        &self.into[source * k..(source + 1) * k]
    }

    fn find_firsts(&mut self, threads: usize) {
        let mut firsts: Vec<_> = (0..self.n)
            .map(|_| Lists::new(self.second_width()))
            .collect();
        let network = &*self;
        in_parallel(
            threads,
            firsts.chunks_mut(16).enumerate(),
            |(chunk, lists)| {
                for (source, lists) in (chunk * 16..).zip(lists) {
                    network.find_firsts_of(source, lists);
                }
            },
        );
        self.firsts = firsts;
    }

    /// Puts the relays in the order of how many pairs they serve best, from sources evenly spread.
    fn order(&mut self, threads: usize) {
        let asked: Vec<usize> = (0..self.n).step_by(self.n.div_ceil(ASKED)).collect();
        let mut best: Vec<Lists<1>> = asked.iter().map(|_| Lists::new(self.width)).collect();
        let network = &*self;
        in_parallel(threads, asked.iter().zip(&mut best), |(&source, lists)| {
            network.find_singles(source, std::slice::from_mut(lists));
        });
        let mut served = vec![0_usize; self.n];
        for lists in &best {
            for (_, id) in (0..self.n).filter_map(|to| lists.lane(to).next()) {
                served[usize::from(id)] += 1;
            }
        }
        let k = self.relays.len();
        let mut order: Vec<usize> = (0..k).collect();
        order.sort_by_key(|&relay| {
            let id = self.relays[relay];
            (std::cmp::Reverse(served[usize::from(id)]), id)
        });
        self.passage = order.iter().map(|&relay| self.passage[relay]).collect();
        self.into = self
            .into
            .chunks_exact(k)
            .flat_map(|row| order.iter().map(|&relay| row[relay]))
            .collect();
        let mut out = Tiles::new(k, self.width);
        for (to, &relay) in order.iter().enumerate() {
            out.set_row(to, (0..self.width).map(|lane| self.out.at(relay, lane)));
        }
        self.out = out;
        self.relays = order.iter().map(|&relay| self.relays[relay]).collect();
    }

    fn last_rows(&self) -> Vec<f32> {
        (0..self.second)
            .flat_map(|second| (0..self.width).map(move |lane| self.out.at(second, lane)))
            .collect()
    }

    fn between(&self) -> Tiles {
        let k = self.relays.len();
        let mut middle = Tiles::new(k, self.second_width());
        for (relay, &id) in self.relays.iter().enumerate() {
            let row = &self.into[usize::from(id) * k..][..self.second];
            middle.set_row(relay, row.iter().copied());
        }
        middle
    }

    fn lay_out(&self, cap: Cap) -> LaidOutCap {
        let (n, width) = (self.n, self.width);
        let mut limit = vec![f32::INFINITY; n * width];
        for (padded, row) in limit
            .chunks_exact_mut(width)
            .zip(cap.limit.chunks_exact(n.max(1)))
        {
            padded[..n].copy_from_slice(row);
        }
        let mut out = Tiles::new(self.relays.len(), width);
        for (relay, &id) in self.relays.iter().enumerate() {
            out.set_row(relay, cap.rtt[usize::from(id) * n..][..n].iter().copied());
        }
        let mut laid_out = LaidOutCap {
            rtt: cap.rtt,
            limit,
            per_relay: cap.per_relay,
            penalty: cap.penalty,
            out,
            to_second: Vec::new(),
            nearest: vec![f32::INFINITY; n * self.second],
        };
        laid_out.to_second = self.relay_rtts(&laid_out);
        for source in 0..n {
            self.find_nearest(source, &mut laid_out);
        }
        laid_out
    }

    pub(crate) fn relay_rtts(&self, cap: &LaidOutCap) -> Vec<f32> {
        let rtt = |from: u16, to: u16| cap.rtt[usize::from(from) * self.n + usize::from(to)];
        let seconds = self.second_relays();
        self.relays
            .iter()
            .flat_map(|&first| {
                seconds
                    .iter()
                    .map(move |&second| rtt(first, second) + cap.per_relay)
            })
            .collect()
    }

    /// Finds a source's least RTTs to the second relays through any first one.
    pub(crate) fn find_nearest(&self, source: usize, cap: &mut LaidOutCap) {
        let nearest = &mut cap.nearest[source * self.second..][..self.second];
        nearest.fill(f32::INFINITY);
        for (relay, &first) in self.relays.iter().enumerate() {
            let to_first = cap.rtt[source * self.n + usize::from(first)] + cap.per_relay;
            for (least, out) in nearest
                .iter_mut()
                .zip(&cap.to_second[relay * self.second..])
            {
                *least = least.min(to_first + out);
            }
        }
    }
}

/// The positions of the `number` least costs, the least first; none that is infinite.
fn nearest(costs: &[f32], number: usize) -> Vec<usize> {
    let mut order: Vec<usize> = (0..costs.len())
        .filter(|&relay| costs[relay].is_finite())
        .collect();
    let by_cost = |a: &usize, b: &usize| costs[*a].total_cmp(&costs[*b]).then(a.cmp(b));
    if number < order.len() {
        order.select_nth_unstable_by(number, by_cost);
        order.truncate(number);
    }
    order.sort_unstable_by(by_cost);
    order
}

fn padded(lanes: usize) -> usize {
    lanes.max(1).next_multiple_of(LANES)
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

/// To a relay and through it; a relay is not its own.
fn into(costs: &Costs, n: usize) -> Vec<f32> {
    let k = costs.relays.len();
    let mut into = costs.to_relay.clone();
    for row in into.chunks_exact_mut(k.max(1)) {
        for (cost, passage) in row.iter_mut().zip(&costs.passage) {
            *cost += passage;
        }
    }
    for (relay, &id) in costs.relays.iter().enumerate() {
        debug_assert!(usize::from(id) < n);
        into[usize::from(id) * k + relay] = f32::INFINITY;
    }
    into
}

fn out(costs: &Costs, n: usize) -> Tiles {
    let mut out = Tiles::new(costs.relays.len(), n);
    let rows = costs.from_relay.chunks_exact(n.max(1));
    for (relay, (row, &id)) in rows.zip(&costs.relays).enumerate() {
        out.set_row(relay, row.iter().copied());
        out.set(relay, usize::from(id), f32::INFINITY);
    }
    out
}
