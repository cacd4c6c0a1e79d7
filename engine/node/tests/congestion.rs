//! Repair on a link without a configured rate: what is lost for want of room is not filled up again.

#![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

mod mesh;

use mesh::*;
use overlayd_netem::{Loss, Settings};
use overlayd_node::snapshot::RepairRow;
use overlayd_node::{Event, RepairReport};

/// A bottleneck of 8 Mbit/s with 50 ms of queue.
fn bottleneck(loss: f64) -> Settings {
    Settings {
        rate_bps: Some(8_000_000),
        queue_bytes: 50_000,
        loss: Loss::Independent { ratio: loss },
        ..delay(10)
    }
}

/// Sends packets of 1000 bytes for `seconds`, one each `gap`.
fn offer(mesh: &mut Mesh, seconds: u64, gap: u64) {
    for number in 0..seconds * SECOND / gap {
        mesh.send(1, &numbered(1, 2, number as u32, 1000 - 60));
        mesh.run_for(gap);
    }
}

fn repair(mesh: &Mesh, id: u16) -> RepairReport {
    let mut reports = mesh.hosts[&id]
        .events
        .iter()
        .filter_map(|(_, event)| match event {
            Event::Links { links, .. } => links[0].repair.first().cloned(),
            _ => None,
        });
    reports.next_back().unwrap()
}

fn pair(wire: Settings) -> Mesh {
    let mut mesh = Mesh::pair(4, wire);
    for id in [1, 2] {
        mesh.change(id, |tables| {
            tables.classes[0].repair = vec![RepairRow::flat(1.0, 0.2)];
        });
    }
    mesh.run_for(SECOND);
    offer(&mut mesh, 2, 2 * MS); // half of what it carries
    mesh
}

#[test]
fn a_full_link_is_not_filled_up_with_repair() {
    let mut mesh = pair(bottleneck(0.0));
    let before = repair(&mesh, 1);
    offer(&mut mesh, 8, MS * 2 / 3); // half more than it carries
    let after = repair(&mesh, 1);
    let sent = after.sent - before.sent;
    let added = after.retransmitted + after.repair_sent - before.retransmitted - before.repair_sent;
    assert!(added * 50 < sent, "{added} added to {sent}");
    // Once it is no longer full and loses by chance, it is repaired again.
    mesh.set_wires(1, 2, bottleneck(0.05));
    offer(&mut mesh, 12, 2 * MS);
    mesh.run_for(SECOND);
    let (lost, last) = (repair(&mesh, 2).lost, repair(&mesh, 1));
    offer(&mut mesh, 4, 2 * MS);
    mesh.run_for(SECOND);
    assert!(repair(&mesh, 2).lost - lost < 10);
    assert!(repair(&mesh, 1).repair_sent > last.repair_sent);
}

#[test]
fn what_a_link_loses_by_chance_is_repaired_on_it_when_full_too() {
    let mut mesh = pair(bottleneck(0.05));
    let before = repair(&mesh, 1);
    offer(&mut mesh, 8, MS * 2 / 3);
    let after = repair(&mesh, 1);
    let sent = (after.sent - before.sent) as f64;
    let added = after.retransmitted + after.repair_sent - before.retransmitted - before.repair_sent;
    // The queue stands here: no redundancy is added to it; retransmission stays within twice what chance takes.
    assert!(
        (0.04..0.12).contains(&(added as f64 / sent)),
        "{added} added to {sent}"
    );
}
