//! The sending end: keeps the source symbols that went out, and makes repair symbols over the latest of them.
//!
//! One copy serves both kinds of repair: [`Encoder::get`] hands it out for retransmission, [`Encoder::repair`] sums
//! it up. Pure; called by the node's protect stage.

use core::fmt;
use core::ops::Range;

use crate::history::History;
use crate::kernel::{Block, FUSED, Term, blocks_for};
use crate::store::total;
use crate::{Kernel, LENGTH_BYTES, RepairHeader, WINDOW_LIMIT, matrix};

/// The source symbols of one link and class that may still be asked for.
pub struct Encoder {
    kernel: Kernel,
    window: u64,
    kept: History,
    history: u64,
    /// The symbols kept are `oldest..next`; none were ever pushed if `next` is `None`.
    oldest: u64,
    next: Option<u64>,
}

/// Why a source symbol was not taken; nothing changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PushError {
    /// Longer than the encoder's `symbol_bytes`.
    TooLong { bytes: usize },
    /// Sequence numbers count up by one from wherever the first push started; after `u32::MAX` there is no next.
    OutOfOrder { seq: u32 },
}

impl Encoder {
    /// An encoder that sums up the last `window` symbols (1..=128), keeps the last `history` of them for
    /// retransmission (at least the window) and takes symbols of up to `symbol_bytes` bytes (at most 65535). Values
    /// outside are clamped. Takes about `history · (1.07 · symbol_bytes + 18)`
    /// bytes (in whole blocks of 64), once; pages are untouched until so many are wanted.
    pub fn new(window: usize, history: usize, symbol_bytes: usize) -> Self {
        let window = window.clamp(1, WINDOW_LIMIT);
        let history = history.max(window);
        Self {
            kernel: Kernel::detect(),
            window: window as u64,
            kept: History::new(history, LENGTH_BYTES + symbol_bytes.min(u16::MAX.into())),
            history: history as u64,
            oldest: 0,
            next: None,
        }
    }

    /// The same encoder on another kernel, for comparisons.
    #[must_use]
    pub fn with_kernel(self, kernel: Kernel) -> Self {
        Self { kernel, ..self }
    }

    /// Sets the number of symbols that repair symbols sum up from now on, clamped to 1..=128 and to the history.
    pub fn set_window(&mut self, window: usize) {
        self.window = (window.clamp(1, WINDOW_LIMIT) as u64).min(self.history);
    }

    /// Copies a source symbol, given in pieces, into the history; the oldest one leaves it when it is full.
    pub fn push(&mut self, seq: u32, parts: &[&[u8]]) -> Result<(), PushError> {
        let bytes = total(parts);
        if bytes > self.kept.limit() - LENGTH_BYTES {
            return Err(PushError::TooLong { bytes });
        }
        let seq = match self.next {
            Some(next) if next != u64::from(seq) => return Err(PushError::OutOfOrder { seq }),
            Some(next) => next,
            None => {
                self.oldest = seq.into();
                seq.into()
            }
        };
        self.oldest = self.oldest.max((seq + 1).saturating_sub(self.history));
        self.kept.forget_before(self.oldest);
        let written = self.kept.write(seq, parts);
        debug_assert!(written, "there is room for as many as the history has");
        self.next = Some(seq + 1);
        Ok(())
    }

    /// The payload of a source symbol that is still kept.
    pub fn get(&self, seq: u32) -> Option<&[u8]> {
        let seq = u64::from(seq);
        let kept = self.oldest <= seq && seq < self.next?;
        kept.then(|| &self.symbol(seq)[LENGTH_BYTES..])
    }

    /// Drops symbols before `seq`: the receiver has them or will never want them. Repair symbols cover the rest.
    pub fn forget_before(&mut self, seq: u32) {
        if let Some(next) = self.next {
            self.oldest = self.oldest.max(u64::from(seq).min(next));
            self.kept.forget_before(self.oldest);
        }
    }

    /// Drops all symbols; the next push may start anywhere.
    pub fn restart(&mut self) {
        self.oldest = 0;
        self.next = None;
        self.kept.clear();
    }

    /// Writes the repair symbol of row `row` over the window into `out` (replacing what was there) and answers its
    /// header. `None` if the window is empty: nothing that was sent is still of interest. For new information about
    /// the same window take another row; 32 of them are independent.
    pub fn repair(&self, row: u8, out: &mut Vec<u8>) -> Option<RepairHeader> {
        self.repairs(row, core::slice::from_mut(out))
    }

    /// The same for as many consecutive rows as there are `outs`, all over the same window, for less: the window is read once for four of
    /// them. The header is that of `row`; those of the others differ in the row only.
    pub fn repairs(&self, row: u8, outs: &mut [Vec<u8>]) -> Option<RepairHeader> {
        let next = self.next?;
        self.sums(next.saturating_sub(self.window)..next, row, outs)
    }

    /// As [`Encoder::repair`], over those of the `span` symbols from `first` on that are still kept. `None` as well if these are too
    /// many for one repair symbol.
    pub fn repair_over(
        &self,
        first: u32,
        span: u8,
        row: u8,
        out: &mut Vec<u8>,
    ) -> Option<RepairHeader> {
        let first = u64::from(first);
        let end = (first + u64::from(span)).min(self.next?);
        self.sums(first..end, row, core::slice::from_mut(out))
    }

