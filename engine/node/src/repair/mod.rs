//! Repair of one hop and class: what a sender keeps and adds, what a receiver misses and asks for.
//!
//! A [`Protector`] numbers outgoing protected frames, keeps one copy of each for retransmission and for the code, and reacts to feedback.
//! A [`Recoverer`] tells first copies from duplicates, knows what is missing, asks for it, and gives up at the deadline. Both know frames
//! as *source symbols*: the first byte and all behind the budget. Framing, sealing and sending are the callers' (`protect`, `recover`
//! in the node). Pure.

mod extras;
mod policy;
mod protector;
mod recoverer;
mod restored;
mod waits;

pub use extras::{Again, Extra};
pub use policy::{Outlook, Policy};
pub use protector::Protector;
pub use recoverer::{Receipt, Recoverer, Tally};
pub(crate) use restored::Restored;
pub(crate) use waits::count as count_wait;
pub use waits::{WAITS_MS, Waits};

/// The number with these low 24 bits that is nearest to `highest`; `None`: it would be negative.
fn nearest(seq: u32, highest: u64) -> Option<u64> {
    let low = highest as u32;
    let ahead = overlayd_wire::frame::nearest(seq, low)
        .wrapping_sub(low)
        .cast_signed();
    highest.checked_add_signed(ahead.into())
}
