//! Two ends, a wire with delay between them, and virtual time: sessions as a dialogue.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests fail by panicking"
)]

mod attacks;
mod meeting;
mod nat;
mod renewal;

use std::collections::BTreeMap;
use std::net::SocketAddr;

use super::*;
use crate::snapshot::Suite;
use crate::{DropReason, Nanos};

const MS: Nanos = 1_000_000;
const SECOND: Nanos = 1_000_000_000;
const NETWORK: u32 = 0x0a0b_0c0d;

/// Place of an end in [`Pair::ends`]; its node id is one more.
const A: usize = 0;
const B: usize = 1;
/// Their links to each other.
const LINK: [u16; 2] = [10, 20];
const HOP: [Scope; 2] = [Scope::Hop(10), Scope::Hop(20)];
const END_TO_END: [Scope; 2] = [Scope::EndToEnd(2), Scope::EndToEnd(1)];

fn private_key(end: usize) -> [u8; 32] {
    [end as u8 + 1; 32]
}

fn address(end: usize) -> SocketAddr {
    format!("192.0.2.{}:4{}", end + 1, end).parse().unwrap()
}

/// Settings of an end; its link knows the other's address unless `calls` is false.
fn settings(end: usize, calls: bool) -> Settings {
    let other = 1 - end;
    Settings {
        node: end as u16 + 1,
        network: NETWORK,
        suite: Suite::Aes256Gcm,
        psk: [0x77; 32],
        peers: vec![PeerSettings {
            id: other as u16 + 1,
            public_key: public_key(&private_key(other)),
        }],
        links: vec![LinkSettings {
            id: LINK[end],
            peer: other as u16 + 1,
            uplink: 0,
            remote: calls.then(|| address(other)),
            reflexive: None,
            lane: 0,
            numbering: 0,
        }],
    }
}

struct End {
    sessions: Sessions,
    address: SocketAddr,
    /// What came out, handshake messages apart.
    events: Vec<Action>,
    /// Counts of handshake messages sent, by kind (1 to 3).
    sent: [usize; 4],
    heard: Vec<(Scope, String)>,
    drops: Vec<DropReason>,
}

impl End {
    fn new(end: usize, boot: u64, now: Nanos) -> Self {
        let random = Random::new([end as u8 ^ boot as u8; 32]);
        Self {
            sessions: Sessions::new(private_key(end), boot, random, true, now),
            address: address(end),
            events: Vec::new(),
            sent: [0; 4],
            heard: Vec::new(),
            drops: Vec::new(),
        }
    }

    fn ready(&self) -> Vec<&Ready> {
        self.events
            .iter()
            .filter_map(|event| {
                if let Action::Ready(ready) = event {
                    Some(ready)
                } else {
                    None
                }
            })
            .collect()
    }

    fn downs(&self) -> Vec<Scope> {
        self.events
            .iter()
            .filter_map(|event| {
                if let Action::Down(scope) = event {
                    Some(*scope)
                } else {
                    None
                }
            })
            .collect()
    }

    /// Local and remote index of the session that is sent on.
    fn current(&self, scope: Scope) -> Option<(u32, u32)> {
        self.sessions
            .associations
            .get(scope)?
            .current
            .as_ref()
            .map(|session| (session.local, session.remote))
    }
}

/// Something under way on the wire.
#[derive(Clone, Debug)]
struct Parcel {
    from: usize,
    to: usize,
    layer: Layer,
    source: SocketAddr,
    bytes: Vec<u8>,
}

struct Pair {
    ends: [End; 2],
    now: Nanos,
    delay: Nanos,
    wire: BTreeMap<(Nanos, usize), Parcel>,
    count: usize,
    /// Everything that was ever put on the wire.
    captured: Vec<Parcel>,
    /// Whether a parcel is lost.
    loses: Box<dyn FnMut(&Parcel) -> bool>,
    /// What is added to the delay of a parcel.
    holds: Box<dyn FnMut() -> Nanos>,
}

impl Pair {
    /// Both ends configured, nobody has begun.
    fn new() -> Self {
        let mut pair = Self {
            ends: [End::new(A, 1, 0), End::new(B, 1, 0)],
            now: 0,
            delay: 20 * MS,
            wire: BTreeMap::new(),
            count: 0,
            captured: Vec::new(),
            loses: Box::new(|_| false),
            holds: Box::new(|| 0),
        };
        for end in [A, B] {
            pair.ends[end].sessions.configure(0, &settings(end, true));
        }
        pair
    }

    /// Both scopes are up.
    fn connected() -> Self {
        let mut pair = Self::new();
        pair.ensure(A, HOP[A]);
        pair.ensure(A, END_TO_END[A]);
        pair.run_for(SECOND);
        assert!(
            [A, B]
                .iter()
                .all(|end| pair.is_up(*end, HOP[*end]) && pair.is_up(*end, END_TO_END[*end]))
        );
        pair
    }

    fn is_up(&self, end: usize, scope: Scope) -> bool {
        self.ends[end].sessions.is_ready(scope)
    }

