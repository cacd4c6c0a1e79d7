//! A small mesh of nodes in virtual time: real engines, modelled wires, nothing else. Shared by the tests of this folder.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    dead_code,
    unreachable_pub,
    reason = "tests fail by panicking; each test file uses a part"
)]

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use overlayd_netem::{Link as Wire, Loss, Settings};
use overlayd_node::snapshot::{Class, Link, Local, Network, Peer, Route, Suite};
use overlayd_node::{Datagram, Event, Node, NodeConfig, Offload, Packet, Snapshot};

pub const MS: u64 = 1_000_000;
pub const SECOND: u64 = 1_000_000_000;

/// Which wire a datagram takes: from and to.
pub type Ends = (SocketAddr, SocketAddr);

pub struct Mesh {
    pub now: u64,
    pub hosts: BTreeMap<u16, Host>,
    /// What wires do unless set otherwise.
    pub wire: Settings,
    wires: BTreeMap<Ends, Wire>,
    flying: BTreeMap<(u64, u64), Flying>,
    sent: u64,
    seed: u64,
    /// Source addresses as the far end sees them, where a NAT rewrites them.
    pub rewritten: BTreeMap<SocketAddr, SocketAddr>,
    /// Every byte that crossed a wire, in order, when asked for.
    pub record: Option<Vec<(Ends, Vec<u8>)>>,
    /// Hand over in one call what arrives at one time.
    pub batch: bool,
    /// Routers mark ECN-capable datagrams.
    pub mark_ce: bool,
    /// Only the one at this place among those that arrive together.
    pub mark_place: Option<usize>,
}

pub struct Host {
    pub node: Node,
    pub snapshot: Snapshot,
    pub uplinks: Vec<SocketAddr>,
    pub delivered: Vec<Delivered>,
    pub events: Vec<(u64, Event)>,
    pub boot: u64,
    pub dead: bool,
}

#[derive(Clone, Debug)]
pub struct Delivered {
    pub at: u64,
    pub bytes: Vec<u8>,
    pub offload: Offload,
}

struct Flying {
    to: SocketAddr,
    from: SocketAddr,
    ecn: u8,
    bytes: Vec<u8>,
}

/// `Settings` of a wire with a delay.
pub fn delay(ms: u64) -> Settings {
    Settings {
        delay_ns: ms * MS,
        ..Settings::default()
    }
}

pub fn lossy(ms: u64, ratio: f64) -> Settings {
    Settings {
        loss: Loss::Independent { ratio },
        ..delay(ms)
    }
}

pub fn address(id: u16, uplink: u8) -> SocketAddr {
    format!("192.0.{uplink}.{id}:4500").parse().unwrap()
}

pub fn overlay(id: u16) -> IpAddr {
    format!("10.9.0.{id}").parse().unwrap()
}

pub fn overlay_v6(id: u16) -> IpAddr {
    format!("fd09::{id:x}").parse().unwrap()
}

pub fn private_key(id: u16) -> [u8; 32] {
    [id as u8 + 1; 32]
}

pub fn class(name: &str) -> Class {
    Class {
        name: name.into(),
        deadline_ms: Some(200),
        retransmit: true,
        repair: Vec::new(),
        repair_cap_ratio: 0.2,
        disjoint: false,
        in_order: false,
        weight: 1,
        priority_ratio: 0.0,
    }
}

