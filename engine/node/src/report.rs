//! What the agent hears each second of links and paths in use, and every five of the others and of totals. Pure.

use crate::event::{Event, LinkReport};
use crate::link::Link;
use crate::path::Watch;
use crate::{Nanos, Node};

pub(crate) const INTERVAL: Nanos = 1_000_000_000;
/// Totals come with every so many reports.
const COUNTERS_EVERY: u64 = 5;
/// A link that nothing needs is told with every so many reports, unless it came up or went down; its turn follows from its place, so that not
/// all are told at once.
const IDLE_EVERY: u64 = 5;

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
        self.pace.end_second(now);
        let (at_ns, generation) = (now, self.tables.generation);
        let links: Vec<_> = (self.reports..)
            .zip(&mut self.links)
            .filter_map(|(turn, link)| Some((turn.is_multiple_of(IDLE_EVERY), link.as_mut()?)))
            .filter(|(turn, link)| *turn || link.is_needed(now) || link.has_turned())
            .map(|(_, link)| report_link(link))
            .collect();
        if !links.is_empty() {
            self.output.events.push(Event::Links {
                at_ns,
                generation,
                links,
            });
        }
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
        if !paths.is_empty() {
            self.output.events.push(Event::Paths {
                at_ns,
                generation,
                paths,
            });
        }
    }
}

fn report_link(link: &mut Link) -> LinkReport {
    let interval = link.meter.report();
    link.told_up = link.liveness.is_up();
    LinkReport {
        link: link.id,
        peer: link.peer,
        uplink: link.exit.uplink,
        remote: link.exit.remote,
        up: link.told_up,
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
        queues: link.exit.pacer.queue_reports(),
    }
}
