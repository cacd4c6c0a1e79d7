//! The words that sessions and their owner speak. Pure.

use std::net::SocketAddr;
use std::ops::Range;

use crate::snapshot::Suite;

/// Between whom a session is: the two ends of one link, or ingress and egress.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scope {
    /// By our number of the link.
    Hop(u16),
    /// By the peer's node id.
    EndToEnd(u16),
}

impl Scope {
    #[inline]
    pub fn layer(self) -> Layer {
        match self {
            Self::Hop(_) => Layer::Hop,
            Self::EndToEnd(_) => Layer::EndToEnd,
        }
    }
}

/// Where sealed bytes were found, so that one layer's datagram is never taken for the other's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layer {
    /// A datagram of the underlay.
    Hop,
    /// Behind the route of a routed frame.
    EndToEnd,
}

/// The way that a handshake message came, or is to go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Via {
    Underlay {
        uplink: u8,
        remote: SocketAddr,
    },
    /// In routed frames of class 0; `peer` is the other end. On arrival: the source that the route names.
    Route {
        peer: u16,
    },
}

impl Via {
    pub fn layer(self) -> Layer {
        match self {
            Self::Underlay { .. } => Layer::Hop,
            Self::Route { .. } => Layer::EndToEnd,
        }
    }

    /// The other end's address; none for what is routed.
    pub fn remote(self) -> Option<SocketAddr> {
        match self {
            Self::Underlay { remote, .. } => Some(remote),
            Self::Route { .. } => None,
        }
    }
}

/// What sessions need of a snapshot.
#[derive(Clone)]
pub struct Settings {
    /// This node.
    pub node: u16,
    pub network: u32,
    pub suite: Suite,
    pub psk: [u8; 32],
    pub peers: Vec<PeerSettings>,
    pub links: Vec<LinkSettings>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerSettings {
    pub id: u16,
    /// X25519.
    pub public_key: [u8; 32],
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LinkSettings {
    pub id: u16,
    pub peer: u16,
    pub uplink: u8,
    /// None: the peer has to call first.
    pub remote: Option<SocketAddr>,
    /// Where others see the peer: to be called too.
    pub reflexive: Option<SocketAddr>,
    pub lane: u8,
    /// Tells apart the links that have had this id: the frames of each are numbered from the start.
    pub numbering: u16,
}

/// What is left to do for the owner.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// A handshake message.
    Send { via: Via, bytes: Vec<u8> },
    /// Sealing for this scope works from now on, with new keys.
    Ready(Ready),
    /// Nothing can be sealed for this scope any more.
    Down(Scope),
    /// A key came into use; only when asked for.
    KeyLog(KeyRecord),
}

/// A new session can be sent on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ready {
    pub scope: Scope,
    pub peer: u16,
    /// There was none before: the first since start, or since `Down`. Otherwise it is a rekeying that nobody needs to notice.
    pub first: bool,
    /// The peer, or its link, was made anew since the session before: what it knew of sequence numbers is gone, and what was under way with it.
    pub restarted: bool,
    /// The way on which the handshake was made; the round trip proves the address.
    pub via: Via,
    /// The UDP port that the peer sees of us, where it told.
    pub observed_port: Option<u16>,
    /// We began the handshake: the peer cannot send on the session until it gets a first datagram on it. Send one (a probe) at once.
    pub confirm: bool,
}

/// One direction's key, for a capture tool.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyRecord {
    pub scope: Scope,
    pub peer: u16,
    /// As in the envelope of the datagrams that the key opens.
    pub receiver_index: u32,
    pub suite: Suite,
    pub key: [u8; 32],
}

/// A datagram that was opened in place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Opened {
    pub scope: Scope,
    pub peer: u16,
    /// Receiver index of the session.
    pub receiver: u32,
    pub counter: u32,
    /// In the bytes that were handed in.
    pub plaintext: Range<usize>,
}
