//! The memory of frames that wait, whatever their class and flow: buffers are used again. Pure.

use super::Waiting;
use crate::Nanos;

/// A short packet takes as much room as one of this size: the place that holds it does.
pub(super) const ROOM_MIN: usize = 256;

#[derive(Debug, Default)]
pub(super) struct Slots {
    slots: Vec<Slot>,
    free: Vec<u32>,
}

#[derive(Debug)]
pub(super) struct Slot {
    pub(super) frame: Vec<u8>,
    pub(super) waiting: Waiting,
    pub(super) since: Nanos,
}

impl Slots {
    pub(super) fn store(&mut self, since: Nanos, waiting: Waiting, frame: &[u8]) -> u32 {
        let Some(place) = self.free.pop() else {
            self.slots.push(Slot {
                frame: frame.to_vec(),
                waiting,
                since,
            });
            return self.slots.len() as u32 - 1;
        };
        let slot = &mut self.slots[place as usize];
        slot.frame.clear();
        slot.frame.extend_from_slice(frame);
        (slot.waiting, slot.since) = (waiting, since);
        place
    }

    pub(super) fn get(&self, place: u32) -> &Slot {
        &self.slots[place as usize]
    }

    pub(super) fn size(&self, place: u32) -> Size {
        Size::of(self.get(place).waiting.size)
    }

    pub(super) fn give_back(&mut self, place: u32) {
        self.free.push(place);
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.slots.len()
    }
}

/// What frames take: bytes of IP packets, and of memory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Size {
    pub(super) bytes: usize,
    pub(super) room: usize,
}

impl Size {
    pub(super) fn of(bytes: usize) -> Self {
        Self {
            bytes,
            room: bytes.max(ROOM_MIN),
        }
    }
}

impl std::ops::AddAssign for Size {
    fn add_assign(&mut self, other: Self) {
        self.bytes += other.bytes;
        self.room += other.room;
    }
}

impl std::ops::SubAssign for Size {
    fn sub_assign(&mut self, other: Self) {
        self.bytes -= other.bytes;
        self.room -= other.room;
    }
}
