//! The underlay carries less from one moment to the next, without a word: how long until packets arrive again, and what becomes of those between.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests fail by panicking")]

mod mesh;

use std::net::IpAddr;

use mesh::*;
use overlayd_netem::Settings;
use overlayd_node::{Offload, Segment, SegmentKind};

/// What an inner sender sends, each 2 ms.
struct Sender {
    name: &'static str,
    packet: fn(u32) -> Vec<u8>,
}

const SENDERS: [Sender; 3] = [
    Sender {
        name: "IPv4, 1380 bytes",
        packet: |number| numbered(1, 2, number, 1380),
    },
    Sender {
        name: "IPv4 with DF, 1380 bytes",
        packet: |number| dont_fragment(numbered(1, 2, number, 1380)),
    },
    Sender {
        name: "IPv6, 1380 bytes",
        packet: |number| v6(number, 1380),
    },
];

const GAP: u64 = 2 * MS;

/// A numbered packet of IPv6 UDP.
fn v6(number: u32, size: usize) -> Vec<u8> {
    let ends: (IpAddr, IpAddr) = (overlay_v6(1), overlay_v6(2));
    udp(ends.0, ends.1, number, size)
}

fn dont_fragment(mut packet: Vec<u8>) -> Vec<u8> {
    packet[6] |= 0x40;
    packet
}

fn narrow(mtu: u32, ms: u64) -> Settings {
    Settings {
        mtu: Some(mtu),
        ..delay(ms)
    }
}

/// A stream from 1 to 2 by `path`; after two seconds the wire between `ends` carries `mtu`. Longest time without an arrival, in ns, and how many
/// packets never arrived.
fn outage(sender: &Sender, path: &[u16], ends: (u16, u16), mtu: u32, ms: u64) -> (u64, usize) {
    let mut mesh = Mesh::triangle(9, delay(ms), &[path]);
    mesh.run_for(SECOND);
    mesh.send(1, &(sender.packet)(0)); // brings the session about
    mesh.run_for(SECOND);
    let mut number = 1;
    let mut send = |mesh: &mut Mesh, until: u64| {
        while mesh.now < until {
            mesh.send(1, &(sender.packet)(number));
            number += 1;
            mesh.run_for(GAP);
        }
    };
    let drop_at = mesh.now + 2 * SECOND;
    send(&mut mesh, drop_at);
    mesh.set_wires(ends.0, ends.1, narrow(mtu, ms));
    send(&mut mesh, drop_at + 3 * SECOND);
    mesh.run_for(SECOND);
    let arrivals: Vec<u64> = mesh.hosts[&2]
        .delivered
        .iter()
        .map(|packet| packet.at)
        .filter(|at| *at + SECOND > drop_at)
        .collect();
    let longest = arrivals.windows(2).map(|pair| pair[1] - pair[0]).max();
    let missing = number as usize - mesh.hosts[&2].delivered.len();
    (longest.unwrap(), missing)
}

#[test]
fn packets_arrive_again_soon_after_the_path_became_narrow() {
    for ms in [1, 10, 50] {
        for sender in &SENDERS {
            for (path, ends) in [(&[2][..], (1, 2)), (&[3, 2], (1, 3)), (&[3, 2], (3, 2))] {
                let (outage, missing) = outage(sender, path, ends, 1280, ms);
                let rtt = 2 * ms * path.len() as u64;
                println!(
                    "{}, path {path:?}, wire {ends:?}, round trip {rtt} ms: {} ms, {missing} missing",
                    sender.name,
                    outage / MS
                );
                let bound = 100 * MS + 2 * rtt * MS;
                assert!(outage <= bound, "{} ms of {}", outage / MS, bound / MS);
                assert!((missing as u64) * GAP <= outage, "{missing}");
            }
        }
    }
}

#[test]
fn runs_arrive_again_too_and_packets_of_theirs_in_pieces() {
    for path in [&[2][..], &[3, 2]] {
        let mut mesh = Mesh::triangle(9, delay(10), &[path]);
        mesh.run_for(SECOND);
        mesh.send(1, &numbered(1, 2, 0, 100));
        mesh.run_for(SECOND);
        let mut sent = 0;
        let mut send = |mesh: &mut Mesh, count: u32| {
            for _ in 0..count {
                let (packet, offload) = super_packet(sent * 10_000, 10_000, 1340);
                mesh.send_with(1, &packet, offload);
                sent += 1;
                mesh.run_for(GAP);
            }
        };
        send(&mut mesh, 500);
        mesh.set_wires(
            path[path.len() - 1],
            if path.len() == 1 { 1 } else { 3 },
            narrow(1280, 10),
        );
        let narrow_at = mesh.now;
        send(&mut mesh, 500);
        mesh.run_for(SECOND);
        let bytes = |from: u64, until: u64| -> usize {
            let within = |packet: &&Delivered| (from..until).contains(&packet.at);
            let arrived = mesh.hosts[&2].delivered.iter().filter(within);
            arrived.map(|packet| payload(packet).len()).sum()
        };
        let late = bytes(narrow_at + 200 * MS, u64::MAX);
        assert!(late >= (500 - 100) * 10_000, "{late} bytes over {path:?}");
    }
}

