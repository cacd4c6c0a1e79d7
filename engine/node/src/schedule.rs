//! The last stage: a frame gets its hop seal and leaves. What has to wait for that is `pacer`'s. Pure.

use std::net::SocketAddr;

use overlayd_wire::{Budget, envelope};

use crate::output::Output;
use crate::pacer::Pacer;
use crate::queue::{Load, Waiting};
use crate::session::{Scope, Sessions};
use crate::way::Leg;
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
        (start, ecn): (usize, u8),
    ) -> Result<(), DropReason> {
        let Some(remote) = self.remote else {
            output.bytes.truncate(start);
            return Err(DropReason::NoSession);
        };
        sessions.seal_tail(now, scope, &mut output.bytes, start)?;
        let length = output.bytes.len() - start;
        self.pacer.charge(now, length + ip_and_udp(remote));
        output.push_datagram(self.uplink, remote, ecn, start);
        self.sent += 1;
        self.sent_bytes += length as u64;
        Ok(())
    }

    /// Sends a frame that has its number, or keeps it until it is its class's turn: what was sent before and lost has waited long enough, and goes before
    /// the rest of its class. How many had to go for it.
    pub(crate) fn send_again(
        &mut self,
        now: Nanos,
        sessions: &mut Sessions,
        (link, class): (usize, u8),
        output: &mut Output,
        start: usize,
    ) -> Result<u64, DropReason> {
        if self.pacer.admits(now) {
            let scope = Scope::Hop(link as u16);
            let sent = self.finish(now, sessions, scope, output, (start, 0));
            return sent.map(|()| 0);
        }
        let waiting = Waiting {
            leg: Leg {
                link,
                class,
                budget: Budget::NONE,
                ecn: 0,
            },
            load: Load::Again,
            size: self.size_of(&output.bytes, start),
        };
        let frame = &output.bytes[start + envelope::HEADER_LEN..];
        let pushed_out = self.pacer.push(now, waiting, frame);
        output.bytes.truncate(start);
        Ok(pushed_out)
    }

    /// Bytes of the IP packet that the frame which `begin` opened at `start` becomes.
    pub(crate) fn size_of(&self, bytes: &[u8], start: usize) -> usize {
        bytes.len() - start + envelope::TAG_LEN + self.ip_and_udp()
    }
}

fn ip_and_udp(remote: SocketAddr) -> usize {
    if remote.is_ipv6() {
        IP_AND_UDP + 20
    } else {
        IP_AND_UDP
    }
}
