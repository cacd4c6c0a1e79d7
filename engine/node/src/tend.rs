//! Links over time: arrivals, probes and their answers, liveness, moves of an address, what is due. Pure.

use std::net::SocketAddr;

use overlayd_wire::{Counterprobe, LinkProbe, LinkProbeReply, frame};

use crate::event::{Event, LinkState};
use crate::liveness::Turn;
use crate::origin::Arrival;
use crate::packet::Datagram;
use crate::session::Scope;
use crate::{DropReason, Nanos, Node};

/// UDP payload of the longest probe without padding.
const PROBE_BYTES: usize =
    overlayd_wire::envelope::OVERHEAD + LinkProbeReply::LEN + Counterprobe::LEN;

impl Node {
    /// An authenticated datagram of a link: counts it, and looks whether the peer has moved.
    pub(crate) fn note_arrival(
        &mut self,
        now: Nanos,
        place: usize,
        datagram: &Datagram,
        frame_at: usize,
    ) -> Result<Arrival, DropReason> {
        let link = self.links.get_mut(place).and_then(Option::as_deref_mut);
        let link = link.ok_or(DropReason::NoSession)?;
        link.received += 1;
        link.received_bytes += datagram.range.len() as u64;
        let (uplink, remote) = (datagram.uplink, datagram.remote);
        let moved = (link.exit.uplink, link.exit.remote) != (uplink, Some(remote));
        let id = link.peer;
        if moved {
            self.challenge(now, place, uplink, remote);
        }
        Ok(Arrival {
            link: place,
            peer: self.peer_place(id).ok_or(DropReason::WrongPeer)?,
            uplink,
            remote,
            size: datagram.range.len(),
            ecn: datagram.ecn,
            frame_at: Some(frame_at),
        })
    }

    /// Asks a new address of a link's peer to prove that it receives us.
    fn challenge(&mut self, now: Nanos, place: usize, uplink: u8, remote: SocketAddr) {
        let nonce = self.random.u64().to_be_bytes();
        let Some(link) = self.links[place].as_deref_mut() else {
            return;
        };
        let Some(nonce) = link.challenge(now, uplink, remote, nonce) else {
            return;
        };
        let frame = frame::path_challenge(nonce);
        // Without a session there is no link to move.
        let _ = self.send_plain_to(now, place, (uplink, remote), |bytes| {
            bytes.extend_from_slice(&frame)
        });
    }

    pub(crate) fn answer_challenge(
        &mut self,
        now: Nanos,
        arrival: &Arrival,
        nonce: [u8; 8],
    ) -> Result<(), DropReason> {
        let frame = frame::path_response(nonce);
        let to = (arrival.uplink, arrival.remote);
        self.send_plain_to(now, arrival.link, to, |bytes| {
            bytes.extend_from_slice(&frame)
        })
    }

    pub(crate) fn move_link(
        &mut self,
        now: Nanos,
        arrival: &Arrival,
        nonce: [u8; 8],
    ) -> Result<(), DropReason> {
        let link = self.links[arrival.link]
            .as_deref_mut()
            .ok_or(DropReason::NoSession)?;
        if link.challenge_answered(nonce) {
            link.probe_at_once(now);
            let remote = link.exit.remote;
            if let Some(remote) = remote {
                self.sessions.set_remote(arrival.link as u16, remote);
            }
        }
        self.touch(arrival.link);
        Ok(())
    }

    /// Sends to another address than the link's.
    fn send_plain_to(
        &mut self,
        now: Nanos,
        place: usize,
        (uplink, remote): (u8, SocketAddr),
        frame: impl FnOnce(&mut Vec<u8>),
    ) -> Result<(), DropReason> {
        let exit = |node: &mut Self| -> Option<(u8, Option<SocketAddr>)> {
            let exit = &mut node.links[place].as_deref_mut()?.exit;
            let usual = (exit.uplink, exit.remote);
            (exit.uplink, exit.remote) = (uplink, Some(remote));
            Some(usual)
        };
        let usual = exit(self).ok_or(DropReason::NoSession)?;
        let sent = self.send_plain(now, place, frame);
        if let Some(link) = self.links[place].as_deref_mut() {
            (link.exit.uplink, link.exit.remote) = usual;
        }
        sent
    }

    /// `asks_back`: the answer may be a probe as well, if one of ours is about due. So three datagrams measure a link for both ends, not four; and
    /// an answer to an answer never asks again.
    pub(crate) fn answer_probe(
        &mut self,
        now: Nanos,
        arrival: &Arrival,
        probe: &LinkProbe,
        asks_back: bool,
    ) -> Result<(), DropReason> {
        let (jitter, steps) = (self.jitter(), self.pace.steps());
        let link = self.links[arrival.link]
            .as_deref_mut()
            .ok_or(DropReason::NoSession)?;
        link.told_pace = probe.pace;
        let received = link.received as u32;
        link.meter.probed(now, probe, received);
        let reply = LinkProbeReply {
            pace: steps,
            seq: probe.seq,
            sent_ns: probe.sent_ns,
            hold_ns: 0,
            received_ns: now,
            sent: probe.sent,
            received,
            received_size: arrival.size.min(usize::from(u16::MAX)) as u16,
            counterprobe: (asks_back && link.is_probe_near(now, steps)).then(|| {
                link.postpone_probe(now, jitter, steps);
                link.liveness.probe_sent(now);
                let LinkProbe { seq, sent, .. } = link.probe(now, steps);
                Counterprobe { seq, sent }
            }),
        };
        let asked = reply.counterprobe.map_or(0, |_| Counterprobe::LEN);
        self.pace.pay(link.packet_of(LinkProbeReply::LEN + asked));
        self.touch(arrival.link);
        self.send_plain(now, arrival.link, |bytes| reply.emit(bytes))
    }

