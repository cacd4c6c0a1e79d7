//! The receiving end: first copies, what is missing, when to ask, when to give up, and the decoder. Pure.

use std::collections::VecDeque;

use overlayd_fec::{Arrival, Decoder, RepairHeader};
use overlayd_wire::{Feedback, Repair, Tail, frame};

use super::waits::{self, Waits};
use super::{Policy, nearest};
use crate::Nanos;

/// Numbers behind the highest that are still told apart.
const SEEN: u64 = 65_536;
/// Missing frames that are waited for: what one bitmap can ask for.
const MISSING_MAX: u64 = 8 * Feedback::BITMAP_MAX as u64;
/// Frames that arrive out of order within this time are not asked for.
const REORDER_GUARD: Nanos = 2_000_000;
/// In a class that is put in order anyway, symbols get so much more time to restore one, in parts of a round trip: most of what is lost need not be sent again then.
const WAIT_FOR_CODE: Nanos = 5;
/// What is asked for is asked for once more after this, as the feedback itself may be lost; and then when the answer is overdue.
const REPEAT: Nanos = 5_000_000;
const OVERDUE: Nanos = 2_000_000;
/// After so many times without any answer, each further interval is twice as long, up to 2 to this power: a peer that jumps ahead and then says
/// nothing would have us ask for thousands of frames again and again.
const IN_VAIN: u32 = 8;
const SLOWER_MAX: u32 = 5;
/// Shortest time between two answers: a list of what is missing is work, and long.
const ANSWER_INTERVAL_MIN: Nanos = 1_000_000;
/// Frames after which a busy sender hears that all is well.
const CONFIRM_EVERY: u32 = 128;
/// A class without a deadline gives a frame up after this.
const PATIENCE: Nanos = 2_000_000_000;
/// A sender that starts anew counts from 0; a number below this is its start, the frames before it were lost.
const START_MAX: u32 = 64;

/// One link, one class.
pub struct Recoverer {
    policy: Policy,
    symbol_bytes: usize,
    started: bool,
    /// Highest received + 1.
    next: u64,
    seen: Box<[u64]>,
    /// Ascending in `seq` and in `since`.
    missing: VecDeque<Missing>,
    unconfirmed: u32,
    feedback_at: Option<Nanos>,
    answers_tail: bool,
    /// When the peer was last told what is missing, and how often since any of that came.
    told_at: Nanos,
    in_vain: u32,
    /// The upper half of the numbers that it knows, and the decoder.
    decoder: Option<(u64, Box<Decoder>)>,
    /// When a symbol came last, and how long it is worth waiting for one.
    symbol_at: Nanos,
    wait_for_code: Nanos,
    pub tally: Tally,
}

/// What became of frames, since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Of their own accord.
    pub received: u64,
    pub duplicates: u64,
    pub recovered_by_retransmission: u64,
    pub recovered_by_code: u64,
    pub lost: u64,
    /// Runs of frames that a later one overtook or outlived, and how many frames they had.
    pub bursts: u64,
    pub missed: u64,
    /// How long frames that repair brought were missed.
    pub waits: Waits,
}

#[derive(Clone, Copy, Debug)]
struct Missing {
    seq: u64,
    since: Nanos,
    /// When it was asked for first in this round trip, and how often since; 0: never.
    asked_at: Nanos,
    asks: u8,
}

impl Missing {
    /// When it is to be asked for next.
    fn due(&self, rtt: Nanos, guard: Nanos) -> Nanos {
        match self.asks {
            0 => self.since + guard,
            1 => self.asked_at + REPEAT.min(rtt / 2),
            _ => self.asked_at + rtt + OVERDUE,
        }
    }

    fn ask(&mut self, now: Nanos, rtt: Nanos) {
        let new_round = self.asks == 0 || now >= self.asked_at + rtt + OVERDUE;
        if new_round {
            (self.asked_at, self.asks) = (now, 1);
        } else {
            self.asks = self.asks.saturating_add(1);
        }
    }
}

