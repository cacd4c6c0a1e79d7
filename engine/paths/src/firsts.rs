//! The cheapest first relays of one source to each second one. Pure.
//!
//! Under a cap on the RTT of paths the cheapest ones are often too slow. So there are several lists then, for more and
//! more *reach*, the RTT up to the second relay and through it: the one that is just above what a destination leaves
//! holds nearly only what is within the cap.

use crate::kernel::{
    Entry, GROUP, KEPT, LEVELS, Least, Limited, Reaches, Scratch, least, within_reach,
};
use crate::network::Network;
use crate::rows::{Row, Rows, usable};

/// How far the levels reach, as multiples of the least reach; the last one has no limit.
const REACH: [f32; LEVELS] = [1.0625, 1.125, 1.25, 1.5, 2.0, 3.0, f32::INFINITY];

/// A source's lists; indices of second relays are places among [`Network::second_relays`].
pub(crate) struct Firsts {
    /// `[level][second]` the cheapest first relays, by position.
    pub(crate) lists: Vec<Least>,
    /// `[level]` what the cheapest of them cost.
    pub(crate) costs: Rows,
    /// `[level]` of reach that is not exceeded in the lists.
    pub(crate) limits: Rows,
    /// `[1]` the least reach of all.
    pub(crate) nearest: Rows,
    second: usize,
}

impl Firsts {
    /// Empty lists.
    pub(crate) fn new(network: &Network) -> Self {
        let second = network.seconds.len();
        let levels = if network.cap.is_some() { LEVELS } else { 1 };
        let capped = if network.cap.is_some() { second } else { 0 };
        Self {
            lists: vec![[Entry::NONE; KEPT]; levels * second],
            costs: Rows::new(levels, second),
            limits: Rows::new(LEVELS, capped),
            nearest: Rows::new(1, capped),
            second,
        }
    }

    pub(crate) fn list(&self, level: usize, second: usize) -> &Least {
        &self.lists[level * self.second + second]
    }

    /// By second relay the cost of the cheapest first one, of all.
    pub(crate) fn cheapest(&self) -> Row<'_> {
        self.costs.row(
            self.lists
                .len()
                .checked_div(self.second)
                .map_or(0, |levels| levels - 1),
        )
    }

    /// Finds all lists of `source` anew.
    pub(crate) fn find(&mut self, network: &Network, source: usize, scratch: &mut Scratch) {
        for group in 0..self.second.div_ceil(GROUP) {
            self.find_group(network, source, group, scratch);
        }
    }

    /// Finds the lists to the second relays of one group anew.
    pub(crate) fn find_group(
        &mut self,
        network: &Network,
        source: usize,
        group: usize,
        scratch: &mut Scratch,
    ) {
        let base = network.into.row(source);
        let middle = network.middle.group(group);
        let Some(cap) = &network.cap else {
            let found = least(base, middle, None, scratch);
            self.put(network, source, 0, group, &found);
            return;
        };
        let (reach, middle_reach) = (cap.to.row(source), cap.middle.group(group));
        let nearest = least(reach, middle_reach, None, scratch).map(|found| usable(found[0].sum()));
        for (number, nearest) in nearest.into_iter().enumerate() {
            let second = group * GROUP + number;
            if second < self.second {
                self.nearest.set(0, second, nearest);
            }
        }
        for (level, factor) in REACH.into_iter().enumerate() {
            let limits = nearest.map(|nearest| nearest * factor);
            let limited = Limited {
                base: reach,
                group: middle_reach,
                limits,
                penalty: f32::INFINITY,
            };
            let limited = (level + 1 < LEVELS).then_some(&limited);
            let found = least(base, middle, limited, scratch);
            for (number, limit) in limits.into_iter().enumerate() {
                let second = group * GROUP + number;
                if second < self.second {
                    self.limits.set(level, second, limit);
                }
            }
            self.put(network, source, level, group, &found);
        }
    }

    fn put(
        &mut self,
        network: &Network,
        source: usize,
        level: usize,
        group: usize,
        found: &[Least; GROUP],
    ) {
        for (number, &found) in found.iter().enumerate() {
            let second = group * GROUP + number;
            if second >= self.second {
                continue;
            }
            // The source is not its own relay.
            let own = usize::from(network.relays[usize::from(network.seconds[second])]) == source;
            let found = if own { [Entry::NONE; KEPT] } else { found };
            self.lists[level * self.second + second] = found;
            self.costs.set(level, second, found[0].sum());
        }
    }

    /// What a path through each second relay costs at least, if the relay is `rest` away from the destination in RTT
    /// and `last` in costs: by the cheapest first relay whose reach may be within `limit`, or by any with the penalty.
    #[inline]
    pub(crate) fn bounds(
        &self,
        last: &[f32],
        rest: &[f32],
        limit: f32,
        penalty: f32,
        bounds: &mut [f32],
    ) {
        let reaches = Reaches {
            limits: std::array::from_fn(|level| self.limits.row(level).straight),
            costs: std::array::from_fn(|level| self.costs.row(level).straight),
            nearest: self.nearest.row(0).straight,
        };
        within_reach(&reaches, last, rest, limit, penalty, bounds);
    }
}
