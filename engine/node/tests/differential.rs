//! What comes out of the last node of a path is, packet for packet, what a kernel without offloads would have sent into the first.
//!
//! Seeded trains (`trains`) go through real nodes and, beside them, through a plain reference (`kernel`) that shares nothing with the engine.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests fail by panicking"
)]

mod kernel;
mod mesh;
mod trains;

use std::collections::{BTreeMap, VecDeque};

use mesh::*;
use overlayd_netem::{Rng, Settings};
use overlayd_node::Packet;
use overlayd_node::snapshot::RepairRow;
use trains::{Sent, train};

/// Of each kind of ground.
const TRAINS: u64 = 700;
const DIRECT: &[&[u16]] = &[&[2]];
const RELAYED: &[&[u16]] = &[&[3, 2]];

#[test]
fn the_reference_cuts_a_super_packet_into_what_a_sender_without_offloads_sends() {
    for seed in 0..TRAINS {
        for sent in train(&mut Rng::new(seed, 0)) {
            let cut = kernel::packets(&sent.bytes, sent.offload);
            assert!(cut == sent.plain, "seed {seed}");
        }
    }
}

#[test]
fn a_direct_path_delivers_what_was_sent_in_order() {
    let found = same_streams(ground(DIRECT, delay(1)), 0);
    assert!(found.joined > 100, "super-packets arrive as such");
}

#[test]
fn a_relayed_path_delivers_what_was_sent_in_order() {
    let found = same_streams(ground(RELAYED, delay(1)), 1_000_000);
    assert!(found.joined > 100, "super-packets arrive as such");
}

#[test]
fn an_underlay_of_1280_bytes_delivers_what_was_sent_in_order() {
    let narrow = Settings {
        mtu: Some(1280),
        ..delay(1)
    };
    same_streams(ground(DIRECT, narrow), 2_000_000);
    same_streams(ground(RELAYED, narrow), 3_000_000);
}

#[test]
fn repair_symbols_that_nothing_needs_change_nothing() {
    same_streams(repaired(ground(RELAYED, delay(1))), 4_000_000);
}

#[test]
fn with_loss_and_in_disorder_all_that_is_delivered_was_sent_once_and_unaltered() {
    for paths in [DIRECT, RELAYED] {
        let rough = Settings {
            jitter_ns: 4 * MS,
            reorder: true,
            duplicate_ratio: 0.02,
            ..lossy(5, 0.03)
        };
        let mut mesh = repaired(ground(paths, rough));
        let (mut sent, mut delivered) = (0, 0);
        for seed in 5_000_000..5_000_000 + TRAINS / 2 {
            let train = train(&mut Rng::new(seed, 0));
            send(&mut mesh, &train, seed);
            mesh.run_for(250 * MS);
            let came = delivered_by(&mut mesh);
            judge(&train, &came, false)
                .unwrap_or_else(|wrong| panic!("{paths:?}, seed {seed}: {wrong}"));
            sent += train.iter().map(|sent| sent.plain.len()).sum::<usize>();
            delivered += came.packets.len();
        }
        assert!(
            delivered > sent * 99 / 100,
            "{delivered} of {sent}: repair is at work"
        );
    }
}

/// Three nodes; sessions, routes and MTU have settled, and the far end hands over at once what arrives at one time.
fn ground(paths: &[&[u16]], wire: Settings) -> Mesh {
    let mut mesh = Mesh::triangle(1, wire, paths);
    mesh.batch = true;
    for number in 0..50 {
        mesh.run_for(40 * MS);
        mesh.send(1, &numbered(1, 2, number, 200));
    }
    mesh.run_for(SECOND);
    mesh.hosts.get_mut(&2).unwrap().delivered.clear();
    mesh
}

/// With a repair symbol for every five packets.
fn repaired(mut mesh: Mesh) -> Mesh {
    for id in [1, 2, 3] {
        mesh.change(id, |tables| {
            let row = RepairRow::flat(1.0, 0.2);
            tables.classes[0].repair = vec![row];
        });
    }
    mesh
}

