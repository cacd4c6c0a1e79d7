//! When a flow has waited too long: CoDel (RFC 8289), of one flow. Pure.

use crate::Nanos;

/// How long packets of a flow may wait all the time, and how long "all the time" is.
const TARGET: Nanos = 5_000_000;
const INTERVAL: Nanos = 100_000_000;

#[derive(Debug, Default)]
pub(super) struct Codel {
    /// When packets will have waited too long for a whole interval.
    late_at: Option<Nanos>,
    dropping: bool,
    next: Nanos,
    /// Drops so far, and with how many it began.
    count: u32,
    first_count: u32,
}

impl Codel {
    /// Whether this packet, which waited so long, is to be dropped or marked. `alone`: nothing worth speaking of waits behind it.
    pub(super) fn is_over(&mut self, now: Nanos, waited: Nanos, alone: bool) -> bool {
        if waited < TARGET || alone {
            self.rest();
            return false;
        }
        let late_at = *self.late_at.get_or_insert(now + INTERVAL);
        if self.dropping {
            if now < self.next {
                return false;
            }
            self.count += 1;
            self.next = self.after(self.next);
            return true;
        }
        if now < late_at {
            return false;
        }
        // Soon after the last time: go on with the rhythm that was found then.
        let found = self.count - self.first_count;
        let again = found > 1 && now < self.next + 16 * INTERVAL;
        self.count = if again { found } else { 1 };
        self.first_count = self.count;
        self.dropping = true;
        self.next = self.after(now);
        true
    }

    /// Nothing waits, or not for long.
    pub(super) fn rest(&mut self) {
        (self.late_at, self.dropping) = (None, false);
    }

    fn after(&self, at: Nanos) -> Nanos {
        at + (INTERVAL as f64 / f64::from(self.count).sqrt()) as Nanos
    }
}
