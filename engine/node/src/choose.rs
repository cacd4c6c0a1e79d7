//! Ingress, second stage: the path in use, the link to its first hop, and how long a body may be on it.
//!
//! Which paths live and when to change is `path`'s; this keeps the sets of paths in an order that is found quickly. Pure.

use std::collections::BTreeSet;

use overlayd_wire::{Budget, Piece, Protected, Repair, RouteRepr, envelope};

use crate::classify::Flow;
use crate::dues::Dues;
use crate::node::Packet;
use crate::path::{Path, PathSet};
use crate::session::Scope;
use crate::{DropReason, Nanos, Node};

/// A repair frame is longer than the frames that it covers, by this at most.
const REPAIR_EXCESS: usize = Repair::HEADER_LEN + 3 - Protected::LEN;
const NONE: u32 = u32::MAX;

/// All sets of paths of this node.
#[derive(Debug, Default)]
pub(crate) struct Routes {
    /// Ascending by (destination, class).
    pub(crate) sets: Vec<PathSet>,
    /// When each of `sets` wants to be tended.
    pub(crate) dues: Dues,
    /// By place of peer × number of classes + class: place in `sets`.
    places: Vec<u32>,
    classes: usize,
}

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

impl Node {
    /// `None`: the packet waits for a session, or goes to shard 0. There is nothing for it to wait for where another shard may have a way.
    pub(crate) fn choose(
        &mut self,
        now: Nanos,
        flow: &Flow,
        packet: &Packet<'_>,
    ) -> Result<Option<Way>, DropReason> {
        let mut way = self.way(now, flow);
        if let Some(way) = &mut way
            && let Some(Some(link)) = self.links.get(way.leg.link)
            && link.exit.pacer.rate_bps().is_some()
        {
            way.flow = crate::classify::flow_hash(packet.bytes);
        }
        if way.is_none() && self.shard > 0 {
            self.tally.packets_in -= 1; // counted where it is carried
            self.output.hand_over(packet);
        } else if way.is_none() {
            let until = self.peers[flow.peer].wait(now, packet);
            let until = until.ok_or(DropReason::NoSession)?;
            self.waiting_until = Some(self.waiting_until.map_or(until, |first| first.min(until)));
        }
        Ok(way)
    }

    pub(crate) fn way(&mut self, now: Nanos, flow: &Flow) -> Option<Way> {
        let found = self.routes.find(flow.peer, flow.class);
        let mut beside = None;
        let (first_hop, route, path_bytes) = match found {
            Some(place) => {
                let set = &mut self.routes.sets[place];
                if set.used(now) {
                    self.wake_route(now, place);
                }
                let set = &self.routes.sets[place];
                if set.is_stranded() && self.shard > 0 {
                    return None;
                }
                self.tally.stranded += u64::from(set.is_stranded());
                let path = set.active();
                if set.copies.is_some() && self.peers[flow.peer].ready {
                    beside = set.beside()[0].map(|_| place);
                }
                // Copies are told apart by their end-to-end seal.
                let sealed = beside.is_some() || !path.is_direct();
                let route = sealed.then_some(path.route);
                (path.via, route, path.datagram_bytes())
            }
            None if self.shard > 0 => return None,
            None => (flow.peer, None, usize::MAX),
        };
        let place = self.peers[first_hop].best?;
        if route.is_some() && !self.peers[flow.peer].ready {
            self.sessions
                .ensure(now, Scope::EndToEnd(self.peers[flow.peer].id));
            self.meet(now);
            return None;
        }
        let overhead = envelope::OVERHEAD + Protected::LEN + REPAIR_EXCESS;
        // A copy has to fit its path too.
        let room_beside = beside.and_then(|set| self.room_beside(set, overhead));
        let link = self.links[place].as_deref_mut()?;
        link.needed(now);
        let overhead = overhead + route.map_or(0, |route| route.wire_len() + envelope::OVERHEAD);
        let leg = Leg {
            link: place,
            class: flow.class,
            budget: flow.budget,
            ecn: flow.ecn,
        };
        let room = link
            .datagram_bytes()
            .min(path_bytes)
            .checked_sub(overhead)?
            .min(room_beside.unwrap_or(usize::MAX));
        (room > Piece::HEADER_LEN).then_some(Way {
            leg,
            peer: flow.peer,
            route,
            room,
            set: found.filter(|_| route.is_some()),
            flow: 0,
            guarded: room_beside.is_some(),
        })
    }

