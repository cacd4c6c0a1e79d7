//! Some hosts of a world, what leads away from them, and the loop that moves them. Pure.
//!
//! What is sent to a host of another region waits in `outbox`; it arrives after the end of the time that this region may run by itself.

use std::net::SocketAddr;
use std::sync::Arc;

use overlayd_netem::Link;
use overlayd_node::{Datagram, Nanos, Node, NodeConfig, Offload, Packet};
use rustc_hash::FxHashMap;

use crate::NodeIndex;
use crate::clock::{Cause, Clock};
use crate::digest::Digest;
use crate::error::WorldError;
use crate::packet;
use crate::stream::Source;

/// How often a node may ask to be called again without time moving on before the world calls it a fault.
const SPIN_MAX: u32 = 10_000;

/// Something a node told its agent, as JSON.
#[derive(Clone, Debug)]
pub struct Report {
    pub at: Nanos,
    pub node: NodeIndex,
    pub event: Vec<u8>,
}

/// Which host has an endpoint, and as which of its uplinks.
pub(crate) type Endpoints = FxHashMap<SocketAddr, (NodeIndex, u8)>;

pub(crate) enum Happening {
    Arrival(Arrival),
    Timeout { host: NodeIndex, due: Nanos },
    Burst { host: NodeIndex, stream: usize },
}

impl Happening {
    /// The host that it happens to.
    pub(crate) fn host(&self) -> NodeIndex {
        match self {
            Self::Arrival(arrival) => arrival.host,
            Self::Timeout { host, .. } | Self::Burst { host, .. } => *host,
        }
    }
}

pub(crate) struct Arrival {
    host: NodeIndex,
    uplink: u8,
    remote: SocketAddr,
    ecn: u8,
    bytes: Vec<u8>,
}

pub(crate) struct Host {
    pub(crate) config: NodeConfig,
    pub(crate) uplinks: Vec<SocketAddr>,
    /// `None`: stopped.
    pub(crate) node: Option<Node>,
    pub(crate) due: Option<Nanos>,
    /// Wires from here, by the two endpoints.
    pub(crate) wires: FxHashMap<(SocketAddr, SocketAddr), Link>,
    /// Streams from here, by their index.
    pub(crate) sources: Vec<(usize, Source)>,
    /// Of all deliveries and events here.
    pub(crate) digest: Digest,
    /// Happenings caused so far.
    pub(crate) caused: u64,
    pub(crate) spins: u32,
}

/// A stream's packet came to a host; `None`: an altered one.
pub(crate) type Came = (Nanos, NodeIndex, Option<(u32, u64)>);

/// Half of a world. To be run, and nothing else, while it is away from there.
pub struct Region {
    pub(crate) clock: Clock<Happening>,
    /// By index; `None`: of another region.
    pub(crate) hosts: Vec<Option<Box<Host>>>,
    pub(crate) endpoints: Arc<Endpoints>,
    pub(crate) outbox: Vec<(Nanos, Cause, Arrival)>,
    pub(crate) reports: Vec<Report>,
    pub(crate) came: Vec<Came>,
    /// Buffers of datagrams that have arrived, to be used again.
    spare: Vec<Vec<u8>>,
}

impl Region {
    /// Without hosts.
    pub fn new() -> Self {
        Self {
            clock: Clock::new(0),
            hosts: Vec::new(),
            endpoints: Arc::default(),
            outbox: Vec::new(),
            reports: Vec::new(),
            came: Vec::new(),
            spare: Vec::new(),
        }
    }

    /// Whether something happens before `end`.
    pub fn is_busy(&self, end: Nanos) -> bool {
        self.clock.next_at().is_some_and(|at| at < end)
    }

    pub(crate) fn host(&mut self, index: NodeIndex) -> Option<&mut Host> {
        self.hosts.get_mut(index)?.as_deref_mut()
    }

    /// Lets everything happen that is to happen before `end`.
    ///
    /// # Errors
    /// A node is at fault.
    pub fn run_until(&mut self, end: Nanos) -> Result<(), WorldError> {
        while let Some(happening) = self.clock.next(end) {
            match happening {
                Happening::Arrival(arrival) => self.arrive(arrival)?,
                Happening::Timeout { host, due } => self.wake(host, due)?,
                Happening::Burst { host, stream } => self.burst(host, stream)?,
            }
        }
        Ok(())
    }

    pub(crate) fn schedule(&mut self, index: NodeIndex, at: Nanos, what: Happening) {
        if let Some(host) = self.hosts[index].as_deref_mut() {
            let cause = host.cause(index);
            self.clock.schedule(at, cause, what);
        }
    }

    /// Takes what was sent in the other region, which must not have come already.
    pub(crate) fn receive(&mut self, at: Nanos, cause: Cause, arrival: Arrival) {
        debug_assert!(at >= self.clock.now(), "the regions ran too long alone");
        self.clock.schedule(at, cause, Happening::Arrival(arrival));
    }

