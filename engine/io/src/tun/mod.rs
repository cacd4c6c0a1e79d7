//! One queue of a TUN interface: packets and super-packets in and out, each with its offload header.
//!
//! What lives here: opening, the kernel's offloads, reading runs, writing with step-down. Not here: addresses, routes and the
//! MTU of the interface (`overlayd/daemon/host.py`). Called by `shard`. I/O.

mod offload;
#[cfg(test)]
mod tests;

use std::io;
use std::mem;
use std::ops::Range;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use overlayd_node::{Cut, Offload, Packet, Segment, complete_checksum};

use crate::counters::ShellCounters;
use crate::sys::{check, check_len};
use crate::vnet::{self, VnetHeader};

const CLONE_DEVICE: &std::ffi::CStr = c"/dev/net/tun";
/// Longest packet with its header that a read can give.
const SLOT: usize = 65_535 + vnet::LEN;
/// Packets lie close to each other, so that many small ones, or four super-packets, fit.
const ARENA: usize = 4 * SLOT;
const BATCH: usize = 64;

/// Which offloads of the interface are to be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TunOffloads {
    /// Transport checksums stay partial.
    pub checksum: bool,
    /// Super-packets, in and out; needs `checksum`.
    pub segmentation: bool,
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
    /// As they are used now: segmentation is given up when the kernel fails at it.
    offloads: TunOffloads,
    /// Scratch for a packet that is cut or completed here because the kernel does not.
    single: Vec<u8>,
}

impl TunQueue {
    /// Sets the queue's offloads. What the kernel does not have (UDP segmentation before 6.2) is left out.
    pub(crate) fn new(fd: OwnedFd, offloads: TunOffloads) -> io::Result<Self> {
        let offloads = TunOffloads {
            segmentation: offloads.segmentation && offloads.checksum,
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
        let checksum = if offloads.checksum {
            libc::TUN_F_CSUM
        } else {
            0
        };
        let tcp = if offloads.segmentation {
            libc::TUN_F_TSO4 | libc::TUN_F_TSO6
        } else {
            0
        };
        let udp = if offloads.segmentation {
            libc::TUN_F_USO4 | libc::TUN_F_USO6
        } else {
            0
        };
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
        set(checksum | tcp | udp).or_else(|_| set(checksum | tcp))?;
        Ok(Self {
            fd,
            offloads,
            single: Vec::new(),
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
        for _ in 0..BATCH {
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

    /// Writes one packet or super-packet. What the kernel refuses is counted and gone; a super-packet that it refuses is cut here,
    /// and so are all after it if that helped.
    pub(crate) fn deliver(
        &mut self,
        packet: &[u8],
        offload: Offload,
        counters: &mut ShellCounters,
    ) {
        let error = match offload.segment {
            Some(segment) if !self.offloads.segmentation => {
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
        let of_offload = matches!(
            error.raw_os_error(),
            Some(libc::EINVAL | libc::EIO | libc::EOPNOTSUPP)
        );
        if passed && of_offload {
            self.offloads.segmentation = false;
            counters.tun_segmentation_step_downs += 1;
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
        let taken = self.write(&self.single, left).is_ok();
        counters.tun_refused += u64::from(!taken);
        taken
    }

    fn write(&self, packet: &[u8], offload: Offload) -> io::Result<()> {
        let header = offload::encode(offload).to_bytes();
        let pieces = [
            libc::iovec {
                iov_base: header.as_ptr().cast_mut().cast(),
                iov_len: header.len(),
            },
            libc::iovec {
                iov_base: packet.as_ptr().cast_mut().cast(),
                iov_len: packet.len(),
            },
        ];
        // SAFETY: both pieces are live slices, only read from.
        check_len(unsafe { libc::writev(self.fd.as_raw_fd(), pieces.as_ptr(), 2) }).map(drop)
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
}

impl PacketBatch {
    pub(crate) fn new() -> Self {
        Self {
            arena: vec![0; ARENA],
            items: Vec::with_capacity(BATCH),
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.items.is_empty()
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
