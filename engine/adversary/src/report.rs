//! What a run found, as JSON; and whether that is good. Pure.

use std::collections::BTreeMap;

use overlayd_node::DropReason;
use serde::Serialize;
use serde_json::Value;

use crate::Plan;
use crate::world::World;

/// Drop reasons that no run of this kind can meet, and why.
pub const UNREACHED: [(&str, &str); 1] = [(
    "session_spent",
    "a session is renewed after 2^26 datagrams and ends after 2^28; no peer can make another send so many here. The session's own tests skip there",
)];

/// In peace, so much of the traffic has to arrive: wires still lose, and one class asks for no repair.
const RECOVERED: f64 = 0.95;
/// Memory at the end may be so much more than after a tenth: buffers that had not been full.
const GROWTH: f64 = 1.25;
const GROWTH_MIB: f64 = 24.0;

#[derive(Debug, Serialize)]
pub struct Report {
    pub seed: u64,
    pub datagrams: u64,
    pub frames: u64,
    /// Datagrams of nodes that were held, repeated or changed on their way; not among the above.
    pub in_flight: u64,
    pub panics: u64,
    pub not_sent: u64,
    pub altered: u64,
    pub twice: u64,
    /// Timers that did not let time go on.
    pub spins: u64,
    /// Answers to unvalidated addresses beyond three times what came from there.
    pub amplified: u64,
    pub rss_mib: Memory,
    /// The largest output of one call that a node ever kept room for.
    pub largest_output_bytes: usize,
    pub honest: Honest,
    /// Packets with the hostile peer's own source that arrived.
    pub packets_of_the_hostile_peer: u64,
    /// How many of the hostile peer's frames passed the tag check.
    pub frames_opened: u64,
    pub drop_reasons: BTreeMap<&'static str, u64>,
    pub drop_reasons_not_hit: Vec<&'static str>,
    pub why_not_hit: BTreeMap<&'static str, &'static str>,
    pub coverage: Value,
    /// Of violations, with what is needed to find them again.
    pub stories: Vec<String>,
    pub virtual_seconds: u64,
    pub seconds: f64,
}

#[derive(Debug, Serialize)]
pub struct Memory {
    /// After a tenth of the run.
    pub early: f64,
    pub late: f64,
}

/// Packets between honest nodes.
#[derive(Debug, Serialize)]
pub struct Honest {
    pub sent: u64,
    pub delivered: u64,
    pub sent_in_peace: u64,
    pub delivered_in_peace: u64,
}

pub(crate) struct Ingredients<'a> {
    pub(crate) plan: &'a Plan,
    pub(crate) world: &'a World,
    pub(crate) memory: (u64, u64),
    pub(crate) under_attack: (u64, u64),
    pub(crate) before: (u64, u64),
    pub(crate) seconds: f64,
}

impl Ingredients<'_> {
    pub(crate) fn report(self) -> Report {
        let Self { plan, world, .. } = self;
        let mib = |bytes: u64| bytes as f64 / f64::from(1 << 20);
        let drops: Vec<_> = DropReason::ALL
            .iter()
            .map(|reason| reason.name())
            .zip(world.drops())
            .collect();
        let not_hit = drops
            .iter()
            .filter(|(_, count)| *count == 0)
            .map(|(name, _)| *name);
        let (delivered, sent) = world.oracle.account();
        let unopened =
            |outcome: &str| ["unknown_session", "bad_tag", "replayed"].contains(&outcome);
        let opened = ["frames", "frames_spoiled"]
            .map(|group| world.coverage.count(group, |outcome| !unopened(outcome)));
        Report {
            seed: plan.seed,
            datagrams: world.count.datagrams,
            frames: world.count.frames,
            panics: world.count.panics,
            not_sent: world.oracle.not_sent,
            in_flight: world.coverage.count("in_flight", |_| true),
            altered: world.oracle.altered,
            twice: world.oracle.twice,
            spins: world.count.spins,
            amplified: world.count.amplified,
            rss_mib: Memory {
                early: mib(self.memory.0),
                late: mib(self.memory.1),
            },
            largest_output_bytes: world.count.arena,
            honest: Honest {
                sent: self.under_attack.1,
                delivered: self.under_attack.0,
                sent_in_peace: sent - self.before.1,
                delivered_in_peace: delivered - self.before.0,
            },
            packets_of_the_hostile_peer: world.oracle.of_hostile,
            frames_opened: opened.iter().sum(),
            drop_reasons_not_hit: not_hit.collect(),
            why_not_hit: UNREACHED.into(),
            drop_reasons: drops.into_iter().filter(|(_, count)| *count > 0).collect(),
            coverage: world.coverage.to_json(),
            stories: world.oracle.stories.clone(),
            virtual_seconds: world.now / 1_000_000_000,
            seconds: self.seconds,
        }
    }
}

impl Report {
    /// What is wrong; empty: nothing.
    pub fn faults(&self) -> Vec<String> {
        let counts = [
            ("panics", self.panics),
            ("packets delivered that were not sent", self.not_sent),
            ("packets altered", self.altered),
            ("packets delivered twice", self.twice),
            ("timers that spin", self.spins),
            ("amplifying answers", self.amplified),
        ];
        let mut faults: Vec<String> = counts
            .iter()
            .filter(|(_, count)| *count > 0)
            .map(|(what, count)| format!("{count} {what}"))
            .collect();
        let unexplained = self
            .drop_reasons_not_hit
            .iter()
            .filter(|name| !self.why_not_hit.contains_key(*name));
        faults.extend(unexplained.map(|name| format!("drop reason {name} was never met")));
        if self.rss_mib.late > self.rss_mib.early * GROWTH + GROWTH_MIB {
            faults.push(format!(
                "memory grew from {:.0} to {:.0} MiB",
                self.rss_mib.early, self.rss_mib.late
            ));
        }
        let honest = &self.honest;
        if (honest.delivered_in_peace as f64) < honest.sent_in_peace as f64 * RECOVERED
            || honest.sent_in_peace == 0
        {
            faults.push(format!(
                "after the attack {} of {} packets arrived",
                honest.delivered_in_peace, honest.sent_in_peace
            ));
        }
        if self.frames_opened * 2 < self.frames {
            faults.push(format!(
                "only {} of {} forged frames passed the tag check",
                self.frames_opened, self.frames
            ));
        }
        faults
    }
}
