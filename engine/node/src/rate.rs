//! The rate at which a link without a configured one is paced, from what its probes say: none while nothing tells of a queue.
//!
//! A queue stands in the network while even the quickest of some probes is late (as CoDel sees it, RFC 8289). While one does, what arrives at the far end
//! is what the bottleneck passes, and the link is paced at that, less what drains the queue: `rate = delivered × (1 − (queue − TARGET) / horizon)`. The
//! queue then stands here, where flows are told apart; unless `rivals` keep it full whatever we do. With no queue and packets that wait here, the rate grows, ever faster; loss alone never lowers it. In
//! the spirit of LEDBAT (RFC 6817: a target for the delay one adds), BBR (pacing at the delivered rate, leaving room now and then to see the way
//! empty) and cake-autorate. Called by `link` with each answered probe, and never by packets. Pure.

mod rivals;

use crate::Nanos;
use rivals::Rivals;

/// A queue beyond this begins the pacing, or asks for more than small corrections.
const ALARM: i64 = 15_000_000;
/// The queue that is left in the network, so that the bottleneck never runs dry.
const TARGET: i64 = 3_000_000;
/// Below this there is no queue.
const NEAR: i64 = 1_000_000;
/// A decision rests on so many probes …
const SAMPLES: u32 = 3;
/// … over so much time.
const WINDOW: Nanos = 60_000_000;
/// A queue is drained within this and two round trips: slower than it can be seen to drain, or the rate would swing.
const HORIZON: Nanos = 200_000_000;
/// The rate never falls below this share of what was delivered; and below this one only when the queue overflows or grows: a way that has become longer
/// looks like a queue at first, and is not to be punished for it.
const CUT: f64 = 0.5;
const GENTLE_CUT: f64 = 0.95;
/// From decision to decision; less is no growth. So many in a row count.
const GROWTH: i64 = 5_000_000;
const GROWS: u32 = 2;
/// Growth of one decision: at first, how it grows while there is still no queue, and at most.
const STEP: f64 = 0.01;
const STEP_GROWS: f64 = 1.5;
const STEP_MAX: f64 = 0.25;
/// So often the link leaves room for one decision, so that the least transit time is seen again …
const BREATHE: Nanos = 5_000_000_000;
/// … and so much.
const BREATH: f64 = 0.93;
/// The least transit time is that of the last one to two of these: clocks drift and routes change.
const MEMORY: Nanos = 10_000_000_000;
/// Beside rivals, flows settle with theirs by their own congestion control what each gets: the rate stays so far above what is delivered that it does not
/// interfere, and comes down no faster than this.
const HEADROOM: f64 = 1.25;
const LINGER: f64 = 0.95;
/// Less is not worth pacing.
const RATE_MIN: f64 = 1_000_000.0;
/// So long nothing had to wait: the link is free again.
const FREE_AFTER: Nanos = 30_000_000_000;
/// Loss beyond chance, when there is a queue, makes one decision enough to begin.
const OVERFLOW: f64 = 0.05;

/// What one answered probe says.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sample {
    /// When the probe left, by our clock.
    pub(crate) sent_at: Nanos,
    /// By the clocks of both ends: only changes mean something.
    pub(crate) transit: i64,
    /// Bits of IP packets that left between the last answered probe and this one, and the share that arrived, 0..1.
    pub(crate) bits: f64,
    pub(crate) arrived: f64,
    /// Between the arrivals of both, by the peer's clock.
    pub(crate) elapsed: Nanos,
}

/// What is known of the link besides.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Circumstances {
    /// Something had to wait for the rate since the last sample.
    pub(crate) limited: bool,
    /// Share that is lost by chance, 0..1.
    pub(crate) loss: f64,
    pub(crate) rtt: Nanos,
}

#[derive(Debug, Default)]
pub(crate) struct RateControl {
    /// Bits of IP packets a second; `None`: not paced.
    rate: Option<f64>,
    base: Least,
    window: Window,
    step: f64,
    /// Of the last decision, and in how many it grew.
    queue: i64,
    grows: u32,
    /// It overflowed or grew since it was last short.
    severe: bool,
    rivals: Rivals,
    /// It overflowed or grew since there are any.
    contested: bool,
    sent_at: Nanos,
    limited_at: Nanos,
    breathe_at: Nanos,
    /// The rate to come back to after a breath.
    breath_of: Option<f64>,
}

/// Sums since the last decision.
#[derive(Debug, Default)]
struct Window {
    opened: Nanos,
    /// Probes that left earlier say nothing of the rate in force.
    since: Nanos,
    samples: u32,
    least: i64,
    bits: f64,
    arrived_bits: f64,
    elapsed: Nanos,
    /// By our clock.
    sent_in: Nanos,
    limited: bool,
}

impl RateControl {
    /// Whether flows of others fill the bottleneck's queue too: what is lost is lost for want of room.
    pub(crate) fn has_rivals(&self) -> bool {
        self.rivals.are_there()
    }

    /// Whether the queue stands here and hardly any in the network: what is lost is lost by chance.
    pub(crate) fn is_in_hand(&self) -> bool {
        self.rate.is_some() && !self.rivals.are_there() && !self.severe && self.queue < ALARM
    }

