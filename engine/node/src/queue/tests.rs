//! Shares of classes and flows, in virtual time: 8 Mbit/s leave a queue of 50 ms.

#![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

use overlayd_wire::Budget;

use super::slots::ROOM_MIN;
use super::*;

const MS: Nanos = 1_000_000;
const RATE: u64 = 8_000_000;
const QUEUE: usize = 50_000;
const ROOM: Room = Room {
    usual: QUEUE,
    in_order: 4 * QUEUE,
};

fn terms(shares: &[Share]) -> Terms<'_> {
    Terms {
        rate_bps: RATE,
        rtt: 100 * MS,
        shares,
    }
}

/// What comes each ms of one flow: how many packets, of so many bytes.
#[derive(Clone, Copy)]
struct Offer {
    class: u8,
    flow: u32,
    ecn: u8,
    size: usize,
    count: f64,
}

fn offer(flow: u32, ecn: u8, size: usize, count: f64) -> Offer {
    Offer {
        class: 0,
        flow,
        ecn,
        size,
        count,
    }
}

fn of_class(class: u8, size: usize, count: f64) -> Offer {
    Offer {
        class,
        ..offer(u32::from(class), 1, size, count)
    }
}

fn share(weight: u16, priority_ratio: f64) -> Share {
    Share {
        weight,
        priority_ratio,
        in_order: false,
    }
}

fn waiting(class: u8, load: Load, ecn: u8, size: usize) -> Waiting {
    Waiting {
        leg: Leg {
            link: 0,
            class,
            budget: Budget::NONE,
            ecn,
        },
        load,
        size,
    }
}

fn traffic(flow: u32) -> Load {
    Load::Traffic(Traffic {
        routed: false,
        flow,
        inner: None,
    })
}

/// A frame that left.
#[derive(Clone, Copy)]
struct Sent {
    class: u8,
    flow: u32,
    size: usize,
    waited: Nanos,
    marked: bool,
}

#[derive(Default)]
struct Outcome {
    sent: Vec<Sent>,
    late: u64,
    pushed_out: u64,
    queue: Queue,
}

impl Outcome {
    fn of(&self, flow: u32) -> impl Iterator<Item = &Sent> {
        self.sent.iter().filter(move |sent| sent.flow == flow)
    }

    /// Of all bytes that left, those of a class.
    fn part(&self, class: u8) -> f64 {
        let bytes = |sent: &Sent| sent.size as f64;
        let own: f64 = self
            .sent
            .iter()
            .filter(|sent| sent.class == class)
            .map(bytes)
            .sum();
        own / self.sent.iter().map(bytes).sum::<f64>()
    }

    /// The wait that one of a hundred exceeds.
    fn p99(&self, class: u8) -> Nanos {
        let own = self.sent.iter().filter(|sent| sent.class == class);
        let mut waits: Vec<Nanos> = own.map(|sent| sent.waited).collect();
        waits.sort_unstable();
        waits[waits.len() * 99 / 100]
    }
}

/// Each ms for `time` offers come, and 1000 bytes leave.
fn run_shared(time: Nanos, shares: &[Share], offers: &[Offer]) -> Outcome {
    let mut outcome = Outcome::default();
    let queue = &mut outcome.queue;
    let (mut credit, mut due) = (0_i64, vec![0.0; offers.len()]);
    for now in (0..time).step_by(MS as usize) {
        for (offer, due) in offers.iter().zip(&mut due) {
            *due += offer.count;
            while *due >= 1.0 {
                *due -= 1.0;
                let waiting = waiting(offer.class, traffic(offer.flow), offer.ecn, offer.size);
                outcome.pushed_out += queue.push(now, waiting, &[0; 40], (ROOM, shares));
            }
        }
        credit += 1_000;
        while credit > 0 {
            let mut out = Vec::new();
            let Some(leaving) = queue.pop(now, &terms(shares), &mut out, &mut outcome.late) else {
                credit = 0;
                break;
            };
            let Waiting { leg, load, size } = leaving.waiting;
            let Load::Traffic(Traffic { flow, .. }) = load else {
                unreachable!("nothing goes again here");
            };
            credit -= size as i64;
            outcome.sent.push(Sent {
                class: leg.class,
                flow,
                size,
                waited: leaving.waited,
                marked: leaving.marked,
            });
        }
    }
    outcome
}

