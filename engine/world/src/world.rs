//! The world: what it is told to do, and how time passes in both its regions at once. Pure.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use overlayd_netem::{Link, Settings};
use overlayd_node::{Counters, Nanos, Node, NodeConfig, Snapshot};
use rustc_hash::FxHashMap;

use crate::NodeIndex;
use crate::digest::Digest;
use crate::error::WorldError;
use crate::partition;
use crate::region::{Endpoints, Happening, Host, Region, Report};
use crate::stream::{Account, Source, Stream, StreamReport};

/// Whoever runs both regions to `end`: side by side or one after the other makes no difference but in time.
pub trait Runner {
    /// # Errors
    /// Of a region.
    fn run(&mut self, regions: &mut [Box<Region>; 2], end: Nanos) -> Result<(), WorldError>;
}

/// One after the other.
pub struct InTurn;

impl Runner for InTurn {
    fn run(&mut self, regions: &mut [Box<Region>; 2], end: Nanos) -> Result<(), WorldError> {
        regions
            .iter_mut()
            .try_for_each(|region| region.run_until(end))
    }
}

pub struct World {
    seed: u64,
    now: Nanos,
    regions: [Box<Region>; 2],
    /// Which region each host is in.
    half: Vec<usize>,
    /// So long both may run without hearing of each other. `None`: hosts or wires have changed.
    lookahead: Option<Nanos>,
    /// The least delay of each wire.
    wires: BTreeMap<(SocketAddr, SocketAddr), Nanos>,
    streams: Vec<Account>,
}

impl World {
    pub fn new(seed: u64) -> Self {
        Self {
            seed,
            now: 0,
            regions: Default::default(),
            half: Vec::new(),
            lookahead: None,
            wires: BTreeMap::new(),
            streams: Vec::new(),
        }
    }

    pub fn now(&self) -> Nanos {
        self.now
    }

    /// Adds a host with one UDP socket per uplink, and starts its node. `config.seed` is replaced by one drawn from the world's.
    pub fn add_node(
        &mut self,
        mut config: NodeConfig,
        uplinks: Vec<SocketAddr>,
    ) -> Result<NodeIndex, WorldError> {
        let index = self.half.len();
        let mut endpoints = Endpoints::clone(&self.regions[0].endpoints);
        for (uplink, endpoint) in uplinks.iter().enumerate() {
            if endpoints.insert(*endpoint, (index, uplink as u8)).is_some() {
                return Err(WorldError::EndpointTaken(*endpoint));
            }
        }
        let endpoints = Arc::new(endpoints);
        config.seed = self.seed_of(index, config.boot);
        let host = Host {
            node: Some(Node::new(config.clone(), self.now)),
            config,
            uplinks,
            due: None,
            wires: FxHashMap::default(),
            sources: Vec::new(),
            digest: Digest::new(),
            caused: 0,
            spins: 0,
        };
        for region in &mut self.regions {
            region.endpoints = Arc::clone(&endpoints);
            region.hosts.push(None);
        }
        self.regions[0].hosts[index] = Some(Box::new(host));
        self.half.push(0);
        self.lookahead = None;
        Ok(index)
    }

    /// Lays a wire from one endpoint to another, in this direction only, or changes its settings. Without a wire datagrams vanish. What starts at no
    /// host's endpoint is no wire.
    pub fn set_wire(
        &mut self,
        from: SocketAddr,
        to: SocketAddr,
        settings: Settings,
    ) -> Result<(), WorldError> {
        let now = self.now;
        let seed = self
            .seed
            .wrapping_mul(0x9e37_79b9_7f4a_7c15)
            .wrapping_add(self.wires.len() as u64);
        let wires = &mut self.owner(from, to)?.wires;
        if let Some(link) = wires.get_mut(&(from, to)) {
            link.set(settings, now).map_err(WorldError::Settings)?;
        } else {
            let link = Link::new(settings, seed).map_err(WorldError::Settings)?;
            wires.insert((from, to), link);
        }
        self.wires.insert((from, to), settings.least_delay_ns());
        self.lookahead = None;
        Ok(())
    }

    /// What a wire has done so far.
    pub fn wire_counters(
        &mut self,
        from: SocketAddr,
        to: SocketAddr,
    ) -> Result<&overlayd_netem::Counters, WorldError> {
        let wires = &self.owner(from, to)?.wires;
        wires
            .get(&(from, to))
            .map(Link::counters)
            .ok_or(WorldError::NoSuchWire(from, to))
    }

    /// Hands a node its tables.
    pub fn apply(&mut self, index: NodeIndex, snapshot: Snapshot) -> Result<(), WorldError> {
        let now = self.now;
        self.live(index)?
            .apply(now, snapshot)
            .map_err(WorldError::Snapshot)?;
        self.regions[self.half[index]].drain(index)?;
        self.exchange();
        Ok(())
    }

    /// The host dies: nothing is sent, received or remembered.
    pub fn stop(&mut self, index: NodeIndex) -> Result<(), WorldError> {
        self.live(index)?;
        let host = self.host(index)?;
        host.node = None;
        host.due = None;
        Ok(())
    }

