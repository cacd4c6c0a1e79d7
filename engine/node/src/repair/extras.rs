//! Symbols beyond the frames that are sent again: how many, over which frames, and when. Pure.
//!
//! They are not sent beside the frames but after them, spread over what is left of their time: an outage that swallowed one does not
//! swallow all.

use std::collections::VecDeque;

use overlayd_fec::RepairHeader;
use overlayd_wire::Budget;

use crate::Nanos;

/// Symbols that wait at once.
const WAITING_MAX: usize = 256;
/// A symbol leaves so long before its frames are late.
const MARGIN: Nanos = 1_000_000;
/// Where more rounds can follow, a symbol saves one if it leaves soon.
const SOON: Nanos = 3_000_000;

/// A frame to send once more.
pub struct Again<'a> {
    /// Low 24 bits.
    pub seq: u32,
    /// What is left of it after the wait.
    pub budget: Budget,
    /// Source symbol.
    pub symbol: &'a [u8],
}

/// One symbol beyond the frames that were asked for.
pub enum Extra<'a> {
    /// Over a single frame: the frame itself.
    Copy(Again<'a>),
    /// The bytes are in the caller's buffer.
    Coded(RepairHeader, Budget),
}

/// A symbol over the frames `first .. first + span`, to leave at a time.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Planned {
    pub(super) at: Nanos,
    pub(super) first: u64,
    pub(super) span: u64,
}

/// Frames sent again at one time that have the same number of rounds before them.
#[derive(Clone, Copy, Debug)]
pub(super) struct Group {
    pub(super) first: u64,
    pub(super) last: u64,
    pub(super) count: u32,
    /// Until the first of them is late.
    pub(super) left: Nanos,
}

/// Symbols of one sender that wait for their time.
#[derive(Debug, Default)]
pub(super) struct Extras {
    /// Ascending in time.
    waiting: VecDeque<Planned>,
    /// By rounds that can follow: what the ratio allows and was not sent yet.
    credit: [f64; 8],
}

impl Group {
    pub(super) fn of_one(seq: u64, left: Nanos) -> Self {
        Self {
            first: seq,
            last: seq,
            count: 1,
            left,
        }
    }

    /// Takes another frame in, if one symbol may cover as many as `reach`.
    pub(super) fn join(&mut self, seq: u64, left: Nanos, reach: u64) -> bool {
        let fits = seq - self.first < reach;
        if fits {
            self.last = seq;
            self.count += 1;
            self.left = self.left.min(left);
        }
        fits
    }
}

impl Extras {
    /// Plans the symbols for a group that has just been sent again. `rounds`: those that can follow. `ratio`: symbols per frame.
    pub(super) fn plan(&mut self, now: Nanos, group: &Group, rounds: usize, ratio: f64) {
        let Some(credit) = self.credit.get_mut(rounds) else {
            return;
        };
        *credit = (*credit + ratio * f64::from(group.count)).min(WAITING_MAX as f64);
        let symbols = *credit as Nanos;
        *credit -= symbols as f64;
        let apart = match rounds {
            0 => group.left.saturating_sub(MARGIN) / symbols.max(1),
            _ => SOON.min(group.left / (symbols + 1)),
        };
        for symbol in 1..=symbols {
            self.insert(Planned {
                at: now + symbol * apart,
                first: group.first,
                span: group.last - group.first + 1,
            });
        }
    }

    pub(super) fn poll_timeout(&self) -> Option<Nanos> {
        self.waiting.front().map(|planned| planned.at)
    }

    /// The next symbol whose time has come and whose frames the receiver has not all settled.
    pub(super) fn pop(&mut self, now: Nanos, base: u64) -> Option<Planned> {
        while self.poll_timeout().is_some_and(|at| at <= now) {
            let planned = self.waiting.pop_front();
            if planned.is_some_and(|planned| planned.first + planned.span > base) {
                return planned;
            }
        }
        None
    }

    /// Forgets all that waits.
    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }

    fn insert(&mut self, planned: Planned) {
        if self.waiting.len() < WAITING_MAX {
            let place = self.waiting.partition_point(|other| other.at <= planned.at);
            self.waiting.insert(place, planned);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Nanos = 1_000_000;

    fn leaving(extras: &mut Extras, base: u64) -> Vec<(Nanos, u64, u64)> {
        let mut all = Vec::new();
        while let Some(at) = extras.poll_timeout() {
            let planned = extras.pop(at, base);
            all.extend(planned.map(|planned| (planned.at / MS, planned.first, planned.span)));
        }
        all
    }

    #[test]
    fn the_last_symbols_of_a_frame_are_spread_over_what_is_left_of_its_time() {
        let mut extras = Extras::default();
        extras.plan(100 * MS, &Group::of_one(7, 16 * MS), 0, 3.0);
        assert_eq!(
            leaving(&mut extras, 0),
            [(105, 7, 1), (110, 7, 1), (115, 7, 1)]
        );
    }

    #[test]
    fn parts_of_symbols_add_up_and_cover_what_was_sent_together() {
        let mut extras = Extras::default();
        let mut group = Group::of_one(7, 50 * MS);
        assert!(group.join(9, 40 * MS, 128) && !group.join(140, 40 * MS, 128));
        extras.plan(0, &group, 1, 0.25);
        assert_eq!(leaving(&mut extras, 0), []);
        extras.plan(0, &group, 1, 0.25);
        assert_eq!(leaving(&mut extras, 0), [(3, 7, 3)]);
    }

    #[test]
    fn what_is_settled_gets_no_more_symbols() {
        let mut extras = Extras::default();
        extras.plan(0, &Group::of_one(7, 16 * MS), 0, 2.0);
        assert_eq!(leaving(&mut extras, 8), []);
    }

    #[test]
    fn no_more_symbols_wait_than_there_is_room_for() {
        let mut extras = Extras::default();
        for seq in 0..1000 {
            extras.plan(0, &Group::of_one(seq, 16 * MS), 0, 8.0);
        }
        assert_eq!(leaving(&mut extras, 0).len(), WAITING_MAX);
    }
}
