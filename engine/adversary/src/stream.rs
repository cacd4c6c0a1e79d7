//! What the hostile peer says to one node in one class of service: numbers, and a true code over what was said, so that a lie begins where it wants. Pure.

use overlayd_fec::Encoder;
use overlayd_wire::{Budget, Protected, frame};

const SYMBOL_BYTES: usize = 1_472;
const WINDOW: usize = 64;
const HISTORY: usize = 256;

pub(crate) struct Stream {
    pub(crate) next: u32,
    pub(crate) encoder: Encoder,
}

impl Stream {
    pub(crate) fn new(next: u32) -> Self {
        Self {
            next,
            encoder: Encoder::new(WINDOW, HISTORY, SYMBOL_BYTES),
        }
    }

    /// The next frame of the stream, whether it is sent or not.
    pub(crate) fn push(&mut self, routed: bool, class: u8, rest: &[u8]) {
        let header = Protected {
            routed,
            class,
            seq: self.next & frame::SEQ_MASK,
            budget: Budget::NONE,
        };
        let longest = rest.len().min(SYMBOL_BYTES - 1);
        if self
            .encoder
            .push(self.next, &[&[header.first_byte()], &rest[..longest]])
            .is_err()
        {
            self.encoder.restart();
        }
        self.next = self.next.wrapping_add(1);
    }

    /// On from another number, with nothing said before it.
    pub(crate) fn skip_to(&mut self, next: u32) {
        self.encoder.restart();
        self.next = next;
    }
}
