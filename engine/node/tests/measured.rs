//! What a node reports of links and paths is what the network did to it, not what it did itself.

#![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

mod mesh;

use mesh::*;
use overlayd_node::Event;

/// The worst loss that was reported of the links of a node.
fn link_loss(mesh: &Mesh, id: u16) -> f64 {
    let events = mesh.hosts[&id].events.iter();
    let losses = events.filter_map(|(_, event)| match event {
        Event::Links { links, .. } => Some(links.iter().filter_map(|link| link.loss_out_ratio)),
        _ => None,
    });
    losses.flatten().fold(0.0, f64::max)
}

/// The losses that were reported of the path in use.
fn path_losses(mesh: &Mesh, id: u16) -> Vec<f64> {
    let events = mesh.hosts[&id].events.iter();
    let losses = events.filter_map(|(_, event)| match event {
        Event::Paths { paths, .. } => Some(
            paths
                .iter()
                .filter(|path| path.active)
                .filter_map(|path| path.loss_ratio),
        ),
        _ => None,
    });
    losses.flatten().collect()
}

/// Runs of packets, each of which fills the queue of a paced link and overflows it now and then.
fn send_in_runs(mesh: &mut Mesh, seconds: u64) {
    for run in 0..seconds * 10 {
        for number in 0..[20, 90, 40][run as usize % 3] {
            mesh.send(1, &numbered(1, 2, number, 1000));
        }
        mesh.run_for(100 * MS);
    }
}

fn pace(mesh: &mut Mesh, id: u16, rate_bps: u64) {
    mesh.change(id, |tables| {
        for link in &mut tables.links {
            link.rate_bps = Some(rate_bps);
        }
    });
}

#[test]
fn a_queue_of_ones_own_is_no_loss_of_the_link() {
    let mut mesh = Mesh::pair(1, delay(10));
    pace(&mut mesh, 1, 8_000_000);
    mesh.run_for(SECOND);
    send_in_runs(&mut mesh, 10);
    assert!(
        mesh.drops(1)["queue_full"] > 0,
        "the queue never overflowed"
    );
    assert!(link_loss(&mesh, 1) < 0.002, "{}", link_loss(&mesh, 1));
}

#[test]
fn what_waits_in_a_queue_of_ones_own_is_not_sent_twice() {
    let mut mesh = Mesh::pair(1, delay(10));
    pace(&mut mesh, 1, 8_000_000);
    mesh.run_for(SECOND);
    for run in 0..50 {
        // 40 ms of queue, and silence behind it that is long enough to ask whether all has arrived.
        for number in 0..40 {
            mesh.send(1, &numbered(1, 2, 100 * run + number, 1000));
        }
        mesh.run_for(100 * MS);
    }
    mesh.run_for(2 * SECOND);
    let reports = mesh.hosts[&1].events.iter();
    let mut repair = reports.filter_map(|(_, event)| match event {
        Event::Links { links, .. } => links[0].repair.first().cloned(),
        _ => None,
    });
    let last = repair.next_back().unwrap();
    assert_eq!(last.sent, 2000);
    assert_eq!((last.retransmitted, last.repair_sent), (0, 0));
    assert_eq!(mesh.drops(2).get("duplicate_frame"), None);
}

#[test]
fn a_queue_of_ones_own_is_no_loss_of_the_path() {
    let mut mesh = Mesh::triangle(1, delay(10), &[&[3, 2]]);
    pace(&mut mesh, 1, 8_000_000);
    mesh.run_for(SECOND);
    send_in_runs(&mut mesh, 10);
    assert!(
        mesh.drops(1)["queue_full"] > 0,
        "the queue never overflowed"
    );
    let losses = path_losses(&mesh, 1);
    assert!(losses.len() > 5, "{losses:?}");
    assert!(losses.iter().all(|loss| *loss < 0.002), "{losses:?}");
}

#[test]
fn a_queue_of_ones_own_is_no_delay_of_the_path() {
    let mut mesh = Mesh::triangle(1, delay(10), &[&[3, 2]]);
    pace(&mut mesh, 1, 8_000_000);
    mesh.run_for(SECOND);
    for number in 0..2000 {
        for half in 0..2 {
            // 9 % more than the link takes
            mesh.send(1, &numbered(1, 2, 2 * number + half, 1000));
        }
        mesh.run_for(2 * MS);
    }
    assert!(
        mesh.drops(1)["queue_full"] > 0,
        "the queue never overflowed"
    );
    let events = mesh.hosts[&1].events.iter();
    let paths = events.filter_map(|(_, event)| match event {
        Event::Paths { paths, .. } => paths.iter().find(|path| path.active),
        _ => None,
    });
    let rtts: Vec<u64> = paths.filter_map(|path| path.rtt_mean_ns).collect();
    assert!(rtts.len() > 3, "{rtts:?}");
    assert!(
        rtts.iter().all(|rtt| (38..43).contains(&(rtt / MS))),
        "{rtts:?}"
    );
    assert!(mesh.switches(1).len() <= 1, "{:?}", mesh.switches(1));
}

