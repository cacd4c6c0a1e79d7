//! The world: nodes, wires, streams, and the loop that moves them. Pure.

use std::fmt;
use std::net::SocketAddr;

use overlayd_netem::{Link, Settings, SettingsError};
use overlayd_node::{Counters, Datagram, Nanos, Node, NodeConfig, Packet, Snapshot, SnapshotError};
use rustc_hash::FxHashMap;

use crate::clock::Clock;
use crate::digest::Digest;
use crate::packet;
use crate::stream::{Account, Stream, StreamReport};

/// Index of a node in the order of adding.
pub type NodeIndex = usize;

/// How often a node may ask to be called again without time moving on before the world calls it a fault.
const SPIN_MAX: u32 = 10_000;

/// Something a node told its agent, as JSON.
#[derive(Clone, Debug)]
pub struct Report {
    pub at: Nanos,
    pub node: NodeIndex,
    pub event: Vec<u8>,
}

/// What the world was asked to do and cannot.
#[derive(Debug)]
pub enum WorldError {
    NoSuchNode(NodeIndex),
    NodeStopped(NodeIndex),
    NoSuchStream(usize),
    EndpointTaken(SocketAddr),
    NoSuchWire(SocketAddr, SocketAddr),
    Settings(SettingsError),
    Snapshot(SnapshotError),
    /// The node at this index asks to be called again and again without time moving on.
    Spinning(NodeIndex, Nanos),
    Encoding(serde_json::Error),
}

enum Happening {
    Arrival {
        from: SocketAddr,
        to: SocketAddr,
        ecn: u8,
        bytes: Vec<u8>,
    },
    Timeout {
        node: NodeIndex,
        due: Nanos,
    },
    Burst {
        stream: usize,
    },
}

struct Host {
    config: NodeConfig,
    uplinks: Vec<SocketAddr>,
    /// `None`: stopped.
    node: Option<Node>,
    due: Option<Nanos>,
    spins: u32,
}

pub struct World {
    seed: u64,
    clock: Clock<Happening>,
    hosts: Vec<Host>,
    endpoints: FxHashMap<SocketAddr, (NodeIndex, u8)>,
    wires: FxHashMap<(SocketAddr, SocketAddr), Link>,
    streams: Vec<Account>,
    reports: Vec<Report>,
    digest: Digest,
    /// Buffers of datagrams that have arrived, to be used again.
    spare: Vec<Vec<u8>>,
}

impl World {
    pub fn new(seed: u64) -> Self {
        Self {
            seed,
            clock: Clock::new(),
            hosts: Vec::new(),
            endpoints: FxHashMap::default(),
            wires: FxHashMap::default(),
            streams: Vec::new(),
            reports: Vec::new(),
            digest: Digest::new(),
            spare: Vec::new(),
        }
    }

    pub fn now(&self) -> Nanos {
        self.clock.now()
    }

    /// Adds a host with one UDP socket per uplink, and starts its node. `config.seed` is replaced by one drawn from the world's.
    pub fn add_node(
        &mut self,
        mut config: NodeConfig,
        uplinks: Vec<SocketAddr>,
    ) -> Result<NodeIndex, WorldError> {
        let index = self.hosts.len();
        if let Some(taken) = uplinks
            .iter()
            .find(|uplink| self.endpoints.contains_key(uplink))
        {
            return Err(WorldError::EndpointTaken(*taken));
        }
        for (uplink, endpoint) in uplinks.iter().enumerate() {
            self.endpoints.insert(*endpoint, (index, uplink as u8));
        }
        config.seed = self.seed_of(index, config.boot);
        let node = Some(Node::new(config.clone(), self.now()));
        self.hosts.push(Host {
            config,
            uplinks,
            node,
            due: None,
            spins: 0,
        });
        Ok(index)
    }

    /// Lays a wire from one endpoint to another, in this direction only, or changes its settings. Without a wire datagrams vanish.
    pub fn set_wire(
        &mut self,
        from: SocketAddr,
        to: SocketAddr,
        settings: Settings,
    ) -> Result<(), WorldError> {
        let now = self.now();
        if let Some(link) = self.wires.get_mut(&(from, to)) {
            return link.set(settings, now).map_err(WorldError::Settings);
        }
        let seed = self
            .seed
            .wrapping_mul(0x9e37_79b9_7f4a_7c15)
            .wrapping_add(self.wires.len() as u64);
        let link = Link::new(settings, seed).map_err(WorldError::Settings)?;
        self.wires.insert((from, to), link);
        Ok(())
    }

    /// What a wire has done so far.
    pub fn wire_counters(
        &self,
        from: SocketAddr,
        to: SocketAddr,
    ) -> Result<&overlayd_netem::Counters, WorldError> {
        self.wires
            .get(&(from, to))
            .map(Link::counters)
            .ok_or(WorldError::NoSuchWire(from, to))
    }

