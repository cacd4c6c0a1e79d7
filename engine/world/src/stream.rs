//! Traffic between two nodes and the account of it: what was sent, what came, how late, and the longest silence. Pure.

use std::net::IpAddr;

use overlayd_node::Nanos;
use serde::{Deserialize, Serialize};

/// A constant stream of UDP packets from one node to another: `burst` packets each `interval_ns`, or `burst` to `burst_max` of them.
///
/// Which numbers a burst has follows from its place alone: those behind `place · most`, as many as it is long.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Stream {
    pub from: usize,
    pub to: usize,
    /// Inner addresses.
    pub source: IpAddr,
    pub destination: IpAddr,
    pub interval_ns: Nanos,
    #[serde(default = "one")]
    pub burst: u32,
    /// 0: all bursts are alike.
    #[serde(default)]
    pub burst_max: u32,
    /// Bytes behind the UDP header.
    pub payload_bytes: usize,
    #[serde(default)]
    pub dscp: u8,
    pub start_ns: Nanos,
    pub stop_ns: Nanos,
    /// A packet that took longer is late.
    #[serde(default = "ever")]
    pub late_after_ns: Nanos,
}

fn ever() -> Nanos {
    Nanos::MAX
}

fn one() -> u32 {
    1
}

/// What a stream's receiver saw. Delays in nanoseconds from sending to the first copy's arrival.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct StreamReport {
    pub sent: u64,
    pub delivered: u64,
    /// Of those delivered.
    pub late: u64,
    pub duplicated: u64,
    /// Packets that came with another content than was sent, or at a node they were not sent to.
    pub altered: u64,
    /// Packets that came after one that was sent later.
    pub reordered: u64,
    pub delay_p50_ns: Nanos,
    pub delay_p99_ns: Nanos,
    pub delay_max_ns: Nanos,
    /// The longest stretch of sending times of which nothing arrived.
    pub outage_ns: Nanos,
}

/// The sender's half of a stream under way.
#[derive(Clone, Debug)]
pub(crate) struct Source {
    pub(crate) stream: Stream,
    pub(crate) sent: u64,
}

impl Source {
    /// The numbers to send now, and when the next burst is due.
    pub(crate) fn next_burst(&mut self) -> (std::ops::Range<u64>, Option<Nanos>) {
        let first = self.sent;
        self.sent += self.stream.most();
        let due = self.stream.sent_at(self.sent);
        let length = self.stream.length(first);
        (
            first..first + length,
            (due < self.stream.stop_ns).then_some(due),
        )
    }
}

impl Stream {
    fn sent_at(&self, number: u64) -> Nanos {
        self.start_ns + number / self.most() * self.interval_ns
    }

    /// Numbers that a burst takes.
    fn most(&self) -> u64 {
        self.burst.max(self.burst_max).max(1).into()
    }

    /// Packets of the burst that a number belongs to: anything from `burst` to `burst_max`, as if drawn.
    fn length(&self, number: u64) -> u64 {
        let spread = self.most() - u64::from(self.burst.max(1));
        let mixed = (number / self.most() + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        u64::from(self.burst.max(1)) + (mixed ^ mixed >> 27) % (spread + 1)
    }

    /// Whether a packet has this number.
    fn has(&self, number: u64) -> bool {
        number % self.most() < self.length(number)
    }
}

/// What became of a stream's packets.
#[derive(Debug)]
pub(crate) struct Account {
    pub(crate) stream: Stream,
    /// Delay of each packet sent, by number, in microseconds + 1; 0: not arrived.
    delays: Vec<u32>,
    highest: Option<u64>,
    duplicated: u64,
    altered: u64,
    reordered: u64,
}

impl Account {
    pub(crate) fn new(stream: Stream) -> Self {
        Self {
            stream,
            delays: Vec::new(),
            highest: None,
            duplicated: 0,
            altered: 0,
            reordered: 0,
        }
    }

    /// So many packets have been sent so far.
    pub(crate) fn sent(&mut self, packets: u64) {
        self.delays.resize(packets as usize, 0);
    }

    pub(crate) fn arrived(&mut self, now: Nanos, at_node: usize, number: u64) {
        let sent_at = self.stream.sent_at(number);
        let Some(delay) = self.delays.get_mut(number as usize) else {
            self.altered += 1;
            return;
        };
        if at_node != self.stream.to {
            self.altered += 1;
            return;
        }
        if *delay != 0 {
            self.duplicated += 1;
            return;
        }
        *delay = (now.saturating_sub(sent_at) / 1_000) as u32 + 1;
        if self.highest.is_some_and(|highest| highest > number) {
            self.reordered += 1;
        }
        self.highest = self.highest.max(Some(number));
    }

