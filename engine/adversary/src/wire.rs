//! The adversary on the wire: it has no keys, but sees every datagram, and may hold, repeat, change, splice and invent them, from any address. Pure.

use std::net::SocketAddr;

use overlayd_netem::Rng;
use overlayd_node::DropReason;
use overlayd_wire::Kind;

use crate::coverage::{Group, Outcome};
use crate::dice::{flip, pick, weighted};
use crate::stranger;
use crate::tap::Seen;
use crate::world::World;
use crate::{MS, SECOND};

const LONGEST: usize = 65_507;

/// What is done to a datagram, and its word in the report.
const TAMPERS: [(&str, u64); 14] = [
    ("bits", 22),
    ("truncated", 10),
    ("extended", 3),
    ("spliced", 9),
    ("replayed_new", 12),
    ("replayed_old", 8),
    ("kind", 4),
    ("counter", 6),
    ("index", 5),
    ("to_another", 6),
    ("zeros", 3),
    ("noise", 4),
    ("handshake", 7),
    ("bare_header", 1),
];

impl World {
    /// A datagram is on its way: it may come twice, late, very late, or changed.
    pub(crate) fn tamper_in_flight(
        &mut self,
        delay: u64,
        from: SocketAddr,
        to: SocketAddr,
        ecn: u8,
        mut bytes: Vec<u8>,
    ) {
        self.tap.note(&mut self.rng, from, to, &bytes);
        if !self.tap.calm {
            if Kind::of(&bytes) != Ok(Kind::Sealed) && self.rng.chance(0.25) {
                // They are rare: one that is changed comes first, and leaves the true one to follow.
                let mut copy = bytes.clone();
                flip(&mut self.rng, &mut copy);
                let receiver = self.home(to).map(|(place, _)| self.hosts[place].id);
                if let Some(receiver) = receiver.filter(|_| self.rng.chance(0.7)) {
                    stranger::put_mac1(&mut copy, receiver);
                }
                self.launch_noted("forestalled", 0, from, to, copy);
            }
            match self.rng.below(200) {
                0..4 => self.launch_noted("repeated", delay, from, to, bytes.clone()),
                4..8 => {
                    let held = delay + self.rng.below(300 * MS);
                    return self.launch_noted("held", held, from, to, bytes);
                }
                8 => {
                    // Long enough for a restart, a move or new keys to come in between.
                    let held = self.rng.below(15 * SECOND);
                    return self.launch_noted("held_long", held, from, to, bytes);
                }
                9 => {
                    let late = self.rng.below(12 * SECOND);
                    self.launch_noted("repeated_late", late, from, to, bytes.clone());
                }
                10 => {
                    flip(&mut self.rng, &mut bytes);
                    return self.launch_noted("changed", delay, from, to, bytes);
                }
                12..16 => {
                    self.coverage.note(Group::InFlight, "stolen", Outcome::Sent);
                    return self.tap.steal(Seen { from, to, bytes });
                }
                11 => {
                    let from = stranger_address(&mut self.rng);
                    return self.launch_noted("moved", delay, from, to, bytes);
                }
                _ => {}
            }
        }
        self.launch(delay, from, to, ecn, bytes);
    }

    /// A node's process has died: what was stolen from it arrives while it begins anew.
    pub(crate) fn release_stolen(&mut self, addresses: [SocketAddr; 2]) {
        let of_it = |seen: &mut Seen| addresses.contains(&seen.from);
        let stolen: Vec<Seen> = self.tap.stolen.extract_if(.., of_it).collect();
        for seen in stolen {
            let late = self.rng.below(3 * SECOND);
            self.launch_noted(
                "stolen_before_a_restart",
                late,
                seen.from,
                seen.to,
                seen.bytes,
            );
        }
    }

    fn launch_noted(
        &mut self,
        what: &'static str,
        delay: u64,
        from: SocketAddr,
        to: SocketAddr,
        bytes: Vec<u8>,
    ) {
        self.coverage.note(Group::InFlight, what, Outcome::Sent);
        self.launch(delay, from, to, 0, bytes);
    }