#[test]
fn a_sender_that_can_is_told_what_fits_in_one_datagram() {
    for path in [&[2][..], &[3, 2]] {
        for v6_inside in [false, true] {
            let packet = |size: usize| match v6_inside {
                true => v6(1, size),
                false => dont_fragment(numbered(1, 2, 1, size)),
            };
            let mut mesh = Mesh::triangle(9, delay(5), &[path]);
            mesh.set_wires(1, 2, narrow(1430, 5));
            mesh.set_wires(3, 2, narrow(1430, 5));
            mesh.run_for(SECOND);
            mesh.send(1, &packet(1380));
            mesh.run_for(2 * SECOND);
            assert_eq!(
                mesh.hosts[&2].delivered.len(),
                1,
                "nothing is lost meanwhile"
            );
            mesh.send(1, &packet(1380));
            mesh.run_for(SECOND);
            let told = mesh.hosts[&1].delivered.last().unwrap();
            let at = if v6_inside { 40 } else { 20 };
            let fits = u32::from_be_bytes(told.bytes[at + 4..at + 8].try_into().unwrap()) as usize;
            assert!((1280..1380).contains(&fits), "{fits} over {path:?}");
            let before = mesh.node(1).counters().datagrams_out;
            mesh.send(1, &packet(fits));
            assert_eq!(mesh.node(1).counters().datagrams_out - before, 1);
            mesh.run_for(SECOND);
            assert_eq!(mesh.hosts[&2].delivered.len(), 3);
            let advised = mesh.node(1).counters().advised;
            assert!((1..=2).contains(&advised), "once a packet that did not fit");
        }
    }
}

#[test]
fn packets_of_1400_bytes_cross_relays_of_an_ipv4_underlay_in_one_datagram() {
    let mut mesh = Mesh::triangle(9, delay(5), &[&[3, 2]]);
    mesh.run_for(SECOND);
    mesh.send(1, &numbered(1, 2, 0, 1400));
    mesh.run_for(SECOND);
    let before = mesh.node(1).counters().datagrams_out;
    mesh.send(1, &numbered(1, 2, 1, 1400));
    assert_eq!(mesh.node(1).counters().datagrams_out - before, 1);
    mesh.run_for(SECOND);
    assert_eq!(mesh.numbers(2).len(), 2);
}

#[test]
fn a_wider_path_is_found_within_a_minute() {
    for path in [&[2][..], &[3, 2]] {
        let mut mesh = Mesh::triangle(9, narrow(1280, 5), &[path]);
        mesh.run_for(SECOND);
        let datagrams = |mesh: &mut Mesh, seconds: u64| {
            let mut last = 0;
            for number in 0..seconds * 5 {
                let before = mesh.node(1).counters().datagrams_out;
                mesh.send(1, &numbered(1, 2, number as u32, 1380));
                last = mesh.node(1).counters().datagrams_out - before;
                mesh.run_for(SECOND / 5);
            }
            last
        };
        assert_eq!(datagrams(&mut mesh, 5), 2);
        for ends in [(1, 2), (1, 3), (3, 2)] {
            mesh.set_wires(ends.0, ends.1, delay(5));
        }
        assert_eq!(datagrams(&mut mesh, 62), 1, "over {path:?}");
    }
}

/// A super-packet of TCP over IPv4, as a kernel hands it over, to be cut each `size` bytes.
fn super_packet(seq: u32, payload: usize, size: u16) -> (Vec<u8>, Offload) {
    let length = 40 + payload;
    let mut packet = vec![0u8; length];
    packet[0] = 0x45;
    packet[2..4].copy_from_slice(&(length as u16).to_be_bytes());
    packet[6] = 0x40;
    packet[8..10].copy_from_slice(&[64, 6]);
    for (at, end) in [(12, overlay(1)), (16, overlay(2))] {
        let IpAddr::V4(end) = end else {
            panic!("of IPv4")
        };
        packet[at..at + 4].copy_from_slice(&end.octets());
    }
    packet[24..28].copy_from_slice(&seq.to_be_bytes());
    packet[32] = 5 << 4;
    packet[33] = 0x10;
    let offload = Offload {
        partial_checksum: Some((20, 16)),
        segment: Some(Segment {
            kind: SegmentKind::TcpV4,
            header_len: 40,
            size,
        }),
    };
    (packet, offload)
}

fn payload(packet: &Delivered) -> &[u8] {
    &packet.bytes[40..]
}
