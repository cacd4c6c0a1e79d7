//! Senders at the rate that their controls allow, over wires of the link model.

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

/// Somebody else's flow that fills the queue: its window grows by a packet for each that arrives until it first lost one, then by so much a second, and falls
/// to 0.7 when it lost.
struct Rival {
    window: f64,
    /// When what it sent is acknowledged, or known to be lost.
    flying: VecDeque<(Nanos, bool)>,
    has_lost: bool,
    cut_until: Nanos,
}

impl Rival {
    const GROWS: f64 = 20.0;

    fn new() -> Self {
        Self {
            window: 10.0,
            flying: VecDeque::new(),
            has_lost: false,
            cut_until: 0,
        }
    }

    fn step(&mut self, now: Nanos, wire: &mut Link) {
        while let Some((_, arrived)) = self.flying.pop_front_if(|answer| answer.0 <= now) {
            if !arrived && now >= self.cut_until {
                self.window *= 0.7;
                (self.has_lost, self.cut_until) = (true, now + 100 * MS);
            } else if !self.has_lost {
                self.window += 1.0;
            }
        }
        if self.has_lost {
            self.window += Self::GROWS / 1e3;
        }
        let back = 20 * MS;
        while (self.flying.len() as f64) < self.window {
            let verdict = wire.offer(now, PACKET);
            let at = verdict.departures().first().map(|copy| copy.at_ns + back);
            let known_at = self.flying.back().map_or(now, |last| last.0).max(now);
            self.flying
                .push_back((at.unwrap_or(known_at), at.is_some()));
        }
    }
}

/// One sender beside a rival; what it got, in Mbit/s.
fn run_beside(
    sender: &mut Sender,
    rival: &mut Rival,
    wire: &mut Link,
    now: &mut Nanos,
    time: Nanos,
) -> f64 {
    let before = sender.received;
    for _ in 0..time / MS {
        sender.step(*now, wire, 0.0);
        rival.step(*now, wire);
        *now += MS;
    }
    (sender.received - before) as f64 * f64::from(PACKET) * 8e3 / time as f64
}

#[test]
fn what_others_would_take_is_not_given_up() {
    let mut wire = Link::new(bottleneck(20), 5).unwrap();
    let (mut sender, mut rival, mut now) = (Sender::new(11), Rival::new(), 0);
    run_beside(&mut sender, &mut rival, &mut wire, &mut now, 10 * SECOND);
    let got = run_beside(&mut sender, &mut rival, &mut wire, &mut now, 60 * SECOND);
    assert!(got > 8.0, "{got} Mbit/s of 11 that it asks for");
}

#[test]
fn when_rivals_are_gone_the_queue_is_short_again() {
    let mut wire = Link::new(bottleneck(20), 5).unwrap();
    let (mut senders, mut rival, mut now) = ([Sender::new(30)], Rival::new(), 0);
    run_beside(
        &mut senders[0],
        &mut rival,
        &mut wire,
        &mut now,
        20 * SECOND,
    );
    assert!(senders[0].control.has_rivals());
    run(&mut senders, &mut wire, &mut now, 25 * SECOND);
    let then = run(&mut senders, &mut wire, &mut now, 20 * SECOND);
    assert!(!senders[0].control.has_rivals());
    assert!(then.through[0] > 19.0 && then.queue.1 < 15.0, "{then:?}");
}
