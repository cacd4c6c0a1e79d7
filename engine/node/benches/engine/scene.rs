//! A path of real nodes with clean wires, and the clock around each call into one of them.
//!
//! Everything that a node does for the packets is its cost: the calls with packets, the feedback and probes that come back, and the timers that fall due
//! while virtual time goes on. What carries bytes from one node to the next is not.

use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};
use std::time::Instant;

use overlayd_node::snapshot::{Class, Classifier, RepairRow, Suite};
use overlayd_node::{Datagram, Node, Offload, Packet, Segment, SegmentKind};

use crate::counting::allocations;
use crate::mesh::{MS, Mesh, SECOND, address, delay, numbered, overlay};

pub(crate) const PACKETS_A_ROUND: usize = 1024;
/// Virtual time from packet to packet: 1.5 million a second.
const PACE_NS: u64 = 667;
/// Packets of a super-packet.
const SUPER: usize = 32;
/// Of IPv4 and TCP.
const HEADERS: usize = 40;
/// More than a sender keeps for retransmission, and for longer than from probe to probe: every page has been touched, every buffer has grown.
const WARM_UP: usize = 100_000;

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stage {
    Ingress,
    Relay,
    Egress,
}

/// What one call into the ingress brings.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Load {
    Packets(usize),
    /// One, which is cut into packets of the same size, and joined again at the egress.
    SuperPacket,
}

pub(crate) struct Scene {
    hosts: Vec<Host>,
    now: u64,
    packets: Vec<Vec<u8>>,
    super_packet: Vec<u8>,
    segment: Segment,
    /// How long what comes back is under way, and what is: when it arrives, and at which host.
    back_ns: u64,
    coming_back: VecDeque<(u64, usize, Inbox)>,
    /// What taking the time costs.
    clock_ns: f64,
}

struct Host {
    node: Node,
    address: SocketAddr,
    inbox: Inbox,
    spent_ns: f64,
    allocations: u64,
    allocations_of_timers: u64,
    /// Packets for its TUN in this step.
    delivered: usize,
}

/// Datagrams on their way to a host.
#[derive(Default)]
struct Inbox {
    bytes: Vec<u8>,
    /// Sender, length, ECN.
    datagrams: Vec<(SocketAddr, usize, u8)>,
}

impl Stage {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Ingress => "ingress",
            Self::Relay => "relay",
            Self::Egress => "egress",
        }
    }
}

impl Scene {
    /// `way`: ids of the nodes that a packet passes; node 1 is its ingress and node 2 its egress. Feedback takes `back_ns` over each hop.
    pub(crate) fn new(way: &[u16], suite: Suite, bytes: usize, back_ns: u64) -> Self {
        let mut mesh = match way {
            [1, 2] => Mesh::pair(1, delay(1)),
            _ => Mesh::triangle(1, delay(1), &[&way[1..]]),
        };
        let ids: Vec<u16> = mesh.hosts.keys().copied().collect();
        for id in ids {
            mesh.change(id, |tables| {
                tables.network.suite = suite;
                tables.classes = ["interactive", "realtime", "bulk", "reliable"]
                    .map(class)
                    .to_vec();
                tables.classifiers = classifiers();
            });
        }
        mesh.run_for(2 * SECOND);
        for number in 0..100 {
            mesh.send(1, &numbered(1, 2, number, bytes));
            mesh.run_for(MS);
        }
        mesh.run_for(10 * MS);
        assert_eq!(mesh.hosts[&2].delivered.len(), 100, "the path is clean");
        let host = |id: &u16| Host {
            node: mesh.hosts.remove(id).expect("a node of the way").node,
            address: address(*id, 0),
            inbox: Inbox::default(),
            spent_ns: 0.0,
            allocations: 0,
            allocations_of_timers: 0,
            delivered: 0,
        };
        Self {
            hosts: way.iter().map(host).collect(),
            now: mesh.now,
            packets: (0..32)
                .map(|number| numbered(1, 2, number, bytes))
                .collect(),
            super_packet: super_packet(bytes),
            segment: Segment {
                kind: SegmentKind::TcpV4,
                header_len: HEADERS as u16,
                size: (bytes - HEADERS) as u16,
            },
            back_ns,
            coming_back: VecDeque::new(),
            clock_ns: clock_ns(),
        }
    }

