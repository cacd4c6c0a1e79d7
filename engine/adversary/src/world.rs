//! Real nodes, wires between them, and virtual time. Every call into a node goes through here, so that a panic is caught, every packet that comes out is
//! judged, and every datagram passes the adversaries. What they do is in `wire`, `hostile` and `stranger`. Pure.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};

use overlayd_netem::Rng;
use overlayd_node::snapshot::Snapshot;
use overlayd_node::{Datagram, DropReason, Node, Offload, Packet};

use crate::coverage::{Coverage, Outcome};
use crate::hostile::Hostile;
use crate::mesh::{self, CALLER, HOSTILE, IDS};
use crate::oracle::Oracle;
use crate::stranger::Stranger;
use crate::wire::Tap;

pub(crate) const MS: u64 = 1_000_000;
pub(crate) const SECOND: u64 = 1_000_000_000;
/// Datagrams arrive in bundles, as from a socket.
const GRAIN: u64 = 50_000;
/// An unvalidated address gets at most so many times what came from it.
const AMPLIFICATION: usize = 3;
/// Calls into nodes per millisecond that no honest timer needs.
const CALLS_PER_MS: u64 = 20_000;

pub(crate) struct World {
    pub(crate) now: u64,
    pub(crate) rng: Rng,
    seed: u64,
    pub(crate) hosts: Vec<Host>,
    flying: BTreeMap<(u64, u64), Flying>,
    launched: u64,
    pub(crate) oracle: Oracle,
    pub(crate) coverage: Coverage,
    pub(crate) tap: Tap,
    pub(crate) hostile: Hostile,
    pub(crate) strangers: Vec<Stranger>,
    pub(crate) count: Count,
    /// Until when nothing passes between two nodes.
    pub(crate) cuts: Vec<(u16, u16, u64)>,
    /// Drops of nodes that have been replaced.
    drops: Vec<u64>,
    clock_ns: fn() -> u64,
}

#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Count {
    pub(crate) datagrams: u64,
    pub(crate) frames: u64,
    pub(crate) panics: u64,
    /// Timers that made virtual time stand still.
    pub(crate) spins: u64,
    /// Answers to an unvalidated address that were longer than allowed.
    pub(crate) amplified: u64,
    /// Largest arena of a node's output, bytes.
    pub(crate) arena: usize,
}

pub(crate) struct Host {
    pub(crate) id: u16,
    pub(crate) node: Node,
    pub(crate) tables: Snapshot,
    pub(crate) boot: u64,
    /// As others see them.
    pub(crate) addresses: [SocketAddr; 2],
}

struct Flying {
    from: SocketAddr,
    to: SocketAddr,
    ecn: u8,
    bytes: Vec<u8>,
}

/// What a call left.
#[derive(Default)]
struct Left {
    packets: usize,
    datagrams: usize,
    bytes: usize,
    /// To the address in question.
    to_source: usize,
}

impl World {
    pub(crate) fn new(seed: u64, clock_ns: fn() -> u64) -> Self {
        let now = SECOND;
        let host = |id| Host {
            id,
            node: mesh::node(id, 1, seed, now),
            tables: mesh::tables(id),
            boot: 1,
            addresses: [mesh::underlay(id, 0), mesh::underlay(id, 1)],
        };
        let mut world = Self {
            now,
            rng: Rng::new(seed, 0),
            seed,
            hosts: IDS.into_iter().map(host).collect(),
            flying: BTreeMap::new(),
            launched: 0,
            oracle: Oracle::new(HOSTILE),
            coverage: Coverage::default(),
            tap: Tap::default(),
            hostile: Hostile::default(),
            strangers: Stranger::all(seed, now),
            count: Count::default(),
            cuts: Vec::new(),
            drops: vec![0; DropReason::ALL.len()],
            clock_ns,
        };
        for place in 0..world.hosts.len() {
            world.apply(place);
        }
        world
    }

    /// Hands a node its tables; a refusal counts as a panic, for they are sound.
    pub(crate) fn apply(&mut self, place: usize) {
        let (now, tables) = (self.now, self.hosts[place].tables.clone());
        let mut applied = Ok(());
        self.call(place, None, |node| applied = node.apply(now, tables));
        if let Err(error) = applied {
            self.fault(format!("a sound snapshot was refused: {error}"));
        }
    }

    /// Kills a node's process and starts it again.
    pub(crate) fn restart(&mut self, place: usize) {
        self.keep_drops(place);
        let (seed, now) = (self.seed, self.now);
        let host = &mut self.hosts[place];
        host.boot += 1;
        let (id, addresses) = (host.id, host.addresses);
        self.hostile.restarted(id);
        self.release_stolen(addresses);
        let host = &mut self.hosts[place];
        host.node = mesh::node(host.id, host.boot, seed, now);
        self.apply(place);
    }

    /// Hands the next packet of a stream to the TUN of its source.
    pub(crate) fn send(&mut self, from: u16, to: u16) {
        let mut bytes = Vec::new();
        let offload = self.oracle.send(from, to, &mut bytes);
        self.send_bytes(from, &bytes, offload);
    }

