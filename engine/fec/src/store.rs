//! Memory for symbols, in blocks that start at the processor's cache lines: what the kernels read and write. Pure.

use crate::kernel::Block;

pub(crate) struct Store {
    bytes: Box<[u8]>,
    start: usize,
}

impl Store {
    /// Room for so many blocks. The pages are zero and untouched until they are written.
    pub(crate) fn new(blocks: usize) -> Self {
        let bytes = vec![0; (blocks + 1) * size_of::<Block>()].into_boxed_slice();
        let start = bytes.as_ptr().align_offset(size_of::<Block>());
        Self {
            start: start.min(size_of::<Block>()),
            bytes,
        }
    }

    pub(crate) fn blocks(&self) -> &[Block] {
        self.bytes[self.start..].as_chunks().0
    }

    pub(crate) fn blocks_mut(&mut self) -> &mut [Block] {
        self.bytes[self.start..].as_chunks_mut().0
    }
}

/// The length of a byte string given in pieces.
pub(crate) fn total(pieces: &[&[u8]]) -> usize {
    pieces.iter().map(|piece| piece.len()).sum()
}

/// Writes the symbol of a payload given in pieces, its length before it, and zeros behind it. `blocks` has just the room.
pub(crate) fn write_symbol(blocks: &mut [Block], payload: &[&[u8]]) {
    let length = (total(payload) as u16).to_be_bytes();
    write(
        blocks,
        core::iter::once(length.as_slice()).chain(payload.iter().copied()),
    );
}

/// Writes a byte string given in pieces and zeros behind it. `blocks` has just the room.
pub(crate) fn write<'a>(blocks: &mut [Block], pieces: impl Iterator<Item = &'a [u8]>) {
    let mut rest = blocks.as_flattened_mut();
    for piece in pieces {
        let (here, after) = rest.split_at_mut(piece.len());
        here.copy_from_slice(piece);
        rest = after;
    }
    rest.fill(0);
}
