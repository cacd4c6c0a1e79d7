//! A link as this node uses it: where it leads, whether it lives, what it may carry, what is under repair on it. State and its small rules.
//!
//! Identity is (uplink, remote, lane); a link without a configured remote learns it from the peer's handshake. Sending, sealing and the order
//! of stages are not here. Pure.

use std::net::SocketAddr;
use std::sync::Arc;

use overlayd_wire::LinkProbe;

use crate::liveness::{FAST, Liveness, STAND_BY};
use crate::mtu::MtuSearch;
use crate::pace;
use crate::pacer::Pacer;
use crate::probe::Meter;
use crate::queue::Share;
use crate::rate::{Circumstances, RateControl, Sample};
use crate::repair::{Outlook, Policy, Protector, Recoverer, Tally};
use crate::schedule::Exit;
use crate::snapshot::{self, CLASSES_MAX};
use crate::{Nanos, RepairReport};

/// Traffic keeps a link's fast probes going for this long.
pub(crate) const BUSY: Nanos = 2_000_000_000;
/// Others' datagrams are traffic when so many come within the time below: a path in use brings 25 by its probes alone, one that stands by for both its
/// ends 10.
const RELAYED_MIN: u32 = 15;
const RELAYED_WITHIN: Nanos = 500_000_000;
/// While probes are rare because the budget binds, and data proves that the link lives, it is still measured so often.
const MEASURED: Nanos = 10 * FAST;
/// A challenge to a new remote address waits this long for its answer.
const CHALLENGE_PATIENCE: Nanos = 1_000_000_000;
/// And it is asked again after this.
const CHALLENGE_AGAIN: Nanos = 100_000_000;

pub(crate) struct Link {
    pub(crate) id: u16,
    pub(crate) peer: u16,
    /// As in the snapshot: the link's identity, wherever the peer has moved since.
    pub(crate) uplink: u8,
    pub(crate) configured: Option<SocketAddr>,
    pub(crate) reflexive: Option<SocketAddr>,
    pub(crate) lane: u8,
    /// Which of the links that this node has had it is; handshakes tell the peer, whose numbers have to begin again with ours.
    pub(crate) numbering: u16,
    /// Where datagrams leave.
    pub(crate) exit: Exit,
    /// Datagrams can be sealed.
    pub(crate) ready: bool,
    /// Among those whose due time may have changed.
    pub(crate) touched: bool,
    pub(crate) preference: u8,
    pub(crate) mtu: MtuSearch,
    pub(crate) meter: Meter,
    rate: RateControl,
    pub(crate) liveness: Liveness,
    pub(crate) challenge: Option<Challenge>,
    /// Datagrams and bytes of UDP payload, of this link's sessions.
    pub(crate) received: u64,
    pub(crate) received_bytes: u64,
    pub(crate) probe_at: Nanos,
    /// When the last one left that was not asked for by suspicion or a move; 0: the next one need not wait.
    probed_at: Nanos,
    /// The peer's pace, as it told last.
    pub(crate) told_pace: u8,
    /// It carries traffic until then.
    busy_until: Nanos,
    /// It stands by for traffic until then.
    ready_until: Nanos,
    /// Others' datagrams, and since when they are counted.
    relayed: (Nanos, u32),
    /// Whether the last report called it up.
    pub(crate) told_up: bool,
    /// Places of classes in use in the two lists below.
    pub(crate) classes: u16,
    pub(crate) protectors: [Option<Box<Protector>>; CLASSES_MAX],
    pub(crate) recoverers: [Option<Box<Recoverer>>; CLASSES_MAX],
}

/// A new remote address that has to prove that it receives us.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Challenge {
    pub(crate) uplink: u8,
    pub(crate) remote: SocketAddr,
    pub(crate) nonce: [u8; 8],
    pub(crate) until: Nanos,
    again_at: Nanos,
}

