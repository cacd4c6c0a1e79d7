//! The sending end: numbers frames, keeps them until they are confirmed or too old, answers feedback, adds repair symbols. Pure.

use overlayd_fec::{Encoder, RepairHeader};
use overlayd_wire::{Budget, Feedback, frame};

use super::extras::{Again, Extra, Extras, Group};
use super::policy::{Settings, rounds_within};
use super::{Outlook, Policy, nearest};
use crate::Nanos;

/// Frames kept for retransmission: as many as one feedback frame can ask for.
const HISTORY: usize = 8 * Feedback::BITMAP_MAX;
/// Frames that a repair symbol sums up: what is sent in half the deadline, and in all of it by a thin flow.
const WINDOW: usize = overlayd_fec::WINDOW_LIMIT;
const WINDOW_THIN: Nanos = 4;
/// Frames behind the newest that the receiver's code still knows, with those on their way taken off: over older ones no symbol is summed up.
const CODE_REACH: u64 = overlayd_fec::DECODER_RING as u64 - 56;
/// Over this time the rate of frames is taken, and over so many frames.
const RATE_INTERVAL: Nanos = 100_000_000;
const RATE_FRAMES: u64 = 8;
/// Silence after which a sender asks whether all of its last frames arrived: half as much again as is usual between two frames, within these
/// bounds.
const TAIL_SILENCE: Nanos = 10_000_000;
const TAIL_SILENCE_MAX: Nanos = 25_000_000;
/// A tail frame is repeated this often: the first time soon, as it may be lost itself, then each time after twice the wait.
const TAILS_MAX: u8 = 4;
/// On a full link this many times the frames may be sent again that it loses when it is not.
const AGAIN_SHARE: f64 = 2.0;
/// And so many at once.
const AGAIN_BURST: f64 = 16.0;
/// A frame is not sent again within a round trip of its last transmission and this.
const AGAIN_GUARD: Nanos = 500_000;

/// One feedback frame brings back so many frames at most: what is missing is asked for again.
const AGAIN_AT_ONCE: usize = 512;
/// Rounds that may follow and make a difference to what is added.
const ROUNDS_TOLD: usize = 6;
/// A frame is sent again so often at most, whatever the receiver says: it could be making us send for sport.
const TRIES_MAX: u8 = 16;

/// One link, one class.
pub struct Protector {
    policy: Policy,
    /// The longest frame that the link will carry.
    symbol_bytes: usize,
    next: u64,
    /// All below is settled at the receiver.
    base: u64,
    kept: Option<Kept>,
    /// Repair symbols that the ratio allows and that were not sent yet.
    credit: f64,
    row: u8,
    /// What the table says, and of what.
    settings: Settings,
    settings_of: (usize, usize, f64),
    window: usize,
    /// Between two frames, on average.
    interval: Nanos,
    extras: Extras,
    /// Start of the interval in which the rate is taken, and the next number then.
    rate_from: (Nanos, u64),
    /// Frames that may be sent again on a full link, and up to which number they were counted.
    again_credit: f64,
    again_from: u64,
    tail_at: Option<Nanos>,
    tails: u8,
    pub sent: u64,
    pub retransmitted: u64,
    pub repair_sent: u64,
}

struct Kept {
    encoder: Encoder,
    /// Of each kept frame, at `seq % HISTORY`.
    notes: Box<[Note]>,
}

#[derive(Clone, Copy, Default)]
struct Note {
    sent_at: Nanos,
    again_at: Nanos,
    budget: u16,
    tries: u8,
}

impl Kept {
    fn new(symbol_bytes: usize) -> Self {
        Self {
            encoder: Encoder::new(WINDOW, HISTORY, symbol_bytes),
            notes: vec![Note::default(); HISTORY].into_boxed_slice(),
        }
    }
}

impl Protector {
    /// `symbol_bytes`: the longest frame that the link will carry.
    pub fn new(policy: &Policy, symbol_bytes: usize) -> Self {
        Self {
            policy: policy.clone(),
            symbol_bytes,
            next: 0,
            base: 0,
            kept: policy.repairs().then(|| Kept::new(symbol_bytes)),
            credit: 0.0,
            row: 0,
            settings: Settings::default(),
            settings_of: (0, 0, 0.0),
            window: WINDOW,
            interval: 0,
            extras: Extras::default(),
            rate_from: (0, 0),
            again_credit: 0.0,
            again_from: 0,
            tail_at: None,
            tails: 0,
            sent: 0,
            retransmitted: 0,
            repair_sent: 0,
        }
    }

    /// A new snapshot wants something else of the class.
    pub fn set_policy(&mut self, policy: &Policy) {
        if self.policy == *policy {
            return;
        }
        self.policy = policy.clone();
        self.settings_of = (0, 0, 0.0);
        self.extras.clear();
        match policy.repairs() {
            true => {
                _ = self
                    .kept
                    .get_or_insert_with(|| Kept::new(self.symbol_bytes))
            }
            false => self.kept = None,
        }
    }