fn run(time: Nanos, offers: &[Offer]) -> Outcome {
    run_shared(time, &[Share::EVEN], offers)
}

#[test]
fn a_flow_of_few_packets_passes_a_flood() {
    let outcome = run(4_000 * MS, &[offer(1, 0, 1000, 4.0), offer(2, 0, 200, 0.2)]);
    let worst = outcome.of(2).map(|sent| sent.waited).max().unwrap();
    assert!(worst <= 2 * MS, "{worst}");
    assert!(outcome.of(2).count() >= 795);
    let flood = outcome.of(1).count();
    assert!(flood >= 3_800, "{flood} of 4000 less what the other takes");
    assert_eq!(outcome.of(1).filter(|sent| sent.marked).count(), 0);
}

#[test]
fn floods_share_by_bytes() {
    let outcome = run(
        4_000 * MS,
        &[
            offer(1, 0, 1000, 4.0),
            offer(2, 0, 250, 16.0),
            offer(3, 0, 1000, 2.0),
        ],
    );
    for flow in 1..=3 {
        let bytes: usize = outcome.of(flow).map(|sent| sent.size).sum();
        let share = bytes as f64 / 4e6;
        assert!((0.3..0.37).contains(&share), "{flow}: {share}");
    }
}

#[test]
fn its_memory_is_bounded() {
    let outcome = run(1_000 * MS, &[offer(1, 0, 1000, 8.0), offer(2, 1, 60, 90.0)]);
    assert!(outcome.pushed_out > 10_000);
    let slots = outcome.queue.slots.len();
    assert!(slots <= QUEUE / ROOM_MIN + 1, "{slots}");
}

#[test]
fn a_little_too_much_is_told_by_drops_or_by_marks() {
    let of = |ecn| run(10_000 * MS, &[offer(1, ecn, 500, 2.05)]);
    let (dropped, marked) = (of(0), of(1));
    assert!((10..1_500).contains(&dropped.late), "{}", dropped.late);
    assert_eq!(marked.late, 0);
    let marks = marked.of(1).filter(|sent| sent.marked).count();
    assert!((10..4_000).contains(&marks), "{marks}");
}

#[test]
fn what_passes_in_time_is_left_alone() {
    let outcome = run(4_000 * MS, &[offer(1, 0, 500, 1.0), offer(2, 1, 200, 1.0)]);
    assert_eq!((outcome.late, outcome.pushed_out), (0, 0));
    assert!(outcome.sent.iter().all(|sent| !sent.marked));
    assert_eq!(outcome.sent.len(), 8_000);
}

#[test]
fn classes_share_by_weight_whatever_their_packets_and_flows() {
    let shares = [share(8, 0.0), share(4, 0.0), share(1, 0.0)];
    let mut offers = vec![of_class(0, 1_400, 2.0), of_class(1, 300, 12.0)];
    // Twenty flows of the third.
    offers.extend((10..30).map(|flow| Offer {
        class: 2,
        ..offer(flow, 0, 1_000, 0.3)
    }));
    let outcome = run_shared(20_000 * MS, &shares, &offers);
    for (class, weight) in [8.0, 4.0, 1.0].iter().enumerate() {
        let (part, wanted) = (outcome.part(class as u8), weight / 13.0);
        assert!((part / wanted - 1.0).abs() < 0.05, "{class}: {part}");
    }
}