impl Link {
    pub(crate) fn new(
        link: &snapshot::Link,
        numbering: u16,
        shares: &Arc<[Share]>,
        now: Nanos,
    ) -> Self {
        let mut pacer = Pacer::default();
        pacer.set_shares(shares);
        pacer.set_rate(link.rate_bps);
        Self {
            id: link.id,
            peer: link.peer,
            uplink: link.uplink,
            configured: link.remote,
            reflexive: link.reflexive,
            lane: link.lane,
            numbering,
            exit: Exit::new(link.uplink, link.remote, pacer),
            ready: false,
            touched: false,
            preference: link.preference,
            mtu: MtuSearch::new(link.mtu),
            meter: Meter::new(),
            rate: RateControl::default(),
            liveness: Liveness::new(),
            challenge: None,
            received: 0,
            received_bytes: 0,
            probe_at: now,
            probed_at: 0,
            told_pace: 0,
            busy_until: 0,
            ready_until: 0,
            relayed: (0, 0),
            told_up: false,
            classes: 0,
            protectors: [const { None }; CLASSES_MAX],
            recoverers: [const { None }; CLASSES_MAX],
        }
    }

    /// Whether the snapshot's link is this one.
    pub(crate) fn is(&self, link: &snapshot::Link) -> bool {
        (self.peer, self.uplink, self.configured, self.lane)
            == (link.peer, link.uplink, link.remote, link.lane)
    }

    /// Takes over what a new snapshot says of the same link.
    pub(crate) fn update(&mut self, link: &snapshot::Link, shares: &Arc<[Share]>) {
        self.exit.pacer.set_shares(shares);
        self.id = link.id;
        self.reflexive = link.reflexive;
        self.preference = link.preference;
        self.mtu.set_limit(link.mtu);
        self.exit.pacer.set_rate(link.rate_bps);
    }

    /// Bytes of UDP payload that a datagram may have.
    pub(crate) fn datagram_bytes(&self) -> usize {
        usize::from(self.mtu.proven()) - self.exit.ip_and_udp()
    }

    /// Something needs the link now: probe it at the fast pace for a while.
    pub(crate) fn needed(&mut self, now: Nanos) {
        if !self.is_in_use(now) {
            self.probe_at = self.probe_at.min(now + FAST);
        }
        self.busy_until = now + BUSY;
    }

    /// Something may soon need the link.
    pub(crate) fn stands_by(&mut self, now: Nanos) {
        if !self.is_needed(now) {
            self.probe_at = self.probe_at.min(now + STAND_BY);
        }
        self.ready_until = now + BUSY;
    }

    /// What it stands by for is suspected: it is looked at now.
    pub(crate) fn hurry(&mut self, now: Nanos) {
        if !self.is_in_use(now) {
            self.probe_at = now;
        }
        self.busy_until = self.busy_until.max(now + 2 * FAST);
    }

    /// It is about to take another node's datagram.
    pub(crate) fn relays(&mut self, now: Nanos) {
        let (since, count) = &mut self.relayed;
        if now.saturating_sub(*since) >= RELAYED_WITHIN {
            (*since, *count) = (now, 0);
        }
        *count += 1;
        if *count >= RELAYED_MIN {
            self.needed(now);
        }
    }

    fn is_in_use(&self, now: Nanos) -> bool {
        self.busy_until > now
    }

    /// Whether it carries traffic, or stands by for it.
    pub(crate) fn is_needed(&self, now: Nanos) -> bool {
        self.is_in_use(now) || self.ready_until > now
    }

    /// Whether it came up or went down since the last report.
    pub(crate) fn has_turned(&self) -> bool {
        self.told_up != self.liveness.is_up()
    }

    /// Whether a probe is due; one that was at the pace of before waits as long as the pace of now asks for. `steps`: this node's.
    pub(crate) fn is_probe_due(&mut self, now: Nanos, steps: u8) -> bool {
        if self.probe_at <= now && self.steps(steps) > 0 && !self.liveness.is_suspect(now) {
            let least = self.probed_at + self.interval(now, steps) * 3 / 5;
            self.probe_at = self.probe_at.max(least);
        }
        self.probe_at <= now
    }

    /// A probe leaves: the next one is due then. `jitter`: 0..1.
    pub(crate) fn probed(&mut self, now: Nanos, jitter: f64, steps: u8) {
        // Steps are taken for all links at once: those that are idle would go on in step.
        let spread = if self.steps(steps) > 0 { 0.8 } else { 0.2 };
        let wait = match self.interval(now, steps) {
            least if least < pace::idle(0) => least,
            idle => (idle as f64 * (1.0 + spread * (jitter - 0.5))) as Nanos,
        };
        self.probe_at = now + wait;
        self.probed_at = now;
    }

    /// Whether a probe is due within half the time between two.
    pub(crate) fn is_probe_near(&self, now: Nanos, steps: u8) -> bool {
        self.ready && self.probe_at <= now + self.interval(now, steps) / 2
    }

