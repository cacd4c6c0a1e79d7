//! What a peer said in a former life, or over a link that is no more, is never mixed with what it says now.

#![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

mod mesh;

use mesh::*;
use overlayd_netem::Settings;

const A: u16 = 1;
const B: u16 = 2;

/// Two nodes with a session, and a record of all that crosses from now on.
fn pair() -> Mesh {
    let mut mesh = Mesh::pair(1, delay(5));
    mesh.run_for(SECOND);
    mesh.record = Some(Vec::new());
    mesh
}

/// Whether anything passes from the first to the second.
fn pass(mesh: &mut Mesh, passes: bool) {
    let settings = Settings {
        blackhole: !passes,
        ..delay(5)
    };
    mesh.set_wire(address(A, 0), address(B, 0), settings);
}

/// Datagrams from the first to the second since the record began, of at least this length.
fn sent(mesh: &Mesh, least: usize) -> Vec<Vec<u8>> {
    let record = mesh.record.as_ref().unwrap().iter();
    record
        .filter(|((from, _), bytes)| *from == address(A, 0) && bytes.len() >= least)
        .map(|(_, bytes)| bytes.clone())
        .collect()
}

fn numbers(mesh: &Mesh) -> Vec<u32> {
    mesh.numbers(B).iter().map(|(_, number)| *number).collect()
}

#[test]
fn a_frame_sent_again_before_a_restart_does_not_arrive_again_after_it() {
    let mut mesh = pair();
    pass(&mut mesh, false);
    mesh.send(A, &numbered(A, B, 1, 600));
    pass(&mut mesh, true);
    mesh.send(A, &numbered(A, B, 2, 100));
    // On its way; what is sent again for it is lost.
    mesh.run_for(6 * MS);
    pass(&mut mesh, false);
    mesh.run_for(30 * MS);
    let [first, again, ..] = &sent(&mesh, 600)[..] else {
        panic!("it was not sent again")
    };
    mesh.inject(B, address(A, 0), first);
    assert_eq!(numbers(&mesh), [2, 1]);
    pass(&mut mesh, true);
    mesh.restart(A);
    mesh.run_for(SECOND);
    mesh.inject(B, address(A, 0), again);
    assert_eq!(numbers(&mesh), [2, 1], "{:?}", mesh.drops(B));
}

#[test]
fn pieces_of_two_lives_do_not_make_a_packet() {
    let mut mesh = pair();
    pass(&mut mesh, false);
    mesh.send(A, &numbered(A, B, 1, 2000));
    let pieces = sent(&mesh, 900);
    assert_eq!(pieces.len(), 2);
    mesh.inject(B, address(A, 0), &pieces[1]);
    pass(&mut mesh, true);
    mesh.restart(A);
    mesh.run_for(100 * MS);
    let packet = numbered(A, B, 2, 2000);
    mesh.send(A, &packet);
    mesh.run_for(100 * MS);
    let delivered = &mesh.hosts[&B].delivered;
    assert_eq!(delivered.len(), 1, "{:?}", mesh.drops(B));
    assert!(delivered[0].bytes == packet, "made of two packets");
}

#[test]
fn repair_symbols_of_a_former_life_restore_nothing_in_this_one() {
    let mut mesh = pair();
    for id in [A, B] {
        mesh.change(id, |tables| {
            let class = &mut tables.classes[0];
            class.retransmit = false;
            class.repair_cap_ratio = 1.0;
            class.repair = vec![overlayd_node::snapshot::RepairRow::flat(1.0, 1.0)];
        });
    }
    // A life of 200 frames, the last two of which are lost together with their symbols.
    let life = |mesh: &mut Mesh, first: u32, wire: Settings| {
        mesh.set_wire(address(A, 0), address(B, 0), wire);
        for number in first..first + 198 {
            mesh.send(A, &numbered(A, B, number, 600));
            mesh.run_for(5 * MS);
        }
        pass(mesh, false);
        mesh.send(A, &numbered(A, B, first + 198, 600));
        mesh.send(A, &numbered(A, B, first + 199, 600));
    };
    // Loss, or no symbols would be sent.
    life(&mut mesh, 1_000, lossy(5, 0.1));
    let [.., symbol, _, last_symbol] = &sent(&mesh, 620)[..] else {
        panic!("nothing was sent")
    };
    pass(&mut mesh, true);
    mesh.restart(A);
    mesh.run_for(100 * MS);
    mesh.send(A, &numbered(A, B, 2_200, 600));
    mesh.run_for(100 * MS);
    mesh.inject(B, address(A, 0), symbol);
    life(&mut mesh, 2_000, delay(5));
    mesh.inject(B, address(A, 0), last_symbol);
    let made_up = mesh.hosts[&B].delivered.iter().filter(|packet| {
        let number = number_of(&packet.bytes);
        packet.bytes != numbered(A, B, number, 600)
    });
    assert_eq!(made_up.count(), 0);
    assert!(numbers(&mesh).contains(&2_197));
}

