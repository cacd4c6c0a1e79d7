//! The system calls of the live emulator: packet sockets, sleeping to the nanosecond, a prompt thread.
//!
//! Every `unsafe` block of this module stands here, behind safe functions. I/O; called by `carrier`.

use crate::sys::{check, clock_ns, make_timers_prompt, set_option, to_ns, to_timespec};
use crate::vnet;
use std::ffi::CString;
use std::io;
use std::mem;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::ptr;

/// Frames that one call receives or sends at most.
pub(super) const BATCH: usize = 32;

/// Largest frame: 64 KB of IP and its Ethernet header.
const FRAME_MAX: usize = 65_536 + 64;
const SLOT: usize = vnet::LEN + FRAME_MAX;
/// A frame is never taken for older than this: between two clock reads the real-time clock may have been set.
const AGE_MAX_NS: u64 = 100_000_000;
/// Bursts wait here while the thread is elsewhere; the kernel grants it to root beyond its usual limit.
const SOCKET_BUFFER: libc::c_int = 32 << 20;

// Not in the libc crate: `linux/if_packet.h`.
const PACKET_STATISTICS: libc::c_int = 6;
const PACKET_VNET_HDR: libc::c_int = 15;
const PACKET_IGNORE_OUTGOING: libc::c_int = 23;

/// A socket that sees every frame received on one interface and sends frames through it.
#[derive(Debug)]
pub(super) struct PacketSocket {
    fd: OwnedFd,
}

/// Memory that frames are received into.
pub(super) struct ReceiveBatch {
    slots: Vec<u8>,
    /// Length and age of each frame of the last batch.
    frames: Vec<(usize, u64)>,
}

/// What came of receiving.
pub(super) enum Received {
    /// So many frames are in the batch.
    Frames(usize),
    /// The kernel dropped a super-frame that its offload header has no words for.
    Indescribable,
}

/// One frame to send: three pieces that follow each other on the wire.
pub(super) struct Outgoing<'a> {
    pub(super) vnet: [u8; vnet::LEN],
    pub(super) header: &'a [u8],
    pub(super) payload: &'a [u8],
}

impl PacketSocket {
    /// Opens a socket on an interface of the calling thread's network namespace.
    pub(super) fn open(interface: &str) -> io::Result<Self> {
        let name = CString::new(interface)?;
        // SAFETY: `name` is a C string that outlives the call.
        let index = unsafe { libc::if_nametoindex(name.as_ptr()) };
        if index == 0 {
            return Err(io::Error::last_os_error());
        }
        let kind = libc::SOCK_RAW | libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC;
        // Protocol zero: nothing is received before the socket is bound to its interface.
        // SAFETY: no pointers; a valid answer is a descriptor that nobody else owns.
        let fd = unsafe { libc::socket(libc::AF_PACKET, kind, 0) };
        // SAFETY: `check` lets only a valid descriptor pass, fresh from `socket`.
        let fd = unsafe { OwnedFd::from_raw_fd(check(fd)?) };
        set_option(fd.as_fd(), libc::SOL_PACKET, PACKET_VNET_HDR, 1)?;
        set_option(fd.as_fd(), libc::SOL_PACKET, PACKET_IGNORE_OUTGOING, 1)?;
        set_option(fd.as_fd(), libc::SOL_SOCKET, libc::SO_TIMESTAMPNS, 1)?;
        set_option(
            fd.as_fd(),
            libc::SOL_SOCKET,
            libc::SO_RCVBUFFORCE,
            SOCKET_BUFFER,
        )?;
        set_option(
            fd.as_fd(),
            libc::SOL_SOCKET,
            libc::SO_SNDBUFFORCE,
            SOCKET_BUFFER,
        )?;
        // SAFETY: all-zero is a valid value of this plain C struct.
        let mut address: libc::sockaddr_ll = unsafe { mem::zeroed() };
        address.sll_family = libc::AF_PACKET as u16;
        address.sll_protocol = (libc::ETH_P_ALL as u16).to_be();
        address.sll_ifindex = index as libc::c_int;
        // SAFETY: the pointer is to a live `sockaddr_ll` of the length given.
        check(unsafe {
            let len = mem::size_of_val(&address) as libc::socklen_t;
            libc::bind(fd.as_raw_fd(), (&raw const address).cast(), len)
        })?;
        Ok(Self { fd })
    }

    /// Receives what waits, up to one batch.
    pub(super) fn receive(&self, batch: &mut ReceiveBatch) -> io::Result<Received> {
        // SAFETY: all-zero is a valid value of these plain C structs.
        let mut pieces: [libc::iovec; BATCH] = unsafe { mem::zeroed() };
        // SAFETY: as above.
        let mut messages: [libc::mmsghdr; BATCH] = unsafe { mem::zeroed() };
        let mut control = [Control([0; 64]); BATCH];
        let slots = batch.slots.chunks_exact_mut(SLOT).zip(&mut control);
        for (((slot, control), piece), message) in slots.zip(&mut pieces).zip(&mut messages) {
            piece.iov_base = slot.as_mut_ptr().cast();
            piece.iov_len = slot.len();
            message.msg_hdr.msg_iov = piece;
            message.msg_hdr.msg_iovlen = 1;
            message.msg_hdr.msg_control = (&raw mut *control).cast();
            message.msg_hdr.msg_controllen = mem::size_of::<Control>() as _;
        }
        // SAFETY: each message points to one piece and one control block, each piece to a slot of its
        // own; all outlive the call.
        let count = unsafe {
            let flags = libc::MSG_DONTWAIT as _;
            libc::recvmmsg(
                self.fd.as_raw_fd(),
                messages.as_mut_ptr(),
                BATCH as u32,
                flags,
                ptr::null_mut(),
            )
        };
        let count = match check(count) {
            Ok(count) => count as usize,
            Err(error) if is_passing(&error) => 0,
            Err(error) if error.raw_os_error() == Some(libc::EINVAL) => {
                return Ok(Received::Indescribable);
            }
            Err(error) => return Err(error),
        };
        let now_ns = clock_ns(libc::CLOCK_REALTIME);
        batch.frames.clear();
        batch.frames.extend(messages[..count].iter().map(|message| {
            let age_ns =
                timestamp_ns(&message.msg_hdr).map_or(0, |at_ns| now_ns.saturating_sub(at_ns));
            (message.msg_len as usize, age_ns.min(AGE_MAX_NS))
        }));
        Ok(Received::Frames(count))
    }

