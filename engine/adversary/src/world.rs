//! Real nodes, wires between them, and virtual time. The calls into a node are in `door`; what the adversaries do on the wires and at the nodes is in
//! `wire`, `hostile` and `knock`. Pure.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use overlayd_netem::Rng;
use overlayd_node::Datagram;
use overlayd_wire::Kind;

use crate::coverage::{Coverage, REASONS};
use crate::host::Host;
use crate::hostile::Hostile;
use crate::mesh::{CALLER, HOSTILE, IDS};
use crate::oracle::Oracle;
use crate::sabotage::Sabotage;
use crate::stranger::Stranger;
use crate::tap::Tap;
use crate::{MS, Plan, SECOND};

/// Datagrams arrive in bundles, as from a socket.
const GRAIN: u64 = 50_000;
/// Calls into nodes per millisecond that no honest timer needs.
const CALLS_PER_MS: u64 = 20_000;

pub(crate) struct World {
    pub(crate) now: u64,
    pub(crate) rng: Rng,
    pub(crate) seed: u64,
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
    pub(crate) drops: [u64; REASONS],
    pub(crate) clock_ns: fn() -> u64,
    /// Breaks the nodes, for a test of what the harness sees.
    pub(crate) sabotage: Option<Sabotage>,
    /// Reused.
    pub(crate) packet: Vec<u8>,
}

#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Count {
    /// From the wire, changed or invented.
    pub(crate) datagrams: u64,
    /// From the wire, as a node had sent it, but again, elsewhere or from elsewhere.
    pub(crate) replays: u64,
    /// Of those who are not enrolled, or not as they say.
    pub(crate) knocks: u64,
    /// Of the hostile peer: invented, and changed.
    pub(crate) frames: u64,
    pub(crate) frames_changed: u64,
    /// Sealed datagrams that were changed on the wire and still taken as authentic.
    pub(crate) forged: u64,
    /// Into nodes.
    pub(crate) calls: u64,
    pub(crate) panics: u64,
    /// Timers that made virtual time stand still.
    pub(crate) spins: u64,
    /// Answers to an unvalidated address that were longer than allowed.
    pub(crate) amplified: u64,
    /// Largest arena of a node's output, bytes.
    pub(crate) arena: usize,
    /// Calls after which a node held more of the heap than its tables allow.
    pub(crate) beyond_bound: u64,
    /// Bytes that nodes had taken and not given back when they were dropped.
    pub(crate) left_behind: u64,
}

struct Flying {
    from: SocketAddr,
    to: SocketAddr,
    ecn: u8,
    bytes: Vec<u8>,
}

impl World {
    pub(crate) fn new(plan: &Plan) -> Self {
        let (now, seed) = (SECOND, plan.seed);
        let mut world = Self {
            now,
            rng: Rng::new(seed, 0),
            seed,
            hosts: IDS.map(|id| Host::new(id, seed, now)).into(),
            flying: BTreeMap::new(),
            launched: 0,
            oracle: Oracle::new(HOSTILE),
            coverage: Coverage::default(),
            tap: Tap::default(),
            hostile: Hostile::default(),
            strangers: Stranger::all(seed, now),
            count: Count::default(),
            cuts: Vec::new(),
            drops: [0; REASONS],
            clock_ns: plan.clock_ns,
            sabotage: plan.sabotage,
            packet: Vec::new(),
        };
        for place in 0..world.hosts.len() {
            world.apply(place);
        }
        world
    }

    /// Lets time pass.
    pub(crate) fn advance(&mut self, duration: u64) {
        let end = self.now + duration;
        let mut calls = 0;
        loop {
            let arrival = self.flying.first_key_value().map(|((at, _), _)| *at);
            let timer = self.hosts.iter().filter_map(|host| host.due).min();
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
        let is_sealed = |flying: &mut Flying| Kind::of(&flying.bytes) == Ok(Kind::Sealed);
        let (mut received, mut datagrams) = (Vec::new(), Vec::new());
        for Flying {
            from, ecn, bytes, ..
        } in arriving.extract_if(.., is_sealed)
        {
            let start = received.len();
            received.extend_from_slice(&bytes);
            datagrams.push(Datagram {
                uplink,
                remote: from,
                ecn,
                range: start..received.len(),
            });
        }
        if !datagrams.is_empty() {
            self.call(place, None, |node| {
                node.handle_datagrams(now, &mut received, &datagrams);
                node.output().keep(&received);
            });
        }
        for flying in &mut arriving {
            self.greet(place, (uplink, flying.from), &mut flying.bytes);
        }
    }

    fn tick(&mut self) {
        let now = self.now;
        for place in 0..self.hosts.len() {
            if self.hosts[place].due.is_some_and(|at| at <= now) {
                self.call(place, None, |node| node.handle_timeout(now));
            }
        }
    }

    /// A node sends a datagram; the adversaries see it first.
    pub(crate) fn emit(
        &mut self,
        id: u16,
        from: SocketAddr,
        to: SocketAddr,
        ecn: u8,
        bytes: &[u8],
    ) {
        let target = self.home(to).map(|(place, _)| self.hosts[place].id);
        let mut bytes = bytes.to_vec();
        if id == HOSTILE
            && let Some(target) = target
            && self.hostile.pass(&mut self.rng, target, &mut bytes)
        {
            self.count.frames += 1;
            self.count.frames_changed += 1;
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
}
