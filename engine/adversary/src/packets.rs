//! Inner packets as a function of (source, destination, number), so that any that arrives can be compared with what was sent, and none has to be kept.
//!
//! Nothing of the engine is used here: headers, checksums and segmentation are written anew, or a fault would be on both sides of the comparison. Pure.

use std::net::IpAddr;

use overlayd_node::{Offload, Segment, SegmentKind};

/// Classes of service that packets ask for, by DSCP.
pub(crate) const CLASSES_IN_USE: u8 = 4;

/// Stands at the front of every segment's payload: two bytes, source, destination, number (4), index of the segment.
const MARK: [u8; 2] = [0x6f, 0x76];
const MARK_LEN: usize = 9;
const TCP: u8 = 6;
const UDP: u8 = 17;

/// What a segment's payload says of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Mark {
    pub(crate) from: u16,
    pub(crate) to: u16,
    pub(crate) number: u32,
    pub(crate) index: u8,
}

pub(crate) fn address(id: u16, v6: bool) -> IpAddr {
    if v6 {
        format!("fd09::{id:x}").parse().unwrap_or([0; 16].into())
    } else {
        IpAddr::from([10, 9, 0, id as u8])
    }
}

/// The node that has an overlay address, by the plan of `address`.
pub(crate) fn owner(address: IpAddr) -> Option<u16> {
    let id = match address {
        IpAddr::V4(address) => match address.octets() {
            [10, 9, 0, id] => id.into(),
            _ => return None,
        },
        IpAddr::V6(address) => match address.segments() {
            [0xfd09, 0, 0, 0, 0, 0, 0, id] => id,
            _ => return None,
        },
    };
    (1..=5).contains(&id).then_some(id)
}

/// Writes packet `number` from one node to another; what the kernel has left to do for it.
pub(crate) fn write(out: &mut Vec<u8>, from: u16, to: u16, number: u32) -> Offload {
    out.clear();
    let dice = mix(u64::from(from) << 48 | u64::from(to) << 32 | u64::from(number));
    let (v6, length) = (dice >> 8 & 1 == 1, dice >> 32 & 0xffff);
    let (protocol, payload, size) = match dice % 100 {
        0..50 => (UDP, 40 + length % 340, None),
        50..68 => (UDP, 380 + length % 980, None),
        68..80 => (UDP, 1360 + length % 1100, None),
        80..90 => (TCP, MARK_LEN as u64 + length % 60, None),
        90..96 => (
            TCP,
            2_000 + length % 14_000,
            Some(500 + (length % 800) as u16),
        ),
        _ => (
            UDP,
            1_000 + length % 5_000,
            Some(200 + (length % 900) as u16),
        ),
    };
    let segment_size = size.map_or(payload as usize, usize::from);
    // Also the last segment has room for its mark.
    let short = payload as usize % segment_size;
    let payload = payload as usize + MARK_LEN.saturating_sub(short);
    let segment_size = size.map_or(payload, usize::from);
    let traffic_class =
        ((dice >> 16) as u8 % CLASSES_IN_USE) << 2 | if dice >> 20 & 3 == 0 { 2 } else { 0 };
    network_header(
        out,
        (from, to, v6),
        number,
        protocol,
        traffic_class,
        payload,
    );
    let transport = out.len();
    transport_header(out, protocol, number, payload, dice >> 56 & 1 == 1);
    let header = out.len();
    for index in 0..payload.div_ceil(segment_size) {
        let end = payload.min((index + 1) * segment_size) + header;
        let mark = Mark {
            from,
            to,
            number,
            index: index as u8,
        };
        mark.write(out);
        fill(out, end, dice ^ index as u64);
    }
    set_lengths(out, transport);
    let offset = if protocol == TCP { 16 } else { 6 };
    let partial_checksum =
        (size.is_some() || dice >> 24 & 3 == 0).then_some((transport as u16, offset));
    if partial_checksum.is_some() {
        let sum = pseudo_header(out, transport);
        let at = transport + usize::from(offset);
        out[at..at + 2].copy_from_slice(&sum.to_be_bytes());
    } else {
        complete(out);
    }
    let kind = match (protocol, v6) {
        (TCP, true) => SegmentKind::TcpV6,
        (TCP, false) => SegmentKind::TcpV4,
        _ => SegmentKind::Udp,
    };
    let segment = size
        .filter(|size| payload > usize::from(*size))
        .map(|size| Segment {
            kind,
            header_len: header as u16,
            size,
        });
    Offload {
        partial_checksum,
        segment,
    }
}

/// How many packets on a wire a packet is, or a super-packet would be.
pub(crate) fn count(packet: &[u8], offload: &Offload) -> usize {
    let Some(segment) = offload.segment else {
        return 1;
    };
    packet
        .len()
        .saturating_sub(segment.header_len.into())
        .div_ceil(usize::from(segment.size).max(1))
}

