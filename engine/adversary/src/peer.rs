//! What the hostile peer hands to its neighbours, how often, and what becomes of it. The frames are made in `forge`. Pure.

use std::net::SocketAddr;

use overlayd_node::DropReason;
use overlayd_wire::{Frame, RouteView};

use crate::coverage::{Group, Outcome};
use crate::dice::{spoil, weighted};
use crate::forge::Forge;
use crate::mesh::{self, CALLER, HOSTILE};
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
        if let Some(body) = sealed_body {
            self.coverage.parse_body(&body);
        }
        let group = if changed {
            Group::FramesSpoiled
        } else {
            Group::Frames
        };
        let outcome = self.say((group, what), (victim, session), &plaintexts);
        if outcome == Outcome::Dropped(DropReason::StaleFrame)
            && let Some(class) = plaintexts.first().and_then(|plaintext| plaintext.first())
            && let class = class & 15
            && let Some(stream) = self.hostile.streams.get_mut(&(victim, class))
            && self.rng.chance(0.4)
        {
            // It has jumped ahead and is not heard any more: on from there.
            stream.skip_to(stream.next.wrapping_add(1 << 21));
        }
    }
}

/// Frames at once, for a relay: handshakes of others, and packets for its slow link.
const HANDSHAKES: usize = 1_500;
const PACKETS: usize = 200;
/// The relay whose link to that node is slow.
const SLOW: (u16, u16) = (3, 2);

impl World {
    /// The hostile peer sends handshakes through a relay, more than that is to bear.
    pub(crate) fn flood_with_handshakes(&mut self) {
        let victim = VICTIMS[self.rng.below(3) as usize];
        for _ in 0..HANDSHAKES {
            self.flood_once(victim, |forge| forge.frame("routed_handshake"));
        }
    }

    /// The same with packets, more than the next link carries.
    pub(crate) fn flood_with_packets(&mut self) {
        for _ in 0..PACKETS {
            self.flood_once(SLOW.0, |forge| {
                let route = forge.route(&[SLOW.0, SLOW.1], 1, HOSTILE);
                let mut datagram = vec![0; 1_200];
                datagram[0] = 0x40;
                forge.routed(&route, &datagram)
            });
        }
    }

    fn flood_once(&mut self, victim: u16, frame: impl FnOnce(&mut Forge<'_>) -> Vec<u8>) {
        let Some(session) = self.hostile.hop[usize::from(victim)] else {
            return;
        };
        let plaintext = frame(&mut Forge {
            hostile: &mut self.hostile,
            rng: &mut self.rng,
            victim,
            now: self.now,
            sealed_body: None,
        });
        self.say((Group::Frames, "flood"), (victim, session), &[plaintext]);
    }

    /// Seals frames for a neighbour and hands them over at once.
    fn say(
        &mut self,
        (group, what): (Group, &'static str),
        (victim, session): (u16, u32),
        plaintexts: &[Vec<u8>],
    ) -> Outcome {
        let mut datagrams = Vec::new();
        for plaintext in plaintexts {
            self.coverage.parse_frame(plaintext);
            let mut datagram = Vec::new();
            if self.hostile.seal(session, plaintext, &mut datagram) {
                datagrams.push(datagram);
            }
        }
        let count = datagrams.len() as u64;
        self.count.frames += count;
        if group == Group::FramesSpoiled {
            self.count.frames_changed += count;
        }
        let mut from = mesh::underlay(HOSTILE, 0);
        if self.rng.chance(0.002) {
            from = SocketAddr::new(from.ip(), 9);
        }
        let place = usize::from(victim) - 1;
        let outcome = self.inject((group, what), place, (0, from), &mut datagrams);
        if let [plaintext] = plaintexts
            && let Ok(Frame::Routed(_, rest)) = Frame::parse(plaintext)
            && let Ok((route, datagram)) = RouteView::parse(rest)
            && route.left() == 0
        {
            let kind = datagram.first().map_or(0, |first| first >> 4);
            self.coverage.note_handshake("end_to_end", kind, outcome);
        }
        outcome
    }
}