    pub(crate) fn send_bytes(&mut self, from: u16, bytes: &[u8], offload: Offload) {
        let now = self.now;
        let packet = Packet { bytes, offload };
        self.call(usize::from(from) - 1, None, |node| {
            node.handle_packets(now, &[packet])
        });
    }

    /// Hands datagrams to a node in one call, as from the wire, and tells what came of them.
    pub(crate) fn inject(
        &mut self,
        (group, what): (&'static str, &'static str),
        place: usize,
        (uplink, remote): (u8, SocketAddr),
        datagrams: &mut [Vec<u8>],
    ) -> Outcome {
        let now = self.now;
        let length: usize = datagrams.iter().map(Vec::len).sum();
        let before: Vec<u64> = self.hosts[place].node.drops().to_vec();
        let started = (self.clock_ns)();
        let mut took = 0;
        let clock = self.clock_ns;
        let ecn = (length & 3) as u8;
        let mut datagrams: Vec<_> = datagrams
            .iter_mut()
            .map(|bytes| Datagram {
                uplink,
                remote,
                ecn,
                bytes,
            })
            .collect();
        let left = self.call(place, Some(remote), |node| {
            node.handle_datagrams(now, &mut datagrams);
            took = clock().saturating_sub(started);
        });
        let outcome = match &left {
            None => Outcome::Panicked,
            Some(left) => {
                let after = self.hosts[place].node.drops();
                let changed = before
                    .iter()
                    .zip(after)
                    .position(|(before, after)| before != after);
                match changed.and_then(|reason| DropReason::ALL.get(reason)) {
                    Some(reason) => Outcome::Dropped(*reason),
                    None if left.packets > 0 => Outcome::Delivered,
                    None if left.datagrams > 0 => Outcome::Sent,
                    None => Outcome::Taken,
                }
            }
        };
        let left = left.unwrap_or_default();
        if self.home(remote).is_none() && left.to_source > AMPLIFICATION * length {
            self.count.amplified += 1;
            self.fault(format!(
                "{length} bytes were answered with {}: {what}",
                left.to_source
            ));
        }
        self.coverage.note(group, what, outcome);
        self.coverage.note_cost(what, left.bytes as u64, took);
        outcome
    }

    /// Lets time pass.
    pub(crate) fn advance(&mut self, duration: u64) {
        let end = self.now + duration;
        let mut calls = 0;
        loop {
            let arrival = self.flying.first_key_value().map(|((at, _), _)| *at);
            let timer = self
                .hosts
                .iter()
                .filter_map(|host| host.node.poll_timeout())
                .min();
            let next = [arrival, timer].into_iter().flatten().min().unwrap_or(end);
            if next > end {
                break;
            }
            calls += 1;
            if calls > CALLS_PER_MS * (1 + duration / MS) {
                self.count.spins += 1;
                self.fault(format!("time does not advance beyond {next}"));
                self.flying.clear();
                break;
            }
            self.now = self.now.max(next);
            if arrival == Some(next) {
                self.arrive();
            } else {
                self.tick();
            }
        }
        self.now = end;
        for place in 0..self.strangers.len() {
            self.tend_stranger(place);
        }
    }

    /// Puts a datagram on a wire. Wires lose, delay and reorder a little by themselves.
    pub(crate) fn launch(
        &mut self,
        delay: u64,
        from: SocketAddr,
        to: SocketAddr,
        ecn: u8,
        bytes: Vec<u8>,
    ) {
        let at = (self.now + delay).next_multiple_of(GRAIN);
        self.launched += 1;
        self.flying.insert(
            (at, self.launched),
            Flying {
                from,
                to,
                ecn,
                bytes,
            },
        );
    }

    /// Place and uplink of the node at an address of the underlay.
    pub(crate) fn home(&self, address: SocketAddr) -> Option<(usize, u8)> {
        self.hosts.iter().enumerate().find_map(|(place, host)| {
            let uplink = host.addresses.iter().position(|own| *own == address)?;
            Some((place, uplink as u8))
        })
    }

    /// All drops of all nodes in all their lives, in the order of `DropReason::ALL`.
    pub(crate) fn drops(&self) -> Vec<u64> {
        let mut drops = self.drops.clone();
        for host in &self.hosts {
            drops
                .iter_mut()
                .zip(host.node.drops())
                .for_each(|(sum, count)| *sum += count);
        }
        drops
    }

    pub(crate) fn fault(&mut self, story: String) {
        let count = self.count;
        if self.oracle.stories.len() < 32 {
            self.oracle.stories.push(format!(
                "{story} (datagram {}, frame {}, at {} ns)",
                count.datagrams, count.frames, self.now
            ));
        }
    }

