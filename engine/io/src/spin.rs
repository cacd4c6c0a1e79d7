//! Whether to wait awake for the next packet: a core that sleeps costs a packet 30 to 80 µs on a virtual machine, one that stays awake
//! costs its time.
//!
//! Worth it is what comes soon and is little: requests and answers, calls, games, measurements; what nothing follows for long is not waited
//! for. What follows soon depends on where the last packets came from (after a request of this host comes the peer's answer, after its
//! answer perhaps nothing for long), so each source has its own record. A transfer loses nothing to a sleep until it needs most of a core: from
//! then on the sleeps are what it waits for. Pure; called by `shard`.

use overlayd_node::Nanos;

/// What is served drains at 4 bytes a microsecond (32 Mbit/s); where more stands than this, a transfer is under way.
const DRAIN_NS_PER_BYTE: Nanos = 250;
const BULK: Nanos = 32_768 * DRAIN_NS_PER_BYTE;
/// A transfer is forgotten this long after it.
const FULL: Nanos = 4 * BULK;

/// A transfer is waited for where more than half of the time lately was work.
const BUSY: u64 = ALL as u64 / 2;
const LATELY: Nanos = 20_000_000;

/// Of what came lately after packets of a source: the share that came in time, in parts of `ALL`. A new one counts for a `WEIGHT`th.
const ALL: u32 = 1 << 16;
const WORTH: u32 = ALL / 2;
const WEIGHT: u32 = 8;
/// A silence after which nothing is known any more. Shorter than the pauses of the quickest probes: a relay cannot tell them from traffic.
const SILENCE: Nanos = 15_000_000;

/// Where somebody else has use for the core, who stays awake gets his turn later than a sleeper who is woken: not again for so long. Each time
/// for twice as long, up to the most; each packet that it was awake for takes off a part, so that ten such times a second are too many.
const REST_MIN: Nanos = 50_000_000;
const REST_MAX: Nanos = 2_000_000_000;
const REWARD: Nanos = 64;

/// Where the last packets came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    Tun,
    Uplinks,
}

#[derive(Debug)]
pub(crate) struct Spin {
    most: Nanos,
    /// Share of what came in time, after packets of each source.
    in_time: [u32; 2],
    last: Option<(Source, Nanos)>,
    /// How long what was served takes to drain, from `last` on.
    standing: Nanos,
    /// Share of the time lately that was work, in parts of `ALL`; up to when.
    busy: u64,
    until: Nanos,
    rest: Nanos,
    rests_until: Nanos,
}

impl Spin {
    /// `most`: how long after a packet to stay awake for the next; 0: never.
    pub(crate) fn new(most: Nanos, now: Nanos) -> Self {
        Self {
            most,
            in_time: [0; 2],
            last: None,
            standing: 0,
            busy: 0,
            until: now,
            rest: 0,
            rests_until: 0,
        }
    }

    /// A batch of packets came, which were carried or taken in.
    pub(crate) fn served(&mut self, source: Source, bytes: usize, now: Nanos) {
        if let Some((before, at)) = self.last.replace((source, now)) {
            let gap = now.saturating_sub(at);
            if gap > SILENCE {
                self.in_time = [0; 2];
            }
            let share = &mut self.in_time[before as usize];
            *share -= *share / WEIGHT;
            if gap <= self.most {
                *share += ALL / WEIGHT;
            }
            self.standing = self.standing.saturating_sub(gap);
        }
        self.standing = FULL.min(self.standing + bytes as Nanos * DRAIN_NS_PER_BYTE);
    }

    /// It waited, awake or asleep, after work since the wait before.
    pub(crate) fn waited(&mut self, from: Nanos, now: Nanos) {
        let work = from.saturating_sub(self.until);
        let turn = now.saturating_sub(self.until).max(1);
        let weight = turn.min(LATELY);
        let share = u64::from(ALL) * work / turn;
        self.busy = (self.busy * (LATELY - weight) + share * weight) / LATELY;
        self.until = now;
    }

    /// Until when to wait awake; in the past: not at all.
    pub(crate) fn awake_until(&self, now: Nanos) -> Nanos {
        let Some((source, at)) = self.last.filter(|_| self.rests_until <= now) else {
            return 0;
        };
        let worth_it = match self.is_transfer() {
            true => self.busy > BUSY,
            false => self.in_time[source as usize] > WORTH,
        };
        if worth_it { at + self.most } else { 0 }
    }

    /// More came lately than requests and answers are.
    pub(crate) fn is_transfer(&self) -> bool {
        self.standing > BULK
    }

    /// Somebody else wants the core.
    pub(crate) fn crowded(&mut self, now: Nanos) {
        self.rest = (2 * self.rest).clamp(REST_MIN, REST_MAX);
        self.rests_until = now + self.rest;
    }

