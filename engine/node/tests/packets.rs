//! Packets between nodes: direct, over a relay, without a direct path, in pieces, as runs.

#![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

mod mesh;

use mesh::*;
use overlayd_node::{Offload, Segment, SegmentKind};

#[test]
fn two_nodes_exchange_packets() {
    let mut mesh = Mesh::pair(1, delay(10));
    for number in 0..100 {
        mesh.send(1, &numbered(1, 2, number, 200));
        mesh.send(2, &numbered(2, 1, number, 1300));
        mesh.run_for(5 * MS);
    }
    mesh.run_for(SECOND);
    let there: Vec<u32> = mesh
        .numbers(2)
        .into_iter()
        .map(|(_, number)| number)
        .collect();
    let back: Vec<u32> = mesh
        .numbers(1)
        .into_iter()
        .map(|(_, number)| number)
        .collect();
    assert_eq!(there, (0..100).collect::<Vec<_>>(), "{:?}", mesh.drops(2));
    assert_eq!(back, (0..100).collect::<Vec<_>>(), "{:?}", mesh.drops(1));
    let sent = numbered(2, 1, 99, 1300);
    assert_eq!(mesh.hosts[&1].delivered[99].bytes, sent);
}

#[test]
fn a_packet_takes_the_relay_that_its_path_names() {
    let mut mesh = Mesh::triangle(1, delay(10), &[&[3, 2]]);
    mesh.run_for(SECOND);
    for number in 0..100 {
        mesh.send(1, &numbered(1, 2, number, 1000));
        mesh.run_for(5 * MS);
    }
    mesh.run_for(SECOND);
    let there: Vec<u32> = mesh
        .numbers(2)
        .into_iter()
        .map(|(_, number)| number)
        .collect();
    assert_eq!(
        there,
        (0..100).collect::<Vec<_>>(),
        "{:?} {:?}",
        mesh.drops(1),
        mesh.drops(2)
    );
    assert!(mesh.hosts[&3].node.counters().relayed >= 100);
}

#[test]
fn two_hosts_without_a_direct_path_reach_each_other() {
    let mut mesh = Mesh::new(1, delay(10));
    let ids = [1, 2, 3, 4];
    for (id, neighbours, routes) in [
        (1, vec![3], vec![route(2, &[&[3, 4, 2]])]),
        (2, vec![4], vec![route(1, &[&[4, 3, 1]])]),
        (3, vec![1, 4], vec![]),
        (4, vec![2, 3], vec![]),
    ] {
        let mut tables = snapshot(id, &ids, &neighbours);
        tables.routes = routes;
        mesh.add(tables);
    }
    mesh.send(1, &numbered(1, 2, 1, 300));
    mesh.run_for(SECOND);
    mesh.send(2, &numbered(2, 1, 2, 300));
    mesh.run_for(SECOND);
    assert_eq!(
        mesh.numbers(2).len(),
        1,
        "{:?} {:?}",
        mesh.drops(1),
        mesh.drops(2)
    );
    assert_eq!(
        mesh.numbers(1).len(),
        1,
        "{:?} {:?}",
        mesh.drops(1),
        mesh.drops(2)
    );
}

#[test]
fn an_ipv6_packet_of_1280_crosses_an_underlay_of_1280() {
    for paths in [&[&[2u16][..]][..], &[&[3, 2]]] {
        let underlay = overlayd_netem::Settings {
            mtu: Some(1280),
            ..delay(5)
        };
        let mut mesh = Mesh::triangle(1, underlay, paths);
        mesh.run_for(SECOND);
        let packet = udp(overlay_v6(1), overlay_v6(2), 5, 1280);
        for _ in 0..10 {
            mesh.send(1, &packet);
            mesh.run_for(100 * MS);
        }
        assert_eq!(mesh.hosts[&2].delivered.len(), 10, "{:?}", mesh.drops(1));
        assert_eq!(mesh.hosts[&2].delivered[0].bytes, packet);
    }
}

#[test]
fn a_packet_beyond_two_pieces_is_dropped_and_counted() {
    let mut mesh = Mesh::pair(1, delay(5));
    mesh.run_for(SECOND);
    mesh.send(1, &numbered(1, 2, 1, 4000));
    mesh.run_for(SECOND);
    assert_eq!(mesh.hosts[&2].delivered.len(), 0);
    assert_eq!(mesh.drops(1)["too_big"], 1);
}

