//! Whether flows of others fill the bottleneck's queue: what this link gives up, they take.
//!
//! While a queue of our own stands, the bottleneck passes what it always passed, however fast we send. In one that others keep full, what we get shrinks with
//! what we send, and grows with it. So it is told who is there without knowing either the bottleneck or its users. (Copa, NSDI'18, switches its mode
//! for the same reason, by the queue alone.) Pure.

use crate::Nanos;

/// It is others' when this little stayed ours of what we had, in so many decisions in a row.
const TAKEN: f64 = 0.85;
const DECISIONS: u32 = 3;
/// Less than this share of what was sent arrived: the bottleneck has less for us than we ask for, whatever it had before.
const NARROWER: f64 = 0.9;
/// Rivals are there until the bottleneck passed the same for so long, but for this.
const STEADY_FOR: Nanos = 10_000_000_000;
const STEADY: f64 = 0.8;
/// One decision moves the mean by one part in so many.
const MEAN: f64 = 4.0;

#[derive(Debug, Default)]
pub(super) struct Rivals {
    are_there: bool,
    /// Bits a second that the bottleneck passed of ours: the mean, and the most since it last had less for us than was sent.
    mean: f64,
    held: f64,
    taken: u32,
    /// The least and the most of the mean since then.
    since: Nanos,
    range: (f64, f64),
}

impl Rivals {
    pub(super) fn are_there(&self) -> bool {
        self.are_there
    }

    /// What is sent is held back from now on.
    pub(super) fn begin(&mut self, delivered: f64) {
        *self = Self {
            mean: delivered,
            held: delivered,
            ..Self::default()
        };
    }

    /// Of one decision in which we were held back: what was sent and delivered, in bits a second, and whether a queue stood all the while. `Some`: there
    /// are rivals, and this is what the link had before.
    pub(super) fn told(
        &mut self,
        now: Nanos,
        sent: f64,
        delivered: f64,
        queued: bool,
    ) -> Option<f64> {
        self.mean += (delivered - self.mean) / MEAN;
        if delivered < sent * NARROWER {
            self.mean = delivered;
            self.held = self.held.min(delivered);
            self.taken = 0;
            return None;
        }
        self.held = self.held.max(self.mean);
        let is_taken = queued && delivered < self.held * TAKEN;
        self.taken = if is_taken { self.taken + 1 } else { 0 };
        self.are_there = self.taken >= DECISIONS;
        self.since = now;
        self.range = (f64::MAX, 0.0);
        self.are_there.then_some(self.held)
    }

    /// Of one decision beside rivals. True: they are gone.
    pub(super) fn watch(&mut self, now: Nanos, delivered: f64, queued: bool) -> bool {
        self.mean += (delivered - self.mean) / MEAN;
        if queued {
            self.range = (self.range.0.min(self.mean), self.range.1.max(self.mean));
        }
        if now < self.since + STEADY_FOR {
            return false;
        }
        let (least, most) = self.range;
        let are_gone = least > most * STEADY;
        (self.since, self.range) = (now, (f64::MAX, 0.0));
        if are_gone {
            self.begin(self.mean);
        }
        are_gone
    }
}
