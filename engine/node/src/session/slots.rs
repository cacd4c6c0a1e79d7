//! Receiver indices: 32 bits that lead to a scope in one step, and tell an observer nothing. Pure.

use super::{Random, Scope};

/// Low bits of an index are a slot (whitened), the others are random at each use of the slot.
const SLOT_BITS: u32 = 16;
const SLOT_MASK: u32 = (1 << SLOT_BITS) - 1;

pub(super) struct Slots {
    slots: Vec<Slot>,
    free: Vec<u32>,
    /// Keeps small slot numbers from showing.
    whitening: u32,
}

#[derive(Clone, Copy)]
struct Slot {
    index: u32,
    owner: Option<Scope>,
}

impl Slots {
    pub(super) fn new(random: &mut Random) -> Self {
        Self {
            slots: Vec::new(),
            free: Vec::new(),
            whitening: random.u32() & SLOT_MASK,
        }
    }

    /// A new index; `None` when all 65,536 are in use.
    pub(super) fn take(&mut self, owner: Scope, random: &mut Random) -> Option<u32> {
        let place = match self.free.pop() {
            Some(place) => place,
            None => u32::try_from(self.slots.len())
                .ok()
                .filter(|place| *place <= SLOT_MASK)?,
        };
        let index = random.u32() & !SLOT_MASK | place ^ self.whitening;
        let slot = Slot {
            index,
            owner: Some(owner),
        };
        match self.slots.get_mut(place as usize) {
            Some(free) => *free = slot,
            None => self.slots.push(slot),
        }
        Some(index)
    }

    pub(super) fn release(&mut self, index: u32) {
        let place = self.place(index);
        if let Some(slot) = self
            .slots
            .get_mut(place as usize)
            .filter(|slot| slot.index == index)
            && slot.owner.take().is_some()
        {
            self.free.push(place);
        }
    }

    #[inline]
    pub(super) fn find(&self, index: u32) -> Option<Scope> {
        let slot = self.slots.get(self.place(index) as usize)?;
        if slot.index == index {
            slot.owner
        } else {
            None
        }
    }

    #[inline]
    fn place(&self, index: u32) -> u32 {
        (index & SLOT_MASK) ^ self.whitening
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests fail by panicking")]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn every_live_index_finds_its_owner_and_no_other_does(seed: [u8; 32], steps in prop::collection::vec(any::<Option<u8>>(), 1..200)) {
            let mut random = Random::new(seed);
            let mut slots = Slots::new(&mut random);
            let mut live = BTreeMap::new();
            let mut gone = Vec::new();
            for (i, step) in steps.into_iter().enumerate() {
                match step {
                    Some(which) if !live.is_empty() => {
                        let index = *live.keys().nth(usize::from(which) % live.len()).unwrap();
                        live.remove(&index);
                        slots.release(index);
                        slots.release(index);
                        gone.push(index);
                    }
                    _ => {
                        let scope = Scope::Hop(i as u16);
                        prop_assert_eq!(live.insert(slots.take(scope, &mut random).unwrap(), scope), None);
                    }
                }
                for (index, scope) in &live {
                    prop_assert_eq!(slots.find(*index), Some(*scope));
                }
                for index in gone.iter().filter(|index| !live.contains_key(index)) {
                    prop_assert_eq!(slots.find(*index), None);
                }
            }
        }
    }

    #[test]
    fn indices_run_out_instead_of_repeating() {
        let mut random = Random::new([1; 32]);
        let mut slots = Slots::new(&mut random);
        let taken = (0..70_000)
            .map_while(|_| slots.take(Scope::Hop(0), &mut random))
            .count();
        assert_eq!(taken, 65_536);
    }
}
