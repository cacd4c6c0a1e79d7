//! What of the end-to-end datagrams to a destination arrives there, as the replies to probes of the path in use tell. Pure.

use crate::Nanos;

/// Of two replies the later one may tell of this much less: repair brought a probe, or its reply, after those that were sent behind it. What is
/// further back is another count: an end has started anew.
const OVERTAKEN: i32 = 1024;

/// How many were sent to the destination and how many it received. A path's own probes keep their place among its datagrams, but for
/// repair; on another path they overtake them, or are overtaken.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    /// Traffic has taken the path since.
    since: Nanos,
    last: Option<(u32, u32)>,
    /// Sums of the report interval.
    sent: i64,
    received: i64,
}

impl Counts {
    pub(crate) fn new(now: Nanos) -> Self {
        Self {
            since: now,
            ..Self::default()
        }
    }

    /// Both counts as the reply to a probe of `probe_sent` told them. What was sent before the path came into use may be lost on another.
    pub(crate) fn told(&mut self, probe_sent: Nanos, sent: u32, received: u32) {
        if probe_sent < self.since {
            return;
        }
        let (sent_before, received_before) = self.last.unwrap_or((sent, received));
        let newly_sent = sent.wrapping_sub(sent_before) as i32;
        let newly_received = received.wrapping_sub(received_before) as i32;
        let anew = newly_sent < -OVERTAKEN || newly_received < -OVERTAKEN;
        if newly_sent < 0 && !anew {
            return; // a probe that came late: what arrived meanwhile was not sent before it
        }
        self.last = Some((sent, received));
        if !anew {
            self.sent += i64::from(newly_sent);
            self.received += i64::from(newly_received);
        }
    }

    /// The loss in the report interval, which ends. More may arrive in an interval than was sent: what repair brought back late.
    pub(crate) fn take_loss_ratio(&mut self) -> Option<f64> {
        let (sent, received) = (
            std::mem::take(&mut self.sent),
            std::mem::take(&mut self.received),
        );
        (sent > 0).then(|| (sent - received).clamp(0, sent) as f64 / sent as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_lost_of_what_was_sent_is_told_once() {
        let mut counts = Counts::new(0);
        counts.told(1, 100, 100);
        counts.told(2, 200, 190);
        assert_eq!(counts.take_loss_ratio(), Some(0.1));
        assert_eq!(counts.take_loss_ratio(), None);
    }

    #[test]
    fn a_probe_that_repair_brought_late_makes_no_loss() {
        // Every third probe comes behind the one after it: it was sent before what has arrived by then.
        let mut counts = Counts::new(0);
        for probe in (0..300).step_by(3) {
            for (sent, received) in [
                (probe, probe),
                (probe + 2, probe + 2),
                (probe + 1, probe + 2),
            ] {
                counts.told(1, sent * 4, received * 4);
            }
        }
        assert_eq!(counts.take_loss_ratio(), Some(0.0));
    }

    #[test]
    fn replies_in_another_order_than_their_probes_came_make_no_loss() {
        let mut counts = Counts::new(0);
        for (sent, received) in [(0, 0), (40, 50), (50, 40), (100, 100)] {
            counts.told(1, sent, received);
        }
        assert_eq!(counts.take_loss_ratio(), Some(0.0));
    }

    #[test]
    fn an_end_that_counts_anew_has_lost_nothing_by_that() {
        let mut counts = Counts::new(0);
        counts.told(1, 90_000, 90_000);
        counts.told(2, 90_100, 5);
        counts.told(3, 90_200, 105);
        assert_eq!(counts.take_loss_ratio(), Some(0.0));
    }

    #[test]
    fn what_was_sent_before_the_path_came_into_use_is_not_its_loss() {
        let mut counts = Counts::new(10);
        counts.told(9, 0, 0);
        counts.told(11, 100, 50);
        counts.told(12, 200, 150);
        assert_eq!(counts.take_loss_ratio(), Some(0.0));
    }
}
