//! What the kernel left to do for a packet, or is to do: its offload header translated to the node's word. Pure.

use overlayd_node::{Offload, Segment, SegmentKind};

use crate::vnet::{GSO_NONE, GSO_TCPV4, GSO_TCPV6, GSO_UDP_L4, NEEDS_CSUM, VnetHeader};

const UDP_HEADER: u16 = 8;

/// What the kernel left to do for `packet`; `None` where header and packet do not agree.
///
/// The kernel's own header length is only a hint (it is what happens to be linear in memory), so it is taken from the packet.
pub(super) fn decode(header: VnetHeader, packet: &[u8]) -> Option<Offload> {
    let partial_checksum = if header.flags & NEEDS_CSUM != 0 {
        let end = usize::from(header.csum_start) + usize::from(header.csum_offset) + 2;
        if end > packet.len() {
            return None;
        }
        Some((header.csum_start, header.csum_offset))
    } else {
        None
    };
    let kind = match header.gso_type {
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
    if header.gso_size == 0 || usize::from(header_len) >= packet.len() {
        return None;
    }
    Some(Offload {
        partial_checksum,
        segment: Some(Segment {
            kind,
            header_len,
            size: header.gso_size,
        }),
    })
}

/// The header that asks the kernel to do what `offload` leaves to do.
pub(super) fn encode(offload: Offload) -> VnetHeader {
    let mut header = VnetHeader::default();
    if let Some(segment) = offload.segment {
        header.gso_type = match segment.kind {
            SegmentKind::TcpV4 => GSO_TCPV4,
            SegmentKind::TcpV6 => GSO_TCPV6,
            SegmentKind::Udp => GSO_UDP_L4,
        };
        header.hdr_len = segment.header_len;
        header.gso_size = segment.size;
    }
    if let Some((start, offset)) = offload.partial_checksum {
        header.flags = NEEDS_CSUM;
        header.csum_start = start;
        header.csum_offset = offset;
    }
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
        let header = VnetHeader {
            flags: NEEDS_CSUM,
            gso_type: 3,
            gso_size: 1,
            csum_start: 20,
            csum_offset: 6,
            hdr_len: 0,
        };
        assert_eq!(decode(header, &tcp_packet(100)), None);
    }
}
