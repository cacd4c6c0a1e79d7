//! The cheapest paths of at most two relays between all pairs of nodes, and disjoint ones beside them.
//!
//! A path is direct, or goes through one or two *relays*. Its cost is the sum of its links' costs and of its relays'
//! own. A class may cap the RTT of a path by its ends: a path above the cap costs a penalty more.
//!
//! What "exact" means here. A [`Network`] orders its relays by how many pairs they serve best as single relays; the
//! first `second` of these are its *second relays*. Of all paths that are direct, or go through any relay, or through
//! any relay and then a second relay other than it, and that pass no end and use nothing that is to be avoided,
//! [`Network::best`] returns the cheapest, to the rounding of `f32` sums. With as many second relays as relays that is
//! the cheapest of all paths of at most two relays. Disjoint paths are found by successive removal: each is the cheapest
//! that uses neither a relay of an earlier one nor, after a direct one, the direct link. Of equal paths the one
//! with fewer relays is taken; of single relays the lower index; of second relays the one earlier in order, then the
//! lower first one. So the answer follows from the costs alone, whatever the number of threads.
//!
//! A link or relay that cannot be used costs infinity; NaN means the same. What is below zero counts as zero. Pure: no I/O, no clock, no
//! randomness; threads only within a call. Called by `overlayd-python`, for `controller.planner`.

#![deny(unsafe_code)]

mod candidates;
mod choose;
mod firsts;
mod kernel;
mod lanes;
mod network;
mod parallel;
mod pick;
mod rows;
mod solve;
mod sums;
mod tracker;
mod ways;

pub use network::{Cap, Costs, Malformed, Network};
pub use solve::Paths;
pub use tracker::{Change, Tracker};

/// The relays of a path in order, as indices of nodes; [`NONE`] where there is none, [`ABSENT`] first: no path.
pub type Relays = [i16; 2];

/// No relay here.
pub const NONE: i16 = -1;

/// No path at all.
pub const ABSENT: i16 = -2;

/// The most nodes: indices are `i16`.
pub const NODES_LIMIT: usize = i16::MAX as usize;

/// The most paths that a search can be asked to avoid.
pub const AVOID_LIMIT: usize = 2;

/// The most second relays.
pub const SECONDS_LIMIT: usize = 64;

/// "No path" where costs are compared: below infinity, so that a link that cannot be used is never below it.
const UNREACHABLE: f32 = f32::MAX;