/// Writes packet `index` of a (super-)packet as it would stand on a wire: with its own lengths, and all checksums complete.
pub(crate) fn write_segment(out: &mut Vec<u8>, packet: &[u8], offload: &Offload, index: usize) {
    out.clear();
    let Some(segment) = offload.segment else {
        out.extend_from_slice(packet);
        if offload.partial_checksum.is_some() {
            complete(out);
        }
        return;
    };
    let (header, payload) = packet.split_at(packet.len().min(segment.header_len.into()));
    let from = index * usize::from(segment.size);
    let to = payload.len().min(from + usize::from(segment.size));
    out.extend_from_slice(header);
    out.extend_from_slice(payload.get(from..to).unwrap_or(&[]));
    let transport = transport_offset(out);
    if out[0] >> 4 == 4 {
        let id = u16::from_be_bytes([out[4], out[5]]).wrapping_add(index as u16);
        out[4..6].copy_from_slice(&id.to_be_bytes());
    }
    if protocol(out) == TCP {
        let seq = u32::from_be_bytes([
            out[transport + 4],
            out[transport + 5],
            out[transport + 6],
            out[transport + 7],
        ]);
        out[transport + 4..transport + 8]
            .copy_from_slice(&seq.wrapping_add(from as u32).to_be_bytes());
        if to < payload.len() {
            out[transport + 13] &= !0x09;
        }
    }
    set_lengths(out, transport);
    complete(out);
}

/// Gives a packet the marks of congestion that it may have got under way (RFC 6040): those of `arrived`, if they are such.
pub(crate) fn mark_like(packet: &mut [u8], arrived: &[u8]) {
    let marks = match (ecn(packet), ecn(arrived)) {
        (1 | 2, 3) => 3,
        (2, 1) => 1,
        _ => return,
    };
    if packet[0] >> 4 == 6 {
        packet[1] = packet[1] & !0x30 | marks << 4;
    } else {
        packet[1] = packet[1] & !3 | marks;
        set_header_checksum(packet);
    }
}

pub(crate) fn ecn(packet: &[u8]) -> u8 {
    if packet[0] >> 4 == 6 {
        packet[1] >> 4 & 3
    } else {
        packet[1] & 3
    }
}

/// Whether the bytes are an IP packet whose length is right, and addresses of which nodes it has.
pub(crate) fn ends(packet: &[u8]) -> Option<(Option<u16>, Option<u16>)> {
    let at = |from: usize, length: usize| -> Option<IpAddr> {
        let bytes = packet.get(from..from + length)?;
        Some(match length {
            4 => IpAddr::from(<[u8; 4]>::try_from(bytes).ok()?),
            _ => IpAddr::from(<[u8; 16]>::try_from(bytes).ok()?),
        })
    };
    let ((from, to), length) = match packet.first()? >> 4 {
        4 => (
            (at(12, 4)?, at(16, 4)?),
            usize::from(u16::from_be_bytes([packet[2], packet[3]])),
        ),
        6 => (
            (at(8, 16)?, at(24, 16)?),
            40 + usize::from(u16::from_be_bytes([packet[4], packet[5]])),
        ),
        _ => return None,
    };
    (length == packet.len()).then_some((owner(from), owner(to)))
}

/// What an ICMP packet quotes that says "too big".
pub(crate) fn too_big(packet: &[u8]) -> Option<&[u8]> {
    let icmp = packet.get(transport_offset(packet)..)?;
    let is_one = match (packet.first()? >> 4, protocol(packet)) {
        (4, 1) => icmp.starts_with(&[3, 4]),
        (6, 58) => icmp.starts_with(&[2, 0]),
        _ => false,
    };
    is_one.then(|| icmp.get(8..))?
}

impl Mark {
    /// Of a packet as it stands on a wire.
    pub(crate) fn of(packet: &[u8]) -> Option<Self> {
        let transport = transport_offset(packet);
        let payload = match protocol(packet) {
            TCP => transport + usize::from(packet.get(transport + 12)? >> 4) * 4,
            UDP => transport + 8,
            _ => return None,
        };
        let [a, b, from, to, n @ .., index] = *packet.get(payload..)?.first_chunk::<MARK_LEN>()?;
        let number = u32::from_be_bytes(n);
        ([a, b] == MARK).then_some(Self {
            from: from.into(),
            to: to.into(),
            number,
            index,
        })
    }

    fn write(self, out: &mut Vec<u8>) {
        let [a, b, c, d] = self.number.to_be_bytes();
        out.extend_from_slice(&[
            MARK[0],
            MARK[1],
            self.from as u8,
            self.to as u8,
            a,
            b,
            c,
            d,
            self.index,
        ]);
    }
}

fn network_header(
    out: &mut Vec<u8>,
    (from, to, v6): (u16, u16, bool),
    number: u32,
    protocol: u8,
    traffic_class: u8,
    payload: usize,
) {
    let transport = if protocol == TCP { 20 } else { 8 };
    let length = ((payload + transport) as u16).to_be_bytes();
    if v6 {
        out.extend_from_slice(&[
            0x60 | traffic_class >> 4,
            traffic_class << 4,
            0,
            number as u8,
        ]);
        out.extend_from_slice(&[length[0], length[1], protocol, 64]);
    } else {
        let [.., high, low] = number.to_be_bytes();
        out.extend_from_slice(&[
            0x45,
            traffic_class,
            0,
            0,
            high,
            low,
            0x40,
            0,
            64,
            protocol,
            0,
            0,
        ]);
    }
    for id in [from, to] {
        match address(id, v6) {
            IpAddr::V4(address) => out.extend_from_slice(&address.octets()),
            IpAddr::V6(address) => out.extend_from_slice(&address.octets()),
        }
    }
}

