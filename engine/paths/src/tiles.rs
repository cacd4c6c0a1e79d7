//! A matrix [relay, lane] cut into tiles of a few lanes, each of which lies in memory relay by relay: so all relays can
//! be offered to a tile's lanes in one pass. Pure.

use crate::kernel::LANES;

pub(crate) struct Tiles {
    relays: usize,
    /// `[tile][relay]`
    rows: Vec<[f32; LANES]>,
}

impl Tiles {
    /// Infinite everywhere.
    pub(crate) fn new(relays: usize, lanes: usize) -> Self {
        Self {
            relays,
            rows: vec![[f32::INFINITY; LANES]; lanes.div_ceil(LANES) * relays],
        }
    }

    #[inline]
    pub(crate) fn at(&self, relay: usize, lane: usize) -> f32 {
        self.rows[lane / LANES * self.relays + relay][lane % LANES]
    }

    pub(crate) fn set(&mut self, relay: usize, lane: usize, value: f32) {
        self.rows[lane / LANES * self.relays + relay][lane % LANES] = value;
    }

    pub(crate) fn set_row(&mut self, relay: usize, values: impl IntoIterator<Item = f32>) {
        for (lane, value) in values.into_iter().enumerate() {
            self.set(relay, lane, value);
        }
    }

    /// A tile's row of each relay.
    #[inline]
    pub(crate) fn tile(&self, number: usize) -> &[[f32; LANES]] {
        &self.rows[number * self.relays..][..self.relays]
    }
}
