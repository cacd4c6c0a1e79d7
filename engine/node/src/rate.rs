//! The rate at which a link without a configured one is paced, from what its probes say: none while nothing tells of a queue.
//!
//! A queue stands in the network while even the quickest of some probes is late (as CoDel sees it, RFC 8289). While one does, what arrives at the far end
//! is what the bottleneck passes, and the link is paced at that, less what drains the queue: `rate = delivered × (1 − (queue − TARGET) / horizon)`. The
//! queue then stands here, where flows are told apart. With no queue and packets that wait here, the rate grows, ever faster; loss alone never lowers it. In
//! the spirit of LEDBAT (RFC 6817: a target for the delay one adds), BBR (pacing at the delivered rate, leaving room now and then to see the way
//! empty) and cake-autorate. Called by `link` with each answered probe, and never by packets. Pure.

use crate::Nanos;

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
/// So many decisions without effect on the queue, and it is somebody else's.
const STRIKES: u32 = 3;
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
    limited_at: Nanos,
    breathe_at: Nanos,
    /// The rate to come back to after a breath.
    breath_of: Option<f64>,
    long: Option<LongQueue>,
}

/// A queue beyond `ALARM` that is being drained.
#[derive(Clone, Copy, Debug)]
struct LongQueue {
    /// How long it was when it last grew or shrank, and decisions since.
    was: i64,
    strikes: u32,
    /// It overflowed or grew.
    severe: bool,
    /// The rate before; `None`: not paced.
    rate: Option<f64>,
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
    limited: bool,
}

