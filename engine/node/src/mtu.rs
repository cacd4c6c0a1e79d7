//! The largest underlay IP packet that a link, or every hop of a path, is proven to carry: found and watched by padded probes, never by ICMP.
//!
//! Starts at what every path is bound to carry; larger sizes are tried while the link is up. Each padded probe is followed by a small one: an
//! answer to that one alone speaks against the size, and as many of those as loss cannot explain are the verdict. It is asked at once when
//! all large frames between two probes have vanished, and now and then while large frames are sent. Sizes are IP packets. Pure.

use crate::Nanos;

/// Every IPv6 path carries this much, and nearly every IPv4 one.
pub(crate) const SAFE: u16 = 1280;
/// Sizes worth trying, beside the limit: usual ones, and the same with headers of IPv4 where those of IPv6 are counted.
const STEPS: [u16; 9] = [1300, 1400, 1420, 1440, 1460, 1480, 1492, 1500, 1512];
/// Between two probes of one size, until there are as many as the verdict needs.
const PACE: Nanos = 10_000_000;
/// And after that.
const RETRY: Nanos = 100_000_000;
/// The proven size is asked for again this often while large frames are sent.
const WATCH_BUSY: Nanos = 200_000_000;
/// And larger ones that failed are tried again.
const AGAIN: Nanos = 60_000_000_000;
/// Probes of one size that are remembered: more than any verdict needs, but where nearly everything is lost.
const ASKED: usize = 64;
/// So often may loss alone pass for a size that does not fit.
const FALSE_ALARM: f64 = 1e-6;
/// Small probes in flight that are remembered: a round trip of 0.6 s at the fast pace.
const MARKS: usize = 32;

#[derive(Debug)]
pub(crate) struct MtuSearch {
    limit: u16,
    proven: u16,
    /// Sizes above `proven` and below this failed; tried again after `AGAIN`.
    ceiling: u16,
    question: Option<Question>,
    /// The proven size is to be asked for before any other.
    doubt: bool,
    next_at: Nanos,
    grow_at: Nanos,
    large_until: Nanos,
    /// Large frames sent so far; at each small probe, by its number; and at the last one that was answered, with both ends' counts.
    large: u32,
    marks: [(u32, u32); MARKS],
    last: Option<Told>,
}

/// Does it carry this?
#[derive(Clone, Copy, Debug)]
struct Question {
    size: u16,
    /// Numbers of the padded probes that asked, at `count % ASKED`.
    asked: [u32; ASKED],
    count: usize,
    /// Small probes that were answered since.
    heard: usize,
}

/// What had been sent when a probe left, and how much of it was received.
#[derive(Clone, Copy, Debug)]
struct Told {
    sent: u32,
    received: u32,
    large: u32,
}

impl MtuSearch {
    pub(crate) fn new(limit: u16) -> Self {
        Self {
            limit,
            proven: limit.min(SAFE),
            ceiling: limit,
            question: None,
            doubt: false,
            next_at: 0,
            grow_at: AGAIN,
            large_until: 0,
            large: 0,
            marks: [(0, 0); MARKS],
            last: None,
        }
    }

    pub(crate) fn proven(&self) -> u16 {
        self.proven
    }

    /// Whether no larger size is being tried: what is proven will stay for a while.
    pub(crate) fn is_settled(&self) -> bool {
        self.candidate().is_none()
    }

    pub(crate) fn set_limit(&mut self, limit: u16) {
        if limit == self.limit {
            return;
        }
        self.limit = limit;
        self.proven = self.proven.min(limit);
        self.ceiling = limit;
        self.question = None;
        self.next_at = 0;
    }

    /// The way has changed: nothing is proven any more.
    pub(crate) fn restart(&mut self) {
        *self = Self::new(self.limit);
    }

    /// Frames of this size leave; it is worth watching that large ones arrive.
    pub(crate) fn frames_sent(&mut self, now: Nanos, size: u16, count: u32) {
        if size <= SAFE {
            return;
        }
        self.large = self.large.wrapping_add(count);
        if now + WATCH_BUSY > self.large_until {
            if now > self.large_until {
                self.next_at = self.next_at.min(now + WATCH_BUSY);
            }
            self.large_until = now + 2 * WATCH_BUSY;
        }
    }

    /// A small probe leaves.
    pub(crate) fn small_sent(&mut self, seq: u32) {
        self.marks[seq as usize % MARKS] = (seq, self.large);
    }

