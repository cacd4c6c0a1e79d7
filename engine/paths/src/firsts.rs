//! The cheapest first relays of one source to each second one. Pure.
//!
//! Under a cap on the RTT of paths the cheapest ones are often too slow. So there are several lists then, for more and
//! more *reach*, the RTT up to the second relay and through it: the one that is just above what a destination leaves
//! holds nearly only what is within the cap.

use crate::kernel::{LANES, LEVELS, Reach, Reaches, TILE, within_reach};
use crate::network::{LaidOutCap, Network};
use crate::sums::{Pairing, Shortlist, Within};

/// How far the levels reach, as multiples of the least reach; the last one has no limit.
const REACH: [f32; LEVELS] = [1.0625, 1.125, 1.25, 1.5, 2.0, 3.0, f32::INFINITY];

/// A source's lists; indices of second relays are places among [`Network::second_relays`].
pub(crate) struct Firsts {
    /// `[level][second]` the cheapest first relays, by position.
    lists: Vec<Shortlist>,
    /// `[second]`
    pub(crate) reaches: Vec<Reaches>,
    seconds: usize,
}

impl Firsts {
    /// Empty lists.
    pub(crate) fn new(network: &Network) -> Self {
        let seconds = network.seconds.len();
        let levels = if network.cap.is_some() { LEVELS } else { 1 };
        let never = Reaches {
            limits: [f32::INFINITY; LEVELS],
            costs: [f32::INFINITY; LEVELS],
            nearest: f32::INFINITY,
        };
        Self {
            lists: vec![Shortlist::NONE; levels * seconds],
            reaches: vec![never; if network.cap.is_some() { seconds } else { 0 }],
            seconds,
        }
    }

    #[inline]
    pub(crate) fn list(&self, level: usize, second: usize) -> &Shortlist {
        &self.lists[level * self.seconds + second]
    }

    /// By second relay the cheapest first ones, of all.
    pub(crate) fn of_all(&self) -> &[Shortlist] {
        &self.lists[self.lists.len() - self.seconds..]
    }

    /// Finds all lists of `source` anew.
    pub(crate) fn find(&mut self, network: &Network, source: usize) {
        for tile in 0..self.seconds.div_ceil(TILE) {
            self.find_tile(network, source, tile);
        }
    }

    /// Finds the lists to the second relays of one tile anew.
    pub(crate) fn find_tile(&mut self, network: &Network, source: usize, tile: usize) {
        let costs = Pairing {
            bases: &network.into,
            targets: &network.middle,
        };
        let Some(cap) = &network.cap else {
            let found = costs.least(source, tile, None);
            self.put(network, source, 0, tile, &found);
            return;
        };
        let rtts = Pairing {
            bases: &cap.to,
            targets: &cap.middle,
        };
        let nearest: [f32; TILE] =
            std::array::from_fn(|lane| rtts.nearest(source, tile * TILE + lane));
        for (level, factor) in REACH.into_iter().enumerate() {
            let limits = nearest.map(|nearest| nearest * factor);
            let within = Within {
                pairing: rtts,
                limits,
                penalty: f32::INFINITY,
            };
            let within = (level + 1 < LEVELS).then_some(&within);
            let found = costs.least(source, tile, within);
            self.put(network, source, level, tile, &found);
            for (lane, reaches) in self.reaches[tile * TILE..]
                .iter_mut()
                .take(TILE)
                .enumerate()
            {
                reaches.nearest = nearest[lane];
                reaches.limits[level] = limits[lane];
            }
        }
    }

    fn put(
        &mut self,
        network: &Network,
        source: usize,
        level: usize,
        tile: usize,
        found: &[Shortlist; TILE],
    ) {
        for (second, &found) in (tile * TILE..self.seconds).zip(found) {
            // The source is not its own relay.
            let own = usize::from(network.relays[usize::from(network.seconds[second])]) == source;
            let found = if own { Shortlist::NONE } else { found };
            self.lists[level * self.seconds + second] = found;
            if let Some(reaches) = self.reaches.get_mut(second) {
                reaches.costs[level] = found.least();
            }
        }
    }

    /// Takes over what the way by one first relay to a second one costs from now on. Levels reach as far as before.
    pub(crate) fn change(&mut self, network: &Network, source: usize, second: usize, first: usize) {
        if usize::from(network.relays[usize::from(network.seconds[second])]) == source {
            return;
        }
        let sum = network.into.exact.at(source, first) + network.middle.exact.at(second, first);
        let reach = network
            .cap
            .as_ref()
            .map(|cap| cap.to.exact.at(source, first) + cap.middle.exact.at(second, first));
        let levels = self
            .lists
            .iter_mut()
            .skip(second)
            .step_by(self.seconds.max(1));
        for (level, list) in levels.enumerate() {
            let reaches = self.reaches.get_mut(second);
            let within = reaches
                .as_ref()
                .zip(reach)
                .is_none_or(|(reaches, reach)| reach <= reaches.limits[level]);
            list.change(first, if within { sum } else { f32::INFINITY });
            if let Some((reaches, reach)) = reaches.zip(reach) {
                reaches.costs[level] = list.least();
                reaches.nearest = reaches.nearest.min(reach);
            }
        }
    }

    /// What paths through each second relay to the destinations of a group cost at least: by the cheapest first relay
    /// whose reach may be within the limits, or by any with the penalty. Returns the least for each destination.
    pub(crate) fn bounds(
        &self,
        network: &Network,
        cap: &LaidOutCap,
        group: usize,
        limits: &[f32; LANES],
        bounds: &mut [[f32; LANES]],
    ) -> [f32; LANES] {
        let reach = Reach {
            reaches: &self.reaches,
            last: network.last.group(group),
            rest: cap.last.group(group),
            limits,
            penalty: cap.penalty,
        };
        within_reach(reach, bounds)
    }
}
