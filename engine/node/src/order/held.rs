//! Packets that wait for others of their flow, copied out of what was received. Buffers are used again. Pure.

use super::Place;
use crate::Nanos;
use crate::origin::Origin;

/// Buffers kept for later; more are given back to the system.
const SPARE_MAX: usize = 1_024;
/// A buffer is made for any usual packet, so that it fits the next one as well.
const BUFFER: usize = 1_536;

/// How a packet came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    Whole {
        partial_checksum: bool,
    },
    Run {
        partial_checksum: bool,
        first: bool,
        last: bool,
        run: u8,
        index: u8,
    },
}

/// What has to be known of a packet when it is delivered later.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Parcel {
    pub(crate) origin: Origin,
    pub(crate) form: Form,
}

#[derive(Debug, Default)]
pub(super) struct Held {
    slots: Vec<Option<Slot>>,
    free: Vec<u32>,
    spare: Vec<Vec<u8>>,
    bytes: usize,
}

#[derive(Debug)]
struct Slot {
    place: Place,
    parcel: Parcel,
    since: Nanos,
    limit: Nanos,
    bytes: Vec<u8>,
}

impl Held {
    pub(super) fn store(
        &mut self,
        since: Nanos,
        limit: Nanos,
        place: &Place,
        parcel: Parcel,
        packet: &[u8],
    ) -> u32 {
        let mut bytes = self
            .spare
            .pop()
            .unwrap_or_else(|| Vec::with_capacity(BUFFER));
        bytes.clear();
        bytes.extend_from_slice(packet);
        self.bytes += packet.len();
        let slot = Some(Slot {
            place: *place,
            parcel,
            since,
            limit,
            bytes,
        });
        match self.free.pop() {
            Some(free) => {
                self.slots[free as usize] = slot;
                free
            }
            None => {
                self.slots.push(slot);
                self.slots.len() as u32 - 1
            }
        }
    }

    pub(super) fn take(&mut self, slot: u32) -> Option<(Parcel, Vec<u8>)> {
        let taken = self.slots.get_mut(slot as usize)?.take()?;
        self.free.push(slot);
        self.bytes -= taken.bytes.len();
        Some((taken.parcel, taken.bytes))
    }

    pub(super) fn give_back(&mut self, bytes: Vec<u8>) {
        if self.spare.len() < SPARE_MAX && bytes.capacity() <= 2 * BUFFER {
            self.spare.push(bytes);
        }
    }

    /// Where a packet belongs, and since when it waits.
    pub(super) fn place(&self, slot: u32) -> Option<(Place, Nanos)> {
        self.get(slot).map(|slot| (slot.place, slot.since))
    }

    pub(super) fn parcel(&self, slot: u32) -> Option<Parcel> {
        self.get(slot).map(|slot| slot.parcel)
    }

    /// When it goes on at the latest.
    pub(super) fn limit(&self, slot: u32) -> Nanos {
        self.get(slot).map_or(0, |slot| slot.limit)
    }

    pub(super) fn shorten(&mut self, slot: u32, limit: Nanos) {
        if let Some(Some(slot)) = self.slots.get_mut(slot as usize) {
            slot.limit = limit;
        }
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn packets(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    fn get(&self, slot: u32) -> Option<&Slot> {
        self.slots.get(slot as usize)?.as_ref()
    }
}
