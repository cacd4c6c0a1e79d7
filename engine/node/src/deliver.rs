//! Egress, last stage: an inner packet goes to the TUN, if its source is the peer's and its destination lives here.
//!
//! Packets that were cut from one super-packet and arrive in order in one batch are joined again; a gap only splits the run. What was received
//! stays where it is: a super-packet is a header of its own and the payloads, each where it lies. Pure.

use overlayd_wire::{InnerPacket, Run, ecn};

use crate::checksum::{self, TCP};
use crate::cut;
use crate::in_order::{FramePlace, Turn};
use crate::marks::Marks;
use crate::order::Form;
use crate::output::{Offload, Piece, Segment, SegmentKind};
use crate::tables::Owner;
use crate::{DropReason, Nanos, Node};

const FIN: u8 = 0x01;
const PSH: u8 = 0x08;
const CWR: u8 = 0x80;
/// Offset of the flags in a TCP header, and of its length.
const TCP_FLAGS: usize = 13;
const TCP_LENGTH: usize = 12;
/// The two bits where they lie in the second byte of an IPv6 header.
const V6_ECN: u8 = ecn::MASK << 4;
/// A super-packet's length has to fit its header.
const SUPER_MAX: usize = 65_535;
/// As many as an ingress cuts one into.
const PACKETS_MAX: usize = 256;

/// Where a packet comes from, and what happened to it on the way.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Origin {
    pub(crate) peer: u16,
    pub(crate) marks: Marks,
    /// Where the packet lies in what was received. `None`: it has to be copied, as what it lies in is used again.
    pub(crate) at: Option<usize>,
    /// `None`: it is not to be put in order, or has been.
    pub(crate) place: Option<FramePlace>,
}

/// The super-packet at the end of the output that the next packet of its run may still join.
#[derive(Clone, Copy, Debug)]
pub(crate) struct OpenRun {
    peer: u16,
    run: u8,
    next_index: u8,
    /// Place of its header in `Output::packet_bytes`.
    start: usize,
    transport: usize,
    header: usize,
    size: usize,
    length: usize,
    next_seq: u32,
    count: usize,
    ecn: u8,
}

impl Node {
    /// A packet goes to the TUN when its turn has come, and takes along those of its flow that waited for it.
    pub(crate) fn deliver(
        &mut self,
        now: Nanos,
        origin: Origin,
        packet: &[u8],
        partial_checksum: bool,
    ) -> Result<(), DropReason> {
        let view = self.admit(origin, packet)?;
        let form = Form::Whole { partial_checksum };
        match self.turn_of(now, &origin, &view, packet, form) {
            Turn::Waits => Ok(()),
            Turn::Now => self.write(origin, &view, packet, partial_checksum),
            Turn::First(flow) => {
                let written = self.write(origin, &view, packet, partial_checksum);
                self.follow(now, flow, &origin);
                written
            }
        }
    }

    pub(crate) fn deliver_run(
        &mut self,
        now: Nanos,
        origin: Origin,
        run: &Run<'_>,
    ) -> Result<(), DropReason> {
        let view = self.admit(origin, run.packet)?;
        match self.turn_of(now, &origin, &view, run.packet, Form::of_run(run)) {
            Turn::Waits => Ok(()),
            Turn::Now => self.write_run(origin, &view, run),
            Turn::First(flow) => {
                let written = self.write_run(origin, &view, run);
                self.follow(now, flow, &origin);
                written
            }
        }
    }

    pub(crate) fn write(
        &mut self,
        origin: Origin,
        view: &InnerPacket<'_>,
        packet: &[u8],
        partial_checksum: bool,
    ) -> Result<(), DropReason> {
        self.end_run();
        let ecn = self.mark(origin, view)?;
        let partial_checksum = checksum_place(view, packet.len(), partial_checksum)?;
        let offload = Offload {
            partial_checksum,
            segment: None,
        };
        self.push(origin.at, packet, (view.ecn(), ecn), offload);
        Ok(())
    }

    pub(crate) fn write_run(
        &mut self,
        origin: Origin,
        view: &InnerPacket<'_>,
        run: &Run<'_>,
    ) -> Result<(), DropReason> {
        let ecn = self.mark(origin, view)?;
        if self.join(origin, run, view, ecn) {
            return Ok(());
        }
        self.end_run();
        let partial_checksum = checksum_place(view, run.packet.len(), run.partial_checksum)?;
        let offload = Offload {
            partial_checksum,
            segment: None,
        };
        match self.start(origin.peer, run, view, ecn) {
            Some(open) => {
                let marks = (view.ecn(), ecn);
                self.push_open(origin.at, run.packet, marks, open.header, offload);
                self.open_run = Some(open);
            }
            None => self.push(origin.at, run.packet, (view.ecn(), ecn), offload),
        }
        Ok(())
    }

