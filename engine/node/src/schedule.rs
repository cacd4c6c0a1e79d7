//! The last stages: a frame gets its hop seal, then leaves at once, or paced by a token bucket where the link has a configured rate.
//!
//! The queue is bounded in bytes; what does not fit is dropped, newest first. How long a datagram will wait is known before it is sealed, so
//! its budget can tell. Pure.

use std::collections::VecDeque;
use std::net::SocketAddr;

use overlayd_wire::envelope;

use crate::output::Output;
use crate::session::{Scope, Sessions};
use crate::{DropReason, Nanos};

/// Headers of IPv4 and UDP.
const IP_AND_UDP: usize = 28;
/// A queue holds what the link sends in this time.
const QUEUE: Nanos = 50_000_000;
const QUEUE_BYTES_MIN: usize = 32_768;
/// The bucket of an idle link holds what it sends in this time, so that timers need not be finer.
const BURST: Nanos = 2_000_000;
const BURST_BYTES_MIN: usize = 4_096;
/// While a queue stands, the bucket holds what the link sends in this time: a host that was busy elsewhere makes up for it.
pub(crate) const LATE: Nanos = 10_000_000;
/// What waits leaves in bursts of this length: a wake-up for each datagram would cost more than it smooths.
const STEP: Nanos = 500_000;
/// What is used of the link's rate, in percent. The rest lets a queue in the network drain: it has to stand here, where probes pass it.
const USED: u64 = 98;
/// A wait beyond this is congestion worth marking (RFC 8289 calls it the target).
const MARK_AFTER: Nanos = 5_000_000;

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
    Paced,
    /// Before all that is `Paced`: what was sent before and lost has waited long enough.
    Ahead,
    /// Probes, feedback and the like: few, small, and worth nothing late.
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
            Turn::Paced | Turn::Ahead => {
                let place = turn == Turn::Ahead;
                self.pacer
                    .send(now, place, (self.uplink, remote, ecn), output, start)?
            }
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

    /// Sends what has waited long enough.
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
    datagrams: u64,
    bytes: u64,
}

impl Left {
    fn one(length: usize) -> Self {
        Self {
            datagrams: 1,
            bytes: length as u64,
        }
    }
}

/// Pacing of one link, whose rate is that of IP packets.
#[derive(Debug, Default)]
pub(crate) struct Pacer {
    rate_bps: Option<u64>,
    /// Credit in bits · 10⁹, so that nothing is rounded away; below zero after what left at once.
    tokens: i128,
    filled_at: Nanos,
    ahead: Queue,
    queue: Queue,
}

/// Datagrams that wait, in order.
#[derive(Debug, Default)]
struct Queue {
    waiting: VecDeque<Waiting>,
    bytes: VecDeque<u8>,
}

#[derive(Clone, Copy, Debug)]
struct Waiting {
    length: usize,
    remote: SocketAddr,
    ecn: u8,
}

impl Pacer {
    pub(crate) fn set_rate(&mut self, rate_bps: Option<u64>) {
        self.rate_bps = rate_bps;
    }

    pub(crate) fn rate_bps(&self) -> Option<u64> {
        self.rate_bps
    }

    /// How long a datagram that is handed over now will wait.
    pub(crate) fn wait(&self) -> Nanos {
        self.time_of(|| self.ahead.size() + self.queue.size())
    }

    /// The same for one that goes ahead.
    pub(crate) fn wait_ahead(&self) -> Nanos {
        self.time_of(|| self.ahead.size())
    }

    pub(crate) fn is_congested(&self) -> bool {
        self.wait() > MARK_AFTER
    }

    /// Takes the datagram that stands at the end of `output.bytes`, from `start` on: sends or queues it.
    fn send(
        &mut self,
        now: Nanos,
        goes_ahead: bool,
        (uplink, remote, ecn): (u8, SocketAddr, u8),
        output: &mut Output,
        start: usize,
    ) -> Result<Left, DropReason> {
        let length = output.bytes.len() - start;
        let waiting = Waiting {
            length,
            remote,
            ecn,
        };
        let is_first = self.ahead.is_empty() && (goes_ahead || self.queue.is_empty());
        if self.rate_bps.is_none() || (is_first && self.spend(now, waiting.size())) {
            output.push_datagram(uplink, remote, ecn, start);
            return Ok(Left::one(length));
        }
        let most = self.queue_bytes();
        let queue = match goes_ahead {
            true => &mut self.ahead,
            false => &mut self.queue,
        };
        let fits = queue.bytes.len() + length <= most;
        if fits {
            queue.push(waiting, &output.bytes[start..]);
        }
        output.bytes.truncate(start);
        if fits {
            Ok(Left::default())
        } else {
            Err(DropReason::QueueFull)
        }
    }

