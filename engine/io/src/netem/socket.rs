//! The system calls of the live emulator: packet sockets, waiting with nanosecond timeouts, the clock.
//!
//! Every `unsafe` block of this module stands here, behind safe functions. I/O; called by `shell`.

use super::vnet;
use std::ffi::CString;
use std::io;
use std::mem;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::ptr;

/// Frames that one call receives or sends at most.
pub(super) const BATCH: usize = 32;

/// Largest frame: 64 KB of IP and its Ethernet header.
const FRAME_MAX: usize = 65_536 + 64;
const SLOT: usize = vnet::LEN + FRAME_MAX;
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
    lens: Vec<usize>,
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
        set_option(&fd, libc::SOL_PACKET, PACKET_VNET_HDR, 1)?;
        set_option(&fd, libc::SOL_PACKET, PACKET_IGNORE_OUTGOING, 1)?;
        set_option(&fd, libc::SOL_SOCKET, libc::SO_RCVBUFFORCE, SOCKET_BUFFER)?;
        set_option(&fd, libc::SOL_SOCKET, libc::SO_SNDBUFFORCE, SOCKET_BUFFER)?;
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

    /// Receives what waits, up to one batch; answers how many frames there were.
    pub(super) fn receive(&self, batch: &mut ReceiveBatch) -> io::Result<usize> {
        // SAFETY: all-zero is a valid value of these plain C structs.
        let mut pieces: [libc::iovec; BATCH] = unsafe { mem::zeroed() };
        // SAFETY: as above.
        let mut messages: [libc::mmsghdr; BATCH] = unsafe { mem::zeroed() };
        let slots = batch.slots.chunks_exact_mut(SLOT);
        for ((slot, piece), message) in slots.zip(&mut pieces).zip(&mut messages) {
            piece.iov_base = slot.as_mut_ptr().cast();
            piece.iov_len = slot.len();
            message.msg_hdr.msg_iov = piece;
            message.msg_hdr.msg_iovlen = 1;
        }
        // SAFETY: each message points to one piece, each piece to a slot of its own; all outlive the call.
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
            Err(error) => return Err(error),
        };
        batch.lens.clear();
        batch.lens.extend(
            messages[..count]
                .iter()
                .map(|message| message.msg_len as usize),
        );
        Ok(count)
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
            lens: Vec::with_capacity(BATCH),
        }
    }

    /// The frames of the last [`PacketSocket::receive`], each with its offload header.
    pub(super) fn frames(&self) -> impl Iterator<Item = (vnet::VnetHeader, &[u8])> {
        self.slots
            .chunks_exact(SLOT)
            .zip(&self.lens)
            .filter_map(|(slot, len)| {
                let (header, frame) = slot[..*len].split_first_chunk()?;
                Some((vnet::VnetHeader::parse(header), frame))
            })
    }
}

/// Waits for sockets and for a wake-up from another thread.
#[derive(Debug)]
pub(super) struct Poller {
    epoll: OwnedFd,
}

impl Poller {
    pub(super) fn new() -> io::Result<Self> {
        // SAFETY: no pointers; `check` lets only a fresh, valid descriptor pass.
        let epoll =
            unsafe { OwnedFd::from_raw_fd(check(libc::epoll_create1(libc::EPOLL_CLOEXEC))?) };
        Ok(Self { epoll })
    }

    /// Reports `token` whenever the descriptor can be read.
    pub(super) fn add(&self, fd: &impl AsRawFd, token: u64) -> io::Result<()> {
        let mut event = libc::epoll_event {
            events: libc::EPOLLIN as u32,
            u64: token,
        };
        // SAFETY: the pointer is to a live event; the kernel copies it.
        let done = unsafe {
            libc::epoll_ctl(
                self.epoll.as_raw_fd(),
                libc::EPOLL_CTL_ADD,
                fd.as_raw_fd(),
                &mut event,
            )
        };
        check(done).map(drop)
    }