/// A snapshot of node `id` among `ids`, with links to `neighbours` and no routes.
pub fn snapshot(id: u16, ids: &[u16], neighbours: &[u16]) -> Snapshot {
    let prefixes = |id| {
        [
            format!("{}/32", overlay(id)),
            format!("{}/128", overlay_v6(id)),
        ]
        .map(|text| text.try_into().unwrap())
        .to_vec()
    };
    let key = |id| hex(&overlayd_node::session::public_key(&private_key(id)));
    let others = ids.iter().filter(|peer| **peer != id);
    Snapshot {
        schema: 1,
        generation: 1,
        route_generation: 1,
        network: Network {
            id: 7,
            suite: Suite::Aes256Gcm,
            psk: hex(&[9; 32]),
        },
        node: Local {
            id,
            name: format!("n{id}"),
            addresses: vec![overlay(id), overlay_v6(id)],
            prefixes: prefixes(id),
            relay: true,
        },
        peers: others
            .map(|peer| Peer {
                id: *peer,
                name: format!("n{peer}"),
                public_key: key(*peer),
                prefixes: prefixes(*peer),
                relay: true,
                lanes: 1,
            })
            .collect(),
        links: neighbours
            .iter()
            .map(|peer| link(*peer, *peer, 0, Some(address(*peer, 0))))
            .collect(),
        classes: vec![class("default")],
        classifiers: Vec::new(),
        routes: Vec::new(),
        revocation_epoch: 0,
        probe_budget: None,
    }
}

pub fn link(id: u16, peer: u16, uplink: u8, remote: Option<SocketAddr>) -> Link {
    Link {
        id,
        peer,
        uplink,
        remote,
        reflexive: None,
        lane: 0,
        mtu: 1500,
        rate_bps: None,
        preference: 0,
    }
}

