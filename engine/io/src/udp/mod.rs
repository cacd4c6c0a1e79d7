//! The UDP socket of an uplink: opening it, receiving runs, sending runs.
//!
//! Not here: what is in a datagram, and when to send it. Called by `shard`. I/O.

mod address;
mod receive;
mod send;
#[cfg(test)]
mod tests;

use std::io;
use std::mem;
use std::net::SocketAddr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use crate::fault::Fault;
use crate::sys::{check, set_option};

pub(crate) use receive::DatagramBatch;
pub(crate) use send::Runs;

/// Bursts wait here while the thread is elsewhere; granted beyond the usual limit to CAP_NET_ADMIN.
const RECEIVE_BUFFER: libc::c_int = 8 << 20;
const SEND_BUFFER: libc::c_int = 4 << 20;

/// Which offloads of the underlay's sockets are to be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UdpOffloads {
    /// One send for a run of datagrams (UDP_SEGMENT).
    pub gso: bool,
    /// The kernel joins runs on receipt (UDP_GRO).
    pub gro: bool,
}

/// Opens and binds a socket as an uplink needs it: non-blocking, large buffers, "don't fragment" without trusting ICMP (the path
/// MTU is found by probes), ECN bits and overflows reported. An IPv6 socket carries IPv6 only.
///
/// # Errors
/// `AddrInUse`, `AddrNotAvailable` (no interface has the address) and whatever else `bind` answers.
pub fn open_udp(local: SocketAddr) -> io::Result<OwnedFd> {
    let family = if local.is_ipv4() {
        libc::AF_INET
    } else {
        libc::AF_INET6
    };
    let kind = libc::SOCK_DGRAM | libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC;
    // SAFETY: no pointers; `check` lets only a fresh, valid descriptor pass.
    let socket = unsafe { OwnedFd::from_raw_fd(check(libc::socket(family, kind, 0))?) };
    let fd = socket.as_fd();
    if local.is_ipv4() {
        set_option(
            fd,
            libc::IPPROTO_IP,
            libc::IP_MTU_DISCOVER,
            libc::IP_PMTUDISC_PROBE,
        )?;
        set_option(fd, libc::IPPROTO_IP, libc::IP_RECVTOS, 1)?;
    } else {
        set_option(fd, libc::IPPROTO_IPV6, libc::IPV6_V6ONLY, 1)?;
        set_option(
            fd,
            libc::IPPROTO_IPV6,
            libc::IPV6_MTU_DISCOVER,
            libc::IPV6_PMTUDISC_PROBE,
        )?;
        set_option(fd, libc::IPPROTO_IPV6, libc::IPV6_RECVTCLASS, 1)?;
    }
    set_option(fd, libc::SOL_SOCKET, libc::SO_RXQ_OVFL, 1)?;
    set_option(fd, libc::SOL_SOCKET, libc::SO_RCVBUFFORCE, RECEIVE_BUFFER)
        .or_else(|_| set_option(fd, libc::SOL_SOCKET, libc::SO_RCVBUF, RECEIVE_BUFFER))?;
    set_option(fd, libc::SOL_SOCKET, libc::SO_SNDBUFFORCE, SEND_BUFFER)
        .or_else(|_| set_option(fd, libc::SOL_SOCKET, libc::SO_SNDBUF, SEND_BUFFER))?;
    let (name, length) = address::encode(local);
    // SAFETY: the pointer and length are of a live socket address.
    check(unsafe { libc::bind(fd.as_raw_fd(), (&raw const name).cast(), length) })?;
    Ok(socket)
}

/// The socket of one uplink and how it is used.
#[derive(Debug)]
pub(crate) struct Uplink {
    fd: OwnedFd,
    /// Index of the uplink, as snapshots count them.
    index: u8,
    /// Whether runs leave in one send; given up when the kernel fails at it.
    gso: bool,
    fault: Fault,
    /// What the full socket did not take yet.
    pending: send::Pending,
    /// The kernel's count of datagrams dropped for want of buffer, as last seen.
    overflow: u32,
}

impl Uplink {
    pub(crate) fn new(fd: OwnedFd, index: u8, offloads: UdpOffloads, fault: Fault) -> Self {
        // A kernel before 5.0 does not know it, and then hands over datagrams one by one.
        let _ = set_option(
            fd.as_fd(),
            libc::SOL_UDP,
            libc::UDP_GRO,
            offloads.gro.into(),
        );
        Self {
            fd,
            index,
            gso: offloads.gso,
            fault,
            pending: send::Pending::default(),
            overflow: 0,
        }
    }
}

impl AsFd for Uplink {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// Room for the control messages of one datagram, aligned as they have to be: at most four of 24 bytes.
#[derive(Clone, Copy, Debug)]
#[repr(C, align(8))]
struct Control([u8; 96]);

const NO_CONTROL: Control = Control([0; 96]);

/// A header without buffers, to be filled in.
fn empty_header() -> libc::mmsghdr {
    // SAFETY: all-zero (null pointers, no lengths) is a valid header.
    unsafe { mem::zeroed() }
}

const NO_PIECE: libc::iovec = libc::iovec {
    iov_base: std::ptr::null_mut(),
    iov_len: 0,
};
