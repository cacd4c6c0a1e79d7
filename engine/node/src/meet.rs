//! Sessions and the rest of the node: handshake messages in and out, what follows when a session comes or goes. Pure.

use overlayd_wire::envelope::Kind;
use overlayd_wire::{Budget, PathProbe, Protected, RouteRepr};

use crate::event::{Event, LinkState};
use crate::peer::Peer;
use crate::schedule::Exit;
use crate::session::{Action, KeyRecord, Ready, Scope, Via};
use crate::snapshot::Suite;
use crate::way::{Leg, Way};
use crate::{DropReason, Nanos, Node};

/// A path probe that only confirms a session: no path has this slot.
const NO_SLOT: u8 = u8::MAX;

impl Node {
    /// Takes a handshake message.
    pub(crate) fn handshake(
        &mut self,
        now: Nanos,
        via: Via,
        message: &[u8],
    ) -> Result<(), DropReason> {
        let taken = self.sessions.handle_handshake(now, via, message);
        self.meet(now);
        taken
    }

    /// Does what sessions ask for.
    pub(crate) fn meet(&mut self, now: Nanos) {
        while let Some(action) = self.sessions.poll() {
            match action {
                Action::Send {
                    via: Via::Underlay { uplink, remote },
                    bytes,
                } => {
                    let start = self.output.bytes.len();
                    self.output.bytes.extend_from_slice(&bytes);
                    self.output.push_datagram(uplink, remote, 0, start);
                }
                Action::Send {
                    via: Via::Route { peer },
                    bytes,
                } => {
                    if let Err(reason) = self.send_routed_handshake(now, peer, &bytes) {
                        self.tally.drop(reason);
                    }
                }
                Action::Ready(ready) => match ready.scope {
                    Scope::Hop(place) => self.link_ready(now, place.into(), &ready),
                    Scope::EndToEnd(peer) => self.peer_ready(now, peer, &ready),
                },
                Action::Down(Scope::Hop(place)) => self.link_lost(now, place.into()),
                Action::Down(Scope::EndToEnd(id)) => {
                    if let Some(peer) = self.peer_place(id) {
                        self.peers[peer].ready = false;
                    }
                }
                Action::KeyLog(record) => self.log_key(now, &record),
            }
        }
    }

    fn link_ready(&mut self, now: Nanos, place: usize, ready: &Ready) {
        let Some(link) = self.links.get_mut(place).and_then(Option::as_deref_mut) else {
            return;
        };
        link.ready = true;
        if let Via::Underlay { uplink, remote } = ready.via
            && (link.exit.uplink, link.exit.remote) != (uplink, Some(remote))
        {
            link.exit.uplink = uplink;
            link.exit.remote = Some(remote);
            link.mtu.restart();
        }
        if ready.restarted {
            link.peer_restarted();
            if let Some(peer) = self.peer_place(ready.peer) {
                self.peers[peer].restarted();
            }
        }
        let Some(link) = self.links[place].as_deref_mut() else {
            return;
        };
        if ready.first || ready.confirm {
            link.probe_at = now;
            self.links_due.set(place, now);
            // Due at once, by this call: the peer waits for it.
            self.tend_links(now);
        }
        self.touch(place);
        self.choose_links(ready.peer);
        self.reroute(now);
    }

    fn link_lost(&mut self, now: Nanos, place: usize) {
        let Some(link) = self.links.get_mut(place).and_then(Option::as_deref_mut) else {
            return;
        };
        link.ready = false;
        let was_up = link.liveness.is_up();
        link.liveness.fall(now);
        if was_up {
            self.link_changed(now, place, LinkState::Down);
        }
        self.touch(place);
    }

    fn peer_ready(&mut self, now: Nanos, id: u16, ready: &Ready) {
        let Some(place) = self.peer_place(id) else {
            return;
        };
        let peer = &mut self.peers[place];
        peer.ready = true;
        if ready.restarted {
            peer.restarted();
        }
        if ready.confirm
            && let Ok(way) = self.way_to(place, None)
        {
            let probe = PathProbe {
                slot: NO_SLOT,
                seq: 0,
                sent_ns: now,
                sent: self.peers[place].sent,
            };
            self.send_path_probe(now, &way, probe, 0);
        }
        self.routes.hurry(id, now);
        self.flush_waiting(now);
    }

