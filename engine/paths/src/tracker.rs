//! Disjoint paths that are kept up to date, one link's change at a time. Pure.

use crate::kernel::GROUP;
use crate::network::Network;
use crate::solve::{Candidates, Paths, Room};
use crate::{AVOID_LIMIT, Malformed, Relays};

/// Paths per pair.
const COUNT: usize = AVOID_LIMIT + 1;

/// What a link costs from now on: as the direct path, and within a relayed one; `rtt` only where there is a cap.
#[derive(Clone, Copy, Debug)]
pub struct Change {
    pub from: usize,
    pub to: usize,
    pub direct: f32,
    pub link: f32,
    pub rtt: f32,
}

/// A network, what was found in it, and the candidates that it was found among.
///
/// After [`Tracker::update`] the paths are those that a search of the changed network would find with the same order
/// of relays: which ones may be second relays is decided once.
pub struct Tracker {
    network: Network,
    candidates: Vec<Candidates>,
    paths: Option<Paths>,
    threads: usize,
}

impl Tracker {
    pub fn new(network: Network, threads: usize) -> Self {
        let candidates = network.candidates(threads);
        Self {
            network,
            candidates,
            paths: None,
            threads,
        }
    }

    pub fn network(&self) -> &Network {
        &self.network
    }

    /// The cheapest path of each pair that shares nothing with the pair's paths in `avoid`: `[from][to][path]`, up to
    /// [`AVOID_LIMIT`] for each pair.
    pub fn best(&self, avoid: &[Relays]) -> Result<Paths, Malformed> {
        self.network.best(&self.candidates, avoid, self.threads)
    }

    /// A primary and two disjoint back-ups for each pair, `[from][to][path]`.
    pub fn paths(&mut self) -> &Paths {
        let (network, candidates, threads) = (&self.network, &self.candidates, self.threads);
        self.paths.get_or_insert_with(|| {
            let mut paths = Paths::absent(network.n * network.n * COUNT);
            network.by_source(&mut paths, candidates, threads, |pair, costs, relays| {
                network.put(pair, costs, relays);
            });
            paths
        })
    }

    /// Changes one link; returns the pairs (from, to) whose paths, or what these cost, are others now.
    pub fn update(&mut self, change: Change) -> Result<Vec<(u16, u16)>, Malformed> {
        let n = self.network.n;
        if change.from >= n || change.to >= n || change.from == change.to {
            return Err(Malformed("from, to: not a link"));
        }
        self.paths();
        let ends = self.network.ends(&change);
        let before = self.network.middle_link(&ends);
        self.network.change(&change, &ends);
        let after = self.network.middle_link(&ends);
        let mut room = Room::new(&self.network);
        self.renew_candidates(&change, &ends, &mut room);

        let mut changed = Vec::new();
        for to in 0..n {
            self.renew(change.from, to, &mut room, &mut changed);
        }
        for source in (0..n).filter(|&source| source != change.from) {
            self.renew(source, change.to, &mut room, &mut changed);
        }
        for (source, to) in self.served(&ends, before, after) {
            if source != change.from && to != change.to {
                self.renew(source, to, &mut room, &mut changed);
            }
        }
        Ok(changed)
    }

    /// The pairs that a link serves as the middle one of three, or would serve: through it a path costs no more than the
    /// last of the pair's paths.
    fn served(
        &self,
        ends: &Ends,
        before: Option<Middle>,
        after: Option<Middle>,
    ) -> Vec<(usize, usize)> {
        let (n, network) = (self.network.n, &self.network);
        let mut served = Vec::new();
        let (Some(paths), Some(before), Some(after)) = (&self.paths, before, after) else {
            return served;
        };
        let (Some(from), Some(second)) = (ends.from, ends.second) else {
            return served;
        };
        let cost = before.cost.min(after.cost);
        let reach = before.reach.min(after.reach);
        let last: Vec<f32> = (0..n).map(|to| network.last.at(to, second)).collect();
        let cap = network.cap.as_ref().map(|cap| {
            let rest: Vec<f32> = (0..n).map(|to| cap.last.at(to, second)).collect();
            (cap, rest)
        });
        for source in 0..n {
            let base = network.into.at(source, from) + cost;
            if base == f32::INFINITY {
                continue;
            }
            let worst = paths.costs[source * n * COUNT..][..n * COUNT].chunks_exact(COUNT);
            let costs = worst
                .zip(&last)
                .map(|(costs, last)| (costs[COUNT - 1], base + last));
            let Some((cap, rest)) = &cap else {
                served.extend(
                    costs
                        .enumerate()
                        .filter(|(_, (worst, cost))| cost <= worst && cost.is_finite())
                        .map(|(to, _)| (source, to)),
                );
                continue;
            };
            let reach = cap.to.at(source, from) + reach;
            let limits = &cap.limit[source * n..][..n];
            let found = costs.zip(rest).zip(limits).enumerate();
            served.extend(
                found
                    .filter(|(_, (((worst, cost), rest), limit))| {
                        let over = reach + **rest > **limit;
                        let cost = cost + if over { cap.penalty } else { 0.0 };
                        cost <= *worst && cost.is_finite()
                    })
                    .map(|(to, _)| (source, to)),
            );
        }
        served
    }

