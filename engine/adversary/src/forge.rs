//! Frames that the hostile peer invents: every type, with fields that are right, nearly right and absurd, sealed as an honest peer would seal them. Pure.

use std::net::SocketAddr;

use overlayd_netem::Rng;
use overlayd_node::DropReason;
use overlayd_wire::envelope::{HEADER_LEN, TAG_LEN};
use overlayd_wire::route::SEGMENTS_MAX;
use overlayd_wire::{
    Budget, Feedback, LinkProbe, LinkProbeReply, Protected, Repair, RouteRepr, Tail, frame,
};

use crate::body;
use crate::coverage::Outcome;
use crate::dice::{flip, pick, spoil, weighted};
use crate::hostile::Hostile;
use crate::mesh::{self, CALLER, CLASSES, HOSTILE};
use crate::packets::CLASSES_IN_USE;
use crate::stranger::put_mac1;
use crate::stream::Stream;
use crate::world::World;

/// Whom it has a link to.
const VICTIMS: [u16; 4] = [1, 2, 3, CALLER];

/// What is forged, and how often.
const KINDS: [(&str, u64); 16] = [
    ("direct", 22),
    ("routed_here", 14),
    ("routed_on", 9),
    ("routed_as_other", 6),
    ("routed_replay", 4),
    ("routed_handshake", 2),
    ("repair", 13),
    ("feedback", 9),
    ("tail", 4),
    ("probe", 3),
    ("probe_reply", 4),
    ("challenge", 1),
    ("response", 1),
    ("close", 1),
    ("remembered", 5),
    ("noise", 3),
];

struct Forge<'a> {
    hostile: &'a mut Hostile,
    rng: &'a mut Rng,
    victim: u16,
    now: u64,
    /// The body that went under an end-to-end seal.
    sealed_body: Option<Vec<u8>>,
}

impl World {
    /// The hostile peer says something to a neighbour.
    pub(crate) fn attack_as_peer(&mut self) {
        let victim = VICTIMS[self.rng.below(VICTIMS.len() as u64) as usize];
        let Some(session) = self.hostile.hop[usize::from(victim)] else {
            return;
        };
        let is_burst = self.rng.chance(0.01);
        let what = if is_burst {
            "run"
        } else {
            weighted(&mut self.rng, &KINDS)
        };
        let mut forge = Forge {
            hostile: &mut self.hostile,
            rng: &mut self.rng,
            victim,
            now: self.now,
            sealed_body: None,
        };
        let mut plaintexts = if is_burst {
            forge.run()
        } else {
            vec![forge.frame(what)]
        };
        let sealed_body = forge.sealed_body.take();
        let changed = self.rng.chance(0.12);
        if changed {
            for plaintext in &mut plaintexts {
                spoil(&mut self.rng, plaintext);
            }
        }
        let mut datagrams = Vec::new();
        for plaintext in &plaintexts {
            self.coverage.parse_frame(plaintext);
            let mut datagram = Vec::new();
            if self.hostile.seal(session, plaintext, &mut datagram) {
                datagrams.push(datagram);
            }
        }
        if let Some(body) = sealed_body {
            self.coverage.parse_body(&body);
        }
        self.count.frames += datagrams.len() as u64;
        let group = if changed { "frames_spoiled" } else { "frames" };
        let mut from = mesh::underlay(HOSTILE, 0);
        if self.rng.chance(0.002) {
            from = SocketAddr::new(from.ip(), 9);
        }
        let place = usize::from(victim) - 1;
        let outcome = self.inject((group, what), place, (0, from), &mut datagrams);
        if outcome == Outcome::Dropped(DropReason::StaleFrame)
            && let Some(class) = plaintexts.first().map(|plaintext| plaintext[0] & 15)
            && let Some(stream) = self.hostile.streams.get_mut(&(victim, class))
            && self.rng.chance(0.4)
        {
            // It has jumped ahead and is not heard any more: on from there.
            stream.skip_to(stream.next.wrapping_add(1 << 21));
        }
    }
}

/// Handshakes of others that a relay is asked to pass on at once.
const FLOOD: usize = 1_500;

impl World {
    /// The hostile peer sends handshakes through a relay, more than that is to bear.
    pub(crate) fn flood_with_handshakes(&mut self) {
        let victim = VICTIMS[self.rng.below(3) as usize];
        let Some(session) = self.hostile.hop[usize::from(victim)] else {
            return;
        };
        for _ in 0..FLOOD {
            let mut forge = Forge {
                hostile: &mut self.hostile,
                rng: &mut self.rng,
                victim,
                now: self.now,
                sealed_body: None,
            };
            let plaintext = forge.frame("routed_handshake");
            let mut datagram = Vec::new();
            if self.hostile.seal(session, &plaintext, &mut datagram) {
                self.count.frames += 1;
                let from = (0, mesh::underlay(HOSTILE, 0));
                self.inject(
                    ("frames", "routed_handshake"),
                    usize::from(victim) - 1,
                    from,
                    &mut [datagram],
                );
            }
        }
    }
}

