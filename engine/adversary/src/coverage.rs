//! What came of each thing that was tried: pairs of (what, outcome), what the parsers said, and how costly an answer was. Pure.

use std::collections::BTreeMap;

use overlayd_node::DropReason;
use overlayd_wire::{Body, Frame, InnerPacket, Kind, RouteView, WireError};
use serde_json::{Map, Value, json};

const REASONS: usize = DropReason::ALL.len();
const OUTCOMES: usize = REASONS + 4;

/// What a node did with one datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// It was counted under this reason; the first, where a datagram had several faults.
    Dropped(DropReason),
    /// Something went to the TUN.
    Delivered,
    /// Something went to the underlay: an answer, or the frame itself to its next hop.
    Sent,
    /// State may have changed; nothing was said.
    Taken,
    Panicked,
}

#[derive(Default)]
pub(crate) struct Coverage {
    pairs: BTreeMap<(&'static str, &'static str), Vec<u64>>,
    /// By parser: `ok`, or the error's name.
    parsers: BTreeMap<&'static str, BTreeMap<&'static str, u64>>,
    /// By what was tried: most bytes sent for one datagram, and the longest that one took.
    worst: BTreeMap<&'static str, Worst>,
}

#[derive(Clone, Copy, Default)]
struct Worst {
    bytes: u64,
    ns: u64,
    total_ns: u64,
    count: u64,
}

impl Outcome {
    fn place(self) -> usize {
        match self {
            Self::Dropped(reason) => reason as usize,
            Self::Delivered => REASONS,
            Self::Sent => REASONS + 1,
            Self::Taken => REASONS + 2,
            Self::Panicked => REASONS + 3,
        }
    }

    fn name(place: usize) -> &'static str {
        match DropReason::ALL.get(place) {
            Some(reason) => reason.name(),
            None => ["delivered", "sent", "taken", "panicked"]
                .get(place - REASONS)
                .copied()
                .unwrap_or("?"),
        }
    }
}

impl Coverage {
    pub(crate) fn note(&mut self, group: &'static str, what: &'static str, outcome: Outcome) {
        self.pairs
            .entry((group, what))
            .or_insert_with(|| vec![0; OUTCOMES])[outcome.place()] += 1;
    }

    pub(crate) fn note_cost(&mut self, what: &'static str, bytes: u64, ns: u64) {
        let worst = self.worst.entry(what).or_default();
        worst.bytes = worst.bytes.max(bytes);
        worst.ns = worst.ns.max(ns);
        worst.total_ns += ns;
        worst.count += 1;
    }

    /// Asks the parsers what they say of the plaintext of a hop frame, and of what is in it as far as it can be read.
    pub(crate) fn parse_frame(&mut self, plaintext: &[u8]) {
        let frame = Frame::parse(plaintext);
        self.parsed("frame", frame.as_ref().err());
        match frame {
            Ok(Frame::Direct(_, body)) => self.parse_body(body),
            Ok(Frame::Routed(_, rest)) => {
                let route = RouteView::parse(rest);
                self.parsed("route", route.as_ref().err());
                if let Ok((_, datagram)) = route {
                    self.parsed("envelope", Kind::of(datagram).err().as_ref());
                }
            }
            _ => {}
        }
    }

    pub(crate) fn parse_body(&mut self, body: &[u8]) {
        let parsed = Body::parse(body);
        self.parsed("body", parsed.as_ref().err());
        match parsed {
            Ok(Body::Packet { packet, .. }) => {
                self.parsed("inner", InnerPacket::parse(packet).err().as_ref())
            }
            Ok(Body::Run(run)) => {
                self.parsed("inner", InnerPacket::parse(run.packet).err().as_ref())
            }
            Ok(Body::Bundle(bundle)) => {
                for packet in bundle.packets() {
                    self.parsed("inner", InnerPacket::parse(packet).err().as_ref());
                }
            }
            _ => {}
        }
    }

    pub(crate) fn parsed(&mut self, parser: &'static str, error: Option<&WireError>) {
        let word = error.map_or("ok", |error| error.name());
        *self
            .parsers
            .entry(parser)
            .or_default()
            .entry(word)
            .or_default() += 1;
    }

    /// How many different pairs there were.
    pub(crate) fn pairs(&self) -> usize {
        self.pairs
            .values()
            .flatten()
            .filter(|count| **count > 0)
            .count()
    }

    /// How often any of a group had an outcome that `is` it.
    pub(crate) fn count(&self, group: &str, is: impl Fn(&str) -> bool) -> u64 {
        let of_group = self.pairs.iter().filter(|((other, _), _)| *other == group);
        of_group
            .flat_map(|(_, counts)| counts.iter().enumerate())
            .filter(|(place, _)| is(Outcome::name(*place)))
            .map(|(_, count)| count)
            .sum()
    }

    pub(crate) fn to_json(&self) -> Value {
        let mut groups = Map::new();
        for ((group, what), counts) in &self.pairs {
            let hit = counts.iter().enumerate().filter(|(_, count)| **count > 0);
            let outcomes: Map<String, Value> = hit
                .map(|(place, count)| (Outcome::name(place).into(), json!(count)))
                .collect();
            if let Value::Object(group) = groups.entry(*group).or_insert_with(|| json!({})) {
                group.insert((*what).into(), Value::Object(outcomes));
            }
        }
        let costs: Map<String, Value> = self
            .worst
            .iter()
            .map(|(what, worst)| {
                let mean_ns = worst.total_ns / worst.count.max(1);
                ((*what).into(), json!({"most_bytes_sent": worst.bytes, "mean_ns": mean_ns, "longest_ns": worst.ns}))
            })
            .collect();
        json!({"pairs": self.pairs(), "outcomes": groups, "parsers": self.parsers, "cost_of_one": costs})
    }
}
