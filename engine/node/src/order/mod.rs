//! The order of flows at the egress: what was repaired late goes to its place, and what came after it waits for it.
//!
//! A flow is one of TCP, whose own sequence numbers tell whether something before a packet is missing, or of QUIC, where the frames' numbers have to serve.
//! A packet waits only while its flow has a gap *and* a frame before it is still missing on its way: what a queue dropped before the overlay, or in ours,
//! is waited for by nobody. It waits as long as repair lately took, within what is left of its budget, and no memory beyond a bound is used: what finds no
//! room goes on without order. Who is asked whether frames are missing, and what becomes of packets, is `in_order`'s. Pure.

mod held;
mod patience;

pub(crate) use held::{Form, Parcel};
pub(crate) use patience::Patience;

use std::collections::VecDeque;

use crate::Nanos;
use crate::origin::Number;
use held::Held;

/// Flows told apart; a further one takes the place of another, unless packets of that wait.
const FLOWS: usize = 4_096;
/// Bytes and packets of all flows that wait at a time, and bytes of one.
const BYTES_MAX: usize = 16 << 20;
const PACKETS_MAX: usize = 16_384;
const FLOW_BYTES_MAX: usize = 6 << 20;
/// A TCP sequence number farther ahead is of another connection.
const FAR: u32 = 1 << 26;
/// So often flows whose packets wait are looked at when nothing of theirs arrives.
const TICK: Nanos = 2_000_000;
/// Frames' numbers that fall back so far have begun again.
const BACK: i32 = 1 << 16;
const NONE: u32 = u32::MAX;

/// A packet's place in its flow.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place {
    /// Hash of the flow.
    pub(crate) flow: u32,
    pub(crate) frame: Number,
    /// TCP: its sequence number; else the frame's.
    pub(crate) from: u32,
    /// How much of the sequence it takes.
    pub(crate) length: u32,
    /// The flow begins with it.
    pub(crate) opens: bool,
    /// `from` means the same in all streams.
    pub(crate) is_tcp: bool,
}

/// Whether any frame of the stream is missing between two numbers.
pub(crate) trait Missing {
    fn any(&self, stream: u64, after: u64, before: u64) -> bool;
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Passes,
    /// It passes, and packets of its flow that wait may follow: ask `next`.
    Opens,
    /// Hand it to `hold`.
    Waits,
}

#[derive(Debug, Default)]
pub(crate) struct Order {
    /// Empty until the first packet of a class that is kept in order.
    flows: Vec<Flow>,
    queues: Vec<Queue>,
    free: Vec<u32>,
    held: Held,
    tick_at: Nanos,
    /// Packets that had to wait, and gaps that nothing filled in time.
    pub(crate) waited: u64,
    pub(crate) given_up: u64,
}

#[derive(Clone, Copy, Debug)]
struct Flow {
    key: u32,
    /// The first of its sequence that has not passed.
    next: u32,
    /// Of the packet before that.
    last: Number,
    queue: u32,
    /// The gap that was given up last, and since when it had been there.
    gone: (u32, u32),
    gone_since: Nanos,
}

#[derive(Debug, Default)]
struct Queue {
    /// Place of its flow; `NONE`: free.
    flow: u32,
    /// Ascending.
    slots: VecDeque<u32>,
    bytes: usize,
    /// There was no room: all go on.
    full: bool,
}

const EMPTY: Flow = Flow {
    key: 0,
    next: 0,
    last: Number {
        stream: u64::MAX,
        number: 0,
    },
    queue: NONE,
    gone: (0, 0),
    gone_since: 0,
};

