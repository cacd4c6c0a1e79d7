//! The few calls that the standard library does not have. I/O.

use std::io;
use std::mem;
use std::os::fd::AsRawFd;
use std::ptr;

pub(crate) const UDP_SEGMENT: libc::c_int = 103;
pub(crate) const UDP_GRO: libc::c_int = 104;
/// Offsets in `struct tcp_info`: `tcpi_options`, with the bit of ECN, and `tcpi_delivered_ce`.
const INFO_OPTIONS: usize = 5;
const INFO_ECN: u8 = 8;
const INFO_DELIVERED_CE: usize = 196;

pub(crate) fn set(socket: &impl AsRawFd, level: i32, name: i32, value: i32) -> io::Result<()> {
    set_any(socket, level, name, &value)
}

/// The connection ends by a reset when it is closed.
pub(crate) fn end_by_reset(socket: &impl AsRawFd) -> io::Result<()> {
    let linger = libc::linger {
        l_onoff: 1,
        l_linger: 0,
    };
    set_any(socket, libc::SOL_SOCKET, libc::SO_LINGER, &linger)
}

/// Congestion control of a TCP connection.
pub(crate) fn choose_control(socket: &impl AsRawFd, name: [u8; 5]) -> io::Result<()> {
    set_any(socket, libc::IPPROTO_TCP, libc::TCP_CONGESTION, &name)
}

fn set_any<T>(socket: &impl AsRawFd, level: i32, name: i32, value: &T) -> io::Result<()> {
    let length = size_of::<T>() as libc::socklen_t;
    // SAFETY: the pointer is to a live value of the length given.
    let done = unsafe {
        let value = ptr::from_ref(value).cast();
        libc::setsockopt(socket.as_raw_fd(), level, name, value, length)
    };
    checked(done as isize).map(drop)
}

/// Whether a TCP connection uses ECN, and how many segments of ours the other end found marked as congested.
pub(crate) fn ecn(socket: &impl AsRawFd) -> (bool, u32) {
    let mut info = [0u8; 256];
    let mut length = info.len() as libc::socklen_t;
    // SAFETY: at most `length` bytes are written to the live buffer.
    let done = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::IPPROTO_TCP,
            libc::TCP_INFO,
            info.as_mut_ptr().cast(),
            &raw mut length,
        )
    };
    if done != 0 {
        return (false, 0);
    }
    let (_, rest) = info.split_at(INFO_DELIVERED_CE);
    let marked = rest
        .first_chunk()
        .map_or(0, |word| u32::from_ne_bytes(*word));
    (info[INFO_OPTIONS] & INFO_ECN != 0, marked)
}

/// Waits for something to read, and tells whether the next byte is an urgent one.
pub(crate) fn at_mark(socket: &impl AsRawFd) -> io::Result<bool> {
    let mut wanted = libc::pollfd {
        fd: socket.as_raw_fd(),
        events: libc::POLLIN,
        revents: 0,
    };
    // SAFETY: the pointer is to one live structure.
    checked(unsafe { libc::poll(&raw mut wanted, 1, 60_000) } as isize)?;
    asked(socket, 0x8905) // SIOCATMARK
        .map(|answer| answer != 0)
}

/// Bytes that the other end has not confirmed.
pub(crate) fn unconfirmed(socket: &impl AsRawFd) -> io::Result<usize> {
    asked(socket, libc::TIOCOUTQ).map(|answer| answer as usize)
}

fn asked(socket: &impl AsRawFd, request: libc::c_ulong) -> io::Result<libc::c_int> {
    let mut answer: libc::c_int = 0;
    // SAFETY: both requests write one int.
    checked(unsafe { libc::ioctl(socket.as_raw_fd(), request, &raw mut answer) } as isize)?;
    Ok(answer)
}

pub(crate) fn send_urgent(socket: &impl AsRawFd, byte: u8) -> io::Result<()> {
    // SAFETY: one byte is read from a live one.
    let sent = unsafe {
        libc::send(
            socket.as_raw_fd(),
            (&raw const byte).cast(),
            1,
            libc::MSG_OOB | libc::MSG_NOSIGNAL,
        )
    };
    checked(sent).map(drop)
}

/// One receive: bytes, and the size of the datagrams in them if they are several.
pub(crate) fn receive(socket: &impl AsRawFd, buffer: &mut [u8]) -> io::Result<(usize, usize)> {
    let mut piece = libc::iovec {
        iov_base: buffer.as_mut_ptr().cast(),
        iov_len: buffer.len(),
    };
    let mut control = [0u64; 8];
    // SAFETY: all-zero is a valid header.
    let mut header: libc::msghdr = unsafe { mem::zeroed() };
    header.msg_iov = &raw mut piece;
    header.msg_iovlen = 1;
    header.msg_control = control.as_mut_ptr().cast();
    header.msg_controllen = size_of_val(&control) as _;
    // SAFETY: every pointer in the header is to a live buffer of the length beside it; the control messages are walked as the kernel left them.
    unsafe {
        let length = checked(libc::recvmsg(socket.as_raw_fd(), &raw mut header, 0))?;
        if header.msg_flags & libc::MSG_TRUNC != 0 {
            return Err(crate::wrong("a datagram longer than any"));
        }
        let mut size = length;
        let mut message = libc::CMSG_FIRSTHDR(&raw const header);
        while let Some(found) = message.as_ref() {
            if (found.cmsg_level, found.cmsg_type) == (libc::SOL_UDP, UDP_GRO) {
                let given: libc::c_int = ptr::read_unaligned(libc::CMSG_DATA(message).cast());
                size = given as usize;
            }
            message = libc::CMSG_NXTHDR(&raw const header, message);
        }
        Ok((length, size))
    }
}

fn checked(result: isize) -> io::Result<usize> {
    usize::try_from(result).map_err(|_| io::Error::last_os_error())
}
