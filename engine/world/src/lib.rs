//! A world of nodes and links in virtual time: the shipped packet engine driven by a simulated underlay.
//!
//! Here live the event queue, the wires between endpoints (each an `overlayd-netem` link model), traffic streams with their account,
//! and the digest of a run. `world` is told what to do and lets time pass, in two `region`s side by side as `partition` has divided the hosts. Not here: what agents and controllers decide (that is Python, `sim/`, which steps this world and hands
//! snapshots to it). A run is a function of its seed and of what it was told when. Pure.

mod clock;
mod digest;
mod error;
mod packet;
mod partition;
mod region;
mod stream;
mod world;

pub use error::WorldError;
pub use region::{Region, Report};
pub use stream::{Stream, StreamReport};
pub use world::{InTurn, Runner, World};

/// Index of a node in the order of adding.
pub type NodeIndex = usize;
