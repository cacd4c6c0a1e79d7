//! Whether a link or a path still answers: round-trip time, loss of probes, and the verdict "down".
//!
//! Down is when so many successive probes stayed unanswered that loss alone explains it once in a million, and the newest of them is
//! overdue. Proof of life is about the outgoing direction: an answer to something sent at time t clears all probes sent up to t. Who
//! probes when is in `link` and `path`. Pure.

use std::collections::VecDeque;

use crate::Nanos;

/// Probes on links and paths that carry traffic or stand by for it.
pub(crate) const FAST: Nanos = 20_000_000;
/// Probes elsewhere.
pub(crate) const SLOW: Nanos = 1_000_000_000;

/// So often may loss alone pass for death.
const FALSE_ALARM: f64 = 1e-6;
const UNANSWERED_MIN: usize = 3;
const UNANSWERED_MAX: usize = 8;
/// Round trip assumed before the first sample.
const RTT_UNKNOWN: Nanos = 300_000_000;
const VARIATION_MIN: Nanos = 5_000_000;
/// Unanswered probes that are remembered: a round trip of 1.2 s at the fast pace.
const PENDING_MAX: usize = 64;
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

#[derive(Debug)]
pub(crate) struct Liveness {
    life: Life,
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

    /// A probe sent at `sent` was answered after `rtt`. True: this brought it up.
    pub(crate) fn answered(&mut self, sent: Nanos, rtt: Nanos) -> bool {
        self.rtt.sample(rtt);
        let before = self.pending.len();
        self.proved(sent);
        let skipped = (before - self.pending.len()).saturating_sub(1);
        for _ in 0..skipped {
            self.loss_ratio += (1.0 - self.loss_ratio) * LOSS_GAIN;
        }
        self.loss_ratio -= self.loss_ratio * LOSS_GAIN;
        let rises = match self.life {
            Life::Unknown => true,
            Life::Up => false,
            // A late answer to an older probe says how slow it was, not that it lives.
            Life::Down(since) => sent >= since,
        };
        if rises {
            self.life = Life::Up;
        }
        rises
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
        let newest = self.pending.get(self.unanswered_limit() - 1)?;
        Some(newest + self.patience())
    }

    /// True: it just went down.
    pub(crate) fn check(&mut self, now: Nanos) -> bool {
        let falls = self.verdict_at().is_some_and(|at| at <= now);
        if falls {
            self.fall(now);
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

    fn unanswered_limit(&self) -> usize {
        let loss = self.loss_ratio.clamp(1e-9, 0.999);
        let count = (FALSE_ALARM.ln() / loss.ln()).ceil() as usize;
        count.clamp(UNANSWERED_MIN, UNANSWERED_MAX)
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
    fn a_late_answer_does_not_revive_but_a_fresh_one_does() {
        let mut liveness = Liveness::new();
        assert!(liveness.answered(0, 40 * MS));
        for sent in [100, 120, 140] {
            liveness.probe_sent(sent * MS);
        }
        assert!(liveness.check(400 * MS));
        assert!(!liveness.answered(140 * MS, 300 * MS));
        assert!(!liveness.is_up());
        liveness.probe_sent(500 * MS);
        assert!(liveness.answered(500 * MS, 300 * MS));
    }
}
