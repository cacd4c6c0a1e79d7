//! The way of events from the packet thread to whoever reads them: bounded, and never a reason to wait. I/O (an eventfd).

use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::{Mutex, MutexGuard, PoisonError};

use overlayd_node::Event;

use crate::sys::Waker;

/// Minutes of reports, or the fall of every link of a large mesh.
const MOST: usize = 1024;

#[derive(Debug)]
pub(crate) struct EventQueue {
    events: Mutex<VecDeque<Event>>,
    waker: Waker,
}

impl EventQueue {
    pub(crate) fn new() -> io::Result<Self> {
        Ok(Self {
            events: Mutex::new(VecDeque::new()),
            waker: Waker::new()?,
        })
    }

    /// Appends `events`. In a full queue the oldest report makes room, or else the oldest event. Answers how many were dropped.
    pub(crate) fn push(&self, events: impl Iterator<Item = Event>) -> u64 {
        let mut queue = self.lock();
        let before = queue.len();
        let mut dropped = 0;
        for event in events {
            if queue.len() >= MOST {
                let oldest_report = queue.iter().position(is_report).unwrap_or(0);
                queue.remove(oldest_report);
                dropped += 1;
            }
            queue.push_back(event);
        }
        if before == 0 && !queue.is_empty() {
            self.waker.wake();
        }
        dropped
    }

    /// All that has come since the last call, oldest first.
    pub(crate) fn take(&self) -> VecDeque<Event> {
        let mut queue = self.lock();
        self.waker.clear();
        std::mem::take(&mut *queue)
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<Event>> {
        self.events.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl AsFd for EventQueue {
    /// Readable while events wait.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.waker.as_fd()
    }
}

/// A report is followed by a newer one of its kind; the other events are told once.
fn is_report(event: &Event) -> bool {
    matches!(
        event,
        Event::Links { .. } | Event::Paths { .. } | Event::Counters { .. }
    )
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests fail by panicking")]
mod tests {
    use overlayd_node::LinkState;

    use super::*;

    fn report(at_ns: u64) -> Event {
        Event::Links {
            at_ns,
            generation: 1,
            links: Vec::new(),
        }
    }

    fn change(at_ns: u64) -> Event {
        Event::LinkState {
            at_ns,
            generation: 1,
            link: 1,
            peer: 2,
            state: LinkState::Down,
        }
    }

    #[test]
    fn a_full_queue_gives_up_its_oldest_report_and_keeps_what_is_told_once() {
        let queue = EventQueue::new().unwrap();
        assert_eq!(queue.push([change(0), report(1)].into_iter()), 0);
        assert_eq!(
            queue.push((0..MOST as u64 - 1).map(|at| change(100 + at))),
            1
        );
        let events = queue.take();
        assert_eq!(events.len(), MOST);
        assert_eq!(events[0], change(0));
        assert_eq!(events[1], change(100));
    }

    #[test]
    fn a_full_queue_without_reports_gives_up_its_oldest_event() {
        let queue = EventQueue::new().unwrap();
        assert_eq!(queue.push((0..MOST as u64 + 3).map(change)), 3);
        assert_eq!(queue.take()[0], change(3));
        assert!(queue.take().is_empty());
    }
}
