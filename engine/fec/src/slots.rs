//! A fixed number of byte strings of bounded length in one allocation.
//!
//! The decoder keeps its symbols in it, slot = sequence number modulo the number of slots. It does
//! not know which slots are in use. Pure.

use crate::LENGTH_BYTES;
use crate::kernel::{Block, blocks_for};
use crate::store::{Store, total, write, write_symbol};

pub(crate) struct Slots {
    store: Store,
    lengths: Box<[u32]>,
    /// Bytes of the longest string, and the blocks of a slot.
    limit: usize,
    stride: usize,
}

impl Slots {
    /// Room for `count` strings of up to `limit` bytes. The pages are zero and untouched until they are written.
    pub(crate) fn new(count: usize, limit: usize) -> Self {
        let stride = blocks_for(limit);
        Self {
            store: Store::new(count * stride),
            lengths: vec![0; count].into_boxed_slice(),
            limit,
            stride,
        }
    }

    /// Bytes of the longest string that may be stored.
    pub(crate) fn limit(&self) -> usize {
        self.limit
    }

    /// The slot of a sequence number.
    pub(crate) fn index(&self, seq: u64) -> usize {
        (seq % self.lengths.len() as u64) as usize
    }

    pub(crate) fn read(&self, index: usize) -> &[u8] {
        let length = self.lengths[index] as usize;
        &self.blocks(index).as_flattened()[..length]
    }

    /// The string and the zeros that fill its last block.
    pub(crate) fn blocks(&self, index: usize) -> &[Block] {
        let count = blocks_for(self.lengths[index] as usize);
        &self.store.blocks()[index * self.stride..][..count]
    }

    /// Stores `bytes`, at most `limit` of them.
    pub(crate) fn write(&mut self, index: usize, bytes: &[u8]) {
        write(self.resize(index, bytes.len()), core::iter::once(bytes));
    }

    /// Stores the symbol of a payload given in pieces: its length before it. Both fit the limit.
    pub(crate) fn write_symbol(&mut self, index: usize, payload: &[&[u8]]) {
        write_symbol(self.resize(index, LENGTH_BYTES + total(payload)), payload);
    }

    fn resize(&mut self, index: usize, bytes: usize) -> &mut [Block] {
        self.lengths[index] = bytes as u32;
        &mut self.store.blocks_mut()[index * self.stride..][..blocks_for(bytes)]
    }
}
