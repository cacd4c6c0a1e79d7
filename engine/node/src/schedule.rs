//! The last stage: a frame gets its hop seal and leaves, at once or in its turn. Whose turn it is, is `pacer`'s. Pure.

use std::net::SocketAddr;

use overlayd_wire::envelope;

use crate::output::Output;
use crate::pacer::Pacer;
use crate::session::{Scope, Sessions};
use crate::{DropReason, Nanos};

/// Headers of IPv4 and UDP.
const IP_AND_UDP: usize = 28;
/// Where a link's datagrams leave.
#[derive(Debug)]
pub(crate) struct Exit {
    pub(crate) uplink: u8,
    /// `None`: not learned yet.
    pub(crate) remote: Option<SocketAddr>,
    pub(crate) pacer: Pacer,
    /// Datagrams and bytes of UDP payload that have left so far. What waits is not among them: probes overtake it.
    pub(crate) sent: u64,
    pub(crate) sent_bytes: u64,
}

/// Whether a datagram waits for its turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Turn {
    /// When the rate allows, before all that has no seal yet: what was sent before and lost has waited long enough.
    Ahead,
    /// What had its turn already. And probes, feedback and the like: few, small, and worth nothing late.
    AtOnce,
}

impl Exit {
    pub(crate) fn new(uplink: u8, remote: Option<SocketAddr>, pacer: Pacer) -> Self {
        Self {
            uplink,
            remote,
            pacer,
            sent: 0,
            sent_bytes: 0,
        }
    }

    /// Bytes of the headers under a datagram.
    pub(crate) fn ip_and_udp(&self) -> usize {
        self.remote.map_or(IP_AND_UDP, ip_and_udp)
    }

    /// Bytes of UDP payload in an IP packet of `size`.
    pub(crate) fn payload_of(&self, size: u16) -> usize {
        usize::from(size) - self.ip_and_udp()
    }

    /// Size of the IP packet around a UDP payload of `bytes`.
    pub(crate) fn packet_size(&self, bytes: usize) -> u16 {
        (bytes + self.ip_and_udp()).min(usize::from(u16::MAX)) as u16
    }

    /// Opens a datagram at the end of `bytes`: room for the envelope's header. The frame is to follow.
    pub(crate) fn begin(bytes: &mut Vec<u8>) -> usize {
        let start = bytes.len();
        bytes.extend_from_slice(&[0; envelope::HEADER_LEN]);
        start
    }

    /// Seals the datagram that `begin` opened at `start` and sends it. On an error it is gone from the output.
    pub(crate) fn finish(
        &mut self,
        now: Nanos,
        sessions: &mut Sessions,
        scope: Scope,
        output: &mut Output,
        (start, ecn, turn): (usize, u8, Turn),
    ) -> Result<(), DropReason> {
        let Some(remote) = self.remote else {
            output.bytes.truncate(start);
            return Err(DropReason::NoSession);
        };
        sessions.seal_tail(now, scope, &mut output.bytes, start)?;
        let left = match turn {
            Turn::Ahead => self
                .pacer
                .send(now, (self.uplink, remote, ecn), output, start)?,
            Turn::AtOnce => {
                let length = output.bytes.len() - start;
                self.pacer.charge(now, length + ip_and_udp(remote));
                output.push_datagram(self.uplink, remote, ecn, start);
                Left::one(length)
            }
        };
        self.count(left);
        Ok(())
    }

    /// Bytes of the IP packet that the frame which `begin` opened at `start` becomes.
    pub(crate) fn size_of(&self, bytes: &[u8], start: usize) -> usize {
        bytes.len() - start + envelope::TAG_LEN + self.ip_and_udp()
    }

    /// Sends what has its seal and has waited long enough.
    pub(crate) fn release(&mut self, now: Nanos, output: &mut Output) {
        let left = self.pacer.release(now, self.uplink, output);
        self.count(left);
    }

    fn count(&mut self, left: Left) {
        self.sent += left.datagrams;
        self.sent_bytes += left.bytes;
    }
}

/// What went out just now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Left {
    pub(crate) datagrams: u64,
    pub(crate) bytes: u64,
}

impl Left {
    pub(crate) fn one(length: usize) -> Self {
        Self {
            datagrams: 1,
            bytes: length as u64,
        }
    }
}

pub(crate) fn ip_and_udp(remote: SocketAddr) -> usize {
    if remote.is_ipv6() {
        IP_AND_UDP + 20
    } else {
        IP_AND_UDP
    }
}