impl Forge<'_> {
    fn frame(&mut self, what: &str) -> Vec<u8> {
        let mut out = Vec::new();
        match what {
            "direct" => {
                let body = body::any(self.rng, self.hostile, self.victim, self.now);
                out = self.protected(false, &body);
            }
            "routed_here" => {
                let route = self.route(&[self.victim], 0, HOSTILE);
                let datagram = self.end_to_end(self.victim);
                out = self.routed(&route, &datagram);
            }
            "routed_on" => {
                let next = [1, 2, 3, CALLER, 9, HOSTILE][self.rng.below(6) as usize];
                let last = [1, 2, 3, CALLER, 9][self.rng.below(5) as usize];
                let two = self.rng.chance(0.3);
                let nodes: &[u16] = if two {
                    &[self.victim, next, last]
                } else {
                    &[self.victim, next]
                };
                let route = self.route(nodes, nodes.len() as u8 - 1, HOSTILE);
                let datagram = self.end_to_end(nodes[nodes.len() - 1]);
                out = self.routed(&route, &datagram);
            }
            "routed_as_other" => {
                let source = [1, 2, 3, CALLER, 9, self.victim][self.rng.below(6) as usize];
                let route = self.route(&[HOSTILE, self.victim], 0, source);
                let datagram = self.end_to_end(self.victim);
                out = self.routed(&route, &datagram);
            }
            "routed_replay" => {
                let Some((source, egress, datagram)) =
                    pick(self.rng, &self.hostile.relayed).cloned()
                else {
                    return self.noise();
                };
                let route = if egress == self.victim {
                    self.route(&[HOSTILE, egress], 0, source)
                } else {
                    self.route(&[HOSTILE, self.victim, egress], 1, source)
                };
                out = self.routed(&route, &datagram);
            }
            "routed_handshake" => {
                let on = self.rng.chance(0.5);
                let (route, to) = if on {
                    let to = if self.victim == 1 { 2 } else { 1 };
                    (self.route(&[self.victim, to], 1, HOSTILE), to)
                } else {
                    (self.route(&[self.victim], 0, HOSTILE), self.victim)
                };
                let datagram = self.handshake(to);
                out = self.routed(&route, &datagram);
            }
            "repair" => out = self.repair(),
            "feedback" => self.feedback().emit(&mut out),
            "tail" => {
                let class = self.class();
                let near = self.stream(class).next;
                let next = if self.rng.chance(0.97) {
                    near.wrapping_add(self.rng.below(6) as u32)
                } else {
                    self.rng.next_u64() as u32
                };
                out.extend_from_slice(
                    &Tail {
                        class,
                        next: next & frame::SEQ_MASK,
                    }
                    .to_bytes(),
                );
            }
            "probe" => {
                let length = if self.rng.chance(0.05) {
                    self.rng.below(60_000)
                } else {
                    self.rng.below(1_500)
                };
                LinkProbe {
                    class: 0,
                    seq: self.rng.next_u64() as u32 & frame::SEQ_MASK,
                    sent_ns: self.time(),
                    sent: self.rng.next_u64() as u32 >> self.rng.below(32),
                }
                .emit(length as usize, &mut out);
            }
            "probe_reply" => LinkProbeReply {
                class: 0,
                seq: self.rng.below(4_000) as u32,
                sent_ns: self.time(),
                hold_ns: if self.rng.chance(0.3) {
                    self.rng.next_u64() as u32
                } else {
                    0
                },
                received_ns: self.time(),
                sent: self.rng.next_u64() as u32 >> self.rng.below(32),
                received: self.rng.next_u64() as u32 >> self.rng.below(32),
                received_size: self.rng.next_u64() as u16,
            }
            .emit(&mut out),
            "challenge" => {
                out.extend_from_slice(&frame::path_challenge(self.rng.next_u64().to_be_bytes()))
            }
            "response" => {
                out.extend_from_slice(&frame::path_response(self.rng.next_u64().to_be_bytes()))
            }
            "close" => out.extend_from_slice(&frame::close(self.rng.next_u64() as u8)),
            "remembered" => {
                let Some(frame) = self.hostile.remembered(self.rng) else {
                    return self.noise();
                };
                out.clone_from(frame);
                if self.rng.chance(0.7) {
                    flip(self.rng, &mut out);
                }
            }
            _ => out = self.noise(),
        }
        out
    }

    /// Frames of one run, as they would arrive in one batch, with a fault in the middle at times.
    fn run(&mut self) -> Vec<Vec<u8>> {
        let bodies = body::run(self.rng, HOSTILE, self.victim);
        bodies
            .iter()
            .map(|body| self.protected(false, body))
            .collect()
    }

    fn routed(&mut self, route: &[u8], datagram: &[u8]) -> Vec<u8> {
        self.protected(true, &[route, datagram].concat())
    }

    /// A frame with a number: most of them the next, some as if others had been lost, or long ago, or far ahead.
    fn protected(&mut self, routed: bool, rest: &[u8]) -> Vec<u8> {
        let class = self.class();
        let (dice, distance) = (self.rng.below(1_000), self.rng.next_u64());
        let budget = if self.rng.chance(0.1) {
            self.rng.next_u64() as u16
        } else {
            1_000
        };
        let header = |seq: u32| Protected {
            routed,
            class,
            seq: seq & frame::SEQ_MASK,
            budget: Budget(budget),
        };
        if class < CLASSES_IN_USE && dice > 0 {
            // Not far from the numbers of its own node, or that would not be heard again.
            let said = self.hostile.said[usize::from(self.victim)][usize::from(class)];
            let seq = said.wrapping_add(distance as u32 % 4).wrapping_sub(1);
            return [&header(seq).to_bytes()[..], rest].concat();
        }
        let lost: Vec<Vec<u8>> = match dice {
            700..800 => (0..=distance % 5)
                .map(|_| body::packet(self.rng, HOSTILE, self.victim))
                .collect(),
            _ => Vec::new(),
        };
        let stream = self.stream(class);
        for body in &lost {
            stream.push(false, class, body);
        }
        let behind = |distance: u64| stream.next.wrapping_sub(1 + distance as u32);
        let seq = match dice {
            // Far ahead: by up to half of all numbers that there are.
            810..820 => {
                stream.skip_to(stream.next.wrapping_add(1 << (distance % 24)));
                stream.next
            }
            820..890 => behind(distance % 200),
            890..905 => behind(64_000 + distance % 4_000),
            905..910 => behind(distance % (1 << 23)),
            _ => stream.next,
        };
        if seq == stream.next {
            stream.push(routed, class, rest);
        }
        [&header(seq).to_bytes()[..], rest].concat()
    }

    fn repair(&mut self) -> Vec<u8> {
        let (class, row) = (self.class(), self.rng.below(32) as u8);
        let mut symbol = Vec::new();
        let made = self.stream(class).encoder.repair(row, &mut symbol);
        let (mut first, mut span) = made.map_or((0, 1), |header| (header.first_seq, header.span));
        match self.rng.below(20) {
            0 => first = self.rng.next_u64() as u32,
            1 => first = first.wrapping_add(self.rng.below(300) as u32),
            2 => span = 1 + self.rng.below(128) as u8,
            3 => flip(self.rng, &mut symbol),
            4 => symbol.truncate(self.rng.below(symbol.len() as u64) as usize),
            5 => symbol.resize(symbol.len() + self.rng.below(1_500) as usize, 7),
            _ => {}
        }
        if symbol.is_empty() {
            symbol.push(self.rng.next_u64() as u8);
        }
        let mut out = Vec::new();
        let budget = Budget(self.rng.next_u64() as u16);
        Repair {
            class,
            budget,
            first: first & frame::SEQ_MASK,
            span,
            row,
            symbol: &symbol,
        }
        .emit(&mut out);
        if self.rng.chance(0.04) {
            // Span and row beyond their range.
            out[6 + self.rng.below(2) as usize] = self.rng.next_u64() as u8;
        }
        out
    }

    fn feedback(&mut self) -> Feedback<'static> {
        static ALL: [u8; Feedback::BITMAP_MAX] = [0xff; Feedback::BITMAP_MAX];
        static SOME: [u8; Feedback::BITMAP_MAX] = [0x5a; Feedback::BITMAP_MAX];
        let class = self.rng.below(CLASSES.into()) as u8;
        let heard = self.hostile.heard[usize::from(self.victim)][usize::from(class)];
        let next = if self.rng.chance(0.85) {
            heard.wrapping_add(self.rng.below(3) as u32)
        } else {
            self.rng.next_u64() as u32
        };
        let behind = if self.rng.chance(0.3) {
            8 * Feedback::BITMAP_MAX as u64
        } else {
            self.rng.below(300)
        };
        let length = if self.rng.chance(0.2) {
            Feedback::BITMAP_MAX
        } else {
            self.rng.below(40) as usize
        };
        let bitmap = if self.rng.chance(0.5) { &ALL } else { &SOME };
        Feedback {
            class,
            next: next & frame::SEQ_MASK,
            base: next.wrapping_sub(behind as u32) & frame::SEQ_MASK,
            answers_tail: self.rng.chance(0.3),
            bitmap: &bitmap[..length],
        }
    }

    /// A route, with a fault at times.
    fn route(&mut self, nodes: &[u16], left: u8, source: u16) -> Vec<u8> {
        let mut segments = [0; SEGMENTS_MAX];
        for (slot, node) in segments.iter_mut().zip(nodes) {
            *slot = *node;
        }
        let mut route = RouteRepr {
            count: nodes.len() as u8,
            left,
            ce: self.rng.chance(0.05),
            generation: self.rng.next_u64() as u8,
            source,
            segments,
        };
        match self.rng.below(60) {
            0 => route.count = 1 + self.rng.below(5) as u8,
            1 => route.left = self.rng.below(8) as u8,
            2 => route.source = self.rng.below(12) as u16,
            3 => route.segments[self.rng.below(5) as usize] = self.rng.below(12) as u16,
            _ => {}
        }
        let mut bytes = Vec::new();
        route.emit(&mut bytes);
        if self.rng.chance(0.03) {
            bytes[0] = self.rng.next_u64() as u8;
        }
        bytes
    }

    /// An end-to-end datagram for a node: sealed, if there is a session, over a body of any kind.
    fn end_to_end(&mut self, to: u16) -> Vec<u8> {
        let session = self.hostile.end.get(usize::from(to)).copied().flatten();
        let body = body::any(self.rng, self.hostile, to, self.now);
        let mut datagram = Vec::new();
        if !session.is_some_and(|session| self.hostile.seal(session, &body, &mut datagram))
            || self.rng.chance(0.03)
        {
            datagram = [&[0x40; HEADER_LEN][..], &body, &[0; TAG_LEN]].concat();
            datagram[1] = self.rng.next_u64() as u8;
        }
        match self.rng.below(50) {
            0 => spoil(self.rng, &mut datagram),
            1 => datagram[0] = self.rng.next_u64() as u8,
            _ => self.sealed_body = Some(body),
        }
        datagram
    }

    /// A handshake message end to end: one that passed by, or one made up whose first check holds.
    fn handshake(&mut self, to: u16) -> Vec<u8> {
        let passed = self
            .hostile
            .relayed
            .iter()
            .filter(|(.., datagram)| datagram[0] >> 4 != 4);
        let passed: Vec<&Vec<u8>> = passed.map(|(.., datagram)| datagram).collect();
        let mut message = match pick(self.rng, &passed) {
            Some(message) if self.rng.chance(0.5) => (*message).clone(),
            _ => {
                let (kind, length) =
                    [(0x10, 160), (0x20, 108), (0x30, 56)][self.rng.below(3) as usize];
                let mut message = vec![0; length];
                message
                    .iter_mut()
                    .for_each(|byte| *byte = self.rng.next_u64() as u8);
                message[..8].copy_from_slice(&[kind, 1, 0, 0, 0, 0, 0, mesh::NETWORK as u8]);
                message
            }
        };
        if self.rng.chance(0.3) {
            flip(self.rng, &mut message);
        }
        if self.rng.chance(0.8) {
            put_mac1(&mut message, to);
        }
        message
    }

    fn noise(&mut self) -> Vec<u8> {
        let most = if self.rng.chance(0.02) { 65_000 } else { 120 };
        let length = 1 + self.rng.below(most);
        let mut bytes: Vec<u8> = (0..length).map(|_| self.rng.next_u64() as u8).collect();
        bytes[0] = (self.rng.below(16) as u8) << 4 | self.rng.below(6) as u8;
        bytes
    }

    /// Mostly classes that its node does not speak in, or their numbers would get mixed up.
    fn class(&mut self) -> u8 {
        match self.rng.below(20) {
            0..10 => 4 + self.rng.below(2) as u8,
            10..18 => CLASSES + self.rng.below(u64::from(16 - CLASSES)) as u8,
            _ => self.rng.below(4) as u8,
        }
    }

    fn stream(&mut self, class: u8) -> &mut Stream {
        self.hostile
            .streams
            .entry((self.victim, class))
            .or_insert_with(|| Stream::new(0))
    }

    fn time(&mut self) -> u64 {
        match self.rng.below(10) {
            0..7 => self.now.saturating_sub(self.rng.below(100_000_000)),
            7 => self.rng.next_u64(),
            8 => self.rng.next_u64() >> self.rng.below(60),
            _ => self.now.saturating_add(self.rng.below(1 << 40)),
        }
    }
}