    fn sums(&self, window: Range<u64>, row: u8, outs: &mut [Vec<u8>]) -> Option<RepairHeader> {
        let window = self.oldest.max(window.start)..window.end;
        let span = window.end.checked_sub(window.start)?;
        if span > WINDOW_LIMIT as u64 {
            return None;
        }
        let bytes = window.clone().map(|seq| self.symbol(seq).len()).max()?;
        for out in outs.iter_mut() {
            out.resize(blocks_for(bytes) * size_of::<Block>(), 0);
        }
        let first = window.start;
        let mut at = row;
        let (fours, rest) = outs.as_chunks_mut::<FUSED>();
        for outs in fours {
            self.sum_up(&window, &mut at, outs);
        }
        let (twos, rest) = rest.as_chunks_mut::<2>();
        for outs in twos {
            self.sum_up(&window, &mut at, outs);
        }
        for out in rest {
            self.sum_up(&window, &mut at, core::array::from_mut(out));
        }
        outs.iter_mut().for_each(|out| out.truncate(bytes));
        Some(RepairHeader {
            first_seq: first as u32,
            span: span as u8,
            row,
        })
    }

    /// Adds up the window for the rows from `row` on.
    fn sum_up<const R: usize>(&self, window: &Range<u64>, row: &mut u8, outs: &mut [Vec<u8>; R]) {
        let rows = core::array::from_fn(|index| row.wrapping_add(index as u8));
        let coefficients = matrix::coefficients::<R>(rows, window.start);
        let terms = window
            .clone()
            .zip(coefficients)
            .map(|(seq, coefficients)| Term {
                blocks: self.kept.blocks(seq),
                coefficients,
            });
        let mut sums = outs.each_mut().map(|out| out.as_chunks_mut().0);
        self.kernel.sum_up(&mut sums, terms);
        *row = row.wrapping_add(R as u8);
    }

    fn symbol(&self, seq: u64) -> &[u8] {
        self.kept.read(seq)
    }
}

impl fmt::Display for PushError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLong { bytes } => write!(
                f,
                "a source symbol of {bytes} bytes is longer than the encoder's"
            ),
            Self::OutOfOrder { seq } => {
                write!(f, "source symbol {seq} does not follow the one before it")
            }
        }
    }
}

impl core::error::Error for PushError {}

#[cfg(test)]
#[allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests fail by panicking"
)]
mod tests {
    use super::*;

    fn filled(window: usize, history: usize, count: u32) -> Encoder {
        let mut encoder = Encoder::new(window, history, 100);
        for seq in 0..count {
            encoder.push(seq, &[&[seq as u8; 10]]).unwrap();
        }
        encoder
    }

    #[test]
    fn the_history_outlives_the_window() {
        let encoder = filled(4, 10, 25);
        assert_eq!(encoder.get(14), None);
        assert_eq!(encoder.get(15), Some([15; 10].as_slice()));
        assert_eq!(encoder.get(25), None);
        let header = encoder.repair(0, &mut Vec::new()).unwrap();
        assert_eq!((header.first_seq, header.span), (21, 4));
    }

    #[test]
    fn what_is_forgotten_leaves_the_window() {
        let mut encoder = filled(4, 10, 25);
        encoder.forget_before(23);
        assert_eq!(encoder.get(22), None);
        assert_eq!(
            encoder.repair(7, &mut Vec::new()),
            Some(RepairHeader {
                first_seq: 23,
                span: 2,
                row: 7
            })
        );
        encoder.forget_before(1000);
        assert_eq!(encoder.repair(7, &mut Vec::new()), None);
        encoder.push(25, &[b"next"]).unwrap();
        assert_eq!(
            encoder.repair(7, &mut Vec::new()),
            Some(RepairHeader {
                first_seq: 25,
                span: 1,
                row: 7
            })
        );
    }

    #[test]
    fn a_repair_symbol_is_as_long_as_the_longest_of_its_window() {
        let mut encoder = Encoder::new(2, 2, 1500);
        let mut out = vec![9; 3000];
        for (seq, bytes) in [1500, 40, 60].into_iter().enumerate() {
            encoder.push(seq as u32, &[&vec![1; bytes]]).unwrap();
        }
        encoder.repair(0, &mut out).unwrap();
        assert_eq!(out.len(), LENGTH_BYTES + 60);
    }

    #[test]
    fn a_gap_and_an_oversized_symbol_are_refused() {
        let mut encoder = filled(4, 10, 5);
        assert_eq!(
            encoder.push(6, &[b""]),
            Err(PushError::OutOfOrder { seq: 6 })
        );
        assert_eq!(
            encoder.push(4, &[b""]),
            Err(PushError::OutOfOrder { seq: 4 })
        );
        assert_eq!(
            encoder.push(5, &[&[0; 60], &[0; 41]]),
            Err(PushError::TooLong { bytes: 101 })
        );
        assert_eq!(encoder.push(5, &[&[0; 60], &[0; 40]]), Ok(()));
    }

    #[test]
    fn after_a_restart_any_number_is_the_first() {
        let mut encoder = filled(4, 10, 25);
        encoder.restart();
        assert_eq!(
            (encoder.get(24), encoder.repair(0, &mut Vec::new())),
            (None, None)
        );
        encoder.push(7, &[b"seven"]).unwrap();
        assert_eq!(encoder.get(7), Some(b"seven".as_slice()));
        let header = encoder.repair(0, &mut Vec::new()).unwrap();
        assert_eq!((header.first_seq, header.span), (7, 1));
    }

    #[test]
    fn sequence_numbers_end_without_wrapping() {
        let mut encoder = Encoder::new(4, 4, 10);
        encoder.push(u32::MAX - 1, &[b"a"]).unwrap();
        encoder.push(u32::MAX, &[b"b"]).unwrap();
        assert_eq!(
            encoder.push(0, &[b"c"]),
            Err(PushError::OutOfOrder { seq: 0 })
        );
        assert_eq!(encoder.get(u32::MAX), Some(b"b".as_slice()));
        let header = encoder.repair(0, &mut Vec::new()).unwrap();
        assert_eq!((header.first_seq, header.span), (u32::MAX - 1, 2));
    }
}