    /// Hands a node its tables.
    pub fn apply(&mut self, index: NodeIndex, snapshot: Snapshot) -> Result<(), WorldError> {
        let now = self.now();
        self.live(index)?
            .apply(now, snapshot)
            .map_err(WorldError::Snapshot)?;
        self.drain(index)
    }

    /// The host dies: nothing is sent, received or remembered.
    pub fn stop(&mut self, index: NodeIndex) -> Result<(), WorldError> {
        self.live(index)?;
        self.hosts[index].node = None;
        self.hosts[index].due = None;
        Ok(())
    }

    /// The host comes back with an empty engine of the next boot.
    pub fn start(&mut self, index: NodeIndex) -> Result<(), WorldError> {
        let now = self.now();
        let boot = self
            .hosts
            .get(index)
            .ok_or(WorldError::NoSuchNode(index))?
            .config
            .boot
            + 1;
        let seed = self.seed_of(index, boot);
        let host = &mut self.hosts[index];
        host.config.boot = boot;
        host.config.seed = seed;
        host.node = Some(Node::new(host.config.clone(), now));
        host.due = None;
        Ok(())
    }

    /// Starts a stream; returns its index.
    pub fn add_stream(&mut self, stream: Stream) -> Result<usize, WorldError> {
        for index in [stream.from, stream.to] {
            self.hosts.get(index).ok_or(WorldError::NoSuchNode(index))?;
        }
        let index = self.streams.len();
        self.clock
            .schedule(stream.start_ns, Happening::Burst { stream: index });
        self.streams.push(Account::new(stream));
        Ok(index)
    }

    /// The account of a stream's packets sent in `from_ns..until_ns`.
    pub fn stream_report(
        &self,
        index: usize,
        from_ns: Nanos,
        until_ns: Nanos,
    ) -> Result<StreamReport, WorldError> {
        Ok(self
            .streams
            .get(index)
            .ok_or(WorldError::NoSuchStream(index))?
            .report(from_ns, until_ns))
    }

    pub fn counters(&self, index: NodeIndex) -> Result<Counters, WorldError> {
        let host = self.hosts.get(index).ok_or(WorldError::NoSuchNode(index))?;
        Ok(host
            .node
            .as_ref()
            .ok_or(WorldError::NodeStopped(index))?
            .counters())
    }

    /// A hash of all deliveries and events so far, in hex.
    pub fn digest(&self) -> String {
        self.digest.hex()
    }

    /// Lets time pass up to `until`; returns what nodes reported meanwhile.
    pub fn run_until(&mut self, until: Nanos) -> Result<Vec<Report>, WorldError> {
        while let Some(happening) = self.clock.next(until) {
            match happening {
                Happening::Arrival {
                    from,
                    to,
                    ecn,
                    bytes,
                } => self.arrive(from, to, ecn, bytes)?,
                Happening::Timeout { node, due } => self.wake(node, due)?,
                Happening::Burst { stream } => self.burst(stream)?,
            }
        }
        Ok(std::mem::take(&mut self.reports))
    }

    fn arrive(
        &mut self,
        from: SocketAddr,
        to: SocketAddr,
        ecn: u8,
        mut bytes: Vec<u8>,
    ) -> Result<(), WorldError> {
        let now = self.now();
        if let Some((index, uplink)) = self.endpoints.get(&to).copied()
            && let Some(node) = &mut self.hosts[index].node
        {
            node.handle_datagrams(
                now,
                &mut [Datagram {
                    uplink,
                    remote: from,
                    ecn,
                    bytes: &mut bytes,
                }],
            );
            self.drain(index)?;
        }
        self.spare.push(bytes);
        Ok(())
    }

    fn wake(&mut self, index: NodeIndex, due: Nanos) -> Result<(), WorldError> {
        let now = self.now();
        let host = &mut self.hosts[index];
        if host.due != Some(due) {
            return Ok(());
        }
        host.due = None;
        let Some(node) = &mut host.node else {
            return Ok(());
        };
        if node.poll_timeout().is_some_and(|due| due > now) {
            return self.schedule_wake(index); // it has been put off since
        }
        node.handle_timeout(now);
        self.drain(index)
    }

    fn burst(&mut self, index: usize) -> Result<(), WorldError> {
        let now = self.now();
        let (numbers, next) = self.streams[index].next_burst();
        let stream = self.streams[index].stream.clone();
        if let Some(next) = next {
            self.clock
                .schedule(next, Happening::Burst { stream: index });
        }
        let Some(node) = &mut self.hosts[stream.from].node else {
            return Ok(());
        };
        let mut bytes = self.spare.pop().unwrap_or_default();
        for number in numbers {
            bytes.clear();
            packet::write(
                &mut bytes,
                stream.source,
                stream.destination,
                stream.dscp,
                index as u32,
                number,
                stream.payload_bytes,
            );
            node.handle_packets(
                now,
                &[Packet {
                    bytes: &bytes,
                    offload: overlayd_node::Offload::default(),
                }],
            );
        }
        self.spare.push(bytes);
        self.drain(stream.from)
    }