    /// Waits until something can be read or the time is over; `None` waits without end.
    pub(super) fn wait(&self, timeout_ns: Option<u64>, ready: &mut Vec<u64>) -> io::Result<()> {
        let mut events = [libc::epoll_event { events: 0, u64: 0 }; 64];
        let time = timeout_ns.map(|ns| libc::timespec {
            tv_sec: (ns / 1_000_000_000) as libc::time_t,
            tv_nsec: (ns % 1_000_000_000) as libc::c_long,
        });
        // SAFETY: the pointers are to a live array of the length given and to a live timespec, or null.
        let count = unsafe {
            libc::epoll_pwait2(
                self.epoll.as_raw_fd(),
                events.as_mut_ptr(),
                events.len() as libc::c_int,
                time.as_ref().map_or(ptr::null(), ptr::from_ref),
                ptr::null(),
            )
        };
        ready.clear();
        match check(count) {
            Ok(count) => {
                ready.extend(events[..count as usize].iter().map(|event| event.u64));
                Ok(())
            }
            Err(error) if is_passing(&error) => Ok(()),
            Err(error) => Err(error),
        }
    }
}

/// Wakes a [`Poller`] from another thread.
#[derive(Debug)]
pub(super) struct Waker {
    fd: OwnedFd,
}

impl Waker {
    pub(super) fn new() -> io::Result<Self> {
        let flags = libc::EFD_CLOEXEC | libc::EFD_NONBLOCK;
        // SAFETY: no pointers; `check` lets only a fresh, valid descriptor pass.
        Ok(Self {
            fd: unsafe { OwnedFd::from_raw_fd(check(libc::eventfd(0, flags))?) },
        })
    }

    pub(super) fn wake(&self) {
        let one = 1u64.to_ne_bytes();
        // SAFETY: eight bytes are read from a live array. A full counter is awake already.
        let _ = unsafe { libc::write(self.fd.as_raw_fd(), one.as_ptr().cast(), one.len()) };
    }

    pub(super) fn clear(&self) {
        let mut count = [0u8; 8];
        // SAFETY: at most eight bytes are written to a live array.
        let _ = unsafe { libc::read(self.fd.as_raw_fd(), count.as_mut_ptr().cast(), count.len()) };
    }
}

impl AsRawFd for PacketSocket {
    fn as_raw_fd(&self) -> RawFd {
        self.fd.as_raw_fd()
    }
}

impl AsRawFd for Waker {
    fn as_raw_fd(&self) -> RawFd {
        self.fd.as_raw_fd()
    }
}

/// The monotonic clock in ns.
pub(super) fn monotonic_ns() -> u64 {
    // SAFETY: all-zero is a valid timespec; the pointer to it is live.
    let time = unsafe {
        let mut time: libc::timespec = mem::zeroed();
        libc::clock_gettime(libc::CLOCK_MONOTONIC, &mut time);
        time
    };
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

/// Makes the calling thread prompt: no slack on its timers, and ahead of ordinary threads where allowed.
///
/// The emulator is the lab's physics: on a busy machine its lateness would show as jitter of every link.
pub(super) fn make_thread_prompt(niceness: libc::c_int) {
    // SAFETY: no pointers. A refusal leaves the thread as it was, which is a matter of accuracy only.
    unsafe {
        libc::prctl(libc::PR_SET_TIMERSLACK, 1 as libc::c_ulong);
        let thread = libc::syscall(libc::SYS_gettid) as libc::id_t;
        libc::setpriority(libc::PRIO_PROCESS, thread, niceness);
    }
}

fn set_option(
    fd: &OwnedFd,
    level: libc::c_int,
    name: libc::c_int,
    value: libc::c_int,
) -> io::Result<()> {
    // SAFETY: the pointer is to a live int of the length given.
    let done = unsafe {
        let len = mem::size_of_val(&value) as libc::socklen_t;
        libc::setsockopt(fd.as_raw_fd(), level, name, (&raw const value).cast(), len)
    };
    check(done).map(drop)
}

fn check(answer: libc::c_int) -> io::Result<libc::c_int> {
    if answer < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(answer)
    }
}

/// Whether an error means "not now": nothing waits, a signal came, or the interface is down for a while.
fn is_passing(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error(),
        Some(libc::EAGAIN | libc::EINTR | libc::ENETDOWN | libc::ENOBUFS)
    )
}
