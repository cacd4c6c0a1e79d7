//! One link direction: the order in which its parts act on a packet, and what they did.
//!
//! A packet meets, in this order: the black hole, the MTU, the rate queue, loss, delay with jitter,
//! corruption, duplication. A packet that is lost has used its share of the rate, as on a wire whose loss
//! is past the bottleneck. Pure; allocates nothing after it was made.

use crate::jitter;
use crate::loss::LossProcess;
use crate::queue::RateQueue;
use crate::rng::Rng;
use crate::settings::{Settings, SettingsError};
use serde::Serialize;

/// The model of one link direction.
#[derive(Clone, Debug)]
pub struct Link {
    settings: Settings,
    seed: u64,
    queue: RateQueue,
    loss: LossProcess,
    draws: Rng,
    last_departure_ns: u64,
    counters: Counters,
}

/// What becomes of one packet: no, one or two departures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verdict {
    copies: [Departure; 2],
    count: u8,
    dropped: Option<DropReason>,
}

/// One copy of a packet leaving the far end of the link.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Departure {
    /// When it arrives at the far end; never before the offer.
    pub at_ns: u64,
    /// The bit that is flipped, counted from the first byte's highest bit; below `8 * len`.
    pub flipped_bit: Option<u32>,
}

/// Why a link dropped a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DropReason {
    /// The link is a black hole.
    Blackhole,
    /// The packet is longer than the MTU.
    Mtu,
    /// The queue before the bottleneck was full.
    Queue,
    /// Lost on the way.
    Loss,
}

/// What a link did so far, in packets but for the bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Counters {
    pub offered: u64,
    pub offered_bytes: u64,
    /// Packets that arrive at least once.
    pub delivered: u64,
    pub delivered_bytes: u64,
    pub duplicated: u64,
    pub corrupted: u64,
    pub dropped_blackhole: u64,
    pub dropped_mtu: u64,
    pub dropped_queue: u64,
    pub dropped_loss: u64,
}

impl Link {
    /// Makes a link whose every decision follows from `seed` and the offers.
    ///
    /// # Errors
    /// Settings that are out of their bounds.
    pub fn new(settings: Settings, seed: u64) -> Result<Self, SettingsError> {
        settings.validate()?;
        Ok(Self {
            settings,
            seed,
            queue: RateQueue::default(),
            loss: LossProcess::new(settings.loss, seed, STREAM_STAYS),
            draws: Rng::new(seed, STREAM_DRAWS),
            last_departure_ns: 0,
            counters: Counters::default(),
        })
    }

    /// Decides what becomes of a packet of `len` layer-3 bytes that enters the link at `now_ns`.
    ///
    /// Times handed in must not go back.
    pub fn offer(&mut self, now_ns: u64, len: u32) -> Verdict {
        self.counters.offered += 1;
        self.counters.offered_bytes += u64::from(len);
        let sent_ns = match self.pass_bottleneck(now_ns, len) {
            Ok(sent_ns) => sent_ns,
            Err(reason) => return self.drop(reason),
        };
        if self.loss.loses(sent_ns, &mut self.draws) {
            return self.drop(DropReason::Loss);
        }
        let at_ns = self.arrival_ns(sent_ns);
        let flipped_bit = self.draws.chance(self.settings.corrupt_ratio).then(|| {
            self.counters.corrupted += 1;
            self.draws.below(u64::from(len) * 8) as u32
        });
        let copy = Departure { at_ns, flipped_bit };
        let mut verdict = self.deliver(copy, len);
        if self.draws.chance(self.settings.duplicate_ratio) {
            self.counters.duplicated += 1;
            verdict.copies[1] = copy;
            verdict.count = 2;
        }
        verdict
    }