    /// A small probe was answered. `sent`, `received`: datagrams before it, as both ends counted them; `proofs`: as many probes as loss alone
    /// does not take. True: less is proven than before.
    pub(crate) fn small_answered(
        &mut self,
        now: Nanos,
        seq: u32,
        (sent, received): (u32, u32),
        proofs: usize,
    ) -> bool {
        let (marked, large) = self.marks[seq as usize % MARKS];
        if marked == seq {
            self.told(
                now,
                Told {
                    sent,
                    received,
                    large,
                },
            );
        }
        let Some(question) = &mut self.question else {
            return false;
        };
        question.heard += 1;
        let unanswered = question.unanswered(seq);
        if unanswered < proofs || question.may_be_loss(unanswered) {
            return false;
        }
        let size = question.size;
        self.give_up(now, size)
    }

    fn told(&mut self, now: Nanos, told: Told) {
        let Some(last) = self.last else {
            self.last = Some(told);
            return;
        };
        let sent = told.sent.wrapping_sub(last.sent);
        if sent == 0 || sent > u32::MAX / 2 {
            return; // overtaken
        }
        self.last = Some(told);
        let received = told.received.wrapping_sub(last.received);
        let large = told.large.wrapping_sub(last.large);
        let vanished = large > 0 && sent.saturating_sub(received) >= large;
        let asked = self
            .question
            .is_some_and(|question| question.size <= self.proven);
        if vanished && !asked && self.proven > SAFE {
            self.question = None;
            self.doubt = true;
            self.next_at = now;
        }
    }

    pub(crate) fn poll_timeout(&self) -> Nanos {
        self.next_at.min(self.grow_at)
    }

    /// The size to pad a probe of this number to, if one is due; a small one is to follow. To be called only while small probes are answered.
    pub(crate) fn poll(&mut self, now: Nanos, seq: u32, proofs: usize) -> Option<u16> {
        if now >= self.grow_at {
            self.ceiling = self.limit;
            self.grow_at = now + AGAIN;
            self.next_at = now;
        }
        if now < self.next_at {
            return None;
        }
        let mut question = match self.question {
            Some(question) => question,
            None => Question::new(self.worth_asking(now)?),
        };
        question.ask(seq);
        self.next_at = now + if question.count < proofs { PACE } else { RETRY };
        self.question = Some(question);
        Some(question.size)
    }

    fn worth_asking(&mut self, now: Nanos) -> Option<u16> {
        let proven = || (self.doubt || now < self.large_until).then_some(self.proven);
        let wanted = match self.doubt {
            true => proven(),
            false => self.candidate().or_else(proven),
        };
        self.doubt = false;
        if wanted.is_none() {
            self.next_at = now + AGAIN;
        }
        wanted
    }

    /// A padded probe was answered.
    pub(crate) fn answered(&mut self, now: Nanos, seq: u32, padded_to: u16) {
        let fits = |question: &mut Question| padded_to >= question.size && question.has(seq);
        let Some(question) = self.question.take_if(fits) else {
            return;
        };
        self.proven = self.proven.max(question.size);
        self.next_at = match self.candidate() {
            Some(_) => now,
            None if now < self.large_until => now + WATCH_BUSY,
            None => now + AGAIN,
        };
    }

    fn give_up(&mut self, now: Nanos, size: u16) -> bool {
        let falls = size <= self.proven;
        if falls {
            self.proven = self.limit.min(SAFE);
        }
        self.question = None;
        self.ceiling = size - 1;
        self.next_at = now;
        self.grow_at = now + AGAIN;
        falls
    }

    /// The next size to try: the limit first, as most links carry it; then from the top down.
    fn candidate(&self) -> Option<u16> {
        if self.ceiling == self.limit && self.proven < self.limit {
            return Some(self.limit);
        }
        STEPS
            .into_iter()
            .rev()
            .find(|size| *size > self.proven && *size <= self.ceiling)
    }
}

impl Question {
    fn new(size: u16) -> Self {
        Self {
            size,
            asked: [0; ASKED],
            count: 0,
            heard: 0,
        }
    }

    fn ask(&mut self, seq: u32) {
        self.asked[self.count % ASKED] = seq;
        self.count += 1;
    }

    fn all(&self) -> &[u32] {
        &self.asked[..self.count.min(ASKED)]
    }

    fn has(&self, seq: u32) -> bool {
        self.all().contains(&seq)
    }

    /// Padded probes that left before this small one, which was answered.
    fn unanswered(&self, small: u32) -> usize {
        self.all().iter().filter(|asked| **asked < small).count()
    }

