//! More is offered than a link carries: what is left of each flow, how long it waits, and what is counted.

#![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

mod mesh;

use mesh::*;
use overlayd_netem::Settings;
use overlayd_node::Event;

/// 40 Mbit/s with 250 ms of queue.
fn bottleneck() -> Settings {
    Settings {
        rate_bps: Some(40_000_000),
        queue_bytes: 1_250_000,
        ..delay(20)
    }
}

/// From node 1 to node 2 for so many seconds: a flood of 160 Mbit/s and, when told, 200 small packets a second of another flow. What both got.
fn flood(mesh: &mut Mesh, seconds: u64, ecn: u8) -> Got {
    let (from, began) = (mesh.hosts[&2].delivered.len(), mesh.now);
    let mut flood = numbered(1, 2, 0, 1200);
    flood[1] |= ecn;
    for tick in 0..seconds * 1000 {
        for _ in 0..16 {
            mesh.send(1, &flood);
        }
        if tick % 5 == 0 {
            mesh.send(1, &udp(overlay_v6(1), overlay_v6(2), tick as u32, 100));
        }
        mesh.run_for(MS);
    }
    let mut got = Got::default();
    for delivered in &mesh.hosts[&2].delivered[from..] {
        if delivered.bytes[0] >> 4 == 4 {
            got.bytes += delivered.bytes.len();
            got.marked += usize::from(delivered.bytes[1] & 3 == 3);
        } else {
            let sent = began + u64::from(number_of(&delivered.bytes)) * MS;
            got.delays.push(delivered.at.saturating_sub(sent));
        }
    }
    got.delays.sort_unstable();
    got
}

#[derive(Default)]
struct Got {
    bytes: usize,
    marked: usize,
    /// Of the small packets, in order of size.
    delays: Vec<u64>,
}

fn budget(mesh: &Mesh) -> Option<u64> {
    let reports = mesh.hosts[&1].events.iter();
    reports.rev().find_map(|(_, event)| match event {
        Event::Links { links, .. } => links[0].budget_bps,
        _ => None,
    })
}

#[test]
fn a_flood_fills_the_bottleneck_and_other_flows_pass_it() {
    let mut mesh = Mesh::pair(4, bottleneck());
    mesh.run_for(2 * SECOND);
    flood(&mut mesh, 4, 0); // it takes that to see the queue, and to drain it
    let got = flood(&mut mesh, 10, 0);
    let share = got.bytes as f64 * 8.0 / 10.0 / 40e6;
    assert!(share > 0.9, "{share} of the rate");
    assert!(got.delays.len() > 1_980, "{} of 2000", got.delays.len());
    let p99 = got.delays[got.delays.len() * 99 / 100] - 20 * MS;
    assert!(p99 < 10 * MS, "{p99} ns");
    let drops = mesh.drops(1);
    assert!(
        drops["queue_full"] > 10_000 && drops["queue_late"] > 10,
        "{drops:?}"
    );
    assert_eq!(got.marked, 0);
    assert!(budget(&mesh).is_some_and(|rate| (36_000_000..44_000_000).contains(&rate)));
}

#[test]
fn a_flow_that_understands_marks_gets_them() {
    let mut mesh = Mesh::pair(4, bottleneck());
    mesh.run_for(2 * SECOND);
    flood(&mut mesh, 2, 2);
    let before = mesh.drops(1).get("queue_late").copied();
    let got = flood(&mut mesh, 4, 2);
    assert!(got.marked > 20, "{}", got.marked);
    assert_eq!(mesh.drops(1).get("queue_late").copied(), before);
}

#[test]
fn what_a_relay_has_no_room_for_is_shared_between_those_it_serves() {
    // 1 floods 2 over 3, whose wire to 2 is narrow; 3 itself talks to 2 as well.
    let mut mesh = Mesh::triangle(4, delay(5), &[&[3, 2]]);
    mesh.set_wires(3, 2, bottleneck());
    mesh.run_for(2 * SECOND);
    let mut run = |seconds: u64| {
        let from = mesh.hosts[&2].delivered.len();
        let began = mesh.now;
        for tick in 0..seconds * 1000 {
            for _ in 0..16 {
                mesh.send(1, &numbered(1, 2, 0, 1200));
            }
            if tick % 5 == 0 {
                mesh.send(3, &numbered(3, 2, tick as u32, 100));
            }
            mesh.run_for(MS);
        }
        let mut delays = Vec::new();
        let mut bytes = 0;
        for delivered in &mesh.hosts[&2].delivered[from..] {
            if delivered.bytes.len() > 1000 {
                bytes += delivered.bytes.len();
            } else {
                let sent = began + u64::from(number_of(&delivered.bytes)) * MS;
                delays.push(delivered.at.saturating_sub(sent));
            }
        }
        delays.sort_unstable();
        (bytes, delays)
    };
    run(4);
    let (bytes, delays) = run(6);
    let share = bytes as f64 * 8.0 / 6.0 / 40e6;
    assert!(share > 0.85, "{share}");
    assert!(delays.len() > 1_190);
    let p99 = delays[delays.len() * 99 / 100] - 20 * MS;
    assert!(p99 < 10 * MS, "{p99} ns");
    assert!(mesh.drops(3)["queue_full"] > 1_000);
    assert_eq!(mesh.drops(1).get("queue_full"), None);
}
