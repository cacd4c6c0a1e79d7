//! What came of each thing that was tried: pairs of (what, outcome), what the parsers said, how handshakes went, which drop reasons each adversary met, and
//! how costly an answer was. What there is to be reached at all is in `reach`. Pure.

use std::collections::BTreeMap;

use overlayd_node::DropReason;
use overlayd_wire::{
    Body, CookieReply, Frame, Init, InnerPacket, Kind, Response, RouteView, Sealed, WireError,
};
use serde_json::{Map, Value, json};

pub(crate) const REASONS: usize = DropReason::ALL.len();
const OUTCOMES: usize = REASONS + 4;

/// Of what was tried, on whose part.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Group {
    /// Changed or invented on the wire.
    Wire,
    /// From the wire as it had been sent, but again, elsewhere or from elsewhere.
    Replay,
    /// Real handshakes of those who are not enrolled, or not as they say.
    Stranger,
    /// Invented by the hostile peer.
    Frames,
    /// The same, and then changed.
    FramesSpoiled,
    /// Held, repeated, changed or moved on its way.
    InFlight,
}

/// Who met a drop reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum By {
    /// Who has no keys, with a datagram that no node sent.
    Wire,
    /// Who has no keys, with a datagram that a node did send.
    Replay,
    /// Who has the keys.
    Peer,
}

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
    pairs: BTreeMap<(Group, &'static str), [u64; OUTCOMES]>,
    /// By who met it.
    drops: BTreeMap<By, [u64; REASONS]>,
    /// By parser: `ok`, or the error's name.
    parsers: BTreeMap<(&'static str, &'static str), u64>,
    /// By layer and message.
    handshakes: BTreeMap<(&'static str, &'static str), [u64; OUTCOMES]>,
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

impl Group {
    pub(crate) fn by(self) -> By {
        match self {
            Self::Wire | Self::Stranger => By::Wire,
            Self::Replay | Self::InFlight => By::Replay,
            Self::Frames | Self::FramesSpoiled => By::Peer,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Wire => "wire",
            Self::Replay => "replay",
            Self::Stranger => "stranger",
            Self::Frames => "frames",
            Self::FramesSpoiled => "frames_spoiled",
            Self::InFlight => "in_flight",
        }
    }
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
    pub(crate) fn note(&mut self, group: Group, what: &'static str, outcome: Outcome) {
        self.pairs.entry((group, what)).or_insert([0; OUTCOMES])[outcome.place()] += 1;
    }

    /// The drops of a node before and after something was tried.
    pub(crate) fn note_drops(&mut self, by: By, before: &[u64], after: &[u64]) {
        let sums = self.drops.entry(by).or_insert([0; REASONS]);
        for (sum, (before, after)) in sums.iter_mut().zip(before.iter().zip(after)) {
            *sum += after - before;
        }
    }

    pub(crate) fn note_handshake(&mut self, layer: &'static str, kind: u8, outcome: Outcome) {
        let message = match kind {
            1 => "init",
            2 => "response",
            3 => "cookie_reply",
            _ => return,
        };
        self.handshakes
            .entry((layer, message))
            .or_insert([0; OUTCOMES])[outcome.place()] += 1;
    }

    pub(crate) fn note_cost(&mut self, what: &'static str, bytes: u64, ns: u64) {
        let worst = self.worst.entry(what).or_default();
        worst.bytes = worst.bytes.max(bytes);
        worst.ns = worst.ns.max(ns);
        worst.total_ns += ns;
        worst.count += 1;
    }

    /// Asks the parsers what they say of a datagram.
    pub(crate) fn parse_datagram(&mut self, bytes: &[u8]) {
        let kind = Kind::of(bytes);
        self.parsed("kind", kind.err());
        match kind {
            Ok(Kind::Init) => self.parsed("init", Init::parse(bytes).err()),
            Ok(Kind::Response) => self.parsed("response", Response::parse(bytes).err()),
            Ok(Kind::CookieReply) => self.parsed("cookie_reply", CookieReply::parse(bytes).err()),
            Ok(Kind::Sealed) => self.parsed("sealed", Sealed::parse(bytes).err()),
            Err(_) => {}
        }
    }

    /// The same of the plaintext of a hop frame, and of what is in it as far as it can be read.
    pub(crate) fn parse_frame(&mut self, plaintext: &[u8]) {
        let frame = Frame::parse(plaintext);
        let parser = match plaintext.first().map_or(0, |first| first >> 4) {
            1 => "frame_direct",
            2 => "frame_routed",
            3 => "frame_repair",
            4 => "frame_feedback",
            5 => "frame_tail",
            6 => "frame_probe",
            7 => "frame_probe_reply",
            8 => "frame_path_challenge",
            9 => "frame_path_response",
            10 => "frame_close",
            _ => "frame_of_no_type",
        };
        self.parsed(parser, frame.as_ref().err().copied());
        match frame {
            Ok(Frame::Direct(_, body)) => self.parse_body(body),
            Ok(Frame::Routed(_, rest)) => {
                let route = RouteView::parse(rest);
                self.parsed("route", route.as_ref().err().copied());
                if let Ok((_, datagram)) = route {
                    self.parse_datagram(datagram);
                }
            }
            _ => {}
        }
    }

    pub(crate) fn parse_body(&mut self, body: &[u8]) {
        let parsed = Body::parse(body);
        let parser = match body.first().map_or(0, |first| first >> 4) {
            1 => "body_packet",
            2 => "body_bundle",
            3 => "body_run",
            4 => "body_piece",
            5 => "body_path_probe",
            6 => "body_path_probe_reply",
            _ => "body_of_no_shape",
        };
        self.parsed(parser, parsed.as_ref().err().copied());
        match parsed {
            Ok(Body::Packet { packet, .. }) => self.parse_inner(packet),
            Ok(Body::Run(run)) => self.parse_inner(run.packet),
            Ok(Body::Bundle(bundle)) => {
                for packet in bundle.packets() {
                    self.parse_inner(packet);
                }
            }
            _ => {}
        }
    }

    fn parse_inner(&mut self, packet: &[u8]) {
        let parser = match packet.first().map_or(0, |first| first >> 4) {
            4 => "inner_v4",
            6 => "inner_v6",
            _ => "inner_of_no_version",
        };
        self.parsed(parser, InnerPacket::parse(packet).err());
    }

    fn parsed(&mut self, parser: &'static str, error: Option<WireError>) {
        let word = error.map_or("ok", WireError::name);
        *self.parsers.entry((parser, word)).or_default() += 1;
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
    pub(crate) fn count(&self, group: Group, is: impl Fn(&str) -> bool) -> u64 {
        let of_group = self.pairs.iter().filter(|((other, _), _)| *other == group);
        of_group
            .flat_map(|(_, counts)| counts.iter().enumerate())
            .filter(|(place, _)| is(Outcome::name(*place)))
            .map(|(_, count)| count)
            .sum()
    }

    /// How often somebody met each drop reason, in the order of `DropReason::ALL`.
    pub(crate) fn drops(&self, by: By) -> [u64; REASONS] {
        self.drops.get(&by).copied().unwrap_or([0; REASONS])
    }

    /// By parser: `ok` or the error's name, and how often.
    pub(crate) fn parsers(&self) -> BTreeMap<&'static str, BTreeMap<&'static str, u64>> {
        let mut parsers = BTreeMap::<_, BTreeMap<_, _>>::new();
        for ((parser, word), count) in &self.parsers {
            parsers.entry(*parser).or_default().insert(*word, *count);
        }
        parsers
    }

    /// By layer, message and outcome.
    pub(crate) fn handshakes(&self) -> BTreeMap<String, BTreeMap<&'static str, u64>> {
        let named = |((layer, message), counts): (&(&str, &str), &[u64; OUTCOMES])| {
            (format!("{layer} {message}"), hit(counts).collect())
        };
        self.handshakes.iter().map(named).collect()
    }

    pub(crate) fn to_json(&self) -> Value {
        let mut groups = Map::new();
        for ((group, what), counts) in &self.pairs {
            let outcomes: Map<String, Value> = hit(counts)
                .map(|(name, count)| (name.into(), json!(count)))
                .collect();
            if let Value::Object(group) = groups.entry(group.name()).or_insert_with(|| json!({})) {
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
        json!({"pairs": self.pairs(), "outcomes": groups, "cost_of_one": costs})
    }
}

/// The outcomes that there were, by name.
fn hit(counts: &[u64; OUTCOMES]) -> impl Iterator<Item = (&'static str, u64)> {
    let hit = counts.iter().enumerate().filter(|(_, count)| **count > 0);
    hit.map(|(place, count)| (Outcome::name(place), *count))
}
