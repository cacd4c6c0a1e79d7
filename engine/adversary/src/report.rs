//! What a run found, as JSON; and whether that is good. Pure.

use std::collections::BTreeMap;

use overlayd_node::DropReason;
use serde::Serialize;
use serde_json::Value;

use crate::Plan;
use crate::coverage::{By, Group};
use crate::mesh::{self, ELDER};
use crate::reach::{self, Unreached};
use crate::world::World;

/// In peace, so much of the traffic has to arrive: wires still lose, and one class asks for no repair.
const RECOVERED: f64 = 0.95;
/// A run of so many of each kind has to reach all that there is to be reached.
const THOROUGH: u64 = 200_000;
/// So much more may a node hold at the end than after a tenth, rings for repair apart: queues that happened to be full.
const GROWTH_BYTES: i64 = 4 << 20;
/// So much may the process have beside what its nodes have taken from the heap: the harness, and what C code takes for keys.
const HARNESS_BYTES: u64 = 256 << 20;

#[derive(Debug, Serialize)]
pub struct Report {
    pub seed: u64,
    pub seconds: f64,
    pub virtual_seconds: u64,
    /// From the wire: changed or invented, so that no node had sent them.
    pub datagrams: u64,
    /// Of the hostile peer, invented or changed before sealing.
    pub frames: u64,
    /// Of these: changed at random, what the peer's own node said or what was invented.
    pub frames_changed: u64,
    /// How many of the frames that it handed over passed the tag check.
    pub frames_opened: u64,
    /// From the wire beside these: what a node had sent, again, elsewhere or from elsewhere.
    pub replays: u64,
    /// Handshakes of those who are not enrolled, or not as they say.
    pub knocks: u64,
    /// Datagrams of nodes that were held, repeated or changed on their way.
    pub in_flight: u64,
    pub panics: u64,
    pub not_sent: u64,
    pub altered: u64,
    pub twice: u64,
    /// Delivered so late that nobody knows whether it was before.
    pub outlived: u64,
    /// Sealed datagrams that were changed on the wire and still taken as authentic.
    pub forged: u64,
    /// Timers that did not let time go on.
    pub spins: u64,
    /// Answers to unvalidated addresses beyond three times what came from there.
    pub amplified: u64,
    pub memory: Memory,
    pub honest: Honest,
    /// Packets with the hostile peer's own source that arrived.
    pub packets_of_the_hostile_peer: u64,
    pub drop_reasons: BTreeMap<&'static str, Drops>,
    /// By adversary: what it did not meet, and why it cannot. Without a reason: it should have.
    pub drop_reasons_not_met: BTreeMap<&'static str, BTreeMap<&'static str, &'static str>>,
    /// What each parser said, and how often.
    pub parsers: BTreeMap<&'static str, BTreeMap<&'static str, u64>>,
    /// How handshake messages were taken, by layer and message.
    pub handshakes: BTreeMap<String, BTreeMap<&'static str, u64>>,
    pub coverage: Value,
    /// Of violations, with what is needed to find them again.
    pub stories: Vec<String>,
}

/// How often something was dropped, by whose doing.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Drops {
    /// Of the datagrams and knocks from the wire.
    pub wire: u64,
    /// Of the replays.
    pub replay: u64,
    /// Of the frames that the hostile peer handed over.
    pub peer: u64,
    /// Of the mesh's own life: what programs send, what was held, repeated or changed on its way.
    pub meanwhile: u64,
}

/// Memory over the run, MiB.
#[derive(Debug, Serialize)]
pub struct Memory {
    /// What the five nodes have of the heap.
    pub nodes: Course,
    /// The same of the one node that lives through all of it.
    pub elder: Course,
    /// Of that, all but the rings for repair: where a leak would show.
    pub elder_without_rings: Course,
    /// By node: the most that it held, in the middle of a call too.
    pub peaks: BTreeMap<u16, f64>,
    /// By node: the most that its tables allow it.
    pub bounds: BTreeMap<u16, f64>,
    /// Calls in which a node held more than that.
    pub beyond_bound: u64,
    /// Bytes that nodes had not given back when they were dropped.
    pub left_behind_bytes: u64,
    /// Of the process, with the harness; 0: not known.
    pub resident: Course,
    /// The largest output of one call that a node ever kept room for, bytes.
    pub largest_output_bytes: usize,
}

