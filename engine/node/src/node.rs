//! The node: what a shell may call. The order of a packet's stages is in `pipeline`; state lives in the parts it names. Pure.

use std::net::SocketAddr;

use crate::output::Offload;
use crate::{Counters, Nanos, Output, Snapshot, SnapshotError};

/// What a node is born with. Everything else comes by snapshot.
#[derive(Clone)]
pub struct NodeConfig {
    /// X25519 private key of this node.
    pub private_key: [u8; 32],
    /// How often this node has started: persisted by the shell, larger at each start.
    pub boot: u64,
    /// Source of all randomness (ephemeral keys, indices, jitter). A live shell takes it from the system.
    pub seed: [u8; 32],
    /// Report session keys as events (for a capture tool).
    pub key_log: bool,
}

/// An inner packet or super-packet from the TUN.
pub struct Packet<'a> {
    pub bytes: &'a [u8],
    pub offload: Offload,
}

/// A datagram from a UDP socket. It is opened in place.
pub struct Datagram<'a> {
    pub uplink: u8,
    pub remote: SocketAddr,
    /// The two ECN bits of the outer header.
    pub ecn: u8,
    pub bytes: &'a mut [u8],
}

pub struct Node {
    output: Output,
}

impl Node {
    pub fn new(_config: NodeConfig, _now: Nanos) -> Self {
        Self {
            output: Output::default(),
        }
    }

    /// Replaces all tables at once. Sessions, estimates and liveness of links and paths that stay are kept.
    pub fn apply(&mut self, _now: Nanos, _snapshot: Snapshot) -> Result<(), SnapshotError> {
        Ok(())
    }

    /// Ingress: a run of packets from the TUN.
    pub fn handle_packets(&mut self, _now: Nanos, _packets: &[Packet<'_>]) {}

    /// Transit and egress: a run of datagrams from the underlay.
    pub fn handle_datagrams(&mut self, _now: Nanos, _datagrams: &mut [Datagram<'_>]) {}

    /// Does what is due: probes, retransmissions, liveness, rekeying, paced sends, reports.
    pub fn handle_timeout(&mut self, _now: Nanos) {}

    /// When `handle_timeout` wants to be called next.
    pub fn poll_timeout(&self) -> Option<Nanos> {
        None
    }

    /// What the last call left to do. The shell takes it and clears it.
    pub fn output(&mut self) -> &mut Output {
        &mut self.output
    }

    pub fn counters(&self) -> Counters {
        Counters::default()
    }
}
