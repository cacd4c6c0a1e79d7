//! The way of events from the packet threads to whoever reads them: bounded, and never a reason to wait. I/O (an eventfd).

use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::{Mutex, MutexGuard, PoisonError};

use overlayd_node::Event;
use serde::Serialize;

use crate::sys::Waker;

/// Minutes of reports, or the fall of every link of a large mesh.
const MOST: usize = 1024;

/// An event, and the shard that it is of.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Told {
    #[serde(flatten)]
    pub event: Event,
    pub lane: u8,
}

#[derive(Debug)]
pub(crate) struct EventQueue {
    events: Mutex<VecDeque<Told>>,
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
    pub(crate) fn push(&self, lane: u8, events: impl Iterator<Item = Event>) -> u64 {
        let mut queue = self.lock();
        let before = queue.len();
        let mut dropped = 0;
        for event in events {
            if queue.len() >= MOST {
                let oldest_report = queue
                    .iter()
                    .position(|told| is_report(&told.event))
                    .unwrap_or(0);
                queue.remove(oldest_report);
                dropped += 1;
            }
            queue.push_back(Told { event, lane });
        }
        if before == 0 && !queue.is_empty() {
            self.waker.wake();
        }
        dropped
    }

    /// All that has come since the last call, oldest first.
    pub(crate) fn take(&self) -> VecDeque<Told> {
        let mut queue = self.lock();
        self.waker.clear();
        std::mem::take(&mut *queue)
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<Told>> {
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
        assert_eq!(queue.push(0, [change(0), report(1)].into_iter()), 0);
        assert_eq!(
            queue.push(0, (0..MOST as u64 - 1).map(|at| change(100 + at))),
            1
        );
        let events = queue.take();
        assert_eq!(events.len(), MOST);
        assert_eq!(events[0].event, change(0));
        assert_eq!(events[1].event, change(100));
    }

    #[test]
    fn an_event_names_its_type_first_and_its_lane() {
        let queue = EventQueue::new().unwrap();
        queue.push(3, [change(7)].into_iter());
        let json = serde_json::to_string(&queue.take()[0]).unwrap();
        assert!(
            json.starts_with(r#"{"type":"link_state","at_ns":7"#),
            "{json}"
        );
        assert!(json.ends_with(r#""lane":3}"#), "{json}");
    }

    #[test]
    fn a_full_queue_without_reports_gives_up_its_oldest_event() {
        let queue = EventQueue::new().unwrap();
        assert_eq!(queue.push(1, (0..MOST as u64 + 3).map(change)), 3);
        assert_eq!(queue.take()[0].event, change(3));
        assert!(queue.take().is_empty());
    }
}