    /// Something came while it was awake.
    pub(crate) fn rewarded(&mut self) {
        self.rest -= self.rest / REWARD;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const US: Nanos = 1000;
    const MOST: Nanos = 3000 * US;

    /// An endless time; packets served in it.
    struct Line {
        spin: Spin,
        now: Nanos,
    }

    impl Line {
        fn new(most: Nanos) -> Self {
            Self {
                spin: Spin::new(most, 1_000_000 * US),
                now: 1_000_000 * US,
            }
        }

        fn served(&mut self, source: Source, bytes: usize, after: Nanos) -> &mut Self {
            self.now += after;
            self.spin.served(source, bytes, self.now);
            self
        }

        /// How long it would wait awake now.
        fn awake(&self) -> Nanos {
            self.spin.awake_until(self.now).saturating_sub(self.now)
        }

        /// Requests of 100 bytes, each answered after 60 µs, the next after a rest.
        fn requests(&mut self, rest: Nanos) -> &mut Self {
            for _ in 0..50 {
                self.served(Source::Tun, 100, rest)
                    .served(Source::Uplinks, 100, 60 * US);
            }
            self
        }
    }

    #[test]
    fn what_comes_in_time_is_waited_for_and_what_comes_later_is_not() {
        for (rest, after_answer) in [(2000 * US, MOST), (3100 * US, 0)] {
            let mut line = Line::new(MOST);
            assert_eq!(line.requests(rest).awake(), after_answer);
            assert_eq!(
                line.served(Source::Tun, 100, rest).awake(),
                MOST,
                "the answer"
            );
        }
    }

    #[test]
    fn one_late_packet_changes_nothing_and_many_do() {
        let mut line = Line::new(MOST);
        line.requests(2000 * US);
        line.served(Source::Tun, 100, 10_000 * US)
            .served(Source::Uplinks, 100, 60 * US);
        assert_eq!(line.awake(), MOST);
        assert_eq!(line.requests(10_000 * US).awake(), 0);
    }

    #[test]
    fn after_a_silence_it_begins_anew() {
        let mut line = Line::new(MOST);
        line.requests(2000 * US);
        for _ in 0..100 {
            line.served(Source::Uplinks, 100, SILENCE + US);
            for _ in 0..3 {
                line.served(Source::Uplinks, 100, 100 * US);
            }
        }
        assert_eq!(line.awake(), 0);
    }

    #[test]
    fn a_timer_between_two_packets_does_not_end_the_wait() {
        let mut line = Line::new(MOST);
        line.requests(2000 * US).now += 500 * US;
        assert_eq!(line.awake(), MOST - 500 * US);
        line.now += MOST;
        assert_eq!(line.awake(), 0);
    }

    #[test]
    fn nothing_is_waited_for_during_a_transfer_and_soon_after_it_again() {
        let mut line = Line::new(MOST);
        // 500 Mbit/s: a super-packet each millisecond, and small confirmations the other way.
        for _ in 0..20 {
            line.served(Source::Tun, 62_500, 900 * US)
                .served(Source::Uplinks, 80, 100 * US);
        }
        assert_eq!(line.awake(), 0);
        assert_eq!(line.requests(2000 * US).awake(), MOST);
    }

    #[test]
    fn a_transfer_is_waited_for_where_it_is_most_of_the_work() {
        for (work, waits) in [(60 * US, MOST), (30 * US, 0)] {
            let mut line = Line::new(MOST);
            for _ in 0..1000 {
                line.served(Source::Tun, 65_000, 100 * US);
                line.spin.waited(line.now - (100 * US - work), line.now);
            }
            assert_eq!(line.awake(), waits, "{work}");
            line.spin.waited(line.now, line.now + 30 * 1000 * US);
            assert_eq!(line.awake(), 0, "after it");
        }
    }

    #[test]
    fn a_flood_of_small_packets_is_a_transfer() {
        let mut line = Line::new(MOST);
        for _ in 0..1000 {
            line.served(Source::Tun, 20 * 92, 200 * US);
        }
        assert_eq!(line.awake(), 0);
    }

    #[test]
    fn a_call_is_none() {
        let mut line = Line::new(MOST);
        for _ in 0..1000 {
            line.served(Source::Tun, 1200, 1000 * US);
        }
        assert_eq!(line.awake(), MOST);
    }

    #[test]
    fn where_somebody_else_wants_the_core_it_rests_the_longer_the_oftener() {
        let mut line = Line::new(MOST);
        line.requests(2000 * US);
        line.spin.crowded(line.now);
        assert_eq!(line.awake(), 0);
        line.now += REST_MIN;
        assert_eq!(line.requests(2000 * US).awake(), MOST);
        for _ in 0..20 {
            line.spin.crowded(line.now);
        }
        line.requests(2000 * US);
        assert_eq!(line.awake(), 0, "a tenth of a second later");
        line.now += REST_MAX;
        assert_eq!(line.requests(2000 * US).awake(), MOST);
        for _ in 0..500 {
            line.spin.rewarded();
        }
        line.spin.crowded(line.now);
        line.now += REST_MIN;
        assert_eq!(
            line.requests(2000 * US).awake(),
            MOST,
            "where it is worth it"
        );
    }

    #[test]
    fn it_can_be_switched_off() {
        let mut line = Line::new(0);
        assert_eq!(line.requests(US).awake(), 0);
    }
}
