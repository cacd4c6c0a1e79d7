//! Whether a link or a path still answers: round-trip time, loss of probes, and the verdict "down".
//!
//! Down is when so many successive probes stayed unanswered that loss alone explains it once in a million, and the newest of them is
//! overdue. Proof of life is about the outgoing direction: an answer to something sent at time t clears all probes sent up to t. A verdict is
//! taken back when one of the probes that led to it is answered after all: slow is not dead. Who probes when is in `link` and `path`. Pure.

use std::collections::VecDeque;

use crate::Nanos;

/// Probes on links and paths that carry traffic.
pub(crate) const FAST: Nanos = 20_000_000;
/// Probes on those that stand by for them.
pub(crate) const STAND_BY: Nanos = 100_000_000;
/// Probes elsewhere.
pub(crate) const SLOW: Nanos = 1_000_000_000;

/// So often may loss alone pass for death.
const FALSE_ALARM: f64 = 1e-6;
/// And so often for doubt, which costs some copies.
const DOUBT: f64 = 1e-3;
const UNANSWERED_MIN: usize = 3;
/// Of a link that loses more than half of its probes, loss alone may be taken for death.
const UNANSWERED_MAX: usize = 24;
/// Round trip assumed before the first sample.
const RTT_UNKNOWN: Nanos = 300_000_000;
const VARIATION_MIN: Nanos = 5_000_000;
/// Unanswered probes that are remembered: a round trip of 1.2 s at the fast pace.
const PENDING_MAX: usize = 64;
/// So long after a verdict it may be taken back: what held probes for longer was a break.
const TAKE_BACK: Nanos = 1_000_000_000;
/// Weight of one probe in the loss estimate.
const LOSS_GAIN: f64 = 1.0 / 64.0;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Life {
    /// Nothing was heard yet, nothing is overdue.
    Unknown,
    Up,
    /// Since then.
    Down(Nanos),
}

/// What an answer changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Turn {
    Nothing,
    /// It lives, or lives again.
    Up,
    /// It never was down: the verdict of then was wrong.
    TakenBack(Nanos),
}

#[derive(Debug)]
pub(crate) struct Liveness {
    life: Life,
    /// When the first of the probes was sent whose silence made the verdict "down".
    silent_since: Option<Nanos>,
    /// When each probe was sent that nothing has proved to have arrived; ascending.
    pending: VecDeque<Nanos>,
    rtt: RoundTrip,
    /// Of probes, there and back.
    loss_ratio: f64,
}

/// Smoothed round trip (RFC 6298).
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct RoundTrip {
    smoothed: Option<Nanos>,
    variation: Nanos,
}

impl Liveness {
    pub(crate) fn new() -> Self {
        Self {
            life: Life::Unknown,
            silent_since: None,
            pending: VecDeque::with_capacity(PENDING_MAX),
            rtt: RoundTrip::default(),
            loss_ratio: 0.0,
        }
    }

    pub(crate) fn life(&self) -> Life {
        self.life
    }

    pub(crate) fn is_up(&self) -> bool {
        self.life == Life::Up
    }

    pub(crate) fn rtt(&self) -> Option<Nanos> {
        self.rtt.smoothed
    }

    /// After this long without an answer a probe is overdue.
    pub(crate) fn patience(&self) -> Nanos {
        self.rtt.patience()
    }

    pub(crate) fn probe_sent(&mut self, now: Nanos) {
        if self.pending.len() < PENDING_MAX {
            self.pending.push_back(now);
        }
    }

    /// A probe sent at `sent` was answered after `rtt`.
    pub(crate) fn answered(&mut self, sent: Nanos, rtt: Nanos) -> Turn {
        self.rtt.sample(rtt);
        let before = self.pending.len();
        self.proved(sent);
        let skipped = (before - self.pending.len()).saturating_sub(1);
        for _ in 0..skipped {
            self.loss_ratio += (1.0 - self.loss_ratio) * LOSS_GAIN;
        }
        self.loss_ratio -= self.loss_ratio * LOSS_GAIN;
        let turn = match self.life {
            Life::Up => Turn::Nothing,
            Life::Unknown => Turn::Up,
            Life::Down(since) if sent >= since => Turn::Up,
            Life::Down(since) => {
                let accused = self.silent_since.is_some_and(|first| sent >= first);
                match accused && sent + rtt < since + TAKE_BACK {
                    true => Turn::TakenBack(since),
                    false => Turn::Nothing,
                }
            }
        };
        if let Turn::TakenBack(_) = turn {
            // It has become another link or path: what was known of its pace would accuse it again.
            self.rtt = RoundTrip::default();
            self.rtt.sample(rtt);
        }
        if turn != Turn::Nothing {
            self.life = Life::Up;
        }
        turn
    }