    pub(crate) fn learn_from_reply(
        &mut self,
        now: Nanos,
        arrival: &Arrival,
        reply: &LinkProbeReply,
    ) -> Result<(), DropReason> {
        let link = self.links[arrival.link]
            .as_deref_mut()
            .ok_or(DropReason::NoSession)?;
        link.told_pace = reply.pace;
        let full = link.known_full();
        let headers = link.exit.ip_and_udp();
        let (rtt, sample) = link
            .meter
            .replied(now, reply, full, headers)
            .ok_or(DropReason::BadValue)?;
        if let Some(sample) = sample {
            link.steer(now, sample);
        }
        if usize::from(reply.received_size) > PROBE_BYTES {
            let size = link.exit.packet_size(reply.received_size.into());
            link.mtu.answered(now, reply.seq, size);
            link.liveness.proved(reply.sent_ns);
        } else {
            let proofs = link.liveness.unanswered_limit();
            let counts = (reply.sent, reply.received);
            link.mtu.small_answered(now, reply.seq, counts, proofs);
            let turn = link.liveness.answered(reply.sent_ns, rtt);
            if let Turn::TakenBack(since) = turn {
                self.routes.take_back(arrival.peer, since);
            }
            if turn != Turn::Nothing {
                self.link_changed(now, arrival.link, LinkState::Up);
            }
        }
        self.touch(arrival.link);
        match reply.as_probe() {
            Some(probe) => self.answer_probe(now, arrival, &probe, false),
            None => Ok(()),
        }
    }

    fn jitter(&mut self) -> f64 {
        self.random.u32() as f64 / f64::from(u32::MAX)
    }

    /// Reports that a link came up or went down, and chooses links and paths anew.
    pub(crate) fn link_changed(&mut self, now: Nanos, place: usize, state: LinkState) {
        let Some(link) = self.links[place].as_deref_mut() else {
            return;
        };
        let (id, peer) = (link.id, link.peer);
        let generation = self.tables.generation;
        self.output.events.push(Event::LinkState {
            at_ns: now,
            generation,
            link: id,
            peer,
            state,
        });
        self.choose_links(peer);
        self.reroute(now);
    }

    /// Chooses the link to a peer anew.
    pub(crate) fn choose_links(&mut self, peer: u16) {
        if let Some(place) = self.peer_place(peer) {
            self.peers[place].choose_link(&self.links);
        }
    }

    pub(crate) fn tend_links(&mut self, now: Nanos) {
        if self.links_due.first() > now {
            return;
        }
        for place in 0..self.links.len() {
            if self.links_due.is_due(place, now) {
                self.tend_link(now, place);
                self.touch(place);
            }
        }
    }

    fn tend_link(&mut self, now: Nanos, place: usize) {
        let Some(link) = self.links[place].as_deref_mut() else {
            return;
        };
        let was_up = link.liveness.is_up();
        let fell = !self.stalled && link.liveness.check(now);
        if fell && was_up {
            // It may be the peer's process that is gone, and its keys with it.
            self.sessions.renew(now, Scope::Hop(place as u16));
            self.meet(now);
            self.link_changed(now, place, LinkState::Down);
        }
        let Some(link) = self.links[place].as_deref().filter(|link| link.ready) else {
            return;
        };
        if link.is_needed(now) && link.liveness.is_suspect(now) {
            self.suspect_hop(now, link.peer);
        }
        self.release(now, place);
        if let Err(reason) = self
            .send_feedback(now, place)
            .and_then(|()| self.send_extras(now, place))
            .and_then(|()| self.probe(now, place))
        {
            self.tally.drop(reason);
        }
    }

    /// Sends the probes of a link that are due: a padded one for its MTU, and a small one for liveness, or for comparison.
    fn probe(&mut self, now: Nanos, place: usize) -> Result<(), DropReason> {
        let (jitter, steps) = (self.jitter(), self.pace.steps());
        let link = self.links[place]
            .as_deref_mut()
            .ok_or(DropReason::NoSession)?;
        let (up, proofs) = (link.liveness.is_up(), link.liveness.unanswered_limit());
        let padded = up
            .then(|| link.mtu.poll(now, link.meter.next_seq(), proofs))
            .flatten();
        if let Some(size) = padded {
            let probe = link.probe(now, steps);
            let length = link.exit.payload_of(size) - overlayd_wire::envelope::OVERHEAD;
            self.send_plain(now, place, |bytes| probe.emit(length, bytes))?;
        }
        let link = self.links[place]
            .as_deref_mut()
            .ok_or(DropReason::NoSession)?;
        if link.liveness.is_suspect(now) {
            link.probe_at = link.probe_at.min(now + crate::liveness::FAST);
        }
        let is_due = link.is_probe_due(now, steps);
        if is_due {
            link.probed(now, jitter, steps);
            link.liveness.probe_sent(now);
        }
        if is_due || padded.is_some() {
            self.pace.pay(link.packet_of(LinkProbe::LEN));
            let probe = link.probe(now, steps);
            link.mtu.small_sent(probe.seq);
            self.send_plain(now, place, |bytes| probe.emit(LinkProbe::LEN, bytes))?;
        }
        Ok(())
    }
}
