//! The sessions of one scope: which is sent on, which are still listened to, and what is under way. Pure.
//!
//! ```text
//!                 init accepted            first authentic datagram on it
//!   (nothing) ───────────────────▶ next ──────────────────────────────────▶ current ──▶ previous (10 s, listens only)
//!       │       init sent                  response read                       ▲
//!       └──────────────────────▶ attempt ──────────────────────────────────────┘
//! ```

use std::net::SocketAddr;
use std::ops::Range;

use overlayd_wire::envelope::COUNTER_END;

use super::cookie::Cookie;
use super::crypto::PublicKeys;
use super::handshake::{Initiator, Keys};
use super::replay::{END_TO_END_BITS, HOP_BITS, Window};
use super::seal::Seal;
use super::{Layer, Scope, Via};
use crate::snapshot::Suite;
use crate::{DropReason, Nanos};

const MS: Nanos = 1_000_000;
const SECOND: Nanos = 1_000_000_000;

/// The leading end renews a session at this age, the other one a little later, should the first not manage.
pub(super) const REKEY_AGE: Nanos = 120 * SECOND;
pub(super) const REKEY_GRACE: Nanos = 10 * SECOND;
/// Keys are gone at this age, whatever happens.
pub(super) const LIFETIME: Nanos = 240 * SECOND;
/// Either end renews a session on which it has sealed so much.
pub(super) const REKEY_COUNTER: u32 = 1 << 26;
/// What was sent on a replaced session may still arrive for this long.
pub(super) const PREVIOUS_LIFE: Nanos = 10 * SECOND;
/// An accepted init that its sender does not confirm is forgotten.
pub(super) const NEXT_LIFE: Nanos = 10 * SECOND;
/// Replaced sessions that are listened to at a time: a peer that renews in a hurry must not fill our memory.
const PREVIOUS_MOST: usize = 3;
/// Went on sending for this long without hearing anything: the peer may have lost the session.
pub(super) const SILENCE: Nanos = 5 * SECOND;
/// How often a session is looked at.
const CHECK: Nanos = 5 * SECOND;
/// How much longer than the other end the one with the higher id waits before it makes the first handshake.
pub(super) const FOLLOWER_WAIT: Nanos = 200 * MS;
/// End to end: nobody has asked for the session for this long, so trying is given up.
const WANTED_FOR: Nanos = 30 * SECOND;
const RETRY_FIRST: Nanos = 250 * MS;
const RETRY_MOST: Nanos = 5 * SECOND;
/// Of a link whose peer is behind a NAT: it may never open. What each end sends keeps its own NAT open for 30 s or more, so two that try at this
/// pace still meet.
const RETRY_REFLEXIVE_MOST: Nanos = 30 * SECOND;
/// A cookie is worth showing for this long.
pub(super) const COOKIE_LIFE: Nanos = 120 * SECOND;

/// One set of keys in use.
pub(super) struct Session {
    /// Index by which the peer names it, and by which we do.
    pub(super) local: u32,
    pub(super) remote: u32,
    seal: Seal,
    open: Seal,
    window: Window,
    /// The next to seal with.
    counter: u32,
    established: Nanos,
    /// The peer's life in which it made this session.
    pub(super) life: Life,
    /// Where its handshake came from.
    pub(super) via: Via,
    pub(super) observed_port: Option<u16>,
    used: Nanos,
    sealed: Nanos,
    /// First thing sealed since the last was opened.
    unanswered: Option<Nanos>,
    check_at: Nanos,
}

/// What tells a peer's sequence numbers apart from others that began at the same start: how often its process has started, and for a link, how
/// often its state was made anew since. In handshakes it is one number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Life(pub(super) u64);

impl Life {
    const BOOT_BITS: u32 = 48;

    pub(super) fn new(boot: u64, numbering: u16) -> Self {
        Self(u64::from(numbering) << Self::BOOT_BITS | boot & ((1 << Self::BOOT_BITS) - 1))
    }

    pub(super) fn boot(self) -> u64 {
        self.0 & ((1 << Self::BOOT_BITS) - 1)
    }
}

