//! Flows of random packets through random loss, lateness, retransmission and moves, against what order has to be.

#![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

use std::collections::BTreeSet;

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::marks::Marks;
use crate::origin::Origin;

const MS: Nanos = 1_000_000;
const STREAM: u64 = 7;

/// The numbers that have come, of each stream, and those that never will.
#[derive(Default)]
struct Came {
    came: BTreeSet<(u64, u64)>,
    lost: BTreeSet<(u64, u64)>,
}

impl Missing for Came {
    fn any(&self, stream: u64, after: u64, before: u64) -> bool {
        let known =
            |number| self.came.contains(&(stream, number)) || self.lost.contains(&(stream, number));
        (after + 1..before).any(|number| !known(number))
    }
}

fn place(flow: u32, number: u64, from: u32, length: u32) -> Place {
    Place {
        flow,
        frame: Number {
            stream: STREAM,
            number,
        },
        from,
        length,
        opens: false,
        is_tcp: true,
    }
}

fn parcel() -> Parcel {
    Parcel {
        origin: Origin {
            peer: 1,
            marks: Marks::default(),
            at: None,
            place: None,
        },
        form: Form::Whole {
            partial_checksum: false,
        },
    }
}

/// An egress: what it wrote, in order.
#[derive(Default)]
struct Egress {
    order: Order,
    patience: Patience,
    came: Came,
    written: Vec<Vec<u8>>,
}

impl Egress {
    /// A packet arrives, whose bytes name it.
    fn arrive(&mut self, now: Nanos, place: &Place, bytes: &[u8]) {
        let Number { stream, number } = place.frame;
        self.came.came.insert((stream, number));
        let verdict = self.order.take(now, place, &mut self.patience, &self.came);
        match verdict {
            Verdict::Passes => self.written.push(bytes.to_vec()),
            Verdict::Opens => {
                self.written.push(bytes.to_vec());
                self.follow(now, place.flow);
            }
            Verdict::Waits => {
                let limit = now + self.patience.get(100 * MS);
                if self.order.hold(now, limit, place, parcel(), bytes) {
                    self.follow(now, place.flow);
                }
            }
        }
    }

    fn follow(&mut self, now: Nanos, flow: u32) {
        while let Some((_, bytes)) = self.order.next(now, flow, &mut self.patience, &self.came) {
            self.written.push(bytes.clone());
            self.order.done(bytes);
        }
    }

    fn tick(&mut self, now: Nanos) {
        let mut flows = Vec::new();
        self.order.due(now, &mut flows);
        for (flow, _) in flows {
            self.follow(now, flow);
        }
    }

    fn names(&self) -> Vec<u8> {
        self.written.iter().map(|bytes| bytes[0]).collect()
    }
}

#[test]
fn a_packet_that_comes_late_goes_to_its_place() {
    let mut egress = Egress::default();
    for (number, name) in [(0, 0), (1, 1), (3, 3), (4, 4), (2, 2), (5, 5)] {
        egress.arrive(number, &place(9, number, 100 * number as u32, 100), &[name]);
    }
    assert_eq!(egress.names(), [0, 1, 2, 3, 4, 5]);
    assert_eq!(egress.order.poll_timeout(), None);
    assert_eq!((egress.order.waited, egress.order.given_up), (2, 0));
}

#[test]
fn nothing_waits_for_what_was_lost_before_the_overlay_or_belongs_to_another_flow() {
    let mut egress = Egress::default();
    // Its sequence has a gap, its frames have none: dropped before it had a number.
    egress.arrive(0, &place(9, 0, 0, 100), &[0]);
    egress.arrive(1, &place(9, 1, 200, 100), &[1]);
    // A frame is missing, but none of this flow.
    egress.arrive(2, &place(9, 3, 300, 100), &[2]);
    assert_eq!(egress.names(), [0, 1, 2]);
    assert_eq!(egress.order.waited, 0);
}

#[test]
fn a_gap_that_nothing_fills_is_left_when_patience_ends() {
    let mut egress = Egress::default();
    egress.arrive(0, &place(9, 0, 0, 100), &[0]);
    egress.arrive(0, &place(9, 2, 200, 100), &[2]);
    egress.tick(99 * MS);
    assert_eq!(egress.names(), [0]);
    assert_eq!(egress.order.poll_timeout(), Some(101 * MS));
    egress.tick(101 * MS);
    assert_eq!(egress.names(), [0, 2]);
    assert_eq!(egress.order.given_up, 1);
    let before = egress.patience.get(0);
    // It comes after all: the next one is waited for longer.
    egress.arrive(150 * MS, &place(9, 1, 100, 100), &[1]);
    assert_eq!(egress.names(), [0, 2, 1]);
    assert!(egress.patience.get(0) > before.max(150 * MS));
}

