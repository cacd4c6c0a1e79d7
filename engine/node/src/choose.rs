//! Ingress, second stage: the path in use, the link to its first hop, and how long a body may be on it.
//!
//! Which paths live and when to change is `path`'s. Pure.

use overlayd_wire::{Piece, Protected, Repair, envelope};

use crate::classify::Flow;
use crate::packet::Packet;
use crate::session::Scope;
use crate::way::{Leg, Way};
use crate::{DropReason, Nanos, Node};

/// A repair frame is longer than the frames that it covers, by this at most.
const REPAIR_EXCESS: usize = Repair::HEADER_LEN + 3 - Protected::LEN;

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
