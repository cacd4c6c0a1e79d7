//! Paths of one source to a few destinations at once. Pure.

use std::ops::Range;

use crate::candidates::Candidates;
use crate::kernel::{self, LANES, Work};
use crate::lanes::Lanes;
use crate::network::{NOBODY, Network};
use crate::pick::{Bounds, Pair, Pick, Taken};
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

/// All destinations of a source, a group after the other.
struct Groups<'a, 'b> {
    chooser: &'b mut Chooser<'a>,
    source: usize,
    candidates: &'b Candidates,
    avoid: &'b [Relays],
    place: Place<'b>,
}

impl Work for Groups<'_, '_> {
    #[inline(always)]
    fn run(self) {
        let chooser = self.chooser;
        let n = chooser.network.n;
        let each = self.place.costs.len() / n * LANES;
        let places = self.place.costs.chunks_mut(each);
        let places = places.zip(self.place.relays.chunks_mut(each));
        for (start, (costs, relays)) in (0..n).step_by(LANES).zip(places) {
            let tos = start..(start + LANES).min(n);
            let place = Place { costs, relays };
            if chooser.network.cap.is_some() {
                chooser.within(self.source, tos, self.candidates, self.avoid, place);
            } else {
                chooser.without(self.source, tos, self.candidates, self.avoid, place);
            }
        }
    }
}

/// Of paths that are to be avoided those of one destination among `n`.
fn of_one(avoid: &[Relays], n: usize, to: usize) -> &[Relays] {
    let each = avoid.len() / n;
    &avoid[to * each..][..each]
}

impl<'a> Chooser<'a> {
    pub(crate) fn new(network: &'a Network) -> Self {
        Self {
            network,
            ways: Ways::new(network),
            bounds: vec![[f32::INFINITY; LANES]; network.seconds.len()],
        }
    }

    /// Puts each destination's cheapest paths in place that share nothing with each other and what is to be avoided:
    /// as many for one destination as there is room for.
    pub(crate) fn all(
        &mut self,
        source: usize,
        candidates: &Candidates,
        avoid: &[Relays],
        place: Place<'_>,
    ) {
        if self.network.cap.is_none() {
            self.ways.find(self.network, source, &candidates.firsts);
        }
        kernel::compiled(Groups {
            chooser: self,
            source,
            candidates,
            avoid,
            place,
        });
    }

    /// Chooses for the destinations of one group under a cap.
    fn within(
        &mut self,
        source: usize,
        tos: Range<usize>,
        candidates: &Candidates,
        avoid: &[Relays],
        place: Place<'_>,
    ) {
        let least = self.bound(source, tos.start / LANES, candidates);
        let each = place.costs.len() / tos.len();
        let places = place.costs.chunks_mut(each);
        let places = places.zip(place.relays.chunks_mut(each));
        for ((lane, to), (costs, relays)) in tos.enumerate().zip(places) {
            let bounds = Bounds::among(&self.bounds, lane, least[lane]);
            let taken = Taken::beside(self.network, to, of_one(avoid, self.network.n, to));
            let place = Place { costs, relays };
            self.pair(&candidates.pair(source, to), bounds, taken, place);
        }
    }

    /// The same without one; the ways of the source have to be found before.
    #[inline(always)]
    fn without(
        &self,
        source: usize,
        tos: Range<usize>,
        candidates: &Candidates,
        avoid: &[Relays],
        place: Place<'_>,
    ) {
        let (network, ways) = (self.network, &self.ways);
        let group = tos.start / LANES;
        let mut direct = [f32::INFINITY; LANES];
        let mut destinations = [NOBODY.into(); LANES];
        for (lane, to) in tos.clone().enumerate() {
            direct[lane] = network.direct[source * network.n + to];
            destinations[lane] = network.position[to].into();
        }
        let singles = candidates.singles.as_chunks().0.get(group);
        let mut lanes = Lanes::new(direct, destinations, singles);
        if !avoid.is_empty() {
            for (lane, to) in tos.clone().enumerate() {
                let taken = Taken::beside(network, to, of_one(avoid, network.n, to));
                lanes.avoid(lane, &taken, ways);
            }
        }
        let own = Some(source.wrapping_sub(tos.start)).filter(|&own| own < tos.len());
        let each = place.costs.len() / tos.len();
        for path in 0..each {
            let mut picks = lanes.next(network, ways, group, own);
            while picks.unsure != 0 {
                let lane = picks.unsure.trailing_zeros() as usize;
                picks.unsure &= picks.unsure - 1;
                if lane < tos.len() {
                    let pair = candidates.pair(source, tos.start + lane);
                    picks.put(lane, &self.alone(&pair, &lanes.taken(lane)));
                }
            }
            for lane in 0..tos.len() {
                let at = lane * each + path;
                (place.costs[at], place.relays[at]) = picks.told(network, lane);
            }
            if path + 1 < each {
                lanes.take(&picks, ways);
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