/// What a frame's number says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Receipt {
    /// The first copy: the whole number, and how long it was missed if it had to be asked for.
    First(u64, Option<Nanos>),
    Duplicate,
    /// Too far back to tell.
    TooOld,
}

/// What a number is, and what was known of it while it was missed.
enum Admission {
    First(u64, Option<Missing>),
    Duplicate,
    TooOld,
}

impl Recoverer {
    pub fn new(policy: &Policy, symbol_bytes: usize) -> Self {
        Self {
            policy: policy.clone(),
            symbol_bytes,
            started: false,
            next: 0,
            seen: vec![0; SEEN as usize / 64].into_boxed_slice(),
            missing: VecDeque::new(),
            unconfirmed: 0,
            feedback_at: None,
            answers_tail: false,
            told_at: 0,
            in_vain: 0,
            decoder: None,
            symbol_at: 0,
            wait_for_code: 0,
            tally: Tally::default(),
        }
    }

    /// A new snapshot wants something else of the class.
    pub fn set_policy(&mut self, policy: &Policy) {
        if self.policy != *policy {
            self.policy = policy.clone();
            self.feedback_at = self.feedback_at.filter(|_| policy.retransmit);
        }
    }

    /// The sender has started anew: its numbers begin again.
    pub fn restart(&mut self) {
        *self = Self {
            tally: self.tally,
            ..Self::new(&self.policy, self.symbol_bytes)
        };
    }

    /// Takes the number (low 24 bits) of a protected frame that arrived.
    pub fn receive(&mut self, now: Nanos, seq: u32) -> Receipt {
        self.start(seq);
        let admission = match nearest(seq, self.next) {
            Some(seq) => self.admit(now, seq),
            None => Admission::TooOld,
        };
        match admission {
            Admission::First(seq, missed) => {
                let asked = missed.filter(|missed| missed.asks > 0);
                let waited = asked.map(|missed| now - missed.since);
                match waited {
                    None => self.tally.received += 1,
                    Some(waited) => {
                        self.tally.recovered_by_retransmission += 1;
                        waits::count(&mut self.tally.waits, waited);
                    }
                }
                Receipt::First(seq, waited)
            }
            Admission::Duplicate => {
                self.tally.duplicates += 1;
                Receipt::Duplicate
            }
            Admission::TooOld => {
                self.tally.duplicates += 1;
                Receipt::TooOld
            }
        }
    }

    /// The whole number of a frame that was received.
    pub fn number(&self, seq: u32) -> u64 {
        nearest(seq, self.next).unwrap_or(0)
    }

    /// Whether a frame between two is still waited for.
    pub fn is_missing(&self, after: u64, before: u64) -> bool {
        let Some(oldest) = self.missing.front() else {
            return false;
        };
        if before <= oldest.seq {
            return false;
        }
        let next = self
            .place_of(after.saturating_add(1))
            .unwrap_or_else(|at| at);
        self.missing
            .get(next)
            .is_some_and(|found| found.seq < before)
    }

    /// Lets the decoder see a frame that `receive` took. `frame` is whole.
    pub fn learn(&mut self, seq: u64, frame: &[u8]) {
        if self.decoder.is_some()
            && let (Some(decoder), Some(first), Some(rest)) = (
                self.decoder_of(seq),
                frame.get(..1),
                frame.get(frame::Protected::LEN..),
            )
        {
            // A refusal concerns frames longer than any of this link: those the code cannot help.
            let _ = decoder.source(seq as u32, &[first, rest]);
        }
    }

    /// Takes a repair symbol. True: it may have made missing frames known, see `recover`.
    pub fn repair(&mut self, now: Nanos, repair: &Repair<'_>) -> bool {
        self.symbol_at = now;
        if !self.started {
            return false;
        }
        let Some(first) = nearest(repair.first, self.next) else {
            return false;
        };
        let Some(decoder) = self.decoder_of(first) else {
            return false;
        };
        let header = RepairHeader {
            first_seq: first as u32,
            span: repair.span,
            row: repair.row,
        };
        decoder.repair(header, repair.symbol) == Ok(Arrival::New)
    }

