//! The receiving end: keeps what arrived and works out what was lost.
//!
//! Arrivals go in with [`Decoder::source`] and [`Decoder::repair`], in any order; [`Decoder::recover`] answers each
//! lost symbol as soon as the arrivals determine it. Packets are touched once on arrival (a copy) and once per symbol
//! that is really recovered; all else is done on coefficients. Memory is fixed at construction whatever the peer does.
//! Pure; called by the node's recover stage, with authenticated input only.

use core::fmt;

use crate::kernel::{FUSED, Term, blocks_for};
use crate::slots::Slots;
use crate::store::{Store, total};
use crate::system::{SYSTEM_COLUMNS, SYSTEM_PARTS, System};
use crate::{Kernel, LENGTH_BYTES, RepairHeader, WINDOW_LIMIT, matrix};

/// How many of the latest source symbols a decoder remembers.
pub const DECODER_RING: usize = SYSTEM_COLUMNS;

/// How many repair symbols a decoder keeps while they wait for more; a further one displaces the oldest.
pub const PENDING_REPAIRS: usize = SYSTEM_PARTS;

/// The source symbols of one link and class that arrived or were recovered, and the repair symbols still of use.
pub struct Decoder {
    kernel: Kernel,
    sources: Slots,
    repairs: Slots,
    /// First and last source symbol of each repair symbol, by slot.
    covered: [(u64, u64); PENDING_REPAIRS],
    system: System,
    /// The latest source symbol that arrived or that a repair symbol covered.
    latest: Option<u64>,
    /// Whether something arrived since the last look that may determine a missing symbol.
    stale: bool,
    /// Where symbols come into being, some at once.
    sums: Store,
}

/// A symbol that the arrivals determine: its number and the row of the system that says so.
type Determined = (u64, usize);

/// What an arrival was worth to the decoder. It says nothing on whether a packet is to be delivered: a source
/// symbol may be too old for the code and still be the first copy of its packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arrival {
    /// A source symbol that was missing; a repair symbol that covers a missing one.
    New,
    /// A source symbol that arrived or was recovered before; a repair symbol that covers nothing missing.
    Known,
    /// Further back than the decoder remembers.
    TooOld,
}

/// Why an input was refused. A correct peer never causes one; the caller counts them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// A source or repair symbol shorter or longer than any symbol of this link.
    Length { bytes: usize },
    /// A repair symbol that covers no source symbol, more than a window, or ones past the last sequence number.
    Span { span: u8 },
    /// A recovered symbol whose length prefix contradicts its bytes. All pending repair symbols were dropped.
    Inconsistent { seq: u32 },
}

impl Decoder {
    /// A decoder for source symbols of up to `symbol_bytes` bytes (clamped to 65535). Takes about
    /// `292 · symbol_bytes` bytes, once; the pages are untouched until they are needed.
    pub fn new(symbol_bytes: usize) -> Self {
        let kernel = Kernel::detect();
        let limit = LENGTH_BYTES + symbol_bytes.min(u16::MAX.into());
        Self {
            kernel,
            sources: Slots::new(DECODER_RING, limit),
            repairs: Slots::new(PENDING_REPAIRS, limit),
            covered: [(0, 0); PENDING_REPAIRS],
            system: System::new(kernel),
            latest: None,
            stale: false,
            sums: Store::new(FUSED * blocks_for(limit)),
        }
    }

    /// The same decoder on another kernel, for comparisons. Call it before anything arrives.
    #[must_use]
    pub fn with_kernel(self, kernel: Kernel) -> Self {
        Self {
            kernel,
            system: System::new(kernel),
            ..self
        }
    }

