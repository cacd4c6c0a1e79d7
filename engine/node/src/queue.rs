//! What waits for a paced link: frames without number and hop seal yet, fair between flows, none for long, bounded in bytes.
//!
//! FQ-CoDel (RFC 8290): flows share by deficit round robin, one that did not wait lately goes first, and a flow whose packets wait too long is told so, by a
//! CE mark where it understands one, else by a drop (RFC 8289). What finds no room pushes out the oldest of the flow that has most. A frame gets its number
//! when it leaves, so that what is dropped here is no gap to the peer. When something leaves, and how it is sent, is `pacer`'s. Pure.

use std::collections::VecDeque;

use overlayd_wire::ecn;

use crate::Nanos;
use crate::choose::Leg;

/// Flows are told apart by as many places; two in one place share it.
const FLOWS: usize = 128;
/// Bytes that a flow may send before it is the next one's turn.
const QUANTUM: i64 = 1_514;
/// How long packets of a flow may wait all the time, and how long "all the time" is.
const TARGET: Nanos = 5_000_000;
const INTERVAL: Nanos = 100_000_000;
/// A short packet takes as much room as one of this size: the place that holds it does.
const ROOM_MIN: usize = 256;

/// What a frame carries.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Load {
    pub(crate) routed: bool,
    /// Hash of its flow.
    pub(crate) flow: u32,
    /// The node towards which it is counted when it leaves.
    pub(crate) counted: Option<u16>,
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

#[derive(Debug)]
pub(crate) struct FairQueue {
    slots: Vec<Slot>,
    free: Vec<u32>,
    flows: Vec<Flow>,
    /// Flows that did not wait before, and those that did: in order of turn.
    new: VecDeque<u8>,
    old: VecDeque<u8>,
    /// Of IP packets, and of memory.
    bytes: usize,
    room: usize,
}

#[derive(Debug)]
struct Slot {
    frame: Vec<u8>,
    waiting: Waiting,
    since: Nanos,
}

#[derive(Debug, Default)]
struct Flow {
    slots: VecDeque<u32>,
    bytes: usize,
    room: usize,
    deficit: i64,
    /// In one of the lists.
    listed: bool,
    codel: Codel,
}

#[derive(Debug, Default)]
struct Codel {
    /// When packets will have waited too long for a whole interval.
    late_at: Option<Nanos>,
    dropping: bool,
    next: Nanos,
    /// Drops so far, and with how many it began.
    count: u32,
    first_count: u32,
}

impl FairQueue {
    pub(crate) fn new() -> Self {
        Self {
            slots: Vec::new(),
            free: Vec::new(),
            flows: (0..FLOWS).map(|_| Flow::default()).collect(),
            new: VecDeque::new(),
            old: VecDeque::new(),
            bytes: 0,
            room: 0,
        }
    }

    /// Bytes of IP packets that wait.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// How many were pushed out to stay within `most` bytes.
    pub(crate) fn push(&mut self, now: Nanos, waiting: Waiting, frame: &[u8], most: usize) -> u64 {
        let place = waiting.load.flow as usize % FLOWS;
        let slot = self.store(now, waiting, frame);
        let flow = &mut self.flows[place];
        flow.slots.push_back(slot);
        flow.bytes += waiting.size;
        flow.room += room(waiting.size);
        self.bytes += waiting.size;
        self.room += room(waiting.size);
        if !flow.listed {
            flow.listed = true;
            flow.deficit = QUANTUM;
            self.new.push_back(place as u8);
        }
        let mut pushed_out = 0;
        while self.room > most {
            let fattest = (0..FLOWS).max_by_key(|place| self.flows[*place].room);
            let Some(slot) = fattest.and_then(|place| self.take(place)) else {
                break;
            };
            self.free.push(slot);
            pushed_out += 1;
        }
        pushed_out
    }