    /// Hands out the frames that the code restored and that were still missing: number, how long they were missed, and source symbol.
    pub fn recover(&mut self, now: Nanos, mut on: impl FnMut(u64, Nanos, &[u8])) {
        let Some((upper, mut decoder)) = self.decoder.take() else {
            return;
        };
        // Inconsistent symbols clear the decoder; what it handed out before stands.
        let _ = decoder.recover(|seq, symbol| {
            let seq = upper << 32 | u64::from(seq);
            // What was given up is past its deadline; the newest may be restored before it was missed.
            let waited = match self.place_of(seq) {
                Ok(place) => self
                    .missing
                    .get(place)
                    .map_or(0, |missing| now - missing.since),
                Err(_) if seq >= self.next => 0,
                Err(_) => return,
            };
            if let Admission::First(..) = self.admit(now, seq) {
                self.tally.recovered_by_code += 1;
                waits::count(&mut self.tally.waits, waited);
                on(seq, waited, symbol);
            }
        });
        self.decoder = Some((upper, decoder));
    }

    /// The decoder for frames around a number. The code's numbers have 32 bits and end there: for those behind, it begins anew.
    fn decoder_of(&mut self, seq: u64) -> Option<&mut Decoder> {
        let upper = seq >> 32;
        if self
            .decoder
            .as_ref()
            .is_none_or(|(known, _)| *known < upper)
        {
            self.decoder = Some((upper, Box::new(Decoder::new(self.symbol_bytes))));
        }
        let (known, decoder) = self.decoder.as_mut()?;
        (*known == upper).then_some(decoder)
    }

    /// The sender asks what arrived of all below `tail.next`.
    pub fn tail(&mut self, now: Nanos, tail: Tail) {
        self.start(tail.next);
        if let Some(next) = nearest(tail.next, self.next).filter(|next| *next > self.next) {
            self.advance(now, next);
        }
        self.answers_tail = true;
        self.feedback_at = Some(now.max(self.told_at + ANSWER_INTERVAL_MIN));
    }

    pub fn poll_timeout(&self) -> Option<Nanos> {
        let expiry = self
            .missing
            .front()
            .map(|oldest| oldest.since + self.patience());
        [self.feedback_at, expiry].into_iter().flatten().min()
    }

