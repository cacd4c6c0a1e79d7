//! Steps of choosing for a few destinations at once: which short path, and what became of ways. Pure.

use super::{KEPT, LANES, NO_WAY};
use crate::{AVOID_LIMIT, UNREACHABLE};

/// Of each destination one.
pub(crate) type Floats = [f32; LANES];
pub(crate) type Bits = [u32; LANES];

/// Relays that can be taken while there is still a path to be chosen: the destination, and those of earlier paths.
pub(crate) const TAKEN: usize = 1 + 2 * AVOID_LIMIT;

/// Nobody, as a relay.
const NOBODY: u32 = 0xFFFF;

/// Nobody as the first relay, in the lower half, and as the second one.
pub(crate) const STRAIGHT: u32 = NOBODY << 16 | NOBODY;

/// What may be used.
#[derive(Debug)]
pub(crate) struct Free {
    /// The direct path's cost; infinite where it is taken, or is no path.
    pub(crate) direct: Floats,
    /// Positions, or nobody.
    pub(crate) taken: [Bits; TAKEN],
}

/// Lists of single relays.
#[derive(Debug)]
pub(crate) struct SingleLists {
    /// Columns and sums in turns; columns all ones where there is nothing.
    pub(crate) entries: [Bits; 2 * KEPT],
    /// What all others cost at least.
    pub(crate) beyond: Floats,
}

/// The cheapest short paths.
#[derive(Debug, PartialEq)]
pub(crate) struct Short {
    pub(crate) costs: Floats,
    pub(crate) relays: Bits,
    /// What one costs at least that is in no list, where none of the list is free.
    pub(crate) rests: Floats,
}

impl Free {
    #[inline(always)]
    pub(crate) fn new(direct: Floats, destinations: Bits) -> Self {
        let mut taken = [[NOBODY; LANES]; TAKEN];
        taken[0] = destinations;
        Self { direct, taken }
    }

    #[inline(always)]
    fn has(&self, lane: usize, relay: u32) -> bool {
        self.taken.iter().any(|slot| slot[lane] == relay)
    }
}

/// The direct path, or by the first single relay of the list that is free if that is cheaper.
#[inline(always)]
pub(crate) fn short(free: &Free, singles: &SingleLists) -> Short {
    #[cfg(target_arch = "x86_64")]
    if let Some(found) = super::avx2_lanes::short_if_detected(free, singles) {
        return found;
    }
    plain_short(free, singles)
}

pub(super) fn plain_short(free: &Free, singles: &SingleLists) -> Short {
    let mut found = Short {
        costs: [UNREACHABLE; LANES],
        relays: [STRAIGHT; LANES],
        rests: [f32::INFINITY; LANES],
    };
    for lane in 0..LANES {
        let entries = singles.entries.as_chunks().0.iter();
        let single = entries
            .map(|[columns, sums]: &[Bits; 2]| (columns[lane], f32::from_bits(sums[lane])))
            .find(|&(column, _)| column != u32::MAX && !free.has(lane, column));
        if free.direct[lane] < UNREACHABLE {
            found.costs[lane] = free.direct[lane];
        }
        match single {
            Some((column, sum)) if sum < found.costs[lane] => {
                found.costs[lane] = sum;
                found.relays[lane] = NOBODY << 16 | column;
            }
            Some(_) => {}
            None => found.rests[lane] = singles.beyond[lane],
        }
    }
    found
}

/// Puts the relays of ways in place, where there is one. Returns the destinations whose path is not sure: a final way's
/// first relay may not be free, and what is in no list may be better.
#[inline(always)]
pub(crate) fn settle(
    free: &Free,
    costs: &Floats,
    rests: &Floats,
    ways: &Bits,
    relays: &mut Bits,
) -> u32 {
    #[cfg(target_arch = "x86_64")]
    if let Some(unsure) = super::avx2_lanes::settle_if_detected(free, costs, rests, ways, relays) {
        return unsure;
    }
    plain_settle(free, costs, rests, ways, relays)
}

pub(super) fn plain_settle(
    free: &Free,
    costs: &Floats,
    rests: &Floats,
    ways: &Bits,
    relays: &mut Bits,
) -> u32 {
    let mut unsure = 0;
    for lane in 0..LANES {
        let is_way = ways[lane] != NO_WAY;
        if is_way {
            relays[lane] = ways[lane];
        }
        let first = relays[lane] & NOBODY;
        let is_out = is_way && (first == NOBODY || free.has(lane, first));
        unsure |= u32::from(is_out || rests[lane] <= costs[lane]) << lane;
    }
    unsure
}
