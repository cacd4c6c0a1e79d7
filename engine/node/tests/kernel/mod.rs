//! What a kernel makes of a packet and its offload header: the reference, packet by packet.
//!
//! After Linux' `tcp_gso_segment`, `__udp_gso_segment`, `inet_gso_segment`, `ipv6_gso_segment` and `skb_checksum_help`, and after nothing of the
//! engine's. Slow and plain. Called by `differential` and by `trains`. Pure.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    unreachable_pub,
    reason = "tests fail by panicking; not every test has a module of its own"
)]

use overlayd_node::{Offload, SegmentKind};

const CWR: u8 = 0x80;
const FIN_PSH: u8 = 0x09;

/// The packets that cross a wire, with their checksums complete. Panics where header and packet do not agree.
pub fn packets(bytes: &[u8], offload: Offload) -> Vec<Vec<u8>> {
    let Some((start, offset)) = offload.partial_checksum else {
        assert_eq!(offload.segment, None, "to be cut, but its checksum is none");
        return vec![bytes.to_vec()];
    };
    let (start, field) = (usize::from(start), usize::from(start + offset));
    let Some(segment) = offload.segment else {
        return vec![completed(bytes.to_vec(), start, field)];
    };
    let v6 = bytes[0] >> 4 == 6;
    let (tcp, headers) = match segment.kind {
        SegmentKind::Udp => (false, start + 8),
        SegmentKind::TcpV4 | SegmentKind::TcpV6 => {
            assert_eq!(segment.kind == SegmentKind::TcpV6, v6, "family");
            (true, start + usize::from(bytes[start + 12] >> 4) * 4)
        }
    };
    assert_eq!(offset, if tcp { 16 } else { 6 }, "place of the checksum");
    assert_eq!(usize::from(segment.header_len), headers, "headers");
    let length = word(bytes, if v6 { 4 } else { 2 });
    assert_eq!(
        usize::from(length) + if v6 { 40 } else { 0 },
        bytes.len(),
        "length"
    );
    assert!(tcp || usize::from(word(bytes, start + 4)) == bytes.len() - start);
    let payload = &bytes[headers..];
    let count = payload.len().div_ceil(segment.size.into());
    assert!(count > 0, "an empty super-packet");
    let chunks = payload.chunks(segment.size.into()).enumerate();
    chunks
        .map(|(index, chunk)| {
            let mut packet = [&bytes[..headers], chunk].concat();
            let transport = packet.len() - start;
            // The sum of the pseudo-header changes by the length in it, and by nothing else.
            let change = u64::from(!((bytes.len() - start) as u16)) + transport as u64;
            let sum = fold(u64::from(word(bytes, field)) + change);
            put(&mut packet, field, sum);
            if v6 {
                let length = packet.len() - 40;
                put(&mut packet, 4, length as u16);
            } else {
                let length = packet.len();
                put(&mut packet, 2, length as u16);
                put(&mut packet, 4, word(bytes, 4).wrapping_add(index as u16));
                set_ipv4_checksum(&mut packet);
            }
            if tcp {
                let seq = u32::from_be_bytes(bytes[start + 4..start + 8].try_into().unwrap());
                let seq = seq.wrapping_add((index * usize::from(segment.size)) as u32);
                packet[start + 4..start + 8].copy_from_slice(&seq.to_be_bytes());
                let first = index == 0;
                let last = index + 1 == count;
                packet[start + 13] &= if last { 0xff } else { !FIN_PSH };
                packet[start + 13] &= if first { 0xff } else { !CWR };
            } else {
                put(&mut packet, start + 4, transport as u16);
            }
            completed(packet, start, field)
        })
        .collect()
}

/// Sets the checksum of an IPv4 header with all its options.
pub fn set_ipv4_checksum(packet: &mut [u8]) {
    let length = usize::from(packet[0] & 15) * 4;
    put(packet, 10, 0);
    let checksum = !fold(sum(&packet[..length]));
    put(packet, 10, checksum);
}

/// RFC 1071, not yet folded.
pub fn sum(bytes: &[u8]) -> u64 {
    let words = bytes.chunks(2).map(|pair| match *pair {
        [high, low] => u64::from(high) << 8 | u64::from(low),
        [high] => u64::from(high) << 8,
        _ => 0,
    });
    words.sum()
}

pub fn fold(mut sum: u64) -> u16 {
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    sum as u16
}

pub fn put(bytes: &mut [u8], at: usize, value: u16) {
    bytes[at..at + 2].copy_from_slice(&value.to_be_bytes());
}

fn word(bytes: &[u8], at: usize) -> u16 {
    u16::from_be_bytes([bytes[at], bytes[at + 1]])
}

fn completed(mut packet: Vec<u8>, start: usize, field: usize) -> Vec<u8> {
    // Of UDP, zero means that there is none.
    let checksum = match !fold(sum(&packet[start..])) {
        0 if field == start + 6 => 0xffff,
        checksum => checksum,
    };
    put(&mut packet, field, checksum);
    packet
}
