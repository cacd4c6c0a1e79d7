//! The cheapest path of one pair that avoids what is taken, from short lists of candidates. Pure.
//!
//! A list holds the cheapest few. Where all of them are taken and what is behind could still be better, everything is
//! looked at.

use crate::firsts::Firsts;
use crate::kernel::{Bound, Entry, LANES, LEVELS, at_most, cheapest_of_all, first_least};
use crate::network::{LaidOutCap, NOBODY, Network};
use crate::sums::Shortlist;
use crate::{ABSENT, AVOID_LIMIT, NONE, Relays, SECONDS_LIMIT, UNREACHABLE};

/// A path and what it costs; relays are positions, or [`NOBODY`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Pick {
    pub(crate) cost: f32,
    pub(crate) relays: [u16; 2],
}

/// The direct path if its cost is below [`UNREACHABLE`], none otherwise.
pub(crate) const NO_PATH: Pick = Pick {
    cost: UNREACHABLE,
    relays: [NOBODY; 2],
};

/// Relays that can be taken, and room: a vector's worth is compared at once.
const TAKEN: usize = 8;
const _: () = assert!(2 * AVOID_LIMIT < TAKEN);

/// What a pair's next path is not to use.
#[derive(Clone, Copy)]
pub(crate) struct Taken {
    direct: bool,
    /// The destination first, then the relays of earlier paths.
    relays: [u16; TAKEN],
    used: usize,
}

/// A pair and its candidates.
pub(crate) struct Pair<'a> {
    pub(crate) source: usize,
    pub(crate) to: usize,
    pub(crate) firsts: &'a Firsts,
    /// Single relays; none where all relays are second ones.
    pub(crate) singles: Option<&'a Shortlist>,
}

/// What paths of a pair through each second relay cost at least, whatever is taken; raised as more is known.
pub(crate) struct Bounds<'a> {
    /// What none of them is below.
    pub(crate) least: f32,
    /// By second relay, of some pairs together; this pair's place among them.
    pub(crate) together: &'a [[f32; LANES]],
    pub(crate) lane: usize,
    known: Option<[f32; SECONDS_LIMIT]>,
}

impl<'a> Bounds<'a> {
    pub(crate) fn among(together: &'a [[f32; LANES]], lane: usize, least: f32) -> Self {
        Self {
            least,
            together,
            lane,
            known: None,
        }
    }

    pub(crate) fn of(known: [f32; SECONDS_LIMIT]) -> Self {
        Self {
            least: 0.0,
            together: &[],
            lane: 0,
            known: Some(known),
        }
    }

    fn known(&mut self) -> &mut [f32; SECONDS_LIMIT] {
        let (together, lane) = (self.together, self.lane);
        self.known.get_or_insert_with(|| {
            let mut known = [f32::INFINITY; SECONDS_LIMIT];
            for (bound, bounds) in known.iter_mut().zip(together) {
                *bound = bounds[lane];
            }
            known
        })
    }
}

impl Taken {
    pub(crate) fn relays(&self) -> &[u16] {
        &self.relays[..self.used]
    }

    pub(crate) fn has_direct(&self) -> bool {
        self.direct
    }

    /// These positions, and the direct path or not.
    pub(crate) fn of(direct: bool, relays: &[u16]) -> Self {
        let mut taken = Self {
            direct,
            relays: [NOBODY; TAKEN],
            used: 0,
        };
        relays.iter().for_each(|&at| taken.push(at));
        taken
    }

    pub(crate) fn new(network: &Network, to: usize) -> Self {
        let mut relays = [NOBODY; TAKEN];
        relays[0] = network.position[to];
        Self {
            direct: false,
            relays,
            used: 1,
        }
    }

    /// The same, and what paths share that are to be avoided.
    pub(crate) fn beside(network: &Network, to: usize, avoid: &[Relays]) -> Self {
        let mut taken = Self::new(network, to);
        avoid.iter().for_each(|&path| taken.avoid(network, path));
        taken
    }

    /// Adds a path's relays, as nodes.
    fn avoid(&mut self, network: &Network, path: Relays) {
        self.direct |= path[0] == NONE;
        for node in path.into_iter().filter_map(|id| usize::try_from(id).ok()) {
            self.push(network.position.get(node).copied().unwrap_or(NOBODY));
        }
    }

    pub(crate) fn add(&mut self, pick: &Pick) {
        self.direct |= pick.cost < UNREACHABLE && pick.relays[0] == NOBODY;
        self.push(pick.relays[0]);
        self.push(pick.relays[1]);
    }

    fn push(&mut self, at: u16) {
        if let Some(place) = self.relays.get_mut(self.used) {
            *place = at;
            self.used += 1;
        }
    }

    #[inline(always)]
    pub(crate) fn has(&self, at: usize) -> bool {
        self.relays
            .iter()
            .fold(false, |has, &relay| has | (relay == at as u16))
    }
}