#[test]
fn a_frame_that_was_given_up_on_its_hop_is_waited_for_no_longer() {
    let mut egress = Egress::default();
    egress.arrive(0, &place(9, 0, 0, 100), &[0]);
    egress.arrive(0, &place(9, 2, 200, 100), &[2]);
    egress.came.lost.insert((STREAM, 1));
    egress.tick(2 * MS);
    assert_eq!(egress.names(), [0, 2]);
    assert_eq!(egress.order.given_up, 0);
}

#[test]
fn what_waits_goes_before_what_comes_when_nothing_is_missing_any_more() {
    let mut egress = Egress::default();
    egress.arrive(0, &place(9, 0, 0, 100), &[0]);
    egress.arrive(1, &place(9, 2, 200, 100), &[2]);
    // What was missing belongs to another flow.
    egress.arrive(2, &place(8, 1, 0, 100), &[8]);
    egress.arrive(3, &place(9, 3, 300, 100), &[3]);
    assert_eq!(egress.names(), [0, 8, 2, 3]);
    assert_eq!(egress.order.poll_timeout(), None);
}

#[test]
fn nobody_waits_beyond_its_own_time_for_what_stands_before_it() {
    let mut egress = Egress::default();
    egress.arrive(0, &place(9, 0, 0, 100), &[0]);
    egress.arrive(0, &place(9, 2, 200, 100), &[2]);
    let hurried = place(9, 3, 300, 100);
    egress.came.came.insert((STREAM, 3));
    let verdict = egress
        .order
        .take(0, &hurried, &mut egress.patience, &egress.came);
    assert_eq!(verdict, Verdict::Waits);
    egress.order.hold(0, 10 * MS, &hurried, parcel(), &[3]);
    egress.tick(9 * MS);
    assert_eq!(egress.names(), [0]);
    egress.tick(11 * MS);
    assert_eq!(egress.names(), [0, 2, 3]);
}

#[test]
fn packets_that_nobody_may_have_are_given_up_with_their_memory() {
    let mut egress = Egress::default();
    egress.arrive(0, &place(9, 0, 0, 100), &[0]);
    egress.arrive(0, &place(9, 2, 200, 100), &[2]);
    egress.arrive(0, &place(9, 4, 400, 100), &[4]);
    assert_eq!(egress.order.discard(9), 2);
    assert_eq!(egress.order.discard(9), 0);
    assert_eq!(egress.order.poll_timeout(), None);
    egress.arrive(1, &place(9, 5, 500, 100), &[5]);
    assert_eq!(egress.names(), [0]);
}

#[test]
fn a_number_from_the_other_end_of_the_sequence_is_another_connection_s() {
    let mut egress = Egress::default();
    egress.arrive(0, &place(9, 0, 0, 100), &[0]);
    egress.arrive(0, &place(9, 2, 100 + (1 << 31), 100), &[1]);
    assert_eq!(egress.names(), [0, 1]);
}

#[test]
fn a_path_that_became_shorter_reorders_nothing() {
    let mut egress = Egress::default();
    let on = |stream, number, from| Place {
        frame: Number { stream, number },
        ..place(9, 0, from, 100)
    };
    egress.arrive(0, &on(1, 0, 0), &[0]);
    egress.arrive(1, &on(2, 0, 300), &[3]);
    egress.arrive(2, &on(2, 1, 400), &[4]);
    egress.arrive(3, &on(1, 1, 100), &[1]);
    egress.arrive(4, &on(1, 2, 200), &[2]);
    egress.arrive(5, &on(2, 2, 500), &[5]);
    assert_eq!(egress.names(), [0, 1, 2, 3, 4, 5]);
}

#[test]
fn a_connection_that_begins_anew_waits_for_nothing_of_the_old_one() {
    let mut egress = Egress::default();
    egress.arrive(0, &place(9, 0, 5_000, 100), &[0]);
    let opening = Place {
        opens: true,
        ..place(9, 2, 90_000, 1)
    };
    egress.arrive(1, &opening, &[1]);
    egress.arrive(2, &place(9, 3, 90_001, 100), &[2]);
    egress.arrive(3, &place(9, 5, 2_000_000_000, 100), &[3]);
    assert_eq!(egress.names(), [0, 1, 2, 3]);
}

