//! The live shells: they own descriptors, threads and the clock, and drive what is pure.
//!
//! - [`Engine`]: the node's shell on a host. TUN and UDP with the kernel's offloads, a thread for each shard, which runs to completion.
//! - [`netem`]: the link emulator's shell in a lab.
//!
//! Called by the native module. I/O; `unsafe` only around system calls.

mod counters;
mod engine;
mod events;
mod fault;
mod handover;
mod identity;
pub mod netem;
mod shard;
mod spin;
mod sys;
mod tun;
mod udp;
mod vnet;

pub use counters::ShellCounters;
pub use engine::{ApplyError, Descriptors, Engine, EngineConfig, Totals};
pub use events::Told;
pub use fault::Faults;
pub use identity::{KeyError, public_key};
pub use tun::{TunOffloads, open_tun};
pub use udp::{UdpOffloads, open_udp};
