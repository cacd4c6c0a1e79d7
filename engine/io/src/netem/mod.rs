//! The live link emulator: pairs of interfaces joined by seeded link models, in real time.
//!
//! What lives here: packet sockets, the cutting of super-frames, and the one thread that carries packets
//! from interface to interface when their link model says so. Not here: the model (`overlayd-netem`), the
//! making of interfaces and namespaces, and the reading of lab files (`sim/lab`). Called by the native
//! module for `sim.emulator`. I/O, except `frame`, `checksum`, `schedule` and `vnet`.
//!
//! - Only what an interface *receives* is carried: the far end of its veth pair is the node's own interface.
//! - A longer packet than the MTU vanishes; no ICMP answers it, as behind a misconfigured router.
//! - ARP and neighbour discovery are delayed but never lost: on a real path they do not cross the Internet.
//! - Packets of one super-frame that arrive together are handed over together again.

mod carrier;
mod checksum;
mod config;
mod error;
mod frame;
mod schedule;
mod shell;
mod socket;

pub use carrier::LinkCounters;
pub use config::{Config, ConfigError, Direction};
pub use error::EmulatorError;
pub use shell::Emulator;