    /// Something sent at `sent` has arrived: so did, or would have, all probes before it.
    pub(crate) fn proved(&mut self, sent: Nanos) {
        while self.pending.front().is_some_and(|probe| *probe <= sent) {
            self.pending.pop_front();
        }
    }

    /// When the verdict falls if nothing is heard and no more probes are sent.
    pub(crate) fn verdict_at(&self) -> Option<Nanos> {
        if matches!(self.life, Life::Down(_)) {
            return None;
        }
        if self.pending.len() < UNANSWERED_MIN {
            return None;
        }
        let newest = self.pending.get(self.unanswered_limit() - 1)?;
        Some(newest + self.patience())
    }

    /// True: it just went down.
    pub(crate) fn check(&mut self, now: Nanos) -> bool {
        let falls = self.verdict_at().is_some_and(|at| at <= now);
        if falls {
            let first = self.pending.front().copied();
            self.fall(now);
            self.silent_since = first;
        }
        falls
    }

    /// Probing was paused: what is unanswered from before says nothing.
    pub(crate) fn forget_pending(&mut self) {
        self.pending.clear();
    }

    /// It is known to be dead from elsewhere (its session is gone).
    pub(crate) fn fall(&mut self, now: Nanos) {
        self.life = Life::Down(now);
        self.silent_since = None;
        self.pending.clear();
    }

    /// Whether an overdue probe asks for quick confirmation, by fast probes.
    pub(crate) fn is_suspect(&self, now: Nanos) -> bool {
        let overdue = |sent: &Nanos| sent + self.patience() <= now;
        !matches!(self.life, Life::Down(_)) && self.pending.front().is_some_and(overdue)
    }

    /// When suspicion begins, unless an answer comes.
    pub(crate) fn suspect_at(&self) -> Option<Nanos> {
        if matches!(self.life, Life::Down(_)) {
            return None;
        }
        self.pending.front().map(|sent| sent + self.patience())
    }

    /// Less than the verdict: so many successive probes are overdue that chance explains it once in a thousand times. What was sent before the
    /// time in the answer has arrived; `None`: there is no doubt.
    pub(crate) fn doubtful_since(&self, now: Nanos) -> Option<Nanos> {
        if let Life::Down(_) = self.life {
            return Some(self.silent_since.unwrap_or(0).saturating_sub(FAST));
        }
        self.doubtful_at().filter(|at| *at <= now)?;
        self.pending.front().map(|probe| probe.saturating_sub(FAST))
    }

    /// When doubt begins, unless an answer comes.
    pub(crate) fn doubtful_at(&self) -> Option<Nanos> {
        let count = self.unexplained(DOUBT).clamp(1, UNANSWERED_MAX);
        let newest = self.pending.get(count - 1)?;
        Some(newest + self.patience())
    }

    /// So many probes in a row are not lost by chance.
    pub(crate) fn unanswered_limit(&self) -> usize {
        self.unexplained(FALSE_ALARM)
            .clamp(UNANSWERED_MIN, UNANSWERED_MAX)
    }

    /// The least number of probes in a row that loss alone takes with this chance.
    fn unexplained(&self, chance: f64) -> usize {
        let loss = self.loss_ratio.clamp(1e-9, 0.999);
        (chance.ln() / loss.ln()).ceil() as usize
    }
}

impl RoundTrip {
    pub(crate) fn sample(&mut self, rtt: Nanos) {
        match self.smoothed {
            None => (self.smoothed, self.variation) = (Some(rtt), rtt / 2),
            Some(smoothed) => {
                self.variation = (3 * self.variation + smoothed.abs_diff(rtt)) / 4;
                self.smoothed = Some((7 * smoothed + rtt) / 8);
            }
        }
    }

