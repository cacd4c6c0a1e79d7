//! Writing to the TUN: super-packets whole, neighbours of a UDP flow joined, and step-down where the kernel fails at either. I/O.

use std::io;
use std::iter;
use std::mem::{self, MaybeUninit};
use std::os::fd::AsRawFd;

use overlayd_node::{Cut, Delivery, Offload, Output, Segment, SegmentKind, complete_checksum};

use super::{TunQueue, join, offload};
use crate::counters::ShellCounters;
use crate::sys::check_len;

/// Of one write: offload header, headers, and payloads of as many packets as a node joins.
const PIECES_MAX: usize = 2 + 256;

/// Packets, and where their pieces lie.
#[derive(Clone, Copy)]
struct Packets<'a> {
    output: &'a Output,
    received: &'a [u8],
    list: &'a [Delivery],
}

impl<'a> Packets<'a> {
    fn pieces(self, index: usize) -> impl Iterator<Item = &'a [u8]> + Clone {
        self.output.packet(&self.list[index], self.received)
    }

    /// The packet's bytes if they lie in one place; else nothing.
    fn whole(self, index: usize) -> &'a [u8] {
        let mut pieces = self.pieces(index);
        let first = pieces.next().unwrap_or_default();
        pieces.next().map_or(first, |_| &[])
    }

    fn split_at(self, count: usize) -> (Self, Self) {
        let (now, later) = self.list.split_at(count);
        (
            Self { list: now, ..self },
            Self {
                list: later,
                ..self
            },
        )
    }
}

impl TunQueue {
    /// Writes the packets and super-packets of an output, in order. What the kernel refuses is counted and gone. `received`: what the output
    /// was made of.
    pub(crate) fn deliver(
        &mut self,
        output: &Output,
        received: &[u8],
        counters: &mut ShellCounters,
    ) {
        let list = &output.packets;
        let mut rest = Packets {
            output,
            received,
            list,
        };
        while !rest.list.is_empty() {
            let count = match self.offloads.udp_segmentation {
                true => join::count(
                    (0..rest.list.len()).map(|index| (rest.whole(index), rest.list[index].offload)),
                ),
                false => 1,
            };
            let (now, later) = rest.split_at(count);
            match count {
                1 => self.deliver_one(now, 0, counters),
                _ => self.deliver_joined(now, counters),
            }
            rest = later;
        }
    }

    /// Writes neighbours of a flow as one super-packet; singly, if the kernel refuses it, and so all after them if that helped.
    fn deliver_joined(&mut self, packets: Packets<'_>, counters: &mut ShellCounters) {
        let Err(error) = self.write_joined(packets) else {
            return;
        };
        let refused = counters.tun_refused;
        let count = packets.list.len();
        for index in 0..count {
            self.deliver_one(packets, index, counters);
        }
        let passed = counters.tun_refused - refused < count as u64;
        if passed && is_of_offload(&error) {
            self.give_up(SegmentKind::Udp, counters);
        }
    }

    /// Writes one packet or super-packet. A super-packet that the kernel refuses is cut here, and so are all after it if that helped.
    fn deliver_one(&mut self, packets: Packets<'_>, index: usize, counters: &mut ShellCounters) {
        let offload = packets.list[index].offload;
        let pieces = packets.pieces(index);
        let error = match offload.segment {
            Some(segment) if !self.segments(segment.kind) => {
                self.write_cut(pieces, offload, segment, counters);
                return;
            }
            None if offload.partial_checksum.is_some() && !self.offloads.checksum => {
                self.write_completed(pieces, offload, counters);
                return;
            }
            _ => match self.write(pieces.clone(), offload) {
                Ok(()) => return,
                Err(error) => error,
            },
        };
        let Some(segment) = offload.segment else {
            counters.tun_refused += 1;
            return;
        };
        let passed = self.write_cut(pieces, offload, segment, counters);
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
    fn write_cut<'a>(
        &mut self,
        pieces: impl Iterator<Item = &'a [u8]>,
        offload: Offload,
        segment: Segment,
        counters: &mut ShellCounters,
    ) -> bool {
        let mut whole = mem::take(&mut self.whole);
        gather(&mut whole, pieces);
        let mut passed = false;
        match Cut::new(&whole, segment) {
            Some(cut) => {
                for index in 0..cut.count() {
                    self.single.clear();
                    cut.emit(index, &mut self.single);
                    passed |= self.write_scratch(offload, counters);
                }
            }
            None => counters.tun_refused += 1,
        }
        self.whole = whole;
        passed
    }

    /// Writes a packet whose checksum the kernel is not to complete.
    fn write_completed<'a>(
        &mut self,
        pieces: impl Iterator<Item = &'a [u8]>,
        offload: Offload,
        counters: &mut ShellCounters,
    ) {
        gather(&mut self.single, pieces);
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
        let taken = self.write(iter::once(&*single), left).is_ok();
        self.single = single;
        counters.tun_refused += u64::from(!taken);
        taken
    }

    fn write<'a>(
        &mut self,
        packet: impl Iterator<Item = &'a [u8]>,
        offload: Offload,
    ) -> io::Result<()> {
        if offload.segment.is_some() {
            self.fault.strike(libc::EINVAL)?;
        }
        let header = offload::encode(offload).to_bytes();
        self.write_pieces(&header, packet)
    }

    /// `packets`: at least one, which `join` found to be one super-packet.
    fn write_joined(&mut self, packets: Packets<'_>) -> io::Result<()> {
        self.fault.strike(libc::EINVAL)?;
        let first = packets.whole(0);
        let transport = packets.list[0]
            .offload
            .partial_checksum
            .map_or(0, |(start, _)| start.into());
        let headers_len = transport + join::UDP_HEADER;
        let payloads = || (0..packets.list.len()).map(|index| &packets.whole(index)[headers_len..]);
        let total = payloads().map(<[u8]>::len).sum();
        let headers = join::Headers::new(first, transport, total);
        let header = offload::encode(headers.offload()).to_bytes();
        self.write_pieces(&header, iter::once(headers.bytes()).chain(payloads()))
    }

    fn write_pieces<'a>(
        &self,
        header: &[u8],
        mut rest: impl Iterator<Item = &'a [u8]>,
    ) -> io::Result<()> {
        let mut places = [const { MaybeUninit::uninit() }; PIECES_MAX];
        places[0].write(piece(header));
        let mut count = 1;
        for (place, bytes) in places[1..].iter_mut().zip(rest.by_ref()) {
            place.write(piece(bytes));
            count += 1;
        }
        if count == PIECES_MAX && rest.next().is_some() {
            return Err(io::Error::from_raw_os_error(libc::EINVAL));
        }
        let fd = self.fd.as_raw_fd();
        // SAFETY: the first `count` places were made of slices that outlive this call, and are only read from.
        let written = unsafe { libc::writev(fd, places.as_ptr().cast(), count as libc::c_int) };
        check_len(written).map(drop)
    }
}

fn piece(bytes: &[u8]) -> libc::iovec {
    libc::iovec {
        iov_base: bytes.as_ptr().cast_mut().cast(),
        iov_len: bytes.len(),
    }
}

fn gather<'a>(whole: &mut Vec<u8>, pieces: impl Iterator<Item = &'a [u8]>) {
    whole.clear();
    for piece in pieces {
        whole.extend_from_slice(piece);
    }
}

fn is_of_offload(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error(),
        Some(libc::EINVAL | libc::EIO | libc::EOPNOTSUPP)
    )
}