    /// Bytes that a body may have on any of the paths that copies may take.
    fn room_beside(&self, set: usize, overhead: usize) -> Option<usize> {
        let set = &self.routes.sets[set];
        let paths = set.beside().into_iter().flatten();
        let rooms = paths.filter_map(|place| {
            let path = &set.paths[place];
            let link = self.links[self.peers[path.via].best?].as_deref()?;
            let room = link.datagram_bytes().min(path.datagram_bytes());
            room.checked_sub(overhead + path.route.wire_len() + envelope::OVERHEAD)
        });
        rooms.min()
    }
}

impl Routes {
    /// `peers`: ids, ascending.
    pub(crate) fn new(mut sets: Vec<PathSet>, peers: &[u16], classes: usize, now: Nanos) -> Self {
        sets.sort_by_key(|set| (set.destination, set.class));
        let mut places = vec![NONE; peers.len() * classes];
        for (place, set) in sets.iter().enumerate() {
            if let Ok(peer) = peers.binary_search(&set.destination) {
                places[peer * classes + usize::from(set.class)] = place as u32;
            }
        }
        let mut routes = Self {
            dues: Dues::new(sets.len(), now),
            sets,
            places,
            classes,
        };
        for destination in peers {
            routes.name_paths(*destination);
        }
        routes
    }

    /// Gives each path with relays a slot; those that have one keep it.
    fn name_paths(&mut self, destination: u16) {
        let range = self.places_to(destination);
        let paths = || self.sets[range.clone()].iter().flat_map(|set| &set.paths);
        let taken: BTreeSet<u8> = paths().filter_map(|path| path.slot).collect();
        let mut free = (0..u8::MAX).filter(|slot| !taken.contains(slot));
        for path in self.sets[range].iter_mut().flat_map(|set| &mut set.paths) {
            if path.slot.is_none() && !path.is_direct() {
                path.slot = free.next();
            }
        }
    }

    /// The set for a destination's class; a class without one of its own takes the first class's.
    pub(crate) fn find(&self, peer: usize, class: u8) -> Option<usize> {
        let at = |class: usize| {
            let place = self.places.get(peer * self.classes + class)?;
            (*place != NONE).then_some(*place as usize)
        };
        at(class.into()).or_else(|| at(0))
    }

    pub(crate) fn place_of(&self, (destination, class): (u16, u8)) -> Option<usize> {
        self.sets
            .binary_search_by_key(&(destination, class), |set| (set.destination, set.class))
            .ok()
    }

    /// Set and place in it of the path that probes to a destination call by this slot.
    pub(crate) fn named(&self, destination: u16, slot: u8) -> Option<(usize, usize)> {
        self.places_to(destination).find_map(|set| {
            let path = self.sets[set]
                .paths
                .iter()
                .position(|path| path.slot == Some(slot))?;
            Some((set, path))
        })
    }

    pub(crate) fn paths_to(&self, destination: u16) -> impl Iterator<Item = &Path> + Clone {
        self.places_to(destination)
            .flat_map(|set| &self.sets[set].paths)
    }

    /// The verdict of `since` on a first hop, by its place among the peers, was wrong.
    pub(crate) fn take_back(&mut self, via: usize, since: Nanos) {
        let paths = self.sets.iter_mut().flat_map(|set| &mut set.paths);
        for path in paths.filter(|path| path.via == via) {
            path.take_back(since);
        }
    }

    /// All routes to a destination want to be tended at once.
    pub(crate) fn hurry(&mut self, destination: u16, now: Nanos) {
        for set in self.places_to(destination) {
            self.dues.set(set, now);
            self.sets[set].hurry(now);
        }
    }

    fn places_to(&self, destination: u16) -> std::ops::Range<usize> {
        let from = self
            .sets
            .partition_point(|set| set.destination < destination);
        let to = self
            .sets
            .partition_point(|set| set.destination <= destination);
        from..to
    }
}