    /// Takes a packet that shares queue and delay but is always delivered, once and whole.
    ///
    /// For what belongs to the first metre and not to the network behind it, such as ARP and neighbour
    /// discovery: were it lost, the emulator would show failures that no Internet path has.
    pub fn offer_sheltered(&mut self, now_ns: u64, len: u32) -> Verdict {
        self.counters.offered += 1;
        self.counters.offered_bytes += u64::from(len);
        let sent_ns = self
            .queue
            .push(now_ns, len, self.settings.rate_bps, u64::MAX)
            .unwrap_or(now_ns);
        let at_ns = self.arrival_ns(sent_ns);
        self.deliver(
            Departure {
                at_ns,
                flipped_bit: None,
            },
            len,
        )
    }

    /// Changes the settings at `now_ns`; what is queued or on its way stays as decided.
    ///
    /// A shorter delay does not let later packets overtake earlier ones, unless `reorder` is set.
    ///
    /// # Errors
    /// Settings that are out of their bounds; the link goes on with its old ones.
    pub fn set(&mut self, settings: Settings, now_ns: u64) -> Result<(), SettingsError> {
        settings.validate()?;
        if settings.rate_bps != self.settings.rate_bps {
            self.queue.rate_changes(now_ns, self.settings.rate_bps);
        }
        self.loss.set(settings.loss);
        self.settings = settings;
        Ok(())
    }

    /// The settings in force.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// What the link did so far.
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// Bytes that wait before the bottleneck, or pass it, at `now_ns`.
    pub fn backlog_bytes(&self, now_ns: u64) -> u64 {
        self.queue
            .backlog_bytes(now_ns, self.settings.rate_bps.unwrap_or(0))
    }

    fn pass_bottleneck(&mut self, now_ns: u64, len: u32) -> Result<u64, DropReason> {
        let settings = &self.settings;
        if settings.blackhole {
            return Err(DropReason::Blackhole);
        }
        if settings.mtu.is_some_and(|mtu| len > mtu) {
            return Err(DropReason::Mtu);
        }
        self.queue
            .push(now_ns, len, settings.rate_bps, settings.queue_bytes)
            .ok_or(DropReason::Queue)
    }

    fn arrival_ns(&mut self, sent_ns: u64) -> u64 {
        let settings = &self.settings;
        let mean_ns = sent_ns.saturating_add(settings.delay_ns);
        if settings.reorder {
            return mean_ns.saturating_add_signed(jitter::independent_ns(
                &mut self.draws,
                settings.jitter_ns,
            ));
        }
        let deviation_ns = jitter::continuous_ns(self.seed, sent_ns, settings.jitter_ns);
        // The clamp acts only after a change of settings: within one setting nothing overtakes.
        self.last_departure_ns = self
            .last_departure_ns
            .max(mean_ns.saturating_add_signed(deviation_ns));
        self.last_departure_ns
    }

    fn deliver(&mut self, copy: Departure, len: u32) -> Verdict {
        self.counters.delivered += 1;
        self.counters.delivered_bytes += u64::from(len);
        Verdict {
            copies: [copy, Departure::default()],
            count: 1,
            dropped: None,
        }
    }

    fn drop(&mut self, reason: DropReason) -> Verdict {
        let counter = match reason {
            DropReason::Blackhole => &mut self.counters.dropped_blackhole,
            DropReason::Mtu => &mut self.counters.dropped_mtu,
            DropReason::Queue => &mut self.counters.dropped_queue,
            DropReason::Loss => &mut self.counters.dropped_loss,
        };
        *counter += 1;
        Verdict {
            copies: [Departure::default(); 2],
            count: 0,
            dropped: Some(reason),
        }
    }
}

impl Verdict {
    /// The copies that arrive, none, one or two.
    pub fn departures(&self) -> &[Departure] {
        &self.copies[..usize::from(self.count)]
    }

    /// Why the packet does not arrive, where it does not.
    pub fn dropped(&self) -> Option<DropReason> {
        self.dropped
    }
}

/// Random streams of one seed: the stays of the loss states, and all that is drawn per packet.
const STREAM_STAYS: u64 = 1;
const STREAM_DRAWS: u64 = 2;
