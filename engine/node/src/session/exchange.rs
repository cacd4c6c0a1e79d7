//! Handshake messages as they come and go: who may begin, who is answered with a cookie, what becomes a session. Pure.
//!
//! An init passes, in this order: form, network, mac1 (strangers end here, in silence), cookie or admission, Noise, the peer and link that it
//! claims to be, freshness. Only then is anything kept, and nothing that works is touched before the initiator has shown that it has the keys.

use overlayd_wire::handshake::MAC_LEN;
use overlayd_wire::{CookieReply, Init, InitPayload, Kind, Response, ResponsePayload};

use super::association::{Attempt, COOKIE_LIFE, Life, Made, NEXT_LIFE, Session};
use super::handshake::{Initiator, Keys, Responder};
use super::{Action, KeyRecord, Layer, Scope, Sessions, Via, cookie};
use crate::{DropReason, Nanos};

/// More answered inits than this waiting for their initiators, and every new one has to bring a cookie.
const HALF_OPEN_MOST: usize = 1_024;

impl Sessions {
    /// Takes a handshake message (kinds 1 to 3). Answers and what follows are found by [`Self::poll`].
    pub fn handle_handshake(
        &mut self,
        now: Nanos,
        via: Via,
        message: &[u8],
    ) -> Result<(), DropReason> {
        match Kind::of(message)? {
            Kind::Init => self.handle_init(now, via, message),
            Kind::Response => self.handle_response(now, via, message),
            Kind::CookieReply => self.handle_cookie_reply(now, via, message),
            Kind::Sealed => Err(DropReason::UnknownKind),
        }
    }

    fn handle_init(&mut self, now: Nanos, via: Via, message: &[u8]) -> Result<(), DropReason> {
        let init = Init::parse(message)?;
        if self
            .agreement
            .as_ref()
            .is_none_or(|agreement| agreement.network != init.network)
        {
            return Err(DropReason::WrongNetwork);
        }
        if !super::crypto::equal(
            &self.identity.public.mac1(init.macs.before_mac1),
            init.macs.mac1,
        ) {
            return Err(DropReason::BadMac);
        }
        let proven = self.admit(now, via, &init)?;
        let ephemeral = self.random.bytes();
        let agreement = self.agreement.as_ref().ok_or(DropReason::WrongNetwork)?;
        let responder = Responder::new(&self.identity, agreement, via.layer(), &init, ephemeral)?;
        let scope = self.scope_of(via, &responder)?;
        let freshness = (Life(responder.payload.boot).boot(), responder.payload.stamp);
        let association = self
            .associations
            .get(scope)
            .ok_or(DropReason::UnknownLink)?;
        let stale = association
            .accepted
            .is_some_and(|accepted| freshness <= accepted);
        if stale && (!proven || association.next.is_some()) {
            self.ask_for_cookie(now, via, &init);
            return Err(DropReason::CookieRequired);
        }
        self.answer(now, via, scope, init.sender, responder, stale)
    }

    /// Whether the init is worth the cost of Noise, and whether its source was proven by a cookie.
    fn admit(&mut self, now: Nanos, via: Via, init: &Init<'_>) -> Result<bool, DropReason> {
        if self.cookies.is_shown(now, via, &init.macs) {
            let admitted = self.admission.take_proven(now, via);
            return if admitted {
                Ok(true)
            } else {
                Err(DropReason::HandshakeRate)
            };
        }
        if self.admission.take_stranger(now, via) && self.half_open < HALF_OPEN_MOST {
            return Ok(false);
        }
        self.ask_for_cookie(now, via, init);
        Err(DropReason::CookieRequired)
    }

    fn ask_for_cookie(&mut self, now: Nanos, via: Via, init: &Init<'_>) {
        let reply = self
            .cookies
            .reply(now, via, &self.identity.public, &init.macs, init.sender);
        self.actions
            .extend(reply.map(|bytes| Action::Send { via, bytes }));
    }