    /// The account of the packets sent in `from_ns..until_ns`.
    pub(crate) fn report(&self, from_ns: Nanos, until_ns: Nanos) -> StreamReport {
        let mut report = StreamReport {
            duplicated: self.duplicated,
            altered: self.altered,
            reordered: self.reordered,
            ..StreamReport::default()
        };
        let mut delays = Vec::new();
        let mut silent_since = None;
        for (number, delay) in self.delays.iter().enumerate() {
            let sent_at = self.stream.sent_at(number as u64);
            if !(from_ns..until_ns).contains(&sent_at) || !self.stream.has(number as u64) {
                continue;
            }
            report.sent += 1;
            if *delay == 0 {
                let since = *silent_since.get_or_insert(sent_at);
                report.outage_ns = report
                    .outage_ns
                    .max(sent_at - since + self.stream.interval_ns);
            } else {
                silent_since = None;
                delays.push(*delay - 1);
            }
        }
        delays.sort_unstable();
        let quantile = |share: f64| {
            let index =
                ((delays.len() as f64 * share).ceil() as usize).clamp(1, delays.len().max(1)) - 1;
            delays.get(index).map_or(0, |us| u64::from(*us) * 1_000)
        };
        report.delivered = delays.len() as u64;
        let in_time =
            delays.partition_point(|us| u64::from(*us) * 1_000 <= self.stream.late_after_ns);
        report.late = (delays.len() - in_time) as u64;
        report.delay_p50_ns = quantile(0.5);
        report.delay_p99_ns = quantile(0.99);
        report.delay_max_ns = quantile(1.0);
        report
    }

    pub(crate) fn count_altered(&mut self) {
        self.altered += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stream() -> Stream {
        Stream {
            from: 0,
            to: 1,
            source: IpAddr::from([10, 0, 0, 1]),
            destination: IpAddr::from([10, 0, 0, 2]),
            interval_ns: 1_000_000,
            burst: 1,
            burst_max: 0,
            payload_bytes: 100,
            dscp: 0,
            start_ns: 0,
            stop_ns: 5_000_000,
            late_after_ns: 4_500_000,
        }
    }

    #[test]
    fn the_account_tells_loss_delay_order_and_silence() {
        let mut source = Source {
            stream: stream(),
            sent: 0,
        };
        let mut bursts = 0;
        loop {
            bursts += 1;
            if source.next_burst().1.is_none() {
                break;
            }
        }
        assert_eq!(bursts, 5);
        let mut account = Account::new(stream());
        account.sent(source.sent);
        account.arrived(3_000_000, 1, 0);
        account.arrived(8_000_000, 1, 4);
        account.arrived(8_000_000, 1, 3);
        account.arrived(9_000_000, 1, 3);
        account.arrived(9_000_000, 2, 1);
        let report = account.report(0, u64::MAX);
        assert_eq!(
            (
                report.sent,
                report.delivered,
                report.duplicated,
                report.altered,
                report.reordered
            ),
            (5, 3, 1, 1, 1)
        );
        assert_eq!(
            (report.delay_p50_ns, report.delay_max_ns),
            (4_000_000, 5_000_000)
        );
        assert_eq!((report.late, report.outage_ns), (1, 2_000_000));
    }

    #[test]
    fn bursts_of_different_lengths_are_all_accounted_for() {
        let stream = Stream {
            burst: 3,
            burst_max: 6,
            stop_ns: 1_000_000_000,
            ..stream()
        };
        let mut account = Account::new(stream.clone());
        let mut source = Source { stream, sent: 0 };
        let mut lengths = [0; 8];
        let mut sent = 0;
        loop {
            let (numbers, next) = source.next_burst();
            lengths[(numbers.end - numbers.start) as usize] += 1;
            sent += numbers.end - numbers.start;
            account.sent(source.sent);
            for number in numbers {
                let at = account.stream.sent_at(number);
                account.arrived(at + 1_000, 1, number);
            }
            if next.is_none() {
                break;
            }
        }
        let report = account.report(0, u64::MAX);
        assert_eq!((report.sent, report.delivered), (sent, sent));
        assert_eq!(lengths[..3], [0; 3]);
        assert!(
            lengths[3..7].iter().all(|count| *count > 150),
            "{lengths:?}"
        );
    }
}
