//! How fast a link sends: a token bucket at its rate, configured or measured, and what waits for it.
//!
//! What waits has neither number nor seals yet, but for what goes again; who goes next is `queue`'s. Without a rate nothing waits. Pure.

use std::sync::Arc;

use crate::Nanos;
use crate::event::QueueReport;
use crate::queue::{Leaving, Queue, Room, Share, Terms, Waiting};

/// A queue holds what the link sends in this time, within bounds of memory.
const QUEUE: Nanos = 50_000_000;
/// One of a class whose flows are put in order, besides, what it sends in so many round trips: when a gap is filled after one or two of them, all that waited for it
/// is acknowledged at once, and as much comes.
const ROUNDS: Nanos = 3;
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
    /// Of the link.
    rtt: Nanos,
    /// What each class may have.
    shares: Arc<[Share]>,
    /// `None`: nothing ever had to wait.
    queue: Option<Box<Queue>>,
    /// Something had to wait since this was asked last.
    limited: bool,
}

impl Pacer {
    pub(crate) fn set_shares(&mut self, shares: &Arc<[Share]>) {
        self.shares = Arc::clone(shares);
    }

    pub(crate) fn set_rtt(&mut self, rtt: Nanos) {
        self.rtt = rtt;
    }

    pub(crate) fn set_rate(&mut self, rate_bps: Option<u64>) {
        self.configured = rate_bps;
    }

    /// What counts where no rate is configured.
    pub(crate) fn set_measured(&mut self, rate_bps: Option<u64>) {
        self.measured = rate_bps;
        if let Some(queue) = &mut self.queue
            && rate_bps.is_none()
            && self.configured.is_none()
        {
            queue.forget();
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

    /// How long a frame of a class that goes again will wait, more or less.
    pub(crate) fn wait_again(&self, class: u8) -> Nanos {
        self.wait_of(class, |(_, again)| again)
    }

    /// Whether more of a class waits than may: redundancy would only lengthen its queue. Not where flows are put in order: there gaps are what makes the queue
    /// needed, and symbols, which come out of the class's own share, what shortens them.
    pub(crate) fn is_congested(&self, class: u8) -> bool {
        let in_order = Share::at(&self.shares, class.into()).in_order();
        !in_order && self.wait_of(class, |(all, _)| all) > CONGESTED
    }

    /// Whether a frame may leave now; if not, it has to wait.
    pub(crate) fn admits(&mut self, now: Nanos) -> bool {
        self.rate_bps().is_none() || (self.waits() == 0 && self.has_credit(now))
    }

    /// Takes a frame that has to wait. How many had to go for it.
    pub(crate) fn push(&mut self, now: Nanos, waiting: Waiting, frame: &[u8]) -> u64 {
        self.limited = true;
        let room = Room {
            usual: self.bytes_in(QUEUE),
            in_order: self.bytes_in(QUEUE + ROUNDS * self.rtt),
        };
        let queue = self.queue.get_or_insert_default();
        queue.push(now, waiting, frame, (room, &self.shares))
    }

    /// The next frame whose turn has come, appended to `out`. What had waited too long is counted in `late`.
    pub(crate) fn pop(&mut self, now: Nanos, out: &mut Vec<u8>, late: &mut u64) -> Option<Leaving> {
        if self.rate_bps().is_some() && !self.has_credit(now) {
            return None;
        }
        let terms = Terms {
            rate_bps: self.pace().unwrap_or(0),
            rtt: self.rtt,
            shares: &self.shares,
        };
        let queue = self.queue.as_deref_mut()?;
        queue.pop(now, &terms, out, late)
    }

    pub(crate) fn queue_reports(&self) -> Vec<QueueReport> {
        let queue = self.queue.as_deref();
        queue.map_or(Vec::new(), |queue| queue.reports().collect())
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

    /// The same for one beside what waits of its class: a repair symbol.
    pub(crate) fn charge_class(&mut self, class: u8, size: usize) {
        if let Some(queue) = &mut self.queue {
            queue.charge(class, size, &self.shares);
        }
    }

    /// Bytes of IP packets that wait.
    fn waits(&self) -> usize {
        self.queue.as_deref().map_or(0, Queue::bytes)
    }

    /// How long a class takes for what waits of it, at its part of the rate.
    fn wait_of(&self, class: u8, which: impl Fn((usize, usize)) -> usize) -> Nanos {
        let Some(queue) = &self.queue else {
            return 0;
        };
        match which(queue.bytes_of(class)) {
            0 => 0,
            bytes => (self.time_of(bytes) as f64 / queue.part_of(class, &self.shares)) as Nanos,
        }
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

    /// Bytes that leave in a time, within what a queue may have.
    fn bytes_in(&self, time: Nanos) -> usize {
        let rate = u128::from(self.rate_bps().unwrap_or(0));
        let bytes = rate * u128::from(time) / 8_000_000_000;
        (bytes as usize).clamp(QUEUE_BYTES_MIN, QUEUE_BYTES_MAX)
    }
}

fn cost(size: usize) -> i128 {
    size as i128 * 8_000_000_000
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests fail by panicking")]
mod tests {
    use super::*;
    use crate::queue::{Load, Traffic};
    use crate::way::Leg;
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
        let load = Load::Traffic(Traffic {
            routed: false,
            flow: 0,
            inner: None,
        });
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
        assert!(pacer.is_congested(0));
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
    fn a_link_that_is_no_longer_paced_keeps_no_memory_for_it() {
        let mut pacer = Pacer::default();
        pacer.set_measured(Some(8_000_000));
        run(&mut pacer, MS / 10, 1000, 100 * MS);
        pacer.set_measured(None);
        assert_eq!(pacer.poll_timeout(), Some(0));
        assert!(release(&mut pacer, 100 * MS) > 30_000);
        pacer.set_measured(None);
        let queue = pacer.queue.as_deref().unwrap();
        assert!(queue.holds_nothing() && pacer.poll_timeout().is_none());
        assert_eq!(pacer.queue_reports().len(), 1, "counts stay");
    }
}