    pub(crate) fn patience(&self) -> Nanos {
        match self.smoothed {
            Some(smoothed) => smoothed + (4 * self.variation).max(VARIATION_MIN),
            None => RTT_UNKNOWN,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Nanos = 1_000_000;

    /// Probes each 20 ms, answered after 40 ms up to `answered_until`; when the verdict falls.
    fn run(until: Nanos, lost: impl Fn(u64) -> bool) -> Option<Nanos> {
        let mut liveness = Liveness::new();
        let mut down = None;
        for now in (0..until).step_by(MS as usize) {
            if now >= 40 * MS && (now - 40 * MS).is_multiple_of(FAST) {
                let probe = (now - 40 * MS) / FAST;
                if !lost(probe) {
                    liveness.answered(probe * FAST, 40 * MS);
                }
            }
            if now.is_multiple_of(FAST) {
                liveness.probe_sent(now);
            }
            if liveness.check(now) {
                down.get_or_insert(now);
            }
        }
        down
    }

    #[test]
    fn a_clean_link_of_40_ms_is_down_105_ms_after_its_last_answered_probe() {
        let death = 10_000 * MS;
        let last_good = death / FAST;
        let down = run(death + 1_000 * MS, |probe| probe > last_good);
        assert_eq!(down, Some(last_good * FAST + 105 * MS));
    }

    #[test]
    fn five_percent_loss_is_not_death() {
        let lost = |probe: u64| probe.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32 & 0xff < 13;
        assert_eq!(run(600_000 * MS, lost), None);
    }

    #[test]
    fn one_in_three_lost_is_not_death_either_and_a_death_there_is_seen_within_half_a_second() {
        // SplitMix64: a product alone is too regular to bring long runs.
        let lost = |probe: u64| {
            let mixed = (probe ^ probe >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
            (mixed ^ mixed >> 31) & 0xff < 85
        };
        assert_eq!(run(600_000 * MS, lost), None);
        let death = 10_000 * MS;
        let down = run(death + 1_000 * MS, |probe| {
            lost(probe) || probe * FAST > death
        });
        assert!(down.is_some_and(|at| at < death + 500 * MS), "{down:?}");
    }

    /// Down since 400 ms, for the silence of the probes of 100, 120 and 140 ms.
    fn fallen() -> Liveness {
        let mut liveness = Liveness::new();
        assert_eq!(liveness.answered(0, 40 * MS), Turn::Up);
        for sent in [100, 120, 140] {
            liveness.probe_sent(sent * MS);
        }
        assert!(liveness.check(400 * MS));
        liveness
    }

    #[test]
    fn a_late_answer_takes_the_verdict_back_and_the_new_pace_accuses_no_more() {
        let mut liveness = fallen();
        let taken_back = Turn::TakenBack(400 * MS);
        assert_eq!(liveness.answered(120 * MS, 300 * MS), taken_back);
        assert_eq!(liveness.rtt(), Some(300 * MS));
        for sent in (420..10_000).step_by(20) {
            if sent >= 720 {
                liveness.answered((sent - 300) * MS, 300 * MS);
            }
            liveness.probe_sent(sent * MS);
            assert!(!liveness.check(sent * MS));
        }
        // And a death after it is seen as fast as ever.
        assert!(liveness.check(9_980 * MS + 365 * MS));
    }

    #[test]
    fn what_was_sent_before_the_silence_or_came_too_late_revives_nothing() {
        let mut liveness = fallen();
        assert_eq!(liveness.answered(80 * MS, 350 * MS), Turn::Nothing);
        assert_eq!(liveness.answered(140 * MS, 1260 * MS), Turn::Nothing);
        assert!(!liveness.is_up());
        liveness.probe_sent(2000 * MS);
        assert_eq!(liveness.answered(2000 * MS, 40 * MS), Turn::Up);
    }

    #[test]
    fn what_is_known_to_be_dead_is_not_called_slow() {
        let mut liveness = fallen();
        liveness.fall(500 * MS);
        assert_eq!(liveness.answered(140 * MS, 400 * MS), Turn::Nothing);
    }
}