#[test]
fn a_larger_mtu_is_found_and_used_on_direct_and_relayed_paths() {
    for paths in [&[&[2u16][..]][..], &[&[3, 2]]] {
        let mut mesh = Mesh::triangle(1, delay(5), paths);
        mesh.run_for(SECOND);
        for number in 0..50 {
            mesh.send(1, &numbered(1, 2, number, 1380));
            mesh.run_for(20 * MS);
        }
        let before = mesh.node(1).counters().datagrams_out;
        mesh.send(1, &numbered(1, 2, 50, 1380));
        let sent = mesh.node(1).counters().datagrams_out - before;
        assert_eq!(sent, 1, "in one piece");
        mesh.run_for(SECOND);
        assert_eq!(mesh.numbers(2).len(), 51);
    }
}

#[test]
fn foreign_addresses_neither_leave_nor_arrive() {
    let mut mesh = Mesh::pair(1, delay(5));
    mesh.run_for(SECOND);
    mesh.send(1, &numbered(3, 2, 1, 100));
    mesh.send(1, &numbered(1, 3, 1, 100));
    // 1 believes that 3 is its own, 2 knows better.
    mesh.change(1, |tables| {
        tables
            .node
            .prefixes
            .push("10.9.0.3/32".to_string().try_into().unwrap());
        tables.peers[0]
            .prefixes
            .push("10.9.0.9/32".to_string().try_into().unwrap());
    });
    mesh.send(1, &numbered(3, 2, 1, 100));
    mesh.send(1, &numbered(1, 9, 1, 100));
    mesh.run_for(SECOND);
    assert_eq!(mesh.hosts[&2].delivered.len(), 0);
    assert_eq!(mesh.drops(1)["foreign_source"], 1);
    assert_eq!(mesh.drops(1)["no_owner"], 1);
    assert_eq!(mesh.drops(2)["spoofed_source"], 1);
    assert_eq!(mesh.drops(2)["foreign_destination"], 1);
}

#[test]
fn classes_follow_the_first_classifier_that_matches() {
    let mut mesh = Mesh::pair(1, delay(5));
    mesh.change(1, |tables| {
        tables.classes.push(class("voice"));
        tables
            .classifiers
            .push(overlayd_node::snapshot::Classifier {
                class: 1,
                protocol: Some(17),
                port: Some(7),
                ..Default::default()
            });
    });
    mesh.run_for(SECOND);
    mesh.send(1, &numbered(1, 2, 1, 100));
    mesh.run_for(1500 * MS);
    let used: Vec<u8> = mesh.hosts[&1]
        .events
        .iter()
        .filter_map(|(_, event)| match event {
            overlayd_node::Event::Links { links, .. } => Some(links),
            _ => None,
        })
        .flatten()
        .flat_map(|link| link.repair.iter().map(|report| report.class))
        .collect();
    assert!(
        !used.is_empty() && used.iter().all(|class| *class == 1),
        "{used:?}"
    );
}

#[test]
fn a_classifier_may_name_all_of_a_flow() {
    use overlayd_node::snapshot::{Classifier, Prefix};
    let host = |id| Some(Prefix::try_from(format!("{}/32", overlay(id))).unwrap());
    let exact = Classifier {
        class: 1,
        protocol: Some(17),
        source: host(1),
        source_port: Some(7),
        destination: host(2),
        destination_port: Some(7),
        ..Classifier::default()
    };
    let used = |rule: Classifier| {
        let mut mesh = Mesh::pair(1, delay(5));
        mesh.change(1, |tables| {
            tables.classes.push(class("voice"));
            tables.classifiers.push(rule);
        });
        mesh.run_for(SECOND);
        mesh.send(1, &numbered(1, 2, 1, 100));
        mesh.run_for(1500 * MS);
        let events = mesh.hosts[&1].events.iter().rev();
        let mut classes = events.filter_map(|(_, event)| match event {
            overlayd_node::Event::Links { links, .. } => Some(links[0].repair.first()?.class),
            _ => None,
        });
        classes.next().unwrap()
    };
    assert_eq!(used(exact.clone()), 1);
    let others = [
        Classifier {
            source: host(2),
            ..exact.clone()
        },
        Classifier {
            destination: host(1),
            ..exact.clone()
        },
        Classifier {
            source_port: Some(8),
            ..exact.clone()
        },
        Classifier {
            destination_port: Some(8),
            ..exact.clone()
        },
    ];
    for other in others {
        assert_eq!(used(other.clone()), 0, "{other:?}");
    }
}

