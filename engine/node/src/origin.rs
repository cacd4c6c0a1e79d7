//! Where what was received comes from: a datagram's frame, a frame's body, a body's packet. Pure.

use std::net::SocketAddr;

use overlayd_wire::{Budget, RouteRepr};

use crate::marks::Marks;

/// Marks the streams that are sessions; the others are a link and a class.
pub(crate) const SESSION: u64 = 1 << 63;

/// What is known of a datagram besides its frame.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Arrival {
    /// Place of the link.
    pub(crate) link: usize,
    /// Place of the peer at its other end.
    pub(crate) peer: usize,
    pub(crate) uplink: u8,
    pub(crate) remote: SocketAddr,
    /// Bytes of the datagram.
    pub(crate) size: usize,
    /// Of the outer header.
    pub(crate) ecn: u8,
    /// Where the frame lies in what was received. `None`: it was restored, and lies elsewhere.
    pub(crate) frame_at: Option<usize>,
}

/// Whom a body comes from, as its seal proves, and how.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Source {
    /// Place of the peer.
    pub(crate) peer: usize,
    /// `None`: direct.
    pub(crate) route: Option<RouteRepr>,
    pub(crate) class: u8,
    /// Where the body lies in what was received. `None`: elsewhere.
    pub(crate) body_at: Option<usize>,
    /// `None`: flows of its class are left as they come.
    pub(crate) place: Option<FramePlace>,
}

/// Where a packet comes from, and what happened to it on the way.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Origin {
    pub(crate) peer: u16,
    pub(crate) marks: Marks,
    /// Where the packet lies in what was received. `None`: it has to be copied, as what it lies in is used again.
    pub(crate) at: Option<usize>,
    /// `None`: it is not to be put in order, or has been.
    pub(crate) place: Option<FramePlace>,
}

/// Where a body's frame stands, and how long what is before it may be waited for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FramePlace {
    pub(crate) frame: Number,
    pub(crate) class: u8,
    pub(crate) budget: Budget,
}

/// Number of a frame, among those of the same stream: of a link and class, or of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Number {
    pub(crate) stream: u64,
    pub(crate) number: u64,
}