    /// Whether a datagram of this length would be taken now.
    pub(crate) fn admits(&self, length: usize) -> bool {
        self.rate_bps.is_none() || self.queue.bytes.len() + length <= self.queue_bytes()
    }

    fn release(&mut self, now: Nanos, uplink: u8, output: &mut Output) -> Left {
        let mut left = Left::default();
        while let Some(first) = self.first() {
            if self.rate_bps.is_some() && !self.spend(now, first.size()) {
                break;
            }
            let queue = match self.ahead.is_empty() {
                true => &mut self.queue,
                false => &mut self.ahead,
            };
            let start = output.bytes.len();
            queue.pop(&mut output.bytes);
            output.push_datagram(uplink, first.remote, first.ecn, start);
            left.datagrams += 1;
            left.bytes += first.length as u64;
        }
        left
    }

    pub(crate) fn poll_timeout(&self) -> Option<Nanos> {
        let first = self.first()?;
        let Some(pace) = self.pace() else {
            return Some(0);
        };
        let all = cost(self.ahead.size() + self.queue.size());
        let step = i128::from(pace) * i128::from(STEP);
        let worth = all.min(step).max(cost(first.size())).min(self.bucket());
        let missing = (worth - self.tokens).max(0).cast_unsigned();
        Some(self.filled_at + missing.div_ceil(pace.into()) as Nanos)
    }

    fn first(&self) -> Option<Waiting> {
        self.ahead.first().or(self.queue.first())
    }

    /// How long the link takes for so many bytes.
    fn time_of(&self, size: impl FnOnce() -> usize) -> Nanos {
        self.pace().map_or(0, |pace| {
            (size() as u64 * 8).saturating_mul(1_000_000_000) / pace
        })
    }

    /// Takes the credit for an IP packet that does not wait; those that do wait for it, too.
    fn charge(&mut self, now: Nanos, size: usize) {
        self.fill(now);
        self.tokens = (self.tokens - cost(size)).max(-self.bucket());
    }

    fn spend(&mut self, now: Nanos, size: usize) -> bool {
        self.fill(now);
        let enough = self.tokens >= cost(size).min(self.bucket());
        if enough {
            self.tokens = (self.tokens - cost(size)).max(0);
        }
        enough
    }

    fn fill(&mut self, now: Nanos) {
        let earned =
            i128::from(self.pace().unwrap_or(0)) * i128::from(now.saturating_sub(self.filled_at));
        self.tokens = (self.tokens + earned).min(self.bucket());
        self.filled_at = now;
    }

    fn bucket(&self) -> i128 {
        let pace = i128::from(self.pace().unwrap_or(0));
        let burst = match self.first() {
            Some(_) => LATE,
            None => BURST,
        };
        (pace * i128::from(burst)).max(cost(BURST_BYTES_MIN))
    }

    /// Bits per second that leave.
    fn pace(&self) -> Option<u64> {
        self.rate_bps.map(|rate| (rate / 100 * USED).max(1))
    }

    fn queue_bytes(&self) -> usize {
        let rate = u128::from(self.rate_bps.unwrap_or(0));
        let bytes = rate * u128::from(QUEUE) / 8_000_000_000;
        (bytes as usize).max(QUEUE_BYTES_MIN)
    }
}

impl Queue {
    fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    fn first(&self) -> Option<Waiting> {
        self.waiting.front().copied()
    }

    /// Of all IP packets. All have headers as long as the first one's, but for those that waited while a link moved.
    fn size(&self) -> usize {
        let headers = self.first().map_or(0, |first| ip_and_udp(first.remote));
        self.bytes.len() + self.waiting.len() * headers
    }

    fn push(&mut self, waiting: Waiting, bytes: &[u8]) {
        self.waiting.push_back(waiting);
        self.bytes.extend(bytes);
    }

    fn pop(&mut self, out: &mut Vec<u8>) {
        if let Some(first) = self.waiting.pop_front() {
            out.extend(self.bytes.drain(..first.length));
        }
    }
}

impl Waiting {
    /// Of the IP packet.
    fn size(&self) -> usize {
        self.length + ip_and_udp(self.remote)
    }
}

fn ip_and_udp(remote: SocketAddr) -> usize {
    if remote.is_ipv6() {
        IP_AND_UDP + 20
    } else {
        IP_AND_UDP
    }
}

