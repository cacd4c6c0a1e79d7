//! All sessions of a node: configuration, the packet path (seal, open), time. Handshake messages are in `exchange`. Pure.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::SocketAddr;

use overlayd_wire::Sealed;
use overlayd_wire::envelope::TAG_LEN;
use zeroize::Zeroizing;

use super::admission::Admission;
use super::association::{Association, Life, Place, Todo};
use super::cookie::Cookies;
use super::crypto::{Identity, Key, PublicKeys};
use super::handshake::Agreement;
use super::slots::Slots;
use super::{Action, Layer, LinkSettings, Opened, Random, Ready, Scope, Settings};
use crate::{DropReason, Nanos};

/// See the module's documentation for the contract.
pub struct Sessions {
    pub(super) identity: Identity,
    pub(super) boot: u64,
    pub(super) key_log: bool,
    pub(super) random: Random,
    pub(super) node: u16,
    /// Of handshakes end to end; those of a link have the link's.
    pub(super) lane: u8,
    pub(super) agreement: Option<Agreement>,
    pub(super) peers_by_key: BTreeMap<Key, u16>,
    /// By peer, in order of their ids.
    pub(super) links_by_peer: BTreeMap<u16, Vec<u16>>,
    pub(super) associations: Associations,
    pub(super) slots: Slots,
    pub(super) cookies: Cookies,
    pub(super) admission: Admission,
    /// Answered inits that wait for their initiator.
    pub(super) half_open: usize,
    /// Of the last init; every one is later than that before.
    pub(super) stamp: u64,
    pub(super) actions: VecDeque<Action>,
    timers: BTreeSet<(Nanos, Scope)>,
}

impl Sessions {
    /// `boot`: how often this node has started. `key_log`: report keys as [`Action::KeyLog`].
    pub fn new(
        private_key: [u8; 32],
        boot: u64,
        mut random: Random,
        key_log: bool,
        now: Nanos,
    ) -> Self {
        Self {
            identity: Identity::new(private_key),
            boot,
            key_log,
            node: 0,
            lane: 0,
            agreement: None,
            peers_by_key: BTreeMap::new(),
            links_by_peer: BTreeMap::new(),
            associations: Associations::default(),
            slots: Slots::new(&mut random),
            cookies: Cookies::new(random.fork(), now),
            admission: Admission::new(&mut random),
            half_open: 0,
            stamp: 0,
            actions: VecDeque::new(),
            timers: BTreeSet::new(),
            random,
        }
    }

    pub fn public_key(&self) -> [u8; 32] {
        self.identity.public.key
    }

    /// Takes over a snapshot. Sessions of peers and links that stay as they are live on; all others are gone at once, and so is what a
    /// peer without an entry could still send. Another network, suite, key or node id ends every session.
    pub fn configure(&mut self, now: Nanos, settings: &Settings) {
        let agreement = Agreement {
            network: settings.network,
            suite: settings.suite,
            psk: Zeroizing::new(settings.psk),
        };
        let same = self.node == settings.node && self.agreement.as_ref() == Some(&agreement);
        let keys: BTreeMap<u16, Key> = settings
            .peers
            .iter()
            .map(|peer| (peer.id, peer.public_key))
            .collect();
        let links: BTreeMap<u16, &LinkSettings> =
            settings.links.iter().map(|link| (link.id, link)).collect();
        for scope in self.associations.scopes() {
            let stays = same
                && self.associations.get(scope).is_some_and(|association| {
                    keys.get(&association.peer) == Some(&association.keys.key)
                        && match (scope, &association.place) {
                            (Scope::Hop(id), Some(place)) => links
                                .get(&id)
                                .is_some_and(|link| is_same(link, association.peer, place)),
                            _ => true,
                        }
                });
            if !stays {
                self.tear_down(scope);
                self.associations.set(scope, None);
            }
        }
        self.node = settings.node;
        self.agreement = Some(agreement);
        self.peers_by_key = keys.iter().map(|(id, key)| (*key, *id)).collect();
        self.links_by_peer.clear();
        for (peer, key) in &keys {
            self.add(now, Scope::EndToEnd(*peer), *peer, *key, None);
        }
        for (id, link) in links {
            let Some(key) = keys.get(&link.peer) else {
                continue;
            };
            self.links_by_peer.entry(link.peer).or_default().push(id);
            self.add(now, Scope::Hop(id), link.peer, *key, Some(link));
        }
        self.run_timers(now);
    }