/// What a handshake has to say about the session that it made.
pub(super) struct Made {
    pub(super) local: u32,
    pub(super) remote: u32,
    pub(super) life: Life,
    pub(super) via: Via,
    pub(super) observed_port: Option<u16>,
}

impl Session {
    pub(super) fn new(
        now: Nanos,
        layer: Layer,
        suite: Suite,
        keys: &Keys,
        made: Made,
    ) -> Result<Box<Self>, DropReason> {
        let bits = match layer {
            Layer::Hop => HOP_BITS,
            Layer::EndToEnd => END_TO_END_BITS,
        };
        Ok(Box::new(Self {
            local: made.local,
            remote: made.remote,
            seal: Seal::new(suite, &keys.send)?,
            open: Seal::new(suite, &keys.receive)?,
            window: Window::new(bits),
            counter: 0,
            established: now,
            life: made.life,
            via: made.via,
            observed_port: made.observed_port,
            used: now,
            sealed: now,
            unanswered: None,
            check_at: now + CHECK,
        }))
    }

    /// Seals with the next counter, and returns it.
    #[inline]
    pub(super) fn seal(&mut self, now: Nanos, datagram: &mut [u8]) -> Result<u32, DropReason> {
        let counter = self.counter;
        if counter >= COUNTER_END {
            return Err(DropReason::SessionSpent);
        }
        self.counter += 1;
        self.seal.seal(counter, self.remote, datagram)?;
        (self.used, self.sealed) = (now, now);
        self.unanswered.get_or_insert(now);
        Ok(counter)
    }

    #[inline]
    pub(super) fn open(
        &mut self,
        now: Nanos,
        counter: u32,
        datagram: &mut [u8],
    ) -> Result<Range<usize>, DropReason> {
        if !self.window.is_fresh(counter) {
            return Err(DropReason::Replayed);
        }
        let plaintext = self.open.open(counter, datagram)?;
        self.window.commit(counter);
        self.used = now;
        self.unanswered = None;
        Ok(plaintext)
    }

    /// Whether the last seal was the one at which renewal has to begin.
    #[inline]
    pub(super) fn just_reached_rekey(&self) -> bool {
        self.counter == REKEY_COUNTER
    }

    fn is_dead(&self, now: Nanos) -> bool {
        now >= self.established + LIFETIME || self.counter >= COUNTER_END
    }

    /// Whether new keys should be made. What nobody uses is left to die, unless it is to be `kept`.
    fn wants_renewal(&self, now: Nanos, leads: bool, kept: bool) -> bool {
        let old = now >= self.renewal_at(leads) && (kept || now < self.used + REKEY_AGE);
        let silent = self
            .silent_at()
            .is_some_and(|at| now >= at && self.sealed + SECOND >= at);
        old || silent || self.counter >= REKEY_COUNTER
    }

    /// When to look again: at the age of renewal and the end of patience exactly, else every few seconds.
    fn next_check(&self, now: Nanos, leads: bool) -> Nanos {
        let exact = [Some(self.renewal_at(leads)), self.silent_at()];
        let soon = exact.into_iter().flatten().filter(|at| *at > now).min();
        soon.unwrap_or(Nanos::MAX).min(now + CHECK)
    }

    fn renewal_at(&self, leads: bool) -> Nanos {
        self.established + REKEY_AGE + if leads { 0 } else { REKEY_GRACE }
    }

    fn silent_at(&self) -> Option<Nanos> {
        self.unanswered.map(|since| since + SILENCE)
    }

    #[cfg(test)]
    pub(super) fn skip_to(&mut self, counter: u32) {
        self.counter = counter;
    }
}

/// A session that we answered for, and that its initiator has not yet used.
pub(super) struct Next {
    pub(super) session: Box<Session>,
    expires: Nanos,
    /// (boot, stamp) to accept as the newest once the initiator has proven that it is alive.
    pub(super) freshness: (u64, u64),
}

/// An init of ours that is out.
pub(super) struct Attempt {
    pub(super) local: u32,
    /// Where it went.
    pub(super) via: Via,
    pub(super) initiator: Initiator,
    pub(super) retry_at: Nanos,
    /// How many inits were sent before this one.
    pub(super) tries: u32,
    /// This init was sent with a cookie already.
    pub(super) showed_cookie: bool,
}