#[test]
fn what_a_class_leaves_the_others_have_by_weight() {
    let shares = [share(8, 0.0), share(3, 0.0), share(1, 0.0)];
    let offers = [
        of_class(0, 500, 0.4),
        of_class(1, 1_000, 2.0),
        of_class(2, 1_000, 2.0),
    ];
    let outcome = run_shared(20_000 * MS, &shares, &offers);
    for (class, wanted) in [(0, 0.2), (1, 0.6), (2, 0.2)] {
        let part = outcome.part(class);
        assert!((part / wanted - 1.0).abs() < 0.05, "{class}: {part}");
    }
    assert!(outcome.p99(0) <= 3 * MS, "{}", outcome.p99(0));
}

/// Bulk, and what goes ahead within three tenths.
const REALTIME: [Share; 2] = [
    Share {
        weight: 1,
        priority_ratio: 0.0,
        in_order: false,
    },
    Share {
        weight: 1,
        priority_ratio: 0.3,
        in_order: false,
    },
];

#[test]
fn within_its_bound_realtime_waits_for_one_packet_at_most() {
    // A quarter of the rate in bursts: 20 packets each 40 ms, as video comes.
    let mut queue = Queue::default();
    let (mut credit, mut waits) = (0_i64, Vec::new());
    for now in (0..20_000).map(|ms| ms * MS) {
        for _ in 0..4 {
            queue.push(
                now,
                waiting(0, traffic(1), 1, 1_000),
                &[],
                (ROOM, &REALTIME),
            );
        }
        if now % (40 * MS) == 0 {
            for flow in 0..10 {
                queue.push(
                    now,
                    waiting(1, traffic(flow), 1, 600),
                    &[],
                    (ROOM, &REALTIME),
                );
            }
        }
        credit += 1_000;
        while credit > 0 {
            let leaving = queue
                .pop(now, &terms(&REALTIME), &mut Vec::new(), &mut 0)
                .unwrap();
            credit -= leaving.waiting.size as i64;
            if leaving.waiting.leg.class == 1 {
                waits.push(leaving.waited);
            }
        }
    }
    waits.sort_unstable();
    assert!(waits.len() >= 4_990, "{}", waits.len());
    // Six thousand bytes take 6 ms themselves.
    assert!(
        waits[waits.len() * 99 / 100] <= 7 * MS,
        "{}",
        waits[waits.len() * 99 / 100]
    );
}

#[test]
fn a_call_is_not_delayed_by_a_flood_of_bulk() {
    let offers = [of_class(0, 1_400, 4.0), of_class(1, 200, 0.125)];
    let outcome = run_shared(20_000 * MS, &REALTIME, &offers);
    assert_eq!(
        outcome.sent.iter().filter(|sent| sent.class == 1).count(),
        2_500
    );
    assert!(outcome.p99(1) <= 2 * MS, "{}", outcome.p99(1));
}

#[test]
fn beyond_its_bound_realtime_has_its_weight_and_starves_nobody() {
    let offers = [of_class(0, 1_000, 4.0), of_class(1, 1_000, 8.0)];
    let outcome = run_shared(20_000 * MS, &REALTIME, &offers);
    // Three tenths ahead, and half of the rest.
    let part = outcome.part(1);
    assert!((part / 0.65 - 1.0).abs() < 0.05, "{part}");
    let heavy = [share(9, 0.0), share(1, 0.3)];
    let part = run_shared(20_000 * MS, &heavy, &offers).part(0);
    assert!((part / 0.63 - 1.0).abs() < 0.05, "{part}");
}

#[test]
fn what_was_used_ahead_is_not_held_against_a_class_later() {
    let mut queue = Queue::default();
    let pop = |queue: &mut Queue, now| {
        let leaving = queue.pop(now, &terms(&REALTIME), &mut Vec::new(), &mut 0);
        leaving.unwrap().waiting.leg.class
    };
    let mut ahead = 0;
    for now in (0..1_000).map(|ms| ms * MS) {
        for class in [0, 1] {
            queue.push(
                now,
                waiting(class, traffic(1), 1, 1_000),
                &[],
                (ROOM, &REALTIME),
            );
        }
        ahead += usize::from(pop(&mut queue, now) == 1);
    }
    assert!((620..680).contains(&ahead), "{ahead}");
}

