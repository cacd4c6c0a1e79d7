//! The complete tables that an agent pushes down, as they arrive: the schema and its validation.
//!
//! `overlayd/protocol/engine.py` has the same schema; JSON is the encoding. A snapshot is checked whole before any of it is used: a bad one
//! changes nothing. Tables for the packet path are built from it elsewhere. Pure.

use std::net::{IpAddr, SocketAddr};

use serde::{Deserialize, Serialize};

/// Everything that a node's engine needs to forward, numbered by `generation` (increasing per agent; a smaller one is refused).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Snapshot {
    pub schema: u32,
    pub generation: u64,
    /// The controller's route generation that the routes were made from (0: none yet).
    pub route_generation: u64,
    pub network: Network,
    pub node: Local,
    pub peers: Vec<Peer>,
    pub links: Vec<Link>,
    pub classes: Vec<Class>,
    /// First match wins; no match: the first class.
    pub classifiers: Vec<Classifier>,
    pub routes: Vec<Route>,
    /// How many nodes the network had revoked when the peers were chosen. While there are peers it never falls: tables from before a revocation
    /// would let the node in again.
    #[serde(default)]
    pub revocation_epoch: u64,
    /// What this node sends of probes and answers at most, in bytes of IP packets per second; `None`: a million.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub probe_budget: Option<u64>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Network {
    pub id: u32,
    pub suite: Suite,
    /// 32 bytes, hex: mixed into every handshake of the network.
    pub psk: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Suite {
    Aes256Gcm,
    Chacha20Poly1305,
}

/// This node.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Local {
    pub id: u16,
    pub name: String,
    /// Assigned to the interface; each is covered by one of `prefixes`.
    pub addresses: Vec<IpAddr>,
    /// Overlay addresses (as /32 and /128) and announced prefixes that live here: the only inner destinations that are delivered here,
    /// and the only inner sources that may leave from here.
    pub prefixes: Vec<Prefix>,
    /// Whether frames of others may pass through.
    pub relay: bool,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Peer {
    pub id: u16,
    pub name: String,
    /// X25519 public key, hex.
    pub public_key: String,
    pub prefixes: Vec<Prefix>,
    pub relay: bool,
    /// How many shards it has, at the UDP ports from that of an endpoint on.
    #[serde(default = "one")]
    pub lanes: u8,
}

/// "10.0.0.0/8" or "fd00::/64".
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Prefix {
    pub address: IpAddr,
    pub length: u8,
}

fn one() -> u8 {
    1
}

fn one_share() -> u16 {
    1
}

/// A way to a neighbour: (local uplink, remote endpoint, lane). One direction is the peer's own affair.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Link {
    /// Stable as long as (peer, uplink, remote, lane) is the same; names the link in events.
    pub id: u16,
    pub peer: u16,
    /// Index of the local uplink (UDP socket) in the order of the engine's configuration.
    pub uplink: u8,
    /// None: the peer has to call us (it sits behind a NAT); learned from its handshake.
    pub remote: Option<SocketAddr>,
    /// Where other nodes see the peer's uplink, behind its NAT: called as well, and no part of what makes this link itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reflexive: Option<SocketAddr>,
    /// Below 16: tells apart the uplinks of a node that cannot be called. [`Snapshot::of_shard`] adds the shard, times 16.
    pub lane: u8,
    /// Largest IP packet the underlay is known or configured to carry; probing may lower or raise what is used, up to this.
    pub mtu: u16,
    /// Configured rate of the uplink in bit/s as pacing budget; None: estimated.
    pub rate_bps: Option<u64>,
    /// Smaller is tried first among the living links to a peer.
    pub preference: u8,
}

/// A class of service. Its index in `Snapshot::classes` is the class number on the wire (0–15).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Class {
    pub name: String,
    /// Delay that repair may add in total, ms; None: no deadline.
    pub deadline_ms: Option<u32>,
    /// Whether lost frames are asked for again.
    pub retransmit: bool,
    /// How much to repair, in parts: of those whose `rounds` and `window` the link reaches the one with the most rounds, then with the largest
    /// window; in it the first row whose `loss_ratio` is ≥ the estimate, or the last. Rows ascend in (rounds, window, loss_ratio); empty: no FEC.
    pub repair: Vec<RepairRow>,
    /// Upper bound of repair symbols per source symbol, whatever the table says.
    pub repair_cap_ratio: f64,
    /// Whether packets leave on a node-disjoint back-up too while the path in use is sick.
    #[serde(default)]
    pub disjoint: bool,
    /// Whether the egress gives flows of TCP and QUIC their order back where repair came late.
    #[serde(default)]
    pub in_order: bool,
    /// 1 to 1000: how much of a link that is not enough for all a class gets, beside the other classes that want more than there is.
    #[serde(default = "one_share")]
    pub weight: u16,
    /// Share of the link's rate within which the class goes ahead of all others, 0..1; beyond it, it has its weight.
    #[serde(default)]
    pub priority_ratio: f64,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RepairRow {
    /// How often a frame can be sent within the deadline.
    #[serde(default = "one")]
    pub rounds: u8,
    /// Frames that a repair symbol sums up.
    #[serde(default = "one")]
    pub window: u8,
    pub loss_ratio: f64,
    /// Repair symbols per source symbol.
    pub repair_ratio: f64,
    /// Coded symbols per frame that is sent again: where no further round fits, where one more does, and so on; the last entry holds beyond.
    #[serde(default)]
    pub again: Vec<f64>,
}