    /// Which of our scopes the initiator means: the peer whose key it has; over the underlay, the link that fits best.
    fn scope_of(&self, via: Via, responder: &Responder) -> Result<Scope, DropReason> {
        let peer = *self
            .peers_by_key
            .get(&responder.peer)
            .ok_or(DropReason::UnknownPeer)?;
        if responder.payload.node != peer {
            return Err(DropReason::UnknownPeer);
        }
        match via {
            Via::Route { peer: source } if source == peer => {
                let ours = responder.payload.lane == self.lane;
                ours.then_some(Scope::EndToEnd(peer))
                    .ok_or(DropReason::UnknownLink)
            }
            Via::Route { .. } => Err(DropReason::UnknownPeer),
            Via::Underlay { uplink, remote } => {
                let links = self.links_by_peer.get(&peer).map_or(&[][..], Vec::as_slice);
                let life = Life(responder.payload.boot);
                let fitting = links.iter().filter_map(|id| {
                    let association = self.associations.get(Scope::Hop(*id))?;
                    let place = association.place.as_ref()?;
                    if (place.uplink, place.lane) != (uplink, responder.payload.lane) {
                        return None;
                    }
                    let rank = if place.known().any(|at| at == remote) {
                        0
                    } else if place.known().any(|at| at.ip() == remote.ip()) {
                        1
                    } else if place.configured.is_none() {
                        2
                    } else {
                        3
                    };
                    Some((rank, association.is_taken(life), *id))
                });
                fitting
                    .min()
                    .map(|(.., id)| Scope::Hop(id))
                    .ok_or(DropReason::UnknownLink)
            }
        }
    }

    /// Answers an init that passed everything.
    fn answer(
        &mut self,
        now: Nanos,
        via: Via,
        scope: Scope,
        receiver: u32,
        responder: Responder,
        stale: bool,
    ) -> Result<(), DropReason> {
        let (hello, layer) = (responder.payload, scope.layer());
        let agreement = self.agreement.as_ref().ok_or(DropReason::WrongNetwork)?;
        let association = self
            .associations
            .get_mut(scope)
            .ok_or(DropReason::UnknownLink)?;
        let payload = ResponsePayload {
            node: self.node,
            lane: hello.lane,
            boot: association.own_life(self.boot).0,
            observed_port: via.remote().map_or(0, |remote| remote.port()),
        };
        let local = self
            .slots
            .take(scope, &mut self.random)
            .ok_or(DropReason::HandshakeRate)?;
        let made = Made {
            local,
            remote: receiver,
            life: Life(hello.boot),
            via,
            observed_port: None,
        };
        let answered = responder
            .respond(agreement, &association.keys, local, receiver, payload)
            .and_then(|(bytes, keys)| {
                let session = Session::new(now, layer, agreement.suite, &keys, made)?;
                Ok((bytes, session, keys))
            });
        let (bytes, session, keys) = match answered {
            Ok(answered) => answered,
            Err(reason) => {
                self.slots.release(local);
                return Err(reason);
            }
        };
        let freshness = (Life(hello.boot).boot(), hello.stamp);
        if !stale {
            association.accepted = Some(freshness);
        }
        match association.put_next(now, session, freshness) {
            Some(replaced) => self.slots.release(replaced.session.local),
            None => self.half_open += 1,
        }
        // Both began at once: the one with the higher id gives way, so that both ends keep the same session.
        if !association.leads
            && let Some(attempt) = association.attempt.take()
        {
            self.slots.release(attempt.local);
            association.start_at = association.current.is_none().then_some(now + NEXT_LIFE);
        }
        let peer = association.peer;
        self.actions.push_back(Action::Send {
            via,
            bytes: bytes.to_vec(),
        });
        self.log_keys(scope, peer, (local, receiver), &keys);
        self.reschedule(scope);
        Ok(())
    }

    fn handle_response(&mut self, now: Nanos, via: Via, message: &[u8]) -> Result<(), DropReason> {
        let response = Response::parse(message)?;
        if !super::crypto::equal(
            &self.identity.public.mac1(response.macs.before_mac1),
            response.macs.mac1,
        ) {
            return Err(DropReason::BadMac);
        }
        let agreement = self.agreement.as_ref().ok_or(DropReason::WrongNetwork)?;
        let scope = self.asked(via, response.receiver)?;
        let association = self
            .associations
            .get_mut(scope)
            .ok_or(DropReason::UnexpectedAnswer)?;
        let attempt = association
            .attempt_at(response.receiver)
            .ok_or(DropReason::UnexpectedAnswer)?;
        let (payload, keys) = attempt.initiator.read(agreement, &response)?;
        let (via, peer) = (attempt.via, association.peer);
        if payload.node != peer {
            return Err(DropReason::UnknownPeer);
        }
        let (local, remote) = (response.receiver, response.sender);
        let observed_port = Some(payload.observed_port).filter(|port| *port != 0);
        let made = Made {
            local,
            remote,
            life: Life(payload.boot),
            // Where the init went, whatever address the answer bears: nobody but the peer can have answered it there.
            via,
            observed_port,
        };
        let session = Session::new(now, scope.layer(), agreement.suite, &keys, made)?;
        let had_next = association.next.is_some();
        let first = association.establish(now, session);
        if had_next {
            self.half_open = self.half_open.saturating_sub(1);
        }
        self.log_keys(scope, peer, (local, remote), &keys);
        self.announce(now, scope, first, true);
        Ok(())
    }

