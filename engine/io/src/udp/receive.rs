//! Receiving: many datagrams a call, and runs that the kernel joined (UDP_GRO) cut again at its own marks. I/O.

use std::io;
use std::os::fd::AsRawFd;
use std::ptr;

use overlayd_node::Datagram;

use super::address::{self, NAME_LEN, Name};
use super::{Control, NO_CONTROL, NO_PIECE, Uplink, empty_header};
use crate::counters::ShellCounters;
use crate::sys::check;

/// Messages a call; with UDP_GRO each may be a run of 64 datagrams.
const BATCH: usize = 64;
/// The least that is asked for: after a lull, the next burst is larger than the last datagrams tell.
const BATCH_MIN: usize = 4;
/// Bytes a call, about: fewer cost wake-ups, more do not stay in the processor's own cache.
const ENOUGH: usize = 6 * SLOT;
/// Longest datagram, or run of them.
const SLOT: usize = 65_536;
/// From slot to slot: so much further that datagrams in neighbouring slots do not compete for the same places of the processor's cache.
const STRIDE: usize = SLOT + 1_536;
const ECN: u8 = 0b11;

/// Memory for what one call receives.
pub(crate) struct DatagramBatch {
    slots: Vec<u8>,
    datagrams: Vec<Datagram>,
    /// Messages that the next call asks for: each takes a little time to set up.
    wanted: usize,
    names: Box<[Name]>,
    controls: Box<[Control]>,
    /// They point into the boxes above, which stay where they are.
    headers: Box<[libc::mmsghdr]>,
    pieces: Box<[libc::iovec]>,
}

// SAFETY: the pointers in it are to its own allocations, and go with it.
unsafe impl Send for DatagramBatch {}

/// What the kernel told beside the bytes.
#[derive(Debug, Default, PartialEq, Eq)]
struct Notes {
    ecn: u8,
    segment: Option<usize>,
    overflow: Option<u32>,
}

impl DatagramBatch {
    pub(crate) fn new() -> Self {
        let mut batch = Self {
            slots: vec![0; BATCH * STRIDE],
            datagrams: Vec::new(),
            wanted: BATCH_MIN,
            names: Box::new([address::empty(); BATCH]),
            controls: Box::new([NO_CONTROL; BATCH]),
            headers: Box::new([empty_header(); BATCH]),
            pieces: Box::new([NO_PIECE; BATCH]),
        };
        let slots = batch.slots.chunks_exact_mut(STRIDE);
        for (piece, slot) in batch.pieces.iter_mut().zip(slots) {
            piece.iov_base = slot.as_mut_ptr().cast();
            piece.iov_len = SLOT;
        }
        batch
    }

    /// Sets up what the last call used: the kernel writes lengths where it read room.
    fn prepare(&mut self) {
        self.datagrams.clear();
        for index in 0..self.wanted {
            let header = &mut self.headers[index].msg_hdr;
            header.msg_name = (&raw mut self.names[index]).cast();
            header.msg_namelen = NAME_LEN;
            header.msg_iov = &raw mut self.pieces[index];
            header.msg_iovlen = 1;
            header.msg_control = (&raw mut self.controls[index]).cast();
            header.msg_controllen = size_of::<Control>() as _;
        }
    }

    /// Twice as many messages as came, as long as they would not be too many bytes.
    fn foresee(&mut self, received: usize, bytes: usize) {
        let enough = (ENOUGH * received).div_ceil(bytes.max(1));
        self.wanted = (2 * received).min(enough).clamp(BATCH_MIN, BATCH);
    }

    /// The next call takes one message, and does not find out that there is no second.
    pub(crate) fn expect_one(&mut self) {
        self.wanted = 1;
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.datagrams.is_empty()
    }

    /// The bytes received, and where the datagrams lie in them.
    pub(crate) fn parts(&mut self) -> (&mut [u8], &[Datagram]) {
        (&mut self.slots, &self.datagrams)
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.slots
    }

