//! What the agent hears each second of links and paths, and every five of totals. Pure.

use crate::event::{Event, LinkReport};
use crate::link::Link;
use crate::path::Watch;
use crate::{Nanos, Node};

pub(crate) const INTERVAL: Nanos = 1_000_000_000;
/// Totals come with every so many reports.
const COUNTERS_EVERY: u64 = 5;

impl Node {
    pub(crate) fn report(&mut self, now: Nanos) {
        if now < self.reports_at {
            return;
        }
        self.reports_at = (self.reports_at + INTERVAL).max(now + INTERVAL / 2);
        if self.snapshot.is_none() {
            return;
        }
        self.reports += 1;
        let (at_ns, generation) = (now, self.tables.generation);
        let links = self
            .links
            .iter_mut()
            .flatten()
            .map(|link| report_link(link))
            .collect();
        self.output.events.push(Event::Links {
            at_ns,
            generation,
            links,
        });
        self.report_paths(now);
        if self.reports.is_multiple_of(COUNTERS_EVERY) {
            let counters = Box::new(self.counters());
            self.output.events.push(Event::Counters {
                at_ns,
                generation,
                counters,
            });
        }
        // Round trips may have changed which link to a peer is the best.
        for peer in &mut self.peers {
            peer.choose_link(&self.links);
        }
    }

    fn report_paths(&mut self, now: Nanos) {
        let mut paths = Vec::new();
        for set in self
            .routes
            .sets
            .iter_mut()
            .filter(|set| set.watch(now) != Watch::Not)
        {
            paths.extend((0..set.paths.len()).map(|place| set.report(place)));
        }
        let (at_ns, generation) = (now, self.tables.generation);
        self.output.events.push(Event::Paths {
            at_ns,
            generation,
            paths,
        });
    }
}

fn report_link(link: &mut Link) -> LinkReport {
    let interval = link.meter.report();
    LinkReport {
        link: link.id,
        peer: link.peer,
        uplink: link.exit.uplink,
        remote: link.exit.remote,
        up: link.liveness.is_up(),
        samples: interval.samples,
        rtt_min_ns: interval.rtt_min,
        rtt_mean_ns: interval.rtt_sum.checked_div(interval.samples.into()),
        jitter_out_ns: interval.out.jitter_ns(),
        jitter_in_ns: interval.inward.jitter_ns(),
        loss_out_ratio: interval.out.loss_ratio(),
        loss_in_ratio: interval.inward.loss_ratio(),
        delivered_bps: interval.delivered_bps,
        budget_bps: link.exit.pacer.rate_bps().or(link.meter.rate_bps()),
        mtu: link.mtu.proven(),
        sent_bytes: link.exit.sent_bytes,
        received_bytes: link.received_bytes,
        repair: link.repair_reports(),
    }
}