impl Order {
    /// Decides about a packet that has arrived.
    pub(crate) fn take(
        &mut self,
        now: Nanos,
        place: &Place,
        patience: &mut Patience,
        missing: &impl Missing,
    ) -> Verdict {
        if self.flows.is_empty() {
            self.flows = vec![EMPTY; FLOWS];
        }
        let Some(flow) = self.flows.get_mut(place.flow as usize % FLOWS) else {
            return Verdict::Passes;
        };
        let waits = flow.queue != NONE;
        if flow.key != place.flow || flow.last.stream == u64::MAX {
            if !waits {
                *flow = Flow {
                    key: place.flow,
                    ..EMPTY
                };
                flow.pass(place);
            }
            return Verdict::Passes;
        }
        let ahead = flow.ahead(place);
        let anew = place.opens
            || ahead.unsigned_abs() > FAR
            || flow.is_incomparable(place)
            || !place.is_tcp && ahead < -BACK;
        // Behind those that wait, even if nothing is missing any more: they have to go first.
        if ahead > 0 && !anew && (waits || flow.lacks(place, missing)) {
            return Verdict::Waits;
        }
        if waits && ahead == 0 {
            self.learn(now, place, patience);
        } else if ahead < 0 && !anew {
            flow.learn_too_late(place, now, patience);
        }
        let Some(flow) = self.flows.get_mut(place.flow as usize % FLOWS) else {
            return Verdict::Passes;
        };
        if anew || ahead >= 0 {
            flow.pass(place);
        } else if flow.end(place).wrapping_sub(flow.next).cast_signed() > 0 {
            flow.next = flow.end(place);
        }
        if waits {
            Verdict::Opens
        } else {
            Verdict::Passes
        }
    }

    /// What fills a gap tells how long repair takes; unless its sender sent it once more itself.
    fn learn(&mut self, now: Nanos, place: &Place, patience: &mut Patience) {
        if let Some((first, since)) = self.first_of(place.flow)
            && first.frame.stream == place.frame.stream
            && place.frame.number < first.frame.number
        {
            patience.filled(now.saturating_sub(since));
        }
    }

    fn first_of(&self, key: u32) -> Option<(Place, Nanos)> {
        let flow = self.flows.get(key as usize % FLOWS)?;
        let slot = *self.queues.get(flow.queue as usize)?.slots.front()?;
        self.held.place(slot)
    }

    /// Keeps a packet that has to wait, until `limit` at most. True: ask `next` at once, for others wait already, or there is no room.
    pub(crate) fn hold(
        &mut self,
        now: Nanos,
        limit: Nanos,
        place: &Place,
        parcel: Parcel,
        packet: &[u8],
    ) -> bool {
        let at = place.flow as usize % FLOWS;
        if self.free.len() == self.queues.len() {
            self.tick_at = now + TICK;
        }
        let Some(mut number) = self.flows.get(at).map(|flow| flow.queue) else {
            return false;
        };
        if number == NONE {
            number = self.free.pop().unwrap_or_else(|| {
                self.queues.push(Queue::default());
                self.queues.len() as u32 - 1
            });
            self.flows[at].queue = number;
            self.queues[number as usize].flow = at as u32;
        }
        let queue = &mut self.queues[number as usize];
        let held = &self.held;
        let behind = |other: &u32| {
            held.place(*other)
                .is_some_and(|(other, _)| place.from.wrapping_sub(other.from).cast_signed() >= 0)
        };
        // Nearly always the last.
        let after = queue.slots.iter().rposition(behind).map_or(0, |at| at + 1);
        // Nobody waits for longer because of what stands before it: that goes on in time for it.
        let behind = queue.slots.get(after);
        let limit = behind.map_or(limit, |slot| limit.min(held.limit(*slot)));
        for before in queue.slots.range(..after).rev() {
            if self.held.limit(*before) <= limit {
                break;
            }
            self.held.shorten(*before, limit);
        }
        let waited = !queue.slots.is_empty();
        let slot = self.held.store(now, limit, place, parcel, packet);
        queue.slots.insert(after, slot);
        queue.bytes += packet.len();
        self.waited += 1;
        queue.full = queue.bytes > FLOW_BYTES_MAX
            || self.held.bytes() > BYTES_MAX
            || self.held.packets() > PACKETS_MAX;
        waited || queue.full
    }