    fn arrive(&mut self) {
        let Some(((at, _), first)) = self.flying.pop_first() else {
            return;
        };
        let (now, to) = (self.now, first.to);
        let mut arriving = vec![first];
        while let Some(next) = self.flying.first_entry()
            && next.key().0 == at
            && next.get().to == to
        {
            arriving.push(next.remove());
        }
        if let Some(stranger) = self
            .strangers
            .iter()
            .position(|stranger| stranger.address == to)
        {
            for flying in arriving {
                self.strangers[stranger].hear(now, flying.from, &flying.bytes);
            }
            return self.tend_stranger(stranger);
        }
        let Some((place, uplink)) = self.home(to) else {
            return;
        };
        if self.hosts[place].id == HOSTILE {
            for flying in &arriving {
                let from = self
                    .home(flying.from)
                    .map_or(0, |(place, _)| self.hosts[place].id);
                self.hostile.overhear(from, &flying.bytes);
            }
        }
        let mut datagrams: Vec<Datagram<'_>> = arriving
            .iter_mut()
            .map(
                |Flying {
                     from, ecn, bytes, ..
                 }| Datagram {
                    uplink,
                    remote: *from,
                    ecn: *ecn,
                    bytes,
                },
            )
            .collect();
        self.call(place, None, |node| {
            node.handle_datagrams(now, &mut datagrams)
        });
    }

    fn tick(&mut self) {
        let now = self.now;
        for place in 0..self.hosts.len() {
            if self.hosts[place]
                .node
                .poll_timeout()
                .is_some_and(|at| at <= now)
            {
                self.call(place, None, |node| node.handle_timeout(now));
            }
        }
    }

    /// The one door to a node. `None`: it panicked, and has been started anew.
    fn call(
        &mut self,
        place: usize,
        source: Option<SocketAddr>,
        act: impl FnOnce(&mut Node),
    ) -> Option<Left> {
        let node = &mut self.hosts[place].node;
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| act(node))) {
            let words = panic.downcast_ref::<String>().map(String::as_str);
            let words = words
                .or(panic.downcast_ref::<&str>().copied())
                .unwrap_or("?");
            self.count.panics += 1;
            self.fault(format!("node {} panicked: {words}", place + 1));
            self.restart(place);
            return None;
        }
        Some(self.drain(place, source))
    }

    fn drain(&mut self, place: usize, source: Option<SocketAddr>) -> Left {
        let id = self.hosts[place].id;
        let mut output = std::mem::take(self.hosts[place].node.output());
        for event in &output.events {
            if id == HOSTILE {
                self.hostile.learn(event);
            }
        }
        if id != HOSTILE {
            for delivery in &output.packets {
                let (count, seed) = (self.count, self.seed);
                let story = || {
                    format!(
                        "seed {seed}, datagram {}, frame {}",
                        count.datagrams, count.frames
                    )
                };
                self.oracle.judge(
                    id,
                    &output.packet_bytes[delivery.range.clone()],
                    &delivery.offload,
                    story,
                );
            }
        }
        let mut left = Left {
            packets: output.packets.len(),
            datagrams: output.datagrams.len(),
            bytes: output.bytes.len(),
            to_source: 0,
        };
        for datagram in &output.datagrams {
            if source == Some(datagram.remote) {
                left.to_source += datagram.range.len();
            }
            let from = self.hosts[place].addresses[usize::from(datagram.uplink) & 1];
            let bytes = output.bytes[datagram.range.clone()].to_vec();
            self.emit(id, from, datagram.remote, datagram.ecn, bytes);
        }
        self.count.arena = self
            .count
            .arena
            .max(output.bytes.capacity() + output.packet_bytes.capacity());
        output.clear();
        *self.hosts[place].node.output() = output;
        left
    }

    /// A node sends a datagram; the adversaries see it first.
    fn emit(&mut self, id: u16, from: SocketAddr, to: SocketAddr, ecn: u8, mut bytes: Vec<u8>) {
        let target = self.home(to).map(|(place, _)| self.hosts[place].id);
        if id == HOSTILE
            && let Some(target) = target
        {
            self.count.frames += u64::from(self.hostile.pass(&mut self.rng, target, &mut bytes));
        }
        let now = self.now;
        let is_cut = |cut: &(u16, u16, u64)| {
            now < cut.2
                && (Some(cut.0), Some(cut.1)) == (target.min(Some(id)), target.max(Some(id)))
        };
        if self.rng.chance(0.02) || self.cuts.iter().any(is_cut) {
            return;
        }
        let delay = MS + self.rng.below(4 * MS);
        self.tamper_in_flight(delay, from, to, ecn, bytes);
    }

    /// The caller's NAT gives it another port.
    pub(crate) fn rebind(&mut self) {
        let port = 10_000 + self.rng.below(50_000) as u16;
        self.hosts[usize::from(CALLER) - 1].addresses[0].set_port(port);
    }

    fn keep_drops(&mut self, place: usize) {
        let drops = self.hosts[place].node.drops();
        self.drops
            .iter_mut()
            .zip(drops)
            .for_each(|(sum, count)| *sum += count);
    }
}