    /// Sends one datagram that no node has sent, or not so, or not now.
    pub(crate) fn attack_from_wire(&mut self) {
        let Some(mut seen) = pick(&mut self.rng, &self.tap.latest).cloned() else {
            return;
        };
        let mut bytes = std::mem::take(&mut self.tap.scratch);
        bytes.clear();
        bytes.extend_from_slice(&seen.bytes);
        let what = weighted(&mut self.rng, &TAMPERS);
        self.tamper(what, &mut seen, &mut bytes);
        let rng = &mut self.rng;
        if !what.starts_with("replayed")
            && bytes.first().is_some_and(|first| first >> 4 == 4)
            && rng.chance(0.6)
        {
            // What was seen has arrived, as a rule: a counter a little further on passes the replay window, and gets to the tag.
            let by = 1 + rng.below(4_000) as u32;
            edit(&mut bytes, 0, |word| {
                word & 0xf000_0000 | word.wrapping_add(by) & 0x0fff_ffff
            });
        }
        let source = match rng.below(20) {
            0..13 => seen.from,
            13..15 => stranger_address(rng),
            15..17 => pick(rng, &self.tap.latest).map_or(seen.from, |other| other.from),
            17 => SocketAddr::new(seen.from.ip(), rng.below(65_536) as u16),
            _ => seen.from,
        };
        if let Some((place, uplink)) = self.home(seen.to) {
            let uplink = if self.rng.chance(0.01) {
                1 - uplink
            } else {
                uplink
            };
            let is_sent = bytes == seen.bytes;
            self.attack_with(is_sent, what, place, (uplink, source), &mut bytes);
        }
        self.tap.scratch = bytes;
    }

    /// `is_sent`: some node did send these bytes.
    fn attack_with(
        &mut self,
        is_sent: bool,
        what: &'static str,
        place: usize,
        from: (u8, SocketAddr),
        bytes: &mut Vec<u8>,
    ) {
        self.coverage.parse_datagram(bytes);
        let is_sealed = Kind::of(bytes) == Ok(Kind::Sealed);
        let group = if is_sent { Group::Replay } else { Group::Wire };
        let outcome = self.inject((group, what), place, from, std::slice::from_mut(bytes));
        if is_sent {
            self.count.replays += 1;
            return;
        }
        self.count.datagrams += 1;
        if is_sealed && !is_refusal(outcome) {
            self.count.forged += 1;
            self.fault(format!("a changed datagram was taken: {what}, {outcome:?}"));
        }
    }

    fn tamper(&mut self, what: &str, seen: &mut Seen, bytes: &mut Vec<u8>) {
        let (rng, tap) = (&mut self.rng, &self.tap);
        let length = bytes.len() as u64;
        match what {
            "bits" => flip(rng, bytes),
            "truncated" => bytes.truncate(rng.below(length) as usize),
            "extended" => {
                let longest = if rng.chance(0.1) { LONGEST } else { 2_000 };
                let more = rng.below((longest - bytes.len().min(longest)) as u64 + 1);
                let fill = rng.next_u64() as u8;
                bytes.resize(bytes.len() + more as usize, fill);
            }
            "spliced" => {
                if let Some(other) = pick(rng, &tap.latest) {
                    bytes.truncate(rng.below(length + 1) as usize);
                    let from = rng.below(other.bytes.len() as u64 + 1) as usize;
                    bytes.extend_from_slice(&other.bytes[from..]);
                    if *bytes == other.bytes {
                        *seen = other.clone();
                    }
                }
            }
            "replayed_new" => {}
            "replayed_old" => {
                if let Some(other) = pick(rng, &tap.old) {
                    *seen = other.clone();
                    bytes.clone_from(&other.bytes);
                }
            }
            "kind" => bytes[0] = rng.next_u64() as u8,
            "counter" => {
                let by = 1u32 << rng.below(28);
                edit(bytes, 0, |word| {
                    word & 0xf000_0000 | word.wrapping_add(by) & 0x0fff_ffff
                });
            }
            "index" => {
                let (mask, other) = (1u32 << rng.below(32), rng.next_u64() as u32);
                let low_only = rng.chance(0.5);
                edit(bytes, 4, |word| if low_only { word ^ mask } else { other });
            }
            "to_another" => {
                if let Some(other) = pick(rng, &tap.latest) {
                    seen.to = if rng.chance(0.5) { other.to } else { seen.from };
                }
            }
            "zeros" => bytes.fill(0),
            "noise" => {
                bytes.truncate(rng.below(length) as usize + 1);
                bytes
                    .iter_mut()
                    .for_each(|byte| *byte = rng.next_u64() as u8);
                bytes[0] = (rng.below(5) as u8) << 4 | bytes[0] & 15;
            }
            "handshake" => {
                if let Some(other) = pick(rng, &tap.handshakes) {
                    *seen = other.clone();
                    bytes.clone_from(&other.bytes);
                    self.tamper_with_handshake(seen.to, bytes);
                }
            }
            _ => bytes.truncate(8),
        }
    }

