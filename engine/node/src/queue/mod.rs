//! What waits for a paced link: frames without number and seals yet, shared out between classes of service, bounded in bytes.
//!
//! A class goes ahead of the others as long as it keeps within its own part of the rate (`priority_ratio`, a token bucket); beyond that, and all the time
//! where it has none, classes share by weight (start-time fair queueing: the least virtual time goes first). Within a class, what goes again is first, then
//! flows share (`flows`). What finds no room pushes out the oldest of the flow that has most, in the class that has most for its weight. A frame gets its
//! number and its seals when it leaves, so that what is dropped here is no gap to the peer, and nothing overtakes a counter. When something leaves, and how it
//! is sent, is `pacer`'s. Pure.

mod codel;
mod flows;
mod slots;

use std::collections::VecDeque;

use crate::Nanos;
use crate::event::QueueReport;
use crate::repair::count_wait;
use crate::snapshot::{self, CLASSES_MAX};
use crate::way::Leg;
use codel::Tolerance;
use flows::{Flows, QUANTUM};
use slots::{Size, Slots};

/// A class that goes ahead may have saved up what its part of the rate sends in this time: about one frame of video. Others wait no longer for it.
const PRIORITY_BURST: f64 = 20e6;
/// Virtual time that a byte takes in a class of weight 1.
const BYTE: u64 = 1_000;

/// What a class may have of a link where there is not enough for all.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Share {
    weight: u16,
    /// Of the rate, 0..1.
    priority_ratio: f64,
    /// Its flows are put in order at the egress: they come in bursts, and need a deeper queue.
    in_order: bool,
}

/// What is known of the link when a frame comes or goes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Terms<'a> {
    pub(crate) rate_bps: u64,
    pub(crate) rtt: Nanos,
    pub(crate) shares: &'a [Share],
}

/// Bytes that may wait.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Room {
    pub(crate) usual: usize,
    /// Of a class whose flows are put in order; and in all, while one waits.
    pub(crate) in_order: usize,
}

/// What a frame carries.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Load {
    Traffic(Traffic),
    /// It has its number: it was sent before, or says something of what was.
    Again,
}

/// A frame that has no number yet.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Traffic {
    pub(crate) routed: bool,
    /// Hash of its flow.
    pub(crate) flow: u32,
    /// `None`: it is not from here, or direct.
    pub(crate) inner: Option<Inner>,
}

/// A frame from here whose body is sealed end to end when it leaves, and counted.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Inner {
    pub(crate) destination: u16,
    /// Bytes of the route before it.
    pub(crate) route_len: u8,
    /// A copy is kept for the second path.
    pub(crate) guarded: bool,
}

/// A frame's fate besides its bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Waiting {
    pub(crate) leg: Leg,
    pub(crate) load: Load,
    /// Bytes of the IP packet that it becomes.
    pub(crate) size: usize,
}

/// A frame that is to leave now.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Leaving {
    pub(crate) waiting: Waiting,
    pub(crate) waited: Nanos,
    /// It is to bear the mark of congestion, which its flow understands.
    pub(crate) marked: bool,
}

#[derive(Debug, Default)]
pub(crate) struct Queue {
    slots: Slots,
    classes: [Option<Box<Class>>; CLASSES_MAX],
    /// Of which something waits, a bit each.
    waiting: u16,
    size: Size,
    /// Of what left last by weight.
    virtual_time: u64,
    counts: [Option<Box<QueueReport>>; CLASSES_MAX],
}

#[derive(Debug)]
struct Class {
    again: VecDeque<u32>,
    again_size: Size,
    flows: Flows,
    /// Virtual time at which its next frame begins.
    start: u64,
    /// Bytes that may go before other classes', and when that was reckoned.
    credit: f64,
    credit_at: Nanos,
}

impl Share {
    pub(crate) const EVEN: Self = Self {
        weight: 1,
        priority_ratio: 0.0,
        in_order: false,
    };

    pub(crate) fn of(class: &snapshot::Class) -> Self {
        Self {
            weight: class.weight.max(1),
            priority_ratio: class.priority_ratio,
            in_order: class.in_order,
        }
    }

    pub(crate) fn in_order(self) -> bool {
        self.in_order
    }

    /// Of a class; one that this node's tables do not have has a weight of 1.
    pub(crate) fn at(shares: &[Self], class: usize) -> Self {
        shares.get(class).copied().unwrap_or(Self::EVEN)
    }

    fn virtual_time_of(self, bytes: usize) -> u64 {
        bytes as u64 * BYTE / u64::from(self.weight)
    }
}

impl Queue {
    /// Bytes of IP packets that wait.
    pub(crate) fn bytes(&self) -> usize {
        self.size.bytes
    }

