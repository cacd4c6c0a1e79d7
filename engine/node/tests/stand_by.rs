//! What traffic may turn to is probed a fifth as often as what it takes, and is no slower to be found dead once it matters.

#![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

mod mesh;

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use mesh::*;
use overlayd_wire::{LinkProbe, envelope};

const RELAYS: [u16; 3] = [3, 4, 5];
const ROUND_TRIP: u64 = 20;

/// 1 and 2 talk over one of three relays. `disjoint`: with copies on two paths more, while one is sick.
fn three_relays(disjoint: bool) -> Mesh {
    let mut mesh = Mesh::new(7, delay(ROUND_TRIP / 2));
    let ids = [1, 2, 3, 4, 5];
    for id in ids {
        let others: Vec<u16> = ids.into_iter().filter(|other| *other != id).collect();
        let mut tables = snapshot(id, &ids, &others);
        tables.classes[0].disjoint = disjoint;
        if id <= 2 {
            let paths = RELAYS.map(|relay| [relay, 3 - id]);
            tables.routes = vec![route(3 - id, &paths.each_ref().map(|path| &path[..]))];
        }
        mesh.add(tables);
    }
    mesh.run_for(SECOND);
    mesh
}

/// Both send each other a packet each `gap`.
fn talk(mesh: &mut Mesh, numbers: std::ops::Range<u32>, gap: u64) {
    for number in numbers {
        mesh.send(1, &numbered(1, 2, number, 300));
        mesh.send(2, &numbered(2, 1, number, 300));
        mesh.run_for(gap);
    }
}

/// Probes of links and datagrams in all per second on each way between two nodes, while 1 and 2 talk.
fn rates(mesh: &mut Mesh) -> BTreeMap<(u16, u16), (usize, usize)> {
    talk(mesh, 0..250, 20 * MS);
    mesh.record = Some(Vec::new());
    talk(mesh, 250..750, 20 * MS);
    let mut counts: BTreeMap<_, (usize, usize)> = BTreeMap::new();
    for ((from, to), bytes) in mesh.record.take().unwrap() {
        let (probes, all) = counts.entry((owner(from), owner(to))).or_default();
        *probes += usize::from(bytes.len() == envelope::OVERHEAD + LinkProbe::LEN);
        *all += 1;
    }
    let second = |(probes, all): (usize, usize)| (probes.div_ceil(10), all.div_ceil(10));
    counts
        .into_iter()
        .map(|(ends, count)| (ends, second(count)))
        .collect()
}

fn owner(address: SocketAddr) -> u16 {
    match address.ip() {
        IpAddr::V4(ip) => ip.octets()[3].into(),
        IpAddr::V6(_) => 0,
    }
}

#[test]
fn what_stands_by_is_probed_each_100_ms_and_its_relays_are_not_busy_for_it() {
    let rates = rates(&mut three_relays(false));
    // Either end's probes measure a link for both.
    assert!(
        rates[&(1, 3)].0 + rates[&(3, 1)].0 >= 45,
        "in use: {rates:?}"
    );
    for (end, relay) in [(1, 4), (1, 5), (2, 4), (2, 5)] {
        let (probes, all) = rates[&(end, relay)];
        // Each frame on a hop is asked after and confirmed, of which a path has 20 a second where both its ends talk.
        assert!(
            (9..=12).contains(&probes) && all <= 100,
            "{end} to {relay}: {rates:?}"
        );
        let (probes, all) = rates[&(relay, end)];
        assert!(probes <= 2 && all <= 100, "{relay} to {end}: {rates:?}");
    }
}

#[test]
fn where_copies_are_wanted_all_paths_are_probed_like_the_one_in_use() {
    let rates = rates(&mut three_relays(true));
    for relay in RELAYS {
        let probes = rates[&(1, relay)].0 + rates[&(relay, 1)].0;
        assert!(probes >= 45, "{relay}: {rates:?}");
    }
}

#[test]
fn a_back_up_that_dies_with_the_path_in_use_costs_no_more_than_a_round_trip() {
    for phase in (0..100).step_by(7) {
        let mut mesh = three_relays(false);
        talk(&mut mesh, 0..1000, MS);
        mesh.run_for(phase * MS);
        let death = mesh.now;
        mesh.kill(3);
        mesh.kill(4);
        talk(&mut mesh, 1000..1500, MS);
        let (at, _, to) = mesh.switches(1).last().cloned().unwrap();
        assert_eq!(to, [5, 2], "{phase}");
        let after = at - death;
        assert!(
            after <= (2 * ROUND_TRIP + 70) * MS,
            "{phase}: {} ms",
            after / MS
        );
    }
}