    /// An answer takes a probe along: the next one waits a little longer than the peer's, which then can ask first again.
    pub(crate) fn postpone_probe(&mut self, now: Nanos, jitter: f64, steps: u8) {
        self.probed(now, jitter, steps);
        self.probe_at += self.interval(now, steps) / 4;
    }

    /// The address of the peer is another: that is looked at soon.
    pub(crate) fn probe_at_once(&mut self, now: Nanos) {
        (self.probe_at, self.probed_at) = (now, 0);
    }

    /// Data that was sent then has arrived. Where the budget binds, that is as good as an answered probe.
    pub(crate) fn proved(&mut self, now: Nanos, sent: Nanos, steps: u8) {
        self.liveness.proved(sent);
        let interval = self.interval(now, steps);
        if interval > FAST && self.is_in_use(now) {
            let until = (now + interval).min(self.probed_at + MEASURED);
            self.probe_at = self.probe_at.max(until);
        }
    }

    /// Both ends have to bear it.
    fn steps(&self, own: u8) -> u8 {
        own.max(self.told_pace)
    }

    fn interval(&self, now: Nanos, steps: u8) -> Nanos {
        let steps = self.steps(steps);
        match self.liveness.is_suspect(now) {
            true => FAST,
            false if self.is_in_use(now) => pace::in_use(steps),
            false if self.is_needed(now) => pace::standing_by(steps),
            false => pace::idle(steps),
        }
    }

    /// The probe to send now.
    pub(crate) fn probe(&mut self, now: Nanos, steps: u8) -> LinkProbe {
        let sent = self.exit.sent as u32 + 1;
        self.meter.probe(now, steps, sent, self.exit.sent_bytes)
    }

    /// Bytes of the IP packet of a frame that is not padded.
    pub(crate) fn packet_of(&self, frame: usize) -> usize {
        self.exit.ip_and_udp() + overlayd_wire::envelope::OVERHEAD + frame
    }

    /// When the link wants to be tended next.
    pub(crate) fn poll_timeout(&self, now: Nanos) -> Nanos {
        if !self.ready {
            return Nanos::MAX;
        }
        let repair = self.classes().map(usize::from).flat_map(|class| {
            let sender = self.protectors[class].as_deref();
            let receiver = self.recoverers[class].as_deref();
            [
                sender.and_then(Protector::poll_timeout),
                receiver.and_then(Recoverer::poll_timeout),
            ]
        });
        let suspect = self.liveness.suspect_at().filter(|at| *at > now);
        let mtu = self.liveness.is_up().then(|| self.mtu.poll_timeout());
        [
            Some(self.probe_at),
            self.liveness.verdict_at(),
            suspect,
            mtu,
            self.exit.pacer.poll_timeout(),
        ]
        .into_iter()
        .chain(repair)
        .flatten()
        .min()
        .map_or(Nanos::MAX, |at| at.max(now + 1))
    }

    /// Whether what is lost now is lost for want of room, where that is known without looking at its delay. With a configured rate the queue stands here,
    /// and the network's is none of ours; beside rivals there always is one.
    pub(crate) fn known_full(&self) -> Option<bool> {
        match self.exit.pacer.has_configured_rate() {
            true => Some(false),
            false if self.rate.has_rivals() => Some(true),
            false if self.rate.is_in_hand() => Some(false),
            false => None,
        }
    }

    /// Where the link is full: the share that it lost before it was.
    pub(crate) fn full_loss(&self) -> Option<f64> {
        let full = self.known_full().unwrap_or(self.meter.is_full());
        full.then(|| self.meter.loss_ratio())
    }

    /// A probe was answered: the link is paced, or no longer, by what that says.
    pub(crate) fn steer(&mut self, now: Nanos, sample: Sample) {
        self.exit.pacer.set_rtt(self.rtt());
        if self.exit.pacer.has_configured_rate() {
            return;
        }
        let link = Circumstances {
            limited: self.exit.pacer.take_limited(),
            loss: self.meter.loss_ratio(),
            rtt: self.rtt(),
        };
        let rate = self.rate.told(now, sample, link);
        self.exit.pacer.set_measured(rate);
    }

    /// What repair is sized by.
    pub(crate) fn outlook(&self) -> Outlook {
        Outlook {
            rtt: self.rtt(),
            loss_ratio: self.meter.loss_bound(),
            full_loss: self.full_loss(),
        }
    }

