//! Repair of one hop and class: what a sender keeps and adds, what a receiver misses and asks for.
//!
//! A [`Protector`] numbers outgoing protected frames, keeps one copy of each for retransmission and for the code, and reacts to feedback.
//! A [`Recoverer`] tells first copies from duplicates, knows what is missing, asks for it, and gives up at the deadline. Both know frames
//! as *source symbols*: the first byte and all behind the budget. Framing, sealing and sending are the callers' (`protect`, `recover`
//! in the node). Pure.

mod protector;
mod recoverer;

pub use protector::{Again, Protector};
pub use recoverer::{Receipt, Recoverer};

use crate::Nanos;
use crate::snapshot::{Class, RepairRow};

/// What a class of service wants of repair, as both ends read it from the snapshot.
#[derive(Clone, Debug, PartialEq)]
pub struct Policy {
    /// How much delay repair may add in total; `None`: any.
    pub deadline: Option<Nanos>,
    pub retransmit: bool,
    pub rows: Vec<RepairRow>,
    pub cap_ratio: f64,
}

/// The number with these low 24 bits that is nearest to `highest`; `None`: it would be negative.
fn nearest(seq: u32, highest: u64) -> Option<u64> {
    let low = highest as u32;
    let ahead = overlayd_wire::frame::nearest(seq, low)
        .wrapping_sub(low)
        .cast_signed();
    highest.checked_add_signed(ahead.into())
}

/// Below this loss the code is off: estimates that low are a single stray datagram.
const LOSS_FLOOR: f64 = 1e-3;

impl Policy {
    pub const NONE: Self = Self {
        deadline: None,
        retransmit: false,
        rows: Vec::new(),
        cap_ratio: 0.0,
    };

    pub fn of(class: &Class) -> Self {
        Self {
            deadline: class.deadline_ms.map(|ms| Nanos::from(ms) * 1_000_000),
            retransmit: class.retransmit,
            rows: class.repair.clone(),
            cap_ratio: class.repair_cap_ratio,
        }
    }

    /// Whether anything has to be remembered of frames that were sent.
    pub fn repairs(&self) -> bool {
        self.retransmit || !self.rows.is_empty()
    }

    /// Repair symbols per source symbol at an estimated loss.
    pub fn repair_ratio(&self, loss_ratio: f64) -> f64 {
        if loss_ratio < LOSS_FLOOR {
            return 0.0;
        }
        let row = self
            .rows
            .iter()
            .find(|row| row.loss_ratio >= loss_ratio)
            .or(self.rows.last());
        row.map_or(0.0, |row| row.repair_ratio).min(self.cap_ratio)
    }
}
