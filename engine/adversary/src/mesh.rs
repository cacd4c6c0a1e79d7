//! The mesh under attack: who is in it, which links and routes it has. Four honest nodes and one that holds keys like all others. Pure.
//!
//! 1 and 2 are edges, with two links to each other; 3 is a relay; 4 is hostile, a relay too, on routes of the others; 5 is an edge behind a NAT that calls
//! the others itself. Between them there are direct and relayed paths, with retransmission, with the code, with both and with neither.

use std::net::SocketAddr;

use overlayd_node::session::public_key;
use overlayd_node::snapshot::{
    CLASSES_MAX, Class, Classifier, Link, Local, Network, Peer, Prefix, RepairRow, Route, Snapshot,
    Suite,
};
use overlayd_node::{Node, NodeConfig};

use crate::packets;

pub(crate) const IDS: [u16; 5] = [1, 2, 3, 4, 5];
pub(crate) const HOSTILE: u16 = 4;
/// Behind a NAT; no relay.
pub(crate) const CALLER: u16 = 5;
/// An edge and a relay that is never started anew: what it holds at the end is what is left of everything that happened.
pub(crate) const ELDER: u16 = 2;
pub(crate) const NETWORK: u32 = 7;
pub(crate) const PSK: [u8; 32] = [9; 32];
/// Classes that the snapshot knows. Packets ask for the first four; the others are left to the hostile peer.
pub(crate) const CLASSES: u8 = 6;

/// Most that a link's sender of a class keeps: the frames that one feedback frame can ask for, as symbols of 1474 bytes, and a note on each.
const SENDER_BYTES: usize = 8_192 * 1_536;
/// Most that a link's receiver of a class keeps, of any class that there can be: 288 symbols of the decoder, a note on each missing frame.
const RECEIVER_BYTES: usize = 1 << 20;
/// All else that a node keeps: sessions, queues, packets that wait, its output.
const NODE_BYTES: usize = 16 << 20;

/// Most that a node with these tables may have of the heap, bytes: what its links may come to keep, whatever peers and programs do.
pub(crate) fn memory_bound(tables: &Snapshot) -> i64 {
    let link = tables.classes.len() * SENDER_BYTES + CLASSES_MAX * RECEIVER_BYTES;
    (tables.links.len() * link + NODE_BYTES) as i64
}

/// Of one of a node's two uplinks: the first has IPv4, the second IPv6.
pub(crate) fn underlay(id: u16, uplink: u8) -> SocketAddr {
    let id = id as u8;
    match uplink {
        0 => SocketAddr::from(([192, 0, 2, id], 4500)),
        _ => SocketAddr::from(([0x2001, 0xdb8, 0, 0, 0, 0, 0, id.into()], 4500)),
    }
}

pub(crate) fn private_key(id: u16) -> [u8; 32] {
    [id as u8 + 1; 32]
}

pub(crate) fn node(id: u16, boot: u64, seed: u64, now: u64) -> Node {
    let mut bytes = [id as u8; 32];
    bytes[..8].copy_from_slice(&seed.to_be_bytes());
    bytes[8..16].copy_from_slice(&boot.to_be_bytes());
    let config = NodeConfig {
        private_key: private_key(id),
        boot,
        seed: bytes,
        key_log: id == HOSTILE,
    };
    Node::new(config, now)
}

pub(crate) fn tables(id: u16) -> Snapshot {
    let others = || IDS.into_iter().filter(move |other| *other != id);
    Snapshot {
        schema: 1,
        generation: 1,
        route_generation: 1,
        network: Network {
            id: NETWORK,
            suite: Suite::Aes256Gcm,
            psk: hex(&PSK),
        },
        node: Local {
            id,
            name: format!("n{id}"),
            addresses: [false, true].map(|v6| packets::address(id, v6)).to_vec(),
            prefixes: prefixes(id),
            relay: id != CALLER,
        },
        peers: others()
            .map(|peer| Peer {
                id: peer,
                name: format!("n{peer}"),
                public_key: hex(&public_key(&private_key(peer))),
                prefixes: prefixes(peer),
                relay: peer != CALLER,
                lanes: 1,
            })
            .collect(),
        links: links(id),
        classes: classes(),
        classifiers: (1..packets::CLASSES_IN_USE)
            .map(|class| Classifier {
                class,
                dscp: Some(class),
                ..Classifier::default()
            })
            .collect(),
        routes: routes(id),
        revocation_epoch: 0,
        probe_budget: None,
    }
}

