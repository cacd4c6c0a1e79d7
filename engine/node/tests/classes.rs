//! Classes of service on a link that is not enough for all: what each gets, how long it waits, and what the egress makes of what left in another order.

#![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

mod mesh;

use mesh::*;
use overlayd_node::snapshot::{Class, Classifier};
use overlayd_node::{Event, QueueReport};

const RATE: u64 = 20_000_000;
const INTERACTIVE: u8 = 0;
const BULK: u8 = 1;
const REALTIME: u8 = 2;

/// `interactive`, `bulk` and `realtime` at every node, by code point, and 20 Mbit/s from 1 to its neighbours.
fn classed(mut mesh: Mesh) -> Mesh {
    let of = |name: &str, weight, priority_ratio| Class {
        weight,
        priority_ratio,
        ..class(name)
    };
    for id in mesh.hosts.keys().copied().collect::<Vec<_>>() {
        mesh.change(id, |tables| {
            tables.classes = vec![
                of("interactive", 4, 0.0),
                of("bulk", 1, 0.0),
                of("realtime", 4, 0.3),
            ];
            tables.classifiers = [BULK, REALTIME]
                .map(|class| Classifier {
                    class,
                    dscp: Some(class),
                    ..Classifier::default()
                })
                .to_vec();
        });
    }
    mesh.change(1, |tables| {
        for link in &mut tables.links {
            link.rate_bps = Some(RATE);
        }
    });
    mesh.run_for(SECOND);
    mesh.send(1, &numbered(1, 2, 0, 100));
    mesh.run_for(SECOND);
    mesh
}

/// A packet of a class, sent at `now`, to be told by it.
fn packet(now: u64, class: u8, length: usize) -> Vec<u8> {
    let mut packet = numbered(1, 2, (now / 1_000) as u32, length);
    packet[1] = class << 2;
    packet
}

/// What was delivered of a class: bytes, and delays beyond the way's own in order of size.
fn delivered(mesh: &Mesh, class: u8, from: usize, way: u64) -> (usize, Vec<u64>) {
    let own = mesh.hosts[&2].delivered[from..].iter();
    let own: Vec<_> = own.filter(|packet| packet.bytes[1] >> 2 == class).collect();
    let bytes = own.iter().map(|packet| packet.bytes.len()).sum();
    let delay = |packet: &&Delivered| packet.at - u64::from(number_of(&packet.bytes)) * 1_000;
    let mut delays: Vec<u64> = own.iter().map(delay).map(|delay| delay - way).collect();
    delays.sort_unstable();
    (bytes, delays)
}

/// Each ms so many packets of each class, of so many bytes.
fn offer(mesh: &mut Mesh, seconds: u64, offers: &[(u8, usize, usize)]) -> usize {
    let from = mesh.hosts[&2].delivered.len();
    for _ in 0..seconds * 1_000 {
        for (class, length, count) in offers {
            for _ in 0..*count {
                mesh.send(1, &packet(mesh.now, *class, *length));
            }
        }
        mesh.run_for(MS);
    }
    from
}

fn p99(delays: &[u64]) -> u64 {
    delays[delays.len() * 99 / 100]
}

fn reports(mesh: &Mesh) -> Vec<QueueReport> {
    let events = mesh.hosts[&1].events.iter().rev();
    let mut found = events.filter_map(|(_, event)| match event {
        Event::Links { links, .. } => links.iter().find(|link| !link.queues.is_empty()),
        _ => None,
    });
    found.next().map(|link| link.queues.clone()).unwrap()
}