/// A link, as far as a handshake needs it.
pub(super) struct Place {
    pub(super) uplink: u8,
    pub(super) lane: u8,
    pub(super) numbering: u16,
    pub(super) configured: Option<SocketAddr>,
    /// Where others see the peer, behind its NAT.
    pub(super) reflexive: Option<SocketAddr>,
    /// Where the peer was last proven to be.
    pub(super) learned: Option<SocketAddr>,
}

impl Place {
    /// Where the peer may be: the likeliest first.
    pub(super) fn known(&self) -> impl Iterator<Item = SocketAddr> + use<> {
        [self.learned, self.configured, self.reflexive]
            .into_iter()
            .flatten()
    }
}

pub(super) struct Association {
    pub(super) scope: Scope,
    pub(super) peer: u16,
    pub(super) keys: PublicKeys,
    /// We have the lower node id: ours is the first handshake and the renewal.
    pub(super) leads: bool,
    /// Of a link; none end to end.
    pub(super) place: Option<Place>,
    pub(super) current: Option<Box<Session>>,
    pub(super) next: Option<Next>,
    /// Until when, newest last.
    pub(super) previous: Vec<(Nanos, Box<Session>)>,
    pub(super) attempt: Option<Attempt>,
    pub(super) start_at: Option<Nanos>,
    pub(super) wanted: Option<Nanos>,
    /// (boot, stamp) of the newest init accepted.
    pub(super) accepted: Option<(u64, u64)>,
    /// That of the peer in the newest session that it confirmed.
    pub(super) life: Option<Life>,
    pub(super) cookie: Option<(Cookie, Nanos)>,
    /// As in the table's timers.
    pub(super) due: Option<Nanos>,
}

/// What a look at an association found to do.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Todo {
    /// Receiver indices that are free again.
    pub(super) released: Vec<u32>,
    pub(super) went_down: bool,
    pub(super) lost_next: bool,
    pub(super) initiate: bool,
}

impl Association {
    pub(super) fn new(
        scope: Scope,
        peer: u16,
        keys: PublicKeys,
        leads: bool,
        place: Option<Place>,
    ) -> Self {
        Self {
            scope,
            peer,
            keys,
            leads,
            place,
            current: None,
            next: None,
            previous: Vec::new(),
            attempt: None,
            start_at: None,
            wanted: None,
            accepted: None,
            life: None,
            cookie: None,
            due: None,
        }
    }

    /// The session with this local index, whichever it is; true where it is the unconfirmed one.
    #[inline]
    pub(super) fn session(&mut self, local: u32) -> Option<(&mut Session, bool)> {
        if let Some(session) = self
            .current
            .as_deref_mut()
            .filter(|session| session.local == local)
        {
            return Some((session, false));
        }
        if let Some(next) = self
            .next
            .as_mut()
            .filter(|next| next.session.local == local)
        {
            return Some((&mut next.session, true));
        }
        self.previous
            .iter_mut()
            .map(|(_, session)| &mut **session)
            .find(|session| session.local == local)
            .map(|session| (session, false))
    }

    /// Whether the session with this local index has not received some counter between two.
    pub(super) fn is_missing(&self, local: u32, after: u32, before: u32) -> bool {
        let next = self.next.as_ref().map(|next| &*next.session);
        let previous = self.previous.iter().map(|(_, session)| &**session);
        self.current
            .as_deref()
            .into_iter()
            .chain(next)
            .chain(previous)
            .find(|session| session.local == local)
            .is_some_and(|session| session.window.is_missing(after, before))
    }

    /// The init that is out, where it has this index.
    pub(super) fn attempt_at(&mut self, local: u32) -> Option<&mut Attempt> {
        self.attempt
            .as_mut()
            .filter(|attempt| attempt.local == local)
    }

