//! Frames that the hostile peer invents: every type, with fields that are right, nearly right and absurd, sealed as an honest peer would seal them. Pure.

use overlayd_netem::Rng;
use overlayd_wire::envelope::{HEADER_LEN, TAG_LEN};
use overlayd_wire::route::SEGMENTS_MAX;
use overlayd_wire::{
    Budget, Counterprobe, Feedback, LinkProbe, LinkProbeReply, Protected, Repair, RouteRepr, Tail,
    frame,
};

use crate::body;
use crate::dice::{flip, pick, spoil};
use crate::hostile::Hostile;
use crate::mesh::{self, CALLER, CLASSES, HOSTILE};
use crate::packets::CLASSES_IN_USE;
use crate::stranger::put_mac1;
use crate::stream::Stream;

/// The hostile peer, about to say something to a neighbour.
pub(crate) struct Forge<'a> {
    pub(crate) hostile: &'a mut Hostile,
    pub(crate) rng: &'a mut Rng,
    pub(crate) victim: u16,
    pub(crate) now: u64,
    /// The body that went under an end-to-end seal.
    pub(crate) sealed_body: Option<Vec<u8>>,
}

impl Forge<'_> {
    pub(crate) fn frame(&mut self, what: &str) -> Vec<u8> {
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
                let (source, egress, datagram) = self.handshake();
                // Its own come from here; those of others have come by here.
                let nodes = [HOSTILE, self.victim, egress];
                let nodes = &nodes[usize::from(source == HOSTILE)..];
                let route = match nodes.split_last() {
                    Some((_, nodes)) if egress == self.victim => self.route(nodes, 0, source),
                    _ => self.route(nodes, 1, source),
                };
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
                    pace: self.rng.below(16) as u8,
                    seq: self.rng.next_u64() as u32 & frame::SEQ_MASK,
                    sent_ns: self.time(),
                    sent: self.rng.next_u64() as u32 >> self.rng.below(32),
                }
                .emit(length as usize, &mut out);
            }
            "probe_reply" => LinkProbeReply {
                pace: self.rng.below(16) as u8,
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
                counterprobe: self.rng.chance(0.5).then(|| Counterprobe {
                    seq: self.rng.next_u64() as u32 & frame::SEQ_MASK,
                    sent: self.rng.next_u64() as u32 >> self.rng.below(32),
                }),
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
    pub(crate) fn run(&mut self) -> Vec<Vec<u8>> {
        let bodies = body::run(self.rng, HOSTILE, self.victim);
        bodies
            .iter()
            .map(|body| self.protected(false, body))
            .collect()
    }

    pub(crate) fn routed(&mut self, route: &[u8], datagram: &[u8]) -> Vec<u8> {
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
    pub(crate) fn route(&mut self, nodes: &[u16], left: u8, source: u16) -> Vec<u8> {
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

    /// A handshake message end to end, its source and egress: one that passed by, mostly the latest, or one made up whose first check holds.
    fn handshake(&mut self) -> (u16, u16, Vec<u8>) {
        let passed = &self.hostile.handshakes;
        let latest = self.rng.chance(0.5);
        let passed = passed.last().filter(|_| latest).or(pick(self.rng, passed));
        let (source, egress, mut message) = match passed {
            Some(passed) if self.rng.chance(0.4) => passed.clone(),
            _ => {
                let (kind, length) =
                    [(0x10, 160), (0x20, 108), (0x30, 56)][self.rng.below(3) as usize];
                let mut message = vec![0; length];
                message
                    .iter_mut()
                    .for_each(|byte| *byte = self.rng.next_u64() as u8);
                message[..8].copy_from_slice(&[kind, 1, 0, 0, 0, 0, 0, mesh::NETWORK as u8]);
                let other = if self.victim == 1 { 2 } else { 1 };
                let egress = if self.rng.chance(0.5) {
                    other
                } else {
                    self.victim
                };
                (HOSTILE, egress, message)
            }
        };
        let source = if self.rng.chance(0.2) {
            HOSTILE
        } else {
            source
        };
        if self.rng.chance(0.3) {
            flip(self.rng, &mut message);
        }
        if self.rng.chance(0.8) {
            put_mac1(&mut message, egress);
        }
        (source, egress, message)
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