    /// Carries away what a node's last calls left to do.
    fn drain(&mut self, index: NodeIndex) -> Result<(), WorldError> {
        let now = self.now();
        let Host {
            node: Some(node),
            uplinks,
            ..
        } = &mut self.hosts[index]
        else {
            return Ok(());
        };
        let output = node.output();
        for datagram in &output.datagrams {
            let bytes = &output.bytes[datagram.range.clone()];
            let Some(from) = uplinks.get(usize::from(datagram.uplink)).copied() else {
                continue;
            };
            let Some(link) = self.wires.get_mut(&(from, datagram.remote)) else {
                continue;
            };
            let outer_bytes = if from.is_ipv4() { 28 } else { 48 };
            for copy in link
                .offer(now, (outer_bytes + bytes.len()) as u32)
                .departures()
            {
                let mut buffer = self.spare.pop().unwrap_or_default();
                buffer.clear();
                buffer.extend_from_slice(bytes);
                if let Some(bit) = copy.flipped_bit
                    && let Some(byte) = (bit as usize / 8)
                        .checked_sub(outer_bytes)
                        .and_then(|at| buffer.get_mut(at))
                {
                    *byte ^= 0x80 >> (bit % 8);
                }
                let arrival = Happening::Arrival {
                    from,
                    to: datagram.remote,
                    ecn: datagram.ecn,
                    bytes: buffer,
                };
                self.clock.schedule(copy.at_ns, arrival);
            }
        }
        for delivery in &output.packets {
            let bytes = &output.packet_bytes[delivery.range.clone()];
            self.digest.record(1, &[now, index as u64], bytes);
            match packet::read(bytes) {
                Some(Ok((stream, number))) => {
                    if let Some(account) = self.streams.get_mut(stream as usize) {
                        account.arrived(now, index, number);
                    }
                }
                Some(Err(())) => self.streams.iter_mut().for_each(Account::count_altered),
                None => {}
            }
        }
        for event in output.events.drain(..) {
            let event = serde_json::to_vec(&event).map_err(WorldError::Encoding)?;
            self.digest.record(2, &[now, index as u64], &event);
            self.reports.push(Report {
                at: now,
                node: index,
                event,
            });
        }
        output.clear();
        self.schedule_wake(index)
    }

    fn schedule_wake(&mut self, index: NodeIndex) -> Result<(), WorldError> {
        let now = self.now();
        let host = &mut self.hosts[index];
        let Some(due) = host.node.as_ref().and_then(Node::poll_timeout) else {
            return Ok(());
        };
        host.spins = if due <= now { host.spins + 1 } else { 0 };
        if host.spins > SPIN_MAX {
            return Err(WorldError::Spinning(index, now));
        }
        let due = due.max(now);
        if host.due.is_none_or(|scheduled| due < scheduled) {
            host.due = Some(due);
            self.clock
                .schedule(due, Happening::Timeout { node: index, due });
        }
        Ok(())
    }

    fn live(&mut self, index: NodeIndex) -> Result<&mut Node, WorldError> {
        let host = self
            .hosts
            .get_mut(index)
            .ok_or(WorldError::NoSuchNode(index))?;
        host.node.as_mut().ok_or(WorldError::NodeStopped(index))
    }

    fn seed_of(&self, index: NodeIndex, boot: u64) -> [u8; 32] {
        let mut seed = [0; 32];
        seed[..8].copy_from_slice(&self.seed.to_be_bytes());
        seed[8..16].copy_from_slice(&(index as u64).to_be_bytes());
        seed[16..24].copy_from_slice(&boot.to_be_bytes());
        seed
    }
}

impl fmt::Display for WorldError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoSuchNode(index) => write!(f, "there is no node {index} in this world"),
            Self::NodeStopped(index) => write!(f, "node {index} is stopped; start it first"),
            Self::NoSuchStream(index) => write!(f, "there is no stream {index} in this world"),
            Self::EndpointTaken(endpoint) => {
                write!(f, "{endpoint} already belongs to another node")
            }
            Self::NoSuchWire(from, to) => write!(f, "there is no wire from {from} to {to}"),
            Self::Settings(error) => error.fmt(f),
            Self::Snapshot(error) => write!(f, "{}: {}", error.field, error.problem),
            Self::Spinning(index, at) => write!(
                f,
                "node {index} asks to be called again and again at {at} ns without time moving on"
            ),
            Self::Encoding(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for WorldError {}
