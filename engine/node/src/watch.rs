//! Paths over time: end-to-end probes of those with relays, switch-over, what is due. The rules of choice are `path`'s. Pure.

use overlayd_wire::{Body, Budget, PathProbe, PathProbeReply, Protected, RouteRepr, envelope};

use crate::event::Event;
use crate::link::Link;
use crate::liveness::{FAST, Turn};
use crate::origin::Source;
use crate::pace;
use crate::path::{Path, Switched, Watch};
use crate::session::Scope;
use crate::way::{Leg, Way};
use crate::{DropReason, Nanos, Node};

/// First hops of busy routes are marked as in use or standing by this often.
const SWEEP: Nanos = 500_000_000;
/// Nor is a path asked for its MTU more often, whatever holds the probes back.
const ASK_GAP: Nanos = 5_000_000;
/// Marks the sequence numbers of probes that are padded to find the path's MTU.
const PADDED: u32 = 1 << 31;

impl Node {
    /// A route gets its first packet after a silence: its links and paths are watched closely from now on.
    pub(crate) fn wake_route(&mut self, now: Nanos, place: usize) {
        self.routes.dues.set(place, now);
        self.need_first_hops(now, place);
        self.want_end_to_end(now, place);
    }

    /// Keeps the end-to-end session of a route whose paths have relays, so that a switch-over need not wait for it.
    fn want_end_to_end(&mut self, now: Nanos, place: usize) {
        let set = &self.routes.sets[place];
        let reachable = |path: &Path| self.peers[path.via].best.is_some();
        if set.has_relays() && set.paths.iter().any(reachable) {
            self.sessions.ensure(now, Scope::EndToEnd(set.destination));
            self.meet(now);
        }
    }

    /// The links that a route's traffic may take at any moment are in use, all others to its first hops stand by.
    fn need_first_hops(&mut self, now: Nanos, place: usize) {
        self.each_first_hop(place, |is_open, link| match is_open {
            true => link.needed(now),
            false => link.stands_by(now),
        });
    }

    /// The path in use is suspected: whatever stands by for it shows now whether it lives.
    fn hurry_beside(&mut self, now: Nanos, place: usize) {
        if !std::mem::replace(&mut self.routes.sets[place].alarmed, true) {
            self.routes.sets[place].hurry_beside(now);
        }
        self.each_first_hop(place, |_, link| link.hurry(now));
    }

    /// Calls with each link to the first hop of each path, and whether the route's traffic may take it at any moment.
    fn each_first_hop(&mut self, place: usize, mut call: impl FnMut(bool, &mut Link)) {
        for path in 0..self.routes.sets[place].paths.len() {
            let set = &self.routes.sets[place];
            let (via, is_open) = (set.paths[path].via, set.is_open(path));
            let best = self.peers[via].best.filter(|_| self.peers[via].up);
            for link in 0..self.peers[via].links.len() {
                let link = self.peers[via].links[link];
                if let Some(state) = self.links[link].as_deref_mut() {
                    call(is_open && best.is_none_or(|best| best == link), state);
                }
                self.touch(link);
            }
        }
    }

    /// A link to this peer is suspected: routes that use it look at what stands by for it.
    pub(crate) fn suspect_hop(&mut self, now: Nanos, peer: u16) {
        let Some(via) = self.peer_place(peer) else {
            return;
        };
        for place in 0..self.routes.sets.len() {
            let set = &self.routes.sets[place];
            if set.active().via == via && set.watch(now) == Watch::Fast {
                self.routes.dues.set(place, now);
            }
        }
    }

    fn is_suspect(&self, now: Nanos, path: &Path) -> bool {
        let lives = self.lives_of(path).into_iter().flatten();
        lives.into_iter().any(|life| life.is_suspect(now))
    }

    pub(crate) fn tend_routes(&mut self, now: Nanos) {
        if self.routes.dues.first() > now {
            return;
        }
        for place in 0..self.routes.sets.len() {
            if self.routes.dues.is_due(place, now) {
                self.tend_route(now, place);
            }
        }
    }

