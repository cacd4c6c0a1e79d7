//! How something leaves: over which link, in which class, along which route. Pure.

use overlayd_wire::{Budget, RouteRepr};

/// One hop's worth of sending.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Leg {
    /// Place of the link.
    pub(crate) link: usize,
    pub(crate) class: u8,
    pub(crate) budget: Budget,
    /// For the outer header.
    pub(crate) ecn: u8,
}

/// How packets to one destination leave now.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Way {
    pub(crate) leg: Leg,
    /// Place of the destination.
    pub(crate) peer: usize,
    /// `None`: direct, the hop seal is the end-to-end seal too.
    pub(crate) route: Option<RouteRepr>,
    /// Bytes that a body may have.
    pub(crate) room: usize,
    /// Place of the set whose path in use is taken; `None`: direct, or not by the choice of a set.
    pub(crate) set: Option<usize>,
    /// Hash of the packet's flow, where the link is paced.
    pub(crate) flow: u32,
    /// Copies are kept for a second path.
    pub(crate) guarded: bool,
}