#[derive(Clone, Copy, Debug, Serialize)]
pub struct Course {
    pub start: f64,
    pub after_a_tenth: f64,
    pub peak: f64,
    pub end: f64,
}

/// A look at the memory. Bytes.
#[derive(Clone, Copy)]
pub(crate) struct Stage {
    nodes: i64,
    elder: i64,
    elder_small: i64,
    resident: u64,
}

impl Stage {
    pub(crate) fn of(world: &World, resident: u64) -> Self {
        let elder = &world.hosts[usize::from(ELDER) - 1].holding;
        Self {
            nodes: world.held(),
            elder: elder.now,
            elder_small: elder.small,
            resident,
        }
    }

    pub(crate) fn max(self, other: Self) -> Self {
        Self {
            nodes: self.nodes.max(other.nodes),
            elder: self.elder.max(other.elder),
            elder_small: self.elder_small.max(other.elder_small),
            resident: self.resident.max(other.resident),
        }
    }
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
    /// At the start, after a tenth, the most at any look, at the end.
    pub(crate) stages: [Stage; 4],
    pub(crate) under_attack: (u64, u64),
    pub(crate) before: (u64, u64),
    pub(crate) seconds: f64,
}

impl Ingredients<'_> {
    pub(crate) fn report(self) -> Report {
        let (plan, world) = (self.plan, self.world);
        let (count, oracle, coverage) = (&world.count, &world.oracle, &world.coverage);
        let (delivered, sent) = oracle.account();
        let unopened =
            |outcome: &str| ["unknown_session", "bad_tag", "replayed"].contains(&outcome);
        let opened = [Group::Frames, Group::FramesSpoiled]
            .map(|group| coverage.count(group, |outcome| !unopened(outcome)));
        Report {
            seed: plan.seed,
            seconds: self.seconds,
            virtual_seconds: world.now / 1_000_000_000,
            datagrams: count.datagrams,
            frames: count.frames,
            frames_changed: count.frames_changed,
            frames_opened: opened.iter().sum(),
            replays: count.replays,
            knocks: count.knocks,
            in_flight: coverage.count(Group::InFlight, |_| true),
            panics: count.panics,
            not_sent: oracle.not_sent,
            altered: oracle.altered,
            twice: oracle.twice,
            outlived: oracle.outlived,
            forged: count.forged,
            spins: count.spins,
            amplified: count.amplified,
            memory: self.memory(),
            honest: Honest {
                sent: self.under_attack.1,
                delivered: self.under_attack.0,
                sent_in_peace: sent - self.before.1,
                delivered_in_peace: delivered - self.before.0,
            },
            packets_of_the_hostile_peer: oracle.of_hostile,
            drop_reasons: self.drops(),
            drop_reasons_not_met: self.not_met(),
            parsers: coverage.parsers(),
            handshakes: coverage.handshakes(),
            coverage: coverage.to_json(),
            stories: oracle.stories.clone(),
        }
    }

    fn memory(&self) -> Memory {
        let course = |of: fn(&Stage) -> i64| {
            let [start, after_a_tenth, peak, end] = self.stages.map(|stage| mib(of(&stage)));
            Course {
                start,
                after_a_tenth,
                peak,
                end,
            }
        };
        let hosts = &self.world.hosts;
        let of_each = |of: fn(&crate::host::Host) -> i64| {
            hosts.iter().map(|host| (host.id, mib(of(host)))).collect()
        };
        Memory {
            nodes: course(|stage| stage.nodes),
            elder: course(|stage| stage.elder),
            elder_without_rings: course(|stage| stage.elder_small),
            peaks: of_each(|host| host.holding.peak),
            bounds: of_each(|host| mesh::memory_bound(&host.tables)),
            beyond_bound: self.world.count.beyond_bound,
            left_behind_bytes: self.world.count.left_behind,
            resident: course(|stage| stage.resident as i64),
            largest_output_bytes: self.world.count.arena,
        }
    }

    fn drops(&self) -> BTreeMap<&'static str, Drops> {
        let [wire, replay, peer] =
            [By::Wire, By::Replay, By::Peer].map(|by| self.world.coverage.drops(by));
        let all = self.world.drops();
        let of = |place: usize| Drops {
            wire: wire[place],
            replay: replay[place],
            peer: peer[place],
            meanwhile: all[place].saturating_sub(wire[place] + replay[place] + peer[place]),
        };
        let reasons = DropReason::ALL.iter().enumerate();
        reasons
            .map(|(place, reason)| (reason.name(), of(place)))
            .collect()
    }

    fn not_met(&self) -> BTreeMap<&'static str, BTreeMap<&'static str, &'static str>> {
        let of = |(by, name)| {
            let met = self.world.coverage.drops(by);
            let not_met = DropReason::ALL
                .iter()
                .zip(met)
                .filter(|(_, count)| *count == 0);
            let why = |(reason, _): (&DropReason, u64)| {
                let why = Unreached::of(by, *reason).map_or("", |entry| entry.why);
                (reason.name(), why)
            };
            (name, not_met.map(why).collect())
        };
        [(By::Wire, "wire"), (By::Peer, "peer")].map(of).into()
    }
}

