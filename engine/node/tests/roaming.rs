//! A peer that is somewhere else than it was, or than any link says, is found there again.

#![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

mod mesh;

use mesh::*;
use overlayd_node::Event;

/// From now on an uplink of node 1 is seen at another address, and nobody is at the one before.
fn move_to(mesh: &mut Mesh, uplink: usize, outside: &str) {
    mesh.hosts.get_mut(&1).unwrap().uplinks[uplink] = outside.parse().unwrap();
}

/// Traffic both ways, 5 ms apart; what has arrived at either end since, and the longest gap at each.
fn talk(mesh: &mut Mesh, numbers: std::ops::Range<u32>) -> (usize, u64) {
    let (since, count) = (mesh.now, numbers.len());
    for number in numbers {
        mesh.send(1, &numbered(1, 2, number, 300));
        mesh.send(2, &numbered(2, 1, number, 300));
        mesh.run_for(5 * MS);
    }
    mesh.run_for(SECOND);
    let arrived = [1, 2].map(|id| {
        let numbers = mesh.numbers(id).into_iter();
        numbers.filter(|(at, _)| *at > since).count()
    });
    let gap = [1, 2]
        .map(|id| longest_gap(mesh, id, since))
        .into_iter()
        .max();
    (count * 2 - arrived.iter().sum::<usize>(), gap.unwrap())
}

#[test]
fn a_nat_that_binds_anew_in_mid_session_costs_a_round_trip_and_a_probe() {
    // Node 2 knows where node 1 was to be found, or waits for its call; no link names where it is then.
    for known in [Some(address(1, 0)), None] {
        let mut mesh = Mesh::new(3, delay(10));
        let mut tables = snapshot(2, &[1, 2], &[1]);
        tables.links[0].remote = known;
        mesh.add(tables);
        mesh.add(snapshot(1, &[1, 2], &[2]));
        mesh.run_for(SECOND);
        assert_eq!(talk(&mut mesh, 0..200).0, 0);
        for (place, outside) in ["203.0.113.1:1111", "203.0.113.1:2222", "198.51.100.9:2222"]
            .into_iter()
            .enumerate()
        {
            let first = 1000 * (place as u32 + 1);
            move_to(&mut mesh, 0, outside);
            let (lost, gap) = talk(&mut mesh, first..first + 200);
            assert_eq!(lost, 0, "what fell into the hole is sent again");
            assert!(gap <= (20 + 20 + 20) * MS, "{} ms at {outside}", gap / MS);
        }
        // Its process starts anew where no snapshot says that it is.
        mesh.restart(1);
        mesh.run_for(SECOND);
        assert_eq!(talk(&mut mesh, 9000..9200).0, 0);
    }
}

#[test]
fn a_host_with_two_uplinks_that_moves_elsewhere_keeps_both() {
    let mut mesh = Mesh::new(3, delay(10));
    let mut tables = snapshot(2, &[1, 2], &[1]);
    tables.links.push(link(100, 1, 0, Some(address(1, 1))));
    mesh.add(tables);
    let mut tables = snapshot(1, &[1, 2], &[2]);
    tables.links.push(link(100, 2, 1, Some(address(2, 0))));
    mesh.add(tables);
    mesh.run_for(2 * SECOND);
    for (uplink, outside) in [(0, "203.0.113.1:1111"), (1, "203.0.113.2:2222")] {
        move_to(&mut mesh, uplink, outside);
    }
    mesh.restart(1);
    mesh.run_for(20 * SECOND);
    for id in [1, 2] {
        mesh.hosts.get_mut(&id).unwrap().events.clear();
    }
    mesh.run_for(300 * SECOND);
    for id in [1, 2] {
        let moved = |(_, event): &&(u64, Event)| matches!(event, Event::LinkState { .. });
        let moves: Vec<_> = mesh.hosts[&id].events.iter().filter(moved).collect();
        assert!(moves.is_empty(), "{id}: {moves:?}");
        let reports = mesh.hosts[&id].events.iter().rev();
        let up = reports
            .filter_map(|(_, event)| match event {
                Event::Links { links, .. } => Some(links.iter().all(|link| link.up)),
                _ => None,
            })
            .next();
        assert_eq!(up, Some(true), "{id}");
    }
}

/// The longest time without a delivery between two.
fn longest_gap(mesh: &Mesh, id: u16, from: u64) -> u64 {
    let numbers = mesh.numbers(id).into_iter();
    let times: Vec<u64> = numbers.map(|(at, _)| at).filter(|at| *at >= from).collect();
    let gaps = times.windows(2).map(|pair| pair[1] - pair[0]);
    gaps.max().unwrap_or(u64::MAX)
}
