//! Transit: checks a frame's route, steps to the next segment, and passes it on. A relay keeps no state of those it serves. Pure.

use overlayd_wire::envelope::Kind;
use overlayd_wire::{Protected, RouteRepr, RouteView, route};

use crate::classify::hash;
use crate::origin::Arrival;
use crate::queue::Traffic;
use crate::schedule::Exit;
use crate::way::Leg;
use crate::{DropReason, Nanos, Node};

impl Node {
    /// Whether a routed frame may be here at all, and where it is to go. `rest` starts with the route.
    pub(crate) fn check_route(&self, arrival: &Arrival, rest: &[u8]) -> Result<Leads, DropReason> {
        let (view, _) = RouteView::parse(rest)?;
        if view.here() != self.tables.id || view.source() == self.tables.id {
            return Err(DropReason::NotMine);
        }
        // The hop before is the one that the route names, so that no peer can speak through another's link.
        let before = view
            .segments()
            .rev()
            .nth(usize::from(view.left()) + 1)
            .unwrap_or(view.source());
        if self.peers[arrival.peer].id != before {
            return Err(DropReason::NotMine);
        }
        let next = view.next().map(|id| Next {
            id,
            route_len: view.wire_len(),
        });
        Ok(next.map_or_else(|| Leads::Here(view.repr()), Leads::To))
    }

    pub(crate) fn transit(
        &mut self,
        now: Nanos,
        arrival: &Arrival,
        header: Protected,
        next: Next,
        rest: &mut [u8],
    ) -> Result<(), DropReason> {
        if !self.tables.relay {
            return Err(DropReason::NotARelay);
        }
        let peer = self.peer_place(next.id).ok_or(DropReason::NoNextHop)?;
        if Kind::of(&rest[next.route_len..])? != Kind::Sealed && !self.relayed_handshakes.take(now)
        {
            return Err(DropReason::RelayedHandshakes);
        }
        let link = self.peers[peer].best.ok_or(DropReason::NoNextHop)?;
        if let Some(link) = self.links[link].as_deref_mut() {
            link.relays(now);
        }
        route::advance(rest);
        // What is sealed end to end: flows of a session cannot be told apart here.
        let session = rest
            .get(next.route_len + 4..)
            .and_then(<[u8]>::first_chunk::<4>)
            .copied()
            .unwrap_or_default();
        let traffic = Traffic {
            routed: true,
            flow: hash(&[arrival.peer as u64, u32::from_be_bytes(session).into()]),
            inner: None,
        };
        let leg = Leg {
            link,
            class: header.class,
            budget: header.budget,
            ecn: arrival.ecn,
        };
        let bytes = &mut self.output.bytes;
        let start = Exit::begin(bytes);
        bytes.extend_from_slice(&[0; Protected::LEN]);
        bytes.extend_from_slice(rest);
        self.pass(now, &leg, traffic, start)?;
        self.tally.relayed += 1;
        Ok(())
    }
}

/// Where a route leads from here. A relay needs little of it.
pub(crate) enum Leads {
    To(Next),
    /// This node is its egress.
    Here(RouteRepr),
}

/// The next segment.
#[derive(Clone, Copy)]
pub(crate) struct Next {
    id: u16,
    /// Bytes of the route.
    route_len: usize,
}
