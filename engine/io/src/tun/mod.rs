//! One queue of a TUN interface: packets and super-packets in and out, each with its offload header.
//!
//! What lives here: opening, the kernel's offloads, reading runs; writing is in `deliver`. Not here: addresses, routes and the
//! MTU of the interface (`overlayd/daemon/host.py`). Called by `shard`. I/O.

mod deliver;
mod join;
mod offload;
#[cfg(test)]
mod tests;

use std::io;
use std::mem;
use std::ops::Range;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use overlayd_node::{Offload, Packet};

use crate::counters::ShellCounters;
use crate::fault::Fault;
use crate::sys::{check, check_len};
use crate::vnet::{self, VnetHeader};

const CLONE_DEVICE: &std::ffi::CStr = c"/dev/net/tun";
/// Longest packet with its header that a read can give.
const SLOT: usize = 65_535 + vnet::LEN;
/// Packets lie close to each other, so that many small ones, or one or two super-packets, fit: what is read is used while it is in the
/// processor's own cache.
const ARENA: usize = 2 * SLOT;
/// Small packets a batch: two full segmented sends.
const BATCH: usize = 126;

/// Which offloads of the interface are to be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TunOffloads {
    /// Transport checksums stay partial.
    pub checksum: bool,
    /// Super-packets of TCP, in and out; needs `checksum`.
    pub segmentation: bool,
    /// Super-packets of UDP, in and out; needs `checksum`.
    pub udp_segmentation: bool,
}

/// Opens a queue of the TUN `name`, which is made if it is not there; it lives as long as one of its queues is open.
///
/// # Errors
/// `NotFound`: no /dev/net/tun. `PermissionDenied`: CAP_NET_ADMIN is missing. `InvalidInput`: not a name of an interface.
/// `ResourceBusy`: an interface of another kind has the name.
pub fn open_tun(name: &str) -> io::Result<OwnedFd> {
    // SAFETY: all-zero is a valid request.
    let mut request: libc::ifreq = unsafe { mem::zeroed() };
    if name.is_empty() || name.len() >= request.ifr_name.len() || name.contains('\0') {
        return Err(io::Error::from(io::ErrorKind::InvalidInput));
    }
    for (slot, byte) in request.ifr_name.iter_mut().zip(name.bytes()) {
        *slot = byte as libc::c_char;
    }
    let flags = libc::IFF_TUN | libc::IFF_NO_PI | libc::IFF_VNET_HDR | libc::IFF_MULTI_QUEUE;
    request.ifr_ifru.ifru_flags = flags as libc::c_short;
    // SAFETY: the path is a C string; `check` lets only a fresh, valid descriptor pass.
    let fd = unsafe {
        let flags = libc::O_RDWR | libc::O_CLOEXEC | libc::O_NONBLOCK;
        OwnedFd::from_raw_fd(check(libc::open(CLONE_DEVICE.as_ptr(), flags))?)
    };
    // SAFETY: the pointer is to a live request, as TUNSETIFF takes it.
    check(unsafe { libc::ioctl(fd.as_raw_fd(), libc::TUNSETIFF as _, &raw mut request) })?;
    Ok(fd)
}

/// A queue and how it is used.
#[derive(Debug)]
pub(crate) struct TunQueue {
    fd: OwnedFd,
    /// As they are used now: one that the kernel fails at is given up.
    offloads: TunOffloads,
    fault: Fault,
    /// Scratch for a packet that is cut or completed here because the kernel does not.
    single: Vec<u8>,
    /// Scratch for a super-packet that is cut here.
    whole: Vec<u8>,
}

