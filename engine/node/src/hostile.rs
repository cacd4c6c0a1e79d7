//! Tests of a peer that holds the keys and sends what no honest node would: frames and bodies mutated before they are sealed.

#![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

#[path = "../tests/mesh/mod.rs"]
mod mesh;

use mesh::{Mesh, SECOND, delay, numbered, overlay, route};
use overlayd_wire::{
    Budget, Counterprobe, Feedback, InnerPacket, LinkProbeReply, Protected, Repair, RouteRepr,
    Tail, body,
};

use crate::session::Random;
use crate::way::{Leg, Way};

/// Random bytes, of which the first nibble is likely to have a meaning.
fn noise(random: &mut Random) -> Vec<u8> {
    let length = random.below(80) as usize + 1;
    let mut bytes: Vec<u8> = (0..length.div_ceil(32))
        .flat_map(|_| random.bytes())
        .collect();
    bytes.truncate(length);
    bytes[0] = (random.below(12) as u8) << 4 | (random.below(3) as u8);
    bytes
}

/// A well-formed frame with absurd contents.
fn absurd(random: &mut Random) -> Vec<u8> {
    let mut out = Vec::new();
    let (seq, class) = (random.u32() & 0xff_ffff, random.below(2) as u8);
    let near = random.below(4000) as u32;
    let symbol = noise(random);
    match random.below(6) {
        0 => Feedback {
            class,
            next: seq,
            base: near,
            answers_tail: false,
            bitmap: &symbol,
        }
        .emit(&mut out),
        1 => Feedback {
            class,
            next: near + 9,
            base: near,
            answers_tail: true,
            bitmap: &symbol,
        }
        .emit(&mut out),
        2 => Repair {
            class,
            budget: Budget(7),
            first: near,
            span: 1 + near as u8 % 128,
            row: near as u8 % 32,
            symbol: &symbol,
        }
        .emit(&mut out),
        3 => out.extend_from_slice(&Tail { class, next: seq }.to_bytes()),
        4 => LinkProbeReply {
            pace: class,
            seq,
            sent_ns: random.u64() >> random.below(60),
            hold_ns: random.u32(),
            received_ns: random.u64(),
            sent: random.u32(),
            received: random.u32(),
            received_size: random.u32() as u16,
            counterprobe: (random.below(2) == 0).then(|| Counterprobe {
                seq: random.u32() & 0xff_ffff,
                sent: random.u32(),
            }),
        }
        .emit(&mut out),
        _ => {
            let routed = random.below(2) == 0;
            let header = Protected {
                routed,
                class,
                seq,
                budget: Budget(near as u16),
            };
            out.extend_from_slice(&header.to_bytes());
            out.extend_from_slice(&symbol);
        }
    }
    out
}

/// A true packet with a bit changed, in one of the shapes.
fn body(random: &mut Random) -> Vec<u8> {
    let mut packet = numbered(1, 2, random.u32(), 60);
    let place = random.below(60) as usize;
    packet[place] ^= 1 << random.below(8);
    let mut body = match random.below(5) {
        0 => vec![0x10 | random.below(2) as u8],
        1 => vec![0x30 | random.below(8) as u8, 1, random.below(4) as u8],
        2 => vec![0x40 | random.below(2) as u8, 0, random.below(4) as u8],
        3 => vec![0x20, 0, 60],
        _ => return noise(random),
    };
    body.extend_from_slice(&packet);
    body
}

