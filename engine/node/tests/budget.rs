//! Nodes keep to what they may spend on probes, as counted on the wire, and failures are seen as soon as their pace allows.

#![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

mod mesh;

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use mesh::*;
use overlayd_node::{Event, Probing};

const IP_AND_UDP: u64 = 28;
const ROUND_TRIP: u64 = 20;

/// All have links to all. Nodes with routes have them to all others in `routes`, direct ones.
fn full_mesh(nodes: u16, routes: &[(u16, u16)], budget: impl Fn(u16) -> Option<u64>) -> Mesh {
    let mut mesh = Mesh::new(5, delay(ROUND_TRIP / 2));
    let ids: Vec<u16> = (1..=nodes).collect();
    for id in &ids {
        let others: Vec<u16> = ids.iter().copied().filter(|other| other != id).collect();
        let mut tables = snapshot(*id, &ids, &others);
        tables.probe_budget = budget(*id);
        let own = routes.iter().filter(|(from, _)| from == id);
        tables.routes = own.map(|(_, to)| route(*to, &[&[*to]])).collect();
        mesh.add(tables);
    }
    mesh
}

/// All pairs between two groups.
fn pairs(
    from: std::ops::RangeInclusive<u16>,
    to: std::ops::RangeInclusive<u16>,
) -> Vec<(u16, u16)> {
    let all = from.flat_map(|one| to.clone().map(move |other| (one, other)));
    all.filter(|(one, other)| one != other).collect()
}

/// What each node sends in so many seconds, in bytes per second of IP packets, while `busy` pairs have a small packet for each other each second.
fn rates(mesh: &mut Mesh, seconds: u64, busy: &[(u16, u16)]) -> BTreeMap<u16, u64> {
    mesh.record = Some(Vec::new());
    for number in 0..seconds {
        for (from, to) in busy {
            mesh.send(*from, &numbered(*from, *to, number as u32, 60));
        }
        mesh.run_for(SECOND);
    }
    let mut sent = BTreeMap::new();
    for ((from, _), bytes) in mesh.record.take().unwrap() {
        *sent.entry(owner(from)).or_default() += bytes.len() as u64 + IP_AND_UDP;
    }
    sent.values_mut().for_each(|bytes| *bytes /= seconds);
    sent
}

fn owner(address: SocketAddr) -> u16 {
    match address.ip() {
        IpAddr::V4(ip) => ip.octets()[3].into(),
        IpAddr::V6(_) => 0,
    }
}

fn probing(mesh: &mut Mesh, id: u16) -> Probing {
    mesh.node(id).counters().probing
}

#[test]
fn idle_links_are_probed_less_often_until_the_budget_is_kept() {
    let mut plenty = full_mesh(30, &[], |_| None);
    plenty.run_for(5 * SECOND);
    let unbound = rates(&mut plenty, 5, &[])[&1];
    assert!((3_400..3_900).contains(&unbound), "{unbound} B/s");
    assert_eq!(probing(&mut plenty, 1).idle_ns, SECOND);

    let mut mesh = full_mesh(30, &[], |_| Some(2_000));
    mesh.run_for(20 * SECOND);
    for _ in 0..6 {
        let from = mesh.now;
        let sent = rates(&mut mesh, 10, &[]);
        assert!(
            sent.values().all(|rate| (600..=2_000).contains(rate)),
            "{sent:?}"
        );
        for id in 1..=30 {
            let told = samples(&mesh, id, from);
            let heard = told.values().filter(|samples| **samples > 0).count();
            assert!(heard >= 28, "{id} heard of {heard} links: {told:?}");
        }
    }
}

/// Probes answered on each link in the reports since then.
fn samples(mesh: &Mesh, id: u16, from: u64) -> BTreeMap<u16, u32> {
    let mut samples = BTreeMap::new();
    for (at, event) in &mesh.hosts[&id].events {
        if let Event::Links { links, .. } = event
            && *at >= from
        {
            for link in links {
                *samples.entry(link.link).or_default() += link.samples;
            }
        }
    }
    samples
}

