//! How fast a link sends: a token bucket at its rate, configured or measured, and what waits for it.
//!
//! Frames without a seal wait in the fair queue; datagrams that have one, which were lost and go again, before them. Without a rate nothing waits. Pure.

use std::collections::VecDeque;
use std::net::SocketAddr;

use crate::output::Output;
use crate::queue::{FairQueue, Leaving, Waiting};
use crate::schedule::{Left, ip_and_udp};
use crate::{DropReason, Nanos};

/// A queue holds what the link sends in this time, within bounds of memory.
const QUEUE: Nanos = 50_000_000;
const QUEUE_BYTES_MIN: usize = 32_768;
const QUEUE_BYTES_MAX: usize = 4 << 20;
/// The bucket of an idle link holds what it sends in this time, so that timers need not be finer.
const BURST: Nanos = 2_000_000;
const BURST_BYTES_MIN: usize = 4_096;
/// While a queue stands, the bucket holds what the link sends in this time: a host that was busy elsewhere makes up for it.
const LATE: Nanos = 10_000_000;
/// What waits leaves in bursts of this length: a wake-up for each datagram would cost more than it smooths.
const STEP: Nanos = 500_000;
/// What is used of a configured rate, in percent. The rest lets a queue in the network drain: it has to stand here, where probes pass it.
const USED: u64 = 98;
/// While more waits than leaves in this time, redundancy would only lengthen the queue.
const CONGESTED: Nanos = 5_000_000;

/// Pacing of one link, whose rate is that of IP packets.
#[derive(Debug, Default)]
pub(crate) struct Pacer {
    /// As configured; else `measured` counts.
    configured: Option<u64>,
    measured: Option<u64>,
    /// Credit in bits · 10⁹, so that nothing is rounded away; below zero after what left at once.
    tokens: i128,
    filled_at: Nanos,
    ahead: Queue,
    /// `None`: the link was not paced lately.
    fair: Option<Box<FairQueue>>,
    /// Something had to wait since this was asked last.
    limited: bool,
}

/// Datagrams that wait, in order.
#[derive(Debug, Default)]
struct Queue {
    waiting: VecDeque<Sealed>,
    bytes: VecDeque<u8>,
}

#[derive(Clone, Copy, Debug)]
struct Sealed {
    length: usize,
    remote: SocketAddr,
    ecn: u8,
}

impl Pacer {
    pub(crate) fn set_rate(&mut self, rate_bps: Option<u64>) {
        self.configured = rate_bps;
    }

    /// What counts where no rate is configured.
    pub(crate) fn set_measured(&mut self, rate_bps: Option<u64>) {
        self.measured = rate_bps;
        if rate_bps.is_none() && self.configured.is_none() && self.waits() == 0 {
            self.fair = None;
        }
    }

    pub(crate) fn has_configured_rate(&self) -> bool {
        self.configured.is_some()
    }

    pub(crate) fn rate_bps(&self) -> Option<u64> {
        self.configured.or(self.measured)
    }

    /// Whether something had to wait since this was asked last.
    pub(crate) fn take_limited(&mut self) -> bool {
        let waits = self.waits() > 0;
        std::mem::replace(&mut self.limited, waits)
    }

    /// How long a datagram that goes ahead will wait.
    pub(crate) fn wait_ahead(&self) -> Nanos {
        self.time_of(self.ahead.size())
    }

    pub(crate) fn is_congested(&self) -> bool {
        self.time_of(self.waits()) > CONGESTED
    }

    /// Whether a frame may leave now; if not, it has to wait.
    pub(crate) fn admits(&mut self, now: Nanos) -> bool {
        self.rate_bps().is_none() || (self.waits() == 0 && self.has_credit(now))
    }

    /// Takes a frame that has to wait. How many had to go for it.
    pub(crate) fn push(&mut self, now: Nanos, waiting: Waiting, frame: &[u8]) -> u64 {
        self.limited = true;
        let most = self.queue_bytes();
        let fair = self.fair.get_or_insert_with(|| Box::new(FairQueue::new()));
        fair.push(now, waiting, frame, most)
    }

    /// The next frame whose turn has come, appended to `out`. What had waited too long is counted in `late`.
    pub(crate) fn pop(&mut self, now: Nanos, out: &mut Vec<u8>, late: &mut u64) -> Option<Leaving> {
        if !self.ahead.is_empty() || (self.rate_bps().is_some() && !self.has_credit(now)) {
            return None;
        }
        self.fair.as_deref_mut()?.pop(now, out, late)
    }

