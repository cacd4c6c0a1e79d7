//! Packets between nodes: direct, over a relay, without a direct path, in pieces, as runs.

#![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

mod mesh;

use mesh::*;

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
                dscp: None,
                protocol: Some(17),
                port: Some(7),
                prefix: None,
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