    /// Sends a handshake message behind a route, in class 0: answers the way that the question came, questions over the living paths in turn.
    fn send_routed_handshake(
        &mut self,
        now: Nanos,
        id: u16,
        message: &[u8],
    ) -> Result<(), DropReason> {
        let place = self.peer_place(id).ok_or(DropReason::NoOwner)?;
        let back = match Kind::of(message)? {
            Kind::Init => None,
            _ => self.peers[place].way_back(),
        };
        let way = self.way_to(place, back)?;
        let route = way.route.ok_or(DropReason::NoRoute)?;
        let bytes = &mut self.output.bytes;
        let start = Exit::begin(bytes);
        bytes.extend_from_slice(&[0; Protected::LEN]);
        route.emit(bytes);
        bytes.extend_from_slice(message);
        self.protect(now, &way.leg, true, start)?;
        self.seal_hop(now, &way.leg, start)
    }

    /// A routed way to a peer: `back`, or one of the living paths to it, each time the next; or its own link.
    fn way_to(&mut self, place: usize, back: Option<RouteRepr>) -> Result<Way, DropReason> {
        let id = self.peers[place].id;
        let route = match back {
            Some(route) => route,
            None => {
                let turn = self.peers[place].turn;
                self.peers[place].turn = turn.wrapping_add(1);
                let ready = self
                    .routes
                    .paths_to(id)
                    .filter(|path| self.peers[path.via].best.is_some());
                let living = ready.clone().filter(|path| self.peers[path.via].up);
                let (lives, is_ready) = (living.clone().count(), ready.clone().count());
                let chosen = match lives {
                    0 => ready.clone().nth(usize::from(turn) % is_ready.max(1)),
                    _ => living.clone().nth(usize::from(turn) % lives),
                };
                let direct = self.peers[place]
                    .best
                    .and(RouteRepr::new(self.tables.id, &[id], 0));
                let known = chosen
                    .map(|path| path.route)
                    .or_else(|| self.peers[place].way_back())
                    .or(direct);
                known.ok_or(DropReason::NoRoute)?
            }
        };
        let first = self
            .peer_place(route.segments[0])
            .ok_or(DropReason::NoNextHop)?;
        let link = self.peers[first].best.ok_or(DropReason::NoNextHop)?;
        let leg = Leg {
            link,
            class: 0,
            budget: Budget::NONE,
            ecn: 0,
        };
        Ok(Way {
            guarded: false,
            leg,
            peer: place,
            route: Some(route),
            room: usize::MAX,
            set: None,
            flow: 0,
        })
    }

    /// Sends what waited for sessions, where they are ready now.
    pub(crate) fn flush_waiting(&mut self, now: Nanos) {
        for place in 0..self.peers.len() {
            if self.peers[place].has_waiting() {
                for packet in self.peers[place].take_waiting() {
                    self.try_waiting(now, place, packet);
                }
            }
        }
    }

    fn try_waiting(&mut self, now: Nanos, place: usize, packet: crate::peer::Waiting) {
        let whole = crate::Packet {
            bytes: &packet.bytes,
            offload: packet.offload,
        };
        let sent = match self.classify(&whole) {
            Ok(flow) => match self.way(now, &flow) {
                Some(way) => self.cut(now, &way, &whole),
                None => {
                    self.peers[place].wait_again(packet);
                    return;
                }
            },
            Err(reason) => Err(reason),
        };
        if let Err(reason) = sent {
            self.tally.drop(reason);
        }
    }

    /// Gives up packets that waited too long for a session.
    pub(crate) fn expire_waiting(&mut self, now: Nanos) {
        if self.waiting_until.is_none_or(|until| now < until) {
            return;
        }
        for peer in &mut self.peers {
            for _ in 0..peer.expire(now) {
                self.tally.drop(DropReason::NoSession);
            }
        }
        self.waiting_until = self.peers.iter().filter_map(Peer::expires_at).min();
    }

    fn log_key(&mut self, now: Nanos, record: &KeyRecord) {
        self.output.events.push(Event::KeyLog {
            at_ns: now,
            scope: match record.scope {
                Scope::Hop(_) => "hop",
                Scope::EndToEnd(_) => "end_to_end",
            },
            peer: record.peer,
            receiver_index: record.receiver_index,
            suite: match record.suite {
                Suite::Aes256Gcm => "aes256-gcm",
                Suite::Chacha20Poly1305 => "chacha20-poly1305",
            },
            key: record
                .key
                .iter()
                .map(|byte| format!("{byte:02x}"))
                .collect(),
        });
    }
}
