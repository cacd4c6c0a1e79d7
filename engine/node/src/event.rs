//! What the engine tells its agent: the schema of events, as JSON on the engine's socket (`overlayd/protocol/engine.py`). Pure.

use std::net::SocketAddr;

use serde::Serialize;

use crate::{Counters, Nanos};

/// Something the agent should know. `at_ns` is the engine's monotonic clock.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Event {
    /// A link came up (first answered probe of a session) or went down (liveness).
    LinkState {
        at_ns: Nanos,
        generation: u64,
        link: u16,
        peer: u16,
        state: LinkState,
    },
    /// The path in use to (destination, class) changed by the engine's own decision.
    Switch {
        at_ns: Nanos,
        generation: u64,
        destination: u16,
        class: u8,
        from: Vec<u16>,
        to: Vec<u16>,
        reason: SwitchReason,
    },
    /// What probes and data said about links since each was reported last: once a second those that are needed or have turned, the others
    /// every five.
    Links {
        at_ns: Nanos,
        generation: u64,
        links: Vec<LinkReport>,
    },
    /// The same for paths that carry traffic and for their back-ups.
    Paths {
        at_ns: Nanos,
        generation: u64,
        paths: Vec<PathReport>,
    },
    /// Totals since start, every 5 s.
    Counters {
        at_ns: Nanos,
        generation: u64,
        counters: Box<Counters>,
    },
    /// Session keys for a capture tool, only when the engine was told to log them.
    KeyLog {
        at_ns: Nanos,
        scope: &'static str,
        peer: u16,
        receiver_index: u32,
        suite: &'static str,
        key: String,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum LinkState {
    Up,
    Down,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum SwitchReason {
    /// The first hop or the path stopped answering.
    Dead,
    /// The better path has been healthy for its hold-down.
    Recovered,
    /// A new snapshot orders the paths otherwise.
    Snapshot,
}

/// One link over one report interval. Ratios 0..1; `None`: not measured in the interval (no fresh sample is no evidence).
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct LinkReport {
    pub link: u16,
    pub peer: u16,
    pub uplink: u8,
    pub remote: Option<SocketAddr>,
    pub up: bool,
    /// Number of probe replies in the interval.
    pub samples: u32,
    pub rtt_min_ns: Option<Nanos>,
    pub rtt_mean_ns: Option<Nanos>,
    /// Mean of |difference of successive one-way delays|, towards the peer and from it.
    pub jitter_out_ns: Option<Nanos>,
    pub jitter_in_ns: Option<Nanos>,
    /// Datagrams lost on the wire, before repair.
    pub loss_out_ratio: Option<f64>,
    pub loss_in_ratio: Option<f64>,
    /// What the far end receives of us, and the pacing budget in force.
    pub delivered_bps: u64,
    pub budget_bps: Option<u64>,
    /// Largest underlay IP packet proven to pass.
    pub mtu: u16,
    pub sent_bytes: u64,
    pub received_bytes: u64,
    /// Repair as this node sent and received it, per class that was used.
    pub repair: Vec<RepairReport>,
    /// Per class that ever waited for the link.
    pub queues: Vec<QueueReport>,
}

/// What waited of one class for a paced link; counts of frames since the start of the link.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct QueueReport {
    pub class: u8,
    /// Now.
    pub waiting_bytes: u64,
    /// Left after a wait, and how many of them ahead of other classes.
    pub sent: u64,
    pub ahead: u64,
    /// Given up for want of room, and because they had waited too long.
    pub pushed_out: u64,
    pub late: u64,
    /// How long those waited that were sent: counts up to each of [`crate::repair::WAITS_MS`], and longer.
    pub waits: crate::repair::Waits,
}

impl QueueReport {
    pub(crate) fn new(class: u8) -> Self {
        Self {
            class,
            waiting_bytes: 0,
            sent: 0,
            ahead: 0,
            pushed_out: 0,
            late: 0,
            waits: crate::repair::Waits::default(),
        }
    }
}

/// Repair on one link for one class; counts since the start of the link.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct RepairReport {
    pub class: u8,
    pub sent: u64,
    pub retransmitted: u64,
    pub repair_sent: u64,
    /// Frames that arrived of their own accord.
    pub received: u64,
    /// Frames that were missing and came back by retransmission or from repair symbols.
    pub recovered_by_retransmission: u64,
    pub recovered_by_code: u64,
    /// Frames given up.
    pub lost: u64,
    /// Runs of frames that were missed, and how many frames they had.
    pub bursts: u64,
    pub missed: u64,
    /// How long frames that repair brought were missed: counts up to each of [`crate::repair::WAITS_MS`], and longer.
    pub waits: crate::repair::Waits,
}

/// One path over one report interval.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PathReport {
    pub destination: u16,
    pub class: u8,
    pub path: Vec<u16>,
    /// Whether packets take it now.
    pub active: bool,
    pub alive: bool,
    pub samples: u32,
    pub rtt_min_ns: Option<Nanos>,
    pub rtt_mean_ns: Option<Nanos>,
    /// Loss after repair, of what this node sent.
    pub loss_ratio: Option<f64>,
}