    /// Somebody wants to send here. A session, an attempt or a planned start is enough.
    pub(super) fn want(&mut self, now: Nanos) {
        self.wanted = Some(now);
        if self.current.is_none()
            && self.attempt.is_none()
            && self.start_at.is_none()
            && self.can_initiate()
        {
            self.start_at = Some(now + if self.leads { 0 } else { FOLLOWER_WAIT });
        }
    }

    /// What we say of ourselves here.
    pub(super) fn own_life(&self, boot: u64) -> Life {
        Life::new(boot, self.place.as_ref().map_or(0, |place| place.numbering))
    }

    /// Whether the peer has another of its links here. An address that no link names may be that of any link to the peer; of two that have moved,
    /// neither takes the other's place.
    pub(super) fn is_taken(&self, life: Life) -> bool {
        let next = self.next.as_ref().map(|next| next.session.life);
        let newest = next.or(self.life);
        newest.is_some_and(|other| other != life && other.boot() == life.boot())
    }

    pub(super) fn can_initiate(&self) -> bool {
        self.place
            .as_ref()
            .is_none_or(|place| place.known().next().is_some())
    }

    /// Where the `tries`-th init goes: where the peer was last, where the snapshot says, and where others see it, in turn.
    pub(super) fn way(&self, tries: u32) -> Option<Via> {
        let Some(place) = &self.place else {
            return Some(Via::Route { peer: self.peer });
        };
        let mut ways: Vec<SocketAddr> = place.known().collect();
        ways.dedup();
        let turn = (tries as usize).checked_rem(ways.len())?;
        Some(Via::Underlay {
            uplink: place.uplink,
            remote: *ways.get(turn)?,
        })
    }

    /// Pause after the `tries`-th init, before jitter.
    pub(super) fn pause(&self, tries: u32) -> Nanos {
        let behind_nat = self
            .place
            .as_ref()
            .is_some_and(|place| place.reflexive.is_some());
        let most = if behind_nat {
            RETRY_REFLEXIVE_MOST
        } else {
            RETRY_MOST
        };
        (RETRY_FIRST << tries.min(10)).min(most)
    }

    /// Others see the peer somewhere: an attempt that is under way goes there next, and the ones after it follow as quickly as the first.
    pub(super) fn seen_at(&mut self, now: Nanos, reflexive: Option<SocketAddr>) {
        let Some(place) = &mut self.place else {
            return;
        };
        if std::mem::replace(&mut place.reflexive, reflexive) == reflexive {
            return;
        }
        let ways = place.known().count();
        if reflexive.is_some()
            && let Some(attempt) = &mut self.attempt
        {
            attempt.tries = ways.saturating_sub(2) as u32;
            attempt.retry_at = now;
        }
    }

    /// The answer to our init is in: `session` is sent on from now. One that the peer began meanwhile is only listened to. Returns
    /// whether there was no session before.
    pub(super) fn establish(&mut self, now: Nanos, session: Box<Session>) -> bool {
        if let Some(next) = self.next.take() {
            self.previous.push((now + PREVIOUS_LIFE, next.session));
        }
        self.attempt = None;
        self.replace_current(now, session)
    }

    /// The initiator has used the session that we answered for. Returns whether there was no session before.
    pub(super) fn promote(&mut self, now: Nanos) -> Option<bool> {
        let next = self.next.take()?;
        self.accepted = Some(next.freshness);
        if let (Some(place), Via::Underlay { remote, .. }) = (&mut self.place, next.session.via) {
            place.learned = Some(remote);
        }
        Some(self.replace_current(now, next.session))
    }

    fn replace_current(&mut self, now: Nanos, session: Box<Session>) -> bool {
        self.start_at = None;
        let old = self.current.replace(session);
        let first = old.is_none();
        self.previous
            .extend(old.map(|old| (now + PREVIOUS_LIFE, old)));
        first
    }

    /// Answers an init: `session` waits for its initiator.
    pub(super) fn put_next(
        &mut self,
        now: Nanos,
        session: Box<Session>,
        freshness: (u64, u64),
    ) -> Option<Next> {
        self.next.replace(Next {
            session,
            expires: now + NEXT_LIFE,
            freshness,
        })
    }

