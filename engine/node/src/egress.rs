//! Egress: opens what is sealed end to end, and takes bodies apart. Pure.

use std::ops::Range;

use overlayd_wire::envelope::Kind;
use overlayd_wire::{Body, RouteRepr};

use crate::marks::Marks;
use crate::origin::{Arrival, Number, Origin, SESSION, Source};
use crate::reassemble::Joined;
use crate::session::{Layer, Scope, Via};
use crate::{DropReason, Nanos, Node};

impl Node {
    /// Opens the end-to-end datagram behind a route: the peer's place, the datagram's number, and where the body lies in `rest`. `None`: it was a handshake.
    pub(crate) fn open_end_to_end(
        &mut self,
        now: Nanos,
        route: &RouteRepr,
        rest: &mut [u8],
    ) -> Result<Option<(usize, Number, Range<usize>)>, DropReason> {
        let at = route.wire_len();
        let datagram = &mut rest[at..];
        let peer = self.peer_place(route.source).ok_or(DropReason::WrongPeer)?;
        if Kind::of(datagram)? != Kind::Sealed {
            self.peers[peer].came = Some(*route);
            self.handshake(now, Via::Route { peer: route.source }, datagram)?;
            return Ok(None);
        }
        let opened = match self.sessions.open(now, Layer::EndToEnd, datagram) {
            Err(DropReason::UnknownSession) => {
                // We have started anew and the peer does not know: tell it, by a handshake.
                self.peers[peer].came = Some(*route);
                self.sessions.ensure(now, Scope::EndToEnd(route.source));
                self.meet(now);
                return Err(DropReason::UnknownSession);
            }
            opened => opened?,
        };
        self.meet(now);
        if opened.scope != Scope::EndToEnd(route.source) {
            return Err(DropReason::WrongPeer);
        }
        self.peers[peer].came = Some(*route);
        let frame = Number {
            stream: SESSION | u64::from(opened.receiver),
            number: opened.counter.into(),
        };
        Ok(Some((
            peer,
            frame,
            at + opened.plaintext.start..at + opened.plaintext.end,
        )))
    }

    /// Takes a body apart and delivers what is in it.
    pub(crate) fn egress(
        &mut self,
        now: Nanos,
        arrival: &Arrival,
        source: &Source,
        body: &[u8],
    ) -> Result<(), DropReason> {
        let peer = source.peer;
        let marks = Marks {
            outer: arrival.ecn,
            relay: source.route.is_some_and(|route| route.ce),
        };
        let id = self.peers[peer].id;
        let origin = Origin {
            peer: id,
            marks,
            at: None,
            place: source.place,
        };
        let end = source.body_at.map(|at| at + body.len());
        // For bodies that end with their packet.
        let lying = |packet: &[u8]| Origin {
            at: end.map(|end| end - packet.len()),
            ..origin
        };
        let body = Body::parse(body)?;
        let is_traffic = !matches!(body, Body::PathProbe(_) | Body::PathProbeReply(_));
        if is_traffic && source.route.is_some() {
            self.peers[peer].received = self.peers[peer].received.wrapping_add(1);
        }
        match body {
            Body::Packet {
                partial_checksum,
                packet,
            } => self.deliver(now, lying(packet), packet, partial_checksum),
            Body::Bundle(bundle) => {
                for packet in bundle.packets() {
                    if let Err(reason) = self.deliver(now, origin, packet, false) {
                        self.tally.drop(reason);
                    }
                }
                Ok(())
            }
            Body::Run(run) => self.deliver_run(now, lying(run.packet), &run),
            Body::Piece(piece) => {
                let mut whole = std::mem::take(&mut self.scratch);
                whole.clear();
                let joined = self.peers[peer].pieces.take(now, piece, marks, &mut whole);
                let result = match joined {
                    Joined::Whole(marks) => {
                        self.deliver(now, Origin { marks, ..origin }, &whole, false)
                    }
                    Joined::Waits => Ok(()),
                    Joined::Refused(reason) => Err(reason),
                };
                self.scratch = whole;
                result
            }
            Body::PathProbe(probe) => self.answer_path_probe(now, source, &probe),
            Body::PathProbeReply(reply) => self.learn_from_path(now, peer, &reply),
        }
    }
}