#[test]
fn a_full_queue_gives_up_of_the_class_that_has_most_for_its_weight() {
    let shares = [share(9, 0.0), share(1, 0.0)];
    let mut queue = Queue::default();
    // A flow of the first against forty of the second.
    for number in 0..400_u32 {
        let of = |class, flow| waiting(class, traffic(flow), 1, 1_000);
        queue.push(0, of(0, 1), &[], (ROOM, &shares));
        queue.push(0, of(1, 2 + number % 40), &[], (ROOM, &shares));
    }
    let held = [0, 1].map(|class| queue.bytes_of(class).0 / 1_000);
    assert!(
        (44..=46).contains(&held[0]) && held[0] + held[1] == 50,
        "{held:?}"
    );
}

#[test]
fn what_goes_again_is_first_of_its_class_and_not_of_others() {
    let shares = [share(1, 0.0), share(1, 0.3)];
    let mut queue = Queue::default();
    for name in [1, 2] {
        queue.push(
            0,
            waiting(0, traffic(1), 1, 1_000),
            &[name],
            (ROOM, &shares),
        );
    }
    for name in [3, 4] {
        queue.push(
            0,
            waiting(0, Load::Again, 0, 1_000),
            &[name],
            (ROOM, &shares),
        );
    }
    queue.push(0, waiting(1, traffic(1), 1, 1_000), &[5], (ROOM, &shares));
    let mut names = Vec::new();
    while queue.pop(0, &terms(&shares), &mut names, &mut 0).is_some() {}
    assert_eq!(names, [5, 3, 4, 1, 2]);
}

#[test]
fn reports_tell_what_waited() {
    let offers = [of_class(0, 1_400, 4.0), of_class(1, 200, 0.125)];
    let outcome = run_shared(1_000 * MS, &REALTIME, &offers);
    let [bulk, realtime] = outcome.queue.reports().collect::<Vec<_>>()[..] else {
        unreachable!("two classes");
    };
    assert_eq!((bulk.class, realtime.class), (0, 1));
    assert_eq!(
        (realtime.sent, realtime.ahead, realtime.pushed_out),
        (125, 125, 0)
    );
    assert_eq!(bulk.pushed_out, outcome.pushed_out);
    assert!(bulk.waiting_bytes > 40_000 && realtime.waiting_bytes == 0);
    assert_eq!(bulk.waits.iter().sum::<u64>(), bulk.sent);
}

/// One class, whose flows are put in order.
const IN_ORDER: Share = Share {
    in_order: true,
    ..Share::EVEN
};

#[test]
fn a_class_in_order_has_room_for_bursts_and_takes_none_from_others() {
    let shares = [Share::EVEN, IN_ORDER];
    let mut queue = Queue::default();
    let mut pushed_out = [0, 0];
    for class in [1, 0] {
        for _ in 0..150 {
            let waiting = waiting(class, traffic(u32::from(class)), 1, 1_000);
            pushed_out[usize::from(class)] += queue.push(0, waiting, &[], (ROOM, &shares));
        }
    }
    assert_eq!(pushed_out, [100, 0], "50 ms of the rate, and 200");
    assert_eq!(queue.bytes(), 200_000);
}

#[test]
fn a_flow_in_order_may_stand_still_for_a_round_trip_and_catch_up() {
    // Each 300 ms what leaves in 240.
    let late = |share: Share| {
        let (mut queue, mut late) = (Queue::default(), 0);
        for start in (0..10).map(|burst| burst * 300 * MS) {
            for _ in 0..190 {
                let waiting = waiting(0, traffic(1), 1, 1_000);
                queue.push(start, waiting, &[], (ROOM, &[share]));
            }
            for ms in 0..240 {
                queue.pop(
                    start + ms * MS,
                    &terms(&[share]),
                    &mut Vec::new(),
                    &mut late,
                );
            }
        }
        late
    };
    assert_eq!(late(IN_ORDER), 0);
}