    fn add(&mut self, now: Nanos, scope: Scope, peer: u16, key: Key, link: Option<&LinkSettings>) {
        if let Some(association) = self.associations.get_mut(scope) {
            if let (Some(place), Some(link)) = (&mut association.place, link) {
                place.configured = link.remote;
                association.seen_at(now, link.reflexive);
                self.reschedule(scope);
            }
            return;
        }
        let place = link.map(|link| Place {
            uplink: link.uplink,
            lane: link.lane,
            numbering: link.numbering,
            configured: link.remote,
            reflexive: link.reflexive,
            learned: None,
        });
        let leads = self.node < peer;
        let association = Association::new(scope, peer, PublicKeys::new(key), leads, place);
        self.associations.set(scope, Some(Box::new(association)));
    }

    /// Which lane handshakes end to end are of.
    pub(crate) fn set_lane(&mut self, lane: u8) {
        self.lane = lane;
    }

    /// Asks for a session; cheap where there is one or one is under way. A link stays wanted, a peer for 30 s after the last call.
    /// Without an entry in the snapshot, or for a link whose peer has to call first, nothing happens.
    pub fn ensure(&mut self, now: Nanos, scope: Scope) {
        if let Some(association) = self.associations.get_mut(scope) {
            association.want(now);
            self.reschedule(scope);
            self.run_timers(now);
        }
    }

    /// Asks for new keys beside those in use: the peer has fallen silent and may have lost its own. Cheap where a handshake is under way.
    pub fn renew(&mut self, now: Nanos, scope: Scope) {
        let Some(association) = self.associations.get_mut(scope) else {
            return;
        };
        if association.attempt.is_none() && association.can_initiate() {
            self.initiate(now, scope);
            self.reschedule(scope);
        }
    }

    /// Whether [`Self::seal`] works for this scope.
    #[inline]
    pub fn is_ready(&self, scope: Scope) -> bool {
        self.associations
            .get(scope)
            .is_some_and(|association| association.current.is_some())
    }

    /// Seals a datagram in place: 8 bytes of room, the plaintext, 16 bytes of room. Returns the counter that it took.
    #[inline]
    pub fn seal(
        &mut self,
        now: Nanos,
        scope: Scope,
        datagram: &mut [u8],
    ) -> Result<u32, DropReason> {
        let session = self
            .associations
            .get_mut(scope)
            .and_then(|association| association.current.as_mut())
            .ok_or(DropReason::NoSession)?;
        let sealed = session.seal(now, datagram);
        if session.just_reached_rekey() || sealed == Err(DropReason::SessionSpent) {
            self.hurry(now, scope);
        }
        sealed
    }

    /// Seals all of `buffer` from `start`: 8 bytes of room, then the plaintext. The tag is appended; where sealing fails, all from
    /// `start` is removed.
    #[inline]
    pub fn seal_tail(
        &mut self,
        now: Nanos,
        scope: Scope,
        buffer: &mut Vec<u8>,
        start: usize,
    ) -> Result<u32, DropReason> {
        buffer.resize(buffer.len() + TAG_LEN, 0);
        let sealed = match buffer.get_mut(start..) {
            Some(datagram) => self.seal(now, scope, datagram),
            None => Err(DropReason::Truncated),
        };
        if sealed.is_err() {
            buffer.truncate(start);
        }
        sealed
    }

