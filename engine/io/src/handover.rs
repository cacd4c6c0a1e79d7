//! The way of packets that a shard has no way for to shard 0, which carries them: bounded, copied, and off the common path.
//!
//! A peer with fewer shards, a firewall that lets one port pass, a session that is still being made. The answers come in shard 0, are
//! written to its queue of the TUN, and so the kernel steers what follows of the flow there. I/O (an eventfd).

use std::io;
use std::mem;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::{Mutex, MutexGuard, PoisonError};

use overlayd_node::{self as node, Packet};

use crate::sys::Waker;

/// As much as may wait for a full socket.
const BYTES_MAX: usize = 4 << 20;

#[derive(Debug)]
pub(crate) struct Handover {
    waiting: Mutex<Handed>,
    waker: Waker,
}

/// Packets from the TUN, one after the other.
#[derive(Debug, Default)]
pub(crate) struct Handed {
    bytes: Vec<u8>,
    packets: Vec<node::Handed>,
}

impl Handover {
    pub(crate) fn new() -> io::Result<Self> {
        Ok(Self {
            waiting: Mutex::default(),
            waker: Waker::new()?,
        })
    }

    /// Appends packets, whose ranges are of `bytes`. Answers how many found no room and are gone.
    pub(crate) fn give(&self, bytes: &[u8], packets: &[node::Handed]) -> u64 {
        let mut waiting = self.lock();
        if waiting.packets.is_empty() {
            self.waker.wake();
        }
        let before = waiting.packets.len();
        for packet in packets {
            let start = waiting.bytes.len();
            if start + packet.range.len() > BYTES_MAX {
                break;
            }
            waiting
                .bytes
                .extend_from_slice(&bytes[packet.range.clone()]);
            waiting.packets.push(node::Handed {
                range: start..start + packet.range.len(),
                offload: packet.offload,
            });
        }
        (packets.len() - (waiting.packets.len() - before)) as u64
    }

    /// Takes all that was given, in exchange for what was taken before.
    pub(crate) fn take(&self, handed: &mut Handed) {
        handed.bytes.clear();
        handed.packets.clear();
        let mut waiting = self.lock();
        self.waker.clear();
        mem::swap(&mut *waiting, handed);
    }

    fn lock(&self) -> MutexGuard<'_, Handed> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl AsFd for Handover {
    /// Readable while packets wait.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.waker.as_fd()
    }
}

impl Handed {
    pub(crate) fn packets(&self) -> impl Iterator<Item = Packet<'_>> {
        self.packets.iter().map(|packet| Packet {
            bytes: &self.bytes[packet.range.clone()],
            offload: packet.offload,
        })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests fail by panicking")]
mod tests {
    use overlayd_node::Offload;

    use super::*;

    fn packets(sizes: &[usize]) -> (Vec<u8>, Vec<node::Handed>) {
        let mut end = 0;
        let packets: Vec<node::Handed> = sizes
            .iter()
            .map(|size| {
                end += size;
                node::Handed {
                    range: end - size..end,
                    offload: Offload::default(),
                }
            })
            .collect();
        ((0..end).map(|at| at as u8).collect(), packets)
    }

    #[test]
    fn what_two_shards_give_is_taken_once_and_in_order() {
        let (handover, mut handed) = (Handover::new().unwrap(), Handed::default());
        let (bytes, given) = packets(&[3, 2]);
        assert_eq!(handover.give(&bytes, &given), 0);
        assert_eq!(handover.give(&bytes, &given[1..]), 0);
        handover.take(&mut handed);
        let taken: Vec<&[u8]> = handed.packets().map(|packet| packet.bytes).collect();
        assert_eq!(taken, [&[0u8, 1, 2][..], &[3, 4], &[3, 4]]);
        handover.take(&mut handed);
        assert_eq!(handed.packets().count(), 0);
    }

    #[test]
    fn what_finds_no_room_is_counted_and_later_there_is_room_again() {
        let (handover, mut handed) = (Handover::new().unwrap(), Handed::default());
        let (bytes, given) = packets(&[60_000; 100]);
        assert_eq!(handover.give(&bytes, &given), 100 - (4 << 20) / 60_000);
        handover.take(&mut handed);
        assert_eq!(handed.packets().count(), (4 << 20) / 60_000);
        assert_eq!(handover.give(&bytes, &given[..1]), 0);
    }
}
