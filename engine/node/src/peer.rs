//! A peer as this node knows it: the links to it, the end-to-end state, packets that wait for a session. State and its small rules. Pure.

use std::collections::VecDeque;

use overlayd_wire::RouteRepr;

use crate::link::Link;
use crate::order::Patience;
use crate::packet::Offload;
use crate::reassemble::Pieces;
use crate::snapshot::CLASSES_MAX;
use crate::{Nanos, Packet};

/// Packets that wait for a session to one destination.
const WAITING_MAX: usize = 64;
/// And how long.
const PATIENCE: Nanos = 1_000_000_000;
/// An equally preferred link has to be this much faster to be changed to.
const FASTER: f64 = 0.8;

pub(crate) struct Peer {
    pub(crate) id: u16,
    /// Places of the links to it.
    pub(crate) links: Vec<usize>,
    /// The one in use; `None`: none is ready.
    pub(crate) best: Option<usize>,
    /// The best link lives.
    pub(crate) up: bool,
    /// End-to-end datagrams can be sealed.
    pub(crate) ready: bool,
    /// How its last routed frame came: backwards, that answers a peer to which there is no route.
    pub(crate) came: Option<RouteRepr>,
    /// When a sender of packets to it was told last that they are too big.
    pub(crate) advised_at: Nanos,
    /// End-to-end datagrams of traffic to and from it, on all paths. Probes are not among them: most try paths that are not in use.
    pub(crate) sent: u32,
    pub(crate) received: u32,
    pub(crate) pieces: Pieces,
    /// How long gaps in its flows are waited for, by class.
    pub(crate) patience: [Patience; CLASSES_MAX],
    /// Counts routed handshakes, to try the paths in turn.
    pub(crate) turn: u8,
    pub(crate) next_piece: u16,
    pub(crate) next_run: u8,
    waiting: VecDeque<Waiting>,
}

pub(crate) struct Waiting {
    since: Nanos,
    pub(crate) offload: Offload,
    pub(crate) bytes: Vec<u8>,
}

impl Peer {
    pub(crate) fn new(id: u16) -> Self {
        Self {
            id,
            links: Vec::new(),
            best: None,
            up: false,
            ready: false,
            came: None,
            advised_at: 0,
            sent: 0,
            received: 0,
            pieces: Pieces::default(),
            patience: [Patience::default(); CLASSES_MAX],
            turn: 0,
            next_piece: 0,
            next_run: 0,
            waiting: VecDeque::new(),
        }
    }

    pub(crate) fn way_back(&self) -> Option<RouteRepr> {
        self.came.and_then(|route| route.reversed())
    }

    /// Keeps a packet until a session is ready, or until the returned time. `None`: there is no room.
    pub(crate) fn wait(&mut self, now: Nanos, packet: &Packet<'_>) -> Option<Nanos> {
        if self.waiting.len() >= WAITING_MAX {
            return None;
        }
        self.waiting.push_back(Waiting {
            since: now,
            offload: packet.offload,
            bytes: packet.bytes.to_vec(),
        });
        Some(now + PATIENCE)
    }

    /// Hands out all that waited, in order.
    pub(crate) fn take_waiting(&mut self) -> VecDeque<Waiting> {
        std::mem::take(&mut self.waiting)
    }

    /// Puts back what was taken and could not be sent.
    pub(crate) fn wait_again(&mut self, packet: Waiting) {
        self.waiting.push_back(packet);
    }

    pub(crate) fn has_waiting(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// Forgets packets that waited too long; how many.
    pub(crate) fn expire(&mut self, now: Nanos) -> usize {
        let before = self.waiting.len();
        while self
            .waiting
            .front()
            .is_some_and(|packet| packet.since + PATIENCE <= now)
        {
            self.waiting.pop_front();
        }
        before - self.waiting.len()
    }

    pub(crate) fn expires_at(&self) -> Option<Nanos> {
        self.waiting.front().map(|packet| packet.since + PATIENCE)
    }

    /// Chooses among the links: living before ready, then by preference, then the faster one.
    pub(crate) fn choose_link(&mut self, links: &[Option<Box<Link>>]) {
        let link = |place: usize| links.get(place).and_then(Option::as_deref);
        let rank = |place: usize| {
            let link = link(place).filter(|link| link.ready)?;
            let rtt = link.liveness.rtt().unwrap_or(Nanos::MAX);
            let discount = if self.best == Some(place) {
                FASTER
            } else {
                1.0
            };
            let rtt = (rtt as f64 * discount) as Nanos;
            Some((!link.liveness.is_up(), link.preference, rtt, place))
        };
        let best = self.links.iter().filter_map(|place| rank(*place)).min();
        self.best = best.map(|(.., place)| place);
        self.up = best.is_some_and(|(down, ..)| !down);
    }

    /// The peer started anew: its counts begin again.
    pub(crate) fn restarted(&mut self) {
        self.received = 0;
        self.pieces = Pieces::default();
    }
}
