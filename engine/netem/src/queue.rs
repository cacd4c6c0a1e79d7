//! The byte queue before a link's bottleneck, kept as times instead of packets.
//!
//! A packet's departure is fixed when it is offered, so the queue is the time until which the bottleneck is
//! promised. After a change of the rate, the promises made before it still drain at the pace they were made
//! for. Pure; called by [`crate::Link`].

const NS_PER_SECOND: u128 = 1_000_000_000;

/// A FIFO queue in bytes with tail drop, drained at a rate.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct RateQueue {
    /// The bottleneck is busy until then.
    busy_until_ns: u64,
    /// Promises up to here were made before the last change of the rate …
    old_until_ns: u64,
    /// … and stand for this many bits per second.
    old_rate_bps: u64,
}

impl RateQueue {
    /// When a packet of `len` bytes has passed the bottleneck, or `None` where it finds no room.
    pub(crate) fn push(
        &mut self,
        now_ns: u64,
        len: u32,
        rate_bps: Option<u64>,
        room_bytes: u64,
    ) -> Option<u64> {
        let Some(rate_bps) = rate_bps else {
            // Without a limit a packet still waits behind what was queued while there was one.
            return Some(now_ns.max(self.busy_until_ns));
        };
        let backlog = self.backlog_bytes(now_ns, rate_bps);
        if backlog > 0 && backlog + u64::from(len) > room_bytes {
            return None;
        }
        let start_ns = now_ns.max(self.busy_until_ns);
        self.busy_until_ns = start_ns.saturating_add(serialisation_ns(len, rate_bps));
        Some(self.busy_until_ns)
    }

    /// Takes note that the rate changes now; the queue stays.
    pub(crate) fn rate_changes(&mut self, now_ns: u64, old_rate_bps: Option<u64>) {
        let left_ns = self.busy_until_ns.saturating_sub(now_ns);
        if left_ns == 0 {
            return;
        }
        let bytes = self.backlog_bytes(now_ns, old_rate_bps.unwrap_or(0));
        self.old_until_ns = self.busy_until_ns;
        self.old_rate_bps = (u128::from(bytes) * 8 * NS_PER_SECOND / u128::from(left_ns)) as u64;
    }

    /// Bytes that wait or are being sent at `now_ns`.
    pub(crate) fn backlog_bytes(&self, now_ns: u64, rate_bps: u64) -> u64 {
        let old = bytes_in(self.old_until_ns.saturating_sub(now_ns), self.old_rate_bps);
        let new = bytes_in(
            self.busy_until_ns
                .saturating_sub(now_ns.max(self.old_until_ns)),
            rate_bps,
        );
        old + new
    }
}

/// The time that `len` bytes take at a rate, rounded up: a link is never faster than it says.
fn serialisation_ns(len: u32, rate_bps: u64) -> u64 {
    let ns = (u128::from(len) * 8 * NS_PER_SECOND).div_ceil(u128::from(rate_bps));
    u64::try_from(ns).unwrap_or(u64::MAX)
}

fn bytes_in(time_ns: u64, rate_bps: u64) -> u64 {
    (u128::from(time_ns) * u128::from(rate_bps) / (8 * NS_PER_SECOND)) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    const MBIT: u64 = 1_000_000;

    #[test]
    fn packets_leave_one_after_the_other_at_the_rate() {
        let mut queue = RateQueue::default();
        let times: Vec<_> = (0..3)
            .map(|_| queue.push(100, 1_250, Some(10 * MBIT), 10_000))
            .collect();
        assert_eq!(times, [Some(1_000_100), Some(2_000_100), Some(3_000_100)]);
    }

    #[test]
    fn a_full_queue_drops_from_the_tail_and_takes_more_once_it_drained() {
        let mut queue = RateQueue::default();
        let taken = (0..100)
            .filter(|_| queue.push(0, 1_000, Some(8 * MBIT), 10_000).is_some())
            .count();
        assert_eq!(taken, 10);
        assert_eq!(
            queue.push(1_000_000, 1_000, Some(8 * MBIT), 10_000),
            Some(11_000_000)
        );
        assert_eq!(queue.push(1_000_000, 1_000, Some(8 * MBIT), 10_000), None);
    }

    #[test]
    fn an_idle_link_takes_a_packet_longer_than_its_queue() {
        assert!(
            RateQueue::default()
                .push(0, 1_500, Some(MBIT), 100)
                .is_some()
        );
    }

    #[test]
    fn a_change_of_rate_keeps_the_backlog_in_bytes() {
        let mut queue = RateQueue::default();
        for _ in 0..10 {
            queue.push(0, 1_000, Some(8 * MBIT), 10_000);
        }
        queue.rate_changes(5_000_000, Some(8 * MBIT));
        assert_eq!(queue.backlog_bytes(5_000_000, 80 * MBIT), 5_000);
        // Behind the old backlog, which ends at 10 ms as promised, the new rate holds.
        assert_eq!(
            queue.push(5_000_000, 1_000, Some(80 * MBIT), 10_000),
            Some(10_100_000)
        );
        assert_eq!(queue.backlog_bytes(5_000_000, 80 * MBIT), 6_000);
        queue.rate_changes(10_000_000, Some(80 * MBIT));
        assert_eq!(queue.backlog_bytes(10_000_000, MBIT), 1_000);
    }

    #[test]
    fn lifting_the_limit_keeps_the_order() {
        let mut queue = RateQueue::default();
        let last = queue.push(0, 1_000, Some(MBIT), 10_000);
        queue.rate_changes(0, Some(MBIT));
        assert_eq!(queue.push(1, 1_000, None, 10_000), last);
    }
}
