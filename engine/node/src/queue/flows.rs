//! The flows of one class that wait: fair between each other, none for long.
//!
//! FQ-CoDel (RFC 8290): flows share by deficit round robin, one that did not wait lately goes first, and a flow whose packets wait too long is told so, by a
//! CE mark where it understands one, else by a drop. Pure.

use std::collections::VecDeque;

use overlayd_wire::ecn;

use super::codel::{Codel, Tolerance};
use super::slots::{Size, Slots};
use crate::Nanos;

/// Flows are told apart by as many places; two in one place share it.
const FLOWS: usize = 128;
/// Bytes that a flow may send before it is the next one's turn.
pub(super) const QUANTUM: i64 = 1_514;

#[derive(Debug)]
pub(super) struct Flows {
    flows: Vec<Flow>,
    /// Flows that did not wait before, and those that did: in order of turn.
    new: VecDeque<u8>,
    old: VecDeque<u8>,
    size: Size,
}

#[derive(Debug, Default)]
struct Flow {
    slots: VecDeque<u32>,
    size: Size,
    deficit: i64,
    /// In one of the lists.
    listed: bool,
    codel: Codel,
}

impl Flows {
    pub(super) fn new() -> Self {
        Self {
            flows: (0..FLOWS).map(|_| Flow::default()).collect(),
            new: VecDeque::new(),
            old: VecDeque::new(),
            size: Size::default(),
        }
    }

    /// Of all that waits.
    pub(super) fn size(&self) -> Size {
        self.size
    }

    /// Takes the frame in a slot, of the flow with this hash.
    pub(super) fn push(&mut self, flow: u32, slot: u32, slots: &Slots) {
        let place = flow as usize % FLOWS;
        let flow = &mut self.flows[place];
        flow.slots.push_back(slot);
        flow.size += slots.size(slot);
        self.size += slots.size(slot);
        if !flow.listed {
            flow.listed = true;
            flow.deficit = QUANTUM;
            self.new.push_back(place as u8);
        }
    }

    /// The next frame, and whether to mark it. What waited too long on the way to it is counted in `late`, and gone.
    pub(super) fn pop(
        &mut self,
        now: Nanos,
        slots: &mut Slots,
        late: &mut u64,
        tolerance: Tolerance,
    ) -> Option<(u32, bool)> {
        loop {
            let is_new = !self.new.is_empty();
            let list = if is_new { &self.new } else { &self.old };
            let place = usize::from(*list.front()?);
            if self.flows[place].deficit <= 0 {
                self.flows[place].deficit += QUANTUM;
                self.turn(is_new, true);
                continue;
            }
            let Some((slot, marked)) = self.next_of(place, now, slots, late, tolerance) else {
                // One that was new goes round once more, or it could come back as new at once.
                self.turn(is_new, is_new);
                continue;
            };
            self.flows[place].deficit -= slots.get(slot).waiting.size as i64;
            return Some((slot, marked));
        }
    }

    /// Takes the oldest of the flow that has most.
    pub(super) fn pop_fattest(&mut self, slots: &Slots) -> Option<u32> {
        let fattest = (0..FLOWS).max_by_key(|place| self.flows[*place].size.room)?;
        self.take(fattest, slots)
    }

    /// The first flow of a list gives way to the next: to the end of the old ones, or out.
    fn turn(&mut self, is_new: bool, stays: bool) {
        let list = if is_new { &mut self.new } else { &mut self.old };
        let Some(place) = list.pop_front() else {
            return;
        };
        if stays {
            self.old.push_back(place);
        } else {
            self.flows[usize::from(place)].listed = false;
        }
    }

    /// The next slot of a flow, and whether to mark it.
    fn next_of(
        &mut self,
        place: usize,
        now: Nanos,
        slots: &mut Slots,
        late: &mut u64,
        tolerance: Tolerance,
    ) -> Option<(u32, bool)> {
        loop {
            let backlog = self.flows[place].size.bytes;
            let slot = self.take(place, slots);
            let codel = &mut self.flows[place].codel;
            let Some(slot) = slot else {
                codel.rest();
                return None;
            };
            let held = slots.get(slot);
            let alone = backlog as i64 <= QUANTUM;
            if !codel.is_over(now, now.saturating_sub(held.since), alone, tolerance) {
                return Some((slot, false));
            }
            if held.waiting.leg.ecn != ecn::NOT_ECT {
                return Some((slot, true));
            }
            *late += 1;
            slots.give_back(slot);
        }
    }

    /// Takes the oldest of a flow.
    fn take(&mut self, place: usize, slots: &Slots) -> Option<u32> {
        let flow = &mut self.flows[place];
        let slot = flow.slots.pop_front()?;
        flow.size -= slots.size(slot);
        self.size -= slots.size(slot);
        Some(slot)
    }
}
