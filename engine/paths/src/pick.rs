//! The cheapest path of one pair that avoids what is taken, from short lists of candidates. Pure.
//!
//! A list holds the cheapest few. Where all of them are taken and what is behind could still be better, everything is
//! looked at.

use crate::firsts::Firsts;
use crate::kernel::{Entry, KEPT, LEVELS, Least};
use crate::network::{LaidOutCap, NOBODY, Network};
use crate::{ABSENT, AVOID_LIMIT, NONE, Relays, UNREACHABLE};

/// A path and what it costs; relays are positions, or [`NOBODY`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Pick {
    pub(crate) cost: f32,
    relays: [u16; 2],
}

/// The direct path if its cost is below [`UNREACHABLE`], none otherwise.
const NO_PATH: Pick = Pick {
    cost: UNREACHABLE,
    relays: [NOBODY; 2],
};

/// What a pair's next path is not to use.
#[derive(Clone, Copy)]
pub(crate) struct Taken {
    direct: bool,
    /// The destination first, then the relays of earlier paths.
    relays: [u16; 1 + 2 * AVOID_LIMIT],
    used: usize,
}

/// A pair and its candidates.
pub(crate) struct Pair<'a> {
    pub(crate) source: usize,
    pub(crate) to: usize,
    pub(crate) firsts: &'a Firsts,
    /// Single relays.
    pub(crate) singles: &'a Least,
    /// Second relays, by what a path through them costs at least.
    pub(crate) seconds: &'a Least,
}

impl Taken {
    pub(crate) fn new(network: &Network, to: usize) -> Self {
        let mut relays = [NOBODY; 1 + 2 * AVOID_LIMIT];
        relays[0] = network.position[to];
        Self {
            direct: false,
            relays,
            used: 1,
        }
    }

    /// Adds a path's relays, as nodes.
    pub(crate) fn avoid(&mut self, network: &Network, path: Relays) {
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
    fn has(&self, at: usize) -> bool {
        self.relays
            .iter()
            .fold(false, |has, &relay| has | (usize::from(relay) == at))
    }
}

impl Pick {
    /// As it is given to those who ask.
    #[inline]
    pub(crate) fn told(&self, network: &Network) -> (f32, Relays) {
        if self.cost >= UNREACHABLE {
            return (f32::INFINITY, [ABSENT, NONE]);
        }
        let id = |at: u16| {
            network
                .relays
                .get(usize::from(at))
                .map_or(NONE, |&id| id as i16)
        };
        (self.cost, self.relays.map(id))
    }

    fn is_long(&self) -> bool {
        self.relays[1] != NOBODY
    }
}

impl Network {
    /// The cheapest path of the pair that uses nothing that is taken.
    pub(crate) fn pick(&self, pair: &Pair<'_>, taken: &Taken) -> Pick {
        if pair.source == pair.to {
            return NO_PATH;
        }
        let mut best = self.short(pair, taken);
        for entry in pair.seconds {
            // The next ones cost more at least, or the same by a relay that is later in order.
            if *entry == Entry::NONE
                || entry.sum() > best.cost
                || entry.sum() == best.cost && !best.is_long()
            {
                return best;
            }
            self.improve(pair, entry.column(), taken, &mut best);
        }
        let cheapest = pair.firsts.cheapest().straight;
        for (second, first) in cheapest.iter().enumerate().take(self.seconds.len()) {
            let least = first + self.last.at(pair.to, second);
            if least <= best.cost && pair.seconds.iter().all(|entry| entry.column() != second) {
                self.improve(pair, second, taken, &mut best);
            }
        }
        best
    }

    /// The direct path, or by a single relay.
    #[inline]
    fn short(&self, pair: &Pair<'_>, taken: &Taken) -> Pick {
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
        let single = pair.singles.iter().find(|entry| !taken.has(entry.column()));
        let single = match single {
            Some(&entry) => entry,
            None => self.any_single(pair, taken),
        };
        if single != Entry::NONE && single.sum() < best.cost {
            best = Pick {
                cost: single.sum(),
                relays: [single.column() as u16, NOBODY],
            };
        }
        best
    }

