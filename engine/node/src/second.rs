//! Copies of packets on node-disjoint paths, while the path in use is sick. For classes that ask for it.
//!
//! What leaves for such a class is sealed end to end whatever the path, so that its counter tells copies apart at the egress, and kept for as
//! long as it may be of use. When probes of the path in use are overdue by more than chance explains, what left since it last answered leaves
//! once more on the second path, and so does each packet from then on, until the path answers or is left. Where the second is sick as well, an
//! end of both is, and the third path takes what they put at risk. On a calm path nothing is sent twice. Pure.

use std::collections::VecDeque;
use std::ops::Range;

use overlayd_wire::{Budget, Protected, RouteRepr};

use crate::choose::Leg;
use crate::liveness::Liveness;
use crate::path::{BESIDE, Path};
use crate::queue::Traffic;
use crate::schedule::Exit;
use crate::{Nanos, Node};

/// No longer than this, whatever the deadline: sickness is known within a round trip and two probe intervals.
const KEEP: Nanos = 300_000_000;
/// Of one destination and class, whatever is sent.
const KEEP_BYTES: usize = 1 << 20;
const KEEP_PACKETS: usize = 8192;

/// What left for one destination and class of late.
#[derive(Debug, Default)]
pub(crate) struct Copies {
    /// So many paths in a row are: the one in use, and those that copies of its packets take.
    sick: usize,
    notes: VecDeque<Note>,
    /// Datagrams sealed end to end, one behind the other.
    bytes: VecDeque<u8>,
}

#[derive(Clone, Copy, Debug)]
struct Note {
    left_at: Nanos,
    length: usize,
    class: u8,
    budget: Budget,
    ecn: u8,
    flow: u32,
}

impl Copies {
    fn keep(&mut self, note: Note, datagram: &[u8]) {
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
    fn newer_than(&self, since: Nanos) -> usize {
        self.notes.len() - self.notes.partition_point(|note| note.left_at < since)
    }
}

impl Note {
    /// Whether a copy would come too late wherever it went.
    fn is_late(&self, now: Nanos) -> bool {
        let age = now.saturating_sub(self.left_at);
        age > KEEP || self.budget.less(age) == Budget(0)
    }
}

impl Node {
    /// Takes a copy of the frame at the end of the output, which starts at `frame`, is sealed end to end and leaves now.
    pub(crate) fn keep_copy(&mut self, now: Nanos, leg: &Leg, traffic: &Traffic, frame: usize) {
        let Some(inner) = traffic.inner.filter(|inner| inner.guarded) else {
            return;
        };
        let place = self.peer_place(inner.destination);
        let Some(set) = place.and_then(|place| self.routes.find(place, leg.class)) else {
            return;
        };
        let datagram = &self.output.bytes[inner.starts_at(frame)..];
        let note = Note {
            left_at: now,
            length: datagram.len(),
            class: leg.class,
            budget: leg.budget,
            ecn: leg.ecn,
            flow: traffic.flow,
        };
        if let Some(copies) = &mut self.routes.sets[set].copies {
            copies.keep(note, datagram);
        }
    }

    /// While the path in use is sick, what was kept last leaves on the second one too, and on the third while both are.
    pub(crate) fn send_second(&mut self, now: Nanos, set: usize) {
        let sick = self.routes.sets[set].copies.as_deref();
        let Some(sick) = sick.map(|copies| copies.sick).filter(|sick| *sick > 0) else {
            return;
        };
        for path in self.routes.sets[set].beside().into_iter().take(sick) {
            self.send_copies(now, set, path, 1);
        }
    }

