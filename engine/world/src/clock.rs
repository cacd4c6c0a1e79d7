//! The queue of what happens when, in an order that is the same on every run: by time, then by the order of scheduling. Pure.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use overlayd_node::Nanos;

/// Future happenings of type `T`.
#[derive(Debug)]
pub(crate) struct Clock<T> {
    now: Nanos,
    scheduled: u64,
    queue: BinaryHeap<Reverse<Entry<T>>>,
}

#[derive(Debug)]
struct Entry<T> {
    at: Nanos,
    order: u64,
    what: T,
}

impl<T> Clock<T> {
    pub(crate) fn new() -> Self {
        Self {
            now: 0,
            scheduled: 0,
            queue: BinaryHeap::new(),
        }
    }

    pub(crate) fn now(&self) -> Nanos {
        self.now
    }

    /// Schedules `what`; a time in the past means now.
    pub(crate) fn schedule(&mut self, at: Nanos, what: T) {
        self.scheduled += 1;
        self.queue.push(Reverse(Entry {
            at: at.max(self.now),
            order: self.scheduled,
            what,
        }));
    }

    /// The next happening up to and including `until`; the clock moves to it. `None` moves the clock to `until`.
    pub(crate) fn next(&mut self, until: Nanos) -> Option<T> {
        match self.queue.peek() {
            Some(Reverse(entry)) if entry.at <= until => {
                let Reverse(entry) = self.queue.pop()?;
                self.now = entry.at;
                Some(entry.what)
            }
            _ => {
                self.now = self.now.max(until);
                None
            }
        }
    }
}

impl<T> PartialEq for Entry<T> {
    fn eq(&self, other: &Self) -> bool {
        (self.at, self.order) == (other.at, other.order)
    }
}

impl<T> Eq for Entry<T> {}

impl<T> PartialOrd for Entry<T> {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl<T> Ord for Entry<T> {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.at, self.order).cmp(&(other.at, other.order))
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
