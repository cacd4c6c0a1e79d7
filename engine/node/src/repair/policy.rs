//! What a class wants of repair, and what its table says for a link as it is now. Pure.

use crate::Nanos;
use crate::snapshot::{Class, RepairRow};

/// Below this loss the code is off: estimates that low are a single stray datagram.
const LOSS_FLOOR: f64 = 1e-3;
/// From noticing a gap to having told it: the wait for reordered packets, and that for the next packet.
const GUARD: Nanos = 3_000_000;
/// More rounds than this change nothing.
const ROUNDS_MAX: usize = 6;

/// What a class of service wants of repair, as both ends read it from the snapshot.
#[derive(Clone, Debug, PartialEq)]
pub struct Policy {
    /// How much delay repair may add in total; `None`: any.
    pub deadline: Option<Nanos>,
    pub retransmit: bool,
    /// As in the snapshot: by rounds, window and loss.
    pub rows: Vec<RepairRow>,
    pub cap_ratio: f64,
    /// Whether the egress puts flows back in order.
    pub in_order: bool,
}

/// What is known of a link when something has to be decided about its repair.
#[derive(Clone, Copy, Debug, Default)]
pub struct Outlook {
    pub rtt: Nanos,
    /// Upper bound of the loss to expect, 0..1.
    pub loss_ratio: f64,
    /// The link is full, and lost this share when it was not.
    pub full_loss: Option<f64>,
}

/// The part of a table that holds now.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Settings {
    /// Repair symbols per source symbol.
    pub(super) repair_ratio: f64,
    /// Coded symbols per frame that is sent again, by the rounds that can still follow.
    pub(super) again: [f64; ROUNDS_MAX],
}

impl Policy {
    pub const NONE: Self = Self {
        deadline: None,
        retransmit: false,
        rows: Vec::new(),
        cap_ratio: 0.0,
        in_order: false,
    };

    /// Of a class; one that these tables do not have is passed on without repair.
    pub(crate) fn among(policies: &[Self], class: u8) -> &Self {
        static NONE: Policy = Policy::NONE;
        policies.get(usize::from(class)).unwrap_or(&NONE)
    }

    pub fn of(class: &Class) -> Self {
        Self {
            deadline: class.deadline_ms.map(|ms| Nanos::from(ms) * 1_000_000),
            retransmit: class.retransmit,
            rows: class.repair.clone(),
            cap_ratio: class.repair_cap_ratio,
            in_order: class.in_order,
        }
    }

    /// Whether anything has to be remembered of frames that were sent.
    pub fn repairs(&self) -> bool {
        self.retransmit || !self.rows.is_empty()
    }

    /// Whether a frame that is asked for can still come in time.
    pub(super) fn can_ask(&self, rtt: Nanos) -> bool {
        self.retransmit && self.rounds(rtt) > 1
    }

    /// How often a frame can be sent within the deadline, the first time included.
    pub(super) fn rounds(&self, rtt: Nanos) -> usize {
        1 + rounds_within(
            self.deadline.map(|deadline| deadline.saturating_sub(GUARD)),
            rtt,
        )
    }

    /// What the table says of a link with `rounds` whose repair symbols sum up `window` frames.
    pub(super) fn settings(&self, rounds: usize, window: usize, loss_ratio: f64) -> Settings {
        if loss_ratio < LOSS_FLOOR {
            return Settings::default();
        }
        // Ascending in all three: the last part that is not too large for the link, or the first one.
        let part = |row: &RepairRow| (row.rounds, row.window);
        let fits = |row: &&RepairRow| {
            usize::from(row.rounds) <= rounds && usize::from(row.window) <= window
        };
        let most_rounds = self.rows.iter().filter(fits).map(|row| row.rounds).max();
        let of_rounds = |row: &&RepairRow| Some(row.rounds) == most_rounds;
        let chosen = self.rows.iter().filter(fits).rfind(of_rounds);
        let Some(chosen) = chosen.or(self.rows.first()).map(part) else {
            return Settings::default();
        };
        let mut rows = self.rows.iter().filter(|row| part(row) == chosen);
        let last = rows.clone().next_back();
        let Some(row) = rows.find(|row| row.loss_ratio >= loss_ratio).or(last) else {
            return Settings::default();
        };
        let mut again = [0.0; ROUNDS_MAX];
        let told = row
            .again
            .iter()
            .chain(std::iter::repeat(row.again.last().unwrap_or(&0.0)));
        for (entry, told) in again.iter_mut().zip(told) {
            *entry = *told;
        }
        Settings {
            repair_ratio: row.repair_ratio.min(self.cap_ratio),
            again,
        }
    }
}

/// How many rounds fit into what is left of a frame's time.
pub(super) fn rounds_within(left: Option<Nanos>, rtt: Nanos) -> usize {
    let most = ROUNDS_MAX as Nanos - 1;
    left.map_or(most, |left| (left / (rtt + GUARD)).min(most)) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Nanos = 1_000_000;

    fn row(rounds: u8, window: u8, loss_ratio: f64, repair_ratio: f64) -> RepairRow {
        RepairRow {
            rounds,
            window,
            again: vec![f64::from(rounds), 0.5],
            ..RepairRow::flat(loss_ratio, repair_ratio)
        }
    }

    fn policy() -> Policy {
        Policy {
            deadline: Some(100 * MS),
            retransmit: true,
            rows: vec![
                row(1, 4, 0.05, 0.1),
                row(1, 4, 0.2, 0.4),
                row(1, 16, 0.2, 0.3),
                row(3, 1, 0.05, 0.01),
                row(3, 1, 0.2, 0.02),
            ],
            cap_ratio: 0.35,
            in_order: false,
        }
    }

    #[test]
    fn rounds_are_those_that_fit_the_deadline() {
        let rounds = [10, 40, 60, 100].map(|rtt| policy().rounds(rtt * MS));
        assert_eq!(rounds, [6, 3, 2, 1]);
        assert!(policy().can_ask(60 * MS) && !policy().can_ask(100 * MS));
        let patient = Policy {
            deadline: None,
            ..policy()
        };
        assert_eq!(patient.rounds(1000 * MS), 6);
        assert_eq!(rounds_within(Some(15 * MS), 40 * MS), 0);
        assert_eq!(rounds_within(Some(57 * MS), 40 * MS), 1);
    }

    #[test]
    fn the_part_of_the_table_is_the_largest_that_the_link_reaches() {
        let ratio = |rounds, window, loss| policy().settings(rounds, window, loss).repair_ratio;
        assert_eq!(ratio(1, 4, 0.04), 0.1);
        assert_eq!(ratio(2, 15, 0.06), 0.35, "no more than the cap");
        assert_eq!(ratio(2, 16, 0.06), 0.3);
        assert_eq!(ratio(5, 1, 0.05), 0.01);
        assert_eq!(ratio(5, 128, 0.9), 0.02, "the last row beyond");
        assert_eq!(ratio(1, 1, 0.04), 0.1, "the first part where none fits");
        assert_eq!(ratio(1, 4, 0.0005), 0.0, "nothing without loss");
        let settings = policy().settings(3, 50, 0.1);
        assert_eq!(settings.again, [3.0, 0.5, 0.5, 0.5, 0.5, 0.5]);
    }
}
