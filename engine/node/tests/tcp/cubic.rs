//! A TCP flow as far as congestion goes: CUBIC (RFC 9438) with HyStart's delay, selective acknowledgements, retransmission by three later ones.
//!
//! Packets and not bytes are counted; the receiver acknowledges what has come in the order of coming. Pure.

use std::collections::{BTreeMap, BTreeSet};

use crate::mesh::MS;

const SCALE: f64 = 0.4;
const BACK_TO: f64 = 0.7;
/// Transmissions that have to be acknowledged before one is taken for lost.
const LATER: u64 = 3;
const TIMEOUT_MIN: u64 = 300 * MS;
const HYSTART_FROM: f64 = 16.0;
const HYSTART_SAMPLES: u32 = 8;
/// Acknowledgements this close to each other are of one train.
const HYSTART_TRAIN: u64 = 2 * MS;

/// One transmission of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Copy {
    pub number: u32,
    pub transmission: u64,
}

pub struct Cubic {
    pub window: f64,
    threshold: f64,
    most: f64,
    /// Since when it grows, and from where.
    epoch: Option<(u64, f64)>,
    next: u32,
    transmissions: u64,
    flying: BTreeMap<u64, (u32, u64)>,
    again: BTreeSet<u32>,
    /// Taken for lost, which may be wrong.
    missed: BTreeSet<u64>,
    /// In recovery until all before this packet has come; retransmissions that were not proven needless, and the window to come back to if all are.
    recovery: u32,
    in_doubt: u32,
    before: Option<(f64, f64)>,
    /// A quarter of a round trip for each round in which packets came out of order.
    tolerance: u64,
    tolerance_at: u64,
    /// The newest that came: which, and when it was sent.
    newest: (u64, u64),
    cumulative: u32,
    heard_at: u64,
    pub rtt: u64,
    pub rtt_min: u64,
    round: Round,
    reduction: Reduction,
    /// The last transmission of a packet that was sent again.
    latest: BTreeMap<u32, u64>,
    /// The receiver: copies in the order of coming, packets that wait for others, and the first that has not come.
    came: Vec<(Copy, u32)>,
    acknowledged: usize,
    apart: BTreeSet<u32>,
    pub got: u32,
    /// Retransmissions, reductions of the window.
    pub resent: u64,
    pub cuts: u64,
    pub undone: u64,
    pub timeouts: u64,
}

#[derive(Default)]
struct Round {
    until: u64,
    least: u64,
    samples: u32,
    since: u64,
    /// The last acknowledgement of its train.
    train: u64,
}

/// Proportional rate reduction (RFC 6937).
#[derive(Default)]
struct Reduction {
    from: f64,
    delivered: u64,
    sent: u64,
    room: u64,
}

impl Cubic {
    pub fn new() -> Self {
        Self {
            window: 10.0,
            threshold: f64::MAX,
            most: 0.0,
            epoch: None,
            next: 0,
            transmissions: 0,
            flying: BTreeMap::new(),
            again: BTreeSet::new(),
            missed: BTreeSet::new(),
            recovery: 0,
            in_doubt: 0,
            before: None,
            tolerance: 0,
            tolerance_at: 0,
            newest: (0, 0),
            cumulative: 0,
            heard_at: 0,
            rtt: 0,
            rtt_min: u64::MAX,
            round: Round::default(),
            reduction: Reduction::default(),
            latest: BTreeMap::new(),
            came: Vec::new(),
            acknowledged: 0,
            apart: BTreeSet::new(),
            got: 0,
            resent: 0,
            cuts: 0,
            undone: 0,
            timeouts: 0,
        }
    }

    /// The next packet to send, if the window has room.
    pub fn send(&mut self, now: u64) -> Option<Copy> {
        let timeout = (2 * self.rtt).max(TIMEOUT_MIN);
        if !self.flying.is_empty() && now > self.heard_at + timeout {
            self.again
                .extend(self.flying.values().map(|(number, _)| number));
            self.flying.clear();
            self.reduce();
            self.before = None;
            self.window = 1.0;
            self.timeouts += 1;
            self.heard_at = now;
        }
        if self.flying.len() as f64 >= self.window
            || self.is_recovering() && self.reduction.room == 0
        {
            return None;
        }
        self.reduction.room = self.reduction.room.saturating_sub(1);
        self.reduction.sent += 1;
        if self.flying.is_empty() {
            self.heard_at = now;
        }
        let number = match self.again.pop_first() {
            Some(number) => {
                self.resent += 1;
                self.latest.insert(number, self.transmissions + 1);
                number
            }
            None => {
                self.next += 1;
                self.next - 1
            }
        };
        self.transmissions += 1;
        let transmission = self.transmissions;
        self.flying.insert(transmission, (number, now));
        Some(Copy {
            number,
            transmission,
        })
    }

    /// At the receiver.
    pub fn receive(&mut self, copy: Copy) {
        if copy.number >= self.got {
            self.apart.insert(copy.number);
        }
        while self.apart.remove(&self.got) {
            self.got += 1;
        }
        self.came.push((copy, self.got));
    }

    /// What an acknowledgement that leaves now would tell, if anything is new.
    pub fn acknowledgement(&mut self) -> usize {
        self.came.len()
    }