fn prefixes(id: u16) -> Vec<Prefix> {
    [(false, 32), (true, 128)]
        .map(|(v6, length)| Prefix {
            address: packets::address(id, v6),
            length,
        })
        .to_vec()
}

fn links(id: u16) -> Vec<Link> {
    let link = |peer: u16, uplink: u8| Link {
        id: peer + 10 * u16::from(uplink),
        peer,
        uplink,
        remote: (peer != CALLER).then(|| underlay(peer, uplink)),
        reflexive: None,
        lane: 0,
        mtu: 1500,
        // One slow link, so that a queue can stand.
        rate_bps: ((id, peer) == (3, 2)).then_some(4_000_000),
        preference: uplink,
    };
    let first = IDS
        .into_iter()
        .filter(|peer| *peer != id && (id, *peer) != (CALLER, 2) && (id, *peer) != (2, CALLER))
        .map(|peer| link(peer, 0));
    let second = match id {
        1 => Some(link(2, 1)),
        2 => Some(link(1, 1)),
        _ => None,
    };
    first.chain(second).collect()
}

fn classes() -> Vec<Class> {
    let row = |loss_ratio, repair_ratio| RepairRow::flat(loss_ratio, repair_ratio);
    let class = |name: &str, deadline_ms, retransmit, repair: &[RepairRow]| Class {
        name: name.into(),
        deadline_ms,
        retransmit,
        repair: repair.to_vec(),
        repair_cap_ratio: 1.0,
        disjoint: true,
        in_order: false,
        weight: 1,
        priority_ratio: 0.0,
    };
    let code = [row(0.005, 0.05), row(1.0, 0.4)];
    vec![
        class("default", Some(200), true, &[]),
        class("real-time", Some(60), true, &code),
        class("bulk", None, true, &[]),
        class("bare", Some(100), false, &[]),
        class("both", Some(500), true, &code),
        class("coded", Some(100), false, &code),
    ]
}

fn routes(id: u16) -> Vec<Route> {
    let paths: &[(u16, u8, &[&[u16]])] = match id {
        1 => &[
            (2, 0, &[&[2], &[3, 2], &[4, 2]]),
            (2, 1, &[&[3, 2], &[2]]),
            (2, 2, &[&[4, 2], &[3, 2]]),
            (2, 3, &[&[3, 4, 2], &[2]]),
            (5, 0, &[&[3, 5], &[4, 5]]),
            (5, 1, &[&[5]]),
            (4, 0, &[&[4], &[3, 4]]),
            (4, 1, &[&[3, 4]]),
        ],
        2 => &[
            (1, 0, &[&[1], &[3, 1], &[4, 1]]),
            (1, 1, &[&[3, 1], &[1]]),
            (1, 2, &[&[4, 1], &[3, 1]]),
            (1, 3, &[&[4, 3, 1], &[1]]),
            (5, 0, &[&[3, 5], &[4, 5]]),
            (4, 0, &[&[3, 4], &[4]]),
        ],
        3 => &[
            (1, 0, &[&[1]]),
            (2, 0, &[&[2], &[1, 2]]),
            (5, 1, &[&[1, 5]]),
        ],
        4 => &[
            (1, 0, &[&[3, 1], &[1]]),
            (2, 0, &[&[3, 2], &[2]]),
            (3, 0, &[&[1, 3], &[3]]),
            (5, 0, &[&[1, 5], &[5]]),
            (2, 1, &[&[2]]),
        ],
        _ => &[
            (1, 0, &[&[3, 1], &[4, 1]]),
            (1, 1, &[&[1]]),
            (2, 0, &[&[4, 2], &[3, 2]]),
            (2, 2, &[&[3, 1, 2]]),
            (4, 0, &[&[3, 4], &[4]]),
        ],
    };
    paths
        .iter()
        .map(|(destination, class, paths)| Route {
            destination: *destination,
            class: *class,
            paths: paths.iter().map(|path| path.to_vec()).collect(),
        })
        .collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
