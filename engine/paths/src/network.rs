//! A class's costs, checked and laid out for searching. Pure.

use std::error::Error;
use std::fmt;

use crate::NODES_LIMIT;
use crate::kernel::{GROUP, Least, Limited, Scratch, least};
use crate::rows::Rows;
use crate::solve::in_parallel;

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
    /// `[n]` the position of a node, or [`NOBODY`].
    pub(crate) position: Vec<u16>,
    /// The positions of those that may be second relays, most useful first.
    pub(crate) seconds: Vec<u16>,
    pub(crate) passage: Vec<f32>,
    /// `[n][n]`
    pub(crate) direct: Vec<f32>,
    /// `[n][k]` to a relay and through it.
    pub(crate) into: Rows,
    /// `[n][k]` of a destination, from each relay.
    pub(crate) out: Rows,
    /// `[n][second]` the same from second relays.
    pub(crate) last: Rows,
    /// `[second][k]` to a second relay from each first one, and through it.
    pub(crate) middle: Rows,
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
    pub(crate) to: Rows,
    pub(crate) out: Rows,
    pub(crate) last: Rows,
    pub(crate) middle: Rows,
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
        let mut network = Self {
            n,
            position,
            seconds: Vec::new(),
            passage: given.iter().map(|&relay| costs.passage[relay]).collect(),
            into: Rows::new(n, k),
            out: Rows::new(n, k),
            last: Rows::new(0, 0),
            middle: Rows::new(0, 0),
            cap: None,
            relays,
            direct: costs.direct,
        };
        network.lay_out_costs(&given, &costs.to_relay, &costs.from_relay);
        network.cap = costs.cap.map(|cap| network.lay_out_cap(cap));
        network.seconds = network.most_useful(second.min(k), threads);
        (network.last, network.middle) = network.by_second(&network.into, &network.out);
        if let Some(mut cap) = network.cap.take() {
            (cap.last, cap.middle) = network.by_second(&cap.to, &cap.out);
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

    pub(crate) fn position(&self, node: usize) -> Option<usize> {
        Some(usize::from(self.position[node])).filter(|&at| at < self.relays.len())
    }

    /// The cheapest single relays from a source to each destination of a group.
    pub(crate) fn singles(
        &self,
        source: usize,
        group: usize,
        scratch: &mut Scratch,
    ) -> [Least; GROUP] {
        let limited = self.cap.as_ref().map(|cap| Limited {
            base: cap.to.row(source),
            group: cap.out.group(group),
            limits: std::array::from_fn(|number| {
                let to = group * GROUP + number;
                if to < self.n {
                    cap.limit[source * self.n + to]
                } else {
                    f32::INFINITY
                }
            }),
            penalty: cap.penalty,
        });
        least(
            self.into.row(source),
            self.out.group(group),
            limited.as_ref(),
            scratch,
        )
    }

    fn lay_out_costs(&mut self, given: &[usize], to_relay: &[f32], from_relay: &[f32]) {
        let (n, k) = (self.n, given.len());
        for (source, costs) in to_relay.chunks_exact(k.max(1)).enumerate() {
            let through = given
                .iter()
                .zip(&self.passage)
                .map(|(&relay, passage)| costs[relay] + passage);
            self.into.set_row(source, through);
        }
        if given.is_sorted() {
            self.out.set_transposed(k, n, from_relay);
        } else {
            for to in 0..n {
                self.out
                    .set_row(to, given.iter().map(|&relay| from_relay[relay * n + to]));
            }
        }
        // A relay is neither its own source nor its own destination.
        for (at, &id) in self.relays.iter().enumerate() {
            self.into.set(usize::from(id), at, f32::INFINITY);
            self.out.set(usize::from(id), at, f32::INFINITY);
        }
    }

    fn lay_out_cap(&self, cap: Cap) -> LaidOutCap {
        let (n, k) = (self.n, self.relays.len());
        let (mut to, mut out) = (Rows::new(n, k), Rows::new(n, k));
        for (source, rtts) in cap.rtt.chunks_exact(n.max(1)).enumerate() {
            let through = self
                .relays
                .iter()
                .map(|&id| rtts[usize::from(id)] + cap.per_relay);
            to.set_row(source, through);
        }
        if k == n {
            out.set_transposed(k, n, &cap.rtt);
        } else {
            for destination in 0..n {
                let from = |&id: &u16| cap.rtt[usize::from(id) * n + destination];
                out.set_row(destination, self.relays.iter().map(from));
            }
        }
        LaidOutCap {
            rtt: cap.rtt,
            limit: cap.limit,
            per_relay: cap.per_relay,
            penalty: cap.penalty,
            to,
            out,
            last: Rows::new(0, 0),
            middle: Rows::new(0, 0),
        }
    }

    /// The relays that serve most pairs best as single ones, of sources evenly spread.
    fn most_useful(&self, number: usize, threads: usize) -> Vec<u16> {
        let k = self.relays.len();
        let mut order: Vec<u16> = (0..k as u16).collect();
        if number == k {
            return order;
        }
        let asked = (0..self.n).step_by(self.n.div_ceil(ASKED));
        let mut best: Vec<(usize, Vec<usize>)> = asked.map(|source| (source, Vec::new())).collect();
        in_parallel(threads, best.iter_mut(), |(source, best)| {
            let mut scratch = Scratch::default();
            for group in 0..self.n.div_ceil(GROUP) {
                let found = self.singles(*source, group, &mut scratch);
                best.extend(
                    found
                        .iter()
                        .filter_map(|found| found[0].some())
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

    /// Of rows by relay those of second relays: from these to all nodes, and from all relays to these.
    fn by_second(&self, into: &Rows, out: &Rows) -> (Rows, Rows) {
        let mut last = Rows::new(self.n, self.seconds.len());
        for to in 0..self.n {
            last.set_row(
                to,
                self.seconds.iter().map(|&at| out.at(to, usize::from(at))),
            );
        }
        let mut middle = Rows::new(self.seconds.len(), self.relays.len());
        for (second, &at) in self.seconds.iter().enumerate() {
            let from = |&id: &u16| into.at(usize::from(id), usize::from(at));
            middle.set_row(second, self.relays.iter().map(from));
        }
        (last, middle)
    }
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