    fn tend_route(&mut self, now: Nanos, place: usize) {
        let watch = self.routes.sets[place].watch(now);
        let steps = self.steps_to(place);
        let (open, rest) = match watch {
            Watch::Fast => (pace::in_use(steps), pace::standing_by(steps)),
            Watch::Slow => (pace::kept_in_mind(steps), pace::kept_in_mind(steps)),
            Watch::Not => {
                self.routes.dues.set(place, Nanos::MAX);
                return;
            }
        };
        if watch == Watch::Fast {
            self.need_first_hops(now, place);
        }
        if watch == Watch::Fast && self.is_suspect(now, self.routes.sets[place].active()) {
            self.hurry_beside(now, place);
        } else {
            self.routes.sets[place].alarmed = false;
        }
        self.want_end_to_end(now, place);
        let mut due = now + SWEEP;
        for path in 0..self.routes.sets[place].paths.len() {
            if self.routes.sets[place].paths[path].is_direct() {
                continue;
            }
            let set = &mut self.routes.sets[place];
            let is_open = set.is_open(path) || set.alarmed;
            let state = &mut set.paths[path];
            if !self.stalled {
                state.liveness.check(now);
            }
            let interval = match state.liveness.is_suspect(now) {
                true => FAST,
                false if is_open => open,
                false => rest,
            };
            let is_due = state.probe_at <= now;
            state.probe_at = match is_due {
                true => now + interval,
                false => state.probe_at.min(now + interval),
            };
            if is_due || (state.liveness.is_up() && state.mtu.poll_timeout() <= now) {
                self.probe_path(now, place, path, is_due);
            }
            let state = &self.routes.sets[place].paths[path];
            let verdict = state.liveness.verdict_at().unwrap_or(Nanos::MAX);
            let suspect = state
                .liveness
                .suspect_at()
                .filter(|at| *at > now)
                .unwrap_or(Nanos::MAX);
            let ask = match state.liveness.is_up() {
                true => state.mtu.poll_timeout().max(now + ASK_GAP),
                false => Nanos::MAX,
            };
            due = due.min(state.probe_at).min(verdict).min(suspect).min(ask);
        }
        if self.choose_path(now, place) {
            due = now; // what is in use is probed more often
        }
        if watch == Watch::Fast && self.routes.sets[place].copies.is_some() {
            let doubt = self.look_after_at(place).filter(|at| *at > now);
            due = due.min(now + FAST).min(doubt.unwrap_or(Nanos::MAX));
        } else if let Some(copies) = &mut self.routes.sets[place].copies {
            copies.forget();
        }
        let set = &self.routes.sets[place];
        let due = due.min(set.poll_timeout().unwrap_or(Nanos::MAX));
        self.routes.dues.set(place, due.max(now + 1));
    }

    /// The pace that this node and the destination of a route can bear.
    fn steps_to(&self, place: usize) -> u8 {
        let own = self.pace.steps();
        let Some(peer) = self.peer_place(self.routes.sets[place].destination) else {
            return own;
        };
        let links = self.peers[peer].links.iter();
        let told = links.filter_map(|link| Some(self.links[*link].as_deref()?.told_pace));
        told.fold(own, u8::max)
    }

    /// Sends a padded probe, if one is due, and a small one: for comparison, or for liveness too.
    fn probe_path(&mut self, now: Nanos, place: usize, path: usize, for_liveness: bool) {
        let set = &mut self.routes.sets[place];
        let class = set.class;
        let state = &mut set.paths[path];
        let Some(peer) = self
            .peers
            .binary_search_by_key(&set.destination, |peer| peer.id)
            .ok()
        else {
            return;
        };
        let (Some(slot), Some(link)) = (state.slot, self.peers[state.via].best) else {
            return;
        };
        if !self.peers[peer].ready || !self.peers[state.via].up {
            return;
        }
        let first_hop = self.links[link].as_deref().map(Link::datagram_bytes);
        if let Some(bytes) = first_hop {
            state
                .mtu
                .set_limit((bytes + crate::path::IP_AND_UDP) as u16);
        }
        let proofs = state.liveness.unanswered_limit();
        let padded = match state.liveness.is_up() {
            true => state.mtu.poll(now, state.next_probe_seq(), proofs),
            false => None,
        };
        let route = state.route;
        let budget = self
            .policies
            .get(usize::from(class))
            .and_then(|policy| policy.deadline);
        let leg = Leg {
            link,
            class,
            budget: Budget::from_ns(budget),
            ecn: 0,
        };
        let way = Way {
            guarded: false,
            leg,
            peer,
            route: Some(route),
            room: usize::MAX,
            set: None,
            flow: 0,
        };
        let mut probe = PathProbe {
            slot,
            seq: 0,
            sent_ns: now,
            sent: self.peers[peer].sent,
        };
        if let Some(size) = padded {
            let overhead = 2 * envelope::OVERHEAD + Protected::LEN + route.wire_len();
            let length = usize::from(size) - crate::path::IP_AND_UDP - overhead;
            probe.seq = self.routes.sets[place].paths[path].take_probe_seq() | PADDED;
            self.send_path_probe(now, &way, probe, length);
        }
        probe.seq = self.routes.sets[place].paths[path].take_probe_seq();
        if self.send_path_probe(now, &way, probe, 0) {
            let state = &mut self.routes.sets[place].paths[path];
            state.mtu.small_sent(probe.seq);
            if for_liveness {
                state.liveness.probe_sent(probe.sent_ns);
            }
        }
    }

