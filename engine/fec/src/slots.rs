//! A fixed number of byte strings of bounded length in one allocation.
//!
//! The encoder and the decoder keep their symbols in it, slot = sequence number modulo the number of slots. It does
//! not know which slots are in use. Pure.

use crate::LENGTH_BYTES;

pub(crate) struct Slots {
    bytes: Box<[u8]>,
    lengths: Box<[u32]>,
    stride: usize,
}

impl Slots {
    /// Room for `count` strings of up to `stride` bytes. The pages are zero and untouched until they are written.
    pub(crate) fn new(count: usize, stride: usize) -> Self {
        Self {
            bytes: vec![0; count * stride].into_boxed_slice(),
            lengths: vec![0; count].into_boxed_slice(),
            stride,
        }
    }

    pub(crate) fn stride(&self) -> usize {
        self.stride
    }

    /// The slot of a sequence number.
    pub(crate) fn index(&self, seq: u64) -> usize {
        (seq % self.lengths.len() as u64) as usize
    }

    pub(crate) fn read(&self, index: usize) -> &[u8] {
        &self.bytes[index * self.stride..][..self.lengths[index] as usize]
    }

    /// Stores `bytes`, at most `stride` of them.
    pub(crate) fn write(&mut self, index: usize, bytes: &[u8]) {
        self.lengths[index] = bytes.len() as u32;
        self.bytes[index * self.stride..][..bytes.len()].copy_from_slice(bytes);
    }

    /// Stores the symbol of a payload given in pieces: its length before it. Payload and length fit the stride.
    pub(crate) fn write_symbol(&mut self, index: usize, payload: &[&[u8]]) {
        let length = total(payload);
        self.lengths[index] = (LENGTH_BYTES + length) as u32;
        let symbol = &mut self.bytes[index * self.stride..][..LENGTH_BYTES + length];
        write_symbol(symbol, payload);
    }
}

/// The length of a byte string given in pieces.
pub(crate) fn total(pieces: &[&[u8]]) -> usize {
    pieces.iter().map(|piece| piece.len()).sum()
}

/// Writes the symbol of a payload given in pieces, its length before it; `symbol` has just the room.
pub(crate) fn write_symbol(symbol: &mut [u8], payload: &[&[u8]]) {
    let (prefix, mut rest) = symbol.split_at_mut(LENGTH_BYTES);
    prefix.copy_from_slice(&(rest.len() as u16).to_be_bytes());
    for piece in payload {
        let (here, after) = rest.split_at_mut(piece.len());
        here.copy_from_slice(piece);
        rest = after;
    }
}