    /// Gives up what is past its deadline, then writes the bitmap of a feedback frame if one is due.
    pub fn feedback<'a>(
        &mut self,
        now: Nanos,
        class: u8,
        rtt: Nanos,
        bitmap: &'a mut [u8; Feedback::BITMAP_MAX],
    ) -> Option<Feedback<'a>> {
        self.give_up(now);
        if self.feedback_at.is_none_or(|at| now < at) {
            return None;
        }
        if !self.policy.can_ask(rtt) && !self.answers_tail {
            (self.feedback_at, self.unconfirmed) = (None, 0);
            return None;
        }
        let base = self.missing.front().map_or(self.next, |oldest| oldest.seq);
        let mut length = 0;
        let mut due = None;
        self.wait_for_code = rtt / WAIT_FOR_CODE;
        let guard = self.guard(now);
        bitmap.fill(0);
        for missing in &mut self.missing {
            if now >= missing.since + guard {
                let bit = (missing.seq - base) as usize;
                let Some(byte) = bitmap.get_mut(bit / 8) else {
                    break;
                };
                *byte |= 0x80 >> (bit % 8);
                length = bit / 8 + 1;
                missing.ask(now, rtt);
            }
            let next = missing.due(rtt, guard);
            due = Some(due.map_or(next, |due: Nanos| due.min(next)));
        }
        self.unconfirmed = 0;
        self.told_at = now;
        self.in_vain = self.in_vain.saturating_add(1);
        let slower = self.in_vain.saturating_sub(IN_VAIN).min(SLOWER_MAX);
        let soonest = match slower {
            0 => now + ANSWER_INTERVAL_MIN,
            _ => now + ((rtt / 4).max(REPEAT) << slower),
        };
        self.feedback_at = due.map(|due| due.max(soonest));
        Some(Feedback {
            class,
            next: self.next as u32 & frame::SEQ_MASK,
            base: base as u32 & frame::SEQ_MASK,
            answers_tail: std::mem::take(&mut self.answers_tail),
            bitmap: &bitmap[..length],
        })
    }

    fn start(&mut self, seq: u32) {
        if !self.started {
            self.started = true;
            self.next = if seq < START_MAX { 0 } else { seq.into() };
        }
    }

    /// First copy or not; opens the gaps before a new highest number, closes a gap that this number fills.
    fn admit(&mut self, now: Nanos, seq: u64) -> Admission {
        let mut missed = None;
        if seq >= self.next {
            self.advance(now, seq);
            self.next = seq + 1;
            self.mark(seq);
        } else if self.next - seq > SEEN {
            return Admission::TooOld;
        } else if self.is_marked(seq) {
            return Admission::Duplicate;
        } else {
            self.mark(seq);
            if let Ok(place) = self.place_of(seq) {
                missed = self.missing.remove(place);
                self.in_vain = 0;
            }
        }
        self.unconfirmed += 1;
        if self.unconfirmed >= CONFIRM_EVERY && self.policy.retransmit {
            self.feedback_at.get_or_insert(now);
        }
        Admission::First(seq, missed)
    }

    /// Numbers from `next` up to `to` have not arrived.
    fn advance(&mut self, now: Nanos, to: u64) {
        let gap = to - self.next;
        self.unmark(self.next, to);
        if gap == 0 {
            return;
        }
        self.tally.bursts += 1;
        self.tally.missed += gap;
        let waited_for = gap.min(MISSING_MAX);
        self.tally.lost += gap - waited_for;
        for seq in to - waited_for..to {
            self.missing.push_back(Missing {
                seq,
                since: now,
                asked_at: 0,
                asks: 0,
            });
        }
        while self
            .missing
            .front()
            .is_some_and(|oldest| to - oldest.seq > MISSING_MAX)
        {
            self.missing.pop_front();
            self.tally.lost += 1;
        }
        self.next = to;
        self.in_vain = 0;
        if self.policy.retransmit {
            let soon = now + self.guard(now);
            self.feedback_at = Some(self.feedback_at.map_or(soon, |at| at.min(soon)));
        }
    }

    fn place_of(&self, seq: u64) -> Result<usize, usize> {
        self.missing
            .binary_search_by_key(&seq, |missing| missing.seq)
    }

    fn give_up(&mut self, now: Nanos) {
        let patience = self.patience();
        while self
            .missing
            .front()
            .is_some_and(|oldest| oldest.since + patience <= now)
        {
            self.missing.pop_front();
            self.tally.lost += 1;
        }
    }

    /// How long a frame is missed before it is asked for: where symbols come, most are restored meanwhile.
    fn guard(&self, now: Nanos) -> Nanos {
        let coded = self.policy.in_order && now < self.symbol_at + self.wait_for_code;
        match coded {
            true => self.wait_for_code.max(REORDER_GUARD),
            false => REORDER_GUARD,
        }
    }

    fn patience(&self) -> Nanos {
        self.policy.deadline.unwrap_or(PATIENCE)
    }

    fn is_marked(&self, seq: u64) -> bool {
        self.seen[(seq % SEEN) as usize / 64] & 1 << (seq % 64) != 0
    }

    fn mark(&mut self, seq: u64) {
        self.seen[(seq % SEEN) as usize / 64] |= 1 << (seq % 64);
    }

    /// Numbers from `from` to `to` have not been seen: word by word, as it may be all of them.
    fn unmark(&mut self, from: u64, to: u64) {
        if to - from >= SEEN {
            return self.seen.fill(0);
        }
        let mut seq = from;
        while seq <= to {
            let word = &mut self.seen[(seq % SEEN) as usize / 64];
            if seq.is_multiple_of(64) && to - seq >= 63 {
                *word = 0;
                seq += 64;
            } else {
                *word &= !(1 << (seq % 64));
                seq += 1;
            }
        }
    }
}