    fn handle_cookie_reply(
        &mut self,
        now: Nanos,
        via: Via,
        message: &[u8],
    ) -> Result<(), DropReason> {
        let reply = CookieReply::parse(message)?;
        let scope = self.asked(via, reply.receiver)?;
        let association = self
            .associations
            .get_mut(scope)
            .ok_or(DropReason::UnexpectedAnswer)?;
        let Some(attempt) = association
            .attempt
            .as_mut()
            .filter(|attempt| attempt.local == reply.receiver)
        else {
            return Err(DropReason::UnexpectedAnswer);
        };
        let cookie = cookie::open_reply(&association.keys, &attempt.initiator.mac1(), &reply)
            .ok_or(DropReason::BadTag)?;
        association.cookie = Some((cookie, now));
        // The responder has not looked into the init, so the same one may come again: once, against ping-pong.
        if !std::mem::replace(&mut attempt.showed_cookie, true) {
            let bytes = with_mac2(&attempt.initiator, Some(&cookie));
            let via = attempt.via;
            self.actions.push_back(Action::Send { via, bytes });
        }
        Ok(())
    }

    /// The scope whose init has this index, where the answer came the way that the init could go.
    fn asked(&self, via: Via, index: u32) -> Result<Scope, DropReason> {
        let fits = |scope: &Scope| match via {
            Via::Route { peer } => *scope == Scope::EndToEnd(peer),
            Via::Underlay { .. } => scope.layer() == Layer::Hop,
        };
        let scope = self.slots.find(index).filter(fits);
        scope.ok_or(DropReason::UnexpectedAnswer)
    }

    /// Sends a new init, in the place of one that is out.
    pub(super) fn initiate(&mut self, now: Nanos, scope: Scope) {
        let Some(agreement) = &self.agreement else {
            return;
        };
        let Some(association) = self.associations.get_mut(scope) else {
            return;
        };
        let old = association.attempt.take();
        let tries = old
            .as_ref()
            .map_or(0, |attempt| attempt.tries.saturating_add(1));
        if let Some(old) = old {
            self.slots.release(old.local);
        }
        let pause = association.pause(tries);
        let retry_at = now + pause + self.random.below(pause / 3);
        // Should anything below fail, this is when to try again.
        association.start_at = Some(retry_at);
        let Some(via) = association.way(tries) else {
            return;
        };
        let Some(local) = self.slots.take(scope, &mut self.random) else {
            return;
        };
        self.stamp = now.max(self.stamp.saturating_add(1));
        let hello = InitPayload {
            node: self.node,
            lane: association
                .place
                .as_ref()
                .map_or(self.lane, |place| place.lane),
            boot: association.own_life(self.boot).0,
            stamp: self.stamp,
        };
        let ephemeral = self.random.bytes();
        let (identity, peer) = (&self.identity, &association.keys);
        let made = Initiator::new(
            identity,
            agreement,
            scope.layer(),
            peer,
            local,
            hello,
            ephemeral,
        );
        let Ok(initiator) = made else {
            return self.slots.release(local);
        };
        let cookie = association
            .cookie
            .filter(|(_, at)| now < at + COOKIE_LIFE)
            .map(|(cookie, _)| cookie);
        let bytes = with_mac2(&initiator, cookie.as_ref());
        let showed_cookie = cookie.is_some();
        association.start_at = None;
        association.attempt = Some(Attempt {
            local,
            via,
            initiator,
            retry_at,
            tries,
            showed_cookie,
        });
        self.actions.push_back(Action::Send { via, bytes });
    }

    fn log_keys(&mut self, scope: Scope, peer: u16, (local, remote): (u32, u32), keys: &Keys) {
        let Some(agreement) = self.agreement.as_ref().filter(|_| self.key_log) else {
            return;
        };
        let suite = agreement.suite;
        self.actions
            .extend(
                [(local, &keys.receive), (remote, &keys.send)].map(|(receiver_index, key)| {
                    Action::KeyLog(KeyRecord {
                        scope,
                        peer,
                        receiver_index,
                        suite,
                        key: **key,
                    })
                }),
            );
    }
}

/// The init as it goes out: with mac2, where there is a cookie.
fn with_mac2(initiator: &Initiator, cookie: Option<&cookie::Cookie>) -> Vec<u8> {
    let mut message = initiator.message.to_vec();
    if let (Some(cookie), Some((before, mac2))) =
        (cookie, message.split_last_chunk_mut::<MAC_LEN>())
    {
        *mac2 = cookie::mac2(cookie, before);
    }
    message
}