    pub(crate) fn stage(&self, place: usize) -> Stage {
        match place {
            0 => Stage::Ingress,
            place if place + 1 == self.hosts.len() => Stage::Egress,
            _ => Stage::Relay,
        }
    }

    /// Of one host, in all rounds: in calls with packets, and in those of its timers.
    pub(crate) fn allocations(&self, place: usize) -> [u64; 2] {
        let host = &self.hosts[place];
        [host.allocations, host.allocations_of_timers]
    }

    pub(crate) fn warm_up(&mut self) {
        for _ in 0..WARM_UP / self.packets.len() {
            self.step(Load::Packets(self.packets.len()));
        }
        for host in &mut self.hosts {
            host.allocations = 0;
            host.allocations_of_timers = 0;
        }
    }

    /// ns per packet at each host.
    pub(crate) fn round(&mut self, load: Load) -> Vec<f64> {
        for host in &mut self.hosts {
            host.spent_ns = 0.0;
        }
        for _ in 0..PACKETS_A_ROUND / load.packets() {
            self.step(load);
        }
        let each = |host: &Host| host.spent_ns / PACKETS_A_ROUND as f64;
        self.hosts.iter().map(each).collect()
    }

    /// A run of packets goes all the way, and what comes back for it.
    fn step(&mut self, load: Load) {
        self.now += PACE_NS * load.packets() as u64;
        let batch: Vec<Packet<'_>> = match load {
            Load::Packets(count) => self.packets[..count]
                .iter()
                .map(|bytes| Packet {
                    bytes,
                    offload: Offload::default(),
                })
                .collect(),
            Load::SuperPacket => vec![Packet {
                bytes: &self.super_packet,
                offload: Offload {
                    partial_checksum: Some((20, 16)),
                    segment: Some(self.segment),
                },
            }],
        };
        let (now, clock_ns, expected) = (self.now, self.clock_ns, batch.len());
        while let Some((_, place, inbox)) = self.coming_back.front().filter(|next| next.0 <= now) {
            self.hosts[*place].inbox.append(inbox);
            self.coming_back.pop_front();
        }
        self.hosts[0].call(now, clock_ns, |node| node.handle_packets(now, &batch));
        self.carry(0);
        // Forward before backward: the last one that was sent something goes first.
        while let Some(place) = self.hosts.iter().rposition(Host::has_input) {
            self.serve(place);
            self.carry(place);
        }
        let last = self.hosts.last_mut().expect("an egress");
        assert_eq!(last.delivered, expected, "every packet arrives");
        last.delivered = 0;
    }

    fn serve(&mut self, place: usize) {
        let (now, clock_ns) = (self.now, self.clock_ns);
        let host = &mut self.hosts[place];
        let mut inbox = std::mem::take(&mut host.inbox);
        let mut batch = Vec::with_capacity(inbox.datagrams.len());
        let mut end = 0;
        for (remote, length, ecn) in inbox.datagrams.drain(..) {
            let start = end;
            end += length;
            batch.push(Datagram {
                uplink: 0,
                remote,
                ecn,
                range: start..end,
            });
        }
        host.call(now, clock_ns, |node| {
            node.handle_datagrams(now, &mut inbox.bytes, &batch)
        });
        inbox.bytes.clear();
        host.inbox = inbox;
    }

    /// Takes the output of a host to where it is to go.
    fn carry(&mut self, place: usize) {
        let from = self.hosts[place].address;
        let mut output = std::mem::take(self.hosts[place].node.output());
        for datagram in &output.datagrams {
            let is_it = |host: &Host| host.address == datagram.remote;
            let Some(to) = self.hosts.iter().position(is_it) else {
                continue;
            };
            let bytes = &output.bytes[datagram.range.clone()];
            if to > place || self.back_ns == 0 {
                self.hosts[to].inbox.push(from, bytes, datagram.ecn);
            } else {
                let mut inbox = Inbox::default();
                inbox.push(from, bytes, datagram.ecn);
                let at = self.now + self.back_ns;
                self.coming_back.push_back((at, to, inbox));
            }
        }
        self.hosts[place].delivered += output.packets.len();
        output.clear();
        *self.hosts[place].node.output() = output;
    }
}