    /// The receiver has started anew: numbers begin again, and nothing that was sent before will be asked for. Memory is kept.
    pub fn restart(&mut self) {
        if let Some(kept) = &mut self.kept {
            kept.encoder.restart();
        }
        (self.next, self.base) = (0, 0);
        (self.rate_from.1, self.again_from) = (0, 0);
        (self.tail_at, self.tails) = (None, 0);
        self.extras.clear();
    }

    /// The number of the next frame, low 24 bits.
    pub fn next_seq(&self) -> u32 {
        self.next as u32 & frame::SEQ_MASK
    }

    /// Takes note of the next frame, which leaves after `wait`. `frame` is whole: header, then route or body.
    pub fn sent(&mut self, now: Nanos, wait: Nanos, budget: Budget, frame: &[u8]) {
        let seq = self.next;
        self.next += 1;
        self.sent += 1;
        let Some(kept) = &mut self.kept else { return };
        let (Some(first), Some(rest)) = (frame.get(..1), frame.get(frame::Protected::LEN..)) else {
            return;
        };
        if seq > 0 && seq as u32 == 0 {
            // The code's numbers have run out; what is kept of before is lost to repair.
            kept.encoder.restart();
        }
        if kept.encoder.push(seq as u32, &[first, rest]).is_err() {
            // Too long for the code: it goes without repair, and the code begins again behind it.
            self.extras.clear();
            return kept.encoder.restart();
        }
        kept.notes[seq as usize % HISTORY] = Note {
            sent_at: now,
            again_at: now + wait,
            budget: budget.0,
            tries: 0,
        };
        self.fit_window(now);
        self.tails = 0;
        self.tail_at = self
            .policy
            .retransmit
            .then_some(now + wait + self.silence());
    }

    /// Nothing was sent for so long: perhaps nothing follows.
    fn silence(&self) -> Nanos {
        (self.interval * 3 / 2).clamp(TAIL_SILENCE, TAIL_SILENCE_MAX)
    }

    /// A window longer than the deadline would hold back what it restores, and over frames that are late a symbol is of no use.
    fn fit_window(&mut self, now: Nanos) {
        let (from, number) = self.rate_from;
        let (elapsed, frames) = (now - from, self.next - number);
        if elapsed < RATE_INTERVAL || frames < RATE_FRAMES {
            return;
        }
        self.rate_from = (now, self.next);
        self.interval = elapsed / frames;
        let (Some(deadline), Some(kept)) = (self.policy.deadline, &mut self.kept) else {
            return;
        };
        // A little more, so that a frame that is sent at the deadline is in.
        let in_time = frames.saturating_mul(deadline + deadline / 16) / elapsed;
        let thin = WINDOW_THIN.min(1 + in_time);
        self.window = (in_time / 2).clamp(thin, WINDOW as u64) as usize;
        kept.encoder.set_window(self.window);
    }

    /// What the table says now. It is asked for each frame, and read when something has changed.
    fn settings(&mut self, outlook: &Outlook) -> Settings {
        let of = (
            self.policy.rounds(outlook.rtt),
            self.window,
            outlook.loss_ratio,
        );
        if self.settings_of != of {
            self.settings_of = of;
            self.settings = self.policy.settings(of.0, of.1, of.2);
        }
        self.settings
    }

