//! Packets on their way, in the order in which they arrive. Pure; called by `shell`.

use super::frame::Frame;
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::Arc;

/// Packets of one frame that arrive together.
#[derive(Clone, Debug)]
pub(super) struct Run {
    pub(super) frame: Arc<Frame>,
    pub(super) first: u16,
    pub(super) count: u16,
    /// The bit to flip; only in a run of one packet.
    pub(super) flipped_bit: Option<u32>,
}

/// All runs that are on their way, whatever their link.
#[derive(Debug, Default)]
pub(super) struct Schedule {
    heap: BinaryHeap<Reverse<Entry>>,
    runs: Vec<Option<Run>>,
    free: Vec<u32>,
    pushed: u64,
    bytes: usize,
}

/// Sorted by time and, at one time, in the order of pushing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Entry {
    at_ns: u64,
    order: u64,
    link: u32,
    slot: u32,
}

impl Run {
    /// Takes `next` in where it goes on where this run ends, in the same frame.
    pub(super) fn absorb(&mut self, next: &Self) -> bool {
        let fits = Arc::ptr_eq(&self.frame, &next.frame)
            && self.first + self.count == next.first
            && self.flipped_bit.is_none()
            && next.flipped_bit.is_none();
        if fits {
            self.count += next.count;
        }
        fits
    }

    fn bytes(&self) -> usize {
        self.frame.len(self.first, self.count) as usize
    }
}

impl Schedule {
    pub(super) fn push(&mut self, at_ns: u64, link: u32, run: Run) {
        self.bytes += run.bytes();
        let slot = match self.free.pop() {
            Some(slot) => {
                self.runs[slot as usize] = Some(run);
                slot
            }
            None => {
                self.runs.push(Some(run));
                self.runs.len() as u32 - 1
            }
        };
        self.heap.push(Reverse(Entry {
            at_ns,
            order: self.pushed,
            link,
            slot,
        }));
        self.pushed += 1;
    }

    /// The next run that has arrived by `now_ns`, and its link.
    pub(super) fn pop(&mut self, now_ns: u64) -> Option<(u32, u64, Run)> {
        let Reverse(entry) = self
            .heap
            .peek()
            .filter(|entry| entry.0.at_ns <= now_ns)
            .copied()?;
        self.heap.pop();
        self.free.push(entry.slot);
        let run = self.runs[entry.slot as usize].take()?;
        self.bytes -= run.bytes();
        Some((entry.link, entry.at_ns, run))
    }

    pub(super) fn next_ns(&self) -> Option<u64> {
        self.heap.peek().map(|entry| entry.0.at_ns)
    }

    /// Bytes on their way.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests fail by panicking")]
mod tests {
    use super::*;
    use crate::vnet::VnetHeader;

    fn run(first: u16) -> Run {
        let frame = Frame::parse(&VnetHeader::default(), &[0; 60]).unwrap();
        Run {
            frame: Arc::new(frame),
            first,
            count: 1,
            flipped_bit: None,
        }
    }

    #[test]
    fn runs_come_out_by_time_and_then_in_order() {
        let mut schedule = Schedule::default();
        for (at_ns, link) in [(30, 1), (10, 2), (20, 3), (10, 4)] {
            schedule.push(at_ns, link, run(0));
        }
        assert_eq!(schedule.next_ns(), Some(10));
        assert_eq!(schedule.bytes(), 4 * 46);
        let links: Vec<u32> = std::iter::from_fn(|| schedule.pop(25))
            .map(|(link, _, _)| link)
            .collect();
        assert_eq!(links, [2, 4, 3]);
        assert_eq!((schedule.next_ns(), schedule.bytes()), (Some(30), 46));
    }

    #[test]
    fn only_neighbours_of_one_frame_are_joined() {
        let mut base = run(0);
        let neighbour = Run {
            first: 1,
            ..base.clone()
        };
        let distant = Run {
            first: 3,
            ..base.clone()
        };
        let corrupted = Run {
            first: 2,
            flipped_bit: Some(1),
            ..base.clone()
        };
        assert!(!base.absorb(&run(1)));
        assert!(!base.absorb(&distant));
        assert!(base.absorb(&neighbour));
        assert!(!base.absorb(&corrupted));
        assert_eq!((base.first, base.count), (0, 2));
    }
}
