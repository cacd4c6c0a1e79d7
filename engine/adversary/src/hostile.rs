//! The enrolled peer that is hostile. Its node is a real one; what that says is opened on its way out, changed, and sealed again with the same keys.
//!
//! Here are its keys and what it remembers. What it invents is in `forge`. Counters are its own from the first datagram on: those of its node are
//! replaced. End to end, where its node's frames may be under repair and must not change, its own frames count from far ahead. Pure.

use std::collections::{BTreeMap, VecDeque};

use overlayd_netem::Rng;
use overlayd_node::Event;
use overlayd_node::session::Seal;
use overlayd_node::snapshot::Suite;
use overlayd_wire::envelope::{HEADER_LEN, Kind, TAG_LEN};
use overlayd_wire::{Frame, Protected, RouteView, Sealed};

use crate::dice::{flip, pick};
use crate::mesh::HOSTILE;
use crate::oracle::NODES;
use crate::stream::Stream;

/// Keys that are remembered; older ones are of no use.
const KEYS: usize = 512;
const KEYS_OF_ONE: usize = 4;
/// Frames that are remembered, by type.
const REMEMBERED: usize = 128;
/// How far ahead of its node's counters its own are, end to end.
const AHEAD: u32 = 12_000;
/// Of what its node says, so much is changed.
const CHANGED: f64 = 0.05;
const FRAME_TYPES: usize = 16;

#[derive(Default)]
pub(crate) struct Hostile {
    /// By receiver index: the one in use first. An init that is answered twice makes two.
    keys: BTreeMap<u32, Vec<Key>>,
    order: VecDeque<u32>,
    /// By node: the receiver index of the session in use.
    pub(crate) hop: [Option<u32>; NODES],
    pub(crate) end: [Option<u32>; NODES],
    /// Plaintexts that its node sent, or was sent, by type.
    pub(crate) frames: Vec<Vec<Vec<u8>>>,
    pub(crate) bodies: Vec<Vec<u8>>,
    /// Sealed end-to-end datagrams of others that it was to relay, with their source and egress.
    pub(crate) relayed: Vec<(u16, u16, Vec<u8>)>,
    /// The latest handshakes of others that it was to relay, and of its own node, end to end.
    pub(crate) handshakes: Vec<(u16, u16, Vec<u8>)>,
    /// By node and class: the number of the last protected frame that was heard.
    pub(crate) heard: [[u32; 16]; NODES],
    /// The same of what its own node said.
    pub(crate) said: [[u32; 16]; NODES],
    pub(crate) streams: BTreeMap<(u16, u8), Stream>,
    pub(crate) pieces: u16,
    /// Its node speaks as it is; nothing is changed.
    pub(crate) calm: bool,
}

struct Key {
    seal: Seal,
    next: u32,
}

impl Hostile {
    /// Its own node reports the keys that it agrees on.
    pub(crate) fn learn(&mut self, event: &Event) {
        let Event::KeyLog {
            scope,
            receiver_index,
            suite,
            key,
            ..
        } = event
        else {
            return;
        };
        let suite = if *suite == "aes256-gcm" {
            Suite::Aes256Gcm
        } else {
            Suite::Chacha20Poly1305
        };
        let Some(seal) = from_hex(key).and_then(|key| Seal::new(suite, &key).ok()) else {
            return;
        };
        let next = if *scope == "hop" { 0 } else { AHEAD };
        let keys = self.keys.entry(*receiver_index).or_default();
        if keys.is_empty() {
            self.order.push_back(*receiver_index);
        }
        keys.truncate(KEYS_OF_ONE - 1);
        keys.push(Key { seal, next });
        if self.order.len() > KEYS
            && let Some(old) = self.order.pop_front()
        {
            self.keys.remove(&old);
        }
    }

    /// A datagram of its node leaves for `target`. True: what it says was changed.
    pub(crate) fn pass(&mut self, rng: &mut Rng, target: u16, datagram: &mut Vec<u8>) -> bool {
        let Some((receiver, mut plaintext)) = self.open_and_use(datagram) else {
            return false;
        };
        self.hop[usize::from(target)] = Some(receiver);
        if let Ok(Frame::Direct(header, _) | Frame::Routed(header, _)) = Frame::parse(&plaintext) {
            self.said[usize::from(target)][usize::from(header.class)] = header.seq;
        }
        self.note_end(&plaintext);
        self.remember(rng, &plaintext);
        let changed = !self.calm && rng.chance(CHANGED);
        if changed {
            // A number that is far off would make all that follows unheard.
            let from = if rng.chance(0.02) {
                0
            } else {
                Protected::LEN.min(plaintext.len() - 1)
            };
            flip(rng, &mut plaintext[from..]);
        }
        self.seal(receiver, &plaintext, datagram);
        changed
    }

    /// A node's process has started anew, or all of them have for all that its own knows: numbers begin again.
    pub(crate) fn restarted(&mut self, id: u16) {
        self.streams
            .retain(|(node, _), _| *node != id && id != HOSTILE);
    }