    /// Bytes that wait of a class, and of those the ones that go again.
    pub(crate) fn bytes_of(&self, class: u8) -> (usize, usize) {
        let class = self
            .classes
            .get(usize::from(class))
            .and_then(Option::as_ref);
        class.map_or((0, 0), |class| (class.size().bytes, class.again_size.bytes))
    }

    /// The part of the rate that a class has while those wait that do.
    pub(crate) fn part_of(&self, class: u8, shares: &[Share]) -> f64 {
        let own = Share::at(shares, class.into());
        let others = self
            .backlogged()
            .filter(|other| *other != usize::from(class));
        let all: u32 = others
            .map(|other| u32::from(Share::at(shares, other).weight))
            .sum();
        let weight = f64::from(own.weight);
        (weight / (weight + f64::from(all))).max(own.priority_ratio)
    }

    /// How many were pushed out for want of room.
    pub(crate) fn push(
        &mut self,
        now: Nanos,
        waiting: Waiting,
        frame: &[u8],
        (room, shares): (Room, &[Share]),
    ) -> u64 {
        let number = usize::from(waiting.leg.class) % CLASSES_MAX;
        if self.waiting == 0 {
            self.begin_anew();
        }
        let slot = self.slots.store(now, waiting, frame);
        let class = self.classes[number].get_or_insert_with(|| Box::new(Class::new(now)));
        if self.waiting & 1 << number == 0 {
            class.start = class.start.max(self.virtual_time);
            self.waiting |= 1 << number;
        }
        class.push(slot, &self.slots);
        self.size += self.slots.size(slot);
        let is_usual = !Share::at(shares, number).in_order;
        let all = match self
            .backlogged()
            .any(|class| Share::at(shares, class).in_order)
        {
            true => room.in_order,
            false => room.usual,
        };
        let mut pushed_out = 0;
        while is_usual && self.room_of(number) > room.usual && self.push_out_of(number) {
            pushed_out += 1;
        }
        while self.size.room > all && self.push_out(shares) {
            pushed_out += 1;
        }
        pushed_out
    }

    /// The next frame, appended to `out`. What waited too long on the way to it is counted in `late`.
    pub(crate) fn pop(
        &mut self,
        now: Nanos,
        terms: &Terms<'_>,
        out: &mut Vec<u8>,
        late: &mut u64,
    ) -> Option<Leaving> {
        let shares = terms.shares;
        loop {
            let (number, goes_ahead) = self.next_class(now, terms.rate_bps, shares)?;
            let tolerance = match Share::at(shares, number).in_order {
                true => Tolerance::in_order(terms.rtt),
                false => Tolerance::USUAL,
            };
            let class = self.classes[number].as_deref_mut()?;
            let (before, late_before) = (class.size(), *late);
            let popped = class.pop(now, &mut self.slots, late, tolerance);
            let after = class.size();
            self.size -= before;
            self.size += after;
            if after == Size::default() {
                self.waiting &= !(1 << number);
            }
            let counts = counts_of(&mut self.counts, number);
            counts.late += *late - late_before;
            let Some((slot, marked)) = popped else {
                continue;
            };
            let held = self.slots.get(slot);
            let size = held.waiting.size;
            if goes_ahead {
                class.credit -= size as f64;
                counts.ahead += 1;
            } else {
                self.virtual_time = class.start;
                class.start += Share::at(shares, number).virtual_time_of(size);
            }
            let leaving = Leaving {
                waiting: held.waiting,
                waited: now.saturating_sub(held.since),
                marked,
            };
            counts.sent += 1;
            count_wait(&mut counts.waits, leaving.waited);
            out.extend_from_slice(&held.frame);
            self.slots.give_back(slot);
            return Some(leaving);
        }
    }

    /// So many bytes of a class left without waiting, beside what waits of it: repair symbols.
    pub(crate) fn charge(&mut self, class: u8, size: usize, shares: &[Share]) {
        let share = Share::at(shares, class.into());
        if let Some(Some(class)) = self.classes.get_mut(usize::from(class)) {
            if share.priority_ratio > 0.0 {
                class.credit -= size as f64;
            } else {
                class.start += share.virtual_time_of(size);
            }
        }
    }

    /// The link is no longer paced: what is empty is given up, counts stay.
    pub(crate) fn forget(&mut self) {
        if self.waiting == 0 {
            self.slots = Slots::default();
            self.classes = Default::default();
        }
    }

    /// Of the classes that ever waited here.
    pub(crate) fn reports(&self) -> impl Iterator<Item = QueueReport> {
        let counted = self.counts.iter().flatten();
        counted.map(|counts| QueueReport {
            waiting_bytes: self.bytes_of(counts.class).0 as u64,
            ..**counts
        })
    }

    #[cfg(test)]
    pub(crate) fn holds_nothing(&self) -> bool {
        self.slots.len() == 0 && self.classes.iter().all(Option::is_none)
    }

