//! What happens in a world does not depend on who is worked on first, or at the same time.

#![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

#[path = "../../node/tests/mesh/mod.rs"]
mod mesh;

use mesh::{address, delay, overlay, private_key, route, snapshot};
use overlayd_netem::Settings;
use overlayd_node::{Nanos, NodeConfig};
use overlayd_world::{InTurn, Region, Runner, Stream, StreamReport, World, WorldError};

const NODES: u16 = 6;
const SECOND: Nanos = 1_000_000_000;

/// The second region before the first.
struct OtherFirst;

impl Runner for OtherFirst {
    fn run(&mut self, regions: &mut [Box<Region>; 2], end: Nanos) -> Result<(), WorldError> {
        let mut last_first = regions.iter_mut().rev();
        last_first.try_for_each(|region| region.run_until(end))
    }
}

fn neighbours(id: u16) -> Vec<u16> {
    (1..=NODES).filter(|other| *other != id).collect()
}

fn wire(one: u16, other: u16) -> Settings {
    let jittery = delay(3 + 7 * u64::from(one.abs_diff(other)));
    let jitter_ns = jittery.delay_ns / 3;
    Settings {
        jitter_ns,
        ..jittery
    }
}

/// Six hosts in two regions, a stream from the first to the last over the third, a death.
fn run(seed: u64, runner: &mut impl Runner) -> (String, usize, StreamReport) {
    let mut world = World::new(seed);
    for id in 1..=NODES {
        let config = NodeConfig {
            private_key: private_key(id),
            boot: 1,
            seed: [0; 32],
            key_log: false,
        };
        world.add_node(config, vec![address(id, 0)]).unwrap();
    }
    for one in 1..=NODES {
        for other in neighbours(one) {
            let (from, to) = (address(one, 0), address(other, 0));
            world.set_wire(from, to, wire(one, other)).unwrap();
        }
    }
    let ids: Vec<u16> = (1..=NODES).collect();
    for id in ids.iter().copied() {
        let mut tables = snapshot(id, &ids, &neighbours(id));
        if let Some(end) = [(1, NODES), (NODES, 1)].into_iter().find(|end| end.0 == id) {
            tables.routes = vec![route(end.1, &[&[3, end.1], &[end.1]])];
        }
        world.apply(usize::from(id) - 1, tables).unwrap();
    }
    let stream = Stream {
        from: 0,
        to: usize::from(NODES) - 1,
        source: overlay(1),
        destination: overlay(NODES),
        interval_ns: 10_000_000,
        burst: 2,
        burst_max: 0,
        payload_bytes: 200,
        dscp: 0,
        start_ns: SECOND,
        stop_ns: 9 * SECOND,
        late_after_ns: Nanos::MAX,
    };
    let stream = world.add_stream(stream).unwrap();
    let mut reports = world.run_until(5 * SECOND, runner).unwrap().len();
    world.stop(2).unwrap();
    let (from, to) = (address(1, 0), address(2, 0));
    world.set_wire(from, to, delay(1)).unwrap();
    reports += world.run_until(10 * SECOND, runner).unwrap().len();
    let account = world.stream_report(stream, 0, Nanos::MAX).unwrap();
    (world.digest(), reports, account)
}

#[test]
fn the_order_in_which_regions_run_changes_nothing() {
    let in_turn = run(1, &mut InTurn);
    assert_eq!(run(1, &mut OtherFirst), in_turn);
    assert_ne!(run(2, &mut InTurn).0, in_turn.0);
    let account = in_turn.2;
    assert_eq!(account.sent, 1600);
    assert!(account.delivered > 1550, "{account:?}");
    assert_eq!((account.duplicated, account.altered), (0, 0));
}