    fn renew_candidates(&mut self, change: &Change, ends: &Ends, room: &mut Room) {
        let network = &self.network;
        if ends.to.is_some() {
            let candidates = &mut self.candidates[change.from];
            for group in 0..network.n.div_ceil(GROUP) {
                let found = network.singles(change.from, group, &mut room.scratch);
                candidates.singles[group * GROUP..][..GROUP].copy_from_slice(&found);
            }
            candidates
                .firsts
                .find(network, change.from, &mut room.scratch);
        }
        if ends.from.is_none() {
            return;
        }
        for (source, candidates) in self.candidates.iter_mut().enumerate() {
            let group = change.to / GROUP;
            let found = network.singles(source, group, &mut room.scratch);
            candidates.singles[group * GROUP..][..GROUP].copy_from_slice(&found);
            if let Some(second) = ends.second {
                let group = second / GROUP;
                candidates
                    .firsts
                    .find_group(network, source, group, &mut room.scratch);
            }
        }
    }

    /// Finds a pair's paths anew.
    fn renew(&mut self, source: usize, to: usize, room: &mut Room, changed: &mut Vec<(u16, u16)>) {
        let Some(paths) = &mut self.paths else { return };
        let candidates = &self.candidates[source];
        let seconds = self
            .network
            .seconds_to(source, to / GROUP, &candidates.firsts, room);
        let pair = candidates.pair(source, to, &seconds[to % GROUP]);
        let (mut new_costs, mut new_relays) = ([0.0; COUNT], [Relays::default(); COUNT]);
        self.network.put(&pair, &mut new_costs, &mut new_relays);
        let at = (source * self.network.n + to) * COUNT;
        let costs = &mut paths.costs[at..at + COUNT];
        let relays = &mut paths.relays[at..at + COUNT];
        if *costs != new_costs || *relays != new_relays {
            costs.copy_from_slice(&new_costs);
            relays.copy_from_slice(&new_relays);
            changed.push((source as u16, to as u16));
        }
    }
}

/// What a link's ends are: positions among relays, and the second relay that it leads to.
struct Ends {
    from: Option<usize>,
    to: Option<usize>,
    second: Option<usize>,
}

/// A link between a first and a second relay, and through the second.
#[derive(Clone, Copy)]
struct Middle {
    cost: f32,
    reach: f32,
}

impl Network {
    fn ends(&self, change: &Change) -> Ends {
        let to = self.position(change.to);
        let second = |to: usize| self.seconds.iter().position(|&at| usize::from(at) == to);
        Ends {
            from: self.position(change.from),
            to,
            second: to.and_then(second),
        }
    }

    fn middle_link(&self, ends: &Ends) -> Option<Middle> {
        let (from, second) = (ends.from?, ends.second?);
        Some(Middle {
            cost: self.middle.at(second, from),
            reach: self
                .cap
                .as_ref()
                .map_or(0.0, |cap| cap.middle.at(second, from)),
        })
    }

    /// Puts a link's new costs everywhere they stand.
    fn change(&mut self, change: &Change, ends: &Ends) {
        let at = change.from * self.n + change.to;
        self.direct[at] = change.direct;
        let as_second = |at: usize| self.seconds.iter().position(|&id| usize::from(id) == at);
        let from_second = ends.from.and_then(as_second);
        if let Some(from) = ends.from {
            self.out.set(change.to, from, change.link);
            if let Some(second) = from_second {
                self.last.set(change.to, second, change.link);
            }
        }
        if let Some(to) = ends.to {
            let through = change.link + self.passage[to];
            self.into.set(change.from, to, through);
            if let (Some(from), Some(second)) = (ends.from, ends.second) {
                self.middle.set(second, from, through);
            }
        }
        let Some(cap) = &mut self.cap else { return };
        cap.rtt[at] = change.rtt;
        if let Some(from) = ends.from {
            cap.out.set(change.to, from, change.rtt);
            if let Some(second) = from_second {
                cap.last.set(change.to, second, change.rtt);
            }
        }
        if let Some(to) = ends.to {
            let through = change.rtt + cap.per_relay;
            cap.to.set(change.from, to, through);
            if let (Some(from), Some(second)) = (ends.from, ends.second) {
                cap.middle.set(second, from, through);
            }
        }
    }
}