impl RepairRow {
    /// A row that holds for any link and flow, and adds nothing to what is sent again.
    pub fn flat(loss_ratio: f64, repair_ratio: f64) -> Self {
        Self {
            rounds: 1,
            window: 1,
            loss_ratio,
            repair_ratio,
            again: Vec::new(),
        }
    }
}

/// All given fields must match.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Classifier {
    pub class: u8,
    pub dscp: Option<u8>,
    /// IP protocol number.
    pub protocol: Option<u8>,
    /// Source or destination port.
    /// Of either end, as `prefix`.
    pub port: Option<u16>,
    pub prefix: Option<Prefix>,
    #[serde(default)]
    pub source: Option<Prefix>,
    #[serde(default)]
    pub source_port: Option<u16>,
    #[serde(default)]
    pub destination: Option<Prefix>,
    #[serde(default)]
    pub destination_port: Option<u16>,
}

/// Paths to one destination for one class: the primary, then back-ups in order. A path is the list of nodes after this one: relays, then
/// the destination.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Route {
    pub destination: u16,
    pub class: u8,
    pub paths: Vec<Vec<u16>>,
}

/// The schema this engine speaks.
pub const SCHEMA: u32 = 1;

/// Classes that a frame's header can name.
pub const CLASSES_MAX: usize = 16;

/// Shards that a node may have.
pub const SHARDS_MAX: u8 = 16;

/// Relays that a path may have.
pub const RELAYS_MAX: usize = 4;

/// Why a snapshot was refused. Nothing of it was applied; the last good one stays in force.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SnapshotError {
    /// Where, as a path: `links[3].peer`.
    pub field: String,
    /// What was wrong and what would be right.
    pub problem: String,
}

impl Snapshot {
    /// Reads and checks a snapshot whole.
    ///
    /// # Errors
    /// The first field that is missing, unknown, of another type or wrong in its meaning.
    pub fn from_json(text: &str) -> Result<Self, SnapshotError> {
        let mut reader = serde_json::Deserializer::from_str(text);
        let snapshot: Self = serde_path_to_error::deserialize(&mut reader).map_err(|error| {
            let field = error.path().to_string();
            SnapshotError {
                field,
                problem: error.inner().to_string(),
            }
        })?;
        reader.end().map_err(|error| SnapshotError {
            field: ".".into(),
            problem: error.to_string(),
        })?;
        snapshot.validate()?;
        Ok(snapshot)
    }
}

impl std::fmt::Display for SnapshotError {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "{}: {}", self.field, self.problem)
    }
}

impl std::error::Error for SnapshotError {}

impl Prefix {
    /// First and last address, as numbers of the family's width.
    pub(crate) fn bounds(&self) -> (u128, u128) {
        let (address, width) = match self.address {
            IpAddr::V4(address) => (u128::from(address.to_bits()), 32),
            IpAddr::V6(address) => (address.to_bits(), 128),
        };
        let host_bits = width - u32::from(self.length);
        let host = if host_bits == 128 {
            u128::MAX
        } else {
            (1 << host_bits) - 1
        };
        (address & !host, address | host)
    }

    pub fn contains(&self, address: IpAddr) -> bool {
        let (first, last) = self.bounds();
        match address {
            IpAddr::V4(address) => {
                self.address.is_ipv4() && (first..=last).contains(&address.to_bits().into())
            }
            IpAddr::V6(address) => {
                self.address.is_ipv6() && (first..=last).contains(&address.to_bits())
            }
        }
    }
}

/// 32 bytes written as 64 hex digits.
pub(crate) fn key_from_hex(text: &str) -> Option<[u8; 32]> {
    let digits = text.as_bytes();
    if digits.len() != 64 {
        return None;
    }
    let mut key = [0; 32];
    for (byte, pair) in key.iter_mut().zip(digits.chunks_exact(2)) {
        let high = char::from(pair[0]).to_digit(16)?;
        let low = char::from(pair[1]).to_digit(16)?;
        *byte = (high << 4 | low) as u8;
    }
    Some(key)
}

impl TryFrom<String> for Prefix {
    type Error = String;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let wrong = || format!("{text:?} is not a prefix such as 10.0.0.0/8 or fd00::/64");
        let (address, length) = text.split_once('/').ok_or_else(wrong)?;
        let address: IpAddr = address.parse().map_err(|_| wrong())?;
        let length: u8 = length.parse().map_err(|_| wrong())?;
        let most = if address.is_ipv4() { 32 } else { 128 };
        if length > most {
            return Err(wrong());
        }
        Ok(Self { address, length })
    }
}

impl From<Prefix> for String {
    fn from(prefix: Prefix) -> Self {
        format!("{}/{}", prefix.address, prefix.length)
    }
}
