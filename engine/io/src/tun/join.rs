//! Neighbouring UDP packets of one flow are written to the TUN as one super-packet: of all that a small packet costs, the write costs most.
//!
//! The kernel cuts it again only where somebody wants single packets. What it then makes of it are the same packets: their checksums are
//! partial, their sizes equal (the last may be shorter), and their headers differ in nothing that segmentation does not count on. Pure.

use overlayd_node::{Offload, Segment, SegmentKind};

/// Of one super-packet; what kernels take of a sender, too.
pub(super) const PACKETS_MAX: usize = 64;
const UDP: u8 = 17;
pub(super) const UDP_HEADER: usize = 8;
/// Offset of the checksum in a UDP header.
const CHECKSUM: u16 = 6;
const V4_HEADER: usize = 20;
const V6_HEADER: usize = 40;
const HEADERS_MAX: usize = V6_HEADER + UDP_HEADER;
/// A length field has to hold it.
const BYTES_MAX: usize = 65_535;
const DONT_FRAGMENT: u8 = 0x40;

/// The headers of a super-packet: those of its first packet, with the lengths of the whole.
pub(super) struct Headers {
    bytes: [u8; HEADERS_MAX],
    length: usize,
    size: usize,
}

/// How many of the packets, from the first on, may be one super-packet.
pub(super) fn count<'a>(mut packets: impl Iterator<Item = (&'a [u8], Offload)>) -> usize {
    let Some((first, offload)) = packets.next() else {
        return 0;
    };
    let Some(transport) = plain_udp(first, offload) else {
        return 1;
    };
    let headers = transport + UDP_HEADER;
    let size = first.len() - headers;
    let (mut count, mut total) = (1, first.len());
    for (next, offload) in packets.take(PACKETS_MAX - 1) {
        let payload = next.len().saturating_sub(headers);
        let fits = plain_udp(next, offload) == Some(transport)
            && payload <= size
            && total + payload <= BYTES_MAX
            && same_flow(first, next, count);
        if !fits {
            break;
        }
        count += 1;
        total += payload;
        if payload < size {
            break;
        }
    }
    count
}

impl Headers {
    /// Of the packets that [`count`] found, `payload` bytes in all.
    pub(super) fn new(first: &[u8], transport: usize, payload: usize) -> Self {
        let length = transport + UDP_HEADER;
        let mut headers = Self {
            bytes: [0; HEADERS_MAX],
            length,
            size: first.len() - length,
        };
        let bytes = &mut headers.bytes[..length];
        bytes.copy_from_slice(&first[..length]);
        let udp_length = (UDP_HEADER + payload) as u16;
        let before = word(bytes, transport + 4);
        put(bytes, transport + 4, udp_length);
        // A partial checksum is the sum of the pseudo-header, which holds the length.
        let partial = sum([word(bytes, transport + 6), !before, udp_length]);
        put(bytes, transport + 6, partial);
        if transport == V4_HEADER {
            put(bytes, 2, udp_length + V4_HEADER as u16);
            put(bytes, 10, 0);
            let checksum = !sum((0..V4_HEADER).step_by(2).map(|at| word(bytes, at)));
            put(bytes, 10, checksum);
        } else {
            put(bytes, 4, udp_length);
        }
        headers
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes[..self.length]
    }

    pub(super) fn offload(&self) -> Offload {
        Offload {
            partial_checksum: Some(((self.length - UDP_HEADER) as u16, CHECKSUM)),
            segment: Some(Segment {
                kind: SegmentKind::Udp,
                header_len: self.length as u16,
                size: self.size as u16,
            }),
        }
    }
}

/// Where the UDP header stands in a packet that is nothing but IP without options, UDP with a partial checksum, and a payload.
fn plain_udp(packet: &[u8], offload: Offload) -> Option<usize> {
    let transport = match (offload.segment, offload.partial_checksum?) {
        (None, (start, CHECKSUM)) => usize::from(start),
        _ => return None,
    };
    let plain = packet.len() > transport + UDP_HEADER
        && match (packet[0], transport) {
            (0x45, V4_HEADER) => {
                packet[9] == UDP && packet[6] & !DONT_FRAGMENT == 0 && packet[7] == 0
            }
            (0x60..=0x6f, V6_HEADER) => packet[6] == UDP,
            _ => false,
        };
    plain.then_some(transport)
}

/// Whether `next` is what segmentation would make of the packet `index` after `first`. Both are plain UDP of one family.
fn same_flow(first: &[u8], next: &[u8], index: usize) -> bool {
    let same = |range: std::ops::Range<usize>| first[range.clone()] == next[range];
    if first[0] == 0x45 {
        // All but length, id and checksum; nobody looks at the id of what may not be cut.
        let counts_on = word(first, 4).wrapping_add(index as u16) == word(next, 4);
        same(0..2) && same(6..10) && same(12..24) && (counts_on || first[6] == DONT_FRAGMENT)
    } else {
        same(0..4) && same(6..44)
    }
}

fn word(bytes: &[u8], at: usize) -> u16 {
    u16::from_be_bytes([bytes[at], bytes[at + 1]])
}

fn put(bytes: &mut [u8], at: usize, value: u16) {
    bytes[at..at + 2].copy_from_slice(&value.to_be_bytes());
}