#[test]
fn a_call_passes_a_flood_of_bulk_direct_and_over_a_relay() {
    for (path, way) in [(&[&[2_u16][..]][..], 5), (&[&[3, 2]], 10)] {
        let mut mesh = classed(Mesh::triangle(3, delay(5), path));
        let from = offer(&mut mesh, 5, &[(BULK, 1_200, 8), (REALTIME, 200, 1)]);
        let (bytes, delays) = delivered(&mesh, REALTIME, from, way * MS);
        assert!(delays.len() >= 4_990, "{path:?}: {} of 5000", delays.len());
        assert_eq!(bytes, delays.len() * 200);
        assert!(p99(&delays) < 2 * MS, "{path:?}: {} ns", p99(&delays));
        let (bulk, _) = delivered(&mesh, BULK, from, 0);
        let share = bulk as f64 * 8.0 / 5.0 / RATE as f64;
        assert!(share > 0.75, "{path:?}: {share}");
    }
}

#[test]
fn classes_share_a_full_link_by_weight() {
    let mut mesh = classed(Mesh::pair(3, delay(5)));
    offer(&mut mesh, 1, &[(BULK, 1_000, 8), (INTERACTIVE, 1_000, 8)]);
    let from = offer(&mut mesh, 8, &[(BULK, 1_000, 8), (INTERACTIVE, 1_000, 8)]);
    let [bulk, interactive] = [BULK, INTERACTIVE].map(|class| delivered(&mesh, class, from, 0).0);
    let ratio = interactive as f64 / bulk as f64;
    assert!((ratio / 4.0 - 1.0).abs() < 0.05, "{ratio}");
}

#[test]
fn realtime_beyond_its_bound_starves_nobody() {
    let mut mesh = classed(Mesh::pair(3, delay(5)));
    let offers = [(BULK, 1_000, 8), (REALTIME, 1_000, 8)];
    offer(&mut mesh, 1, &offers);
    let from = offer(&mut mesh, 8, &offers);
    let [bulk, realtime] = [BULK, REALTIME].map(|class| delivered(&mesh, class, from, 0).0);
    // Three tenths ahead, and four fifths of the rest.
    let part = bulk as f64 / (bulk + realtime) as f64;
    assert!((part / 0.14 - 1.0).abs() < 0.05, "{part}");
}

#[test]
fn what_waited_is_told_by_class() {
    let mut mesh = classed(Mesh::pair(3, delay(5)));
    offer(&mut mesh, 3, &[(BULK, 1_200, 8), (REALTIME, 200, 1)]);
    let reports = reports(&mesh);
    let of = |class| *reports.iter().find(|report| report.class == class).unwrap();
    assert!(of(BULK).pushed_out > 10_000 && of(BULK).ahead == 0);
    assert!(of(REALTIME).ahead > 2_000 && of(REALTIME).pushed_out == 0);
    assert!(of(BULK).waiting_bytes > 50_000);
}

/// A packet of TCP in class bulk, with the bytes from `1000 * number` on.
fn tcp(port: u16, number: u32) -> Vec<u8> {
    let mut packet = packet(0, BULK, 1_040);
    packet[9] = 6;
    packet[20..22].copy_from_slice(&port.to_be_bytes());
    packet[24..28].copy_from_slice(&(number * 1_000).to_be_bytes());
    (packet[32], packet[33]) = (5 << 4, 0x10);
    packet
}

#[test]
fn what_our_own_queue_dropped_is_waited_for_by_nobody_at_the_egress() {
    // Over a relay, where only the numbers of the end-to-end session tell what is missing.
    let mut mesh = classed(Mesh::triangle(3, delay(5), &[&[3, 2]]));
    for id in [1, 2, 3] {
        mesh.change(id, |tables| {
            tables.classes[usize::from(BULK)].in_order = true
        });
    }
    for number in 1..3_000 {
        for port in 0..4 {
            mesh.send(1, &tcp(port, number));
        }
        mesh.run_for(MS);
    }
    mesh.run_for(SECOND);
    let drops = mesh.drops(1);
    let dropped = drops["queue_full"] + drops.get("queue_late").unwrap_or(&0);
    assert!(dropped > 1_000, "{drops:?}");
    let counters = mesh.hosts[&2].node.counters();
    assert_eq!((counters.order_waited, counters.order_given_up), (0, 0));
}
