//! The queue of what happens when, in an order that is the same on every run: by time, then by the order of scheduling. Pure.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use overlayd_node::Nanos;

/// Future happenings of type `T`.
#[derive(Debug)]
pub(crate) struct Clock<T> {
    now: Nanos,
    scheduled: u64,
    /// When, in what order, and the place of what: small, for the heap moves its entries about.
    queue: BinaryHeap<Reverse<(Nanos, u64, u32)>>,
    places: Vec<Option<T>>,
    free: Vec<u32>,
}

impl<T> Clock<T> {
    pub(crate) fn new() -> Self {
        Self {
            now: 0,
            scheduled: 0,
            queue: BinaryHeap::new(),
            places: Vec::new(),
            free: Vec::new(),
        }
    }

    pub(crate) fn now(&self) -> Nanos {
        self.now
    }

    /// Schedules `what`; a time in the past means now.
    pub(crate) fn schedule(&mut self, at: Nanos, what: T) {
        self.scheduled += 1;
        let place = self.free.pop().unwrap_or_else(|| {
            self.places.push(None);
            self.places.len() as u32 - 1
        });
        self.places[place as usize] = Some(what);
        self.queue
            .push(Reverse((at.max(self.now), self.scheduled, place)));
    }

    /// The next happening up to and including `until`; the clock moves to it. `None` moves the clock to `until`.
    pub(crate) fn next(&mut self, until: Nanos) -> Option<T> {
        match self.queue.peek() {
            Some(Reverse((at, _, place))) if *at <= until => {
                let (at, place) = (*at, *place);
                self.queue.pop();
                self.free.push(place);
                self.now = at;
                self.places[place as usize].take()
            }
            _ => {
                self.now = self.now.max(until);
                None
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn happenings_come_by_time_and_then_by_order_of_scheduling() {
        let mut clock = Clock::new();
        clock.schedule(20, "c");
        clock.schedule(10, "a");
        clock.schedule(10, "b");
        let seen: Vec<_> =
            std::iter::from_fn(|| clock.next(15).map(|what| (clock.now(), what))).collect();
        assert_eq!(seen, [(10, "a"), (10, "b")]);
        assert_eq!(clock.now(), 15);
        assert_eq!(clock.next(20), Some("c"));
    }
}