/// RFC 1071's, of words.
fn sum(words: impl IntoIterator<Item = u16>) -> u16 {
    let sum: u32 = words.into_iter().map(u32::from).sum();
    let sum = (sum & 0xffff) + (sum >> 16);
    ((sum & 0xffff) + (sum >> 16)) as u16
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests fail by panicking")]
mod tests {
    use overlayd_node::{Cut, complete_checksum};

    use super::*;

    /// A UDP packet whose checksum holds the sum of its pseudo-header.
    fn packet(v6: bool, id: u16, payload: &[u8]) -> Vec<u8> {
        let udp_length = (UDP_HEADER + payload.len()) as u16;
        let mut packet;
        let addresses;
        if v6 {
            packet = vec![0; V6_HEADER + UDP_HEADER];
            (packet[0], packet[6], packet[7]) = (0x60, UDP, 64);
            put(&mut packet, 4, udp_length);
            packet[8..40].fill(0xfd);
            addresses = 8..40;
        } else {
            packet = vec![0; V4_HEADER + UDP_HEADER];
            (packet[0], packet[8], packet[9]) = (0x45, 64, UDP);
            put(&mut packet, 2, udp_length + V4_HEADER as u16);
            put(&mut packet, 4, id);
            packet[12..20].copy_from_slice(&[10, 1, 0, 2, 10, 1, 0, 1]);
            let checksum = !sum((0..V4_HEADER).step_by(2).map(|at| word(&packet, at)));
            put(&mut packet, 10, checksum);
            addresses = 12..20;
        }
        let transport = packet.len() - UDP_HEADER;
        put(&mut packet, transport, 1024);
        put(&mut packet, transport + 2, 53);
        put(&mut packet, transport + 4, udp_length);
        let words = addresses.step_by(2).map(|at| word(&packet, at));
        let partial = sum(words.chain([UDP.into(), udp_length]));
        put(&mut packet, transport + 6, partial);
        packet.extend_from_slice(payload);
        packet
    }

    fn offload(v6: bool) -> Offload {
        let start = if v6 { V6_HEADER } else { V4_HEADER } as u16;
        Offload {
            partial_checksum: Some((start, CHECKSUM)),
            segment: None,
        }
    }

    fn joined(v6: bool, packets: &[Vec<u8>]) -> usize {
        count(packets.iter().map(|packet| (&**packet, offload(v6))))
    }

    #[test]
    fn what_is_joined_is_cut_into_the_same_packets() {
        for v6 in [false, true] {
            for (size, last) in [(64, 64), (64, 1), (1, 1), (1020, 1019)] {
                let packets: Vec<Vec<u8>> = (0..64u16)
                    .map(|index| {
                        let length = if index == 63 { last } else { size };
                        packet(
                            v6,
                            0xffe0u16.wrapping_add(index),
                            &vec![index as u8 + 1; length],
                        )
                    })
                    .collect();
                let count = joined(v6, &packets);
                assert_eq!(count, 64.min((BYTES_MAX - 48) / size));
                let transport = usize::from(offload(v6).partial_checksum.unwrap().0);
                let payload: Vec<u8> = packets[..count]
                    .iter()
                    .flat_map(|packet| &packet[transport + 8..])
                    .copied()
                    .collect();
                let headers = Headers::new(&packets[0], transport, payload.len());
                let whole = [headers.bytes(), &payload].concat();
                assert_eq!(
                    word(&whole, if v6 { 4 } else { 2 }) as usize,
                    whole.len() - if v6 { 40 } else { 0 }
                );
                if !v6 {
                    assert_eq!(
                        sum((0..V4_HEADER).step_by(2).map(|at| word(&whole, at))),
                        0xffff
                    );
                }
                let mut one_sum = whole.clone();
                assert!(complete_checksum(
                    &mut one_sum,
                    (transport as u16, CHECKSUM)
                ));
                let cut = Cut::new(&whole, headers.offload().segment.unwrap()).unwrap();
                assert_eq!(cut.count(), count);
                for (index, packet) in packets[..count].iter().enumerate() {
                    let mut out = Vec::new();
                    cut.emit(index, &mut out);
                    assert_eq!(&out, packet, "v6 {v6}, packet {index} of {size}");
                }
            }
        }
    }

    #[test]
    fn what_segmentation_would_not_make_is_left_alone() {
        let first = packet(false, 7, &[1; 64]);
        let with = |at: usize, value: u8| {
            let mut next = packet(false, 8, &[2; 64]);
            next[at] = value;
            next
        };
        assert_eq!(joined(false, &[first.clone(), with(0, 0x45)]), 2);
        for (at, value, what) in [
            (0, 0x46, "options"),
            (1, 3, "class"),
            (5, 9, "id"),
            (6, 0x20, "more fragments"),
            (7, 1, "fragment"),
            (8, 63, "hops"),
            (9, 6, "protocol"),
            (15, 9, "source"),
            (19, 9, "destination"),
            (21, 9, "source port"),
            (23, 9, "destination port"),
        ] {
            assert_eq!(
                joined(false, &[first.clone(), with(at, value)]),
                1,
                "{what}"
            );
        }
        assert_eq!(
            joined(false, &[first.clone(), packet(false, 8, &[2; 65])]),
            1
        );
        assert_eq!(joined(false, &[first.clone(), packet(false, 8, &[])]), 1);
        let shorter = packet(false, 8, &[2; 63]);
        assert_eq!(
            joined(false, &[first.clone(), shorter, packet(false, 9, &[3; 63])]),
            2
        );
        let second = with(0, 0x45);
        let complete = [(&*first, offload(false)), (&*second, Offload::default())];
        assert_eq!(count(complete.into_iter()), 1, "checksum complete");
        assert_eq!(count([].into_iter()), 0);
    }

    #[test]
    fn what_may_not_be_cut_needs_no_id() {
        let mut packets = [packet(false, 0, &[1; 9]), packet(false, 0, &[1; 9])];
        for packet in &mut packets {
            packet[6] = DONT_FRAGMENT;
        }
        assert_eq!(joined(false, &packets), 2);
    }
}