    /// Round trip for timers of repair.
    pub(crate) fn rtt(&self) -> Nanos {
        self.liveness.rtt().unwrap_or(50_000_000)
    }

    pub(crate) fn protector(&mut self, class: u8, policy: &Policy) -> &mut Protector {
        self.classes |= 1 << class;
        self.protectors[usize::from(class)]
            .get_or_insert_with(|| Box::new(Protector::new(policy, SYMBOL_BYTES)))
            .as_mut()
    }

    pub(crate) fn recoverer(&mut self, class: u8, policy: &Policy) -> &mut Recoverer {
        self.classes |= 1 << class;
        self.recoverers[usize::from(class)]
            .get_or_insert_with(|| Box::new(Recoverer::new(policy, SYMBOL_BYTES)))
    }

    /// The class numbers in use.
    pub(crate) fn classes(&self) -> impl Iterator<Item = u8> + use<> {
        let mut left = self.classes;
        std::iter::from_fn(move || {
            let class = left.trailing_zeros();
            left &= left.checked_sub(1)?;
            Some(class as u8)
        })
    }

    /// The peer has started anew: numbers count from their start again, and nothing sent before will be asked for.
    pub(crate) fn peer_restarted(&mut self) {
        self.meter.peer_restarted();
        self.rate = RateControl::default();
        self.exit.pacer.set_measured(None);
        for sender in self.protectors.iter_mut().flatten() {
            sender.restart();
        }
        for receiver in self.recoverers.iter_mut().flatten() {
            receiver.restart();
        }
    }

    /// A new snapshot says what the classes want of repair.
    pub(crate) fn set_policies(&mut self, policies: &[Policy]) {
        for class in self.classes() {
            let policy = Policy::among(policies, class);
            if let Some(sender) = &mut self.protectors[usize::from(class)] {
                sender.set_policy(policy);
            }
            if let Some(receiver) = &mut self.recoverers[usize::from(class)] {
                receiver.set_policy(policy);
            }
        }
    }

    /// A datagram came from another address: the nonce to send there now, if any.
    pub(crate) fn challenge(
        &mut self,
        now: Nanos,
        uplink: u8,
        remote: SocketAddr,
        nonce: [u8; 8],
    ) -> Option<[u8; 8]> {
        let open = self.challenge.filter(|challenge| now < challenge.until);
        let nonce = match open {
            Some(open) if (open.uplink, open.remote) != (uplink, remote) => return None,
            Some(open) if now < open.again_at => return None,
            Some(open) => open.nonce,
            None => nonce,
        };
        let until = open.map_or(now + CHALLENGE_PATIENCE, |open| open.until);
        let again_at = now + CHALLENGE_AGAIN;
        self.challenge = Some(Challenge {
            uplink,
            remote,
            nonce,
            until,
            again_at,
        });
        Some(nonce)
    }

    /// The challenged address has answered: datagrams go there from now on.
    pub(crate) fn challenge_answered(&mut self, nonce: [u8; 8]) -> bool {
        let Some(challenge) = self.challenge.take_if(|challenge| challenge.nonce == nonce) else {
            return false;
        };
        self.exit.remote = Some(challenge.remote);
        self.exit.uplink = challenge.uplink;
        self.mtu.restart();
        true
    }

    pub(crate) fn repair_reports(&self) -> Vec<RepairReport> {
        self.classes()
            .map(|class| self.repair_report(class))
            .collect()
    }

    fn repair_report(&self, class: u8) -> RepairReport {
        let sender = self.protectors[usize::from(class)].as_deref();
        let receiver = self.recoverers[usize::from(class)].as_deref();
        let tally = receiver.map_or(Tally::default(), |receiver| receiver.tally);
        RepairReport {
            class,
            sent: sender.map_or(0, |sender| sender.sent),
            retransmitted: sender.map_or(0, |sender| sender.retransmitted),
            repair_sent: sender.map_or(0, |sender| sender.repair_sent),
            received: tally.received,
            recovered_by_retransmission: tally.recovered_by_retransmission,
            recovered_by_code: tally.recovered_by_code,
            lost: tally.lost,
            bursts: tally.bursts,
            missed: tally.missed,
            waits: tally.waits,
        }
    }
}

/// The longest source symbol: a frame of the largest usual underlay packet. Longer ones are sent without repair.
const SYMBOL_BYTES: usize = 1472;