    /// Notes how many paths in a row are sick. What left since all of them last answered leaves on the next one too, if that was not so before.
    pub(crate) fn look_after(&mut self, now: Nanos, set: usize) {
        let state = &self.routes.sets[set];
        let Some(before) = state.copies.as_deref().map(|copies| copies.sick) else {
            return;
        };
        let beside = state.beside();
        let (mut sick, mut since) = (0, 0);
        let mut path = Some(state.active());
        let mut missed: [Option<Nanos>; BESIDE] = [None; BESIDE];
        while let Some(silent) = path.and_then(|path| self.silent_since(now, path))
            && sick < BESIDE
        {
            since = silent.max(since);
            missed[sick] = Some(since).filter(|_| sick >= before);
            path = beside[sick].map(|place| &state.paths[place]);
            sick += 1;
        }
        if let Some(copies) = &mut self.routes.sets[set].copies {
            copies.sick = sick;
        }
        for (path, since) in beside.into_iter().zip(missed) {
            let copies = self.routes.sets[set].copies.as_deref();
            let count = copies
                .zip(since)
                .map(|(copies, since)| copies.newer_than(since));
            self.send_copies(now, set, path, count.unwrap_or(0));
        }
    }

    /// When one of the paths may turn out to be sick.
    pub(crate) fn look_after_at(&self, set: usize) -> Option<Nanos> {
        let state = &self.routes.sets[set];
        let beside = state.beside().into_iter().flatten();
        let paths = beside
            .map(|place| &state.paths[place])
            .chain([state.active()]);
        let lives = paths.filter_map(|path| self.lives_of(path)).flatten();
        lives.filter_map(Liveness::doubtful_at).min()
    }

    /// What was sent before the time in the answer has arrived; `None`: the path answers.
    fn silent_since(&self, now: Nanos, path: &Path) -> Option<Nanos> {
        let Some(lives) = self.lives_of(path) else {
            return Some(0);
        };
        lives.filter_map(|life| life.doubtful_since(now)).min()
    }

    /// What tells of a path: its first link, and probes of its whole way. `None`: there is no such link.
    fn lives_of<'a>(&'a self, path: &'a Path) -> Option<impl Iterator<Item = &'a Liveness>> {
        let link = self.links[self.peers[path.via].best?].as_deref()?;
        let whole = (!path.is_direct()).then_some(&path.liveness);
        Some([Some(&link.liveness), whole].into_iter().flatten())
    }

    /// The newest `count` of what is kept, in order, on the path at this place.
    fn send_copies(&mut self, now: Nanos, set: usize, path: Option<usize>, count: usize) {
        let Some(path) = path.filter(|_| count > 0) else {
            return;
        };
        let Path { via, route, .. } = self.routes.sets[set].paths[path];
        let Some(link) = self.peers[via].best else {
            return;
        };
        let Some(copies) = self.routes.sets[set].copies.take() else {
            return;
        };
        let first = copies.notes.len().saturating_sub(count);
        let newest: usize = copies.notes.range(first..).map(|note| note.length).sum();
        let mut from = copies.bytes.len() - newest;
        for note in copies.notes.range(first..) {
            let datagram = parts(&copies.bytes, from..from + note.length);
            from += note.length;
            if note.is_late(now) {
                continue;
            }
            let leg = Leg {
                link,
                class: note.class,
                budget: note.budget.less(now - note.left_at),
                ecn: note.ecn,
            };
            self.send_copy(now, &leg, note.flow, (&route, datagram));
        }
        self.routes.sets[set].copies = Some(copies);
    }

    fn send_copy(
        &mut self,
        now: Nanos,
        leg: &Leg,
        flow: u32,
        (route, datagram): (&RouteRepr, [&[u8]; 2]),
    ) {
        let bytes = &mut self.output.bytes;
        let start = Exit::begin(bytes);
        bytes.extend_from_slice(&[0; Protected::LEN]);
        route.emit(bytes);
        for part in datagram {
            bytes.extend_from_slice(part);
        }
        let traffic = Traffic {
            routed: true,
            flow,
            inner: None,
        };
        if let Err(reason) = self.pass(now, leg, traffic, start) {
            self.tally.drop(reason);
        }
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