    /// A datagram arrives for its node.
    pub(crate) fn overhear(&mut self, from: u16, datagram: &[u8]) {
        let Some((_, plaintext)) = self.open(datagram) else {
            return;
        };
        let Ok(frame) = Frame::parse(&plaintext) else {
            return;
        };
        if let Frame::Direct(header, _) | Frame::Routed(header, _) = frame {
            self.heard[usize::from(from)][usize::from(header.class)] = header.seq;
        }
        if let Frame::Routed(_, rest) = frame
            && let Ok((route, inner)) = RouteView::parse(rest)
            && route.left() > 0
        {
            let passed = (route.source(), route.egress(), inner.to_vec());
            if Kind::of(inner) == Ok(Kind::Sealed) {
                remember_in(&mut self.relayed, passed);
            } else {
                remember_in(&mut self.handshakes, passed);
            }
        }
        let place = usize::from(plaintext[0] >> 4);
        remember(&mut self.frames, place, plaintext);
    }

    /// Seals a plaintext for a session, with the next counter.
    pub(crate) fn seal(&mut self, receiver: u32, plaintext: &[u8], datagram: &mut Vec<u8>) -> bool {
        let Some(key) = self
            .keys
            .get_mut(&receiver)
            .and_then(|keys| keys.first_mut())
        else {
            return false;
        };
        datagram.clear();
        datagram.extend_from_slice(&[0; HEADER_LEN]);
        datagram.extend_from_slice(plaintext);
        datagram.extend_from_slice(&[0; TAG_LEN]);
        let counter = key.next;
        key.next += 1;
        key.seal.seal(counter, receiver, datagram).is_ok()
    }

    /// One of the remembered plaintexts.
    pub(crate) fn remembered(&self, rng: &mut Rng) -> Option<&Vec<u8>> {
        pick(rng, &self.frames).and_then(|frames| pick(rng, frames))
    }

    fn open(&self, datagram: &[u8]) -> Option<(u32, Vec<u8>)> {
        let (receiver, _, plaintext) = self.open_with(datagram)?;
        Some((receiver, plaintext))
    }

    /// Opens what its own node has sealed; the key is the one to seal with from now on.
    fn open_and_use(&mut self, datagram: &[u8]) -> Option<(u32, Vec<u8>)> {
        let (receiver, place, plaintext) = self.open_with(datagram)?;
        self.keys.get_mut(&receiver)?.swap(0, place);
        Some((receiver, plaintext))
    }

    /// Receiver index, which of its keys it was, and the plaintext.
    fn open_with(&self, datagram: &[u8]) -> Option<(u32, usize, Vec<u8>)> {
        let view = Sealed::parse(datagram).ok()?;
        let keys = self.keys.get(&view.receiver())?;
        keys.iter().enumerate().find_map(|(place, key)| {
            let mut copy = datagram.to_vec();
            let plaintext = key.seal.open(view.counter(), &mut copy).ok()?;
            Some((view.receiver(), place, copy[plaintext].to_vec()))
        })
    }

    /// Which end-to-end session its node uses, and what it says on it.
    fn note_end(&mut self, plaintext: &[u8]) {
        let Ok(Frame::Routed(_, rest)) = Frame::parse(plaintext) else {
            return;
        };
        let Ok((route, inner)) = RouteView::parse(rest) else {
            return;
        };
        if route.source() != HOSTILE {
            return;
        }
        if Kind::of(inner) != Ok(Kind::Sealed) {
            let said = (HOSTILE, route.egress(), inner.to_vec());
            return remember_in(&mut self.handshakes, said);
        }
        let Some((receiver, body)) = self.open_and_use(inner) else {
            return;
        };
        if let Some(end) = self.end.get_mut(usize::from(route.egress())) {
            *end = Some(receiver);
        }
        remember_in(&mut self.bodies, body);
    }

    fn remember(&mut self, rng: &mut Rng, plaintext: &[u8]) {
        if rng.chance(0.25) {
            let place = usize::from(plaintext[0] >> 4);
            if plaintext[0] >> 4 == 1 && plaintext.len() > Protected::LEN {
                remember_in(&mut self.bodies, plaintext[Protected::LEN..].to_vec());
            }
            remember(&mut self.frames, place, plaintext.to_vec());
        }
    }
}

fn remember(lists: &mut Vec<Vec<Vec<u8>>>, place: usize, bytes: Vec<u8>) {
    lists.resize_with(FRAME_TYPES, Vec::new);
    remember_in(&mut lists[place], bytes);
}

fn remember_in<T>(list: &mut Vec<T>, what: T) {
    if list.len() >= REMEMBERED {
        list.remove(0);
    }
    list.push(what);
}

fn from_hex(text: &str) -> Option<[u8; 32]> {
    let mut key = [0; 32];
    for (place, byte) in key.iter_mut().enumerate() {
        *byte = u8::from_str_radix(text.get(2 * place..2 * place + 2)?, 16).ok()?;
    }
    Some(key)
}