#[test]
fn who_has_little_is_asked_little_whether_links_are_idle_or_in_use() {
    let busy = pairs(2..=25, 1..=1);
    let poor = |id| (id == 1).then_some(20_000);
    let mut mesh = full_mesh(40, &busy, poor);
    mesh.run_for(30 * SECOND);
    let rate = rates(&mut mesh, 10, &[])[&1];
    assert!(
        (4_000..20_000).contains(&rate),
        "idle, it has enough: {rate} B/s"
    );
    assert_eq!(probing(&mut mesh, 1).in_use_ns, 20 * MS);

    rates(&mut mesh, 30, &busy);
    for _ in 0..3 {
        let rate = rates(&mut mesh, 10, &busy)[&1];
        // Packets, and what confirms them, are no probes: 24 of each a second.
        assert!((9_000..=20_000 + 24 * 200).contains(&rate), "{rate} B/s");
    }
    assert_eq!(
        probing(&mut mesh, 2).in_use_ns,
        20 * MS,
        "it has enough itself"
    );
}

/// How long a path is used that has failed: 1 to 2, with the budget of 1 and so many other links of it in use.
fn switched_after(budget: Option<u64>, others: u16) -> (u64, Probing) {
    let busy: Vec<(u16, u16)> = (2..others + 3).map(|to| (1, to)).collect();
    let mut mesh = full_mesh(others + 3, &busy, |_| budget);
    mesh.change(1, |tables| tables.routes[0] = route(2, &[&[2], &[3, 2]]));
    rates(&mut mesh, 40, &busy);
    let pace = probing(&mut mesh, 1);
    for (from, to) in &busy {
        mesh.send(*from, &numbered(*from, *to, 1, 60));
    }
    mesh.run_for(537 * MS);
    let cut_at = mesh.now;
    mesh.cut(1, 2);
    mesh.run_for(4 * SECOND);
    let switches = mesh.switches(1);
    let at = switches
        .iter()
        .find(|(at, _, to)| *at > cut_at && *to == [3, 2]);
    (at.unwrap().0 - cut_at, pace)
}

#[test]
fn a_failure_is_seen_as_soon_as_the_pace_allows() {
    let (unbound, pace) = switched_after(None, 10);
    assert_eq!((pace.in_use_ns, pace.idle_ns), (20 * MS, SECOND));
    assert!(unbound <= (ROUND_TRIP + 65) * MS, "{} µs", unbound / 1000);
    let mut paces = Vec::new();
    for budget in [30_000, 10_000, 4_000] {
        let (after, pace) = switched_after(Some(budget), 10);
        let interval = pace.in_use_ns / MS;
        let law = interval + (2 * interval).min(ROUND_TRIP + 45) + ROUND_TRIP + 5;
        assert!(after <= law * MS, "{budget}: {} ms of {law}", after / MS);
        paces.push(interval);
    }
    assert!(
        paces.is_sorted() && paces[0] > 20 && paces[2] > 200,
        "{paces:?}"
    );
}

#[test]
fn data_that_arrives_counts_as_a_probe_where_the_budget_binds() {
    let pace_with = |packets: u32| {
        let mut mesh = full_mesh(2, &pairs(1..=2, 1..=2), |_| Some(2_500));
        mesh.run_for(2 * SECOND);
        for number in 0..30 * packets {
            mesh.send(1, &numbered(1, 2, number, 60));
            mesh.send(2, &numbered(2, 1, number, 60));
            mesh.run_for(SECOND / u64::from(packets));
        }
        probing(&mut mesh, 1).in_use_ns
    };
    let (thin, thick) = (pace_with(10), pace_with(5_000));
    assert!(thin > 40 * MS, "{} ms: nothing binds", thin / MS);
    assert!(thick < thin, "{} and {} ms", thick / MS, thin / MS);
}
