//! The mother code's matrix, built at compile time from its generator polynomial.
//!
//! `MOTHER[t][i]` is the coefficient of x^t in x^(32 + i) mod g(x), where g has the roots 2^0 .. 2^31. Every square
//! submatrix is invertible: see `fec/code.py`. Pure.

use crate::field::{EXP, multiply};

/// Rows of the mother matrix: how many different repair symbols one window has.
pub const PARITY_ROWS: usize = 32;

/// Columns of the mother matrix: after so many source symbols the coefficients repeat.
pub const COLUMNS: usize = 223;

static MOTHER: [[u8; COLUMNS]; PARITY_ROWS] = mother();

/// The coefficient of source symbol `seq` in a repair symbol of row `row`; never zero.
pub fn coefficient(row: u8, seq: u32) -> u8 {
    MOTHER[usize::from(row) % PARITY_ROWS][seq as usize % COLUMNS]
}

/// The coefficients of some rows for symbol `seq` and those after it, without end.
pub(crate) fn coefficients<const R: usize>(
    rows: [u8; R],
    seq: u64,
) -> impl Iterator<Item = [u8; R]> {
    let rows = rows.map(|row| &MOTHER[usize::from(row) % PARITY_ROWS]);
    let mut column = (seq % COLUMNS as u64) as usize;
    core::iter::repeat_with(move || {
        let here = rows.map(|row| row[column]);
        column = if column + 1 < COLUMNS { column + 1 } else { 0 };
        here
    })
}

const fn mother() -> [[u8; COLUMNS]; PARITY_ROWS] {
    let generator = generator();
    let mut matrix = [[0; COLUMNS]; PARITY_ROWS];
    // The remainder of x^32 is the generator without its leading term; each further column is x times the last.
    let mut remainder = generator;
    let mut column = 0;
    while column < COLUMNS {
        let overflow = remainder[PARITY_ROWS - 1];
        let mut row = PARITY_ROWS;
        while row > 0 {
            row -= 1;
            matrix[row][column] = remainder[row];
            let shifted = if row == 0 { 0 } else { remainder[row - 1] };
            remainder[row] = shifted ^ multiply(overflow, generator[row]);
        }
        column += 1;
    }
    matrix
}

/// The generator polynomial without its leading term x^32, lowest degree first.
const fn generator() -> [u8; PARITY_ROWS] {
    let mut polynomial = [0; PARITY_ROWS + 1];
    polynomial[0] = 1;
    let mut degree = 0;
    while degree < PARITY_ROWS {
        let mut term = degree + 1;
        while term > 0 {
            polynomial[term] = polynomial[term - 1] ^ multiply(EXP[degree], polynomial[term]);
            term -= 1;
        }
        polynomial[0] = multiply(EXP[degree], polynomial[0]);
        degree += 1;
    }
    let mut low = [0; PARITY_ROWS];
    let mut term = 0;
    while term < PARITY_ROWS {
        low[term] = polynomial[term];
        term += 1;
    }
    low
}