    /// The next frame, appended to `out`. What waited too long on the way to it is counted in `late`.
    pub(crate) fn pop(&mut self, now: Nanos, out: &mut Vec<u8>, late: &mut u64) -> Option<Leaving> {
        loop {
            let is_new = !self.new.is_empty();
            let list = if is_new { &self.new } else { &self.old };
            let place = usize::from(*list.front()?);
            if self.flows[place].deficit <= 0 {
                self.flows[place].deficit += QUANTUM;
                self.turn(is_new, true);
                continue;
            }
            let Some((slot, marked)) = self.next_of(place, now, late) else {
                // One that was new goes round once more, or it could come back as new at once.
                self.turn(is_new, is_new);
                continue;
            };
            let Slot {
                frame,
                waiting,
                since,
            } = &self.slots[slot as usize];
            out.extend_from_slice(frame);
            self.flows[place].deficit -= waiting.size as i64;
            let leaving = Leaving {
                waiting: *waiting,
                waited: now.saturating_sub(*since),
                marked,
            };
            self.free.push(slot);
            return Some(leaving);
        }
    }

    /// The first flow of a list gives way to the next: to the end of the old ones, or out.
    fn turn(&mut self, is_new: bool, stays: bool) {
        let list = if is_new { &mut self.new } else { &mut self.old };
        let Some(place) = list.pop_front() else {
            return;
        };
        if stays {
            self.old.push_back(place);
        } else {
            self.flows[usize::from(place)].listed = false;
        }
    }

    /// The next slot of a flow, and whether to mark it.
    fn next_of(&mut self, place: usize, now: Nanos, late: &mut u64) -> Option<(u32, bool)> {
        loop {
            let backlog = self.flows[place].bytes;
            let slot = self.take(place);
            let codel = &mut self.flows[place].codel;
            let Some(slot) = slot else {
                codel.dropping = false;
                codel.late_at = None;
                return None;
            };
            let Slot { waiting, since, .. } = &self.slots[slot as usize];
            let alone = backlog as i64 <= QUANTUM;
            if !codel.is_over(now, now.saturating_sub(*since), alone) {
                return Some((slot, false));
            }
            if waiting.leg.ecn != ecn::NOT_ECT {
                return Some((slot, true));
            }
            *late += 1;
            self.free.push(slot);
        }
    }

    /// Takes the oldest of a flow.
    fn take(&mut self, place: usize) -> Option<u32> {
        let flow = &mut self.flows[place];
        let slot = flow.slots.pop_front()?;
        let size = self.slots[slot as usize].waiting.size;
        flow.bytes -= size;
        flow.room -= room(size);
        self.bytes -= size;
        self.room -= room(size);
        Some(slot)
    }

    fn store(&mut self, since: Nanos, waiting: Waiting, frame: &[u8]) -> u32 {
        let Some(place) = self.free.pop() else {
            self.slots.push(Slot {
                frame: frame.to_vec(),
                waiting,
                since,
            });
            return self.slots.len() as u32 - 1;
        };
        let slot = &mut self.slots[place as usize];
        slot.frame.clear();
        slot.frame.extend_from_slice(frame);
        (slot.waiting, slot.since) = (waiting, since);
        place
    }
}

impl Codel {
    /// Whether this packet, which waited so long, is to be dropped or marked.
    fn is_over(&mut self, now: Nanos, waited: Nanos, alone: bool) -> bool {
        if waited < TARGET || alone {
            (self.late_at, self.dropping) = (None, false);
            return false;
        }
        let late_at = *self.late_at.get_or_insert(now + INTERVAL);
        if self.dropping {
            if now < self.next {
                return false;
            }
            self.count += 1;
            self.next = self.after(self.next);
            return true;
        }
        if now < late_at {
            return false;
        }
        // Soon after the last time: go on with the rhythm that was found then.
        let found = self.count - self.first_count;
        let again = found > 1 && now < self.next + 16 * INTERVAL;
        self.count = if again { found } else { 1 };
        self.first_count = self.count;
        self.dropping = true;
        self.next = self.after(now);
        true
    }

    fn after(&self, at: Nanos) -> Nanos {
        at + (INTERVAL as f64 / f64::from(self.count).sqrt()) as Nanos
    }
}

