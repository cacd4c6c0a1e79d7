//! The queue of what happens when, in an order that is the same on every run: by time, then by who caused it, then by the order of causing. It does
//! not matter who was looked at first, so hosts may be worked on side by side. Pure.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use overlayd_node::Nanos;

/// Who caused a happening, and how many that one had caused before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Cause {
    pub(crate) host: u32,
    pub(crate) count: u64,
}

/// Future happenings of type `T`.
#[derive(Debug)]
pub(crate) struct Clock<T> {
    now: Nanos,
    /// When, why, and the place of what: small, for the heap moves its entries about.
    queue: BinaryHeap<Reverse<(Nanos, Cause, u32)>>,
    places: Vec<Option<T>>,
    free: Vec<u32>,
}

impl<T> Clock<T> {
    pub(crate) fn new(now: Nanos) -> Self {
        Self {
            now,
            queue: BinaryHeap::new(),
            places: Vec::new(),
            free: Vec::new(),
        }
    }

    pub(crate) fn now(&self) -> Nanos {
        self.now
    }

    /// Schedules `what`; a time in the past means now.
    pub(crate) fn schedule(&mut self, at: Nanos, cause: Cause, what: T) {
        let place = self.free.pop().unwrap_or_else(|| {
            self.places.push(None);
            self.places.len() as u32 - 1
        });
        self.places[place as usize] = Some(what);
        self.queue.push(Reverse((at.max(self.now), cause, place)));
    }

    /// When the next happening is.
    pub(crate) fn next_at(&self) -> Option<Nanos> {
        self.queue.peek().map(|Reverse((at, ..))| *at)
    }

    /// The next happening before `end`; the clock moves to it.
    pub(crate) fn next(&mut self, end: Nanos) -> Option<T> {
        self.next_at().filter(|at| *at < end)?;
        let Reverse((at, _, place)) = self.queue.pop()?;
        self.free.push(place);
        self.now = at;
        self.places[place as usize].take()
    }

    /// Moves the clock on; nothing is to happen before.
    pub(crate) fn advance(&mut self, now: Nanos) {
        self.now = self.now.max(now);
    }

    /// Takes all happenings out, in order.
    pub(crate) fn drain(&mut self) -> Vec<(Nanos, Cause, T)> {
        let mut all = Vec::with_capacity(self.queue.len());
        while let Some(Reverse((at, cause, place))) = self.queue.pop() {
            if let Some(what) = self.places[place as usize].take() {
                all.push((at, cause, what));
            }
        }
        self.places.clear();
        self.free.clear();
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn happenings_come_by_time_and_then_by_cause_whenever_they_were_scheduled() {
        let cause = |host, count| Cause { host, count };
        let mut clock = Clock::new(0);
        clock.schedule(20, cause(0, 0), "d");
        clock.schedule(10, cause(2, 1), "c");
        clock.schedule(10, cause(2, 0), "b");
        clock.schedule(10, cause(1, 7), "a");
        let seen: Vec<_> =
            std::iter::from_fn(|| clock.next(20).map(|what| (clock.now(), what))).collect();
        assert_eq!(seen, [(10, "a"), (10, "b"), (10, "c")]);
        assert_eq!(clock.next_at(), Some(20));
        assert_eq!(clock.drain(), [(20, cause(0, 0), "d")]);
        assert_eq!(clock.next(u64::MAX), None);
    }
}
