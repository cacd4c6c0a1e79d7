//! Traffic between two nodes and the account of it: what was sent, what came, how late, and the longest silence. Pure.

use std::net::IpAddr;

use overlayd_node::Nanos;
use serde::{Deserialize, Serialize};

/// A constant stream of UDP packets from one node to another: `burst` packets each `interval_ns`.
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
    /// Bytes behind the UDP header.
    pub payload_bytes: usize,
    #[serde(default)]
    pub dscp: u8,
    pub start_ns: Nanos,
    pub stop_ns: Nanos,
}

fn one() -> u32 {
    1
}

/// What a stream's receiver saw. Delays in nanoseconds from sending to the first copy's arrival.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct StreamReport {
    pub sent: u64,
    pub delivered: u64,
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
        self.sent += u64::from(self.stream.burst);
        let due = self.stream.sent_at(self.sent);
        (first..self.sent, (due < self.stream.stop_ns).then_some(due))
    }
}

impl Stream {
    fn sent_at(&self, number: u64) -> Nanos {
        self.start_ns + number / u64::from(self.burst.max(1)) * self.interval_ns
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
            if !(from_ns..until_ns).contains(&sent_at) {
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
            payload_bytes: 100,
            dscp: 0,
            start_ns: 0,
            stop_ns: 5_000_000,
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
        assert_eq!(report.outage_ns, 2_000_000);
    }
}