    /// Looks at every relay: those of the list are all taken.
    #[cold]
    fn any_single(&self, pair: &Pair<'_>, taken: &Taken) -> Entry {
        let free = (0..self.relays.len()).filter(|&at| !taken.has(at));
        free.map(|at| {
            let mut sum = self.into.at(pair.source, at) + self.out.at(pair.to, at);
            if let Some(cap) = &self.cap {
                let rtt = cap.to.at(pair.source, at) + cap.out.at(pair.to, at);
                if rtt > cap.limit[pair.source * self.n + pair.to] {
                    sum += cap.penalty;
                }
            }
            Entry::new(sum, at)
        })
        .filter(|entry| entry.sum() < UNREACHABLE)
        .min()
        .unwrap_or(Entry::NONE)
    }

    /// Takes the cheapest path through this second relay, if it is better.
    #[inline]
    fn improve(&self, pair: &Pair<'_>, second: usize, taken: &Taken, best: &mut Pick) {
        let at = self.seconds[second];
        if taken.has(usize::from(at)) {
            return;
        }
        let last = self.last.at(pair.to, second);
        let (cost, first) = match &self.cap {
            None => match self.first(pair, second, taken, best.cost) {
                Some(first) => (first.sum() + last, first.column()),
                None => return,
            },
            Some(cap) => match self.first_within(cap, pair, second, taken, best.cost) {
                Some(found) => found,
                None => return,
            },
        };
        let order = |at: u16| self.seconds.iter().position(|&second| second == at);
        let better = cost < best.cost
            || cost == best.cost && best.is_long() && Some(second) < order(best.relays[1]);
        if better {
            *best = Pick {
                cost,
                relays: [first as u16, at],
            };
        }
    }

    /// The cheapest first relay; none if it is sure that its path costs more than `limit`.
    #[inline]
    fn first(&self, pair: &Pair<'_>, second: usize, taken: &Taken, limit: f32) -> Option<Entry> {
        let list = pair.firsts.list(0, second);
        let last = self.last.at(pair.to, second);
        if let Some(&entry) = list.iter().find(|entry| !taken.has(entry.column())) {
            return entry.some();
        }
        if list[KEPT - 1].sum() + last > limit {
            return None;
        }
        self.any_first(pair, second, taken, |_| true)
    }

    /// Looks at every first relay.
    #[cold]
    fn any_first(
        &self,
        pair: &Pair<'_>,
        second: usize,
        taken: &Taken,
        asked: impl Fn(usize) -> bool,
    ) -> Option<Entry> {
        if usize::from(self.relays[usize::from(self.seconds[second])]) == pair.source {
            return None;
        }
        let free = (0..self.relays.len()).filter(|&at| !taken.has(at));
        free.map(|at| {
            Entry::new(
                self.into.at(pair.source, at) + self.middle.at(second, at),
                at,
            )
        })
        .filter(|entry| entry.sum() < UNREACHABLE && asked(entry.column()))
        .min()
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
        let within = |at: usize| !over(cap.to.at(pair.source, at) + cap.middle.at(second, at));
        let mut found = None;
        if !over(pair.firsts.nearest.at(0, second)) {
            let level = (0..LEVELS - 1)
                .find(|&level| over(pair.firsts.limits.at(level, second)))
                .unwrap_or(LEVELS - 1);
            let list = pair.firsts.list(level, second);
            found = list
                .iter()
                .take_while(|&&entry| entry != Entry::NONE)
                .find(|entry| !taken.has(entry.column()) && within(entry.column()))
                .copied();
            let full = list[KEPT - 1] != Entry::NONE;
            if found.is_none() && full && list[KEPT - 1].sum() + last <= limit {
                found = self.any_first(pair, second, taken, within);
            }
        }
        let found = found.map(|entry| (entry.sum() + last, entry.column()));
        let limit = found.map_or(limit, |(cost, _)| cost.min(limit));
        // Above the cap, where that is as good.
        if (pair.firsts.costs.at(LEVELS - 1, second) + last) + cap.penalty < limit {
            let slow = self.any_first(pair, second, taken, |at| !within(at));
            let slow = slow.map(|entry| ((entry.sum() + last) + cap.penalty, entry.column()));
            return slow.filter(|&(cost, _)| cost < limit).or(found);
        }
        found
    }

    fn penalty(&self) -> f32 {
        self.cap.as_ref().map_or(0.0, |cap| cap.penalty)
    }
}
