//! Symbols in the order of their numbers, in as little memory as those that are still wanted need.
//!
//! They lie one behind the other in chunks. The chunk that was freed last is filled next: on a link whose receiver confirms what it has, the same few
//! stay in the processor's cache, however many symbols could be kept. Which are wanted is the encoder's to say. Pure.

use std::collections::VecDeque;

use crate::LENGTH_BYTES;
use crate::slots::{total, write_symbol};

/// Symbols of full length in a chunk.
const CHUNK_SYMBOLS: usize = 16;

pub(crate) struct History {
    bytes: Box<[u8]>,
    chunk_bytes: usize,
    stride: usize,
    /// Numbers of chunks without a symbol that is wanted; the last was freed last.
    free: Vec<usize>,
    /// The chunks in use, oldest first: number, and the symbol behind the last one in it.
    used: VecDeque<(usize, u64)>,
    /// Where the next symbol goes, in the newest chunk in use.
    filled: usize,
    /// Where each symbol lies, at its number modulo their number.
    places: Box<[Place]>,
}

#[derive(Clone, Copy, Default)]
struct Place {
    start: usize,
    length: usize,
}

impl History {
    /// Room for `count` symbols of up to `stride` bytes. The pages are zero and untouched until they are written.
    pub(crate) fn new(count: usize, stride: usize) -> Self {
        let chunk_bytes = CHUNK_SYMBOLS * stride;
        // A chunk that is left for the next one lacks less than one symbol. The oldest may be all but forgotten, the newest all but empty.
        let chunks = count.div_ceil(CHUNK_SYMBOLS - 1) + 2;
        Self {
            bytes: vec![0; chunks * chunk_bytes].into_boxed_slice(),
            chunk_bytes,
            stride,
            free: (0..chunks).rev().collect(),
            used: VecDeque::with_capacity(chunks),
            filled: 0,
            places: vec![Place::default(); count].into_boxed_slice(),
        }
    }

    pub(crate) fn stride(&self) -> usize {
        self.stride
    }

    /// A symbol that was written and is wanted.
    pub(crate) fn read(&self, seq: u64) -> &[u8] {
        let Place { start, length } = self.places[self.index(seq)];
        &self.bytes[start..][..length]
    }

    /// Stores the symbol of a payload given in pieces: its length before it. Payload and length fit the stride; numbers count up by one, and
    /// fewer are wanted than there is room for. False: they were not.
    pub(crate) fn write(&mut self, seq: u64, payload: &[&[u8]]) -> bool {
        let length = total(payload);
        let Some(start) = self.room(seq, LENGTH_BYTES + length) else {
            return false;
        };
        let symbol = &mut self.bytes[start..][..LENGTH_BYTES + length];
        write_symbol(symbol, payload);
        let index = self.index(seq);
        self.places[index] = Place {
            start,
            length: LENGTH_BYTES + length,
        };
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

    /// Where so many bytes go.
    fn room(&mut self, seq: u64, bytes: usize) -> Option<usize> {
        let fits = self.filled + bytes <= self.chunk_bytes;
        match self.used.back_mut().filter(|_| fits) {
            Some((_, end)) => *end = seq + 1,
            None => {
                self.used.push_back((self.free.pop()?, seq + 1));
                self.filled = 0;
            }
        }
        let (chunk, _) = self.used.back()?;
        let start = chunk * self.chunk_bytes + self.filled;
        self.filled += bytes;
        Some(start)
    }

    fn index(&self, seq: u64) -> usize {
        (seq % self.places.len() as u64) as usize
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
        let touched = history.bytes.iter().rposition(|byte| *byte != 0);
        assert!(touched.is_some_and(|last| last < 8 * history.chunk_bytes));
    }
}