fn transport_header(out: &mut Vec<u8>, protocol: u8, number: u32, payload: usize, push: bool) {
    out.extend_from_slice(&[0x1f, 0x90, 0x20, 0xfb]);
    if protocol == TCP {
        out.extend_from_slice(&number.wrapping_mul(7_919).to_be_bytes());
        out.extend_from_slice(&[
            0,
            1,
            2,
            3,
            0x50,
            if push { 0x18 } else { 0x10 },
            1,
            0,
            0,
            0,
            0,
            0,
        ]);
    } else {
        out.extend_from_slice(&((payload + 8) as u16).to_be_bytes());
        out.extend_from_slice(&[0, 0]);
    }
}

fn fill(out: &mut Vec<u8>, end: usize, seed: u64) {
    let mut word = mix(seed);
    while out.len() < end {
        word = word.wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29);
        let bytes = word.to_be_bytes();
        out.extend_from_slice(&bytes[..bytes.len().min(end - out.len())]);
    }
}

fn transport_offset(packet: &[u8]) -> usize {
    match packet.first() {
        Some(first) if first >> 4 == 4 => usize::from(first & 15) * 4,
        _ => 40,
    }
}

fn protocol(packet: &[u8]) -> u8 {
    let at = if packet.first().is_some_and(|first| first >> 4 == 4) {
        9
    } else {
        6
    };
    packet.get(at).copied().unwrap_or(0)
}

/// Lengths in IP and UDP headers, and the checksum of an IPv4 header.
fn set_lengths(packet: &mut [u8], transport: usize) {
    let length = packet.len();
    if packet[0] >> 4 == 4 {
        packet[2..4].copy_from_slice(&(length as u16).to_be_bytes());
        set_header_checksum(packet);
    } else {
        packet[4..6].copy_from_slice(&((length - 40) as u16).to_be_bytes());
    }
    if protocol(packet) == UDP {
        packet[transport + 4..transport + 6]
            .copy_from_slice(&((length - transport) as u16).to_be_bytes());
    }
}

fn set_header_checksum(packet: &mut [u8]) {
    packet[10..12].fill(0);
    let sum = !sum(&packet[..usize::from(packet[0] & 15) * 4], 0);
    packet[10..12].copy_from_slice(&sum.to_be_bytes());
}

/// Completes the transport checksum, whatever stood there.
fn complete(packet: &mut [u8]) {
    let transport = transport_offset(packet);
    let at = transport + if protocol(packet) == TCP { 16 } else { 6 };
    if at + 2 > packet.len() {
        return;
    }
    packet[at..at + 2].fill(0);
    let sum = !sum(
        &packet[transport..],
        pseudo_header(packet, transport).into(),
    );
    let sum = if sum == 0 && protocol(packet) == UDP {
        0xffff
    } else {
        sum
    };
    packet[at..at + 2].copy_from_slice(&sum.to_be_bytes());
}

fn pseudo_header(packet: &[u8], transport: usize) -> u16 {
    let addresses = if packet[0] >> 4 == 4 {
        &packet[12..20]
    } else {
        &packet[8..40]
    };
    sum(
        addresses,
        u32::from(protocol(packet)) + (packet.len() - transport) as u32,
    )
}

fn sum(bytes: &[u8], start: u32) -> u16 {
    let mut sum = u64::from(start);
    for pair in bytes.chunks(2) {
        sum += u64::from(pair[0]) << 8 | pair.get(1).copied().map_or(0, u64::from);
    }
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    sum as u16
}

/// splitmix64.
fn mix(seed: u64) -> u64 {
    let mut z = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ z >> 31
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_packet_is_well_formed_and_tells_who_it_is() {
        let (mut packet, mut segment) = (Vec::new(), Vec::new());
        let mut shapes = std::collections::BTreeSet::new();
        for number in 0..3_000 {
            let offload = write(&mut packet, 1, 2, number);
            assert_eq!(ends(&packet), Some((Some(1), Some(2))));
            shapes.insert((
                protocol(&packet),
                packet[0] >> 4,
                offload.segment.is_some(),
                packet.len() > 1_400,
            ));
            for index in 0..count(&packet, &offload) {
                write_segment(&mut segment, &packet, &offload, index);
                assert_eq!(ends(&segment), Some((Some(1), Some(2))));
                let transport = transport_offset(&segment);
                let whole = sum(
                    &segment[transport..],
                    pseudo_header(&segment, transport).into(),
                );
                assert_eq!(
                    whole, 0xffff,
                    "the checksum of packet {number}, segment {index}"
                );
                assert_eq!(
                    Mark::of(&segment),
                    Some(Mark {
                        from: 1,
                        to: 2,
                        number,
                        index: index as u8
                    })
                );
            }
        }
        assert!(shapes.len() >= 8, "{shapes:?}");
    }
}