#[test]
fn a_link_that_is_told_to_lead_elsewhere_works_at_once() {
    let mut mesh = pair();
    for number in 0..100 {
        mesh.send(A, &numbered(A, B, number, 100));
        mesh.run_for(MS);
    }
    mesh.run_for(50 * MS);
    for id in [A, B] {
        let other = if id == A { B } else { A };
        mesh.change(id, |tables| {
            tables.links[0].remote = Some(address(other, 0));
            tables.links[0].uplink = 1;
        });
        mesh.change(id, |tables| {
            tables.links[0].remote = Some(address(other, 1));
        });
    }
    mesh.run_for(2 * SECOND);
    for number in 100..200 {
        mesh.send(A, &numbered(A, B, number, 100));
        mesh.run_for(MS);
    }
    mesh.run_for(SECOND);
    assert_eq!(
        numbers(&mesh),
        (0..200).collect::<Vec<_>>(),
        "{:?}",
        mesh.drops(B)
    );
}

#[test]
fn a_link_that_moves_and_comes_back_neither_repeats_nor_stays_silent() {
    let mut mesh = pair();
    for number in 0..100 {
        mesh.send(A, &numbered(A, B, number, 100));
        mesh.run_for(MS);
    }
    mesh.run_for(50 * MS);
    for remote in [address(B, 1), address(B, 0)] {
        mesh.change(A, |tables| tables.links[0].remote = Some(remote));
        mesh.run_for(20 * MS);
    }
    mesh.run_for(3 * SECOND);
    for number in 100..200 {
        mesh.send(A, &numbered(A, B, number, 100));
        mesh.run_for(MS);
    }
    mesh.run_for(SECOND);
    let numbers = numbers(&mesh);
    assert_eq!(numbers, (0..200).collect::<Vec<_>>(), "{:?}", mesh.drops(B));
}

#[test]
fn a_node_that_joins_again_under_another_id_is_a_node_like_any_other() {
    let mut mesh = pair();
    let both_ways = |mesh: &mut Mesh, number| {
        mesh.send(A, &numbered(A, B, number, 300));
        mesh.send(B, &numbered(B, A, number, 300));
        mesh.run_for(SECOND);
    };
    both_ways(&mut mesh, 1);
    let before = sent(&mesh, 300);
    let members = [A, B].map(|id| mesh.hosts[&id].snapshot.clone());
    for id in [A, B] {
        mesh.change(id, |tables| {
            tables.peers.clear();
            tables.links.clear();
        });
    }
    mesh.run_for(SECOND);
    mesh.change(A, |tables| {
        tables.node.id = 5;
        tables.peers = members[0].peers.clone();
        tables.links = members[0].links.clone();
    });
    mesh.change(B, |tables| {
        tables.peers = members[1].peers.clone();
        tables.links = members[1].links.clone();
        tables.peers[0].id = 5;
        tables.links[0].peer = 5;
    });
    mesh.run_for(SECOND);
    both_ways(&mut mesh, 2);
    for datagram in before {
        mesh.inject(B, address(A, 0), &datagram);
    }
    assert_eq!(numbers(&mesh), [1, 2]);
    assert_eq!(mesh.numbers(A).len(), 2);
}

#[test]
fn a_node_that_is_renumbered_while_it_talks_begins_anew() {
    let mut mesh = pair();
    for number in 0..100 {
        mesh.send(A, &numbered(A, B, number, 300));
        mesh.run_for(MS);
    }
    mesh.run_for(SECOND);
    mesh.change(A, |tables| tables.node.id = 5);
    mesh.change(B, |tables| {
        tables.peers[0].id = 5;
        tables.links[0].peer = 5;
    });
    mesh.run_for(SECOND);
    for number in 100..200 {
        mesh.send(A, &numbered(A, B, number, 300));
        mesh.run_for(MS);
    }
    mesh.run_for(SECOND);
    assert_eq!(numbers(&mesh), (0..200).collect::<Vec<_>>());
}