fn room(size: usize) -> usize {
    size.max(ROOM_MIN)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests fail by panicking")]
mod tests {
    use overlayd_wire::Budget;

    use super::*;

    const MS: Nanos = 1_000_000;

    fn waiting(flow: u32, ecn: u8, size: usize) -> Waiting {
        Waiting {
            leg: Leg {
                link: 0,
                class: 0,
                budget: Budget::NONE,
                ecn,
            },
            load: Load {
                routed: false,
                flow,
                counted: None,
            },
            size,
        }
    }

    /// What left a queue of 50 ms at 8 Mbit/s: (flow, time waited, marked), and what was late and what was pushed out.
    #[derive(Default)]
    struct Outcome {
        left: Vec<(u32, Nanos, bool)>,
        late: u64,
        pushed_out: u64,
        slots: usize,
    }

    impl Outcome {
        fn of(&self, flow: u32) -> impl Iterator<Item = &(u32, Nanos, bool)> {
            self.left.iter().filter(move |(of, _, _)| *of == flow)
        }
    }

    /// Each ms for `time`, packets of the given flows come: (flow, ECN, bytes, how many each ms); 1000 bytes leave.
    fn run(time: Nanos, offers: &[(u32, u8, usize, f64)]) -> Outcome {
        let mut queue = FairQueue::new();
        let mut outcome = Outcome::default();
        let (mut credit, mut due) = (0_i64, vec![0.0; offers.len()]);
        for now in (0..time).step_by(MS as usize) {
            for ((flow, ecn, size, count), due) in offers.iter().zip(&mut due) {
                *due += count;
                while *due >= 1.0 {
                    *due -= 1.0;
                    let waiting = waiting(*flow, *ecn, *size);
                    outcome.pushed_out += queue.push(now, waiting, &[0; 40], 50_000);
                }
            }
            credit += 1_000;
            while credit > 0 {
                let Some(leaving) = queue.pop(now, &mut Vec::new(), &mut outcome.late) else {
                    credit = 0;
                    break;
                };
                credit -= leaving.waiting.size as i64;
                let flow = leaving.waiting.load.flow;
                outcome.left.push((flow, leaving.waited, leaving.marked));
            }
        }
        outcome.slots = queue.slots.len();
        outcome
    }

    #[test]
    fn a_flow_of_few_packets_passes_a_flood() {
        let outcome = run(4_000 * MS, &[(1, 0, 1000, 4.0), (2, 0, 200, 0.2)]);
        let worst = outcome.of(2).map(|(_, waited, _)| *waited).max().unwrap();
        assert!(worst <= 2 * MS, "{worst}");
        assert!(outcome.of(2).count() >= 795);
        let flood = outcome.of(1).count();
        assert!(flood >= 3_800, "{flood} of 4000 less what the other takes");
        assert_eq!(outcome.of(1).filter(|(_, _, marked)| *marked).count(), 0);
    }

    #[test]
    fn floods_share_by_bytes() {
        let outcome = run(
            4_000 * MS,
            &[(1, 0, 1000, 4.0), (2, 0, 250, 16.0), (3, 0, 1000, 2.0)],
        );
        let bytes = [1, 2, 3].map(|flow| {
            let size = if flow == 2 { 250 } else { 1000 };
            outcome.of(flow).count() * size
        });
        let share = bytes.map(|bytes| bytes as f64 / 4e6);
        assert!(
            share.iter().all(|share| (0.3..0.37).contains(share)),
            "{share:?}"
        );
    }

    #[test]
    fn its_memory_is_bounded() {
        let outcome = run(1_000 * MS, &[(1, 0, 1000, 8.0), (2, 1, 60, 90.0)]);
        assert!(outcome.pushed_out > 10_000);
        assert!(outcome.slots <= 50_000 / ROOM_MIN + 1, "{}", outcome.slots);
    }

    #[test]
    fn a_little_too_much_is_told_by_drops_or_by_marks() {
        let of = |ecn| run(10_000 * MS, &[(1, ecn, 500, 2.05)]);
        let (dropped, marked) = (of(0), of(1));
        assert!((10..1_500).contains(&dropped.late), "{}", dropped.late);
        assert_eq!(marked.late, 0);
        let marks = marked.of(1).filter(|(_, _, marked)| *marked).count();
        assert!((10..4_000).contains(&marks), "{marks}");
    }

    #[test]
    fn what_passes_in_time_is_left_alone() {
        let outcome = run(4_000 * MS, &[(1, 0, 500, 1.0), (2, 1, 200, 1.0)]);
        assert_eq!((outcome.late, outcome.pushed_out), (0, 0));
        assert!(outcome.left.iter().all(|(_, _, marked)| !marked));
        assert_eq!(outcome.left.len(), 8_000);
    }
}
