//! What programs on a host send in one go: packets and super-packets of several flows, as their kernel hands them over.
//!
//! Each comes with the packets that a kernel without any offload would have sent in its place, written from the same description and not
//! from the super-packet. Called by `differential`. Pure.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    unreachable_pub,
    reason = "tests fail by panicking; not every test has a module of its own"
)]

mod flow;

use overlayd_netem::Rng;
use overlayd_node::{Offload, Segment, SegmentKind};

use crate::kernel;
use flow::{Flow, TCP, UDP};

/// Longest packet that is no super-packet: twice what an underlay of 1280 has room for.
const SINGLE_MAX: u64 = 2200;
/// Longest that a kernel hands over, in its length field.
const LENGTH_MAX: usize = 65_535;
/// So that a train is not all super-packets.
const FRAGMENT: usize = 1280;

const FIN: u8 = 0x01;
const SYN: u8 = 0x02;
const RST: u8 = 0x04;
const PSH: u8 = 0x08;
const ACK: u8 = 0x10;
const URG: u8 = 0x20;
const ECE: u8 = 0x40;
const CWR: u8 = 0x80;

/// One packet or super-packet.
pub struct Sent {
    pub flow: usize,
    pub bytes: Vec<u8>,
    pub offload: Offload,
    /// What it means.
    pub plain: Vec<Vec<u8>>,
}

/// A train of one to five flows, interleaved.
pub fn train(rng: &mut Rng) -> Vec<Sent> {
    let mut flows: Vec<Flow> = (0..=rng.below(5))
        .map(|number| Flow::new(rng, number as u16))
        .collect();
    let mut sent = Vec::new();
    for _ in 0..=rng.below(16) {
        let place = rng.below(flows.len() as u64) as usize;
        let flow = &mut flows[place];
        let first = sent.len();
        match flow.protocol {
            TCP => tcp(rng, flow, &mut sent),
            UDP => udp(rng, flow, &mut sent),
            _ => other(rng, flow, &mut sent),
        }
        sent[first..]
            .iter_mut()
            .for_each(|packet| packet.flow = place);
    }
    sent
}

fn tcp(rng: &mut Rng, flow: &mut Flow, sent: &mut Vec<Sent>) {
    if rng.chance(0.1) {
        flow.answer(rng); // the other end has said something: another acknowledgement, window, time stamp
    }
    if rng.chance(0.5) {
        return sent.push(tcp_super_packet(rng, flow));
    }
    let (flags, payload) = match rng.below(8) {
        0 => (any(rng, &[SYN, SYN | ACK, SYN | ECE | CWR, SYN | PSH]), 0),
        1 => (any(rng, &[RST, RST | ACK, FIN | ACK, FIN | PSH | ACK]), 0),
        2 => (any(rng, &[ACK, ACK | ECE]), 0),
        3 => (rng.next_u64() as u8, rng.below(1400)),
        _ => (
            any(rng, &[ACK, ACK, ACK | PSH, ACK | URG, ACK | CWR]),
            rng.below(1400),
        ),
    };
    let urgent = if flags & URG != 0 {
        rng.next_u64() as u16
    } else {
        0
    };
    let payload = bytes(rng, payload as usize);
    let (seq, id) = (flow.seq, flow.next_ids(1));
    flow.seq = seq.wrapping_add(payload.len() as u32);
    let plain = flow.tcp(id, seq, flags, urgent, &payload);
    sent.push(single(rng, flow, plain, 16));
}

