//! Bodies that the hostile peer invents: every shape, with inner packets that it may send, and with ones that it may not. Pure.

use overlayd_netem::Rng;
use overlayd_node::{Offload, Segment};
use overlayd_wire::{Body, PathProbe, PathProbeReply, Piece, Run, body};

use crate::dice::{flip, pick};
use crate::hostile::Hostile;
use crate::mesh::HOSTILE;
use crate::packets;

const LONGEST: u64 = 60_000;

/// Any body from the hostile peer to a node.
pub(crate) fn any(rng: &mut Rng, hostile: &mut Hostile, to: u16, now: u64) -> Vec<u8> {
    let mut out = Vec::new();
    match rng.below(16) {
        0..4 => out = packet(rng, HOSTILE, to),
        4..7 => bundle(rng, to, &mut out),
        7..9 => out = run(rng, HOSTILE, to).swap_remove(0),
        9..12 => piece(rng, hostile, to, &mut out),
        12 => {
            Body::PathProbe(PathProbe {
                slot: rng.next_u64() as u8,
                seq: rng.next_u64() as u32,
                sent_ns: now,
                sent: rng.next_u64() as u32,
            })
            .emit(&mut out);
            let most = if rng.chance(0.02) { LONGEST } else { 1_400 };
            out.resize(out.len() + rng.below(most) as usize, 0);
        }
        13 => Body::PathProbeReply(PathProbeReply {
            slot: rng.below(4) as u8,
            seq: rng.below(2_000) as u32 | if rng.chance(0.2) { 1 << 31 } else { 0 },
            sent_ns: if rng.chance(0.8) {
                now.saturating_sub(rng.below(1 << 27))
            } else {
                rng.next_u64()
            },
            hold_ns: if rng.chance(0.2) {
                rng.next_u64() as u32
            } else {
                0
            },
            sent: rng.next_u64() as u32 >> rng.below(32),
            received: rng.next_u64() as u32 >> rng.below(32),
        })
        .emit(&mut out),
        14 => {
            if let Some(remembered) = pick(rng, &hostile.bodies) {
                out.clone_from(remembered);
                flip(rng, &mut out);
            }
        }
        _ => {
            out.push(rng.next_u64() as u8);
            out.extend_from_slice(&inner(rng, HOSTILE, to));
        }
    }
    if rng.chance(0.1) {
        flip(rng, &mut out);
    }
    if rng.chance(0.02) {
        // Little more than its first byte, or not even that.
        out.truncate(rng.below(5) as usize);
    }
    out
}

/// A body with one packet.
pub(crate) fn packet(rng: &mut Rng, from: u16, to: u16) -> Vec<u8> {
    let mut out = vec![body::packet_byte(rng.chance(0.2))];
    out.extend_from_slice(&inner(rng, from, to));
    out
}

/// The bodies of one super-packet, cut; at times something between them does not fit.
pub(crate) fn run(rng: &mut Rng, from: u16, to: u16) -> Vec<Vec<u8>> {
    let (mut whole, mut segment) = (Vec::new(), Vec::new());
    let mut offload = Offload::default();
    for _ in 0..64 {
        offload = packets::write(&mut whole, from, to, never_sent(rng));
        if matches!(offload.segment, Some(Segment { .. })) {
            break;
        }
    }
    let (number, count) = (rng.next_u64() as u8, packets::count(&whole, &offload));
    let mut bodies = Vec::new();
    for index in 0..count.min(1 + rng.below(12) as usize) {
        packets::write_segment(&mut segment, &whole, &offload, index);
        if rng.chance(0.05) {
            flip(rng, &mut segment);
        }
        let header = Run {
            partial_checksum: !rng.chance(0.05),
            first: index == 0,
            last: index + 1 == count || rng.chance(0.02),
            run: if rng.chance(0.03) {
                rng.next_u64() as u8
            } else {
                number
            },
            index: if rng.chance(0.03) {
                rng.next_u64() as u8
            } else {
                index as u8
            },
            packet: &[],
        };
        bodies.push([&header.header()[..], &segment].concat());
    }
    bodies
}

/// Some packets in one body; at times a length that is wrong.
fn bundle(rng: &mut Rng, to: u16, out: &mut Vec<u8>) {
    out.push(body::BUNDLE_BYTE);
    let most = if rng.chance(0.05) { 60 } else { 5 };
    for _ in 0..=rng.below(most) {
        let packet = inner(rng, HOSTILE, to);
        let mut length = packet.len() as u16;
        match rng.below(40) {
            0 => length = 0,
            1 => length = length.wrapping_add(rng.below(9) as u16),
            2 => length = rng.next_u64() as u16,
            _ => {}
        }
        out.extend_from_slice(&length.to_be_bytes());
        out.extend_from_slice(&packet);
    }
}

/// Half of a packet: mostly the one that makes a former half whole, of the same id or of another.
fn piece(rng: &mut Rng, hostile: &mut Hostile, to: u16, out: &mut Vec<u8>) {
    let id = hostile.pieces / 2;
    let second = !hostile.pieces.is_multiple_of(2);
    hostile.pieces = hostile.pieces.wrapping_add(1);
    let mut whole = Vec::new();
    packets::write(&mut whole, HOSTILE, to, u32::from(id) | 0xffff_0000);
    let (first, rest) = whole.split_at(whole.len().div_ceil(2));
    let mut piece = Piece {
        second,
        id,
        bytes: if second { rest } else { first },
    };
    let long = vec![0x45; rng.below(LONGEST) as usize + 1];
    match rng.below(20) {
        0 => piece.id = rng.next_u64() as u16,
        1 => piece.second = !second,
        2 => piece.bytes = &long,
        3 => piece.id = id.wrapping_sub(rng.below(70) as u16),
        _ => {}
    }
    out.extend_from_slice(&piece.header());
    out.extend_from_slice(piece.bytes);
}

/// An inner packet, with a true source and destination or not.
fn inner(rng: &mut Rng, from: u16, to: u16) -> Vec<u8> {
    let mut out = Vec::new();
    let mut source = from;
    let mut destination = to;
    match rng.below(24) {
        // In the name of another, or of nobody.
        0..3 => source = [1, 2, 3, 5, 9][rng.below(5) as usize],
        3 => source = to,
        // To somebody else.
        4 | 5 => destination = [1, 2, 3, 4, 5, 9][rng.below(6) as usize],
        _ => {}
    }
    packets::write(&mut out, source, destination, never_sent(rng));
    match rng.below(30) {
        0 => flip(rng, &mut out),
        1 => out.truncate(rng.below(out.len() as u64) as usize + 1),
        2 => out[0] = rng.next_u64() as u8,
        3 => out.push(0),
        4 if out[0] >> 4 == 6 => {
            // Extension headers, the last of which may lead out of the packet.
            let next = [0, 43, 44, 51, 60, 17][rng.below(6) as usize];
            out[6] = [0, 43, 44, 51, 60][rng.below(5) as usize];
            out[40..48].copy_from_slice(&[
                next,
                rng.below(3) as u8,
                0,
                rng.next_u64() as u8,
                0,
                0,
                0,
                1,
            ]);
        }
        5 => out[9] = rng.next_u64() as u8,
        _ => {}
    }
    out
}

/// A number that no stream of honest packets reaches.
fn never_sent(rng: &mut Rng) -> u32 {
    0xf000_0000 | rng.next_u64() as u32
}
