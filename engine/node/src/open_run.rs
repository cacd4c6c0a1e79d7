//! Egress: packets that were cut from one super-packet become one again. Pure.

use overlayd_wire::{InnerPacket, Run, ecn};

use crate::checksum::TCP;
use crate::origin::Origin;
use crate::output::Output;

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

/// The super-packet at the end of the output that the next packet of its run may still join.
#[derive(Clone, Copy, Debug)]
pub(crate) struct OpenRun {
    peer: u16,
    run: u8,
    next_index: u8,
    /// Place of its header in `Output::packet_bytes`.
    pub(crate) start: usize,
    pub(crate) transport: usize,
    /// Bytes of all its headers.
    pub(crate) header: usize,
    /// Payload bytes of each packet but the last.
    pub(crate) size: usize,
    pub(crate) length: usize,
    next_seq: u32,
    /// Packets in it.
    pub(crate) count: usize,
    ecn: u8,
}

/// Whether the next packet of a run went into it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Joined {
    /// It is not the next.
    No,
    /// More may follow.
    Yes,
    Last,
}

impl OpenRun {
    /// Only TCP with partial checksums is joined: what a kernel's segmentation would make of the result is known to be the same packets.
    ///
    /// `start`: where its header is going to lie.
    pub(crate) fn begin(
        start: usize,
        peer: u16,
        run: &Run<'_>,
        view: &InnerPacket<'_>,
        ecn: u8,
    ) -> Option<Self> {
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
        Some(Self {
            peer,
            run: run.run,
            next_index: run.index.wrapping_add(1),
            start,
            transport,
            header,
            size,
            length: run.packet.len(),
            next_seq: tcp_seq(tcp).wrapping_add(size as u32),
            count: 1,
            ecn,
        })
    }

    /// Appends the payload of the next packet.
    pub(crate) fn join(
        &mut self,
        output: &mut Output,
        origin: Origin,
        run: &Run<'_>,
        view: &InnerPacket<'_>,
        ecn: u8,
    ) -> Joined {
        let packet = run.packet;
        let Some(first) = output.packet_bytes.get_mut(self.start..) else {
            return Joined::No;
        };
        let fits = self.ecn == ecn
            && (self.peer, self.run, self.next_index) == (origin.peer, run.run, run.index)
            && run.partial_checksum
            && view.transport_offset() == self.transport
            && packet.len() > self.header
            && packet.len() - self.header <= self.size
            && self.length + packet.len() - self.header <= SUPER_MAX
            && self.count < PACKETS_MAX
            && same_flow(first, packet, self.transport, self.header)
            && tcp_seq(&packet[self.transport..]) == self.next_seq;
        if !fits {
            return Joined::No;
        }
        let payload = packet.len() - self.header;
        let flags = packet[self.transport + TCP_FLAGS];
        first[self.transport + TCP_FLAGS] |= flags & (FIN | PSH);
        output.push_payload(origin.at, packet, self.header);
        self.length += payload;
        self.next_index = self.next_index.wrapping_add(1);
        self.next_seq = self.next_seq.wrapping_add(payload as u32);
        self.count += 1;
        if run.last || payload < self.size || flags & (FIN | PSH) != 0 {
            Joined::Last
        } else {
            Joined::Yes
        }
    }
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
