//! What probes measure of a link: round trip, one-way loss and delay variation per direction, delivered rate.
//!
//! When probes are sent is `link`'s, whether a link lives `liveness`'s. An interval without a fresh sample reports nothing. Pure.

use overlayd_wire::{LinkProbe, LinkProbeReply};

use crate::Nanos;
use crate::congestion::StandingQueue;
use crate::rate::Sample;

/// Probes in flight whose state is remembered.
const MARKS: usize = 128;
/// How fast an estimate of loss forgets: with so many datagrams, but not within less than one time or more than another, in ns.
struct Memory {
    datagrams: f64,
    least: f64,
    most: f64,
}

/// The one that steers repair: a busy link has a new one half a second after a change, a thin one does not mistake a few losses for a rate.
const QUICK: Memory = Memory {
    datagrams: 500.0,
    least: 0.5e9,
    most: 4e9,
};
/// What a link loses by chance, as against for want of room.
const STEADY: Memory = Memory {
    datagrams: 0.0,
    least: 2e9,
    most: 2e9,
};
/// The rate estimate is the largest of this many report intervals.
const RATE_WINDOW: usize = 10;

#[derive(Debug)]
pub(crate) struct Meter {
    seq: u32,
    marks: Box<[Mark]>,
    out: Direction,
    inward: Direction,
    recent_loss: Fading,
    quick_loss: Fading,
    queue: StandingQueue,
    rate: RateWindow,
    interval: Interval,
}

/// What had been sent when a probe left.
#[derive(Clone, Copy, Debug, Default)]
struct Mark {
    seq: u32,
    bytes: u64,
}

/// Cumulative counts of one direction at the last probe or reply that told them, and its transit time.
#[derive(Clone, Copy, Debug, Default)]
struct Direction {
    last: Option<Told>,
}

#[derive(Clone, Copy, Debug)]
struct Told {
    sent: u32,
    received: u32,
    /// Difference of two clocks: only its changes mean something.
    transit: i64,
    /// Of the receiver.
    at: Nanos,
    bytes: u64,
}

/// Sums of one report interval.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Interval {
    pub(crate) samples: u32,
    pub(crate) rtt_min: Option<Nanos>,
    pub(crate) rtt_sum: Nanos,
    pub(crate) out: Sums,
    pub(crate) inward: Sums,
    pub(crate) delivered_bps: u64,
}

#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Sums {
    sent: u64,
    received: u64,
    jitter: Nanos,
    jitters: u32,
}

impl Sums {
    pub(crate) fn loss_ratio(&self) -> Option<f64> {
        let lost = self.sent.saturating_sub(self.received);
        (self.sent > 0).then(|| lost as f64 / self.sent as f64)
    }

    pub(crate) fn jitter_ns(&self) -> Option<Nanos> {
        self.jitter.checked_div(self.jitters.into())
    }
}

impl Meter {
    pub(crate) fn new() -> Self {
        Self {
            seq: 0,
            marks: vec![Mark::default(); MARKS].into_boxed_slice(),
            out: Direction::default(),
            inward: Direction::default(),
            recent_loss: Fading::default(),
            quick_loss: Fading::default(),
            queue: StandingQueue::default(),
            rate: RateWindow::default(),
            interval: Interval::default(),
        }
    }

    /// The probe to send now. `sent` counts it already; `bytes` are all sent on the link so far.
    pub(crate) fn probe(&mut self, now: Nanos, pace: u8, sent: u32, bytes: u64) -> LinkProbe {
        self.seq = (self.seq + 1) & 0xff_ffff;
        self.marks[self.seq as usize % MARKS] = Mark {
            seq: self.seq,
            bytes,
        };
        LinkProbe {
            pace,
            seq: self.seq,
            sent_ns: now,
            sent,
        }
    }

    pub(crate) fn next_seq(&self) -> u32 {
        (self.seq + 1) & 0xff_ffff
    }

    /// A probe of the peer arrived; `received` counts it already.
    pub(crate) fn probed(&mut self, now: Nanos, probe: &LinkProbe, received: u32) {
        let told = Told {
            sent: probe.sent,
            received,
            transit: now.wrapping_sub(probe.sent_ns).cast_signed(),
            at: now,
            bytes: 0,
        };
        self.inward.advance(told, &mut self.interval.inward);
    }

