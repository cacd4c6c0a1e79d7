//! Disjoint paths that are kept up to date, one link's change at a time. Pure.

use crate::candidates::Candidates;
use crate::choose::{Chooser, Place};
use crate::kernel::TILE;
use crate::network::Network;
use crate::solve::Paths;
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

    /// Whether a network made anew would have the same second relays, in the same order: then its answers are the same.
    pub fn is_current(&self) -> bool {
        let seconds = &self.network.seconds;
        *seconds == self.network.most_useful(seconds.len(), self.threads)
    }

    /// The cheapest path of each pair that shares nothing with the pair's paths in `avoid`: `[from][to][path]`, up to
    /// [`AVOID_LIMIT`] for each pair.
    pub fn best(&self, avoid: &[Relays]) -> Result<Paths, Malformed> {
        self.network.best(&self.candidates, avoid, self.threads)
    }

    /// A primary and two disjoint back-ups for each pair, `[from][to][path]`.
    pub fn paths(&mut self) -> &Paths {
        let (network, candidates, threads) = (&self.network, &self.candidates, self.threads);
        self.paths
            .get_or_insert_with(|| network.chosen(candidates, &[], COUNT, threads))
    }

    /// Changes one link; returns the pairs (from, to) whose [`Tracker::paths`], or what these cost, are others now: none
    /// as long as nobody has asked for those.
    pub fn update(&mut self, change: Change) -> Result<Vec<(u16, u16)>, Malformed> {
        let n = self.network.n;
        if change.from >= n || change.to >= n || change.from == change.to {
            return Err(Malformed("from, to: not a link"));
        }
        let ends = self.network.ends(&change);
        let before = self.network.middle_link(&ends);
        self.network.change(&change, &ends);
        let after = self.network.middle_link(&ends);
        self.renew_candidates(&change, &ends);
        let Some(mut paths) = self.paths.take() else {
            return Ok(Vec::new());
        };
        let mut pairs = self.served(&paths, &ends, before, after);
        pairs.retain(|&(source, to)| source != change.from && to != change.to);
        pairs.extend((0..n).map(|to| (change.from, to)));
        pairs.extend(
            (0..n)
                .filter(|&source| source != change.from)
                .map(|source| (source, change.to)),
        );
        let mut chooser = Chooser::new(&self.network);
        pairs.retain(|&(source, to)| self.renew(&mut paths, source, to, &mut chooser));
        self.paths = Some(paths);
        Ok(pairs
            .into_iter()
            .map(|(source, to)| (source as u16, to as u16))
            .collect())
    }

    /// Changes the limits of pairs (from, to) under a cap; returns those whose [`Tracker::paths`], or what these cost, are
    /// others now.
    pub fn limit(&mut self, limits: &[(u16, u16, f32)]) -> Result<Vec<(u16, u16)>, Malformed> {
        let n = self.network.n;
        let known = |&(source, to, _): &_| usize::from(source) < n && usize::from(to) < n;
        if !limits.iter().all(known) {
            return Err(Malformed("limits: not pairs"));
        }
        let Some(cap) = &mut self.network.cap else {
            return Err(Malformed("limits: there is no cap"));
        };
        for &(source, to, limit) in limits {
            cap.limit[usize::from(source) * n + usize::from(to)] = limit;
        }
        for &(source, to, _) in limits {
            let (source, to) = (usize::from(source), usize::from(to));
            let found = self.network.singles(source, to / TILE)[to % TILE];
            self.candidates[source].singles[to] = found;
        }
        let Some(mut paths) = self.paths.take() else {
            return Ok(Vec::new());
        };
        let mut chooser = Chooser::new(&self.network);
        let mut pairs: Vec<_> = limits.iter().map(|&(source, to, _)| (source, to)).collect();
        pairs
            .retain(|&(source, to)| self.renew(&mut paths, source.into(), to.into(), &mut chooser));
        self.paths = Some(paths);
        Ok(pairs)
    }

    /// The pairs that a link serves as the middle one of three, or would serve: through it a path costs no more than the
    /// last of the pair's paths.
    fn served(
        &self,
        paths: &Paths,
        ends: &Ends,
        before: Option<Middle>,
        after: Option<Middle>,
    ) -> Vec<(usize, usize)> {
        let (n, network) = (self.network.n, &self.network);
        let mut served = Vec::new();
        let (Some(before), Some(after)) = (before, after) else {
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
            let base = network.into.exact.at(source, from) + cost;
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
            let reach = cap.to.exact.at(source, from) + reach;
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

    fn renew_candidates(&mut self, change: &Change, ends: &Ends) {
        let network = &self.network;
        if ends.to.is_some() {
            network.find(change.from, &mut self.candidates[change.from..=change.from]);
        }
        let Some(from) = ends.from else { return };
        for (source, candidates) in self.candidates.iter_mut().enumerate() {
            if let Some(singles) = candidates.singles.get_mut(change.to) {
                singles.change(from, network.single(source, change.to, from));
                if !singles.is_enough() {
                    *singles = network.singles(source, change.to / TILE)[change.to % TILE];
                }
            }
            if let Some(second) = ends.second {
                candidates.firsts.change(network, source, second, from);
            }
        }
    }

    /// Finds a pair's paths anew; returns whether they are others than before.
    fn renew(
        &self,
        paths: &mut Paths,
        source: usize,
        to: usize,
        chooser: &mut Chooser<'_>,
    ) -> bool {
        let (mut costs, mut relays) = ([0.0; COUNT], [Relays::default(); COUNT]);
        let place = Place {
            costs: &mut costs,
            relays: &mut relays,
        };
        chooser.one(source, to, &self.candidates[source], place);
        let at = (source * self.network.n + to) * COUNT;
        let old = (
            &mut paths.costs[at..at + COUNT],
            &mut paths.relays[at..at + COUNT],
        );
        let differs = *old.0 != costs || *old.1 != relays;
        if differs {
            old.0.copy_from_slice(&costs);
            old.1.copy_from_slice(&relays);
        }
        differs
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
            cost: self.middle.exact.at(second, from),
            reach: self
                .cap
                .as_ref()
                .map_or(0.0, |cap| cap.middle.exact.at(second, from)),
        })
    }

    /// Puts a link's new costs everywhere they stand.
    fn change(&mut self, change: &Change, ends: &Ends) {
        let at = change.from * self.n + change.to;
        self.direct[at] = change.direct;
        let as_second = |at: usize| self.seconds.iter().position(|&id| usize::from(id) == at);
        let from_second = ends.from.and_then(as_second);
        if let Some(from) = ends.from {
            self.out.set(change.to, from, change.link, self.into.scale);
            if let Some(second) = from_second {
                self.last.set(change.to, second, change.link);
            }
        }
        if let Some(to) = ends.to {
            let through = change.link + self.passage[to];
            self.into.set(change.from, to, through);
            if let (Some(from), Some(second)) = (ends.from, ends.second) {
                self.middle.set(second, from, through, self.into.scale);
            }
        }
        let Some(cap) = &mut self.cap else { return };
        cap.rtt[at] = change.rtt;
        if let Some(from) = ends.from {
            cap.out.set(change.to, from, change.rtt, cap.to.scale);
            if let Some(second) = from_second {
                cap.last.set(change.to, second, change.rtt);
            }
        }
        if let Some(to) = ends.to {
            let through = change.rtt + cap.per_relay;
            cap.to.set(change.from, to, through);
            if let (Some(from), Some(second)) = (ends.from, ends.second) {
                cap.middle.set(second, from, through, cap.to.scale);
            }
        }
    }
}
