//! The one door to the nodes. Every call goes through here, so that a panic is caught, what the call does to the heap is counted, every packet that comes
//! out is judged, every datagram that comes out passes the adversaries, and what became of a datagram that went in is known. Pure.

use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};

use overlayd_node::{Datagram, DropReason, Node, Offload, Packet};

use crate::coverage::{Group, Outcome, REASONS};
use crate::heap::{self, Holding};
use crate::mesh::{self, HOSTILE};
use crate::world::World;

/// An unvalidated address gets at most so many times what came from it.
const AMPLIFICATION: usize = 3;

/// What a call left.
#[derive(Default)]
pub(crate) struct Left {
    packets: usize,
    datagrams: usize,
    bytes: usize,
    /// To the address in question.
    to_source: usize,
}

impl World {
    /// Hands a node its tables; a refusal counts as a panic, for they are sound.
    pub(crate) fn apply(&mut self, place: usize) {
        let now = self.now;
        let tables = self.hosts[place].tables.clone();
        // Until the call is over, the tables of before are still there.
        let bound = mesh::memory_bound(&tables);
        self.hosts[place].bound = self.hosts[place].bound.max(bound);
        let mut applied = Ok(());
        // What the node keeps of its tables is its own: that copy is made within the call.
        self.call(place, None, |node| {
            applied = node.apply(now, tables.clone())
        });
        self.hosts[place].bound = bound;
        if let Err(error) = applied {
            self.count.panics += 1;
            self.fault(format!("a sound snapshot was refused: {error}"));
        }
    }

    /// Kills a node's process and starts it again.
    pub(crate) fn restart(&mut self, place: usize) {
        let (seed, now) = (self.seed, self.now);
        let host = &mut self.hosts[place];
        for (sum, count) in self.drops.iter_mut().zip(host.node.drops()) {
            *sum += count;
        }
        host.boot += 1;
        let (id, boot) = (host.id, host.boot);
        let (node, made) = heap::within(|| mesh::node(id, boot, seed, now));
        let old = std::mem::replace(&mut host.node, node);
        let ((), freed) = heap::within(|| drop(old));
        host.holding.note(freed);
        // All that the node had taken is back now.
        self.count.left_behind += host.holding.now.unsigned_abs();
        host.holding = Holding {
            peak: host.holding.peak,
            ..Holding::default()
        };
        host.holding.note(made);
        let addresses = host.addresses;
        self.hostile.restarted(id);
        self.release_stolen(addresses);
        self.apply(place);
    }

    /// Hands the next packet of a stream to the TUN of its source.
    pub(crate) fn send(&mut self, from: u16, to: u16) {
        let mut bytes = std::mem::take(&mut self.packet);
        let offload = self.oracle.send(from, to, &mut bytes);
        self.send_bytes(from, &bytes, offload);
        self.packet = bytes;
    }

    pub(crate) fn send_bytes(&mut self, from: u16, bytes: &[u8], offload: Offload) {
        let now = self.now;
        let packet = Packet { bytes, offload };
        self.call(usize::from(from) - 1, None, |node| {
            node.handle_packets(now, &[packet])
        });
    }