    /// Takes a source symbol, given in pieces.
    pub fn source(&mut self, seq: u32, parts: &[&[u8]]) -> Result<Arrival, Refusal> {
        let bytes = total(parts);
        if bytes > self.sources.limit() - LENGTH_BYTES {
            return Err(Refusal::Length { bytes });
        }
        let seq = u64::from(seq);
        let filled_a_gap = self.latest.is_some_and(|latest| seq <= latest);
        self.advance_to(seq);
        if seq < self.oldest() {
            return Ok(Arrival::TooOld);
        }
        let slot = self.sources.index(seq);
        if !self.system.is_unknown(slot) {
            return Ok(Arrival::Known);
        }
        self.sources.write_symbol(slot, parts);
        self.system.mark_known(slot);
        self.stale |= filled_a_gap;
        Ok(Arrival::New)
    }

    /// Takes a repair symbol.
    pub fn repair(&mut self, header: RepairHeader, bytes: &[u8]) -> Result<Arrival, Refusal> {
        let (first, last) = self.check(header, bytes)?;
        self.advance_to(last);
        if first < self.oldest() {
            return Ok(Arrival::TooOld);
        }
        if !(first..=last).any(|seq| self.system.is_unknown(self.sources.index(seq))) {
            return Ok(Arrival::Known);
        }
        let slot = match self.system.free_part() {
            Some(slot) => slot,
            None => self.displace_oldest(),
        };
        self.repairs.write(slot, bytes);
        self.covered[slot] = (first, last);
        let columns = (first..=last).map(|seq| self.sources.index(seq));
        self.system
            .insert(slot, columns.zip(matrix::coefficients([header.row], first)));
        self.stale = true;
        Ok(Arrival::New)
    }

    /// Hands every symbol that has become determined to `on`, by rising sequence number, and answers how many.
    /// Cheap when nothing relevant arrived. [`Refusal::Inconsistent`] stops it; the symbols handed out before stand.
    pub fn recover(&mut self, mut on: impl FnMut(u32, &[u8])) -> Result<usize, Refusal> {
        if !core::mem::take(&mut self.stale) || self.system.is_empty() {
            return Ok(0);
        }
        self.system.reduce();
        let oldest = self.oldest();
        let mut determined: [Determined; PENDING_REPAIRS] = [(0, 0); PENDING_REPAIRS];
        let mut count = 0;
        for (row, pivot) in self.system.solved() {
            // Of the numbers that fall on a column only one is remembered.
            let seq = oldest + (pivot as u64).wrapping_sub(oldest) % DECODER_RING as u64;
            determined[count] = (seq, row);
            count += 1;
        }
        determined[..count].sort_unstable();
        let outcome = self.restore_all(&determined[..count], &mut on);
        match outcome {
            Err(_) => self.system.clear(),
            Ok(()) => self.system.forget_solved(),
        }
        outcome.map(|()| count)
    }

    fn restore_all(
        &mut self,
        determined: &[Determined],
        on: &mut impl FnMut(u32, &[u8]),
    ) -> Result<(), Refusal> {
        let (fours, rest) = determined.as_chunks::<FUSED>();
        for four in fours {
            self.restore(four, on)?;
        }
        let (twos, rest) = rest.as_chunks::<2>();
        for two in twos {
            self.restore(two, on)?;
        }
        rest.iter()
            .try_for_each(|one| self.restore(core::array::from_ref(one), on))
    }

    /// Works out some symbols together: what is known of one is mostly known of the others, and read once.
    fn restore<const R: usize>(
        &mut self,
        determined: &[Determined; R],
        on: &mut impl FnMut(u32, &[u8]),
    ) -> Result<(), Refusal> {
        let blocks = self.sum_up(determined.map(|(_, row)| row));
        for (place, (seq, _)) in determined.iter().enumerate() {
            let sum = &self.sums.blocks()[place * blocks..][..blocks];
            let symbol =
                trim(sum.as_flattened()).ok_or(Refusal::Inconsistent { seq: *seq as u32 })?;
            let slot = self.sources.index(*seq);
            self.sources.write(slot, symbol);
            self.system.mark_known(slot);
            on(*seq as u32, &self.sources.read(slot)[LENGTH_BYTES..]);
        }
        Ok(())
    }

