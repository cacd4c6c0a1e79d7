//! When a flow has waited too long: CoDel (RFC 8289), of one flow. Pure.
//!
//! Its two times are those of the RFC, for flows that send as acknowledgements come. One that is put in order at its egress hears nothing while a gap is filled and
//! then of all at once: its queue empties and fills by what a round trip holds, and it has to have one, or the link would idle meanwhile. For it both are longer, by
//! the link's round trip.

use crate::Nanos;

/// How long packets of a flow may wait all the time, and how long "all the time" is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tolerance {
    target: Nanos,
    interval: Nanos,
}

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

impl Tolerance {
    pub(super) const USUAL: Self = Self {
        target: 5_000_000,
        interval: 100_000_000,
    };

    /// Of flows that are put in order, over a link with this round trip: a gap takes one to fill, sometimes two.
    pub(super) fn in_order(rtt: Nanos) -> Self {
        Self {
            target: Self::USUAL.target + rtt / 4,
            interval: Self::USUAL.interval + 2 * rtt,
        }
    }
}

impl Codel {
    /// Whether this packet, which waited so long, is to be dropped or marked. `alone`: nothing worth speaking of waits behind it.
    pub(super) fn is_over(
        &mut self,
        now: Nanos,
        waited: Nanos,
        alone: bool,
        tolerance: Tolerance,
    ) -> bool {
        let Tolerance { target, interval } = tolerance;
        if waited < target || alone {
            self.rest();
            return false;
        }
        let late_at = *self.late_at.get_or_insert(now + interval);
        if self.dropping {
            if now < self.next {
                return false;
            }
            self.count += 1;
            self.next = self.after(self.next, interval);
            return true;
        }
        if now < late_at {
            return false;
        }
        // Soon after the last time: go on with the rhythm that was found then.
        let found = self.count - self.first_count;
        let again = found > 1 && now < self.next + 16 * interval;
        self.count = if again { found } else { 1 };
        self.first_count = self.count;
        self.dropping = true;
        self.next = self.after(now, interval);
        true
    }

    /// Nothing waits, or not for long.
    pub(super) fn rest(&mut self) {
        (self.late_at, self.dropping) = (None, false);
    }

    fn after(&self, at: Nanos, interval: Nanos) -> Nanos {
        at + (interval as f64 / f64::from(self.count).sqrt()) as Nanos
    }
}
