//! Sending a frame over a hop: end-to-end seal, number, a copy for repair, hop seal, repair symbols. Pure.

use overlayd_fec::RepairHeader;
use overlayd_wire::{Body, Budget, Protected, Repair, ecn, envelope, route};

use crate::link::Link;
use crate::queue::{Inner, Leaving, Load, Traffic, Waiting};
use crate::repair::Policy;
use crate::schedule::Exit;
use crate::session::Scope;
use crate::way::{Leg, Way};
use crate::{DropReason, Nanos, Node};

impl Node {
    /// Writes a frame at the end of the output, with room for its seals; where its datagram starts.
    pub(crate) fn frame(&mut self, way: &Way, body: impl FnOnce(&mut Vec<u8>)) -> usize {
        let bytes = &mut self.output.bytes;
        let start = Exit::begin(bytes);
        bytes.extend_from_slice(&[0; Protected::LEN]);
        if let Some(route) = way.route {
            route.emit(bytes);
            Exit::begin(bytes);
        }
        body(bytes);
        start
    }

    /// Seals the body of the frame at the end of the output, which starts at `start`, for its destination: only now, so that counters leave in order.
    pub(crate) fn seal_end_to_end(
        &mut self,
        now: Nanos,
        inner: &Inner,
        start: usize,
    ) -> Result<(), DropReason> {
        let bytes = &mut self.output.bytes;
        let scope = Scope::EndToEnd(inner.destination);
        let sealed = self
            .sessions
            .seal_tail(now, scope, bytes, inner.starts_at(start));
        sealed.inspect_err(|_| self.output.bytes.truncate(start))?;
        Ok(())
    }

    /// Numbers the frame whose datagram starts at `start`, writes its header and keeps a copy.
    pub(crate) fn protect(
        &mut self,
        now: Nanos,
        leg: &Leg,
        routed: bool,
        start: usize,
    ) -> Result<(), DropReason> {
        let output = &mut self.output;
        let length = output.bytes.len() - start + envelope::TAG_LEN;
        let reason = match self.links[leg.link].as_deref_mut() {
            None => DropReason::NoSession,
            Some(link) if length > link.datagram_bytes() => DropReason::TooBig,
            Some(link) => {
                let frame = &mut output.bytes[start + envelope::HEADER_LEN..];
                link.mtu.frames_sent(now, link.exit.packet_size(length), 1);
                let protector = link.protector(leg.class, Policy::among(&self.policies, leg.class));
                let header = Protected {
                    routed,
                    class: leg.class,
                    seq: protector.next_seq(),
                    budget: leg.budget,
                };
                frame[..Protected::LEN].copy_from_slice(&header.to_bytes());
                protector.sent(now, 0, leg.budget, frame);
                return Ok(());
            }
        };
        output.bytes.truncate(start);
        Err(reason)
    }

    /// Whether a frame has to wait for its link's rate.
    pub(crate) fn must_wait(&mut self, now: Nanos, leg: &Leg) -> bool {
        let link = self.links[leg.link].as_deref_mut();
        link.is_some_and(|link| !link.exit.pacer.admits(now))
    }

    /// Takes the frame whose datagram starts at `start` out of the output, into the queue of its link.
    pub(crate) fn enqueue(
        &mut self,
        now: Nanos,
        leg: &Leg,
        traffic: Traffic,
        start: usize,
    ) -> Result<(), DropReason> {
        let bytes = &mut self.output.bytes;
        let link = self.links[leg.link].as_deref_mut();
        if let Some(link) = link {
            let tag = traffic.inner.map_or(0, |_| envelope::TAG_LEN);
            let waiting = Waiting {
                leg: *leg,
                load: Load::Traffic(traffic),
                size: link.exit.size_of(bytes, start) + tag,
            };
            let frame = &bytes[start + envelope::HEADER_LEN..];
            let pushed_out = link.exit.pacer.push(now, waiting, frame);
            self.tally.drop_many(DropReason::QueueFull, pushed_out);
        }
        bytes.truncate(start);
        self.touch(leg.link);
        Ok(())
    }

    /// Sends the frames of a link's queue whose turn has come.
    pub(crate) fn release(&mut self, now: Nanos, place: usize) {
        while let Some(link) = self.links[place].as_deref_mut() {
            let start = Exit::begin(&mut self.output.bytes);
            let mut late = 0;
            let leaving = link.exit.pacer.pop(now, &mut self.output.bytes, &mut late);
            self.tally.drop_many(DropReason::QueueLate, late);
            let Some(leaving) = leaving else {
                self.output.bytes.truncate(start);
                return;
            };
            if let Err(reason) = self.leave(now, &leaving, start) {
                self.tally.drop(reason);
            }
        }
    }