fn tcp_super_packet(rng: &mut Rng, flow: &mut Flow) -> Sent {
    let headers = flow.headers_len() + 20 + flow.tcp_options.len();
    let (size, most) = match rng.below(30) {
        0 => (40 + rng.below(200), 300 * 100), // more packets than a byte can count
        1 => (1448 - rng.below(100), LENGTH_MAX as u64),
        2..6 => (1 + rng.below(40), 600),
        _ => (1 + rng.below(1448), 16_000),
    };
    let most = most.min((LENGTH_MAX - headers) as u64);
    let mut length = 1 + rng.below(most);
    if rng.chance(0.3) {
        length = (length / size).max(1) * size; // the last is no shorter
    }
    let extra = [
        (0.4, PSH),
        (0.1, FIN),
        (0.1, CWR),
        (0.15, ECE),
        (0.05, URG),
        (0.02, SYN),
        (0.02, RST),
    ];
    let flags = extra.iter().fold(ACK, |flags, (ratio, flag)| {
        flags | if rng.chance(*ratio) { *flag } else { 0 }
    });
    let urgent = if flags & URG != 0 {
        rng.next_u64() as u16
    } else {
        0
    };
    let payload = bytes(rng, length as usize);
    let chunks: Vec<&[u8]> = payload.chunks(size as usize).collect();
    let (seq, id) = (flow.seq, flow.next_ids(chunks.len() as u16));
    flow.seq = seq.wrapping_add(payload.len() as u32);
    let mut plain = Vec::new();
    let mut at = seq;
    for (index, chunk) in chunks.iter().enumerate() {
        let mut flags = flags;
        if index > 0 {
            flags &= !CWR; // the window was reduced once
        }
        if index + 1 < chunks.len() {
            flags &= !(FIN | PSH); // there is more
        }
        plain.push(flow.tcp(id.wrapping_add(index as u16), at, flags, urgent, chunk));
        at = at.wrapping_add(chunk.len() as u32);
    }
    let whole = flow.tcp(id, seq, flags, urgent, &payload);
    let kind = match flow.v6 {
        true => SegmentKind::TcpV6,
        false => SegmentKind::TcpV4,
    };
    super_packet(flow, whole, plain, (kind, headers, size as u16, 16))
}

fn udp(rng: &mut Rng, flow: &mut Flow, sent: &mut Vec<Sent>) {
    match rng.below(10) {
        0..4 => sent.push(udp_super_packet(rng, flow)),
        4 => fragments(rng, flow, sent),
        5..8 => {
            // Neighbours of one size, as games and telephones send them.
            let length = rng.below(300) as usize;
            for _ in 0..=rng.below(12) {
                let payload = bytes(rng, length);
                let id = flow.next_ids(1);
                let plain = flow.udp(id, &payload);
                sent.push(single(rng, flow, plain, 6));
            }
        }
        8 if !flow.v6 => {
            let payload = bytes(rng, 100);
            let id = flow.next_ids(1);
            let mut plain = flow.udp(id, &payload);
            kernel::put(&mut plain, flow.headers_len() + 6, 0); // the sender wants no checksum
            sent.push(as_it_is(plain));
        }
        _ => {
            let payload = rng.below(SINGLE_MAX - flow.headers_len() as u64 - 8);
            let mut payload = bytes(rng, payload as usize);
            if rng.chance(0.2) {
                flow.make_checksum_zero(&mut payload); // which has to be written as another number
            }
            let id = flow.next_ids(1);
            let plain = flow.udp(id, &payload);
            sent.push(single(rng, flow, plain, 6));
        }
    }
}

fn udp_super_packet(rng: &mut Rng, flow: &mut Flow) -> Sent {
    let headers = flow.headers_len() + 8;
    let size = match rng.below(3) {
        0 => 1 + rng.below(64),
        _ => 1 + rng.below(1440),
    };
    let most = if rng.chance(0.1) { 128 } else { 20 };
    let count = 1 + rng.below(most);
    let length = size * count - rng.below(size);
    let payload = bytes(rng, (length as usize).min(LENGTH_MAX - headers));
    let chunks: Vec<&[u8]> = payload.chunks(size as usize).collect();
    let id = flow.next_ids(chunks.len() as u16);
    let plain = (0u16..)
        .zip(&chunks)
        .map(|(index, chunk)| flow.udp(id.wrapping_add(index), chunk))
        .collect();
    let whole = flow.udp(id, &payload);
    super_packet(
        flow,
        whole,
        plain,
        (SegmentKind::Udp, headers, size as u16, 6),
    )
}

