//! In the steady state a packet costs no allocation: not at the ingress, not at a relay, not at the egress; and repair keeps no more of a peer
//! than is said.

#![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

#[path = "../benches/engine/counting.rs"]
mod counting;
mod mesh;

use counting::{Counting, allocations, held};
use mesh::*;
use overlayd_node::repair::{Outlook, Policy, Protector, Recoverer};
use overlayd_node::snapshot::RepairRow;
use overlayd_node::{Datagram, Node, Offload, Packet, Segment, SegmentKind};
use overlayd_wire::{Budget, Feedback, Repair};

#[global_allocator]
static COUNTING: Counting = Counting;

/// Allocations within one call.
fn counted(call: impl FnOnce()) -> u64 {
    let before = allocations();
    call();
    allocations() - before
}

/// Hands the datagrams of one node's output to another; allocations of the receiver.
fn pass(from: &mut Node, to: &mut Node, remote: u16, now: u64) -> u64 {
    let output = from.output();
    let mut bytes = output.bytes.clone();
    let datagrams: Vec<Datagram> = output
        .datagrams
        .iter()
        .map(|datagram| Datagram {
            uplink: 0,
            remote: address(remote, 0),
            ecn: 0,
            range: datagram.range.clone(),
        })
        .collect();
    output.clear();
    counted(|| to.handle_datagrams(now, &mut bytes, &datagrams))
}

/// What the ingress is given, so much in one call.
struct Load {
    packets: Vec<(Vec<u8>, Offload)>,
    in_a_call: usize,
}

fn packets(in_a_call: usize, length: usize) -> Load {
    let packet = |number| (numbered(1, 2, number, length), Offload::default());
    Load {
        packets: (0..32).map(packet).collect(),
        in_a_call,
    }
}

/// One that is to be cut into 32 packets with a payload of `size`.
fn super_packet(size: u16) -> Load {
    let header_len = 28;
    let segment = Segment {
        kind: SegmentKind::Udp,
        header_len,
        size,
    };
    let offload = Offload {
        partial_checksum: Some((20, 6)),
        segment: Some(segment),
    };
    let packet = numbered(1, 2, 0, usize::from(header_len + 32 * size));
    Load {
        packets: vec![(packet, offload)],
        in_a_call: 1,
    }
}

/// At each node of the way, for 32 packets many times.
fn allocations_per_packet(mut mesh: Mesh, way: &[u16], repair: bool, load: &Load) -> [u64; 3] {
    if repair {
        for id in way {
            mesh.change(*id, |tables| {
                let row = overlayd_node::snapshot::RepairRow::flat(1.0, 0.2);
                tables.classes[0].repair = vec![row];
            });
        }
    }
    mesh.run_for(SECOND);
    for number in 0..2000 {
        mesh.send(1, &numbered(1, 2, number, 1000));
        mesh.run_for(MS);
    }
    let now = mesh.now;
    let mut hosts: Vec<Node> = way
        .iter()
        .map(|id| mesh.hosts.remove(id).unwrap().node)
        .collect();
    let mut counts = [0; 3];
    for round in 0..20 {
        let mut step = [0; 3];
        let mut delivered = 0;
        for call in load.packets.chunks(load.in_a_call) {
            let batch: Vec<Packet<'_>> = call
                .iter()
                .map(|(bytes, offload)| Packet {
                    bytes,
                    offload: *offload,
                })
                .collect();
            step[0] += counted(|| hosts[0].handle_packets(now, &batch));
            for hop in 1..hosts.len() {
                let (before, after) = hosts.split_at_mut(hop);
                step[hop] += pass(&mut before[hop - 1], &mut after[0], way[hop - 1], now);
            }
            let last = hosts.len() - 1;
            delivered += hosts[last].output().packets.len();
            for host in &mut hosts {
                host.output().clear();
            }
        }
        // With loss, frames of before may be restored beside those of the batch.
        assert!(delivered >= 32);
        // The first rounds let buffers grow to the size of a batch.
        if round >= 4 {
            counts
                .iter_mut()
                .zip(step)
                .for_each(|(sum, count)| *sum += count);
        }
    }
    counts
}

#[test]
fn a_direct_path_allocates_nothing() {
    for load in [packets(32, 1000), packets(32, 64), packets(1, 64)] {
        let mesh = Mesh::pair(1, delay(5));
        assert_eq!(allocations_per_packet(mesh, &[1, 2], false, &load), [0; 3]);
    }
}

#[test]
fn a_relayed_path_allocates_nothing() {
    for load in [packets(32, 1000), packets(1, 64)] {
        let mesh = Mesh::triangle(1, delay(5), &[&[3, 2]]);
        let counts = allocations_per_packet(mesh, &[1, 3, 2], false, &load);
        assert_eq!(counts, [0; 3]);
    }
}

#[test]
fn a_super_packet_allocates_nothing_whole_or_in_pieces() {
    for load in [super_packet(1000), super_packet(1440)] {
        let mesh = Mesh::triangle(1, delay(5), &[&[3, 2]]);
        let counts = allocations_per_packet(mesh, &[1, 3, 2], false, &load);
        assert_eq!(counts, [0; 3]);
    }
}

#[test]
fn repair_allocates_nothing() {
    let mesh = Mesh::triangle(1, lossy(5, 0.03), &[&[3, 2]]);
    let load = packets(32, 1000);
    let counts = allocations_per_packet(mesh, &[1, 3, 2], true, &load);
    assert_eq!(counts, [0; 3]);
}

/// Of one link and class: whatever is lost, and whatever the peer asks for or sends as symbols.
#[test]
fn the_memory_of_a_peers_repair_is_bounded() {
    const LONGEST: usize = 1472;
    let policy = Policy {
        deadline: None,
        retransmit: true,
        rows: vec![RepairRow {
            again: vec![8.0],
            ..RepairRow::flat(1.0, 1.0)
        }],
        cap_ratio: 1.0,
        in_order: false,
    };
    let lossy = Outlook {
        rtt: 40 * MS,
        loss_ratio: 0.5,
        full_loss: None,
    };
    let frame = vec![0x10; LONGEST];
    let mut symbol = Vec::with_capacity(2 * LONGEST);
    let before = held();
    let mut sender = Protector::new(&policy, LONGEST);
    for number in 0..20_000 {
        sender.sent(number * MS, 0, Budget::NONE, &frame);
        sender.repair(number * MS, &lossy, &mut symbol);
        if number % 100 == 0 {
            let all_missing = Feedback {
                class: 0,
                next: sender.next_seq(),
                base: 0,
                answers_tail: false,
                bitmap: &[0xff; Feedback::BITMAP_MAX],
            };
            sender.feedback(number * MS, &all_missing, &lossy, |_| 0);
        }
    }
    let sending = held() - before;
    assert!(
        (12_000_000..13_900_000).contains(&sending),
        "{sending} bytes"
    );

    let before = held();
    let mut receiver = Recoverer::new(&policy, LONGEST);
    let bytes = vec![1; LONGEST + 2];
    for seq in 0..30_000_u32 {
        if seq % 4 < 2 {
            receiver.receive(u64::from(seq), seq);
            receiver.learn(seq.into(), &frame);
        }
        let repair = Repair {
            class: 0,
            budget: Budget::NONE,
            first: seq.saturating_sub(100),
            span: 100,
            row: (seq % 32) as u8,
            symbol: &bytes,
        };
        if receiver.repair(u64::from(seq), &repair) {
            receiver.recover(u64::from(seq), |_, _, _| ());
        }
    }
    let receiving = held() - before;
    assert!(receiving < 750_000, "{receiving} bytes");
}