    /// The host comes back with an empty engine of the next boot.
    pub fn start(&mut self, index: NodeIndex) -> Result<(), WorldError> {
        let now = self.now;
        let boot = self.host(index)?.config.boot + 1;
        let seed = self.seed_of(index, boot);
        let host = self.host(index)?;
        host.config.boot = boot;
        host.config.seed = seed;
        host.node = Some(Node::new(host.config.clone(), now));
        host.due = None;
        Ok(())
    }

    /// Starts a stream; returns its index.
    pub fn add_stream(&mut self, stream: Stream) -> Result<usize, WorldError> {
        self.host(stream.to)?;
        let (host, start) = (stream.from, stream.start_ns);
        let index = self.streams.len();
        let source = Source {
            stream: stream.clone(),
            sent: 0,
        };
        self.host(host)?.sources.push((index, source));
        let burst = Happening::Burst {
            host,
            stream: index,
        };
        self.regions[self.half[host]].schedule(host, start, burst);
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

    pub fn counters(&mut self, index: NodeIndex) -> Result<Counters, WorldError> {
        Ok(self.live(index)?.counters())
    }

    /// A hash of all deliveries and events so far, in hex.
    pub fn digest(&mut self) -> String {
        let mut digest = Digest::new();
        for index in 0..self.half.len() {
            if let Ok(host) = self.host(index) {
                digest.join(&host.digest);
            }
        }
        digest.hex()
    }

    /// Lets time pass up to and including `until`; returns what nodes reported meanwhile.
    pub fn run_until(
        &mut self,
        until: Nanos,
        runner: &mut impl Runner,
    ) -> Result<Vec<Report>, WorldError> {
        let lookahead = match self.lookahead {
            Some(lookahead) => lookahead,
            None => self.divide(),
        };
        let end = until.saturating_add(1);
        while let Some(first) = self.next_at().filter(|at| *at < end) {
            let end = first.saturating_add(lookahead.max(1)).min(end);
            runner.run(&mut self.regions, end)?;
            self.exchange();
        }
        self.now = until;
        for region in &mut self.regions {
            region.clock.advance(until);
        }
        self.account();
        let mut reports: Vec<Report> = Vec::new();
        for region in &mut self.regions {
            reports.append(&mut region.reports);
        }
        reports.sort_by_key(|report| (report.at, report.node));
        Ok(reports)
    }

    fn next_at(&self) -> Option<Nanos> {
        let [one, other] = &self.regions;
        let both = [one.clock.next_at(), other.clock.next_at()];
        both.into_iter().flatten().min()
    }

    /// Hands over what was sent from one region to the other.
    fn exchange(&mut self) {
        let [one, other] = &mut self.regions;
        for (at, cause, arrival) in one.outbox.drain(..) {
            other.receive(at, cause, arrival);
        }
        for (at, cause, arrival) in other.outbox.drain(..) {
            one.receive(at, cause, arrival);
        }
    }

    /// Divides the hosts between the regions anew, and what is to happen to them.
    fn divide(&mut self) -> Nanos {
        let endpoints = &self.regions[0].endpoints;
        let host = |endpoint| endpoints.get(endpoint).map(|(host, _)| *host);
        let wires: Vec<_> = self
            .wires
            .iter()
            .filter_map(|((from, to), delay)| Some((host(from)?, host(to)?, *delay)))
            .collect();
        let half = partition::halves(self.half.len(), &wires);
        let mut happenings = Vec::new();
        for region in &mut self.regions {
            happenings.append(&mut region.clock.drain());
        }
        for (index, (before, after)) in self.half.iter().zip(&half).enumerate() {
            let host = self.regions[*before].hosts[index].take();
            self.regions[*after].hosts[index] = host;
        }
        for (at, cause, what) in happenings {
            let region = &mut self.regions[half[what.host()]];
            region.clock.schedule(at, cause, what);
        }
        self.half = half;
        let lookahead = partition::lookahead(&self.half, &wires);
        self.lookahead = Some(lookahead);
        lookahead
    }

    /// Enters what was sent and what came into the streams' accounts.
    fn account(&mut self) {
        let Self {
            regions, streams, ..
        } = self;
        for region in regions.iter() {
            let hosts = region.hosts.iter().flatten();
            for (index, source) in hosts.flat_map(|host| &host.sources) {
                if let Some(account) = streams.get_mut(*index) {
                    account.sent(source.sent);
                }
            }
        }
        for (at, host, came) in regions.iter_mut().flat_map(|region| region.came.drain(..)) {
            match came {
                Some((stream, number)) => {
                    if let Some(account) = streams.get_mut(stream as usize) {
                        account.arrived(at, host, number);
                    }
                }
                None => streams.iter_mut().for_each(Account::count_altered),
            }
        }
    }

    fn host(&mut self, index: NodeIndex) -> Result<&mut Host, WorldError> {
        let half = self.half.get(index).copied();
        half.and_then(|half| self.regions[half].host(index))
            .ok_or(WorldError::NoSuchNode(index))
    }

    /// The host that a wire starts from.
    fn owner(&mut self, from: SocketAddr, to: SocketAddr) -> Result<&mut Host, WorldError> {
        let owner = self.regions[0].endpoints.get(&from).copied();
        let (index, _) = owner.ok_or(WorldError::NoSuchWire(from, to))?;
        self.host(index)
    }

    fn live(&mut self, index: NodeIndex) -> Result<&mut Node, WorldError> {
        let host = self.host(index)?;
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
