//! Paths of one source to a few destinations at once. Pure.

use crate::kernel::{Blocked, LANES, NO_WAY, WORDS};
use crate::network::{NOBODY, Network};
use crate::pick::{Bounds, NO_PATH, Pair, Pick, Taken};
use crate::solve::Candidates;
use crate::ways::Ways;
use crate::{Relays, SECONDS_LIMIT};

/// Where paths of a pair go.
pub(crate) struct Place<'a> {
    pub(crate) costs: &'a mut [f32],
    pub(crate) relays: &'a mut [Relays],
}

/// Chooses paths of one source after another.
pub(crate) struct Chooser<'a> {
    network: &'a Network,
    ways: Ways,
    bounds: Vec<[f32; LANES]>,
}

impl<'a> Chooser<'a> {
    pub(crate) fn new(network: &'a Network) -> Self {
        Self {
            network,
            ways: Ways::new(network),
            bounds: vec![[f32::INFINITY; LANES]; network.seconds.len()],
        }
    }

    /// Puts each destination's cheapest paths in place that share nothing with each other and what is taken; `each`
    /// are there for one destination.
    pub(crate) fn all(
        &mut self,
        source: usize,
        candidates: &Candidates,
        taken: impl Fn(usize) -> Taken,
        each: usize,
        place: Place<'_>,
    ) {
        let network = self.network;
        if network.cap.is_none() {
            self.ways.find(network, source, &candidates.firsts);
        }
        let costs = place.costs.chunks_mut(LANES * each);
        let relays = place.relays.chunks_mut(LANES * each);
        for (group, (costs, relays)) in costs.zip(relays).enumerate() {
            let place = Place { costs, relays };
            self.group(source, group, candidates, &taken, each, place);
        }
    }

    /// The same for the destinations of one group; the ways of the source have to be found before.
    fn group(
        &mut self,
        source: usize,
        group: usize,
        candidates: &Candidates,
        taken: impl Fn(usize) -> Taken,
        each: usize,
        place: Place<'_>,
    ) {
        let network = self.network;
        let tos = group * LANES..((group + 1) * LANES).min(network.n);
        if network.cap.is_some() {
            let least = self.bound(source, group, candidates);
            for (lane, to) in tos.enumerate() {
                let bounds = Bounds::among(&self.bounds, lane, least[lane]);
                let paths = lane * each..(lane + 1) * each;
                let (costs, relays) = (&mut place.costs[paths.clone()], &mut place.relays[paths]);
                self.pair(
                    &candidates.pair(source, to),
                    bounds,
                    taken(to),
                    Place { costs, relays },
                );
            }
            return;
        }
        let mut blocked: Blocked = [[0; LANES]; WORDS];
        let mut taken: [Taken; LANES] = std::array::from_fn(|lane| {
            if lane < tos.len() {
                taken(tos.start + lane)
            } else {
                Taken::NOTHING
            }
        });
        let fresh = taken.iter().all(Taken::is_fresh);
        for (lane, taken) in taken.iter().enumerate().filter(|_| !fresh || each > 1) {
            for &relay in taken.relays() {
                self.ways.block(&mut blocked, lane, relay);
            }
        }
        for path in 0..each {
            let mut picks = [NO_PATH; LANES];
            let mut rests = [f32::INFINITY; LANES];
            for (lane, to) in tos.clone().enumerate() {
                let (pick, rest) = network.short(&candidates.pair(source, to), &taken[lane]);
                // Where there are no lists, all relays are among the ways.
                let listed = network.has_singles();
                (picks[lane], rests[lane]) = (pick, if listed { rest } else { f32::INFINITY });
            }
            let mut best = picks.map(|pick| pick.cost);
            if let Some(own) = tos.clone().position(|to| to == source) {
                best[own] = f32::NEG_INFINITY;
            }
            let blocked_now = (path > 0 || !fresh).then_some(&blocked);
            let ways = self.ways.cheapest(network, group, blocked_now, &mut best);
            for (lane, to) in tos.clone().enumerate() {
                let taken = &mut taken[lane];
                let is_long = ways[lane] != NO_WAY;
                let mut pick = Pick {
                    cost: best[lane],
                    relays: if is_long {
                        self.ways.relays(ways[lane])
                    } else {
                        picks[lane].relays
                    },
                };
                // A final way may not be free, and what is in no list may be better.
                let first = pick.relays[0];
                let is_unknown = is_long && (first == NOBODY || taken.has(first.into()));
                if to == source {
                    pick = NO_PATH;
                } else if is_unknown || rests[lane] <= best[lane] {
                    pick = self.alone(&candidates.pair(source, to), taken);
                }
                (
                    place.costs[lane * each + path],
                    place.relays[lane * each + path],
                ) = pick.told(network);
                if path + 1 == each {
                    continue;
                }
                taken.add(&pick);
                for relay in pick.relays {
                    self.ways.block(&mut blocked, lane, relay);
                }
            }
        }
    }

    /// Chooses for one pair what could not be chosen for several.
    #[cold]
    fn alone(&self, pair: &Pair<'_>, taken: &Taken) -> Pick {
        self.network
            .pick(pair, taken, &mut self.bounds_without_cap(pair))
    }

    /// The paths of one pair only.
    pub(crate) fn one(
        &mut self,
        source: usize,
        to: usize,
        candidates: &Candidates,
        place: Place<'_>,
    ) {
        let pair = candidates.pair(source, to);
        let bounds = if self.network.cap.is_some() {
            let least = self.bound(source, to / LANES, candidates);
            Bounds::among(&self.bounds, to % LANES, least[to % LANES])
        } else {
            self.bounds_without_cap(&pair)
        };
        self.pair(&pair, bounds, Taken::new(self.network, to), place);
    }

    fn pair(&self, pair: &Pair<'_>, mut bounds: Bounds<'_>, mut taken: Taken, place: Place<'_>) {
        for (cost, relays) in place.costs.iter_mut().zip(place.relays) {
            let pick = self.network.pick(pair, &taken, &mut bounds);
            taken.add(&pick);
            (*cost, *relays) = pick.told(self.network);
        }
    }

    /// Finds what paths through second relays cost at least, under a cap; returns the least for each destination.
    fn bound(&mut self, source: usize, group: usize, candidates: &Candidates) -> [f32; LANES] {
        let network = self.network;
        let Some(cap) = &network.cap else {
            return [f32::INFINITY; LANES];
        };
        let tos = group * LANES..((group + 1) * LANES).min(network.n);
        let mut limits = [f32::INFINITY; LANES];
        limits[..tos.len()].copy_from_slice(&cap.limit[source * network.n..][tos]);
        candidates
            .firsts
            .bounds(network, cap, group, &limits, &mut self.bounds)
    }

    fn bounds_without_cap(&self, pair: &Pair<'_>) -> Bounds<'static> {
        let mut bounds = [f32::INFINITY; SECONDS_LIMIT];
        let lists = pair.firsts.of_all().iter().enumerate();
        for (bound, (second, list)) in bounds.iter_mut().zip(lists) {
            *bound = list.least() + self.network.last.at(pair.to, second);
        }
        Bounds::of(bounds)
    }
}