    /// Drops what is over and finds what is due.
    pub(super) fn look(&mut self, now: Nanos) -> Todo {
        let mut todo = Todo::default();
        while self.previous.len() > PREVIOUS_MOST
            || self
                .previous
                .first()
                .is_some_and(|(until, _)| *until <= now)
        {
            todo.released.push(self.previous.remove(0).1.local);
        }
        if let Some(next) = self.next.take_if(|next| next.expires <= now) {
            todo.released.push(next.session.local);
            todo.lost_next = true;
        }
        if let Some(session) = self.current.take_if(|session| session.is_dead(now)) {
            todo.released.push(session.local);
            todo.went_down = true;
        }
        if let Some(attempt) = self
            .attempt
            .as_ref()
            .filter(|attempt| attempt.retry_at <= now)
        {
            if self.is_wanted(now) && self.can_initiate() {
                todo.initiate = true;
            } else {
                todo.released.push(attempt.local);
                self.attempt = None;
            }
        }
        if todo.went_down && self.place.is_some() && self.wanted.is_some() && self.attempt.is_none()
        {
            self.start_at.get_or_insert(now);
        }
        let (leads, kept) = (self.leads, self.place.is_some() && self.wanted.is_some());
        if let Some(session) = self
            .current
            .as_mut()
            .filter(|session| session.check_at <= now)
        {
            todo.initiate |= self.attempt.is_none() && session.wants_renewal(now, leads, kept);
            session.check_at = session.next_check(now, leads);
        }
        if self.start_at.take_if(|at| *at <= now).is_some() {
            todo.initiate |= self.attempt.is_none() && self.current.is_none();
        }
        todo.initiate &= self.can_initiate();
        todo
    }

    /// Drops sessions of other lives. A link that is without one then is to get one, if the peer does not come first.
    pub(super) fn keep_lives(&mut self, now: Nanos, is_kept: impl Fn(Life) -> bool) -> Todo {
        let mut todo = Todo::default();
        let old = |session: &Session| !is_kept(session.life);
        self.previous.retain(|(_, session)| {
            todo.released.extend(old(session).then_some(session.local));
            !old(session)
        });
        if let Some(next) = self.next.take_if(|next| old(&next.session)) {
            todo.released.push(next.session.local);
            todo.lost_next = true;
        }
        if let Some(session) = self.current.take_if(|session| old(session)) {
            todo.released.push(session.local);
            todo.went_down = true;
            if self.place.is_some() && self.wanted.is_some() && self.attempt.is_none() {
                self.start_at.get_or_insert(now + SECOND);
            }
        }
        todo
    }

    /// Renewal is to begin at once.
    pub(super) fn check_now(&mut self, now: Nanos) {
        if let Some(session) = &mut self.current {
            session.check_at = now;
        }
    }

    /// When to look next.
    pub(super) fn next_due(&self) -> Option<Nanos> {
        let too_many = self.previous.len() > PREVIOUS_MOST;
        let previous = self.previous.first();
        let previous = previous.map(|(until, _)| if too_many { 0 } else { *until });
        let next = self.next.as_ref().map(|next| next.expires);
        let attempt = self.attempt.as_ref().map(|attempt| attempt.retry_at);
        let current = self
            .current
            .as_ref()
            .map(|session| session.check_at.min(session.established + LIFETIME));
        [previous, next, attempt, current, self.start_at]
            .into_iter()
            .flatten()
            .min()
    }

    /// Forgets all sessions; returns their indices.
    pub(super) fn clear(&mut self) -> Vec<u32> {
        let next = self.next.take().map(|next| next.session.local);
        let attempt = self.attempt.take().map(|attempt| attempt.local);
        let current = self.current.take().map(|session| session.local);
        let previous = self.previous.drain(..).map(|(_, session)| session.local);
        self.start_at = None;
        previous.chain(next).chain(attempt).chain(current).collect()
    }

    fn is_wanted(&self, now: Nanos) -> bool {
        let recently = |at: Nanos| now < at + WANTED_FOR;
        self.place.is_some()
            || self.wanted.is_some_and(recently)
            || self
                .current
                .as_ref()
                .is_some_and(|session| recently(session.used))
    }
}