    /// Sends the frame at the end of the output, which has waited.
    fn leave(&mut self, now: Nanos, leaving: &Leaving, start: usize) -> Result<(), DropReason> {
        let Waiting { mut leg, load, .. } = leaving.waiting;
        let Load::Traffic(traffic) = load else {
            return self.seal_hop(now, &leg, start);
        };
        leg.budget = leg.budget.less(leaving.waited);
        if leaving.marked {
            let frame = &mut self.output.bytes[start + envelope::HEADER_LEN..];
            mark(frame, traffic.routed);
        }
        self.depart(now, &leg, &traffic, start)
    }

    /// Seals the datagram that starts at `start` for its link, and sends it.
    pub(crate) fn seal_hop(
        &mut self,
        now: Nanos,
        leg: &Leg,
        start: usize,
    ) -> Result<(), DropReason> {
        let link = self.links[leg.link]
            .as_deref_mut()
            .ok_or(DropReason::NoSession)?;
        let scope = Scope::Hop(leg.link as u16);
        let fate = (start, leg.ecn);
        link.exit
            .finish(now, &mut self.sessions, scope, &mut self.output, fate)?;
        self.touch(leg.link);
        Ok(())
    }

    /// Sends a repair symbol if the loss of the link asks for one now. While a queue stands, redundancy would only lengthen it.
    pub(crate) fn add_repair(&mut self, now: Nanos, leg: &Leg) {
        let Some(link) = self.links[leg.link].as_deref_mut() else {
            return;
        };
        let outlook = link.outlook();
        let Link {
            exit, protectors, ..
        } = link;
        let Some(protector) = protectors[usize::from(leg.class)].as_deref_mut() else {
            return;
        };
        if exit.pacer.is_congested(leg.class) {
            return;
        }
        let Some((header, budget)) = protector.repair(now, &outlook, &mut self.scratch) else {
            return;
        };
        let repair = repair_frame(leg.class, header, budget, &self.scratch);
        let start = Exit::begin(&mut self.output.bytes);
        repair.emit(&mut self.output.bytes);
        let size = exit.size_of(&self.output.bytes, start);
        exit.pacer.charge_class(leg.class, size);
        let scope = Scope::Hop(leg.link as u16);
        let fate = (start, 0);
        let sent = exit.finish(now, &mut self.sessions, scope, &mut self.output, fate);
        if let Err(reason) = sent {
            self.tally.drop(reason);
        }
    }

    /// Sends a frame that has no number of its own: probes, feedback and the like.
    pub(crate) fn send_plain(
        &mut self,
        now: Nanos,
        place: usize,
        frame: impl FnOnce(&mut Vec<u8>),
    ) -> Result<(), DropReason> {
        let link = self.links[place]
            .as_deref_mut()
            .ok_or(DropReason::NoSession)?;
        let start = Exit::begin(&mut self.output.bytes);
        frame(&mut self.output.bytes);
        let fate = (start, 0);
        let scope = Scope::Hop(place as u16);
        link.exit
            .finish(now, &mut self.sessions, scope, &mut self.output, fate)
    }
}

impl Inner {
    /// Where the datagram that is sealed end to end starts, in a frame's that starts at `start`.
    pub(crate) fn starts_at(&self, start: usize) -> usize {
        start + envelope::HEADER_LEN + Protected::LEN + usize::from(self.route_len)
    }
}

pub(crate) fn repair_frame(
    class: u8,
    header: RepairHeader,
    budget: Budget,
    symbol: &[u8],
) -> Repair<'_> {
    Repair {
        class,
        budget,
        first: header.first_seq & overlayd_wire::frame::SEQ_MASK,
        span: header.span,
        row: header.row,
        symbol,
    }
}

/// Marks congestion on a frame whose flow understands it: on the packet, or on the route where that is sealed.
fn mark(frame: &mut [u8], routed: bool) {
    let Some(rest) = frame.get_mut(Protected::LEN..) else {
        return;
    };
    if routed {
        return route::set_ce(rest);
    }
    let packet = match Body::parse(rest) {
        Ok(Body::Packet { packet, .. }) => packet.len(),
        Ok(Body::Run(run)) => run.packet.len(),
        Ok(Body::Piece(piece)) if !piece.second => piece.bytes.len(),
        _ => return,
    };
    let start = rest.len() - packet;
    ecn::mark_ce(&mut rest[start..]);
}