    /// The class whose turn it is, and whether that is because it goes ahead of the others.
    fn next_class(&mut self, now: Nanos, rate_bps: u64, shares: &[Share]) -> Option<(usize, bool)> {
        let mut next = None;
        for number in self.backlogged() {
            let share = Share::at(shares, number);
            let Some(class) = self.classes[number].as_deref_mut() else {
                continue;
            };
            let goes_ahead = class.has_credit(now, rate_bps, share.priority_ratio);
            let rank = (!goes_ahead, class.start, number);
            next = Some(next.map_or(rank, |least: (bool, u64, usize)| least.min(rank)));
        }
        next.map(|(by_weight, _, number)| (number, !by_weight))
    }

    /// Gives up the oldest of the flow that has most, in the class that has most for its weight. False: nothing waits.
    fn push_out(&mut self, shares: &[Share]) -> bool {
        let excess =
            |number: &usize| Share::at(shares, *number).virtual_time_of(self.room_of(*number));
        let fattest = self.backlogged().max_by_key(excess);
        fattest.is_some_and(|number| self.push_out_of(number))
    }

    fn room_of(&self, number: usize) -> usize {
        let class = self.classes[number].as_deref();
        class.map_or(0, |class| class.size().room)
    }

    /// Gives up the oldest of the flow of a class that has most. False: nothing of it waits.
    fn push_out_of(&mut self, number: usize) -> bool {
        let Some(class) = self.classes[number].as_deref_mut() else {
            return false;
        };
        let Some(slot) = class.push_out(&self.slots) else {
            return false;
        };
        self.size -= self.slots.size(slot);
        if class.size() == Size::default() {
            self.waiting &= !(1 << number);
        }
        counts_of(&mut self.counts, number).pushed_out += 1;
        self.slots.give_back(slot);
        true
    }

    /// Numbers of the classes of which something waits.
    fn backlogged(&self) -> impl Iterator<Item = usize> + use<> {
        let mut left = self.waiting;
        std::iter::from_fn(move || {
            let number = left.trailing_zeros() as usize;
            left &= left.checked_sub(1)?;
            Some(number)
        })
    }

    /// Nothing waited: nobody has had too much.
    fn begin_anew(&mut self) {
        self.virtual_time = 0;
        for class in self.classes.iter_mut().flatten() {
            class.start = 0;
        }
    }
}

impl Class {
    fn new(now: Nanos) -> Self {
        Self {
            again: VecDeque::new(),
            again_size: Size::default(),
            flows: Flows::new(),
            start: 0,
            credit: QUANTUM as f64,
            credit_at: now,
        }
    }

    fn size(&self) -> Size {
        let mut size = self.flows.size();
        size += self.again_size;
        size
    }

    fn push(&mut self, slot: u32, slots: &Slots) {
        match slots.get(slot).waiting.load {
            Load::Traffic(traffic) => self.flows.push(traffic.flow, slot, slots),
            Load::Again => {
                self.again.push_back(slot);
                self.again_size += slots.size(slot);
            }
        }
    }

    fn pop(
        &mut self,
        now: Nanos,
        slots: &mut Slots,
        late: &mut u64,
        tolerance: Tolerance,
    ) -> Option<(u32, bool)> {
        match self.pop_again(slots) {
            Some(slot) => Some((slot, false)),
            None => self.flows.pop(now, slots, late, tolerance),
        }
    }

    fn push_out(&mut self, slots: &Slots) -> Option<u32> {
        let fattest = self.flows.pop_fattest(slots);
        fattest.or_else(|| self.pop_again(slots))
    }

    fn pop_again(&mut self, slots: &Slots) -> Option<u32> {
        let slot = self.again.pop_front()?;
        self.again_size -= slots.size(slot);
        Some(slot)
    }

    /// Whether it may go before the others, of which it has `ratio` of the rate.
    fn has_credit(&mut self, now: Nanos, rate_bps: u64, ratio: f64) -> bool {
        if ratio <= 0.0 {
            return false;
        }
        let earned_per_ns = ratio * rate_bps as f64 / 8e9;
        let most = (earned_per_ns * PRIORITY_BURST).max(2.0 * QUANTUM as f64);
        let elapsed = now.saturating_sub(self.credit_at) as f64;
        self.credit_at = now;
        self.credit = (self.credit.max(-most) + earned_per_ns * elapsed).min(most);
        self.credit > 0.0
    }
}

fn counts_of(
    counts: &mut [Option<Box<QueueReport>>; CLASSES_MAX],
    number: usize,
) -> &mut QueueReport {
    counts[number].get_or_insert_with(|| Box::new(QueueReport::new(number as u8)))
}

#[cfg(test)]
mod tests;