    /// Takes the datagram that stands at the end of `output.bytes`, from `start` on: sends or queues it.
    pub(crate) fn send(
        &mut self,
        now: Nanos,
        (uplink, remote, ecn): (u8, SocketAddr, u8),
        output: &mut Output,
        start: usize,
    ) -> Result<Left, DropReason> {
        let length = output.bytes.len() - start;
        let sealed = Sealed {
            length,
            remote,
            ecn,
        };
        if self.rate_bps().is_none() || (self.ahead.is_empty() && self.has_credit(now)) {
            self.charge(now, sealed.size());
            output.push_datagram(uplink, remote, ecn, start);
            return Ok(Left::one(length));
        }
        let fits = self.ahead.bytes.len() + length <= self.queue_bytes();
        if fits {
            self.ahead.push(sealed, &output.bytes[start..]);
            self.limited = true;
        }
        output.bytes.truncate(start);
        if fits {
            Ok(Left::default())
        } else {
            Err(DropReason::QueueFull)
        }
    }

    /// Sends what goes ahead and has waited long enough.
    pub(crate) fn release(&mut self, now: Nanos, uplink: u8, output: &mut Output) -> Left {
        let mut left = Left::default();
        while let Some(first) = self.ahead.first() {
            if self.rate_bps().is_some() && !self.has_credit(now) {
                break;
            }
            let start = output.bytes.len();
            self.ahead.pop(&mut output.bytes);
            self.charge(now, first.size());
            output.push_datagram(uplink, first.remote, first.ecn, start);
            left.datagrams += 1;
            left.bytes += first.length as u64;
        }
        left
    }

    pub(crate) fn poll_timeout(&self) -> Option<Nanos> {
        let waits = self.waits();
        if waits == 0 {
            return None;
        }
        let Some(pace) = self.pace() else {
            return Some(0);
        };
        let step = i128::from(pace) * i128::from(STEP);
        let worth = cost(waits).min(step).min(self.bucket());
        let missing = (worth - self.tokens).max(0).cast_unsigned();
        Some(self.filled_at + missing.div_ceil(pace.into()) as Nanos)
    }

    /// Takes the credit for an IP packet that leaves, down to what has to be waited for.
    pub(crate) fn charge(&mut self, now: Nanos, size: usize) {
        if self.rate_bps().is_some() {
            self.fill(now);
            self.tokens = (self.tokens - cost(size)).max(-self.bucket());
        }
    }

    /// Bytes of IP packets that wait.
    fn waits(&self) -> usize {
        self.ahead.size() + self.fair.as_deref().map_or(0, FairQueue::bytes)
    }

    /// How long the link takes for so many bytes.
    fn time_of(&self, size: usize) -> Nanos {
        self.pace().map_or(0, |pace| {
            (size as u64 * 8).saturating_mul(1_000_000_000) / pace
        })
    }

    fn has_credit(&mut self, now: Nanos) -> bool {
        self.fill(now);
        self.tokens > 0
    }

    fn fill(&mut self, now: Nanos) {
        let earned =
            i128::from(self.pace().unwrap_or(0)) * i128::from(now.saturating_sub(self.filled_at));
        self.tokens = (self.tokens + earned).min(self.bucket());
        self.filled_at = now;
    }

    fn bucket(&self) -> i128 {
        let pace = i128::from(self.pace().unwrap_or(0));
        let burst = match self.waits() {
            0 => BURST,
            _ => LATE,
        };
        (pace * i128::from(burst)).max(cost(BURST_BYTES_MIN))
    }

    /// Bits per second that leave.
    fn pace(&self) -> Option<u64> {
        let configured = self.configured.map(|rate| rate / 100 * USED);
        configured.or(self.measured).map(|rate| rate.max(1))
    }

    fn queue_bytes(&self) -> usize {
        let rate = u128::from(self.rate_bps().unwrap_or(0));
        let bytes = rate * u128::from(QUEUE) / 8_000_000_000;
        (bytes as usize).clamp(QUEUE_BYTES_MIN, QUEUE_BYTES_MAX)
    }
}

impl Queue {
    fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    fn first(&self) -> Option<Sealed> {
        self.waiting.front().copied()
    }

    /// Of all IP packets. All have headers as long as the first one's, but for those that waited while a link moved.
    fn size(&self) -> usize {
        let headers = self.first().map_or(0, |first| ip_and_udp(first.remote));
        self.bytes.len() + self.waiting.len() * headers
    }

    fn push(&mut self, sealed: Sealed, bytes: &[u8]) {
        self.waiting.push_back(sealed);
        self.bytes.extend(bytes);
    }

    fn pop(&mut self, out: &mut Vec<u8>) {
        if let Some(first) = self.waiting.pop_front() {
            out.extend(self.bytes.drain(..first.length));
        }
    }
}

impl Sealed {
    /// Of the IP packet.
    fn size(&self) -> usize {
        self.length + ip_and_udp(self.remote)
    }
}

