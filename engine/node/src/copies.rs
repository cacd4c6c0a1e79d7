//! Copies of what left of late, for as long as they may be of use on a second path. Pure.

use std::collections::VecDeque;
use std::ops::Range;

use overlayd_wire::Budget;

use crate::Nanos;

/// No longer than this, whatever the deadline: sickness is known within a round trip and two probe intervals.
const KEEP: Nanos = 300_000_000;
/// Of one destination and class, whatever is sent.
const KEEP_BYTES: usize = 1 << 20;
const KEEP_PACKETS: usize = 8192;

/// What left for one destination and class of late.
#[derive(Debug, Default)]
pub(crate) struct Copies {
    /// So many paths in a row are: the one in use, and those that copies of its packets take.
    pub(crate) sick: usize,
    notes: VecDeque<Note>,
    /// Datagrams sealed end to end, one behind the other.
    bytes: VecDeque<u8>,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Note {
    pub(crate) left_at: Nanos,
    pub(crate) length: usize,
    pub(crate) class: u8,
    pub(crate) budget: Budget,
    pub(crate) ecn: u8,
    pub(crate) flow: u32,
}

impl Copies {
    pub(crate) fn keep(&mut self, note: Note, datagram: &[u8]) {
        while self.bytes.len() + note.length > KEEP_BYTES
            || self.notes.len() == KEEP_PACKETS
            || self
                .notes
                .front()
                .is_some_and(|first| first.is_late(note.left_at))
        {
            let Some(first) = self.notes.pop_front() else {
                return;
            };
            self.bytes.drain(..first.length);
        }
        self.notes.push_back(note);
        self.bytes.extend(datagram);
    }

    /// Nothing leaves any more: what was kept is of no use, and nor is its memory.
    pub(crate) fn forget(&mut self) {
        *self = Self::default();
    }

    /// How many of the newest left at `since` or later.
    pub(crate) fn newer_than(&self, since: Nanos) -> usize {
        self.notes.len() - self.notes.partition_point(|note| note.left_at < since)
    }

    /// The newest `count`, the oldest of them first, each in two parts.
    pub(crate) fn newest(&self, count: usize) -> impl Iterator<Item = (&Note, [&[u8]; 2])> {
        let first = self.notes.len().saturating_sub(count);
        let newest: usize = self.notes.range(first..).map(|note| note.length).sum();
        let mut from = self.bytes.len() - newest;
        self.notes.range(first..).map(move |note| {
            let datagram = parts(&self.bytes, from..from + note.length);
            from += note.length;
            (note, datagram)
        })
    }
}

impl Note {
    /// Whether a copy would come too late wherever it went.
    pub(crate) fn is_late(&self, now: Nanos) -> bool {
        let age = now.saturating_sub(self.left_at);
        age > KEEP || self.budget.less(age) == Budget(0)
    }
}

/// A stretch of a ring: it may go on at the ring's start.
fn parts(ring: &VecDeque<u8>, of: Range<usize>) -> [&[u8]; 2] {
    let (head, tail) = ring.as_slices();
    let split = head.len();
    [
        &head[of.start.min(split)..of.end.min(split)],
        &tail[of.start.max(split) - split..of.end.max(split) - split],
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Nanos = 1_000_000;

    fn note(at: Nanos, length: usize) -> Note {
        Note {
            left_at: at,
            length,
            class: 0,
            budget: Budget::from_ns(Some(100 * MS)),
            ecn: 0,
            flow: 0,
        }
    }

    #[test]
    fn what_is_kept_is_bounded_in_time_number_and_bytes() {
        let mut copies = Copies::default();
        for at in 0..1000 {
            copies.keep(note(at * MS, 10), &[0; 10]);
        }
        assert_eq!(copies.notes.len(), 100, "what can still arrive in time");
        assert_eq!(copies.newer_than(990 * MS), 10);
        for _ in 0..2000 {
            copies.keep(note(1000 * MS, 1400), &[0; 1400]);
        }
        assert!(copies.bytes.len() <= KEEP_BYTES && copies.bytes.len() > KEEP_BYTES - 1400);
        for _ in 0..20_000 {
            copies.keep(note(1000 * MS, 1), &[0]);
        }
        assert_eq!(copies.notes.len(), KEEP_PACKETS);
        assert_eq!(copies.bytes.len(), KEEP_PACKETS);
        copies.keep(note(1000 * MS, KEEP_BYTES + 1), &vec![0; KEEP_BYTES + 1]);
        assert!(
            copies.notes.is_empty() && copies.bytes.is_empty(),
            "too long for all"
        );
    }

    #[test]
    fn a_stretch_of_the_ring_is_whole_wherever_the_ring_ends() {
        let mut ring = VecDeque::with_capacity(16);
        for number in 0..100_u8 {
            ring.push_back(number);
            if ring.len() > 10 {
                ring.pop_front();
            }
            for from in 0..ring.len() {
                for to in from..=ring.len() {
                    let whole: Vec<u8> = ring.range(from..to).copied().collect();
                    assert_eq!(parts(&ring, from..to).concat(), whole);
                }
            }
        }
    }
}
