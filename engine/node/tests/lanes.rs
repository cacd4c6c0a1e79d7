//! A snapshot cut by shard, and what a node of a shard does with packets that it has no way for.

#![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

mod mesh;

use mesh::*;
use overlayd_node::{Node, NodeConfig, Offload, Packet, Snapshot};

/// Node 1 among five with relays 3 and 4; node 5 has one shard, 4 has two, the others four.
fn tables() -> Snapshot {
    let mut tables = snapshot(1, &[1, 2, 3, 4, 5], &[2, 3, 4, 5]);
    for peer in &mut tables.peers {
        peer.lanes = match peer.id {
            5 => 1,
            4 => 2,
            _ => 4,
        };
    }
    tables.routes = vec![
        route(2, &[&[3, 2], &[4, 2], &[2]]),
        route(3, &[&[4, 3], &[3]]),
        route(5, &[&[5]]),
    ];
    tables
}

fn peers_linked(tables: &Snapshot) -> Vec<u16> {
    tables.links.iter().map(|link| link.peer).collect()
}

#[test]
fn the_first_shard_has_all() {
    assert_eq!(tables().of_shard(0), tables());
}

#[test]
fn a_shard_has_the_links_to_peers_with_as_many_at_ports_and_in_a_lane_of_its_own() {
    let whole = tables();
    for (shard, linked) in [(1, vec![2, 3, 4]), (2, vec![2, 3]), (3, vec![2, 3])] {
        let cut = whole.of_shard(shard);
        assert_eq!(peers_linked(&cut), linked, "shard {shard}");
        for link in &cut.links {
            let before = whole
                .links
                .iter()
                .find(|other| other.id == link.id)
                .unwrap();
            let port = before.remote.unwrap().port() + u16::from(shard);
            assert_eq!(link.remote.unwrap().port(), port);
            assert_eq!(link.lane, shard * 16);
        }
        cut.validate().unwrap();
    }
    assert!(whole.of_shard(4).links.is_empty());
}

#[test]
fn a_route_is_a_shards_only_with_its_first_path() {
    let paths = |shard| -> Vec<(u16, Vec<Vec<u16>>)> {
        let cut = tables().of_shard(shard);
        let routes = cut.routes.into_iter();
        routes
            .map(|route| (route.destination, route.paths))
            .collect()
    };
    assert_eq!(
        paths(1),
        [
            (2, vec![vec![3, 2], vec![4, 2], vec![2]]),
            (3, vec![vec![4, 3], vec![3]])
        ]
    );
    assert_eq!(paths(2), [(2, vec![vec![3, 2], vec![2]])]);
}

#[test]
fn the_uplinks_of_a_hidden_peer_stay_apart_in_every_shard() {
    let mut whole = tables();
    whole.links.truncate(2);
    for (place, link) in whole.links.iter_mut().enumerate() {
        (link.peer, link.remote, link.lane) = (2, None, place as u8);
    }
    let cut = whole.of_shard(3);
    let lanes: Vec<u8> = cut.links.iter().map(|link| link.lane).collect();
    assert_eq!(lanes, [48, 49]);
    cut.validate().unwrap();
}

#[test]
fn a_link_with_a_rate_or_without_a_port_for_it_is_no_shards_but_the_firsts() {
    let mut whole = tables();
    whole.links[0].rate_bps = Some(1_000_000);
    whole.links[1].remote = Some("192.0.0.3:65535".parse().unwrap());
    assert_eq!(peers_linked(&whole.of_shard(1)), [4]);
}

#[test]
fn lanes_are_counted_from_one_to_sixteen() {
    for (lanes, good) in [(0, false), (1, true), (16, true), (17, false)] {
        let mut whole = tables();
        whole.peers[1].lanes = lanes;
        let field = whole.validate().map_err(|error| error.field);
        assert_eq!(field, good.then_some(()).ok_or("peers[1].lanes".into()));
    }
}

/// The node of shard 1, with its part of the tables; none of its links is up.
fn node_of_shard(shard: u8) -> Node {
    let config = NodeConfig {
        private_key: private_key(1),
        boot: 1,
        seed: [7; 32],
        key_log: false,
    };
    let mut node = Node::new(config, 0).in_shard(shard);
    node.apply(0, tables().of_shard(shard)).unwrap();
    node.output().clear();
    node
}

#[test]
fn a_packet_without_a_way_is_handed_over_whole_and_is_not_counted_twice() {
    for (shard, destination) in [(1, 2), (1, 5), (3, 3)] {
        let mut node = node_of_shard(shard);
        let bytes = numbered(1, destination, 9, 600);
        let packet = Packet {
            bytes: &bytes,
            offload: Offload::default(),
        };
        node.handle_packets(1, &[packet]);
        let output = node.output();
        assert_eq!(output.handed.len(), 1, "shard {shard} to {destination}");
        assert_eq!(output.handed_bytes[output.handed[0].range.clone()], bytes);
        assert_eq!(node.counters().packets_in, 0);
        assert_eq!(node.counters().stranded, 0);
    }
}

#[test]
fn the_first_shard_hands_nothing_over() {
    let mut node = node_of_shard(0);
    let bytes = numbered(1, 2, 9, 600);
    let packet = Packet {
        bytes: &bytes,
        offload: Offload::default(),
    };
    node.handle_packets(1, &[packet]);
    assert!(node.output().handed.is_empty());
    assert_eq!(node.counters().packets_in, 1);
}

#[test]
fn what_is_nobodys_is_dropped_where_it_is_read() {
    let mut node = node_of_shard(2);
    let bytes = numbered(1, 77, 9, 600);
    let packet = Packet {
        bytes: &bytes,
        offload: Offload::default(),
    };
    node.handle_packets(1, &[packet]);
    assert!(node.output().handed.is_empty());
    assert_eq!(node.counters().drops["no_owner"], 1);
}

#[test]
fn a_shard_calls_the_port_of_its_own_behind_a_nat() {
    let mut whole = tables();
    whole.links[0].remote = None;
    whole.links[0].reflexive = Some("203.0.113.7:51900".parse().unwrap());
    whole.links[1].reflexive = Some("203.0.113.7:65535".parse().unwrap());
    let cut = whole.of_shard(2);
    let seen = |id| {
        cut.links
            .iter()
            .find(|link| link.id == id)
            .unwrap()
            .reflexive
    };
    assert_eq!(
        seen(whole.links[0].id),
        Some("203.0.113.7:51902".parse().unwrap())
    );
    assert_eq!(seen(whole.links[1].id), None, "there is no such port");
}