impl Pick {
    pub(crate) fn single(cost: f32, at: usize) -> Self {
        Self {
            cost,
            relays: [at as u16, NOBODY],
        }
    }

    /// As it is given to those who ask.
    #[inline]
    pub(crate) fn told(&self, network: &Network) -> (f32, Relays) {
        if self.cost >= UNREACHABLE {
            return (f32::INFINITY, [ABSENT, NONE]);
        }
        (self.cost, self.relays.map(|at| network.told(at)))
    }

    fn is_long(&self) -> bool {
        self.relays[1] != NOBODY
    }
}

impl Network {
    /// The cheapest path of the pair that uses nothing that is taken.
    pub(crate) fn pick(&self, pair: &Pair<'_>, taken: &Taken, bounds: &mut Bounds<'_>) -> Pick {
        if pair.source == pair.to {
            return NO_PATH;
        }
        let (mut best, rest) = self.short(pair, taken);
        if bounds.least <= best.cost {
            self.through_second(pair, taken, bounds.known(), &mut best);
        }
        if rest <= best.cost {
            return self.any_short(pair, taken, best);
        }
        best
    }

    /// Takes the cheapest path through a second relay, if it is better.
    fn through_second(
        &self,
        pair: &Pair<'_>,
        taken: &Taken,
        bounds: &mut [f32; SECONDS_LIMIT],
        best: &mut Pick,
    ) {
        // The most promising one first: most of the others cannot be better then.
        let (first, _) = first_least(bounds);
        let mut left = 1_u64 << first;
        let mut looked_at = 0;
        while left != 0 {
            let second = left.trailing_zeros() as usize;
            let bound = bounds[second];
            looked_at |= 1 << second;
            // Of equal ones that are all long the one that is earlier in order counts.
            let promising = bound < best.cost || bound == best.cost && best.is_long();
            if promising && let Some(cost) = self.improve(pair, second, taken, best) {
                bounds[second] = cost;
            }
            left &= left - 1;
            if second == first && looked_at == 1 << first {
                left = at_most(bounds, best.cost) & !looked_at;
            }
        }
    }

    /// The direct path, or by a single relay of the list; and what one that is not in the list costs at least, where
    /// all of the list are taken.
    #[inline]
    pub(crate) fn short(&self, pair: &Pair<'_>, taken: &Taken) -> (Pick, f32) {
        let mut best = NO_PATH;
        if !taken.direct {
            let at = pair.source * self.n + pair.to;
            let over = self
                .cap
                .as_ref()
                .is_some_and(|cap| cap.rtt[at] > cap.limit[at]);
            let cost = self.direct[at] + if over { self.penalty() } else { 0.0 };
            if cost < best.cost {
                best.cost = cost;
            }
        }
        let Some(singles) = pair.singles else {
            return (best, f32::NEG_INFINITY);
        };
        // Without a branch for each: which one it is cannot be foretold.
        let mut free = 0_u32;
        for (place, entry) in singles.entries.iter().enumerate() {
            free |= u32::from(*entry != Entry::NONE && !taken.has(entry.column())) << place;
        }
        let Some(single) = singles.entries.get(free.trailing_zeros() as usize) else {
            return (best, singles.beyond());
        };
        if single.sum() < best.cost {
            best = Pick::single(single.sum(), single.column());
        }
        (best, f32::INFINITY)
    }

    /// Looks at every relay: one of those that are not in the list could be better.
    #[cold]
    fn any_short(&self, pair: &Pair<'_>, taken: &Taken, best: Pick) -> Pick {
        let single = self.any_single(pair, taken);
        let better = single.sum() < best.cost || single.sum() == best.cost && best.is_long();
        if single != Entry::NONE && better {
            return Pick::single(single.sum(), single.column());
        }
        best
    }

    /// What the path by one relay costs.
    pub(crate) fn single(&self, source: usize, to: usize, at: usize) -> f32 {
        let sum = self.into.exact.at(source, at) + self.out.exact.at(to, at);
        let over = self.cap.as_ref().is_some_and(|cap| {
            cap.to.exact.at(source, at) + cap.out.exact.at(to, at) > cap.limit[source * self.n + to]
        });
        sum + if over { self.penalty() } else { 0.0 }
    }

    /// The cheapest path by one relay, of all.
    fn any_single(&self, pair: &Pair<'_>, taken: &Taken) -> Entry {
        let rows = [
            self.into.exact.row(pair.source),
            self.out.exact.row(pair.to),
        ];
        let bound = self.cap.as_ref().map(|cap| Bound {
            rows: [cap.to.exact.row(pair.source), cap.out.exact.row(pair.to)],
            rest: 0.0,
            limit: cap.limit[pair.source * self.n + pair.to],
            penalty: cap.penalty,
        });
        cheapest_of_all(rows, bound.as_ref(), &taken.relays)
    }