/// A datagram that its sender, or a router before us, has taken apart.
fn fragments(rng: &mut Rng, flow: &mut Flow, sent: &mut Vec<Sent>) {
    let payload = 1500 + rng.below(5000);
    let payload = bytes(rng, payload as usize);
    let id = flow.next_ids(1);
    let whole = flow.udp(id, &payload);
    let datagram = &whole[flow.headers_len()..];
    let step = (FRAGMENT - flow.headers_len() - 8) / 8 * 8;
    let mut parts: Vec<Sent> = (0..)
        .zip(datagram.chunks(step))
        .map(|(index, chunk)| {
            let offset = index * step;
            let more = offset + chunk.len() < datagram.len();
            as_it_is(flow.fragment(id, (offset / 8) as u16, more, chunk))
        })
        .collect();
    if rng.chance(0.2) {
        parts.reverse(); // as some senders do
    }
    sent.extend(parts);
}

/// Neither TCP nor UDP; or a tunnel of the host's own, with TCP in it whose checksum is still to be completed.
fn other(rng: &mut Rng, flow: &mut Flow, sent: &mut Vec<Sent>) {
    let id = flow.next_ids(1);
    if rng.chance(0.5) {
        let payload = rng.below(1300);
        let payload = bytes(rng, payload as usize);
        return sent.push(as_it_is(flow.other(id, &payload)));
    }
    let mut inner = Flow::of(rng, TCP, false, 99);
    let payload = rng.below(1200);
    let payload = bytes(rng, payload as usize);
    let inner_packet = inner.tcp(inner.id, inner.seq, ACK, 0, &payload);
    inner.id += 1;
    let plain = flow.other(id, &inner_packet);
    let start = flow.headers_len() + inner.headers_len();
    let mut bytes = plain.clone();
    let sum = inner.pseudo_header(TCP, inner_packet.len() - inner.headers_len());
    kernel::put(&mut bytes, start + 16, sum);
    sent.push(Sent {
        flow: 0,
        bytes,
        offload: Offload {
            partial_checksum: Some((start as u16, 16)),
            segment: None,
        },
        plain: vec![plain],
    });
}

/// A packet of TCP or UDP whose checksum may be left to be completed, or may be wrong from the start.
fn single(rng: &mut Rng, flow: &Flow, mut plain: Vec<u8>, offset: usize) -> Sent {
    let start = flow.headers_len();
    match rng.below(20) {
        0 => {
            plain[start + offset] ^= 1;
            as_it_is(plain)
        }
        1..6 => as_it_is(plain),
        _ => {
            let mut bytes = plain.clone();
            let sum = flow.pseudo_header(flow.protocol, plain.len() - start);
            kernel::put(&mut bytes, start + offset, sum);
            Sent {
                flow: 0,
                bytes,
                offload: Offload {
                    partial_checksum: Some((start as u16, offset as u16)),
                    segment: None,
                },
                plain: vec![plain],
            }
        }
    }
}

fn super_packet(
    flow: &Flow,
    mut bytes: Vec<u8>,
    plain: Vec<Vec<u8>>,
    (kind, headers, size, offset): (SegmentKind, usize, u16, usize),
) -> Sent {
    let start = flow.headers_len();
    let sum = flow.pseudo_header(flow.protocol, bytes.len() - start);
    kernel::put(&mut bytes, start + offset, sum);
    let segment = Segment {
        kind,
        header_len: headers as u16,
        size,
    };
    Sent {
        flow: 0,
        bytes,
        offload: Offload {
            partial_checksum: Some((start as u16, offset as u16)),
            segment: Some(segment),
        },
        plain,
    }
}

fn as_it_is(bytes: Vec<u8>) -> Sent {
    Sent {
        flow: 0,
        plain: vec![bytes.clone()],
        bytes,
        offload: Offload::default(),
    }
}

fn bytes(rng: &mut Rng, length: usize) -> Vec<u8> {
    let mut bytes: Vec<u8> = (0..length.div_ceil(8))
        .flat_map(|_| rng.next_u64().to_ne_bytes())
        .collect();
    bytes.truncate(length);
    bytes
}

fn any(rng: &mut Rng, of: &[u8]) -> u8 {
    of[rng.below(of.len() as u64) as usize]
}
