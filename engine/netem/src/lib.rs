//! The seeded model of one link direction: what a stretch of network does to each packet.
//!
//! Here live the rate queue, the delay and its variation, the two loss models, duplication, corruption,
//! the MTU and the black hole. Not here: packets themselves (only their lengths are seen), clocks and
//! sockets. Called by the simulator in virtual time and by the live emulator (`overlayd-io`, module
//! `netem`) in real time. Pure: time and seed are handed in, and a link answers the same offers in the
//! same way on every run.
//!
//! ```
//! use overlayd_netem::{Link, Loss, Settings};
//!
//! let settings = Settings { delay_ns: 20_000_000, loss: Loss::Independent { ratio: 0.5 }, ..Settings::default() };
//! let mut link = Link::new(settings, 7)?;
//! let verdict = link.offer(1_000, 1_400);
//! assert!(verdict.departures().iter().all(|copy| copy.at_ns == 20_001_000));
//! # Ok::<(), overlayd_netem::SettingsError>(())
//! ```

mod jitter;
mod link;
mod loss;
mod queue;
mod rng;
mod settings;

pub use link::{Counters, Departure, DropReason, Link, Verdict};
pub use rng::Rng;
pub use settings::{DELAY_MAX_NS, Loss, Settings, SettingsError};