#[derive(Default)]
struct Came {
    /// Cut and completed by the reference.
    packets: Vec<Vec<u8>>,
    /// Super-packets among what was delivered.
    joined: usize,
}

/// Nothing is lost on these wires: equal, and in order.
fn same_streams(mut mesh: Mesh, first_seed: u64) -> Came {
    let mut all = Came::default();
    for seed in first_seed..first_seed + TRAINS {
        let train = train(&mut Rng::new(seed, 0));
        send(&mut mesh, &train, seed);
        mesh.run_for(4 * MS);
        let came = delivered_by(&mut mesh);
        judge(&train, &came, true).unwrap_or_else(|wrong| {
            let drops = [1, 2, 3].map(|id| mesh.drops(id));
            panic!("seed {seed}: {wrong}; dropped: {drops:?}")
        });
        all.joined += came.joined;
    }
    all
}

/// Hands a train to the first node, in calls of several packets as the shell does.
fn send(mesh: &mut Mesh, train: &[Sent], seed: u64) {
    let mut rng = Rng::new(seed, 1);
    let mut rest = train;
    while !rest.is_empty() {
        let (call, later) = rest.split_at(rest.len().min(1 + rng.below(8) as usize));
        let packets: Vec<Packet<'_>> = call
            .iter()
            .map(|sent| Packet {
                bytes: &sent.bytes,
                offload: sent.offload,
            })
            .collect();
        let now = mesh.now;
        mesh.node(1).handle_packets(now, &packets);
        mesh.drain(1);
        rest = later;
    }
}

fn delivered_by(mesh: &mut Mesh) -> Came {
    let mut came = Came::default();
    for delivered in mesh.hosts.get_mut(&2).unwrap().delivered.drain(..) {
        came.joined += usize::from(delivered.offload.segment.is_some());
        came.packets
            .extend(kernel::packets(&delivered.bytes, delivered.offload));
    }
    came
}

/// Whether all that came was sent, no more often than it was sent; if `strict`, all of it, and within a flow in order.
fn judge(train: &[Sent], came: &Came, strict: bool) -> Result<(), String> {
    let mut flows: BTreeMap<usize, usize> = BTreeMap::new();
    let mut expected: BTreeMap<&[u8], VecDeque<(usize, usize)>> = BTreeMap::new();
    for sent in train {
        for plain in &sent.plain {
            let number = flows.entry(sent.flow).or_default();
            let places = expected.entry(plain).or_default();
            places.push_back((sent.flow, *number));
            *number += 1;
        }
    }
    let mut next: BTreeMap<usize, usize> = BTreeMap::new();
    for packet in &came.packets {
        let place = expected
            .get_mut(packet.as_slice())
            .and_then(VecDeque::pop_front);
        let (flow, number) = place.ok_or_else(|| described(train, packet))?;
        let next = next.entry(flow).or_default();
        if strict && number != *next {
            return Err(format!("flow {flow}: {number} came in the place of {next}"));
        }
        *next = number + 1;
    }
    if strict && next != flows {
        return Err(format!("of {flows:?} packets of each flow came {next:?}"));
    }
    Ok(())
}

/// A packet that nobody sent (so often), and where it differs from the one that is most like it.
fn described(train: &[Sent], packet: &[u8]) -> String {
    let plain = train.iter().flat_map(|sent| &sent.plain);
    let differing = |plain: &Vec<u8>| -> Vec<usize> {
        (0..packet.len())
            .filter(|at| plain[*at] != packet[*at])
            .collect()
    };
    let nearest = plain
        .filter(|plain| plain.len() == packet.len())
        .min_by_key(|plain| differing(plain).len());
    let headers = &packet[..packet.len().min(100)];
    match nearest {
        None => format!("none of {} bytes was sent: {headers:02x?}", packet.len()),
        Some(plain) => format!(
            "not sent, or not so often: {headers:02x?}, unlike {:02x?} at {:?}",
            &plain[..headers.len()],
            differing(plain)
        ),
    }
}
