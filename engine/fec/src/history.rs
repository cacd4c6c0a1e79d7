//! Symbols in the order of their numbers, in as little memory as those that are still wanted need.
//!
//! They lie one behind the other in chunks. The chunk that was freed last is filled next: on a link whose receiver confirms what it has, the same few
//! stay in the processor's cache, however many symbols could be kept. Which are wanted is the encoder's to say. Pure.

use std::collections::VecDeque;

use crate::LENGTH_BYTES;
use crate::kernel::{Block, blocks_for};
use crate::store::{Store, total, write_symbol};

/// Symbols of full length in a chunk.
const CHUNK_SYMBOLS: usize = 16;

pub(crate) struct History {
    store: Store,
    chunk_blocks: usize,
    /// Bytes of the longest symbol.
    limit: usize,
    /// Numbers of chunks without a symbol that is wanted; the last was freed last.
    free: Vec<usize>,
    /// The chunks in use, oldest first: number, and the symbol behind the last one in it.
    used: VecDeque<(usize, u64)>,
    /// Blocks in use of the newest chunk in use.
    filled: usize,
    /// Where each symbol lies, at its number modulo their number, a power of two.
    places: Box<[Place]>,
}

#[derive(Clone, Copy, Default)]
struct Place {
    /// Its first block.
    start: usize,
    /// In bytes.
    length: usize,
}

impl History {
    /// Room for `count` symbols of up to `limit` bytes. The pages are zero and untouched until they are written.
    pub(crate) fn new(count: usize, limit: usize) -> Self {
        let chunk_blocks = CHUNK_SYMBOLS * blocks_for(limit);
        // A chunk that is left for the next one lacks less than one symbol. The oldest may be all but forgotten, the newest all but empty.
        let chunks = count.div_ceil(CHUNK_SYMBOLS - 1) + 2;
        Self {
            store: Store::new(chunks * chunk_blocks),
            chunk_blocks,
            limit,
            free: (0..chunks).rev().collect(),
            used: VecDeque::with_capacity(chunks),
            filled: 0,
            places: vec![Place::default(); count.next_power_of_two()].into_boxed_slice(),
        }
    }

    /// Bytes of the longest symbol that may be stored.
    pub(crate) fn limit(&self) -> usize {
        self.limit
    }

    /// A symbol that was written and is wanted.
    pub(crate) fn read(&self, seq: u64) -> &[u8] {
        let length = self.places[self.index(seq)].length;
        &self.blocks(seq).as_flattened()[..length]
    }

    /// The same with the zeros that fill its last block.
    pub(crate) fn blocks(&self, seq: u64) -> &[Block] {
        let Place { start, length } = self.places[self.index(seq)];
        &self.store.blocks()[start..][..blocks_for(length)]
    }

    /// Stores the symbol of a payload given in pieces: its length before it. Both fit the limit; numbers count up by one, and
    /// fewer are wanted than there is room for. False: they were not.
    pub(crate) fn write(&mut self, seq: u64, payload: &[&[u8]]) -> bool {
        let length = LENGTH_BYTES + total(payload);
        let blocks = blocks_for(length);
        let Some(start) = self.room(seq, blocks) else {
            return false;
        };
        write_symbol(&mut self.store.blocks_mut()[start..][..blocks], payload);
        let index = self.index(seq);
        self.places[index] = Place { start, length };
        true
    }

    /// Symbols before this one are not wanted any more.
    pub(crate) fn forget_before(&mut self, seq: u64) {
        while let Some((chunk, _)) = self.used.front().filter(|(_, end)| *end <= seq) {
            self.free.push(*chunk);
            self.used.pop_front();
        }
    }

    pub(crate) fn clear(&mut self) {
        self.forget_before(u64::MAX);
    }

    /// Where so many blocks go.
    fn room(&mut self, seq: u64, blocks: usize) -> Option<usize> {
        let fits = self.filled + blocks <= self.chunk_blocks;
        match self.used.back_mut().filter(|_| fits) {
            Some((_, end)) => *end = seq + 1,
            None => {
                self.used.push_back((self.free.pop()?, seq + 1));
                self.filled = 0;
            }
        }
        let (chunk, _) = self.used.back()?;
        let start = chunk * self.chunk_blocks + self.filled;
        self.filled += blocks;
        Some(start)
    }

    fn index(&self, seq: u64) -> usize {
        seq as usize & (self.places.len() - 1)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_is_wanted_stays_as_it_was(count in 1usize..70, steps in prop::collection::vec((0usize..=100, 0u64..20), 1..400)) {
            let mut history = History::new(count, 102);
            let mut naive = BTreeMap::new();
            for (seq, (length, forgotten)) in (0u64..).zip(steps) {
                let oldest = (seq + 1).saturating_sub(count as u64);
                naive.retain(|number, _| *number >= oldest);
                history.forget_before(oldest);
                let payload = vec![seq as u8; length];
                prop_assert!(history.write(seq, &[&payload[..length / 3], &payload[length / 3..]]));
                naive.insert(seq, payload);
                if forgotten == 0 {
                    naive.clear();
                    history.forget_before(seq + 1);
                }
                for (number, payload) in &naive {
                    let symbol = history.read(*number);
                    prop_assert_eq!(&symbol[..2], (payload.len() as u16).to_be_bytes());
                    prop_assert_eq!(&symbol[2..], payload.as_slice());
                }
            }
        }
    }

    #[test]
    fn what_is_confirmed_soon_needs_little_memory() {
        let mut history = History::new(8192, 1474);
        for seq in 0..100_000 {
            assert!(history.write(seq, &[&[1; 1400]]));
            history.forget_before((seq + 1).saturating_sub(64));
        }
        let touched = history
            .store
            .blocks()
            .iter()
            .rposition(|block| *block != [0; 64]);
        assert!(touched.is_some_and(|last| last < 8 * history.chunk_blocks));
    }
}
