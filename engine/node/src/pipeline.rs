//! A packet's whole way, in order: ingress, transit, egress. Each stage has a file of its own; this one only names them. Pure.

use overlayd_wire::envelope::{Kind, TAG_LEN};
use overlayd_wire::{Frame, Protected, RouteRepr};

use crate::origin::{Arrival, Source};
use crate::packet::{Datagram, Packet};
use crate::queue::{Inner, Traffic};
use crate::session::{Layer, Scope, Via};
use crate::transit::Leads;
use crate::way::{Leg, Way};
use crate::{DropReason, Nanos, Node};

impl Node {
    /// Ingress: from the TUN.
    pub(crate) fn ingress(&mut self, now: Nanos, packet: &Packet<'_>) -> Result<(), DropReason> {
        let flow = self.classify(packet)?;
        let Some(way) = self.choose(now, &flow, packet)? else {
            return Ok(()); // it waits for a session, or goes to another shard
        };
        if flow.opens {
            return self.open_fitting(now, &way, packet); // a connection's first packet tells its peer what fits
        }
        self.cut(now, &way, packet) // into a run, two pieces or a whole; each goes `out`
    }

    /// Ingress: one body of traffic leaves.
    pub(crate) fn out(
        &mut self,
        now: Nanos,
        way: &Way,
        body: impl FnOnce(&mut Vec<u8>),
    ) -> Result<(), DropReason> {
        let frame = self.frame(way, body);
        let traffic = Traffic {
            routed: way.route.is_some(),
            flow: way.flow,
            inner: way.route.map(|route| self.inner(way, &route)),
        };
        self.pass(now, &way.leg, traffic, frame)
    }

    /// Ingress and transit: a frame waits for its turn, or leaves.
    pub(crate) fn pass(
        &mut self,
        now: Nanos,
        leg: &Leg,
        traffic: Traffic,
        frame: usize,
    ) -> Result<(), DropReason> {
        if self.must_wait(now, leg) {
            return self.enqueue(now, leg, traffic, frame); // until `release`
        }
        self.depart(now, leg, &traffic, frame)
    }

    /// A frame's turn has come.
    pub(crate) fn depart(
        &mut self,
        now: Nanos,
        leg: &Leg,
        traffic: &Traffic,
        frame: usize,
    ) -> Result<(), DropReason> {
        if let Some(inner) = &traffic.inner {
            self.seal_end_to_end(now, inner, frame)?;
            self.keep_copy(now, leg, traffic, frame);
        }
        let length = self.output.bytes.len() - frame + TAG_LEN;
        self.protect(now, leg, traffic.routed, frame)?; // numbered and kept
        self.seal_hop(now, leg, frame)?;
        self.add_repair(now, leg);
        if let Some(inner) = &traffic.inner {
            self.departed(now, leg.class, inner, length);
        }
        Ok(())
    }

    /// Only now: what found no room in our own queue is no loss of the path.
    fn departed(&mut self, now: Nanos, class: u8, inner: &Inner, length: usize) {
        let Some(place) = self.peer_place(inner.destination) else {
            return;
        };
        self.peers[place].sent = self.peers[place].sent.wrapping_add(1);
        if let Some(set) = self.routes.find(place, class) {
            self.routes.sets[set].frame_sent(now, length);
            if inner.guarded {
                self.send_second(now, set); // while the path is sick
            }
        }
    }

    /// Ingress: a body that is no traffic leaves at once: a probe of a path, a handshake.
    pub(crate) fn send(
        &mut self,
        now: Nanos,
        way: &Way,
        body: impl FnOnce(&mut Vec<u8>),
    ) -> Result<(), DropReason> {
        let frame = self.frame(way, body);
        if let Some(route) = way.route {
            self.seal_end_to_end(now, &self.inner(way, &route), frame)?;
        }
        let traffic = Traffic {
            routed: way.route.is_some(),
            flow: 0,
            inner: None,
        };
        self.depart(now, &way.leg, &traffic, frame)
    }

    fn inner(&self, way: &Way, route: &RouteRepr) -> Inner {
        Inner {
            destination: self.peers[way.peer].id,
            route_len: route.wire_len() as u8,
            guarded: way.guarded,
        }
    }

    /// Transit and egress: from the underlay.
    pub(crate) fn arrive(
        &mut self,
        now: Nanos,
        datagram: &Datagram,
        bytes: &mut [u8],
    ) -> Result<(), DropReason> {
        if Kind::of(bytes)? != Kind::Sealed {
            let via = Via::Underlay {
                uplink: datagram.uplink,
                remote: datagram.remote,
            };
            return self.handshake(now, via, bytes);
        }
        let opened = self.sessions.open(now, Layer::Hop, bytes)?;
        self.meet(now); // a first datagram may make its session the one to send on: before anything is sent
        let Scope::Hop(place) = opened.scope else {
            return Err(DropReason::WrongPeer);
        };
        let frame_at = datagram.range.start + opened.plaintext.start;
        let arrival = self.note_arrival(now, place.into(), datagram, frame_at)?;
        let frame = &mut bytes[opened.plaintext];
        match Frame::parse(frame)? {
            Frame::Direct(header, _) | Frame::Routed(header, _) => {
                self.recover(now, &arrival, header, frame)?; // first copies go `onward`
                self.onward(now, &arrival, header, frame)
            }
            Frame::Repair(repair) => self.restore(now, &arrival, &repair), // what it restores goes `onward`
            Frame::Feedback(feedback) => self.acknowledge(now, &arrival, &feedback),
            Frame::Tail(tail) => self.answer_tail(now, &arrival, tail),
            Frame::Probe(probe) => self.answer_probe(now, &arrival, &probe, true),
            Frame::ProbeReply(reply) => self.learn_from_reply(now, &arrival, &reply),
            Frame::PathChallenge(nonce) => self.answer_challenge(now, &arrival, nonce),
            Frame::PathResponse(nonce) => self.move_link(now, &arrival, nonce),
            Frame::Close(_) => Ok(()), // liveness will tell; closing on a word would be a way to cut others off
        }
    }

    /// A protected frame's first copy: egress or transit.
    pub(crate) fn onward(
        &mut self,
        now: Nanos,
        arrival: &Arrival,
        header: Protected,
        frame: &mut [u8],
    ) -> Result<(), DropReason> {
        let rest = &mut frame[Protected::LEN..];
        let rest_at = arrival.frame_at.map(|at| at + Protected::LEN);
        if !header.routed {
            let source = Source {
                peer: arrival.peer,
                route: None,
                class: header.class,
                body_at: rest_at,
                place: self.place_on_link(arrival.link, header),
            };
            return self.egress(now, arrival, &source, rest);
        }
        let route = match self.check_route(arrival, rest)? {
            Leads::To(next) => return self.transit(now, arrival, header, next, rest), // next segment, protect, seal hop, schedule
            Leads::Here(route) => route,
        };
        let (peer, frame, body) = match self.open_end_to_end(now, &route, rest)? {
            Some(opened) => opened,
            None => return Ok(()), // it was a handshake
        };
        let source = Source {
            peer,
            route: Some(route),
            class: header.class,
            body_at: rest_at.map(|at| at + body.start),
            place: self.place_in_session(frame, header),
        };
        self.egress(now, arrival, &source, &rest[body])
    }
}
