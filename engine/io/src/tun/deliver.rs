//! Writing to the TUN: super-packets whole, neighbours of a UDP flow joined, and step-down where the kernel fails at either. I/O.

use std::io;
use std::mem;
use std::os::fd::AsRawFd;

use overlayd_node::{Cut, Delivery, Offload, Segment, SegmentKind, complete_checksum};

use super::{TunQueue, join, offload};
use crate::counters::ShellCounters;
use crate::sys::check_len;

/// Of a joined super-packet: offload header, headers, payloads.
const PIECES: usize = 2 + join::PACKETS_MAX;

impl TunQueue {
    /// Writes packets and super-packets, whose ranges are of `bytes`, in order. What the kernel refuses is counted and gone.
    pub(crate) fn deliver(
        &mut self,
        bytes: &[u8],
        packets: &[Delivery],
        counters: &mut ShellCounters,
    ) {
        let mut rest = packets;
        while !rest.is_empty() {
            let count = match self.offloads.udp_segmentation {
                true => join::count(bytes, rest),
                false => 1,
            };
            let (now, later) = rest.split_at(count);
            match now {
                [packet] => {
                    self.deliver_one(&bytes[packet.range.clone()], packet.offload, counters)
                }
                _ => self.deliver_joined(bytes, now, counters),
            }
            rest = later;
        }
    }

    /// Writes neighbours of a flow as one super-packet; singly, if the kernel refuses it, and so all after them if that helped.
    fn deliver_joined(&mut self, bytes: &[u8], packets: &[Delivery], counters: &mut ShellCounters) {
        let Err(error) = self.write_joined(bytes, packets) else {
            return;
        };
        let refused = counters.tun_refused;
        for packet in packets {
            self.deliver_one(&bytes[packet.range.clone()], packet.offload, counters);
        }
        let passed = counters.tun_refused - refused < packets.len() as u64;
        if passed && is_of_offload(&error) {
            self.give_up(SegmentKind::Udp, counters);
        }
    }

    /// Writes one packet or super-packet. A super-packet that the kernel refuses is cut here, and so are all after it if that helped.
    fn deliver_one(&mut self, packet: &[u8], offload: Offload, counters: &mut ShellCounters) {
        let error = match offload.segment {
            Some(segment) if !self.segments(segment.kind) => {
                self.write_cut(packet, offload, segment, counters);
                return;
            }
            None if offload.partial_checksum.is_some() && !self.offloads.checksum => {
                self.write_completed(packet, offload, counters);
                return;
            }
            _ => match self.write(packet, offload) {
                Ok(()) => return,
                Err(error) => error,
            },
        };
        let Some(segment) = offload.segment else {
            counters.tun_refused += 1;
            return;
        };
        let passed = self.write_cut(packet, offload, segment, counters);
        if passed && is_of_offload(&error) {
            self.give_up(segment.kind, counters);
        }
    }

    fn segments(&self, kind: SegmentKind) -> bool {
        match kind {
            SegmentKind::Udp => self.offloads.udp_segmentation,
            SegmentKind::TcpV4 | SegmentKind::TcpV6 => self.offloads.segmentation,
        }
    }

    fn give_up(&mut self, kind: SegmentKind, counters: &mut ShellCounters) {
        match kind {
            SegmentKind::Udp => {
                self.offloads.udp_segmentation = false;
                counters.tun_udp_segmentation_step_downs += 1;
            }
            SegmentKind::TcpV4 | SegmentKind::TcpV6 => {
                self.offloads.segmentation = false;
                counters.tun_segmentation_step_downs += 1;
            }
        }
    }

    /// Writes the packets that a super-packet means. Whether the kernel took any.
    fn write_cut(
        &mut self,
        packet: &[u8],
        offload: Offload,
        segment: Segment,
        counters: &mut ShellCounters,
    ) -> bool {
        let Some(cut) = Cut::new(packet, segment) else {
            counters.tun_refused += 1;
            return false;
        };
        let mut passed = false;
        for index in 0..cut.count() {
            self.single.clear();
            cut.emit(index, &mut self.single);
            passed |= self.write_scratch(offload, counters);
        }
        passed
    }

    /// Writes a packet whose checksum the kernel is not to complete.
    fn write_completed(&mut self, packet: &[u8], offload: Offload, counters: &mut ShellCounters) {
        self.single.clear();
        self.single.extend_from_slice(packet);
        self.write_scratch(offload, counters);
    }

    /// Writes the packet in `single`. Whether the kernel took it.
    fn write_scratch(&mut self, offload: Offload, counters: &mut ShellCounters) -> bool {
        let mut left = Offload {
            segment: None,
            ..offload
        };
        if !self.offloads.checksum
            && let Some(place) = left.partial_checksum.take()
        {
            complete_checksum(&mut self.single, place);
        }
        let single = mem::take(&mut self.single);
        let taken = self.write(&single, left).is_ok();
        self.single = single;
        counters.tun_refused += u64::from(!taken);
        taken
    }

    fn write(&mut self, packet: &[u8], offload: Offload) -> io::Result<()> {
        if offload.segment.is_some() {
            self.fault.strike(libc::EINVAL)?;
        }
        let header = offload::encode(offload).to_bytes();
        self.write_pieces(&[piece(&header), piece(packet)])
    }

    /// `packets`: at least one, which `join` found to be one super-packet.
    fn write_joined(&mut self, bytes: &[u8], packets: &[Delivery]) -> io::Result<()> {
        self.fault.strike(libc::EINVAL)?;
        let first = &bytes[packets[0].range.clone()];
        let transport = packets[0]
            .offload
            .partial_checksum
            .map_or(0, |(start, _)| start.into());
        let headers_len = transport + join::UDP_HEADER;
        let payloads = || {
            packets
                .iter()
                .map(|packet| &bytes[packet.range.clone()][headers_len..])
        };
        let total = payloads().map(<[u8]>::len).sum();
        let headers = join::Headers::new(first, transport, total);
        let offload = offload::encode(headers.offload()).to_bytes();
        let mut pieces = [piece(&[]); PIECES];
        let begin = [&offload[..], headers.bytes()].into_iter();
        for (slot, bytes) in pieces.iter_mut().zip(begin.chain(payloads())) {
            *slot = piece(bytes);
        }
        self.write_pieces(&pieces[..2 + packets.len()])
    }

    fn write_pieces(&self, pieces: &[libc::iovec]) -> io::Result<()> {
        let (fd, count) = (self.fd.as_raw_fd(), pieces.len() as libc::c_int);
        // SAFETY: every piece was made of a slice that outlives this call, and is only read from.
        check_len(unsafe { libc::writev(fd, pieces.as_ptr(), count) }).map(drop)
    }
}

fn piece(bytes: &[u8]) -> libc::iovec {
    libc::iovec {
        iov_base: bytes.as_ptr().cast_mut().cast(),
        iov_len: bytes.len(),
    }
}

fn is_of_offload(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error(),
        Some(libc::EINVAL | libc::EIO | libc::EOPNOTSUPP)
    )
}