    /// An attack: hands datagrams to a node in one call, as from the wire, and tells what came of them.
    pub(crate) fn inject(
        &mut self,
        (group, what): (Group, &'static str),
        place: usize,
        (uplink, remote): (u8, SocketAddr),
        datagrams: &mut [Vec<u8>],
    ) -> Outcome {
        let length: usize = datagrams.iter().map(Vec::len).sum();
        let ecn = (length & 3) as u8;
        let greeting = match datagrams {
            [one] => one.first().map(|first| first >> 4),
            _ => None,
        };
        let mut received = Vec::new();
        let like = |range| Datagram {
            uplink,
            remote,
            ecn,
            range,
        };
        let datagrams: Vec<_> = datagrams
            .iter()
            .map(|bytes| {
                let start = received.len();
                received.extend_from_slice(bytes);
                like(start..received.len())
            })
            .collect();
        let before = self.drops_of(place);
        let (outcome, left, took) = self.observe(place, remote, &mut received, &datagrams);
        if outcome != Outcome::Panicked {
            let after = self.hosts[place].node.drops();
            self.coverage.note_drops(group.by(), &before, after);
        }
        if self.home(remote).is_none() && left.to_source > AMPLIFICATION * length {
            self.count.amplified += 1;
            self.fault(format!(
                "{length} bytes were answered with {}: {what}",
                left.to_source
            ));
        }
        if let Some(kind) = greeting {
            self.coverage.note_handshake("hop", kind, outcome);
        }
        self.coverage.note(group, what, outcome);
        self.coverage.note_cost(what, left.bytes as u64, took);
        outcome
    }

    /// A handshake message of a node, or of somebody who plays one, reaches its receiver.
    pub(crate) fn greet(
        &mut self,
        place: usize,
        (uplink, remote): (u8, SocketAddr),
        bytes: &mut [u8],
    ) {
        let kind = bytes.first().map_or(0, |first| first >> 4);
        let datagram = Datagram {
            uplink,
            remote,
            ecn: 0,
            range: 0..bytes.len(),
        };
        let (outcome, ..) = self.observe(place, remote, bytes, &[datagram]);
        self.coverage.note_handshake("hop", kind, outcome);
    }

    /// Hands over datagrams; what became of them, and the time that it took.
    fn observe(
        &mut self,
        place: usize,
        remote: SocketAddr,
        received: &mut [u8],
        datagrams: &[Datagram],
    ) -> (Outcome, Left, u64) {
        let (now, clock) = (self.now, self.clock_ns);
        let before = self.drops_of(place);
        let mut took = 0;
        let left = self.call(place, Some(remote), |node| {
            let started = clock();
            node.handle_datagrams(now, received, datagrams);
            took = clock().saturating_sub(started);
            node.output().keep(received);
        });
        let Some(left) = left else {
            return (Outcome::Panicked, Left::default(), took);
        };
        let after = self.hosts[place].node.drops();
        let changed = before
            .iter()
            .zip(after)
            .position(|(before, after)| before != after);
        let outcome = match changed.and_then(|reason| DropReason::ALL.get(reason)) {
            Some(reason) => Outcome::Dropped(*reason),
            None if left.packets > 0 => Outcome::Delivered,
            None if left.datagrams > 0 => Outcome::Sent,
            None => Outcome::Taken,
        };
        (outcome, left, took)
    }

    fn drops_of(&self, place: usize) -> [u64; REASONS] {
        let drops = self.hosts[place].node.drops().try_into();
        drops.unwrap_or([0; REASONS])
    }

    /// All drops of all nodes in all their lives, in the order of `DropReason::ALL`.
    pub(crate) fn drops(&self) -> [u64; REASONS] {
        let mut drops = self.drops;
        for host in &self.hosts {
            for (sum, count) in drops.iter_mut().zip(host.node.drops()) {
                *sum += count;
            }
        }
        drops
    }

    /// What all nodes together have of the heap.
    pub(crate) fn held(&self) -> i64 {
        self.hosts.iter().map(|host| host.holding.now).sum()
    }

    /// `None`: the node panicked, and has been started anew.
    pub(crate) fn call(
        &mut self,
        place: usize,
        source: Option<SocketAddr>,
        act: impl FnOnce(&mut Node),
    ) -> Option<Left> {
        let (sabotage, calls) = (self.sabotage, self.count.calls);
        self.count.calls += 1;
        let host = &mut self.hosts[place];
        let (id, node) = (host.id, &mut host.node);
        let (done, did) = heap::within(|| {
            catch_unwind(AssertUnwindSafe(|| {
                act(node);
                if let Some(sabotage) = sabotage {
                    sabotage.act(calls, id, source, node);
                }
            }))
        });
        let reached = host.holding.note(did);
        if reached > host.bound && host.bound > 0 {
            self.count.beyond_bound += 1;
        }
        if let Err(panic) = done {
            let words = panic.downcast_ref::<String>().map(String::as_str);
            let words = words
                .or(panic.downcast_ref::<&str>().copied())
                .unwrap_or("?");
            self.count.panics += 1;
            self.fault(format!("node {id} panicked: {words}"));
            self.restart(place);
            return None;
        }
        Some(self.drain(place, source))
    }

    fn drain(&mut self, place: usize, source: Option<SocketAddr>) -> Left {
        let host = &mut self.hosts[place];
        host.due = host.node.poll_timeout();
        let id = host.id;
        let mut output = std::mem::take(host.node.output());
        if id == HOSTILE {
            for event in &output.events {
                self.hostile.learn(event);
            }
        } else {
            let (count, seed) = (self.count, self.seed);
            for delivery in &output.packets {
                let story = || {
                    format!(
                        "seed {seed}, datagram {}, frame {}",
                        count.datagrams, count.frames
                    )
                };
                let bytes = output.packet(delivery, &[]).next().unwrap_or_default();
                self.oracle.judge(id, bytes, &delivery.offload, story);
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
            let bytes = &output.bytes[datagram.range.clone()];
            self.emit(id, from, datagram.remote, datagram.ecn, bytes);
        }
        let arena = output.bytes.capacity() + output.packet_bytes.capacity();
        self.count.arena = self.count.arena.max(arena);
        let ((), did) = heap::within(|| output.clear());
        let host = &mut self.hosts[place];
        host.holding.note(did);
        *host.node.output() = output;
        left
    }
}