/// A TCP super-packet of `payload` bytes as a kernel hands it over: partial checksum, to be cut each `size` bytes.
fn super_packet(v6: bool, payload: usize, size: u16) -> (Vec<u8>, Offload) {
    let (from, to) = if v6 {
        (overlay_v6(1), overlay_v6(2))
    } else {
        (overlay(1), overlay(2))
    };
    let network = if v6 { 40 } else { 20 };
    let header = network + 32;
    let mut packet = udp(from, to, 1, header + payload);
    packet[if v6 { 6 } else { 9 }] = 6;
    let tcp = &mut packet[network..];
    tcp[..32].fill(0);
    tcp[1] = 80;
    tcp[3] = 81;
    tcp[4..8].copy_from_slice(&0xffff_f000u32.to_be_bytes());
    tcp[12] = 8 << 4;
    tcp[13] = 0x10 | 0x08;
    for (place, byte) in tcp[32..].iter_mut().enumerate() {
        *byte = (place * 7 % 251) as u8;
    }
    let kind = if v6 {
        SegmentKind::TcpV6
    } else {
        SegmentKind::TcpV4
    };
    let offload = Offload {
        partial_checksum: Some((network as u16, 16)),
        segment: Some(Segment {
            kind,
            header_len: header as u16,
            size,
        }),
    };
    set_checksums(&mut packet, network);
    (packet, offload)
}

/// Header checksum, and the sum of the pseudo-header in the place of the transport's.
fn set_checksums(packet: &mut [u8], network: usize) {
    let sum = |bytes: &[u8]| -> u32 {
        bytes
            .chunks(2)
            .map(|pair| u32::from(pair[0]) << 8 | u32::from(*pair.get(1).unwrap_or(&0)))
            .sum()
    };
    let fold = |sum: u32| ((sum & 0xffff) + (sum >> 16)) as u16;
    let addresses = if network == 20 {
        sum(&packet[12..20])
    } else {
        sum(&packet[8..40])
    };
    let partial = fold(addresses + 6 + (packet.len() - network) as u32);
    packet[network + 16..network + 18].copy_from_slice(&partial.to_be_bytes());
    if network == 20 {
        packet[10..12].fill(0);
        let checksum = !fold(sum(&packet[..20]));
        packet[10..12].copy_from_slice(&checksum.to_be_bytes());
    }
}

#[test]
fn a_super_packet_is_cut_and_joined_again() {
    for v6 in [false, true] {
        for paths in [&[&[2u16][..]][..], &[&[3, 2]]] {
            let mut mesh = Mesh::triangle(1, delay(5), paths);
            mesh.run_for(SECOND);
            mesh.send(1, &udp(overlay(1), overlay(2), 1, 100));
            mesh.run_for(SECOND);
            mesh.hosts.get_mut(&2).unwrap().delivered.clear();
            let (packet, offload) = super_packet(v6, 40_000, 1300);
            mesh.batch = true;
            mesh.send_with(1, &packet, offload);
            mesh.run_for(SECOND);
            let delivered = &mesh.hosts[&2].delivered;
            assert_eq!(delivered.len(), 1, "{:?}", mesh.drops(2));
            assert_eq!(delivered[0].offload, offload);
            assert!(delivered[0].bytes == packet, "other bytes came out");
        }
    }
}

#[test]
fn packets_of_a_run_that_arrive_alone_are_what_a_kernel_would_have_cut() {
    let mut mesh = Mesh::pair(1, delay(5));
    mesh.run_for(SECOND);
    let (packet, offload) = super_packet(false, 3000, 1300);
    mesh.send_with(1, &packet, offload);
    mesh.run_for(SECOND);
    let delivered = &mesh.hosts[&2].delivered;
    assert_eq!(delivered.len(), 3);
    let mut payload = Vec::new();
    for (index, single) in delivered.iter().enumerate() {
        let tcp = &single.bytes[20..];
        let seq = u32::from_be_bytes(tcp[4..8].try_into().unwrap());
        assert_eq!(seq, 0xffff_f000u32.wrapping_add(index as u32 * 1300));
        assert_eq!(tcp[13], if index == 2 { 0x18 } else { 0x10 });
        assert_eq!(
            u16::from_be_bytes([single.bytes[4], single.bytes[5]]),
            index as u16
        );
        let mut expected = single.bytes.clone();
        set_checksums(&mut expected, 20);
        assert_eq!(single.bytes[10..12], expected[10..12], "header checksum");
        assert_eq!(tcp[16..18], expected[36..38], "partial checksum");
        assert_eq!(
            single.offload,
            Offload {
                partial_checksum: Some((20, 16)),
                segment: None
            }
        );
        payload.extend_from_slice(&tcp[32..]);
    }
    assert!(payload == packet[52..]);
}

#[test]
fn a_partial_checksum_arrives_as_one() {
    let mut mesh = Mesh::pair(1, delay(5));
    mesh.run_for(SECOND);
    let offload = Offload {
        partial_checksum: Some((20, 6)),
        segment: None,
    };
    mesh.send_with(1, &numbered(1, 2, 1, 500), offload);
    mesh.run_for(SECOND);
    assert_eq!(mesh.hosts[&2].delivered[0].offload, offload);
}