    /// Whether so many padded probes may have gone where the small ones behind them went that were not heard of, in a queue that overflows.
    fn may_be_loss(&self, unanswered: usize) -> bool {
        let heard = self.heard.min(unanswered) as f64 / unanswered.max(1) as f64;
        unanswered < ASKED && (1.0 - heard).powi(unanswered as i32) > FALSE_ALARM
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Nanos = 1_000_000;
    const PROOFS: usize = 3;

    /// A link with a round trip of 20 ms, polled each 5 ms and probed each 20 ms, that carries 100 frames a second of the proven size.
    struct Link {
        search: MtuSearch,
        carries: u16,
        busy: bool,
        now: Nanos,
        seq: u32,
        sent: u32,
        received: u32,
        /// When they come back, their number and size, and what was sent and received until they left.
        flying: Vec<(Nanos, u32, u16, u32, u32)>,
    }

    impl Link {
        fn new(limit: u16, carries: u16, busy: bool) -> Self {
            Self {
                search: MtuSearch::new(limit),
                carries,
                busy,
                now: 0,
                seq: 0,
                sent: 0,
                received: 0,
                flying: Vec::new(),
            }
        }

        fn send(&mut self, size: u16) -> bool {
            self.sent += 1;
            self.received += u32::from(size <= self.carries);
            size <= self.carries
        }

        fn probe(&mut self, size: Option<u16>) {
            self.seq += 1;
            if self.send(size.unwrap_or(100)) {
                let back = self.now + 20 * MS;
                let (sent, received) = (self.sent, self.received);
                let size = size.unwrap_or(0);
                self.flying.push((back, self.seq, size, sent, received));
            }
            if size.is_none() {
                self.search.small_sent(self.seq);
            }
        }

        /// When the proven size became `size`, by the time `until`.
        fn run(&mut self, until: Nanos, size: u16) -> Option<Nanos> {
            let mut since = None;
            while self.now < until {
                let now = self.now;
                for (_, seq, size, sent, received) in self.flying.extract_if(.., |one| one.0 <= now)
                {
                    match size {
                        0 => {
                            let counts = (sent, received);
                            self.search.small_answered(now, seq, counts, PROOFS);
                        }
                        size => self.search.answered(now, seq, size),
                    }
                }
                if self.busy && now.is_multiple_of(10 * MS) {
                    let size = self.search.proven();
                    self.search.frames_sent(now, size, 1);
                    self.send(size);
                }
                if let Some(size) = self.search.poll(now, self.seq + 1, PROOFS) {
                    self.probe(Some(size));
                    self.probe(None);
                } else if now.is_multiple_of(20 * MS) {
                    self.probe(None);
                }
                match self.search.proven() == size {
                    true => _ = since.get_or_insert(now),
                    false => since = None,
                }
                self.now += 5 * MS;
            }
            since
        }
    }

    #[test]
    fn a_link_that_carries_its_limit_is_used_to_the_full_at_once() {
        let mut link = Link::new(1500, 1500, false);
        assert_eq!(link.search.proven(), 1280);
        assert_eq!(link.run(100 * MS, 1500), Some(20 * MS));
        assert!(link.search.is_settled());
    }

    #[test]
    fn a_smaller_carrier_is_found_from_above() {
        let mut link = Link::new(1500, 1430, false);
        assert!(link.run(1_000 * MS, 1420).unwrap() <= 300 * MS);
        assert!(link.search.is_settled());
    }

    #[test]
    fn a_black_hole_is_left_after_two_round_trips_and_a_few_probes() {
        let mut link = Link::new(1500, 1500, true);
        link.run(1_000 * MS, 1500);
        link.carries = 1280;
        let left = link.run(2_000 * MS, 1280).unwrap() - 1_000 * MS;
        assert!(left <= 100 * MS, "{} ms", left / MS);
    }

    #[test]
    fn one_between_is_found_and_kept() {
        let mut link = Link::new(1500, 1500, true);
        link.run(1_000 * MS, 1500);
        link.carries = 1410;
        let found = link.run(2_000 * MS, 1400).unwrap() - 1_000 * MS;
        assert!(found <= 500 * MS, "{} ms", found / MS);
    }

    #[test]
    fn what_failed_is_tried_again_after_a_minute() {
        let mut link = Link::new(1500, 1280, false);
        link.run(3_000 * MS, 1280);
        assert_eq!(link.search.proven(), 1280);
        link.carries = 1500;
        assert!(link.run(70_000 * MS, 1500).is_some());
    }

    #[test]
    fn a_lower_limit_is_obeyed_and_a_higher_one_tried_at_once() {
        let mut link = Link::new(1500, 1500, false);
        link.run(100 * MS, 1500);
        link.search.set_limit(1400);
        assert_eq!(link.search.proven(), 1400);
        link.search.set_limit(1460);
        assert_eq!(link.run(200 * MS, 1460), Some(120 * MS));
    }
}