    fn ensure(&mut self, end: usize, scope: Scope) {
        self.ends[end].sessions.ensure(self.now, scope);
        self.collect(end);
    }

    fn configure(&mut self, end: usize, settings: &Settings) {
        self.ends[end].sessions.configure(self.now, settings);
        self.collect(end);
    }

    /// Replaces an end by one that knows nothing but its keys and how often it has started.
    fn restart(&mut self, end: usize, boot: u64) {
        self.ends[end] = End::new(end, boot, self.now);
        self.ends[end]
            .sessions
            .configure(self.now, &settings(end, true));
        self.wire.retain(|_, parcel| parcel.to != end);
    }

    /// Seals a text and puts it on the wire.
    fn say(&mut self, end: usize, scope: Scope, text: &str) -> Result<u32, DropReason> {
        let mut bytes = [&[0; 8], text.as_bytes()].concat();
        let counter = self.ends[end]
            .sessions
            .seal_tail(self.now, scope, &mut bytes, 0)?;
        self.put(end, scope.layer(), bytes);
        Ok(counter)
    }

    fn put(&mut self, from: usize, layer: Layer, bytes: Vec<u8>) {
        let parcel = Parcel {
            from,
            to: 1 - from,
            layer,
            source: self.ends[from].address,
            bytes,
        };
        self.captured.push(parcel.clone());
        if !(self.loses)(&parcel) {
            let at = self.now + self.delay + (self.holds)();
            self.inject(at, parcel);
        }
    }

    fn inject(&mut self, at: Nanos, parcel: Parcel) {
        self.wire.insert((at, self.count), parcel);
        self.count += 1;
    }

    fn run_for(&mut self, span: Nanos) {
        let until = self.now + span;
        loop {
            let timers = [A, B].map(|end| self.ends[end].sessions.poll_timeout());
            let arrival = self.wire.first_key_value().map(|((at, _), _)| *at);
            let Some(at) = timers
                .into_iter()
                .chain([arrival])
                .flatten()
                .min()
                .filter(|at| *at <= until)
            else {
                break;
            };
            self.now = self.now.max(at);
            for end in [A, B] {
                self.ends[end].sessions.handle_timeout(self.now);
                self.collect(end);
                let next = self.ends[end].sessions.poll_timeout();
                assert!(
                    next.is_none_or(|next| next > self.now),
                    "a timer that was served stays due"
                );
            }
            while let Some(entry) = self
                .wire
                .first_entry()
                .filter(|entry| entry.key().0 <= self.now)
            {
                let parcel = entry.remove();
                self.deliver(parcel);
            }
        }
        self.now = until;
    }

    fn deliver(&mut self, mut parcel: Parcel) {
        let via = match parcel.layer {
            Layer::Hop => Via::Underlay {
                uplink: 0,
                remote: parcel.source,
            },
            Layer::EndToEnd => Via::Route {
                peer: parcel.from as u16 + 1,
            },
        };
        let end = &mut self.ends[parcel.to];
        let taken = if parcel.bytes.first().is_some_and(|byte| byte >> 4 == 4) {
            end.sessions
                .open(self.now, parcel.layer, &mut parcel.bytes)
                .map(|opened| {
                    assert_eq!(opened.peer, parcel.from as u16 + 1);
                    let text = String::from_utf8(parcel.bytes[opened.plaintext].to_vec()).unwrap();
                    end.heard.push((opened.scope, text));
                })
        } else {
            end.sessions.handle_handshake(self.now, via, &parcel.bytes)
        };
        if let Err(reason) = taken {
            end.drops.push(reason);
        }
        self.collect(parcel.to);
    }

    /// Does what an owner does: sends messages, and confirms what it began.
    fn collect(&mut self, end: usize) {
        while let Some(action) = self.ends[end].sessions.poll() {
            match action {
                Action::Send { via, bytes } => {
                    self.ends[end].sent[usize::from(bytes[0] >> 4)] += 1;
                    if via
                        .remote()
                        .is_none_or(|remote| remote == self.ends[1 - end].address)
                    {
                        self.put(end, via.layer(), bytes);
                    }
                }
                Action::Ready(ready) => {
                    let (scope, confirm) = (ready.scope, ready.confirm);
                    self.ends[end].events.push(Action::Ready(ready));
                    if confirm {
                        self.say(end, scope, "confirm").unwrap();
                    }
                }
                other => self.ends[end].events.push(other),
            }
        }
    }

    /// Texts that an end has heard, confirmations apart.
    fn heard(&self, end: usize) -> Vec<&str> {
        self.ends[end]
            .heard
            .iter()
            .map(|(_, text)| text.as_str())
            .filter(|text| *text != "confirm")
            .collect()
    }

    /// Both ends send on one and the same session.
    fn assert_agreed(&self, scopes: [Scope; 2]) {
        let (a, b) = (
            self.ends[A].current(scopes[A]).unwrap(),
            self.ends[B].current(scopes[B]).unwrap(),
        );
        assert_eq!(a, (b.1, b.0));
    }
}