    /// Gives a super-packet that was joined its final header.
    pub(crate) fn end_run(&mut self) {
        let Some(run) = self.open_run.take().filter(|run| run.count > 1) else {
            return;
        };
        let Some(delivery) = self.output.packets.last_mut() else {
            return;
        };
        delivery.pieces.end = self.output.pieces.len();
        let header = &mut self.output.packet_bytes[run.start..][..run.header];
        let before = run.header + run.size - run.transport;
        cut::set_lengths(header, run.length, run.transport, TCP, before);
        let v4 = header[0] >> 4 == 4;
        if v4 {
            checksum::set_v4_header(header);
        }
        delivery.offload = Offload {
            partial_checksum: Some((run.transport as u16, 16)),
            segment: Some(Segment {
                kind: if v4 {
                    SegmentKind::TcpV4
                } else {
                    SegmentKind::TcpV6
                },
                header_len: run.header as u16,
                size: run.size as u16,
            }),
        };
    }

    /// The packet is whole, its source belongs to the peer, and its destination is here.
    pub(crate) fn admit<'a>(
        &self,
        origin: Origin,
        packet: &'a [u8],
    ) -> Result<InnerPacket<'a>, DropReason> {
        let view = InnerPacket::parse(packet)?;
        if self.tables.owner(view.source()) != Some(Owner::Peer(origin.peer)) {
            return Err(DropReason::SpoofedSource);
        }
        if self.tables.owner(view.destination()) != Some(Owner::Here) {
            return Err(DropReason::ForeignDestination);
        }
        Ok(view)
    }

    /// What the packet bears from now on, of congestion.
    fn mark(&mut self, origin: Origin, view: &InnerPacket<'_>) -> Result<u8, DropReason> {
        let before = view.ecn();
        let ecn = origin.marks.over(before);
        let ecn = ecn.ok_or(DropReason::CongestionMarked)?;
        self.tally.congestion_marks += u64::from(ecn == ecn::CE && before != ecn::CE);
        Ok(ecn)
    }

    /// `congestion`: what the packet bears, and what it shall. `at`: where it lies in what was received.
    fn push(&mut self, at: Option<usize>, packet: &[u8], congestion: (u8, u8), offload: Offload) {
        let stays = congestion.0 == congestion.1;
        let output = &mut self.output;
        let (start, made) = (output.pieces.len(), output.packet_bytes.len());
        let piece = match at.filter(|_| stays) {
            Some(at) => Piece::Received(at..at + packet.len()),
            None => output.copy(packet),
        };
        if !stays {
            ecn::set(&mut output.packet_bytes[made..], congestion.1);
        }
        output.pieces.push(piece);
        output.push_packet(start, offload);
    }

    /// The header is copied, as that of a super-packet will differ.
    fn push_open(
        &mut self,
        at: Option<usize>,
        packet: &[u8],
        congestion: (u8, u8),
        header: usize,
        offload: Offload,
    ) {
        let output = &mut self.output;
        let (start, made) = (output.pieces.len(), output.packet_bytes.len());
        let piece = output.copy(&packet[..header]);
        if congestion.0 != congestion.1 {
            ecn::set(&mut output.packet_bytes[made..], congestion.1);
        }
        output.pieces.push(piece);
        output.push_payload(at, packet, header);
        output.push_packet(start, offload);
    }

    /// Only TCP with partial checksums is joined: what a kernel's segmentation would make of the result is known to be the same packets.
    fn start(&self, peer: u16, run: &Run<'_>, view: &InnerPacket<'_>, ecn: u8) -> Option<OpenRun> {
        let transport = view.transport_offset();
        let tcp = run.packet.get(transport..)?;
        if view.protocol() != TCP || !run.partial_checksum || run.last || tcp.len() < 20 {
            return None;
        }
        let header = transport + usize::from(tcp[TCP_LENGTH] >> 4) * 4;
        if header < transport + 20 {
            return None;
        }
        let size = run
            .packet
            .len()
            .checked_sub(header)
            .filter(|size| *size > 0)?;
        if tcp[TCP_FLAGS] & (FIN | PSH) != 0 {
            return None;
        }
        Some(OpenRun {
            peer,
            run: run.run,
            next_index: run.index.wrapping_add(1),
            start: self.output.packet_bytes.len(),
            transport,
            header,
            size,
            length: run.packet.len(),
            next_seq: tcp_seq(tcp).wrapping_add(size as u32),
            count: 1,
            ecn,
        })
    }

    /// Appends the payload of the next packet of the open run. False: it is not the next.
    fn join(&mut self, origin: Origin, run: &Run<'_>, view: &InnerPacket<'_>, ecn: u8) -> bool {
        let Some(open) = &mut self.open_run else {
            return false;
        };
        let (packet, output) = (run.packet, &mut self.output);
        let Some(first) = output.packet_bytes.get_mut(open.start..) else {
            return false;
        };
        let fits = open.ecn == ecn
            && (open.peer, open.run, open.next_index) == (origin.peer, run.run, run.index)
            && run.partial_checksum
            && view.transport_offset() == open.transport
            && packet.len() > open.header
            && packet.len() - open.header <= open.size
            && open.length + packet.len() - open.header <= SUPER_MAX
            && open.count < PACKETS_MAX
            && same_flow(first, packet, open.transport, open.header)
            && tcp_seq(&packet[open.transport..]) == open.next_seq;
        if !fits {
            return false;
        }
        let payload = packet.len() - open.header;
        let flags = packet[open.transport + TCP_FLAGS];
        first[open.transport + TCP_FLAGS] |= flags & (FIN | PSH);
        output.push_payload(origin.at, packet, open.header);
        open.length += payload;
        open.next_index = open.next_index.wrapping_add(1);
        open.next_seq = open.next_seq.wrapping_add(payload as u32);
        open.count += 1;
        if run.last || payload < open.size || flags & (FIN | PSH) != 0 {
            self.end_run();
        }
        true
    }
}

