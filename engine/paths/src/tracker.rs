//! Disjoint paths that are kept up to date, one link's change at a time. Pure.

use crate::kernel::below;
use crate::lists::Lists;
use crate::network::{LaidOutCap, Network};
use crate::pick::Row;
use crate::solve::{Candidates, Paths, store};
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
    candidates: Candidates,
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
        self.paths
            .get_or_insert_with(|| find(network, candidates, threads))
    }

    /// Changes one link; returns the pairs (from, to) whose paths, or what these cost, are others now.
    pub fn update(&mut self, change: Change) -> Result<Vec<(u16, u16)>, Malformed> {
        let n = self.network.n;
        if change.from >= n || change.to >= n || change.from == change.to {
            return Err(Malformed("from, to: not a link"));
        }
        self.paths();
        let relay = |node| self.network.position(node);
        let (from, to) = (relay(change.from), relay(change.to));
        let second = to.filter(|&to| to < self.network.second);
        let before = from.zip(second).map(|at| self.network.middle(at));
        self.network.change(&change, from, to);
        let after = from.zip(second).map(|at| self.network.middle(at));
        self.renew_candidates(&change, from, to);

        let mut changed = Vec::new();
        self.renew_row(change.from, &mut changed);
        for source in (0..n).filter(|&source| source != change.from) {
            self.renew_pair(source, change.to, &mut changed);
        }
        // As the middle link of three it matters to a pair that it served, or that it would serve now: in both cases
        // it costs no more than the last of the pair's paths.
        if let (Some(from), Some(second), Some(before), Some(after)) = (from, second, before, after)
        {
            let mut hit = Vec::new();
            for source in (0..n).filter(|&source| source != change.from) {
                let base = self.network.into[source * self.network.relays.len() + from]
                    + before.min(after);
                if base.is_finite() {
                    hit.clear();
                    below(
                        base,
                        self.network.last_row(second),
                        &self.last_costs(source),
                        &mut hit,
                    );
                    for &destination in &hit {
                        if destination as usize != change.to {
                            self.renew_pair(source, destination as usize, &mut changed);
                        }
                    }
                }
            }
        }
        Ok(changed)
    }

    /// The costs of a source's last paths and the smallest step above, padded so that the padding is below every sum.
    fn last_costs(&self, source: usize) -> Vec<f32> {
        let n = self.network.n;
        let mut last = vec![f32::NEG_INFINITY; self.network.width];
        if let Some(paths) = &self.paths {
            let rows = paths.costs[source * n * COUNT..][..n * COUNT].chunks_exact(COUNT);
            for (last, costs) in last.iter_mut().zip(rows) {
                *last = costs[COUNT - 1].next_up();
            }
        }
        last
    }

    fn renew_candidates(&mut self, change: &Change, from: Option<usize>, to: Option<usize>) {
        let network = &mut self.network;
        if to.is_some() {
            let lists = &mut self.candidates.0[change.from];
            lists.clear();
            network.find_singles(change.from, std::slice::from_mut(lists));
            let mut firsts = std::mem::replace(&mut network.firsts[change.from], Lists::new(0));
            network.find_firsts_of(change.from, &mut firsts);
            network.firsts[change.from] = firsts;
        }
        if from.is_none() {
            return;
        }
        for source in 0..network.n {
            network.find_singles_to(change.to, source, &mut self.candidates.0[source]);
        }
        if let Some(second) = to.filter(|&to| to < network.second) {
            for source in (0..network.n).filter(|&source| source != change.to) {
                let mut firsts = std::mem::replace(&mut network.firsts[source], Lists::new(0));
                network.find_firsts_to(second, source, &mut firsts);
                network.firsts[source] = firsts;
            }
        }
    }

    fn renew_row(&mut self, source: usize, changed: &mut Vec<(u16, u16)>) {
        let Some(paths) = &mut self.paths else { return };
        let each = self.network.n * COUNT;
        let costs = &mut paths.costs[source * each..][..each];
        let relays = &mut paths.relays[source * each..][..each];
        let before = (costs.to_vec(), relays.to_vec());
        let lists = &self.candidates.0[source];
        self.network
            .disjoint_row(source, lists, costs, relays, COUNT, &mut Row::default());
        for to in 0..self.network.n {
            let at = to * COUNT..(to + 1) * COUNT;
            if costs[at.clone()] != before.0[at.clone()] || relays[at.clone()] != before.1[at] {
                changed.push((source as u16, to as u16));
            }
        }
    }

    fn renew_pair(&mut self, source: usize, to: usize, changed: &mut Vec<(u16, u16)>) {
        let Some(paths) = &mut self.paths else { return };
        let at = (source * self.network.n + to) * COUNT;
        let costs = &mut paths.costs[at..at + COUNT];
        let relays = &mut paths.relays[at..at + COUNT];
        let (mut new_costs, mut new_relays) = ([0.0; COUNT], [Relays::default(); COUNT]);
        for path in 0..COUNT {
            let lists = &self.candidates.0[source];
            let pick = self
                .network
                .pick_pair(source, to, lists, &new_relays[..path]);
            store(pick, &mut new_costs[path], &mut new_relays[path]);
        }
        if *costs != new_costs || *relays != new_relays {
            costs.copy_from_slice(&new_costs);
            relays.copy_from_slice(&new_relays);
            changed.push((source as u16, to as u16));
        }
    }
}