#[test]
fn a_mark_on_one_packet_of_a_run_splits_it_and_one_on_all_does_not() {
    for (place, expected) in [
        (Some(4), vec![(4, 2), (1, 3), (5, 2)]),
        (Some(0), vec![(1, 3), (9, 2)]),
        (None, vec![(10, 3)]),
    ] {
        let (mut packet, offload) = super_packet(false, 10_000, 1000);
        packet[1] |= 2;
        let mut mesh = Mesh::pair(1, delay(5));
        mesh.run_for(SECOND);
        mesh.batch = true;
        (mesh.mark_ce, mesh.mark_place) = (true, place);
        mesh.send_with(1, &packet, offload);
        mesh.run_for(SECOND);
        let delivered = &mesh.hosts[&2].delivered;
        let came: Vec<(usize, u8)> = delivered
            .iter()
            .map(|packet| (packet.bytes.len() / 1000, packet.bytes[1] & 3))
            .collect();
        assert_eq!(came, expected);
        for packet in delivered {
            let words = packet.bytes[..20].chunks(2);
            let sum: u32 = words
                .map(|pair| u32::from(pair[0]) << 8 | u32::from(pair[1]))
                .sum();
            assert_eq!((sum & 0xffff) + (sum >> 16), 0xffff, "header checksum");
        }
        let marked: usize = expected
            .iter()
            .filter(|one| one.1 == 3)
            .map(|one| one.0)
            .sum();
        assert_eq!(mesh.node(2).counters().congestion_marks, marked as u64);
    }
}

#[test]
fn congestion_of_the_underlay_reaches_an_ecn_capable_packet() {
    let mut mesh = Mesh::pair(1, delay(5));
    mesh.run_for(SECOND);
    mesh.mark_ce = true;
    for tos in [0, 2] {
        let mut packet = numbered(1, 2, 1, 100);
        packet[1] = tos;
        mesh.send(1, &packet);
    }
    mesh.run_for(SECOND);
    let marks: Vec<u8> = mesh.hosts[&2]
        .delivered
        .iter()
        .map(|packet| packet.bytes[1] & 3)
        .collect();
    assert_eq!(marks, [0, 3]);
}

/// What node 2 was delivered for one packet of node 1's, by way of a relay.
fn relayed(packet: &[u8], offload: Offload) -> Vec<Delivered> {
    let mut mesh = Mesh::triangle(1, delay(5), &[&[3, 2]]);
    mesh.run_for(SECOND);
    mesh.send(1, &numbered(1, 2, 1, 100));
    mesh.run_for(SECOND);
    mesh.hosts.get_mut(&2).unwrap().delivered.clear();
    mesh.batch = true;
    mesh.send_with(1, packet, offload);
    mesh.run_for(SECOND);
    assert_eq!(mesh.drops(1).get("bad_offload"), None);
    mesh.hosts.get_mut(&2).unwrap().delivered.split_off(0)
}

#[test]
fn a_super_packet_of_more_packets_than_a_run_counts_arrives_whole() {
    let (packet, offload) = super_packet(false, 50_050, 100);
    let delivered = relayed(&packet, offload);
    let payload: Vec<u8> = delivered
        .iter()
        .flat_map(|delivered| &delivered.bytes[52..])
        .copied()
        .collect();
    assert!(payload == packet[52..]);
    assert_eq!(delivered.len(), 2, "in runs of 256");
}

#[test]
fn a_checksum_that_is_of_another_destination_than_the_header_has_stays_so() {
    // As with a source route: the pseudo-header has where it ends.
    let (mut packet, offload) = super_packet(true, 3000, 1000);
    let partial = u16::from_be_bytes([packet[56], packet[57]]) ^ 0x1234;
    packet[56..58].copy_from_slice(&partial.to_be_bytes());
    let whole = relayed(&packet, offload);
    assert!(whole.len() == 1 && whole[0].bytes == packet);
    let cut = overlayd_node::Cut::new(&packet, offload.segment.unwrap()).unwrap();
    let mut first = Vec::new();
    cut.emit(0, &mut first);
    let of_first = u16::from_be_bytes([first[56], first[57]]);
    assert_eq!(of_first, partial - 2000, "shorter by 2000 bytes");
}

#[test]
fn a_checksum_to_be_completed_within_a_tunnel_of_the_host_arrives_complete() {
    let (tcp, _) = super_packet(false, 500, 1000);
    let mut packet = udp(overlay(1), overlay(2), 1, 20 + tcp.len());
    packet[9] = 4;
    packet[20..].copy_from_slice(&tcp);
    let at = (40, 16);
    let offload = Offload {
        partial_checksum: Some(at),
        segment: None,
    };
    let delivered = relayed(&packet, offload);
    assert!(overlayd_node::complete_checksum(&mut packet, at));
    assert_eq!(delivered.len(), 1);
    assert_eq!(delivered[0].offload, Offload::default());
    assert!(delivered[0].bytes == packet);
}
