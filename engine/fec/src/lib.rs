//! The erasure code of a hop: a systematic sliding-window code over GF(2^8).
//!
//! An [`Encoder`] stands at the sending end of a link, one per class of service. Every frame goes into it as a
//! *source symbol* and out on the wire as it is; now and then the encoder is asked for a *repair symbol*, a sum over
//! the most recent source symbols. A [`Decoder`] at the receiving end keeps what arrives and returns what was lost
//! as soon as the arrivals determine it. The encoder's ring is the retransmission buffer as well.
//!
//! The code is defined in `fec/code.py`, in readable form; shared vectors hold both to it. A block code is the same
//! code with a window that starts with the block.
//!
//! Not here: when to send repair (the caller's policy), framing, authentication (a decoder must only see input that
//! was authenticated), feedback. Pure: no I/O, no clock, no randomness; nothing allocates after construction.
//! Called by `overlayd-node`.

#![deny(unsafe_code)]

mod decoder;
mod encoder;
mod field;
mod history;
mod kernel;
mod matrix;
mod slots;
mod store;
mod system;

pub use decoder::{Arrival, DECODER_RING, Decoder, PENDING_REPAIRS, Refusal};
pub use encoder::{Encoder, PushError};
pub use kernel::Kernel;
pub use matrix::{COLUMNS, PARITY_ROWS, coefficient};

/// The most source symbols that one repair symbol covers.
pub const WINDOW_LIMIT: usize = 128;

/// Bytes that a symbol has beyond its payload: the length, big-endian. A repair symbol is at most the encoder's
/// `symbol_bytes` plus this long.
pub const LENGTH_BYTES: usize = 2;

/// What a receiver must know of a repair symbol beside its bytes: it is the sum of source symbols
/// `first_seq .. first_seq + span` with the coefficients of row `row` (modulo [`PARITY_ROWS`]).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RepairHeader {
    pub first_seq: u32,
    pub span: u8,
    pub row: u8,
}