    /// Takes a sample; the rate in force from now on.
    pub(crate) fn told(&mut self, now: Nanos, sample: Sample, link: Circumstances) -> Option<u64> {
        self.base.see(now, sample.transit, self.rivals.are_there());
        self.window.limited |= link.limited;
        if sample.sent_at >= self.window.since {
            self.window
                .add(sample, sample.sent_at.saturating_sub(self.sent_at));
            if self.window.samples >= SAMPLES && now >= self.window.opened + WINDOW {
                self.decide(now, link);
                self.window.since = self.rate.map_or(0, |_| now);
            }
        }
        self.sent_at = sample.sent_at;
        self.rate.map(|rate| rate as u64)
    }

    fn decide(&mut self, now: Nanos, link: Circumstances) {
        let window = std::mem::take(&mut self.window);
        self.window.opened = now;
        let seconds = window.elapsed as f64 / 1e9;
        if seconds <= 0.0 {
            return;
        }
        let queue = window.least.saturating_sub(self.base.get());
        let grew = queue > self.queue.saturating_add(GROWTH);
        self.grows = if grew { self.grows + 1 } else { 0 };
        self.queue = queue;
        let overflows = window.arrived_bits < window.bits * (1.0 - link.loss - OVERFLOW);
        let severe = overflows || self.grows >= GROWS;
        self.severe |= severe;
        let sent = window.bits * 1e9 / window.sent_in.max(1) as f64;
        let delivered = window.arrived_bits / seconds / (1.0 - link.loss.min(0.9));
        let least = if self.severe { CUT } else { GENTLE_CUT };
        let share = 1.0 - (queue - TARGET) as f64 / (HORIZON + 2 * link.rtt) as f64;
        let wanted = (delivered * share.max(least)).max(RATE_MIN);
        self.severe &= queue > ALARM;
        let Some(rate) = self.rate else {
            // A rise alone may be a longer way.
            if delivered > RATE_MIN && queue > ALARM && severe {
                self.rivals.begin(delivered);
                (self.limited_at, self.breathe_at) = (now, now + BREATHE);
                (self.step, self.breath_of) = (0.0, None);
                self.rate = Some(wanted);
            }
            return;
        };
        if window.limited {
            self.limited_at = now;
        } else if now > self.limited_at + FREE_AFTER {
            (self.rate, self.breath_of, self.rivals) = (None, None, Rivals::default());
            return;
        }
        if self.rivals.are_there() {
            self.contested |= severe;
            if !self.rivals.watch(now, delivered, queue > 2 * TARGET) {
                self.rate = Some((delivered * HEADROOM).max(rate * LINGER).max(RATE_MIN));
                return;
            }
            if !std::mem::take(&mut self.contested) {
                // They never lost anything: it is a longer way, and no queue.
                self.base.restart(now, window.least);
                return;
            }
            self.severe = queue > ALARM;
        }
        let before = self.breath_of.take();
        if window.limited
            && let Some(held) = self.rivals.told(now, sent, delivered, queue > 2 * TARGET)
        {
            self.rate = Some(held * HEADROOM);
            self.severe = false;
            return;
        }
        let rate = before.unwrap_or(rate);
        if queue > ALARM {
            self.step = 0.0;
            self.rate = Some(wanted);
            return;
        }
        let next = match before.is_some() || !window.limited {
            true => rate, // what was measured is not what the link can do
            false => self.correct(queue, rate, wanted),
        };
        self.rate = Some(next);
        if now >= self.breathe_at && queue < 2 * TARGET {
            self.breathe_at = now + BREATHE;
            self.breath_of = Some(next);
            self.rate = Some(next * BREATH);
        }
    }

    /// Small corrections around the target.
    fn correct(&mut self, queue: i64, rate: f64, wanted: f64) -> f64 {
        if queue > TARGET {
            self.step = 0.0;
            return wanted;
        }
        if queue > NEAR {
            self.step = 0.0;
            return rate * (1.0 + STEP / 2.0);
        }
        self.step = (self.step * STEP_GROWS).clamp(STEP, STEP_MAX);
        rate * (1.0 + self.step)
    }
}

impl Window {
    fn add(&mut self, sample: Sample, sent_in: Nanos) {
        self.least = match self.samples {
            0 => sample.transit,
            _ => self.least.min(sample.transit),
        };
        self.samples += 1;
        self.bits += sample.bits;
        self.arrived_bits += sample.bits * sample.arrived;
        self.elapsed = self.elapsed.saturating_add(sample.elapsed);
        self.sent_in = self.sent_in.saturating_add(sent_in);
    }
}

/// The least transit time of the last one to two `MEMORY`.
#[derive(Debug, Default)]
struct Least {
    /// Of this stretch and of the one before; `None`: nothing seen yet.
    least: Option<(i64, i64)>,
    since: Nanos,
}

impl Least {
    /// `crowded`: the queue of others never leaves, and their way would come to be taken for empty.
    fn see(&mut self, now: Nanos, transit: i64, crowded: bool) {
        let Some((current, before)) = self.least else {
            return self.restart(now, transit);
        };
        if crowded {
            self.since = now;
        }
        self.least = if now >= self.since + MEMORY {
            self.since = now;
            Some((transit, current))
        } else {
            Some((current.min(transit), before.min(transit)))
        };
    }

    fn restart(&mut self, now: Nanos, transit: i64) {
        self.least = Some((transit, transit));
        self.since = now;
    }

    fn get(&self) -> i64 {
        self.least
            .map_or(0, |(current, before)| current.min(before))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests fail by panicking")]
mod tests;
