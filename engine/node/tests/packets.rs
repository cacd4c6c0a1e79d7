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