    /// The peer answered one of ours. The round trip, without the time that the peer held it.
    /// `full`: whether the link is, where that is known. `headers`: bytes of those under a datagram.
    /// With it what the probe says of the link's rate, but for a first one.
    pub(crate) fn replied(
        &mut self,
        now: Nanos,
        reply: &LinkProbeReply,
        full: Option<bool>,
        headers: usize,
    ) -> Option<(Nanos, Option<Sample>)> {
        let rtt = now
            .checked_sub(reply.sent_ns)?
            .checked_sub(reply.hold_ns.into())?;
        let interval = &mut self.interval;
        interval.samples += 1;
        interval.rtt_min = Some(interval.rtt_min.map_or(rtt, |least| least.min(rtt)));
        interval.rtt_sum += rtt;
        let mark = self.marks[reply.seq as usize % MARKS];
        let told = Told {
            sent: reply.sent,
            received: reply.received,
            transit: reply.received_ns.wrapping_sub(reply.sent_ns).cast_signed(),
            at: reply.received_ns,
            bytes: if mark.seq == reply.seq { mark.bytes } else { 0 },
        };
        let mut sample = None;
        let before = self.out.last;
        self.queue.told(now, told.transit);
        if let Some((sent, received)) = self.out.advance(told, &mut interval.out) {
            if !full.unwrap_or(self.is_full()) {
                self.recent_loss.add(now, sent, received, &STEADY);
                self.quick_loss.add(now, sent, received, &QUICK);
            }
            let before = before.unwrap_or(told);
            let elapsed = told.at.saturating_sub(before.at);
            if elapsed > 0 && before.bytes > 0 && told.bytes > before.bytes {
                let share = (f64::from(received) / f64::from(sent)).min(1.0);
                let arrived = (told.bytes - before.bytes) as f64 * share;
                self.rate.add(arrived, elapsed);
                let bytes = told.bytes - before.bytes + u64::from(sent) * headers as u64;
                sample = Some(Sample {
                    sent_at: reply.sent_ns,
                    transit: told.transit,
                    bits: bytes as f64 * 8.0,
                    arrived: share,
                    elapsed,
                });
            }
        }
        Some((rtt, sample))
    }

    /// Whether a queue stands in the network towards the peer: what is lost now is lost for want of room.
    pub(crate) fn is_full(&self) -> bool {
        self.queue.stands()
    }

    /// Recent loss towards the peer, 0..1, but for that of a full link.
    pub(crate) fn loss_ratio(&self) -> f64 {
        self.recent_loss.ratio()
    }

    /// What it has to be expected to be now, and what repair is sized by: an estimate and the deviation that so few datagrams leave room for.
    pub(crate) fn loss_bound(&self) -> f64 {
        let ratio = self.quick_loss.ratio().min(1.0);
        let deviation = (ratio * (1.0 - ratio) / self.quick_loss.sent.max(1.0)).sqrt();
        (ratio + deviation).min(1.0)
    }

    /// The most that the peer was seen to receive lately.
    pub(crate) fn rate_bps(&self) -> Option<u64> {
        self.rate.largest()
    }

    /// Ends a report interval.
    pub(crate) fn report(&mut self) -> Interval {
        self.interval.delivered_bps = self.rate.turn();
        std::mem::take(&mut self.interval)
    }

    /// The peer started anew: its counts are not comparable.
    pub(crate) fn peer_restarted(&mut self) {
        self.out.last = None;
        self.queue = StandingQueue::default();
        self.inward.last = None;
    }
}

impl Direction {
    /// How many were sent and received since the last telling, which may be more than were sent: a probe overtook them. `None`: first telling, out of order, or the counts began anew.
    fn advance(&mut self, told: Told, sums: &mut Sums) -> Option<(u32, u32)> {
        let last = self.last.replace(told)?;
        let sent = told.sent.wrapping_sub(last.sent);
        let received = told.received.wrapping_sub(last.received);
        if sent == 0 || sent > u32::MAX / 2 {
            // An older probe overtaken by a newer one: keep the newer.
            self.last = if sent > u32::MAX - (1 << 20) {
                Some(last)
            } else {
                Some(told)
            };
            return None;
        }
        if received > u32::MAX / 2 {
            return None;
        }
        sums.sent += u64::from(sent);
        sums.received += u64::from(received);
        let change = told.transit.wrapping_sub(last.transit).unsigned_abs();
        sums.jitter = sums.jitter.saturating_add(change);
        sums.jitters += 1;
        Some((sent, received))
    }
}

/// A ratio whose past fades with a time constant.
#[derive(Debug, Default)]
struct Fading {
    at: Nanos,
    sent: f64,
    lost: f64,
}

impl Fading {
    fn add(&mut self, now: Nanos, sent: u32, received: u32, memory: &Memory) {
        let elapsed = now.saturating_sub(self.at) as f64;
        let by_count = f64::from(sent) / memory.datagrams.max(1.0);
        let faded = (-by_count.clamp(elapsed / memory.most, elapsed / memory.least)).exp();
        self.at = now;
        self.sent = self.sent * faded + f64::from(sent);
        self.lost = self.lost * faded + f64::from(sent) - f64::from(received);
    }

    fn ratio(&self) -> f64 {
        if self.sent < 1.0 {
            0.0
        } else {
            (self.lost / self.sent).max(0.0)
        }
    }
}

/// Delivered rate: of the current interval, and the largest of the last ones.
#[derive(Debug, Default)]
struct RateWindow {
    bytes: f64,
    elapsed: Nanos,
    past: [u64; RATE_WINDOW],
    place: usize,
}

impl RateWindow {
    fn add(&mut self, bytes: f64, elapsed: Nanos) {
        self.bytes += bytes;
        self.elapsed = self.elapsed.saturating_add(elapsed);
    }

    fn turn(&mut self) -> u64 {
        let rate = match self.elapsed {
            0 => 0,
            elapsed => (self.bytes * 8e9 / elapsed as f64) as u64,
        };
        (self.bytes, self.elapsed) = (0.0, 0);
        self.place = (self.place + 1) % RATE_WINDOW;
        self.past[self.place] = rate;
        rate
    }

    fn largest(&self) -> Option<u64> {
        self.past.iter().copied().max().filter(|rate| *rate > 0)
    }
}