pub fn route(destination: u16, paths: &[&[u16]]) -> Route {
    Route {
        destination,
        class: 0,
        paths: paths.iter().map(|path| path.to_vec()).collect(),
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

impl Mesh {
    pub fn new(seed: u64, wire: Settings) -> Self {
        Self {
            now: SECOND,
            hosts: BTreeMap::new(),
            wire,
            wires: BTreeMap::new(),
            flying: BTreeMap::new(),
            sent: 0,
            seed,
            rewritten: BTreeMap::new(),
            record: None,
            batch: false,
            mark_ce: false,
            mark_place: None,
        }
    }

    /// Two nodes, 1 and 2, with a link to each other.
    pub fn pair(seed: u64, wire: Settings) -> Self {
        let mut mesh = Self::new(seed, wire);
        mesh.add(snapshot(1, &[1, 2], &[2]));
        mesh.add(snapshot(2, &[1, 2], &[1]));
        mesh
    }

    /// Three nodes with all links; from 1 to 2 and back by `paths`, given as seen from 1.
    pub fn triangle(seed: u64, wire: Settings, paths: &[&[u16]]) -> Self {
        let mut mesh = Self::new(seed, wire);
        let ids = [1, 2, 3];
        for id in ids {
            let others: Vec<u16> = ids.into_iter().filter(|other| *other != id).collect();
            let mut tables = snapshot(id, &ids, &others);
            if id == 1 {
                tables.routes.push(route(2, paths));
            }
            if id == 2 {
                let back: Vec<Vec<u16>> = paths
                    .iter()
                    .map(|path| path.iter().rev().skip(1).chain(&[1]).copied().collect())
                    .collect();
                let back: Vec<&[u16]> = back.iter().map(Vec::as_slice).collect();
                tables.routes.push(route(1, &back));
            }
            mesh.add(tables);
        }
        mesh
    }

    pub fn add(&mut self, tables: Snapshot) {
        let id = tables.node.id;
        let uplinks = (0..2).map(|uplink| address(id, uplink)).collect();
        let mut host = Host {
            node: new_node(id, 1, self.seed, self.now),
            snapshot: tables.clone(),
            uplinks,
            delivered: Vec::new(),
            events: Vec::new(),
            boot: 1,
            dead: false,
        };
        host.node.apply(self.now, tables).unwrap();
        self.hosts.insert(id, host);
        self.drain(id);
    }

    /// Changes a node's snapshot and applies it as the next generation.
    pub fn change(&mut self, id: u16, change: impl FnOnce(&mut Snapshot)) {
        let host = self.hosts.get_mut(&id).unwrap();
        change(&mut host.snapshot);
        host.snapshot.generation += 1;
        host.node.apply(self.now, host.snapshot.clone()).unwrap();
        self.drain(id);
    }

    /// Kills a node's process and starts it again.
    pub fn restart(&mut self, id: u16) {
        let (now, seed) = (self.now, self.seed);
        let host = self.hosts.get_mut(&id).unwrap();
        host.boot += 1;
        host.node = new_node(id, host.boot, seed, now);
        host.node.apply(now, host.snapshot.clone()).unwrap();
        self.drain(id);
    }

    pub fn kill(&mut self, id: u16) {
        self.hosts.get_mut(&id).unwrap().dead = true;
    }

    /// Nothing of a node runs for a while; then its timers are served, then what has arrived for it.
    pub fn stall(&mut self, id: u16, duration: u64) {
        let end = self.now + duration;
        let uplinks = self.hosts[&id].uplinks.clone();
        let mut waiting = Vec::new();
        self.hosts.get_mut(&id).unwrap().dead = true;
        while self.now < end {
            self.run_for(MS);
            let soon = self.now + MS;
            let arriving = |flying: &Flying| uplinks.contains(&flying.to);
            let keys: Vec<_> = self
                .flying
                .iter()
                .filter(|((at, _), flying)| *at <= soon && arriving(flying))
                .map(|(key, _)| *key)
                .collect();
            waiting.extend(keys.into_iter().filter_map(|key| self.flying.remove(&key)));
        }
        let host = self.hosts.get_mut(&id).unwrap();
        host.dead = false;
        host.node.handle_timeout(end);
        self.drain(id);
        for flying in waiting {
            self.sent += 1;
            self.flying.insert((end, self.sent), flying);
        }
    }

    /// Sets the wire between two addresses, in one direction.
    pub fn set_wire(&mut self, from: SocketAddr, to: SocketAddr, settings: Settings) {
        let now = self.now;
        self.wire_of((from, to)).set(settings, now).unwrap();
    }

    /// Sets the wires between the first uplinks of two nodes, in both directions.
    pub fn set_wires(&mut self, one: u16, other: u16, settings: Settings) {
        let (one, other) = (address(one, 0), address(other, 0));
        self.set_wire(one, other, settings);
        self.set_wire(other, one, settings);
    }

    pub fn cut(&mut self, one: u16, other: u16) {
        self.set_wires(
            one,
            other,
            Settings {
                blackhole: true,
                ..self.wire
            },
        );
    }

    /// Hands a packet to a node's TUN.
    pub fn send(&mut self, from: u16, packet: &[u8]) {
        self.send_with(from, packet, Offload::default());
    }

    pub fn send_with(&mut self, from: u16, packet: &[u8], offload: Offload) {
        let now = self.now;
        let host = self.hosts.get_mut(&from).unwrap();
        host.node.handle_packets(
            now,
            &[Packet {
                bytes: packet,
                offload,
            }],
        );
        self.drain(from);
    }

    /// Hands a datagram to a node, as from the wire.
    pub fn inject(&mut self, to: u16, remote: SocketAddr, bytes: &[u8]) {
        let now = self.now;
        let mut bytes = bytes.to_vec();
        let host = self.hosts.get_mut(&to).unwrap();
        let datagram = Datagram {
            uplink: 0,
            remote,
            ecn: 0,
            range: 0..bytes.len(),
        };
        host.node.handle_datagrams(now, &mut bytes, &[datagram]);
        host.node.output().keep(&bytes);
        self.drain(to);
    }

    pub fn run_for(&mut self, duration: u64) {
        self.run_until(self.now + duration);
    }

    pub fn run_until(&mut self, end: u64) {
        let mut steps = 0u64;
        loop {
            let arrival = self.flying.first_key_value().map(|((at, _), _)| *at);
            let timers = self.hosts.values().filter(|host| !host.dead);
            let timer = timers.filter_map(|host| host.node.poll_timeout()).min();
            let next = [arrival, timer].into_iter().flatten().min().unwrap_or(end);
            if next > end {
                break;
            }
            steps += 1;
            assert!(steps < 20_000_000, "time does not advance beyond {next}");
            self.now = self.now.max(next);
            if arrival == Some(next) {
                self.arrive();
            } else {
                self.tick();
            }
        }
        self.now = end;
    }

    fn arrive(&mut self) {
        let Some((key, flying)) = self.flying.pop_first() else {
            return;
        };
        let to = flying.to;
        let mut arriving = vec![flying];
        while self.batch
            && let Some(next) = self.flying.first_entry()
            && next.key().0 == key.0
            && next.get().to == to
        {
            arriving.push(next.remove());
        }
        let found = self.hosts.iter().find_map(|(id, host)| {
            let uplink = host.uplinks.iter().position(|address| *address == to)?;
            (!host.dead).then_some((*id, uplink as u8))
        });
        let Some((id, uplink)) = found else { return };
        let (rewritten, mark, only) = (&self.rewritten, self.mark_ce, self.mark_place);
        let mut received = Vec::new();
        let mut datagrams = Vec::new();
        for (place, flying) in arriving.iter().enumerate() {
            let start = received.len();
            received.extend_from_slice(&flying.bytes);
            datagrams.push(Datagram {
                uplink,
                remote: rewritten.get(&flying.from).copied().unwrap_or(flying.from),
                ecn: match mark && flying.ecn != 0 && only.is_none_or(|only| only == place) {
                    true => 3,
                    false => flying.ecn,
                },
                range: start..received.len(),
            });
        }
        let node = &mut self.hosts.get_mut(&id).unwrap().node;
        node.handle_datagrams(self.now, &mut received, &datagrams);
        node.output().keep(&received);
        self.drain(id);
    }

    fn tick(&mut self) {
        let now = self.now;
        let due: Vec<u16> = self
            .hosts
            .iter()
            .filter(|(_, host)| !host.dead && host.node.poll_timeout().is_some_and(|at| at <= now))
            .map(|(id, _)| *id)
            .collect();
        for id in due {
            self.hosts.get_mut(&id).unwrap().node.handle_timeout(now);
            self.drain(id);
        }
    }

    pub fn drain(&mut self, id: u16) {
        let (now, host) = (self.now, self.hosts.get_mut(&id).unwrap());
        let output = host.node.output();
        for delivery in &output.packets {
            let pieces: Vec<&[u8]> = output.packet(delivery, &[]).collect();
            host.delivered.push(Delivered {
                at: now,
                bytes: pieces.concat(),
                offload: delivery.offload,
            });
        }
        host.events
            .extend(output.events.drain(..).map(|event| (now, event)));
        let uplinks = host.uplinks.clone();
        let sent: Vec<_> = output
            .datagrams
            .iter()
            .map(|datagram| {
                let bytes = output.bytes[datagram.range.clone()].to_vec();
                (
                    uplinks[usize::from(datagram.uplink)],
                    datagram.remote,
                    datagram.ecn,
                    bytes,
                )
            })
            .collect();
        output.clear();
        for (from, to, ecn, bytes) in sent {
            self.fly(from, to, ecn, bytes);
        }
    }

    fn fly(&mut self, from: SocketAddr, to: SocketAddr, ecn: u8, bytes: Vec<u8>) {
        // A NAT knows who is behind an address of its own.
        let inside = self.rewritten.iter().find(|(_, outside)| **outside == to);
        let to = inside.map_or(to, |(inside, _)| *inside);
        if let Some(record) = &mut self.record {
            record.push(((from, to), bytes.clone()));
        }
        let now = self.now;
        let headers = if to.is_ipv6() { 48 } else { 28 };
        let verdict = self
            .wire_of((from, to))
            .offer(now, (bytes.len() + headers) as u32);
        for departure in verdict.departures() {
            let mut bytes = bytes.clone();
            if let Some(bit) = departure.flipped_bit {
                let bit = bit as usize % (bytes.len() * 8);
                bytes[bit / 8] ^= 0x80 >> (bit % 8);
            }
            self.sent += 1;
            self.flying.insert(
                (departure.at_ns, self.sent),
                Flying {
                    to,
                    from,
                    ecn,
                    bytes,
                },
            );
        }
    }

    pub fn wire_of(&mut self, ends: Ends) -> &mut Wire {
        let (settings, seed) = (self.wire, self.seed ^ (self.wires.len() as u64 + 1) << 32);
        self.wires
            .entry(ends)
            .or_insert_with(|| Wire::new(settings, seed).unwrap())
    }

    pub fn node(&mut self, id: u16) -> &mut Node {
        &mut self.hosts.get_mut(&id).unwrap().node
    }

    /// Numbers of the numbered packets that a node was delivered, in order, with the time.
    pub fn numbers(&self, id: u16) -> Vec<(u64, u32)> {
        self.hosts[&id]
            .delivered
            .iter()
            .map(|packet| (packet.at, number_of(&packet.bytes)))
            .collect()
    }

    pub fn drops(&self, id: u16) -> BTreeMap<&'static str, u64> {
        self.hosts[&id].node.counters().drops
    }

    pub fn switches(&self, id: u16) -> Vec<(u64, Vec<u16>, Vec<u16>)> {
        let events = self.hosts[&id].events.iter();
        events
            .filter_map(|(at, event)| match event {
                Event::Switch { from, to, .. } => Some((*at, from.clone(), to.clone())),
                _ => None,
            })
            .collect()
    }
}

fn new_node(id: u16, boot: u64, seed: u64, now: u64) -> Node {
    let mut bytes = [id as u8; 32];
    bytes[..8].copy_from_slice(&seed.to_be_bytes());
    bytes[8..16].copy_from_slice(&boot.to_be_bytes());
    let config = NodeConfig {
        private_key: private_key(id),
        boot,
        seed: bytes,
        key_log: false,
    };
    Node::new(config, now)
}

/// An inner UDP packet of `length` bytes with a number in it.
pub fn numbered(from: u16, to: u16, number: u32, length: usize) -> Vec<u8> {
    udp(overlay(from), overlay(to), number, length)
}

pub fn udp(from: IpAddr, to: IpAddr, number: u32, length: usize) -> Vec<u8> {
    let mut packet = vec![0u8; length];
    let transport = match (from, to) {
        (IpAddr::V4(from), IpAddr::V4(to)) => {
            packet[0] = 0x45;
            packet[2..4].copy_from_slice(&(length as u16).to_be_bytes());
            packet[8] = 64;
            packet[9] = 17;
            packet[12..16].copy_from_slice(&from.octets());
            packet[16..20].copy_from_slice(&to.octets());
            20
        }
        (IpAddr::V6(from), IpAddr::V6(to)) => {
            packet[0] = 0x60;
            packet[4..6].copy_from_slice(&((length - 40) as u16).to_be_bytes());
            packet[6] = 17;
            packet[7] = 64;
            packet[8..24].copy_from_slice(&from.octets());
            packet[24..40].copy_from_slice(&to.octets());
            40
        }
        _ => panic!("families differ"),
    };
    packet[transport + 1] = 7;
    packet[transport + 3] = 7;
    packet[transport + 4..transport + 6]
        .copy_from_slice(&((length - transport) as u16).to_be_bytes());
    packet[transport + 8..transport + 12].copy_from_slice(&number.to_be_bytes());
    for (place, byte) in packet.iter_mut().enumerate().skip(transport + 12) {
        *byte = (place as u32).wrapping_mul(number.wrapping_add(31)) as u8;
    }
    packet
}

pub fn number_of(packet: &[u8]) -> u32 {
    let at = if packet[0] >> 4 == 4 { 28 } else { 48 };
    u32::from_be_bytes(packet[at..at + 4].try_into().unwrap())
}