    /// Gives up the packets of a flow that nobody may have any more; how many.
    pub(crate) fn discard(&mut self, key: u32) -> u64 {
        let Some(flow) = self.flows.get_mut(key as usize % FLOWS) else {
            return 0;
        };
        let Some(queue) = self.queues.get_mut(flow.queue as usize) else {
            return 0;
        };
        let mut count = 0;
        for slot in queue.slots.drain(..) {
            if let Some((_, bytes)) = self.held.take(slot) {
                self.held.give_back(bytes);
                count += 1;
            }
        }
        (queue.bytes, queue.full) = (0, false);
        self.free.push(std::mem::replace(&mut flow.queue, NONE));
        count
    }

    /// The next packet of a flow that need not wait any longer. Give its bytes back to `done`.
    pub(crate) fn next(
        &mut self,
        now: Nanos,
        key: u32,
        patience: &mut Patience,
        missing: &impl Missing,
    ) -> Option<(Parcel, Vec<u8>)> {
        let flow = self.flows.get_mut(key as usize % FLOWS)?;
        let queue = self.queues.get_mut(flow.queue as usize)?;
        let slot = *queue.slots.front()?;
        let (place, since) = self.held.place(slot)?;
        let ahead = flow.ahead(&place);
        if ahead > 0 && flow.lacks(&place, missing) {
            if !queue.full && now < self.held.limit(slot) {
                return None;
            }
            self.given_up += 1;
            if !queue.full {
                patience.in_vain();
            }
            flow.gone = (flow.next, place.from);
            flow.gone_since = since;
        }
        if ahead >= 0 {
            flow.pass(&place);
        }
        queue.slots.pop_front();
        let taken = self.held.take(slot)?;
        queue.bytes -= taken.1.len();
        if queue.slots.is_empty() {
            queue.full = false;
            self.free.push(std::mem::replace(&mut flow.queue, NONE));
        }
        Some(taken)
    }

    /// Takes back a buffer.
    pub(crate) fn done(&mut self, bytes: Vec<u8>) {
        self.held.give_back(bytes);
    }

    pub(crate) fn poll_timeout(&self) -> Option<Nanos> {
        (self.held.packets() > 0).then_some(self.tick_at)
    }

    /// The flows whose packets wait, when it is time to look at them: each with what its first one came with.
    pub(crate) fn due(&mut self, now: Nanos, flows: &mut Vec<(u32, Parcel)>) {
        flows.clear();
        if self.held.packets() == 0 || now < self.tick_at {
            return;
        }
        self.tick_at = now + TICK;
        let first = |queue: &Queue| {
            let slot = *queue.slots.front()?;
            Some((self.held.place(slot)?.0.flow, self.held.parcel(slot)?))
        };
        flows.extend(self.queues.iter().filter_map(first));
    }
}

impl Flow {
    fn ahead(&self, place: &Place) -> i32 {
        place.from.wrapping_sub(self.next).cast_signed()
    }

    fn end(&self, place: &Place) -> u32 {
        place.from.wrapping_add(place.length)
    }

    fn pass(&mut self, place: &Place) {
        self.next = self.end(place);
        self.last = place.frame;
    }

    /// Numbers of different streams say nothing of each other.
    fn is_incomparable(&self, place: &Place) -> bool {
        !place.is_tcp && place.frame.stream != self.last.stream
    }

    /// Whether something between the last packet that passed and this one may still come. Of another stream, who knows: it may be on a longer way.
    fn lacks(&self, place: &Place, missing: &impl Missing) -> bool {
        let Number { stream, number } = place.frame;
        if stream != self.last.stream {
            return place.is_tcp;
        }
        // One that its sender sent again has a later number than those behind it.
        let after = if self.last.number < number {
            self.last.number
        } else {
            0
        };
        missing.any(stream, after, number)
    }

    /// A frame that came after its gap was given up: waiting would have helped.
    fn learn_too_late(&mut self, place: &Place, now: Nanos, patience: &mut Patience) {
        let (from, to) = self.gone;
        let within = place.from.wrapping_sub(from) < to.wrapping_sub(from);
        let Number { stream, number } = place.frame;
        if within && stream == self.last.stream && number < self.last.number {
            patience.filled(now.saturating_sub(self.gone_since));
            self.gone = (0, 0);
        }
    }
}

#[cfg(test)]
mod tests;