    /// Opens a sealed datagram in place. `layer`: where it was found. The first authentic datagram on a new session makes that the one
    /// to send on (see [`Self::poll`]).
    #[inline]
    pub fn open(
        &mut self,
        now: Nanos,
        layer: Layer,
        datagram: &mut [u8],
    ) -> Result<Opened, DropReason> {
        let view = Sealed::parse(datagram)?;
        let (receiver, counter) = (view.receiver(), view.counter());
        let unknown = DropReason::UnknownSession;
        let scope = self
            .slots
            .find(receiver)
            .filter(|scope| scope.layer() == layer)
            .ok_or(unknown)?;
        let association = self.associations.get_mut(scope).ok_or(unknown)?;
        let peer = association.peer;
        let (session, is_next) = association.session(receiver).ok_or(unknown)?;
        let plaintext = session.open(now, counter, datagram)?;
        if is_next {
            self.promote(now, scope);
        }
        Ok(Opened {
            scope,
            peer,
            receiver,
            counter,
            plaintext,
        })
    }

    /// Whether a session has not yet received some counter between two.
    pub fn is_missing(&self, receiver: u32, after: u32, before: u32) -> bool {
        let association = self
            .slots
            .find(receiver)
            .and_then(|scope| self.associations.get(scope));
        association.is_some_and(|association| association.is_missing(receiver, after, before))
    }

    /// Forgets the sessions of a scope (an authentic close arrived). A wanted link is tried again after a second.
    pub fn forget(&mut self, now: Nanos, scope: Scope) {
        self.tear_down(scope);
        if let Some(association) = self.associations.get_mut(scope) {
            if association.place.is_some()
                && association.wanted.is_some()
                && association.can_initiate()
            {
                association.start_at = Some(now + 1_000_000_000);
            }
            self.reschedule(scope);
        }
    }

    /// The peer of a link was proven to be at another address: handshakes go there from now on.
    pub fn set_remote(&mut self, link: u16, remote: SocketAddr) {
        if let Some(place) = self
            .associations
            .get_mut(Scope::Hop(link))
            .and_then(|link| link.place.as_mut())
        {
            place.learned = Some(remote);
        }
    }

    /// Does what is due: retries, renewals, ends.
    pub fn handle_timeout(&mut self, now: Nanos) {
        self.run_timers(now);
    }

    /// When [`Self::handle_timeout`] wants to be called.
    #[inline]
    pub fn poll_timeout(&self) -> Option<Nanos> {
        self.timers.first().map(|(at, _)| *at)
    }

    /// The next thing for the owner to do. To be drained after every call that is not `seal` or `open`, and at the end of a batch of those.
    #[inline]
    pub fn poll(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }

    fn run_timers(&mut self, now: Nanos) {
        while let Some((_, scope)) = self.timers.first().copied().filter(|(at, _)| *at <= now) {
            self.look(now, scope);
        }
    }

    fn look(&mut self, now: Nanos, scope: Scope) {
        let Some(association) = self.associations.get_mut(scope) else {
            return;
        };
        let todo = association.look(now);
        self.carry_out(now, scope, todo);
    }

    fn carry_out(&mut self, now: Nanos, scope: Scope, todo: Todo) {
        for index in todo.released {
            self.slots.release(index);
        }
        if todo.lost_next {
            self.half_open = self.half_open.saturating_sub(1);
        }
        if todo.went_down {
            self.actions.push_back(Action::Down(scope));
        }
        if todo.initiate {
            self.initiate(now, scope);
        }
        self.reschedule(scope);
    }

    /// A look at the scope at the next chance.
    #[cold]
    fn hurry(&mut self, now: Nanos, scope: Scope) {
        if let Some(association) = self.associations.get_mut(scope) {
            association.check_now(now);
            self.reschedule(scope);
        }
    }

    #[cold]
    fn promote(&mut self, now: Nanos, scope: Scope) {
        let Some(association) = self.associations.get_mut(scope) else {
            return;
        };
        let Some(first) = association.promote(now) else {
            return;
        };
        self.half_open = self.half_open.saturating_sub(1);
        if let Some(attempt) = association.attempt.take() {
            self.slots.release(attempt.local);
        }
        self.announce(now, scope, first, false);
    }