    /// Takes the cheapest path through this second relay, if it is better; returns what it costs at least, if that is
    /// known to be more than its bound.
    #[inline]
    fn improve(
        &self,
        pair: &Pair<'_>,
        second: usize,
        taken: &Taken,
        best: &mut Pick,
    ) -> Option<f32> {
        let at = self.seconds[second];
        if taken.has(usize::from(at)) {
            return Some(f32::INFINITY);
        }
        let last = self.last.at(pair.to, second);
        let (cost, first) = match &self.cap {
            None => {
                let first = self.first(pair, second, taken, best.cost)?;
                (first.sum() + last, first.column())
            }
            Some(cap) => self.first_within(cap, pair, second, taken, best.cost)?,
        };
        let any =
            |cap: &LaidOutCap| (pair.firsts.reaches[second].costs[LEVELS - 1] + last) + cap.penalty;
        let above = self.cap.as_ref().map_or(cost, any);
        let order = |at: u16| self.seconds.iter().position(|&second| second == at);
        let better = cost < best.cost
            || cost == best.cost && best.is_long() && Some(second) < order(best.relays[1]);
        if better {
            *best = Pick {
                cost,
                relays: [first as u16, at],
            };
        }
        Some(cost.min(above))
    }

    /// The cheapest first relay; none if it is sure that its path costs more than `limit`.
    #[inline]
    fn first(&self, pair: &Pair<'_>, second: usize, taken: &Taken, limit: f32) -> Option<Entry> {
        let list = pair.firsts.list(0, second);
        let free = |entry: &&Entry| **entry != Entry::NONE && !taken.has(entry.column());
        if let Some(&entry) = list.entries.iter().find(free) {
            return Some(entry);
        }
        if list.beyond() + self.last.at(pair.to, second) > limit {
            return None;
        }
        self.any_first(pair, second, taken, None)
    }

    /// The cheapest first relay of all, with which a path is not above its cap.
    #[cold]
    fn any_first(
        &self,
        pair: &Pair<'_>,
        second: usize,
        taken: &Taken,
        cap: Option<&LaidOutCap>,
    ) -> Option<Entry> {
        if usize::from(self.relays[usize::from(self.seconds[second])]) == pair.source {
            return None;
        }
        let rows = [
            self.into.exact.row(pair.source),
            self.middle.exact.row(second),
        ];
        let bound = cap.map(|cap| Bound {
            rows: [cap.to.exact.row(pair.source), cap.middle.exact.row(second)],
            rest: cap.last.at(pair.to, second),
            limit: cap.limit[pair.source * self.n + pair.to],
            penalty: f32::INFINITY,
        });
        cheapest_of_all(rows, bound.as_ref(), &taken.relays).some()
    }

    /// The cost of the cheapest path through a second relay, and its first one, under a cap.
    #[inline]
    fn first_within(
        &self,
        cap: &LaidOutCap,
        pair: &Pair<'_>,
        second: usize,
        taken: &Taken,
        limit: f32,
    ) -> Option<(f32, usize)> {
        let last = self.last.at(pair.to, second);
        let rest = cap.last.at(pair.to, second);
        let allowed = cap.limit[pair.source * self.n + pair.to];
        let over = |reach: f32| reach + rest > allowed;
        let within =
            |at: usize| !over(cap.to.exact.at(pair.source, at) + cap.middle.exact.at(second, at));
        let mut found = None;
        let reaches = &pair.firsts.reaches[second];
        if !over(reaches.nearest) {
            let level = (0..LEVELS - 1)
                .find(|&level| over(reaches.limits[level]))
                .unwrap_or(LEVELS - 1);
            let list = pair.firsts.list(level, second);
            found = list
                .entries
                .iter()
                .take_while(|&&entry| entry != Entry::NONE)
                .find(|entry| !taken.has(entry.column()) && within(entry.column()))
                .copied();
            if found.is_none() && list.beyond() + last <= limit {
                found = self.any_first(pair, second, taken, Some(cap));
            }
        }
        let found = found.map(|entry| (entry.sum() + last, entry.column()));
        let limit = found.map_or(limit, |(cost, _)| cost.min(limit));
        // Above the cap, where that is as good.
        if (reaches.costs[LEVELS - 1] + last) + cap.penalty < limit {
            // If the cheapest is not above the cap, what was found is better than any that is.
            let slow = self.any_first(pair, second, taken, None);
            let slow = slow.map(|entry| ((entry.sum() + last) + cap.penalty, entry.column()));
            return slow.filter(|&(cost, _)| cost < limit).or(found);
        }
        found
    }

    fn penalty(&self) -> f32 {
        self.cap.as_ref().map_or(0.0, |cap| cap.penalty)
    }
}