impl Report {
    /// What there is to be reached (`reach`), and was not. Nothing, if the run was long enough.
    pub fn missing(&self) -> Vec<String> {
        reach::missing(self)
    }

    /// How often an adversary met a drop reason.
    pub(crate) fn met(&self, by: By, reason: DropReason) -> u64 {
        let drops = self.drop_reasons.get(reason.name()).copied();
        let drops = drops.unwrap_or_default();
        match by {
            By::Wire => drops.wire,
            By::Replay => drops.replay,
            By::Peer => drops.peer,
        }
    }

    /// What is wrong; empty: nothing.
    pub fn faults(&self) -> Vec<String> {
        let counts = [
            ("panics", self.panics),
            ("packets delivered that were not sent", self.not_sent),
            ("packets altered", self.altered),
            ("packets delivered twice", self.twice),
            ("packets delivered after they were forgotten", self.outlived),
            ("changed datagrams taken as authentic", self.forged),
            ("timers that spin", self.spins),
            ("amplifying answers", self.amplified),
            ("calls beyond the bound of memory", self.memory.beyond_bound),
            ("bytes left behind by nodes", self.memory.left_behind_bytes),
        ];
        let mut faults: Vec<String> = counts
            .iter()
            .filter(|(_, count)| *count > 0)
            .map(|(what, count)| format!("{count} {what}"))
            .collect();
        faults.extend(self.memory.faults());
        faults.extend(reach::strays(self));
        if self.datagrams.min(self.frames) >= THOROUGH {
            faults.extend(reach::missing(self));
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

impl Memory {
    fn faults(&self) -> Vec<String> {
        let elder = &self.elder_without_rings;
        let grown = elder.end - elder.after_a_tenth;
        let resident = self.resident.peak - self.nodes.peak;
        [
            (grown > mib(GROWTH_BYTES)).then(|| {
                format!("the memory of node {ELDER} grew by {grown:.2} MiB after the first tenth")
            }),
            (resident > mib(HARNESS_BYTES as i64))
                .then(|| format!("the process had {resident:.0} MiB more than its nodes")),
        ]
        .into_iter()
        .flatten()
        .collect()
    }
}

fn mib(bytes: i64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}
