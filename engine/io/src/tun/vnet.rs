//! The virtio network header before each packet of the TUN, and its meaning as an [`Offload`]. Pure.
//!
//! Source: `struct virtio_net_hdr` in Linux' `virtio_net.h`; ten bytes in the machine's own byte order.

use overlayd_node::{Offload, Segment, SegmentKind};

/// Bytes of the header.
pub(crate) const LEN: usize = 10;

const NEEDS_CSUM: u8 = 1;
const GSO_NONE: u8 = 0;
const GSO_TCPV4: u8 = 1;
const GSO_TCPV6: u8 = 4;
const GSO_UDP_L4: u8 = 5;
const UDP_HEADER: u16 = 8;

/// What the kernel left to do for `packet`; `None` where header and packet do not agree.
///
/// The kernel's own header length is only a hint (it is what happens to be linear in memory), so it is taken from the packet.
pub(crate) fn decode(header: [u8; LEN], packet: &[u8]) -> Option<Offload> {
    let word = |at: usize| u16::from_ne_bytes([header[at], header[at + 1]]);
    let [flags, gso_type, ..] = header;
    let (size, start, offset) = (word(4), word(6), word(8));
    let partial_checksum = if flags & NEEDS_CSUM != 0 {
        let end = usize::from(start) + usize::from(offset) + 2;
        if end > packet.len() {
            return None;
        }
        Some((start, offset))
    } else {
        None
    };
    let kind = match gso_type {
        GSO_NONE => {
            return Some(Offload {
                partial_checksum,
                segment: None,
            });
        }
        GSO_TCPV4 => SegmentKind::TcpV4,
        GSO_TCPV6 => SegmentKind::TcpV6,
        GSO_UDP_L4 => SegmentKind::Udp,
        _ => return None,
    };
    let (start, _) = partial_checksum?;
    let transport = match kind {
        SegmentKind::Udp => UDP_HEADER,
        SegmentKind::TcpV4 | SegmentKind::TcpV6 => {
            u16::from(packet.get(usize::from(start) + 12)? >> 4) * 4
        }
    };
    let header_len = start.checked_add(transport)?;
    if size == 0 || usize::from(header_len) >= packet.len() {
        return None;
    }
    Some(Offload {
        partial_checksum,
        segment: Some(Segment {
            kind,
            header_len,
            size,
        }),
    })
}

/// The header that asks the kernel to do what `offload` leaves to do.
pub(crate) fn encode(offload: Offload) -> [u8; LEN] {
    let mut header = [0; LEN];
    let mut put = |at: usize, word: u16| header[at..at + 2].copy_from_slice(&word.to_ne_bytes());
    let mut gso_type = GSO_NONE;
    if let Some(segment) = offload.segment {
        gso_type = match segment.kind {
            SegmentKind::TcpV4 => GSO_TCPV4,
            SegmentKind::TcpV6 => GSO_TCPV6,
            SegmentKind::Udp => GSO_UDP_L4,
        };
        put(2, segment.header_len);
        put(4, segment.size);
    }
    if let Some((start, offset)) = offload.partial_checksum {
        put(6, start);
        put(8, offset);
        header[0] = NEEDS_CSUM;
    }
    header[1] = gso_type;
    header
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests fail by panicking")]
mod tests {
    use super::*;

    fn tcp_packet(payload: usize) -> Vec<u8> {
        let mut packet = vec![0; 40 + payload];
        packet[0] = 0x45;
        packet[20 + 12] = 5 << 4;
        packet
    }

    #[test]
    fn a_super_packet_comes_back_as_it_was_told() {
        let segment = Segment {
            kind: SegmentKind::TcpV4,
            header_len: 40,
            size: 1200,
        };
        let offload = Offload {
            partial_checksum: Some((20, 16)),
            segment: Some(segment),
        };
        assert_eq!(decode(encode(offload), &tcp_packet(5000)), Some(offload));
    }

    #[test]
    fn the_header_length_is_read_from_the_packet_not_from_the_hint() {
        let segment = Segment {
            kind: SegmentKind::TcpV4,
            header_len: 1234,
            size: 1200,
        };
        let mut packet = tcp_packet(5000);
        packet[20 + 12] = 8 << 4;
        let offload = decode(
            encode(Offload {
                partial_checksum: Some((20, 16)),
                segment: Some(segment),
            }),
            &packet,
        );
        assert_eq!(offload.unwrap().segment.unwrap().header_len, 52);
    }

    #[test]
    fn a_header_that_points_outside_its_packet_is_refused() {
        let partial = Offload {
            partial_checksum: Some((39, 16)),
            segment: None,
        };
        assert_eq!(decode(encode(partial), &tcp_packet(0)), None);
        let segment = Segment {
            kind: SegmentKind::Udp,
            header_len: 28,
            size: 0,
        };
        let empty = Offload {
            partial_checksum: Some((20, 6)),
            segment: Some(segment),
        };
        assert_eq!(decode(encode(empty), &tcp_packet(100)), None);
    }

    #[test]
    fn an_unknown_kind_of_super_packet_is_refused() {
        assert_eq!(
            decode([1, 3, 0, 0, 1, 0, 20, 0, 6, 0], &tcp_packet(100)),
            None
        );
    }
}
