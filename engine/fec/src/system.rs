//! The equations that repair symbols state about missing source symbols, kept in reduced row echelon form.
//!
//! Only coefficients live here: a row costs 288 bytes, so a repair symbol that turns out to be useless, because
//! its symbols come late or again, never costs work on packets. A row is a sum of repair symbols. It knows which
//! ones (its *parts*), and its coefficient for every source symbol they cover, those that arrived included: the
//! decoder reads off both what to add up once the row has a single unknown. Columns are sequence numbers modulo 256.
//!
//! Invariant: as many rows as repair symbols in use, and the square matrix of their parts is invertible. Hence
//! any repair symbol can be taken out again ([`System::remove`]), and with it all trace of what only it covered.
//! Pure; used by the decoder.

use crate::Kernel;
use crate::field::inverse;

/// Source symbols that the system can tell apart.
pub(crate) const SYSTEM_COLUMNS: usize = 256;

/// Repair symbols that the system can hold.
pub(crate) const SYSTEM_PARTS: usize = 32;

const UNKNOWN: u8 = 0xff;

/// Columns that are skipped at once where they are empty.
const WORD: usize = 8;

pub(crate) struct System {
    kernel: Kernel,
    rows: Vec<Row>,
    /// One bit per repair symbol: whether it is in use.
    parts_in_use: u32,
    /// `UNKNOWN` for columns whose source symbol is not there, else zero.
    unknown: [u8; SYSTEM_COLUMNS],
}

#[derive(Clone, Copy)]
pub(crate) struct Row {
    /// Coefficients of the source symbols, then those of the repair symbols: one string for the kernel.
    sum: [u8; SYSTEM_COLUMNS + SYSTEM_PARTS],
    /// A column that is zero in every other row and one in this row.
    pivot: usize,
}

impl Row {
    fn part(&self, part: usize) -> u8 {
        self.sum[SYSTEM_COLUMNS + part]
    }
}