    /// All of the first `count` copies have come.
    pub fn acknowledge(&mut self, now: u64, count: usize) {
        let flying = self.flying.len();
        for place in self.acknowledged..count {
            let (copy, cumulative) = self.came[place];
            let Copy {
                number,
                transmission,
            } = copy;
            self.cumulative = self.cumulative.max(cumulative);
            self.heard_at = now;
            self.again.remove(&number);
            if self.missed.remove(&transmission) {
                self.was_needless(now);
            }
            let sent = self.flying.remove(&transmission);
            if let Some(latest) = self.latest.remove(&number) {
                self.flying.remove(&latest); // of which nothing is wanted any more
            }
            let Some((_, sent_at)) = sent else {
                continue;
            };
            self.newest = self.newest.max((transmission, sent_at));
            self.rtt = now - sent_at;
            self.rtt_min = self.rtt_min.min(self.rtt);
            if !self.is_recovering() {
                self.grow(now);
            }
        }
        // One sample for an acknowledgement: of the newest that it tells of.
        if count > self.acknowledged && self.window < self.threshold {
            self.hystart(now);
        }
        self.acknowledged = self.acknowledged.max(count);
        let delivered = flying - self.flying.len();
        self.find_lost(now);
        if self.is_recovering() {
            self.spread_reduction(delivered as u64);
        }
    }

    fn is_recovering(&self) -> bool {
        self.cumulative < self.recovery
    }

    /// How much may be sent for what was delivered.
    fn spread_reduction(&mut self, delivered: u64) {
        let reduction = &mut self.reduction;
        reduction.delivered += delivered;
        let (flying, to) = (self.flying.len() as u64, self.window as u64);
        reduction.room = if flying > to {
            let share = self.window / reduction.from.max(1.0);
            ((reduction.delivered as f64 * share).ceil() as u64).saturating_sub(reduction.sent)
        } else {
            let behind = reduction.delivered.saturating_sub(reduction.sent);
            (behind.max(delivered) + 1).min(to - flying)
        };
        if reduction.sent == 0 {
            reduction.room = reduction.room.max(1);
        }
    }

    /// One that three later ones have overtaken, by more time than packets lately came out of order.
    fn find_lost(&mut self, now: u64) {
        let (newest, _) = self.newest;
        let overtaken = self.flying.range(..newest.saturating_sub(LATER - 1));
        let waited =
            |sent_at: u64| self.tolerance == 0 || now > sent_at + self.rtt + self.tolerance;
        let lost = overtaken.filter(|(_, (_, sent_at))| waited(*sent_at));
        let lost: Vec<(u64, u32)> = lost.map(|(copy, (number, _))| (*copy, *number)).collect();
        for (transmission, number) in lost {
            if !self.is_recovering() {
                self.reduce();
            }
            self.flying.remove(&transmission);
            self.missed.insert(transmission);
            self.again.insert(number);
            self.in_doubt += 1;
        }
    }

    /// A packet taken for lost came after all.
    fn was_needless(&mut self, now: u64) {
        if now >= self.tolerance_at {
            self.tolerance = (self.tolerance + self.rtt_min / 4).min(self.rtt);
            self.tolerance_at = now + self.rtt;
        }
        self.in_doubt = self.in_doubt.saturating_sub(1);
        if self.in_doubt == 0
            && let Some((window, most)) = self.before.take()
        {
            (self.window, self.most) = (self.window.max(window), most);
            self.recovery = self.cumulative;
            self.undone += 1;
        }
    }

    fn grow(&mut self, now: u64) {
        if self.window < self.threshold {
            self.window += 1.0;
            return;
        }
        let (since, from) = *self.epoch.get_or_insert((now, self.window));
        self.most = self.most.max(from);
        let seconds = |time: u64| time as f64 / 1e9;
        let time = seconds(now - since + self.rtt_min);
        let to_most = ((self.most - from) / SCALE).cbrt();
        let cubic = self.most + SCALE * (time - to_most).powi(3);
        let reno = from + 3.0 * (1.0 - BACK_TO) / (1.0 + BACK_TO) * time / seconds(self.rtt);
        let target = cubic.max(reno).min(self.window * 1.5);
        self.window += ((target - self.window) / self.window).max(0.01 / self.window);
    }

    fn hystart(&mut self, now: u64) {
        if self.newest.0 >= self.round.until {
            self.round = Round {
                until: self.transmissions + 1,
                least: u64::MAX,
                samples: 0,
                since: now,
                train: now,
            };
        }
        if now <= self.round.train + HYSTART_TRAIN {
            self.round.train = now;
            if self.window >= HYSTART_FROM && now > self.round.since + self.rtt_min / 2 {
                self.threshold = self.window;
            }
        }
        self.round.least = self.round.least.min(self.rtt);
        self.round.samples += 1;
        let later = (self.rtt_min / 8).clamp(4 * MS, 16 * MS);
        if self.round.samples > HYSTART_SAMPLES
            && self.window >= HYSTART_FROM
            && self.round.least > self.rtt_min + later
        {
            self.threshold = self.window;
        }
    }

    fn reduce(&mut self) {
        self.before = Some((self.window, self.most));
        self.reduction = Reduction {
            from: self.flying.len() as f64,
            ..Reduction::default()
        };
        self.in_doubt = 0;
        self.most = match self.window < self.most {
            true => self.window * (1.0 + BACK_TO) / 2.0,
            false => self.window,
        };
        self.window = (self.window * BACK_TO).max(2.0);
        self.threshold = self.window;
        self.epoch = None;
        self.recovery = self.next;
        self.cuts += 1;
    }
}