#[test]
fn its_memory_is_bounded() {
    let mut egress = Egress::default();
    let packet = vec![1; 1_400];
    let flows = 8;
    for flow in 0..flows {
        egress.arrive(0, &place(flow, u64::from(flow), 0, 1), &packet);
    }
    let mut most = (0, 0);
    for number in 0..20_000_u64 {
        let flow = number as u32 % flows;
        let from = 10 + number as u32;
        egress.arrive(1, &place(flow, 1_000 + 2 * number, from, 1), &packet);
        most.0 = most.0.max(egress.order.held.bytes());
        most.1 = most.1.max(egress.order.held.packets());
    }
    assert!(
        most.0 <= BYTES_MAX + packet.len() && most.1 <= PACKETS_MAX + 1,
        "{most:?}"
    );
    assert!(most.0 > BYTES_MAX / 2);
    egress.tick(1_000 * MS);
    assert_eq!(
        egress.written.len(),
        20_000 + flows as usize,
        "nothing is lost"
    );
}

/// What happens to a packet on its way: it takes so long (ms), or is lost for good.
#[derive(Clone, Copy, Debug)]
enum Fate {
    After(u64),
    Lost,
}

fn fate() -> impl Strategy<Value = Fate> {
    prop_oneof![
        8 => Just(Fate::After(0)),
        2 => (1..60_u64).prop_map(Fate::After),
        1 => Just(Fate::Lost),
    ]
}

proptest! {
    #[test]
    fn nothing_is_lost_or_doubled_and_order_is_restored_within_the_bound(
        fates in vec((0..3_u32, fate()), 1..120),
    ) {
        // Each ms one packet leaves, of one of three flows; the path changes twice.
        let mut events: Vec<(Nanos, Place, u8)> = Vec::new();
        let mut egress = Egress::default();
        let (mut froms, mut numbers) = ([1_u32; 3], [0_u64; 3]);
        for (at, (flow, fate)) in fates.iter().enumerate() {
            let stream = at as u64 / 40;
            let flow_at = *flow as usize;
            let from = froms[flow_at];
            froms[flow_at] += 10;
            let number = numbers[stream as usize];
            numbers[stream as usize] += 1;
            let frame = Number { stream, number };
            let place = Place { frame, ..place(*flow, 0, from, 10) };
            match fate {
                Fate::After(late) => events.push(((at as u64 + late) * MS, place, at as u8)),
                Fate::Lost => {}
            }
        }
        events.sort_by_key(|(at, _, name)| (*at, *name));
        let expected: BTreeSet<u8> = events.iter().map(|(_, _, name)| *name).collect();
        let any_lost = events.len() < fates.len();
        let first_seen: Vec<Option<u32>> = (0..3).map(|flow| {
            events.iter().find(|(_, place, _)| place.flow == flow).map(|(_, place, _)| place.from)
        }).collect();
        let mut arrived = std::collections::BTreeMap::new();
        let mut left_at = std::collections::BTreeMap::new();
        let end = events.last().map_or(0, |(at, ..)| at / MS) + 200;
        let mut next = 0;
        for now in (0..end).map(|ms| ms * MS) {
            egress.tick(now);
            while events.get(next).is_some_and(|(at, ..)| *at <= now) {
                let (_, place, name) = &events[next];
                arrived.insert(*name, now);
                egress.arrive(now, place, &[*name]);
                next += 1;
            }
            for name in egress.names() {
                left_at.entry(name).or_insert(now);
            }
        }
        let names = egress.names();
        prop_assert_eq!(names.len(), expected.len(), "none twice");
        prop_assert_eq!(names.iter().copied().collect::<BTreeSet<_>>(), expected);
        for (name, left) in &left_at {
            // Patience begins at 100 ms, and what comes late does so by less than 60.
            prop_assert!(left - arrived[name] <= 102 * MS);
        }
        if !any_lost {
            for flow in 0..3_u32 {
                let of_flow: Vec<u8> = names.iter().copied()
                    .filter(|name| fates[*name as usize].0 == flow)
                    // What the flow was first known by was not its beginning, perhaps.
                    .filter(|name| {
                        let from = events.iter().find(|(_, _, of)| of == name).unwrap().1.from;
                        Some(from) >= first_seen[flow as usize]
                    })
                    .collect();
                prop_assert!(of_flow.is_sorted(), "{:?}", of_flow);
            }
        }
        prop_assert_eq!(egress.order.poll_timeout(), None, "nothing is left behind");
    }
}