    /// What the receiver says. `again` is called for each frame that has to leave once more, and answers how long it will wait before it does.
    /// While the link is full, no more is repaired than it loses when it is not.
    /// When the newest frame that is known to have arrived was sent.
    pub fn feedback(
        &mut self,
        now: Nanos,
        feedback: &Feedback<'_>,
        outlook: &Outlook,
        mut again: impl FnMut(Again<'_>) -> Nanos,
    ) -> Option<Nanos> {
        let settings = self.settings(outlook);
        let highest = nearest(feedback.next, self.next)?;
        let base = nearest(feedback.base, self.next)?;
        let kept = self.kept.as_mut()?;
        if highest > self.next || base > highest {
            return None;
        }
        let share = AGAIN_SHARE * outlook.full_loss.unwrap_or(0.0);
        let earned = share * (self.next - self.again_from) as f64;
        self.again_from = self.next;
        self.again_credit = (self.again_credit + earned).min(AGAIN_BURST);
        let in_history = |seq: u64, next: u64| seq < next && next - seq <= HISTORY as u64;
        let newest = highest.wrapping_sub(1);
        let proof =
            in_history(newest, self.next).then(|| kept.notes[newest as usize % HISTORY].sent_at);
        self.base = self.base.max(base);
        kept.encoder.forget_before(self.base as u32);
        let mut sent_again = 0;
        let mut groups = [None; ROUNDS_TOLD];
        for distance in feedback.missing() {
            let seq = base + u64::from(distance);
            if seq >= self.next || sent_again == AGAIN_AT_ONCE {
                break;
            }
            let Some(symbol) = kept.encoder.get(seq as u32) else {
                continue;
            };
            let note = &mut kept.notes[seq as usize % HISTORY];
            let budget = Budget(note.budget).less(now.saturating_sub(note.sent_at));
            if budget == Budget(0) || now < note.again_at || note.tries == TRIES_MAX {
                continue;
            }
            if outlook.full_loss.is_some() {
                if self.again_credit < 1.0 {
                    break;
                }
                self.again_credit -= 1.0;
            }
            sent_again += 1;
            note.tries += 1;
            self.retransmitted += 1;
            let wait = again(Again {
                seq: seq as u32 & frame::SEQ_MASK,
                budget,
                symbol,
            });
            note.again_at = now + wait + outlook.rtt + AGAIN_GUARD;
            if outlook.full_loss.is_some() {
                continue;
            }
            let rounds = rounds_within(budget.to_ns(), outlook.rtt).min(ROUNDS_TOLD - 1);
            let left = budget.to_ns().unwrap_or(outlook.rtt);
            let reach = if self.next - seq <= CODE_REACH {
                WINDOW as u64
            } else {
                1
            };
            let group: &mut Option<Group> = &mut groups[rounds];
            if !group
                .as_mut()
                .is_some_and(|group| group.join(seq, left, reach))
                && let Some(full) = group.replace(Group::of_one(seq, left))
            {
                self.extras.plan(now, &full, rounds, settings.again[rounds]);
            }
        }
        for (rounds, group) in groups.iter().enumerate() {
            if let Some(group) = group {
                self.extras.plan(now, group, rounds, settings.again[rounds]);
            }
        }
        if self.base >= self.next {
            self.tail_at = None;
        } else if let Some(at) = &mut self.tail_at {
            *at = (*at).max(now + TAIL_SILENCE);
        }
        proof
    }

    /// A symbol beyond the frames sent again, if one's time has come; a coded one is written to `out`, replacing what was there.
    pub fn extra(&mut self, now: Nanos, out: &mut Vec<u8>) -> Option<Extra<'_>> {
        let kept = self.kept.as_ref()?;
        while let Some(planned) = self.extras.pop(now, self.base) {
            let first = planned.first.max(self.base);
            let Some(symbol) = kept.encoder.get(first as u32) else {
                continue;
            };
            let note = kept.notes[first as usize % HISTORY];
            if planned.span == 1 {
                self.retransmitted += 1;
                return Some(Extra::Copy(Again {
                    seq: first as u32 & frame::SEQ_MASK,
                    budget: Budget(note.budget).less(now.saturating_sub(note.sent_at)),
                    symbol,
                }));
            }
            let span = (planned.first + planned.span - first) as u8;
            if let Some(header) = kept.encoder.repair_over(first as u32, span, self.row, out) {
                self.row = (self.row + 1) % frame::Repair::ROWS;
                self.repair_sent += 1;
                return Some(Extra::Coded(header, Budget(note.budget)));
            }
        }
        None
    }

    /// A frame that hops before have delayed may have no time left to be asked for: its first transmission is its last chance, and gets what
    /// the last round gets elsewhere.
    fn back_up_last_chance(&mut self, now: Nanos, outlook: &Outlook, ratio: f64) {
        let (Some(kept), Some(seq)) = (&self.kept, self.next.checked_sub(1)) else {
            return;
        };
        let Some(left) = Budget(kept.notes[seq as usize % HISTORY].budget).to_ns() else {
            return;
        };
        let is_last = left > 0 && rounds_within(Some(left), outlook.rtt) == 0;
        if is_last && self.policy.can_ask(outlook.rtt) && outlook.full_loss.is_none() {
            self.extras.plan(now, &Group::of_one(seq, left), 0, ratio);
        }
    }

    /// A repair symbol if one is due at this loss: written to `out`, replacing what was there. To be called after `sent`.
    pub fn repair(
        &mut self,
        now: Nanos,
        outlook: &Outlook,
        out: &mut Vec<u8>,
    ) -> Option<(RepairHeader, Budget)> {
        let settings = self.settings(outlook);
        self.back_up_last_chance(now, outlook, settings.again[0]);
        let ratio = settings.repair_ratio;
        if ratio == 0.0 {
            self.credit = 0.0;
            return None;
        }
        self.credit += ratio;
        if self.credit < 1.0 {
            return None;
        }
        self.credit -= 1.0;
        let kept = self.kept.as_ref()?;
        let header = kept.encoder.repair(self.row, out)?;
        self.row = (self.row + 1) % frame::Repair::ROWS;
        self.repair_sent += 1;
        let budget = Budget(kept.notes[header.first_seq as usize % HISTORY].budget);
        Some((header, budget))
    }

    pub fn poll_timeout(&self) -> Option<Nanos> {
        [self.tail_at, self.extras.poll_timeout()]
            .into_iter()
            .flatten()
            .min()
    }

    /// "Have you got all below this number?", when it is time to ask and an answer can still be of use.
    pub fn tail(&mut self, now: Nanos, rtt: Nanos) -> Option<u32> {
        if self.tail_at.is_none_or(|at| now < at) {
            return None;
        }
        if !self.policy.can_ask(rtt) {
            self.tail_at = None;
            return None;
        }
        let wait = match self.tails {
            0 => TAIL_SILENCE,
            tails => (rtt + TAIL_SILENCE) << (tails - 1),
        };
        self.tails += 1;
        self.tail_at = (self.tails < TAILS_MAX).then_some(now + wait);
        Some(self.next_seq())
    }
}