impl Network {
    /// What it costs between a first and a second relay, by position, and through the second.
    fn middle(&self, (first, second): (usize, usize)) -> f32 {
        self.middle.at(first, second)
    }

    /// Puts a link's new costs everywhere they stand; `from` and `to` are its ends' positions among the relays.
    fn change(&mut self, change: &Change, from: Option<usize>, to: Option<usize>) {
        let (n, k) = (self.n, self.relays.len());
        self.direct[change.from * n + change.to] = change.direct;
        if let Some(from) = from {
            self.out.set(from, change.to, change.link);
            if from < self.second {
                self.last[from * self.width + change.to] = change.link;
            }
        }
        if let Some(to) = to {
            let cost = change.link + self.passage[to];
            self.into[change.from * k + to] = cost;
            if let Some(from) = from
                && to < self.second
            {
                self.middle.set(from, to, cost);
            }
        }
        if let Some(mut cap) = self.cap.take() {
            self.change_rtt(change, from, to, &mut cap);
            self.cap = Some(cap);
        }
    }

    fn change_rtt(
        &self,
        change: &Change,
        from: Option<usize>,
        to: Option<usize>,
        cap: &mut LaidOutCap,
    ) {
        cap.rtt[change.from * self.n + change.to] = change.rtt;
        if let Some(from) = from {
            cap.out.set(from, change.to, change.rtt);
            if let Some(to) = to.filter(|&to| to < self.second) {
                cap.to_second[from * self.second + to] = change.rtt + cap.per_relay;
                for source in 0..self.n {
                    self.find_nearest(source, cap);
                }
                return;
            }
        }
        self.find_nearest(change.from, cap);
    }

    /// Finds the single relays of one pair anew.
    fn find_singles_to<const K: usize>(&self, to: usize, source: usize, lists: &mut Lists<K>) {
        lists.clear_lane(to);
        let k = self.relays.len();
        for (relay, &id) in self.relays.iter().enumerate() {
            let mut cost = self.into[source * k + relay] + self.out.at(relay, to);
            if let Some(cap) = &self.cap {
                let rtt = cap.rtt[source * self.n + usize::from(id)]
                    + cap.per_relay
                    + cap.out.at(relay, to);
                if rtt > cap.limit[source * self.width + to] {
                    cost += cap.penalty;
                }
            }
            lists.insert(to, cost, id);
        }
    }

    /// Finds the first relays of one source to one second relay anew.
    fn find_firsts_to<const K: usize>(&self, second: usize, source: usize, lists: &mut Lists<K>) {
        lists.clear_lane(second);
        let k = self.relays.len();
        for (relay, &id) in self.relays.iter().enumerate() {
            let cost = self.into[source * k + relay] + self.middle.at(relay, second);
            lists.insert(second, cost, id);
        }
    }
}

fn find(network: &Network, candidates: &Candidates, threads: usize) -> Paths {
    let each = network.n * COUNT;
    let mut paths = Paths::absent(network.n * each);
    let rows = paths
        .costs
        .chunks_mut(each.max(1))
        .zip(paths.relays.chunks_mut(each.max(1)));
    let rows = rows.zip(&candidates.0).enumerate();
    crate::solve::in_parallel(threads, rows, |(source, ((costs, relays), lists))| {
        network.disjoint_row(source, lists, costs, relays, COUNT, &mut Row::default());
    });
    paths
}
