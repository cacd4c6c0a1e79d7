//! Flows of TCP through the overlay, alone on a lossy hop and beside a plain one at one bottleneck: who gets what of it, and what is added to it.

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

/// A hop with 100 ms of queue that loses in both directions.
fn lossy_hop(rate: u64, rtt: u64, loss: f64) -> Settings {
    Settings {
        rate_bps: Some(rate * 1_000_000),
        queue_bytes: rate * 1_000_000 / 80,
        ..lossy(rtt / 2, loss)
    }
}

/// As class `bulk` comes with the product (`overlayd/model/service.py`): symbols that restore most without a round trip, and what is sent again goes twice.
fn bulk() -> Vec<RepairRow> {
    let losses = [
        0.005, 0.01, 0.02, 0.035, 0.05, 0.065, 0.08, 0.1, 0.12, 0.14, 0.17, 0.22, 0.3, 0.4,
    ];
    let row = |loss: f64| {
        let used = loss / (1.0 - loss);
        let early = (2.0 * loss).min(0.1).max(used * 4.0 / 3.0);
        RepairRow {
            again: vec![1.0],
            ..RepairRow::flat(loss, early)
        }
    };
    losses.map(row).to_vec()
}

fn start(seed: u64, wire: Settings, ways: &[Way]) -> Race {
    let mut mesh = Mesh::pair(seed, wire);
    for id in [1, 2] {
        mesh.change(id, |tables| {
            let class = &mut tables.classes[0];
            class.deadline_ms = Some(600);
            class.in_order = true;
            class.repair = bulk();
            class.repair_cap_ratio = 0.6;
        });
    }
    mesh.run_for(2 * SECOND);
    Race::new(mesh, ways)
}

/// Of two seeds, Mbit/s of all flows together from the seventh second to the sixteenth: the least and the mean; and bytes of IP on the wire per byte received.
fn lone(wire: Settings, flows: usize) -> (f64, f64, f64) {
    let (mut least, mut sum, mut on_wire) = (f64::MAX, 0.0, 0.0);
    for seed in 1..=2 {
        let mut race = start(seed, wire, &vec![Way::Overlay; flows]);
        race.run(6 * SECOND);
        let got = race.run(10 * SECOND);
        let goodput = got.goodput.iter().sum::<f64>();
        least = goodput.min(least);
        sum += goodput;
        on_wire += got.wire;
    }
    (least, sum / 2.0, on_wire / sum)
}

/// What the flows got from the thirteenth second to the fortieth.
fn race(seed: u64, ways: &[Way]) -> (Stretch, Race) {
    let mut race = start(seed, bottleneck(), ways);
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
        assert!((0.35..0.65).contains(&share), "{got:?}");
        assert!(got.queue.0 < plain.queue.0 + 10.0, "{got:?}, {plain:?}");
        assert!(added(&race) < 0.01, "{}", added(&race));
        shares += share / 4.0;
    }
    assert!(shares > 0.4, "{shares}");
}

#[test]
fn a_flow_alone_still_has_a_short_queue_in_the_network() {
    let (got, _) = race(1, &[Way::Overlay]);
    assert!(got.goodput[0] > 16.0, "{got:?}");
    assert!(got.queue.0 < 8.0, "{got:?}");
}

#[test]
fn a_flow_alone_fills_a_lossy_hop() {
    // Symbols, copies and headers leave 41 of 50 Mbit/s at 5 %.
    for (rtt, loss, least, mean, on_wire) in [
        (100, 0.05, 28.0, 34.0, 1.26),
        (100, 0.01, 33.0, 38.0, 1.18),
        (200, 0.05, 28.0, 32.0, 1.28),
        (100, 0.10, 22.0, 27.0, 1.45),
        (40, 0.30, 10.0, 14.0, 2.3),
    ] {
        let got = lone(lossy_hop(50, rtt, loss), 1);
        assert!(
            got.0 > least && got.1 > mean && got.2 < on_wire,
            "{rtt}, {loss}: {got:?}"
        );
    }
}

#[test]
fn so_do_slower_hops_and_several_flows() {
    for (rate, rtt, flows, mean) in [(10, 40, 1, 6.0), (20, 100, 1, 13.0), (50, 100, 4, 37.0)] {
        let got = lone(lossy_hop(rate, rtt, 0.05), flows);
        assert!(got.1 > mean, "{rate}, {rtt}: {got:?}");
    }
}
