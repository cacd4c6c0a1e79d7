//! Short sorted lists of the cheapest relays, one per lane, laid out so that the same place of all lanes is one row.
//! Pure.

use crate::UNREACHABLE;
use crate::kernel::LANES;

const NOBODY: u16 = u16::MAX;

/// For each lane the `K` cheapest relays that were offered, by cost, then by id.
pub(crate) struct Lists<const K: usize> {
    width: usize,
    costs: Vec<f32>,
    ids: Vec<u16>,
}

impl<const K: usize> Lists<K> {
    /// Empty lists for `width` lanes, a multiple of [`LANES`].
    pub(crate) fn new(width: usize) -> Self {
        Self {
            width,
            costs: vec![UNREACHABLE; K * width],
            ids: vec![NOBODY; K * width],
        }
    }

    pub(crate) fn width(&self) -> usize {
        self.width
    }

    pub(crate) fn clear(&mut self) {
        self.costs.fill(UNREACHABLE);
        self.ids.fill(NOBODY);
    }

    pub(crate) fn clear_lane(&mut self, lane: usize) {
        for place in 0..K {
            self.costs[place * self.width + lane] = UNREACHABLE;
            self.ids[place * self.width + lane] = NOBODY;
        }
    }

    /// The costs at `place` of all lanes.
    #[inline]
    pub(crate) fn row(&self, place: usize) -> &[f32] {
        &self.costs[place * self.width..(place + 1) * self.width]
    }

    /// The cheapest first: (cost, id).
    #[inline]
    pub(crate) fn lane(&self, lane: usize) -> impl Iterator<Item = (f32, u16)> {
        (0..K)
            .map(move |place| place * self.width + lane)
            .map(|at| (self.costs[at], self.ids[at]))
            .take_while(|&(cost, _)| cost < UNREACHABLE)
    }

    /// The costs that an offer has to beat, of the lanes from `at` on.
    #[inline(always)]
    pub(crate) fn worst(&self, at: usize) -> &[f32; LANES] {
        let last = (K - 1) * self.width + at;
        self.costs[last..]
            .first_chunk()
            .unwrap_or(&[f32::NEG_INFINITY; LANES])
    }

    /// Puts a relay into a lane's list if it belongs there.
    #[inline(always)]
    pub(crate) fn insert(&mut self, lane: usize, cost: f32, id: u16) {
        let mut at = (K - 1) * self.width + lane;
        if !(cost < self.costs[at] || cost == self.costs[at] && id < self.ids[at]) {
            return;
        }
        while at >= self.width {
            let above = at - self.width;
            if !(cost < self.costs[above] || cost == self.costs[above] && id < self.ids[above]) {
                break;
            }
            self.costs[at] = self.costs[above];
            self.ids[at] = self.ids[above];
            at = above;
        }
        self.costs[at] = cost;
        self.ids[at] = id;
    }
}
