//! Bounds the handshakes of others that a relay passes on. Pure.

use crate::Nanos;

/// Handshakes of others that a relay passes on, per second and at once.
const HANDSHAKES_PER_SECOND: u64 = 200;
const HANDSHAKES_BURST: u64 = 400;

/// Bounds the handshakes that a relay passes on: they cost their receiver a key agreement each.
#[derive(Debug, Default)]
pub(crate) struct HandshakeBucket {
    spent: u64,
    drained_at: Nanos,
}

impl HandshakeBucket {
    pub(crate) fn take(&mut self, now: Nanos) -> bool {
        let drained = now.saturating_sub(self.drained_at) * HANDSHAKES_PER_SECOND / 1_000_000_000;
        if drained > 0 {
            self.spent = self.spent.saturating_sub(drained);
            self.drained_at = now;
        }
        let room = self.spent < HANDSHAKES_BURST;
        self.spent += u64::from(room);
        room
    }
}
