//! Flows of TCP through the overlay beside a plain one at one bottleneck: who gets what of it, and what is added to it.

#![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

mod mesh;
mod tcp;

use mesh::*;
use overlayd_netem::Settings;
use overlayd_node::Event;
use overlayd_node::snapshot::RepairRow;
use tcp::{Race, Stretch, Way};

/// 20 Mbit/s with 100 ms of queue.
fn bottleneck() -> Settings {
    Settings {
        rate_bps: Some(20_000_000),
        queue_bytes: 250_000,
        ..delay(20)
    }
}

/// What the flows got from the thirteenth second to the fortieth.
fn race(seed: u64, ways: &[Way]) -> (Stretch, Race) {
    let mut mesh = Mesh::pair(seed, bottleneck());
    for id in [1, 2] {
        mesh.change(id, |tables| {
            let class = &mut tables.classes[0];
            class.deadline_ms = Some(600);
            class.in_order = true;
            class.repair = vec![RepairRow::flat(1.0, 0.085)];
        });
    }
    mesh.run_for(2 * SECOND);
    let mut race = Race::new(mesh, ways);
    race.run(12 * SECOND);
    (race.run(28 * SECOND), race)
}

/// Frames sent again and symbols, per frame.
fn added(race: &Race) -> f64 {
    let mut reports = race.mesh.hosts[&1].events.iter().rev();
    let repair = reports.find_map(|(_, event)| match event {
        Event::Links { links, .. } => links[0].repair.first().cloned(),
        _ => None,
    });
    let repair = repair.unwrap();
    (repair.retransmitted + repair.repair_sent) as f64 / repair.sent as f64
}

#[test]
fn a_flow_inside_and_one_outside_share_a_bottleneck() {
    let (plain, _) = race(1, &[Way::Bare, Way::Bare]);
    let mut shares = 0.0;
    for seed in 1..=4 {
        let (got, race) = race(seed, &[Way::Overlay, Way::Bare]);
        let sum: f64 = got.goodput.iter().sum();
        let share = got.goodput[0] / sum;
        assert!(sum > 17.5, "{got:?}");
        assert!((0.12..0.65).contains(&share), "{got:?}");
        assert!(got.queue.0 < plain.queue.0 + 10.0, "{got:?}, {plain:?}");
        assert!(added(&race) < 0.01, "{}", added(&race));
        shares += share / 4.0;
    }
    assert!(shares > 0.2, "{shares}");
}

#[test]
fn a_flow_alone_still_has_a_short_queue_in_the_network() {
    let (got, _) = race(1, &[Way::Overlay]);
    assert!(got.goodput[0] > 16.0, "{got:?}");
    assert!(got.queue.0 < 8.0, "{got:?}");
}