fn cost(size: usize) -> i128 {
    size as i128 * 8_000_000_000
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests fail by panicking")]
mod tests {
    use super::*;
    use crate::choose::Leg;
    use crate::queue::Load;
    use overlayd_wire::Budget;

    const MS: Nanos = 1_000_000;

    fn paced(rate_bps: u64) -> Pacer {
        let mut pacer = Pacer::default();
        pacer.set_rate(Some(rate_bps));
        pacer
    }

    /// Hands over an IP packet of `size` bytes: what left at once, and how many had to go.
    fn offer(pacer: &mut Pacer, now: Nanos, size: usize) -> (usize, u64) {
        if pacer.admits(now) {
            pacer.charge(now, size);
            return (size, 0);
        }
        let leg = Leg {
            link: 0,
            class: 0,
            budget: Budget::NONE,
            ecn: 1, // marked, not dropped: what is measured here is the pace
        };
        let load = Load {
            routed: false,
            flow: 0,
            counted: None,
        };
        let waiting = Waiting { leg, load, size };
        (0, pacer.push(now, waiting, &[]))
    }

    fn release(pacer: &mut Pacer, now: Nanos) -> usize {
        let mut sent = 0;
        while let Some(leaving) = pacer.pop(now, &mut Vec::new(), &mut 0) {
            pacer.charge(now, leaving.waiting.size);
            sent += leaving.waiting.size;
        }
        sent
    }

    /// Offers `size` bytes each `gap`, and releases as the pacer asks; bytes sent until `end`, packets pushed out.
    fn run(pacer: &mut Pacer, gap: Nanos, size: usize, end: Nanos) -> (usize, u64) {
        let (mut sent, mut dropped, mut next, mut now) = (0, 0, MS, MS);
        while now < end + MS {
            if pacer.poll_timeout().is_some_and(|at| at <= now) {
                sent += release(pacer, now);
            }
            if next <= now {
                let (left, pushed_out) = offer(pacer, now, size);
                sent += left;
                dropped += pushed_out;
                next += gap;
            }
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
        let mut pacer = paced(8_000_000);
        let (sent, dropped) = run(&mut pacer, MS / 10, 1000, 1000 * MS);
        assert!((975_000..=987_000).contains(&sent), "{sent} bytes");
        assert!(dropped > 8000, "{dropped}");
        assert!(pacer.waits() <= 50_000);
        assert!(pacer.is_congested());
    }

    #[test]
    fn below_the_rate_nothing_waits() {
        let mut pacer = paced(8_000_000);
        assert_eq!(run(&mut pacer, 2 * MS, 1000, 1000 * MS), (500_000, 0));
        assert!(!pacer.take_limited());
    }

    #[test]
    fn what_leaves_at_once_is_part_of_the_rate() {
        let mut pacer = paced(8_000_000);
        let mut sent = 0;
        for now in (0..1000 * MS).step_by(MS as usize) {
            if now % (5 * MS) == 0 {
                pacer.charge(now, 1000);
                sent += 1000;
            }
            sent += release(&mut pacer, now);
            sent += offer(&mut pacer, now, 2000).0;
        }
        assert!((970_000..=995_000).contains(&sent), "{sent}");
    }

    #[test]
    fn a_host_that_is_late_makes_up_for_it_in_bounds() {
        let rate = |late: Nanos| {
            let mut pacer = paced(8_000_000);
            let mut sent = 0;
            for now in (0..1000 * MS).step_by(late as usize) {
                sent += release(&mut pacer, now);
                for _ in 0..30 {
                    sent += offer(&mut pacer, now, 1000).0;
                }
            }
            sent
        };
        let (little, much) = (rate(7 * MS), rate(20 * MS));
        assert!((970_000..=995_000).contains(&little), "{little}");
        assert!(much < 560_000, "{much}");
    }

    #[test]
    fn what_goes_again_leaves_first_and_in_order() {
        let mut pacer = paced(8_000_000);
        let remote = SocketAddr::from(([192, 0, 2, 1], 1));
        let mut output = Output::default();
        for _ in 0..3 {
            offer(&mut pacer, 0, 4000);
        }
        for name in [3, 4] {
            let start = output.bytes.len();
            output.bytes.resize(start + 4000, name);
            pacer.send(0, (0, remote, 0), &mut output, start).unwrap();
        }
        let mut after = Vec::new();
        while let Some(at) = pacer.poll_timeout() {
            pacer.release(at, 0, &mut output);
            after.push((output.datagrams.len(), release(&mut pacer, at)));
        }
        let order: Vec<u8> = output
            .datagrams
            .iter()
            .map(|datagram| output.bytes[datagram.range.start])
            .collect();
        assert_eq!(order, [3, 4]);
        let early = after.iter().filter(|(ahead, _)| *ahead < 2);
        assert_eq!(early.map(|(_, sent)| sent).sum::<usize>(), 0, "{after:?}");
    }

    #[test]
    fn a_link_that_is_no_longer_paced_keeps_no_memory_for_it() {
        let mut pacer = Pacer::default();
        pacer.set_measured(Some(8_000_000));
        run(&mut pacer, MS / 10, 1000, 100 * MS);
        pacer.set_measured(None);
        assert_eq!(pacer.poll_timeout(), Some(0));
        assert!(release(&mut pacer, 100 * MS) > 30_000);
        pacer.set_measured(None);
        assert!(pacer.fair.is_none() && pacer.poll_timeout().is_none());
    }
}