    /// Reports the current session as new.
    pub(super) fn announce(&mut self, now: Nanos, scope: Scope, first: bool, confirm: bool) {
        let Some(association) = self.associations.get_mut(scope) else {
            return;
        };
        let Some(session) = &association.current else {
            return;
        };
        let (peer, life) = (association.peer, session.life);
        let restarted = association.life.is_some_and(|known| known != life);
        let ready = Ready {
            scope,
            peer,
            first,
            restarted,
            via: session.via,
            observed_port: session.observed_port,
            confirm,
        };
        association.life = Some(life);
        if restarted {
            self.forget_former_lives(now, scope, peer, life);
        }
        self.actions.push_back(Action::Ready(ready));
        self.reschedule(scope);
    }

    /// A peer that has started anew has none of its old keys, and its numbers begin again: what it sealed before may still be on its way, or be held
    /// back by somebody, and could be taken for what it says now.
    fn forget_former_lives(&mut self, now: Nanos, announced: Scope, peer: u16, life: Life) {
        let links = self.links_by_peer.get(&peer).cloned().unwrap_or_default();
        let hops = links.into_iter().map(Scope::Hop);
        for scope in hops.chain([Scope::EndToEnd(peer)]) {
            if let Some(association) = self.associations.get_mut(scope) {
                let todo = association.keep_lives(now, |other| {
                    other == life || scope != announced && other.boot() == life.boot()
                });
                self.carry_out(now, scope, todo);
            }
        }
    }

    fn tear_down(&mut self, scope: Scope) {
        let Some(association) = self.associations.get_mut(scope) else {
            return;
        };
        if association.current.is_some() {
            self.actions.push_back(Action::Down(scope));
        }
        if association.next.is_some() {
            self.half_open = self.half_open.saturating_sub(1);
        }
        for index in association.clear() {
            self.slots.release(index);
        }
        self.reschedule(scope);
    }

    /// Puts the scope's timer where its association wants it.
    pub(super) fn reschedule(&mut self, scope: Scope) {
        let Some(association) = self.associations.get_mut(scope) else {
            return;
        };
        let due = association.next_due();
        let before = std::mem::replace(&mut association.due, due);
        if before != due {
            if let Some(at) = before {
                self.timers.remove(&(at, scope));
            }
            if let Some(at) = due {
                self.timers.insert((at, scope));
            }
        }
    }
}

fn is_same(link: &LinkSettings, peer: u16, place: &Place) -> bool {
    (link.peer, link.uplink, link.lane, link.numbering)
        == (peer, place.uplink, place.lane, place.numbering)
}

/// Associations by link and by peer: one step to each.
#[derive(Default)]
pub(super) struct Associations {
    links: Vec<Option<Box<Association>>>,
    peers: Vec<Option<Box<Association>>>,
}

impl Associations {
    #[inline]
    pub(super) fn get(&self, scope: Scope) -> Option<&Association> {
        match scope {
            Scope::Hop(id) => self.links.get(usize::from(id))?.as_deref(),
            Scope::EndToEnd(id) => self.peers.get(usize::from(id))?.as_deref(),
        }
    }

    #[inline]
    pub(super) fn get_mut(&mut self, scope: Scope) -> Option<&mut Association> {
        match scope {
            Scope::Hop(id) => self.links.get_mut(usize::from(id))?.as_deref_mut(),
            Scope::EndToEnd(id) => self.peers.get_mut(usize::from(id))?.as_deref_mut(),
        }
    }

    fn set(&mut self, scope: Scope, association: Option<Box<Association>>) {
        let (table, id) = match scope {
            Scope::Hop(id) => (&mut self.links, usize::from(id)),
            Scope::EndToEnd(id) => (&mut self.peers, usize::from(id)),
        };
        if table.len() <= id && association.is_some() {
            table.resize_with(id + 1, || None);
        }
        if let Some(entry) = table.get_mut(id) {
            *entry = association;
        }
    }

    fn scopes(&self) -> Vec<Scope> {
        let links = self
            .links
            .iter()
            .flatten()
            .map(|association| association.scope);
        links
            .chain(
                self.peers
                    .iter()
                    .flatten()
                    .map(|association| association.scope),
            )
            .collect()
    }
}