impl System {
    pub(crate) fn new(kernel: Kernel) -> Self {
        Self {
            kernel,
            rows: Vec::with_capacity(SYSTEM_PARTS),
            parts_in_use: 0,
            unknown: [UNKNOWN; SYSTEM_COLUMNS],
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    pub(crate) fn is_unknown(&self, column: usize) -> bool {
        self.unknown[column] == UNKNOWN
    }

    /// The column's source symbol is there now. [`System::reduce`] draws the conclusions.
    pub(crate) fn mark_known(&mut self, column: usize) {
        self.unknown[column] = 0;
    }

    /// The column stands for a new source symbol now. No row may mention the old one any more.
    pub(crate) fn mark_unknown(&mut self, column: usize) {
        self.unknown[column] = UNKNOWN;
    }

    /// Drops all equations; what is known stays known.
    pub(crate) fn clear(&mut self) {
        self.rows.clear();
        self.parts_in_use = 0;
    }

    /// A repair symbol slot that is not in use.
    pub(crate) fn free_part(&self) -> Option<usize> {
        let part = self.parts_in_use.trailing_ones() as usize;
        (part < SYSTEM_PARTS).then_some(part)
    }

    pub(crate) fn parts_in_use(&self) -> impl Iterator<Item = usize> + Clone + use<> {
        let in_use = self.parts_in_use;
        (0..SYSTEM_PARTS).filter(move |part| in_use >> part & 1 == 1)
    }

    /// Adds the equation of a repair symbol, whose slot `part` was free, and reduces the system. If the equation
    /// says nothing new, it goes at once, or takes the place of another that says the same.
    pub(crate) fn insert(
        &mut self,
        part: usize,
        coefficients: impl Iterator<Item = (usize, [u8; 1])>,
    ) {
        let mut row = Row {
            sum: [0; SYSTEM_COLUMNS + SYSTEM_PARTS],
            pivot: 0,
        };
        for (column, [coefficient]) in coefficients {
            row.sum[column] = coefficient;
        }
        row.sum[SYSTEM_COLUMNS + part] = 1;
        self.rows.push(row);
        self.parts_in_use |= 1 << part;
        self.settle(self.rows.len() - 1);
    }

    /// Takes a repair symbol out: the other rows are rid of it, at the cost of one row.
    pub(crate) fn remove(&mut self, part: usize) {
        if let Some(row) = self.rows.iter().position(|row| row.part(part) != 0) {
            self.eliminate(row, part);
        }
    }

    /// Restores the reduced form after columns became known. Rows without an unknown go.
    pub(crate) fn reduce(&mut self) {
        let mut row = 0;
        while row < self.rows.len() {
            if self.is_unknown(self.rows[row].pivot) || self.settle(row) {
                row += 1;
            }
        }
    }

    /// All symbols that were solved have become known. Their rows go.
    pub(crate) fn forget_solved(&mut self) {
        let known = |row: &Row| !self.is_unknown(row.pivot);
        match self.rows.iter().all(known) {
            // No row is left that could need one of their repair symbols taken out of it.
            true => self.clear(),
            false => self.reduce(),
        }
    }

    /// The rows of a reduced system that determine a source symbol: their pivot is their only unknown. Row and pivot. That these
    /// become known makes no other row one of them.
    pub(crate) fn solved(&self) -> impl Iterator<Item = (usize, usize)> {
        let rows = self.rows.iter().enumerate().filter(|(_, row)| {
            let pivot = (row.pivot / 8, 0xff << (row.pivot % 8 * 8));
            let mut unknowns = words(&row.sum)
                .zip(words(&self.unknown))
                .map(|(sum, unknown)| sum & unknown)
                .enumerate();
            unknowns.all(|(word, bits)| bits == 0 || (word, bits) == (pivot.0, bits & pivot.1))
        });
        rows.map(|(index, row)| (index, row.pivot))
    }

    /// The repair symbols that any of these rows is a sum of: slot, and coefficient in each row.
    pub(crate) fn parts_of<const R: usize>(
        &self,
        rows: [usize; R],
    ) -> impl Iterator<Item = (usize, [u8; R])> + Clone {
        let rows = rows.map(|row| &self.rows[row]);
        let parts = self.parts_in_use();
        parts.map(move |part| (part, rows.map(|row| row.part(part))))
    }

    /// The known source symbols in any of these solved rows: column, and coefficient in each row.
    pub(crate) fn known_of<const R: usize>(
        &self,
        rows: [usize; R],
    ) -> impl Iterator<Item = (usize, [u8; R])> + Clone {
        let rows = rows.map(|row| &self.rows[row]);
        let words = (0..SYSTEM_COLUMNS).step_by(WORD).filter(move |&at| {
            let any = |bytes: &[u8]| bytes[at..][..WORD].iter().any(|byte| *byte != 0);
            rows.iter().any(|row| any(&row.sum))
        });
        let columns = words.flat_map(|at| at..at + WORD);
        columns.filter_map(move |column| {
            let coefficients = rows.map(|row| row.sum[column]);
            let here = coefficients != [0; R] && !self.is_unknown(column);
            here.then_some((column, coefficients))
        })
    }

    /// Finds a pivot for a row that has none. Answers whether it could; if not, the row is gone and the last one
    /// stands in its place.
    fn settle(&mut self, row: usize) -> bool {
        for other in 0..self.rows.len() {
            let pivot = self.rows[other].pivot;
            if other != row && self.is_unknown(pivot) {
                self.add(row, other, self.rows[row].sum[pivot]);
            }
        }
        let Some(pivot) = self.first_unknown(row) else {
            // Every row has a part: their matrix is invertible.
            let mut parts = self.rows[row].sum[SYSTEM_COLUMNS..].iter();
            let part = parts.position(|coefficient| *coefficient != 0).unwrap_or(0);
            self.eliminate(row, part);
            return false;
        };
        self.scale(row, inverse(self.rows[row].sum[pivot]));
        self.rows[row].pivot = pivot;
        for other in 0..self.rows.len() {
            if other != row {
                self.add(other, row, self.rows[other].sum[pivot]);
            }
        }
        true
    }

    /// Rids all other rows of a repair symbol by means of `row`, which has it, and drops `row` and the symbol.
    fn eliminate(&mut self, row: usize, part: usize) {
        self.scale(row, inverse(self.rows[row].part(part)));
        for other in 0..self.rows.len() {
            if other != row {
                self.add(other, row, self.rows[other].part(part));
            }
        }
        self.rows.swap_remove(row);
        self.parts_in_use &= !(1 << part);
    }

    fn first_unknown(&self, row: usize) -> Option<usize> {
        let (word, bits) = words(&self.rows[row].sum)
            .zip(words(&self.unknown))
            .map(|(coefficients, unknown)| coefficients & unknown)
            .enumerate()
            .find(|&(_, bits)| bits != 0)?;
        Some(word * 8 + bits.trailing_zeros() as usize / 8)
    }

    fn add(&mut self, row: usize, other: usize, coefficient: u8) {
        if let Ok([row, other]) = self.rows.get_disjoint_mut([row, other]) {
            self.kernel.mul_add(&mut row.sum, &other.sum, coefficient);
        }
    }

    fn scale(&mut self, row: usize, factor: u8) {
        // (factor - 1) times the row, added to the row.
        let copy = self.rows[row].sum;
        self.kernel
            .mul_add(&mut self.rows[row].sum, &copy, factor ^ 1);
    }
}

/// The bytes as words whose lowest byte is the first.
fn words(bytes: &[u8]) -> impl Iterator<Item = u64> {
    bytes
        .as_chunks::<8>()
        .0
        .iter()
        .map(|word| u64::from_le_bytes(*word))
}