#[test]
fn probes_of_a_faster_back_up_do_not_make_the_path_in_use_look_lossy() {
    let mut mesh = two_relays();
    mesh.run_for(SECOND);
    send_in_runs(&mut mesh, 10);
    let losses = path_losses(&mesh, 1);
    assert!(losses.len() > 5, "{losses:?}");
    assert!(losses.iter().all(|loss| *loss < 0.005), "{losses:?}");
}

#[test]
fn loss_behind_a_relay_is_reported_as_it_is() {
    let mut mesh = two_relays();
    for host in [1, 3] {
        mesh.change(host, |tables| tables.classes[0].retransmit = false);
    }
    mesh.set_wires(3, 2, lossy(30, 0.1));
    mesh.run_for(SECOND);
    send_in_runs(&mut mesh, 20);
    let losses = path_losses(&mesh, 1);
    let mean = losses.iter().sum::<f64>() / losses.len() as f64;
    assert!((0.07..0.13).contains(&mean), "{losses:?}");
}

#[test]
fn what_a_dead_relay_took_along_is_no_loss_of_the_path_after_it() {
    let mut mesh = two_relays();
    mesh.run_for(SECOND);
    let send = |mesh: &mut Mesh, seconds: u64| {
        for number in 0..seconds * 500 {
            mesh.send(1, &numbered(1, 2, number as u32, 300));
            mesh.run_for(2 * MS);
        }
    };
    send(&mut mesh, 5);
    let before = path_losses(&mesh, 1).len();
    mesh.kill(3);
    send(&mut mesh, 5);
    let (_, _, after) = mesh.switches(1).last().cloned().unwrap();
    assert_eq!(after, [4, 2]);
    let losses = path_losses(&mesh, 1);
    assert!(losses.len() >= before + 4, "{losses:?}");
    assert!(
        losses[before..].iter().all(|loss| *loss < 0.002),
        "{losses:?}"
    );
}

/// From 1 to 2 over 3, or over 4, which is much nearer and the back-up.
fn two_relays() -> Mesh {
    let mut mesh = Mesh::new(1, delay(5));
    let ids = [1, 2, 3, 4];
    for (id, neighbours, routes) in [
        (1, vec![3, 4], vec![route(2, &[&[3, 2], &[4, 2]])]),
        (2, vec![3, 4], vec![route(1, &[&[3, 1], &[4, 1]])]),
        (3, vec![1, 2], vec![]),
        (4, vec![1, 2], vec![]),
    ] {
        let mut tables = snapshot(id, &ids, &neighbours);
        tables.routes = routes;
        mesh.add(tables);
    }
    mesh.set_wires(1, 3, delay(30));
    mesh.set_wires(3, 2, delay(30));
    mesh
}

#[test]
fn three_datagrams_a_second_measure_an_idle_link_for_both_its_ends() {
    let mut mesh = Mesh::pair(1, delay(10));
    let sent = |mesh: &mut Mesh| {
        let of = |id| mesh.node(id).counters().datagrams_out;
        [1, 2].map(of).iter().sum::<u64>()
    };
    mesh.run_for(10 * SECOND);
    let before = sent(&mut mesh);
    mesh.run_for(30 * SECOND);
    let datagrams = sent(&mut mesh) - before;
    assert!((80..=105).contains(&datagrams), "{datagrams}");
    for id in [1, 2] {
        let events = mesh.hosts[&id].events.iter();
        let samples: u32 = events
            .filter_map(|(at, event)| match event {
                Event::Links { links, .. } if *at > 10 * SECOND => Some(links),
                _ => None,
            })
            .flatten()
            .map(|link| link.samples)
            .sum();
        assert!((24..=38).contains(&samples), "{id}: {samples}");
    }
}

#[test]
fn a_path_that_is_only_kept_in_mind_costs_its_relay_no_fast_probes() {
    let mut mesh = Mesh::triangle(1, delay(10), &[&[3, 2]]);
    mesh.run_for(SECOND);
    for number in 0..100 {
        mesh.send(1, &numbered(1, 2, number, 1000));
        mesh.run_for(20 * MS);
    }
    mesh.run_for(5 * SECOND);
    let before = mesh.node(3).counters();
    mesh.run_for(10 * SECOND);
    let after = mesh.node(3).counters();
    assert_eq!(mesh.numbers(2).len(), 100);
    assert!(
        after.relayed > before.relayed,
        "the path is not kept in mind"
    );
    let sent = after.datagrams_out - before.datagrams_out;
    assert!(sent < 300, "{sent} datagrams of the relay in ten seconds");
}
