//! Ingress: a packet becomes bodies: whole, in two pieces if its frame would not fit, or a run cut from a super-packet.
//!
//! A super-packet is cut as a kernel's segmentation does it: lengths, IPv4 id and TCP sequence number count on; FIN and PSH stay with the last packet, CWR with
//! the first; transport checksums stay partial. The other end joins them again in `deliver`. Pure.

use overlayd_wire::{InnerPacket, Piece, Run, body};

use crate::checksum::{self, TCP, UDP};
use crate::packet::Packet;
use crate::packet::{Offload, Segment, SegmentKind};
use crate::way::Way;
use crate::{DropReason, Nanos, Node};

const TCP_HEADER: usize = 20;
const UDP_HEADER: usize = 8;
const FIN_PSH: u8 = 0x01 | 0x08;
const CWR: u8 = 0x80;
/// A run's index is one byte; a super-packet of more packets becomes several runs.
const RUN_MAX: usize = 256;

impl Node {
    pub(crate) fn cut(
        &mut self,
        now: Nanos,
        way: &Way,
        packet: &Packet<'_>,
    ) -> Result<(), DropReason> {
        match packet.offload.segment {
            Some(segment) => {
                let cut = Cut::new(packet.bytes, segment).ok_or(DropReason::BadOffload)?;
                self.cut_run(now, way, &cut)
            }
            None => self.cut_one(now, way, packet.bytes, packet.offload),
        }
    }

    fn cut_run(&mut self, now: Nanos, way: &Way, cut: &Cut<'_>) -> Result<(), DropReason> {
        let peer = &mut self.peers[way.peer];
        let run = peer.next_run;
        peer.next_run = run.wrapping_add(cut.count().div_ceil(RUN_MAX) as u8);
        if Run::HEADER_LEN + cut.longest() > way.room {
            return self.cut_run_into_pieces(now, way, cut);
        }
        let mut result = Ok(());
        for index in 0..cut.count() {
            let header = Run {
                partial_checksum: true,
                first: index % RUN_MAX == 0,
                last: (index + 1) % RUN_MAX == 0 || index + 1 == cut.count(),
                run: run.wrapping_add((index / RUN_MAX) as u8),
                index: index as u8,
                packet: &[],
            };
            let sent = self.out(now, way, |bytes| {
                bytes.extend_from_slice(&header.header());
                cut.emit(index, bytes);
            });
            result = result.and(sent);
        }
        result
    }

    fn cut_run_into_pieces(
        &mut self,
        now: Nanos,
        way: &Way,
        cut: &Cut<'_>,
    ) -> Result<(), DropReason> {
        let partial_checksum = Some((cut.transport as u16, cut.checksum_offset()));
        let offload = Offload {
            partial_checksum,
            segment: None,
        };
        let mut packet = std::mem::take(&mut self.cut_packet);
        let mut result = Ok(());
        for index in 0..cut.count() {
            packet.clear();
            cut.emit(index, &mut packet);
            result = result.and(self.cut_one(now, way, &packet, offload));
        }
        self.cut_packet = packet;
        result
    }

    fn cut_one(
        &mut self,
        now: Nanos,
        way: &Way,
        packet: &[u8],
        offload: Offload,
    ) -> Result<(), DropReason> {
        // The mark of a partial checksum does not say where it stands.
        let usual = offload.partial_checksum.is_none_or(|at| {
            InnerPacket::parse(packet).is_ok_and(|view| checksum::place(&view) == Some(at))
        });
        if usual && packet.len() < way.room {
            return self.out(now, way, |bytes| {
                bytes.push(body::packet_byte(offload.partial_checksum.is_some()));
                bytes.extend_from_slice(packet);
            });
        }
        self.advise(now, way, packet);
        if packet.len() > 2 * (way.room.saturating_sub(Piece::HEADER_LEN)) {
            return Err(DropReason::TooBig);
        }
        let mut whole = std::mem::take(&mut self.scratch);
        whole.clear();
        whole.extend_from_slice(packet);
        // Pieces have no place for the mark at all.
        let completed = offload
            .partial_checksum
            .is_none_or(|at| checksum::complete(&mut whole, at));
        let sent = match completed {
            true => self.cut_completed(now, way, &whole),
            false => Err(DropReason::BadOffload),
        };
        self.scratch = whole;
        sent
    }

    /// `packet`: no longer than two pieces.
    fn cut_completed(&mut self, now: Nanos, way: &Way, packet: &[u8]) -> Result<(), DropReason> {
        if packet.len() < way.room {
            return self.cut_one(now, way, packet, Offload::default());
        }
        let peer = &mut self.peers[way.peer];
        let id = peer.next_piece;
        peer.next_piece = id.wrapping_add(1);
        let (first, second) = packet.split_at(packet.len().div_ceil(2));
        for (second, bytes) in [(false, first), (true, second)] {
            let piece = Piece { second, id, bytes };
            self.out(now, way, |out| {
                out.extend_from_slice(&piece.header());
                out.extend_from_slice(piece.bytes);
            })?;
        }
        Ok(())
    }
}

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
            && !payload.is_empty();
        sound.then_some(cut)
    }

    pub fn count(&self) -> usize {
        self.payload.len().div_ceil(self.size)
    }

    /// In the transport header.
    fn checksum_offset(&self) -> u16 {
        if self.protocol == TCP { 16 } else { 6 }
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
        let whole = self.header.len() + self.payload.len() - self.transport;
        set_lengths(packet, packet.len(), self.transport, self.protocol, whole);
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

/// Writes the length fields of a packet of `length` bytes, of which the headers are at hand, and adapts its partial checksum, which is of a
/// transport length of `before`. The IPv4 header checksum is left.
pub(crate) fn set_lengths(
    packet: &mut [u8],
    length: usize,
    transport: usize,
    protocol: u8,
    before: usize,
) {
    let transport_length = length - transport;
    if packet[0] >> 4 == 4 {
        let total = (length as u16).to_be_bytes();
        packet[2..4].copy_from_slice(&total);
    } else {
        let payload = ((length - 40) as u16).to_be_bytes();
        packet[4..6].copy_from_slice(&payload);
    }
    if protocol == UDP {
        let length = (transport_length as u16).to_be_bytes();
        packet[transport + 4..transport + 6].copy_from_slice(&length);
    }
    let field = transport + if protocol == TCP { 16 } else { 6 };
    checksum::resize(packet, field, before, transport_length);
}
