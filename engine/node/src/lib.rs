//! The packet engine of one node as a state machine: no sockets, no threads, no clock, no randomness of its own.
//!
//! A shell (the live one in `engine/io`, the simulator in `engine/world`) owns a [`Node`] and
//!
//! 1. hands it what happened: [`Node::handle_packets`] (from the TUN), [`Node::handle_datagrams`] (from the UDP sockets),
//!    [`Node::handle_timeout`], [`Node::apply`] (a snapshot);
//! 2. after *each* of these drains [`Node::output`]: datagrams to send, packets to deliver, events to report, then calls
//!    [`Output::clear`];
//! 3. sleeps until [`Node::poll_timeout`] or new input, whichever comes first.
//!
//! Every call takes a run of packets and the time once; nothing on the packet path allocates in the steady state. Time is
//! nanoseconds of a monotonic clock. Randomness comes from the seed in [`NodeConfig`].
//!
//! The way of a packet stands in `pipeline`, in order. The frames are those of `docs/wire-format.md`.

mod advise;
mod apply;
mod arrivals;
mod bucket;
mod checksum;
mod choose;
mod classify;
mod congestion;
mod copies;
mod counters;
mod cut;
mod deliver;
mod dues;
mod egress;
mod event;
#[cfg(test)]
mod hostile;
mod in_order;
mod lanes;
mod link;
mod liveness;
mod marks;
mod meet;
mod mtu;
mod node;
mod open_run;
mod order;
mod origin;
mod output;
mod pace;
mod pacer;
mod packet;
mod path;
mod peer;
mod pipeline;
mod probe;
mod protect;
mod queue;
mod rate;
mod reason;
mod reassemble;
mod recover;
pub mod repair;
mod report;
mod routes;
mod schedule;
mod second;
pub mod session;
pub mod snapshot;
mod tables;
mod tend;
mod transit;
mod validate;
mod watch;
mod way;

pub use checksum::complete as complete_checksum;
pub use counters::{Counters, Probing};
pub use cut::Cut;
pub use event::{
    Event, LinkReport, LinkState, PathReport, QueueReport, RepairReport, SwitchReason,
};
pub use node::{Node, NodeConfig};
pub use output::{Delivery, Handed, Output, Piece, Transmit};
pub use packet::{Datagram, Offload, Packet, Segment, SegmentKind};
pub use reason::DropReason;
pub use snapshot::{Snapshot, SnapshotError};

/// Nanoseconds of a monotonic clock.
pub type Nanos = u64;

/// Lets tests inside the crate share what the tests outside use.
#[cfg(test)]
extern crate self as overlayd_node;