fn cost(size: usize) -> i128 {
    size as i128 * 8_000_000_000
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests fail by panicking")]
mod tests {
    use super::*;

    const MS: Nanos = 1_000_000;

    fn send(
        pacer: &mut Pacer,
        now: Nanos,
        output: &mut Output,
        length: usize,
    ) -> Result<Left, DropReason> {
        let start = output.bytes.len();
        output.bytes.resize(start + length, 0);
        pacer.send(
            now,
            false,
            (0, SocketAddr::from(([192, 0, 2, 1], 1)), 0),
            output,
            start,
        )
    }

    /// Offers `length` bytes each `gap`, and releases as the pacer asks; bytes sent until `end`.
    fn run(pacer: &mut Pacer, gap: Nanos, length: usize, end: Nanos) -> (usize, usize) {
        let (mut sent, mut dropped, mut next) = (0, 0, 0);
        let mut now = 0;
        while now < end {
            let mut output = Output::default();
            if pacer.poll_timeout().is_some_and(|at| at <= now) {
                pacer.release(now, 0, &mut output);
            }
            if next <= now {
                dropped += usize::from(send(pacer, now, &mut output, length).is_err());
                next += gap;
            }
            sent += output
                .datagrams
                .iter()
                .map(|datagram| datagram.range.len())
                .sum::<usize>();
            now = pacer
                .poll_timeout()
                .map_or(next, |at| at.clamp(now + 1, next.max(now + 1)));
        }
        (sent, dropped)
    }

    #[test]
    fn without_a_rate_all_leaves_at_once() {
        let mut pacer = Pacer::default();
        assert_eq!(run(&mut pacer, MS / 10, 1000, 100 * MS), (1000 * 1000, 0));
    }

    #[test]
    fn a_rate_is_kept_and_the_queue_is_bounded() {
        let mut pacer = Pacer::default();
        pacer.set_rate(Some(8_000_000));
        let (sent, dropped) = run(&mut pacer, MS / 10, 1000 - IP_AND_UDP, 1000 * MS);
        let packets = sent / (1000 - IP_AND_UDP);
        assert!((978..=985).contains(&packets), "{packets} of 1000 bytes");
        assert!(dropped > 8000, "{dropped}");
        assert!(pacer.queue.bytes.len() <= 50_000);
        assert!(pacer.is_congested());
    }

    #[test]
    fn what_leaves_at_once_is_part_of_the_rate() {
        let mut pacer = Pacer::default();
        pacer.set_rate(Some(8_000_000));
        let (mut paced, mut at_once, mut now) = (0, 0, 0);
        while now < 1000 * MS {
            let mut output = Output::default();
            pacer.charge(now, 1000);
            at_once += 1;
            send(&mut pacer, now, &mut output, 1000 - IP_AND_UDP).ok();
            paced += output.datagrams.len();
            now += 5 * MS;
            while let Some(at) = pacer.poll_timeout().filter(|at| *at <= now) {
                let mut output = Output::default();
                pacer.release(at, 0, &mut output);
                paced += output.datagrams.len();
                for _ in 0..8 {
                    send(&mut pacer, at, &mut output, 1000 - IP_AND_UDP).ok();
                }
            }
        }
        assert!(
            (970..=990).contains(&(at_once + paced)),
            "{at_once} + {paced}"
        );
    }

    #[test]
    fn a_host_that_is_late_makes_up_for_it_in_bounds() {
        let rate = |late: Nanos| {
            let mut pacer = Pacer::default();
            pacer.set_rate(Some(8_000_000));
            let (mut sent, mut now) = (0, 0);
            while now < 1000 * MS {
                let mut output = Output::default();
                pacer.release(now, 0, &mut output);
                while send(&mut pacer, now, &mut output, 1000 - IP_AND_UDP).is_ok() {}
                sent += output.datagrams.len();
                now += late;
            }
            sent
        };
        assert!((970..=990).contains(&rate(7 * MS)), "{}", rate(7 * MS));
        assert!(rate(20 * MS) < 520, "{}", rate(20 * MS));
    }

    #[test]
    fn what_goes_ahead_leaves_first_and_in_order() {
        let mut pacer = Pacer::default();
        pacer.set_rate(Some(8_000_000));
        let remote = SocketAddr::from(([192, 0, 2, 1], 1));
        let mut output = Output::default();
        for (name, goes_ahead) in [(0, false), (1, false), (2, false), (3, true), (4, true)] {
            let start = output.bytes.len();
            output.bytes.resize(start + 4000, name);
            let sent = pacer.send(0, goes_ahead, (0, remote, 0), &mut output, start);
            sent.unwrap();
        }
        assert!(pacer.wait() > pacer.wait_ahead());
        let mut now = 0;
        while let Some(at) = pacer.poll_timeout() {
            now = at.max(now + 1);
            pacer.release(now, 0, &mut output);
        }
        let order: Vec<u8> = output
            .datagrams
            .iter()
            .map(|datagram| output.bytes[datagram.range.start])
            .collect();
        assert_eq!(order, [3, 4, 0, 1, 2]);
    }

    #[test]
    fn below_the_rate_nothing_waits() {
        let mut pacer = Pacer::default();
        pacer.set_rate(Some(8_000_000));
        assert_eq!(run(&mut pacer, 2 * MS, 1000, 1000 * MS), (500_000, 0));
        assert_eq!(pacer.wait(), 0);
    }
}
