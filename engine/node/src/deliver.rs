//! Egress, last stage: an inner packet goes to the TUN, if its source is the peer's and its destination lives here.
//!
//! Packets that were cut from one super-packet and arrive in order in one batch are joined again; a gap only splits the run. What was received
//! stays where it is: a super-packet is a header of its own and the payloads, each where it lies. Pure.

use overlayd_wire::{InnerPacket, Run, ecn};

use crate::checksum::{self, TCP};
use crate::cut;
use crate::in_order::Turn;
use crate::open_run::{Joined, OpenRun};
use crate::order::Form;
use crate::origin::Origin;
use crate::output::Piece;
use crate::packet::{Offload, Segment, SegmentKind};
use crate::tables::Owner;
use crate::{DropReason, Nanos, Node};

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
        let open = self.open_run.as_mut();
        let joined = open.map_or(Joined::No, |open| {
            open.join(&mut self.output, origin, run, view, ecn)
        });
        if joined == Joined::Yes {
            return Ok(());
        }
        self.end_run();
        if joined == Joined::Last {
            return Ok(());
        }
        let partial_checksum = checksum_place(view, run.packet.len(), run.partial_checksum)?;
        let offload = Offload {
            partial_checksum,
            segment: None,
        };
        let start = self.output.packet_bytes.len();
        match OpenRun::begin(start, origin.peer, run, view, ecn) {
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