    /// Public keys are no secret: whoever knows one can make mac1 fit, and gets further.
    fn tamper_with_handshake(&mut self, to: SocketAddr, bytes: &mut Vec<u8>) {
        let to = self.home(to).map(|(place, _)| self.hosts[place].id);
        let rng = &mut self.rng;
        match rng.below(10) {
            0..3 => {}
            3..6 => flip(rng, bytes),
            6 => {
                // Kind, version, capabilities, network: what stands before Noise.
                let place = rng.below(12.min(bytes.len() as u64)) as usize;
                bytes[place] = rng.next_u64() as u8;
            }
            7 => bytes.truncate(rng.below(bytes.len() as u64) as usize),
            8 => bytes.push(rng.next_u64() as u8),
            _ => {
                let place = rng.below(bytes.len() as u64) as usize;
                bytes[place..]
                    .iter_mut()
                    .for_each(|byte| *byte = rng.next_u64() as u8);
            }
        }
        if rng.chance(0.4)
            && let Some(to) = to
        {
            stranger::put_mac1(bytes, to);
        }
    }
}

fn edit(bytes: &mut [u8], at: usize, change: impl Fn(u32) -> u32) {
    if let Some(word) = bytes.get_mut(at..).and_then(<[u8]>::first_chunk_mut) {
        *word = change(u32::from_be_bytes(*word)).to_be_bytes();
    }
}

/// Whether a sealed datagram went no further than to its tag.
fn is_refusal(outcome: Outcome) -> bool {
    use DropReason::{BadTag, Replayed, Truncated, UnknownSession};
    matches!(
        outcome,
        Outcome::Dropped(Truncated | UnknownSession | Replayed | BadTag)
    )
}

/// An address that nobody has.
fn stranger_address(rng: &mut Rng) -> SocketAddr {
    let (host, port) = (rng.next_u64(), rng.below(65_535) as u16 + 1);
    if rng.chance(0.5) {
        SocketAddr::from(([198, 18, (host >> 8) as u8, host as u8], port))
    } else {
        let [a, b, c, d] = [host >> 48, host >> 32, host >> 16, host].map(|word| word as u16);
        SocketAddr::from(([0x2001, 0xdb8, 0xffff, a, 0, b, c, d], port))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_ends_at_the_tag_is_a_refusal() {
        assert!(is_refusal(Outcome::Dropped(DropReason::BadTag)));
        for beyond in [
            Outcome::Taken,
            Outcome::Sent,
            Outcome::Delivered,
            Outcome::Dropped(DropReason::DuplicateFrame),
        ] {
            assert!(!is_refusal(beyond), "{beyond:?}");
        }
    }
}