impl Host {
    fn has_input(&self) -> bool {
        !self.inbox.datagrams.is_empty()
    }

    /// A call as a shell makes it: input, then what is due.
    fn call(&mut self, now: u64, clock_ns: f64, input: impl FnOnce(&mut Node)) {
        let allocated = allocations();
        let start = Instant::now();
        input(&mut self.node);
        let of_input = allocations();
        if self.node.poll_timeout().is_some_and(|due| due <= now) {
            self.node.handle_timeout(now);
        }
        self.spent_ns += start.elapsed().as_nanos() as f64 - clock_ns;
        self.allocations += of_input - allocated;
        self.allocations_of_timers += allocations() - of_input;
    }
}

impl Inbox {
    fn push(&mut self, from: SocketAddr, bytes: &[u8], ecn: u8) {
        self.bytes.extend_from_slice(bytes);
        self.datagrams.push((from, bytes.len(), ecn));
    }

    fn append(&mut self, other: &Self) {
        self.bytes.extend_from_slice(&other.bytes);
        self.datagrams.extend_from_slice(&other.datagrams);
    }
}

impl Load {
    /// That pass a relay.
    pub(crate) fn packets(self) -> usize {
        match self {
            Self::Packets(count) => count,
            Self::SuperPacket => SUPER,
        }
    }
}

/// As a kernel hands it over: the lengths of the whole, the checksum partial.
fn super_packet(bytes: usize) -> Vec<u8> {
    let length = HEADERS + SUPER * (bytes - HEADERS);
    let mut packet = vec![0; length];
    let octets = |id| match overlay(id) {
        IpAddr::V4(address) => address.octets(),
        IpAddr::V6(_) => panic!("the mesh's addresses are of IPv4"),
    };
    packet[0] = 0x45;
    packet[2..4].copy_from_slice(&(length as u16).to_be_bytes());
    packet[8..10].copy_from_slice(&[64, 6]);
    packet[12..16].copy_from_slice(&octets(1));
    packet[16..20].copy_from_slice(&octets(2));
    packet[20..24].copy_from_slice(&[0x12, 0x34, 0x14, 0x51]);
    // Header length, ACK, window.
    packet[32..36].copy_from_slice(&[0x50, 0x10, 0xff, 0xff]);
    packet
}

/// The median of what two readings of the clock in a row differ by.
fn clock_ns() -> f64 {
    let mut samples: Vec<u128> = (0..10_001)
        .map(|_| Instant::now().elapsed().as_nanos())
        .collect();
    samples.sort_unstable();
    samples[samples.len() / 2] as f64
}

/// As an agent has it: repair is on, and idle while nothing is lost.
fn class(name: &str) -> Class {
    let rows = [(0.001, 0.0), (0.02, 0.05), (0.1, 0.1), (1.0, 0.2)];
    Class {
        name: name.into(),
        deadline_ms: Some(100),
        retransmit: true,
        repair: rows
            .map(|(loss_ratio, repair_ratio)| RepairRow::flat(loss_ratio, repair_ratio))
            .to_vec(),
        repair_cap_ratio: 0.2,
        disjoint: false,
        in_order: false,
        weight: 1,
        priority_ratio: 0.0,
    }
}

/// As an agent makes them of its classes' code points.
fn classifiers() -> Vec<Classifier> {
    let codes: [(u8, &[u8]); 4] = [
        (0, &[18, 20, 22, 26]),
        (1, &[34, 36, 38, 40, 46]),
        (2, &[8, 10]),
        (3, &[24, 48]),
    ];
    let rule = |class, dscp| Classifier {
        class,
        dscp: Some(dscp),
        ..Classifier::default()
    };
    codes
        .iter()
        .flat_map(|(class, codes)| codes.iter().map(move |code| rule(*class, *code)))
        .collect()
}