    fn arrive(&mut self, arrival: Arrival) -> Result<(), WorldError> {
        let now = self.clock.now();
        let Arrival {
            host,
            uplink,
            remote,
            ecn,
            mut bytes,
        } = arrival;
        if let Some(node) = self.host(host).and_then(|host| host.node.as_mut()) {
            let datagram = Datagram {
                uplink,
                remote,
                ecn,
                range: 0..bytes.len(),
            };
            node.handle_datagrams(now, &mut bytes, &[datagram]);
            node.output().keep(&bytes);
            self.drain(host)?;
        }
        self.spare.push(bytes);
        Ok(())
    }

    fn wake(&mut self, index: NodeIndex, due: Nanos) -> Result<(), WorldError> {
        let now = self.clock.now();
        let Some(host) = self.host(index).filter(|host| host.due == Some(due)) else {
            return Ok(());
        };
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

    fn burst(&mut self, index: NodeIndex, stream: usize) -> Result<(), WorldError> {
        let now = self.clock.now();
        let mut bytes = self.spare.pop().unwrap_or_default();
        let Some(host) = self.host(index) else {
            return Ok(());
        };
        let Some((_, source)) = host.sources.iter_mut().find(|(of, _)| *of == stream) else {
            return Ok(());
        };
        let (numbers, next) = source.next_burst();
        if let Some(node) = &mut host.node {
            for number in numbers {
                bytes.clear();
                let Source { stream: of, .. } = source;
                packet::write(
                    &mut bytes,
                    of.source,
                    of.destination,
                    of.dscp,
                    stream as u32,
                    number,
                    of.payload_bytes,
                );
                let offload = Offload::default();
                node.handle_packets(
                    now,
                    &[Packet {
                        bytes: &bytes,
                        offload,
                    }],
                );
            }
        }
        self.spare.push(bytes);
        if let Some(next) = next {
            let host = index;
            self.schedule(index, next, Happening::Burst { host, stream });
        }
        self.drain(index)
    }

    /// Carries away what a node's last calls left to do.
    pub(crate) fn drain(&mut self, index: NodeIndex) -> Result<(), WorldError> {
        self.send(index);
        let now = self.clock.now();
        let Some(Host {
            node: Some(node),
            digest,
            ..
        }) = self.hosts[index].as_deref_mut()
        else {
            return Ok(());
        };
        let output = node.output();
        for delivery in &output.packets {
            // Kept in one piece.
            let bytes = output.packet(delivery, &[]).next().unwrap_or_default();
            digest.record(1, &[now, index as u64], bytes);
            if let Some(read) = packet::read(bytes) {
                self.came.push((now, index, read.ok()));
            }
        }
        for event in output.events.drain(..) {
            let event = serde_json::to_vec(&event).map_err(WorldError::Encoding)?;
            digest.record(2, &[now, index as u64], &event);
            let (at, node) = (now, index);
            self.reports.push(Report { at, node, event });
        }
        output.clear();
        self.schedule_wake(index)
    }

    /// Puts a node's datagrams on their wires.
    fn send(&mut self, index: NodeIndex) {
        let now = self.clock.now();
        let Some(mut host) = self.hosts[index].take() else {
            return;
        };
        let Host {
            node,
            uplinks,
            wires,
            caused,
            ..
        } = &mut *host;
        let output = node.as_mut().map(Node::output);
        for datagram in output.iter().flat_map(|output| &output.datagrams) {
            let Some(bytes) = output
                .as_ref()
                .map(|output| &output.bytes[datagram.range.clone()])
            else {
                break;
            };
            let Some(from) = uplinks.get(usize::from(datagram.uplink)).copied() else {
                continue;
            };
            let Some(link) = wires.get_mut(&(from, datagram.remote)) else {
                continue;
            };
            let outer_bytes = if from.is_ipv4() { 28 } else { 48 };
            let verdict = link.offer(now, (outer_bytes + bytes.len()) as u32);
            let Some((to, uplink)) = self.endpoints.get(&datagram.remote).copied() else {
                continue;
            };
            for copy in verdict.departures() {
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
                let arrival = Arrival {
                    host: to,
                    uplink,
                    remote: from,
                    ecn: datagram.ecn,
                    bytes: buffer,
                };
                let cause = Cause {
                    host: index as u32,
                    count: *caused,
                };
                *caused += 1;
                if to == index || self.hosts[to].is_some() {
                    self.clock
                        .schedule(copy.at_ns, cause, Happening::Arrival(arrival));
                } else {
                    self.outbox.push((copy.at_ns, cause, arrival));
                }
            }
        }
        self.hosts[index] = Some(host);
    }

    fn schedule_wake(&mut self, index: NodeIndex) -> Result<(), WorldError> {
        let now = self.clock.now();
        let Some(host) = self.hosts[index].as_deref_mut() else {
            return Ok(());
        };
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
            self.schedule(index, due, Happening::Timeout { host: index, due });
        }
        Ok(())
    }
}

impl Default for Region {
    fn default() -> Self {
        Self::new()
    }
}

impl Host {
    fn cause(&mut self, index: NodeIndex) -> Cause {
        self.caused += 1;
        Cause {
            host: index as u32,
            count: self.caused - 1,
        }
    }
}