    /// What lies in a slot: datagrams of `segment` bytes, the last may be shorter.
    fn push(&mut self, slot: usize, length: usize, segment: usize, like: &Datagram) {
        let (start, end) = (slot * STRIDE, slot * STRIDE + length);
        let starts = (start..end).step_by(segment);
        self.datagrams.extend(starts.map(|start| Datagram {
            range: start..end.min(start + segment),
            ..like.clone()
        }));
    }
}

impl Uplink {
    /// Receives what waits, up to one batch.
    pub(crate) fn receive(
        &mut self,
        batch: &mut DatagramBatch,
        counters: &mut ShellCounters,
    ) -> io::Result<()> {
        batch.prepare();
        // SAFETY: every pointer in the first `wanted` headers is to a live buffer of the length beside it, and nothing else borrows them.
        let given = check(unsafe {
            let flags = libc::MSG_DONTWAIT;
            libc::recvmmsg(
                self.fd.as_raw_fd(),
                batch.headers.as_mut_ptr(),
                batch.wanted as _,
                flags as _,
                ptr::null_mut(),
            )
        });
        let given = match given {
            Err(error) if is_empty_handed(&error) => return Ok(()),
            other => other? as usize,
        };
        let mut bytes = 0;
        for slot in 0..given {
            let header = batch.headers[slot];
            bytes += header.msg_len as usize;
            let notes = read_notes(&header.msg_hdr);
            if let Some(overflow) = notes.overflow {
                counters.udp_receive_overflow += u64::from(overflow.wrapping_sub(self.overflow));
                self.overflow = overflow;
            }
            let length = header.msg_len as usize;
            let Some(remote) = address::decode(&batch.names[slot]) else {
                continue;
            };
            if header.msg_hdr.msg_flags & libc::MSG_TRUNC != 0 || length == 0 {
                counters.udp_truncated += 1;
                continue;
            }
            let segment = notes.segment.filter(|size| *size > 0).unwrap_or(length);
            let like = Datagram {
                uplink: self.index,
                remote,
                ecn: notes.ecn,
                range: 0..0,
            };
            batch.push(slot, length, segment, &like);
        }
        batch.foresee(given, bytes);
        Ok(())
    }
}

fn read_notes(header: &libc::msghdr) -> Notes {
    let mut notes = Notes::default();
    // SAFETY: the kernel filled the control buffer of the header and set its length; the macros stay inside of it, and each kind of
    // message has the type that is read (unaligned, as none is promised).
    unsafe {
        let mut message = libc::CMSG_FIRSTHDR(header);
        while !message.is_null() {
            let data = libc::CMSG_DATA(message);
            match ((*message).cmsg_level, (*message).cmsg_type) {
                (libc::IPPROTO_IP, libc::IP_TOS) => notes.ecn = data.read() & ECN,
                (libc::IPPROTO_IPV6, libc::IPV6_TCLASS) => {
                    notes.ecn = data.cast::<libc::c_int>().read_unaligned() as u8 & ECN;
                }
                (libc::SOL_UDP, libc::UDP_GRO) => {
                    notes.segment =
                        usize::try_from(data.cast::<libc::c_int>().read_unaligned()).ok();
                }
                (libc::SOL_SOCKET, libc::SO_RXQ_OVFL) => {
                    notes.overflow = Some(data.cast::<u32>().read_unaligned())
                }
                _ => {}
            }
            message = libc::CMSG_NXTHDR(header, message);
        }
    }
    notes
}

/// Nothing waits, a signal came, or an ICMP error of some remote is reported here, which nobody has authenticated.
fn is_empty_handed(error: &io::Error) -> bool {
    use libc::{EAGAIN, ECONNREFUSED, EHOSTUNREACH, EINTR, EMSGSIZE, ENETDOWN, ENETUNREACH};
    let passing = [
        EAGAIN,
        EINTR,
        ECONNREFUSED,
        EHOSTUNREACH,
        ENETUNREACH,
        ENETDOWN,
        EMSGSIZE,
    ];
    error
        .raw_os_error()
        .is_some_and(|code| passing.contains(&code))
}
