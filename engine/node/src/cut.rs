//! Ingress: cuts a super-packet from the TUN into the stand-alone packets that it means.
//!
//! As a kernel's segmentation does: lengths, IPv4 id and TCP sequence number count on; FIN and PSH stay with the last packet, CWR with
//! the first; transport checksums stay partial. The other end joins them again in `deliver`. Pure.

use overlayd_wire::InnerPacket;

use crate::checksum::{self, TCP, UDP};
use crate::output::{Segment, SegmentKind};

const TCP_HEADER: usize = 20;
const UDP_HEADER: usize = 8;
const FIN_PSH: u8 = 0x01 | 0x08;
const CWR: u8 = 0x80;
/// A run's index is one byte.
const PACKETS_MAX: usize = 256;

/// A super-packet, checked.
#[derive(Clone, Copy)]
pub struct Cut<'a> {
    header: &'a [u8],
    payload: &'a [u8],
    transport: usize,
    protocol: u8,
    size: usize,
}

impl<'a> Cut<'a> {
    /// `None`: headers, sizes and kind do not agree.
    pub fn new(bytes: &'a [u8], segment: Segment) -> Option<Self> {
        let view = InnerPacket::parse(bytes).ok()?;
        let (protocol, least) = match segment.kind {
            SegmentKind::TcpV4 | SegmentKind::TcpV6 => (TCP, TCP_HEADER),
            SegmentKind::Udp => (UDP, UDP_HEADER),
        };
        let family_agrees = match segment.kind {
            SegmentKind::TcpV4 => !view.is_v6(),
            SegmentKind::TcpV6 => view.is_v6(),
            SegmentKind::Udp => true,
        };
        let transport = view.transport_offset();
        let (header, payload) = bytes.split_at_checked(segment.header_len.into())?;
        let cut = Self {
            header,
            payload,
            transport,
            protocol,
            size: segment.size.into(),
        };
        let sound = family_agrees
            && view.protocol() == protocol
            && header.len() >= transport + least
            && cut.size > 0
            && !payload.is_empty()
            && cut.count() <= PACKETS_MAX;
        sound.then_some(cut)
    }

    pub fn count(&self) -> usize {
        self.payload.len().div_ceil(self.size)
    }

    /// Bytes of the longest packet.
    pub fn longest(&self) -> usize {
        self.header.len() + self.size.min(self.payload.len())
    }

    /// Appends packet `index` (below `count`) to `out`.
    pub fn emit(&self, index: usize, out: &mut Vec<u8>) {
        let from = index * self.size;
        let payload = &self.payload[from..self.payload.len().min(from + self.size)];
        let start = out.len();
        out.extend_from_slice(self.header);
        out.extend_from_slice(payload);
        let packet = &mut out[start..];
        set_lengths(packet, self.transport, self.protocol);
        if packet[0] >> 4 == 4 {
            let id = u16::from_be_bytes([packet[4], packet[5]]).wrapping_add(index as u16);
            packet[4..6].copy_from_slice(&id.to_be_bytes());
            checksum::set_v4_header(packet);
        }
        if self.protocol == TCP {
            let tcp = &mut packet[self.transport..];
            let seq = u32::from_be_bytes([tcp[4], tcp[5], tcp[6], tcp[7]]);
            tcp[4..8].copy_from_slice(&seq.wrapping_add(from as u32).to_be_bytes());
            if index + 1 < self.count() {
                tcp[13] &= !FIN_PSH;
            }
            if index > 0 {
                tcp[13] &= !CWR;
            }
        }
    }
}

/// Writes the length fields and the partial checksum of a packet whose bytes are final in number. The IPv4 header checksum is left.
pub(crate) fn set_lengths(packet: &mut [u8], transport: usize, protocol: u8) {
    let transport_length = packet.len() - transport;
    if packet[0] >> 4 == 4 {
        let total = (packet.len() as u16).to_be_bytes();
        packet[2..4].copy_from_slice(&total);
    } else {
        let payload = ((packet.len() - 40) as u16).to_be_bytes();
        packet[4..6].copy_from_slice(&payload);
    }
    if protocol == UDP {
        let length = (transport_length as u16).to_be_bytes();
        packet[transport + 4..transport + 6].copy_from_slice(&length);
    }
    let partial = checksum::pseudo_header(packet, protocol, transport_length).to_be_bytes();
    let field = transport + if protocol == TCP { 16 } else { 6 };
    packet[field..field + 2].copy_from_slice(&partial);
}