impl TunQueue {
    /// Sets the queue's offloads. What the kernel does not have (UDP segmentation before 6.2) is left out.
    pub(crate) fn new(fd: OwnedFd, offloads: TunOffloads, fault: Fault) -> io::Result<Self> {
        let mut offloads = TunOffloads {
            segmentation: offloads.segmentation && offloads.checksum,
            udp_segmentation: offloads.udp_segmentation && offloads.checksum,
            ..offloads
        };
        let length: libc::c_int = vnet::LEN as libc::c_int;
        // SAFETY: the pointer is to a live int, as TUNSETVNETHDRSZ takes it.
        check(unsafe {
            libc::ioctl(
                fd.as_raw_fd(),
                libc::TUNSETVNETHDRSZ as _,
                &raw const length,
            )
        })?;
        let flags = |used: bool, flags: libc::c_uint| if used { flags } else { 0 };
        let checksum = flags(offloads.checksum, libc::TUN_F_CSUM);
        let tcp = flags(offloads.segmentation, libc::TUN_F_TSO4 | libc::TUN_F_TSO6);
        let udp = flags(
            offloads.udp_segmentation,
            libc::TUN_F_USO4 | libc::TUN_F_USO6,
        );
        let set = |flags: libc::c_uint| {
            // SAFETY: the argument is a number.
            check(unsafe {
                libc::ioctl(
                    fd.as_raw_fd(),
                    libc::TUNSETOFFLOAD as _,
                    libc::c_ulong::from(flags),
                )
            })
        };
        if set(checksum | tcp | udp).is_err() {
            set(checksum | tcp)?;
            offloads.udp_segmentation = false;
        }
        Ok(Self {
            fd,
            offloads,
            fault,
            single: Vec::new(),
            whole: Vec::new(),
        })
    }

    /// Reads what waits, up to one batch.
    pub(crate) fn receive(
        &mut self,
        batch: &mut PacketBatch,
        counters: &mut ShellCounters,
    ) -> io::Result<()> {
        batch.items.clear();
        let mut free = 0;
        for _ in 0..mem::replace(&mut batch.wanted, BATCH) {
            let Some(slot) = batch.arena.get_mut(free..free + SLOT) else {
                break;
            };
            // SAFETY: at most `slot.len()` bytes are written to the live slice.
            let given = check_len(unsafe {
                libc::read(self.fd.as_raw_fd(), slot.as_mut_ptr().cast(), slot.len())
            });
            let length = match given {
                Ok(length) => length,
                Err(error) if is_empty_handed(&error) => break,
                // Some kernels drop a super-packet that their own header has no words for.
                Err(error) if error.raw_os_error() == Some(libc::EINVAL) => {
                    counters.tun_malformed += 1;
                    continue;
                }
                Err(error) => return Err(error),
            };
            let offload = slot[..length]
                .split_first_chunk()
                .and_then(|(header, packet)| offload::decode(VnetHeader::parse(header), packet));
            match offload {
                Some(offload) => batch.items.push((free + vnet::LEN..free + length, offload)),
                None => counters.tun_malformed += 1,
            }
            free += length;
        }
        Ok(())
    }
}

impl AsFd for TunQueue {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// Memory for a run of packets from the TUN.
#[derive(Debug)]
pub(crate) struct PacketBatch {
    arena: Vec<u8>,
    items: Vec<(Range<usize>, Offload)>,
    /// Packets that the next reading asks for.
    wanted: usize,
}

impl PacketBatch {
    pub(crate) fn new() -> Self {
        Self {
            arena: vec![0; ARENA],
            items: Vec::with_capacity(BATCH),
            wanted: BATCH,
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// The next reading takes one packet, and does not find out that there is no second.
    pub(crate) fn expect_one(&mut self) {
        self.wanted = 1;
    }

    /// Whether the next packet might have found no room.
    pub(crate) fn is_full(&self) -> bool {
        self.items
            .last()
            .is_some_and(|(range, _)| range.end + SLOT > self.arena.len())
    }

    pub(crate) fn packets(&self) -> impl Iterator<Item = Packet<'_>> {
        self.items.iter().map(|(range, offload)| Packet {
            bytes: &self.arena[range.clone()],
            offload: *offload,
        })
    }
}

/// Nothing waits, a signal came, or the interface is down for a while.
fn is_empty_handed(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error(),
        Some(libc::EAGAIN | libc::EINTR | libc::EIO)
    )
}