#[test]
fn a_hostile_peer_stops_nothing_and_speaks_for_nobody_else() {
    let mut mesh = Mesh::triangle(11, delay(1), &[&[3, 2], &[2]]);
    mesh.change(3, |tables| tables.routes.push(route(2, &[&[2]])));
    mesh.run_for(SECOND);
    for number in 0..200 {
        mesh.send(1, &numbered(1, 2, number, 100));
        mesh.run_for(1_000_000);
    }
    let mut random = Random::new([5; 32]);
    for round in 0..40_000 {
        let now = mesh.now;
        let node = mesh.node(1);
        let link = random.below(2) as usize;
        let peer = node.peer_place(2).unwrap();
        // What a peer says of itself may confuse itself; that is no failure.
        let _ = match random.below(4) {
            0 => {
                let frame = noise(&mut random);
                node.send_plain(now, link, |bytes| bytes.extend_from_slice(&frame))
            }
            1 => {
                let frame = absurd(&mut random);
                node.send_plain(now, link, |bytes| bytes.extend_from_slice(&frame))
            }
            kind => {
                let leg = Leg {
                    link,
                    class: random.below(3) as u8,
                    budget: Budget(100),
                    ecn: 0,
                };
                let nodes: Vec<u16> = (0..1 + random.below(3))
                    .map(|_| 1 + random.below(4) as u16)
                    .collect();
                let route = RouteRepr::new(1, &nodes, 0).filter(|_| kind == 2);
                let body = body(&mut random);
                let way = Way {
                    guarded: false,
                    leg,
                    peer,
                    route,
                    room: usize::MAX,
                    set: None,
                    flow: 0,
                };
                node.out(now, &way, |bytes| bytes.extend_from_slice(&body))
            }
        };
        mesh.drain(1);
        if round % 8 == 0 {
            mesh.run_for(1_000_000);
        }
    }
    mesh.run_for(SECOND);
    for packet in &mesh.hosts[&2].delivered {
        let view = InnerPacket::parse(&packet.bytes).unwrap();
        assert_eq!(
            (view.source(), view.destination()),
            (overlay(1), overlay(2))
        );
    }
    let reasons = mesh.drops(2).len();
    assert!(reasons >= 10, "{:?}", mesh.drops(2));
    mesh.hosts.get_mut(&2).unwrap().delivered.clear();
    for number in 0..100 {
        mesh.send(3, &numbered(3, 2, number, 100));
        mesh.run_for(1_000_000);
    }
    mesh.run_for(SECOND);
    let honest = mesh.hosts[&2].delivered.iter();
    let honest = honest
        .filter(|packet| packet.bytes[12..16] == [10, 9, 0, 3])
        .count();
    assert_eq!(honest, 100, "{:?}", mesh.drops(2));
}

#[test]
fn a_bundle_is_taken_apart_and_one_bad_packet_costs_only_itself() {
    for paths in [&[&[2u16][..]][..], &[&[3, 2]]] {
        let mut mesh = Mesh::triangle(11, delay(1), paths);
        mesh.run_for(SECOND);
        mesh.send(1, &numbered(1, 2, 0, 100));
        mesh.run_for(SECOND);
        let packets = [
            numbered(1, 2, 1, 60),
            numbered(3, 2, 2, 80),
            numbered(1, 2, 3, 1000),
            numbered(1, 2, 4, 41),
        ];
        let (now, node) = (mesh.now, mesh.node(1));
        let packet = crate::Packet {
            bytes: &packets[0],
            offload: crate::Offload::default(),
        };
        let flow = node.classify(&packet).unwrap();
        let way = node.way(now, &flow).unwrap();
        assert_eq!(way.route.is_some(), paths[0].len() == 2);
        node.out(now, &way, |bytes| {
            bytes.push(body::BUNDLE_BYTE);
            for packet in &packets {
                bytes.extend_from_slice(&body::bundle_item(packet).unwrap());
                bytes.extend_from_slice(packet);
            }
        })
        .unwrap();
        mesh.drain(1);
        mesh.run_for(SECOND);
        let delivered = mesh.hosts[&2].delivered.iter().skip(1);
        let delivered: Vec<&[u8]> = delivered.map(|packet| &*packet.bytes).collect();
        assert!(delivered == [&packets[0][..], &packets[2], &packets[3]]);
        assert_eq!(mesh.drops(2)["spoofed_source"], 1);
    }
}