    /// Sends frames, at most one batch of them; answers how many the kernel took.
    pub(super) fn send(&self, frames: &[Outgoing<'_>]) -> io::Result<usize> {
        // SAFETY: all-zero is a valid value of these plain C structs.
        let mut pieces: [[libc::iovec; 3]; BATCH] = unsafe { mem::zeroed() };
        // SAFETY: as above.
        let mut messages: [libc::mmsghdr; BATCH] = unsafe { mem::zeroed() };
        let count = frames.len().min(BATCH);
        for ((frame, pieces), message) in frames.iter().zip(&mut pieces).zip(&mut messages) {
            for (piece, bytes) in pieces
                .iter_mut()
                .zip([&frame.vnet, frame.header, frame.payload])
            {
                piece.iov_base = bytes.as_ptr().cast_mut().cast();
                piece.iov_len = bytes.len();
            }
            message.msg_hdr.msg_iov = pieces.as_mut_ptr();
            message.msg_hdr.msg_iovlen = pieces.len();
        }
        // SAFETY: `count` messages point to pieces, and these to slices, that outlive the call; sending
        // only reads them.
        let sent = unsafe {
            let flags = libc::MSG_DONTWAIT as _;
            libc::sendmmsg(
                self.fd.as_raw_fd(),
                messages.as_mut_ptr(),
                count as u32,
                flags,
            )
        };
        check(sent).map(|sent| sent as usize)
    }

    /// Frames that found the socket's receive buffer full since the last call.
    pub(super) fn take_missed(&self) -> u64 {
        let mut statistics = [0u32; 2];
        let mut len = mem::size_of_val(&statistics) as libc::socklen_t;
        // SAFETY: the kernel writes at most `len` bytes, two 32-bit counters, to a live array.
        let done = unsafe {
            libc::getsockopt(
                self.fd.as_raw_fd(),
                libc::SOL_PACKET,
                PACKET_STATISTICS,
                statistics.as_mut_ptr().cast(),
                &mut len,
            )
        };
        if done == 0 {
            u64::from(statistics[1])
        } else {
            0
        }
    }
}

impl ReceiveBatch {
    pub(super) fn new() -> Self {
        Self {
            slots: vec![0; SLOT * BATCH],
            frames: Vec::with_capacity(BATCH),
        }
    }

    /// The frames of the last [`PacketSocket::receive`]: how many ns ago each came, its offload header, its bytes.
    pub(super) fn frames(&self) -> impl Iterator<Item = (u64, vnet::VnetHeader, &[u8])> {
        self.slots
            .chunks_exact(SLOT)
            .zip(&self.frames)
            .filter_map(|(slot, (len, age_ns))| {
                let (header, frame) = slot[..*len].split_first_chunk()?;
                Some((*age_ns, vnet::VnetHeader::parse(header), frame))
            })
    }
}

/// Room for the control message with a frame's time.
#[repr(C, align(8))]
#[derive(Clone, Copy)]
struct Control([u8; 64]);

/// When the kernel received a message, on its real-time clock.
fn timestamp_ns(message: &libc::msghdr) -> Option<u64> {
    // SAFETY: the kernel has filled the control block that the message points to, and its length; the macros
    // stay within it, and the time is read without regard to alignment.
    unsafe {
        let header = libc::CMSG_FIRSTHDR(message).as_ref()?;
        let found =
            header.cmsg_level == libc::SOL_SOCKET && header.cmsg_type == libc::SCM_TIMESTAMPNS;
        found.then(|| {
            to_ns(
                &libc::CMSG_DATA(header)
                    .cast::<libc::timespec>()
                    .read_unaligned(),
            )
        })
    }
}

impl AsFd for PacketSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// Sleeps until a time of the monotonic clock, or a signal.
pub(super) fn sleep_until(at_ns: u64) {
    let time = to_timespec(at_ns);
    // SAFETY: the pointer is to a live timespec; where the rest of the time would go is null.
    unsafe {
        libc::clock_nanosleep(
            libc::CLOCK_MONOTONIC,
            libc::TIMER_ABSTIME,
            &time,
            ptr::null_mut(),
        );
    }
}

/// Makes the calling thread prompt: no slack on its timers, and ahead of every ordinary thread where allowed.
///
/// The emulator is the lab's physics: on a busy machine its lateness would show as jitter of every link.
pub(super) fn make_thread_prompt() {
    let priority = libc::sched_param { sched_priority: 1 };
    make_timers_prompt();
    // SAFETY: the pointer is to a live struct. A refusal leaves the thread as it was, which is a matter of
    // accuracy only.
    unsafe { libc::sched_setscheduler(0, libc::SCHED_RR, &priority) };
}

/// Whether an error means "not now": nothing waits, a signal came, or the interface is down for a while.
fn is_passing(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error(),
        Some(libc::EAGAIN | libc::EINTR | libc::ENETDOWN | libc::ENOBUFS)
    )
}