    /// A solved row is 1 · the missing symbol + known ones = a sum of repair symbols. Writes the missing symbols of some rows, one behind the
    /// other and each of so many blocks as it answers.
    fn sum_up<const R: usize>(&mut self, rows: [usize; R]) -> usize {
        let parts = self.system.parts_of(rows).map(|(slot, coefficients)| Term {
            blocks: self.repairs.blocks(slot),
            coefficients,
        });
        let columns = self.system.known_of(rows).map(|(slot, coefficients)| Term {
            blocks: self.sources.blocks(slot),
            coefficients,
        });
        let terms = parts.chain(columns);
        let blocks = terms.clone().map(|term| term.blocks.len()).max();
        let blocks = blocks.unwrap_or_default();
        let mut rest = self.sums.blocks_mut();
        let mut sums = [(); R].map(|()| {
            let (sum, after) = core::mem::take(&mut rest).split_at_mut(blocks);
            rest = after;
            sum
        });
        self.kernel.sum_up(&mut sums, terms);
        blocks
    }

    /// How many repair symbols wait for more, at most [`PENDING_REPAIRS`].
    pub fn pending(&self) -> usize {
        self.system.parts_in_use().count()
    }

    /// The first and last source symbol that a well-formed repair symbol covers.
    fn check(&self, header: RepairHeader, bytes: &[u8]) -> Result<(u64, u64), Refusal> {
        let RepairHeader {
            first_seq, span, ..
        } = header;
        if bytes.len() < LENGTH_BYTES || bytes.len() > self.repairs.limit() {
            return Err(Refusal::Length { bytes: bytes.len() });
        }
        let first = u64::from(first_seq);
        let last = first + u64::from(span).saturating_sub(1);
        if span == 0 || usize::from(span) > WINDOW_LIMIT || last > u32::MAX.into() {
            return Err(Refusal::Span { span });
        }
        Ok((first, last))
    }

    /// The oldest source symbol that is remembered, and the oldest that a pending repair symbol may cover.
    fn oldest(&self) -> u64 {
        self.latest
            .map_or(0, |latest| (latest + 1).saturating_sub(DECODER_RING as u64))
    }

    /// Makes room for symbols up to `seq`, at the expense of the oldest.
    fn advance_to(&mut self, seq: u64) {
        let fresh_from = match self.latest {
            Some(latest) if seq <= latest => return,
            Some(latest) if seq - latest < DECODER_RING as u64 => latest + 1,
            _ => (seq + 1).saturating_sub(DECODER_RING as u64),
        };
        self.latest = Some(seq);
        let oldest = self.oldest();
        for slot in self.system.parts_in_use() {
            if self.covered[slot].0 < oldest {
                self.system.remove(slot);
            }
        }
        for fresh in fresh_from..=seq {
            self.system.mark_unknown(self.sources.index(fresh));
        }
    }

    /// Gives up the pending repair symbol that covers the oldest symbols, and answers its slot. All are pending.
    fn displace_oldest(&mut self) -> usize {
        let slot = self
            .system
            .parts_in_use()
            .min_by_key(|&slot| self.covered[slot])
            .unwrap_or(0);
        self.system.remove(slot);
        slot
    }
}

/// The symbol without the zeros behind it. `None` if there is something else behind it, or not all of it.
fn trim(sum: &[u8]) -> Option<&[u8]> {
    let (prefix, _) = sum.split_first_chunk()?;
    let length = LENGTH_BYTES + usize::from(u16::from_be_bytes(*prefix));
    let (symbol, rest) = sum.split_at_checked(length)?;
    rest.iter().all(|&byte| byte == 0).then_some(symbol)
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Length { bytes } => write!(f, "no symbol of this link has {bytes} bytes"),
            Self::Span { span } => write!(
                f,
                "a repair symbol cannot cover these {span} source symbols"
            ),
            Self::Inconsistent { seq } => {
                write!(f, "the repair symbols for {seq} contradict each other")
            }
        }
    }
}

impl core::error::Error for Refusal {}