    /// False: it found no room.
    pub(crate) fn send_path_probe(
        &mut self,
        now: Nanos,
        way: &Way,
        probe: PathProbe,
        length: usize,
    ) -> bool {
        let sent = self.send(now, way, |bytes| {
            let start = bytes.len();
            Body::PathProbe(probe).emit(bytes);
            let length = length.max(bytes.len() - start);
            bytes.resize(start + length, 0);
        });
        match sent {
            Ok(()) => self.pay_for_path(way, PathProbe::LEN),
            Err(reason) => self.tally.drop(reason),
        }
        sent.is_ok()
    }

    /// Answers along the way that the probe came.
    pub(crate) fn answer_path_probe(
        &mut self,
        now: Nanos,
        source: &Source,
        probe: &PathProbe,
    ) -> Result<(), DropReason> {
        let route = source.route.ok_or(DropReason::UnknownShape)?;
        let reply = PathProbeReply {
            slot: probe.slot,
            seq: probe.seq,
            sent_ns: probe.sent_ns,
            hold_ns: 0,
            sent: probe.sent,
            received: self.peers[source.peer].received,
        };
        let way = self.way_back(source.peer, source.class, &route)?;
        self.send(now, &way, |bytes| Body::PathProbeReply(reply).emit(bytes))?;
        self.pay_for_path(&way, PathProbeReply::LEN);
        Ok(())
    }

    /// What a body of so many bytes costs on its first hop.
    fn pay_for_path(&mut self, way: &Way, body: usize) {
        let route = way.route.as_ref().map_or(0, RouteRepr::wire_len);
        let frame = Protected::LEN + route + envelope::OVERHEAD + body;
        if let Some(link) = self.links[way.leg.link].as_deref() {
            self.pace.pay(link.packet_of(frame));
        }
    }

    /// The reversed route, over the link to its first hop.
    pub(crate) fn way_back(
        &self,
        peer: usize,
        class: u8,
        route: &RouteRepr,
    ) -> Result<Way, DropReason> {
        let back = route.reversed().ok_or(DropReason::BadRoute)?;
        let first = self
            .peer_place(back.segments[0])
            .ok_or(DropReason::NoNextHop)?;
        let link = self.peers[first].best.ok_or(DropReason::NoNextHop)?;
        let leg = Leg {
            link,
            class,
            budget: Budget::NONE,
            ecn: 0,
        };
        Ok(Way {
            guarded: false,
            leg,
            peer,
            route: Some(back),
            room: usize::MAX,
            set: None,
            flow: 0,
        })
    }

    pub(crate) fn learn_from_path(
        &mut self,
        now: Nanos,
        peer: usize,
        reply: &PathProbeReply,
    ) -> Result<(), DropReason> {
        let rtt = now
            .checked_sub(reply.sent_ns)
            .ok_or(DropReason::BadValue)?
            .saturating_sub(reply.hold_ns.into());
        let destination = self.peers[peer].id;
        let Some((place, path)) = self.routes.named(destination, reply.slot) else {
            return Ok(()); // a path of an older snapshot
        };
        let state = &mut self.routes.sets[place].paths[path];
        state.counts.told(reply.sent_ns, reply.sent, reply.received);
        if reply.seq & PADDED != 0 {
            state.mtu.answered(now, reply.seq & !PADDED, u16::MAX);
            self.routes.dues.set(place, now); // it may have more to ask
            return Ok(());
        }
        let proofs = state.liveness.unanswered_limit();
        let counts = (reply.sent, reply.received);
        state.mtu.small_answered(now, reply.seq, counts, proofs);
        if state.mtu.poll_timeout() <= now {
            self.routes.dues.set(place, now);
        }
        if rtt > 0 {
            state.samples.add(rtt);
        }
        let turn = state.liveness.answered(reply.sent_ns, rtt);
        if let Turn::TakenBack(since) = turn {
            state.take_back(since);
        }
        if turn != Turn::Nothing {
            self.choose_path(now, place);
        }
        Ok(())
    }

    /// Chooses among all sets of paths anew, after links have changed.
    pub(crate) fn reroute(&mut self, now: Nanos) {
        for place in 0..self.routes.sets.len() {
            self.choose_path(now, place);
        }
        self.flush_waiting(now);
    }

    /// Whether that changed the path of traffic.
    fn choose_path(&mut self, now: Nanos, place: usize) -> bool {
        self.look_after(now, place);
        let Self { routes, peers, .. } = self;
        let set = &mut routes.sets[place];
        let switched = set.choose(now, |via| peers[via].up);
        // Where nothing is sent, nothing moves.
        let Some(switched) = switched.filter(|_| set.watch(now) != Watch::Not) else {
            return false;
        };
        self.routes.dues.set(place, now);
        self.report_switch(now, place, switched);
        true
    }

    pub(crate) fn report_switch(&mut self, now: Nanos, place: usize, switched: Switched) {
        let set = &self.routes.sets[place];
        self.output.events.push(Event::Switch {
            at_ns: now,
            generation: self.tables.generation,
            destination: set.destination,
            class: set.class,
            from: switched.from,
            to: switched.to,
            reason: switched.reason,
        });
    }
}