impl RateControl {
    /// Takes a sample; the rate in force from now on.
    pub(crate) fn told(&mut self, now: Nanos, sample: Sample, link: Circumstances) -> Option<u64> {
        self.base.see(now, sample.transit);
        self.window.limited |= link.limited;
        if sample.sent_at >= self.window.since {
            self.window.add(sample);
            if self.window.samples >= SAMPLES && now >= self.window.opened + WINDOW {
                self.decide(now, link);
                self.window.since = self.rate.map_or(0, |_| now);
            }
        }
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
        if let Some(long) = &mut self.long {
            long.severe |= severe;
        }
        let delivered = window.arrived_bits / seconds / (1.0 - link.loss.min(0.9));
        let least = match self.long.map_or(severe, |long| long.severe) {
            true => CUT,
            false => GENTLE_CUT,
        };
        let share = 1.0 - (queue - TARGET) as f64 / (HORIZON + 2 * link.rtt) as f64;
        let wanted = (delivered * share.max(least)).max(RATE_MIN);
        let Some(rate) = self.rate else {
            // A rise alone may be a longer way.
            if delivered > RATE_MIN && queue > ALARM && severe {
                self.begin(now, queue);
                self.rate = Some(wanted);
            }
            return;
        };
        if window.limited {
            self.limited_at = now;
        } else if now > self.limited_at + FREE_AFTER {
            (self.rate, self.long, self.breath_of) = (None, None, None);
            return;
        }
        let before = self.breath_of.take();
        let rate = before.unwrap_or(rate);
        if queue > ALARM {
            self.step = 0.0;
            self.rate = self.shorten(now, queue, rate, wanted);
            return;
        }
        self.long = None;
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

    fn begin(&mut self, now: Nanos, queue: i64) {
        self.step = 0.0;
        self.breath_of = None;
        (self.limited_at, self.breathe_at) = (now, now + BREATHE);
        self.long = Some(LongQueue {
            was: queue,
            strikes: 0,
            severe: true,
            rate: None,
        });
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

    /// Drains a long queue, unless it turns out not to be ours: then it is part of the way, and the rate is as before.
    fn shorten(&mut self, now: Nanos, queue: i64, rate: f64, wanted: f64) -> Option<f64> {
        let long = self.long.get_or_insert(LongQueue {
            was: queue,
            strikes: 0,
            severe: false,
            rate: Some(rate),
        });
        let effect = if long.severe { long.was / 4 } else { GROWTH };
        if queue > long.was || queue < long.was - effect {
            (long.was, long.strikes) = (queue, 0);
        } else {
            long.strikes += 1;
        }
        if long.strikes < STRIKES {
            return Some(wanted);
        }
        let rate = long.rate;
        self.long = None;
        self.base
            .restart(now, self.base.get().saturating_add(queue));
        rate
    }
}

impl Window {
    fn add(&mut self, sample: Sample) {
        self.least = match self.samples {
            0 => sample.transit,
            _ => self.least.min(sample.transit),
        };
        self.samples += 1;
        self.bits += sample.bits;
        self.arrived_bits += sample.bits * sample.arrived;
        self.elapsed = self.elapsed.saturating_add(sample.elapsed);
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
    fn see(&mut self, now: Nanos, transit: i64) {
        let Some((current, before)) = self.least else {
            return self.restart(now, transit);
        };
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
mod tests {
    use std::collections::VecDeque;

    use overlayd_netem::{Link, Loss, Settings};

    use super::*;

    const MS: Nanos = 1_000_000;
    const SECOND: Nanos = 1_000 * MS;
    const MBIT: u64 = 1_000_000;
    const PACKET: u32 = 1_450;
    /// What the clocks of both ends differ by, and by how much more each second.
    const CLOCKS: i64 = -7_777_777_777;
    const DRIFT: i64 = 50_000;

    fn bottleneck(rate: u64) -> Settings {
        Settings {
            rate_bps: Some(rate * MBIT),
            queue_bytes: rate * MBIT / 8 / 4, // 250 ms
            delay_ns: 20 * MS,
            ..Settings::default()
        }
    }

    /// A sender of full packets at the rate that its control allows, over a wire that it may share.
    struct Sender {
        control: RateControl,
        /// Bits a second that want to be sent.
        demand: f64,
        credit: f64,
        limited: bool,
        sent: (u64, f64),
        arrived: VecDeque<Nanos>,
        received: u64,
        answers: VecDeque<(Nanos, Nanos, Nanos, (u64, f64))>,
        told: Option<(Nanos, u64, (u64, f64))>,
        rate: Option<u64>,
    }

    impl Sender {
        fn new(demand: u64) -> Self {
            Self {
                control: RateControl::default(),
                demand: (demand * MBIT) as f64,
                credit: 0.0,
                limited: false,
                sent: (0, 0.0),
                arrived: VecDeque::new(),
                received: 0,
                answers: VecDeque::new(),
                told: None,
                rate: None,
            }
        }

        /// One ms: packets, a probe each 20 ms, answers that have come back.
        fn step(&mut self, now: Nanos, wire: &mut Link, loss: f64) {
            let rate = self
                .rate
                .map_or(self.demand, |rate| self.demand.min(rate as f64));
            self.limited |= rate < self.demand;
            self.credit += rate / 1e3;
            let bits = f64::from(PACKET) * 8.0;
            while self.credit >= bits {
                self.credit -= bits;
                self.sent = (self.sent.0 + 1, self.sent.1 + bits);
                let verdict = wire.offer(now, PACKET);
                self.arrived
                    .extend(verdict.departures().iter().map(|copy| copy.at_ns));
            }
            if now.is_multiple_of(20 * MS) {
                self.sent.0 += 1;
                if let [copy, ..] = wire.offer(now, 80).departures() {
                    self.arrived.push_back(copy.at_ns);
                    self.answers
                        .push_back((copy.at_ns + 20 * MS, now, copy.at_ns, self.sent));
                }
            }
            while self.answers.front().is_some_and(|answer| answer.0 <= now) {
                let (_, sent_at, at, sent) = self.answers.pop_front().unwrap();
                while self.arrived.front().is_some_and(|arrival| *arrival <= at) {
                    self.arrived.pop_front();
                    self.received += 1;
                }
                let before = self.told.replace((at, self.received, sent));
                let Some((before_at, received, before)) = before else {
                    continue;
                };
                let drift = (now / SECOND).cast_signed() * DRIFT;
                let sample = Sample {
                    sent_at,
                    transit: (at - sent_at).cast_signed() + CLOCKS + drift,
                    bits: sent.1 - before.1,
                    arrived: (self.received - received) as f64 / (sent.0 - before.0) as f64,
                    elapsed: at - before_at,
                };
                let link = Circumstances {
                    limited: std::mem::take(&mut self.limited),
                    loss,
                    rtt: 40 * MS,
                };
                self.rate = self.control.told(now, sample, link);
            }
        }
    }

    /// What a stretch of time brought.
    #[derive(Debug)]
    struct Stretch {
        /// Mbit/s that each sender got through.
        through: Vec<f64>,
        /// ms of queue in the network: the mean, and the 99th percentile.
        queue: (f64, f64),
    }

    /// Runs senders over one wire from `now` for `time`.
    fn run(senders: &mut [Sender], wire: &mut Link, now: &mut Nanos, time: Nanos) -> Stretch {
        let loss = wire.settings().loss.mean_ratio();
        let before: Vec<u64> = senders.iter().map(|sender| sender.received).collect();
        let mut queues = Vec::new();
        for _ in 0..time / MS {
            for sender in senders.iter_mut() {
                sender.step(*now, wire, loss);
            }
            let rate = wire.settings().rate_bps.unwrap_or(u64::MAX);
            queues.push(wire.backlog_bytes(*now) as f64 * 8e3 / rate as f64);
            *now += MS;
        }
        let seconds = time as f64 / 1e9;
        let through = senders.iter().zip(before).map(|(sender, before)| {
            (sender.received - before) as f64 * f64::from(PACKET) * 8.0 / seconds / 1e6
        });
        let through = through.collect();
        let mean = queues.iter().sum::<f64>() / queues.len() as f64;
        queues.sort_by(f64::total_cmp);
        Stretch {
            through,
            queue: (mean, queues[queues.len() * 99 / 100]),
        }
    }

    #[test]
    fn an_overloaded_bottleneck_is_used_and_its_queue_stays_short() {
        for loss in [0.0, 0.01] {
            let settings = Settings {
                loss: Loss::Independent { ratio: loss },
                ..bottleneck(200)
            };
            let mut wire = Link::new(settings, 5).unwrap();
            let (mut senders, mut now) = ([Sender::new(100)], 0);
            run(&mut senders, &mut wire, &mut now, 2 * SECOND);
            assert_eq!(senders[0].rate, None);
            senders[0].demand = 800e6;
            let first = run(&mut senders, &mut wire, &mut now, 2 * SECOND);
            let then = run(&mut senders, &mut wire, &mut now, 58 * SECOND);
            assert!(first.through[0] > 140.0, "{first:?}");
            assert!(then.through[0] > 193.0 * (1.0 - loss), "{then:?}");
            assert!(then.queue.0 < 5.0 && then.queue.1 < 9.0, "{then:?}");
        }
    }

    #[test]
    fn loss_by_chance_does_not_pace() {
        let settings = Settings {
            loss: Loss::Independent { ratio: 0.1 },
            ..bottleneck(200)
        };
        let mut wire = Link::new(settings, 5).unwrap();
        let (mut senders, mut now) = ([Sender::new(150)], 0);
        run(&mut senders, &mut wire, &mut now, 20 * SECOND);
        assert_eq!(senders[0].rate, None);
    }

    #[test]
    fn a_bottleneck_that_changes_is_followed() {
        let mut wire = Link::new(bottleneck(200), 5).unwrap();
        let (mut senders, mut now) = ([Sender::new(800)], 0);
        run(&mut senders, &mut wire, &mut now, 10 * SECOND);
        for (rate, settles) in [(50, 4), (400, 4), (40, 6), (200, 4)] {
            let settings = Settings {
                queue_bytes: wire.settings().queue_bytes,
                ..bottleneck(rate)
            };
            wire.set(settings, now).unwrap();
            run(&mut senders, &mut wire, &mut now, settles * SECOND);
            let then = run(&mut senders, &mut wire, &mut now, 10 * SECOND);
            let share = then.through[0] / rate as f64;
            assert!(share > 0.95, "{rate}: {then:?}");
            assert!(then.queue.1 < 12.0, "{rate}: {then:?}");
        }
    }

    #[test]
    fn links_that_share_a_bottleneck_share_it() {
        let mut wire = Link::new(bottleneck(200), 5).unwrap();
        let (mut senders, mut now) = ([Sender::new(400), Sender::new(400)], 0);
        run(&mut senders, &mut wire, &mut now, 5 * SECOND);
        let then = run(&mut senders, &mut wire, &mut now, 60 * SECOND);
        assert!(then.through.iter().sum::<f64>() > 190.0, "{then:?}");
        assert!(
            then.through.iter().all(|through| *through > 50.0),
            "{then:?}"
        );
        assert!(then.queue.1 < 15.0, "{then:?}");
    }

    #[test]
    fn a_link_is_free_again_when_nothing_had_to_wait_for_a_while() {
        let mut wire = Link::new(bottleneck(200), 5).unwrap();
        let (mut senders, mut now) = ([Sender::new(800)], 0);
        run(&mut senders, &mut wire, &mut now, 5 * SECOND);
        assert!(senders[0].rate.is_some());
        senders[0].demand = 100e6;
        run(&mut senders, &mut wire, &mut now, 40 * SECOND);
        assert_eq!(senders[0].rate, None);
    }

    #[test]
    fn a_longer_way_and_the_queue_of_others_do_not_starve_it() {
        let mut wire = Link::new(bottleneck(200), 5).unwrap();
        let (mut senders, mut now) = ([Sender::new(150)], 0);
        run(&mut senders, &mut wire, &mut now, 5 * SECOND);
        let longer = Settings {
            delay_ns: 80 * MS,
            ..bottleneck(200)
        };
        wire.set(longer, now).unwrap();
        let then = run(&mut senders, &mut wire, &mut now, 5 * SECOND);
        assert!(then.through[0] > 110.0, "{then:?}");
        let later = run(&mut senders, &mut wire, &mut now, 10 * SECOND);
        assert!(later.through[0] > 145.0, "{later:?}");
    }
}