/// Where a kernel has to complete the checksum of a packet, if it has to.
fn checksum_place(
    view: &InnerPacket<'_>,
    length: usize,
    partial: bool,
) -> Result<Option<(u16, u16)>, DropReason> {
    if !partial {
        return Ok(None);
    }
    let place = checksum::place(view);
    let inside = place.filter(|(start, offset)| usize::from(start + offset) + 2 <= length);
    inside.map(Some).ok_or(DropReason::BadInner)
}

fn tcp_seq(tcp: &[u8]) -> u32 {
    u32::from_be_bytes([tcp[4], tcp[5], tcp[6], tcp[7]])
}

/// Everything that one header of a super-packet says for all its packets is the same in both; congestion apart, which may be marked already
/// in the first.
fn same_flow(first: &[u8], packet: &[u8], transport: usize, header: usize) -> bool {
    let network_same = if first[0] >> 4 == 4 {
        // All but length, id and checksum.
        first[0] == packet[0]
            && first[1] & !ecn::MASK == packet[1] & !ecn::MASK
            && first[6..10] == packet[6..10]
            && first[12..transport] == packet[12..transport]
    } else {
        first[0] == packet[0]
            && first[1] & !V6_ECN == packet[1] & !V6_ECN
            && first[2..4] == packet[2..4]
            && first[6..transport] == packet[6..transport]
    };
    let (one, other) = (&first[transport..header], &packet[transport..header]);
    // Of flags, FIN and PSH are merged; CWR is of a first packet only.
    let flags = |tcp: &[u8]| tcp[TCP_FLAGS] & !(FIN | PSH);
    // Ports; acknowledgement and header length; window, later the urgent pointer and options. Sequence number and checksum follow.
    network_same
        && one[..4] == other[..4]
        && one[8..13] == other[8..13]
        && flags(one) & !CWR == flags(other)
        && one[14..16] == other[14..16]
        && one[18..] == other[18..]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packets_whose_flags_differ_in_more_than_a_last_one_may_are_not_joined() {
        let with = |flags: u8| {
            let mut packet = [0; 40];
            (packet[0], packet[32], packet[33]) = (0x45, 5 << 4, flags);
            packet
        };
        let (ack, urg, ece) = (0x10, 0x20, 0x40);
        let joined = |one, other| same_flow(&with(one), &with(other), 20, 40);
        assert!(joined(ack, ack | PSH | FIN));
        assert!(joined(ack | CWR, ack));
        for (one, other) in [(ack, ack | CWR), (ack, ack | urg), (ack | ece, ack)] {
            assert!(!joined(one, other), "{one:02x} {other:02x}");
        }
    }
}
