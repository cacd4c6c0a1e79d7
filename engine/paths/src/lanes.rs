//! The next path of a few destinations at once, and what is not to be used by it. Pure.
//!
//! All of it is arrays of one number for each destination, a vector of the CPU's each.

use crate::kernel::{Bits, Floats, Free, LANES, STRAIGHT, SingleLists, settle, short, turned};
use crate::network::{NOBODY, Network};
use crate::pick::{Pick, Taken};
use crate::sums::Shortlist;
use crate::ways::{Blocked, Ways};
use crate::{ABSENT, NONE, Relays, UNREACHABLE};

/// What the next path of each destination is chosen from, and what it is not to use.
pub(crate) struct Lanes {
    singles: SingleLists,
    free: Free,
    blocked: Blocked,
    is_any_blocked: bool,
    /// So many columns of what is taken are in use: the destination's, and two for each earlier path.
    used: usize,
}

/// A path for each destination.
pub(crate) struct Picks {
    pub(crate) costs: Floats,
    /// Positions: the first relay in the lower half, the second in the upper one.
    pub(crate) relays: Bits,
    /// One bit for each destination that has to be chosen for alone.
    pub(crate) unsure: u32,
}

impl Picks {
    pub(crate) fn put(&mut self, lane: usize, pick: &Pick) {
        self.costs[lane] = pick.cost;
        self.relays[lane] = u32::from(pick.relays[0]) | u32::from(pick.relays[1]) << 16;
    }

    /// A destination's path as it is given to those who ask.
    #[inline(always)]
    pub(crate) fn told(&self, network: &Network, lane: usize) -> (f32, Relays) {
        if self.costs[lane] >= UNREACHABLE {
            return (f32::INFINITY, [ABSENT, NONE]);
        }
        let both = self.relays[lane];
        let relays = [both as u16, (both >> 16) as u16];
        (self.costs[lane], relays.map(|at| network.told(at)))
    }
}

impl Lanes {
    /// `direct` costs, infinite where there is no such path; without `singles` all relays are among the ways.
    #[inline(always)]
    pub(crate) fn new(
        direct: Floats,
        destinations: Bits,
        singles: Option<&[Shortlist; LANES]>,
    ) -> Self {
        let mut lists = SingleLists {
            entries: [[u32::MAX; LANES]; LANES],
            beyond: [f32::INFINITY; LANES],
        };
        if let Some(singles) = singles {
            lists.entries = turned(&singles.map(|list| list.halves()));
            lists.beyond = singles.map(|list| list.beyond());
        }
        Self {
            singles: lists,
            free: Free::new(direct, destinations),
            blocked: Blocked::default(),
            is_any_blocked: false,
            used: 1,
        }
    }

    /// Takes what one destination is not to use, beside itself.
    pub(crate) fn avoid(&mut self, lane: usize, taken: &Taken, ways: &Ways) {
        for (slot, &relay) in self.free.taken.iter_mut().zip(taken.relays()) {
            slot[lane] = relay.into();
        }
        self.used = self.used.max(taken.relays().len());
        for &relay in taken.relays() {
            self.blocked.add(lane, ways.on(relay));
        }
        self.is_any_blocked = true;
        if taken.has_direct() {
            self.free.direct[lane] = f32::INFINITY;
        }
    }

    /// The cheapest path of each destination of a group that uses nothing that is taken; `own` is the one that is the
    /// source.
    #[inline(always)]
    pub(crate) fn next(
        &self,
        network: &Network,
        ways: &Ways,
        group: usize,
        own: Option<usize>,
    ) -> Picks {
        let mut found = short(&self.free, &self.singles);
        if let Some(own) = own {
            found.costs[own] = f32::NEG_INFINITY;
        }
        let blocked = self.is_any_blocked.then(|| self.blocked.by_word());
        let through = ways.cheapest(network, group, blocked.as_ref(), &mut found.costs);
        let mut picks = Picks {
            costs: found.costs,
            relays: found.relays,
            unsure: 0,
        };
        picks.unsure = settle(
            &self.free,
            &picks.costs,
            &found.rests,
            &ways.relays(&through),
            &mut picks.relays,
        );
        if let Some(own) = own {
            picks.costs[own] = UNREACHABLE;
            picks.unsure &= !(1 << own);
        }
        picks
    }

    /// Takes what the paths use; where there is none, nothing is left that could be taken.
    #[inline(always)]
    pub(crate) fn take(&mut self, picks: &Picks, ways: &Ways) {
        let [first, second] = [0, 16].map(|shift| picks.relays.map(|both| both >> shift & 0xFFFF));
        for lane in 0..LANES {
            let is_direct = picks.relays[lane] == STRAIGHT;
            let direct = &mut self.free.direct[lane];
            *direct = if is_direct { f32::INFINITY } else { *direct };
            self.blocked.add(lane, ways.on(first[lane] as u16));
            self.blocked.add(lane, ways.on(second[lane] as u16));
        }
        for relays in [first, second] {
            if let Some(slot) = self.free.taken.get_mut(self.used) {
                *slot = relays;
                self.used += 1;
            }
        }
        self.is_any_blocked = true;
    }

    /// What one destination is not to use.
    pub(crate) fn taken(&self, lane: usize) -> Taken {
        let relays = self.free.taken.map(|slot| slot[lane] as u16);
        Taken::of(
            self.free.direct[lane] == f32::INFINITY,
            &relays[..self.used],
        )
    }
}

const _: () = assert!(STRAIGHT == NOBODY as u32 | (NOBODY as u32) << 16);
