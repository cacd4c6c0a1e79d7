//! Matrices laid out for `kernel::least`: rows padded with infinity, each in two orders. Pure.

use std::ops::Range;

use crate::kernel::{BLOCK, GROUP, LANES};

/// Rows are this much further apart than they are long: at powers of two they would all meet in the same few places of
/// the cache.
const APART: usize = 16;

/// A matrix of costs, none below zero; infinite where there is none.
///
/// Columns are cut into blocks of [`BLOCK`]. In the *straight* order they follow one another; in the *turned* order
/// each block is transposed, as a square of [`LANES`] by [`LANES`]: what stands in one lane of a straight block's
/// vectors is one vector there.
pub(crate) struct Rows {
    width: usize,
    stride: usize,
    straight: Vec<f32>,
    turned: Vec<f32>,
}

/// One row.
#[derive(Clone, Copy)]
pub(crate) struct Row<'a> {
    pub(crate) straight: &'a [f32],
    pub(crate) turned: &'a [f32],
}

/// [`GROUP`] rows that follow one another.
#[derive(Clone, Copy)]
pub(crate) struct Group<'a> {
    pub(crate) stride: usize,
    pub(crate) straight: &'a [f32],
    pub(crate) turned: &'a [f32],
}

impl Rows {
    /// Infinite everywhere.
    pub(crate) fn new(rows: usize, columns: usize) -> Self {
        let width = columns.max(1).next_multiple_of(BLOCK);
        let stride = width + APART;
        let cells = rows.next_multiple_of(GROUP) * stride;
        Self {
            width,
            stride,
            straight: vec![f32::INFINITY; cells],
            turned: vec![f32::INFINITY; cells],
        }
    }

    pub(crate) fn width(&self) -> usize {
        self.width
    }

    fn cells(&self, row: usize) -> Range<usize> {
        row * self.stride..row * self.stride + self.width
    }

    #[inline]
    pub(crate) fn at(&self, row: usize, column: usize) -> f32 {
        self.straight[row * self.stride + column]
    }

    pub(crate) fn set(&mut self, row: usize, column: usize, cost: f32) {
        let (at, cost) = (row * self.stride, usable(cost));
        self.straight[at + column] = cost;
        self.turned[at + turned(column)] = cost;
    }

    pub(crate) fn set_row(&mut self, row: usize, costs: impl IntoIterator<Item = f32>) {
        let cells = self.cells(row);
        let straight = &mut self.straight[cells];
        for (to, cost) in straight.iter_mut().zip(costs) {
            *to = usable(cost);
        }
        self.turn(row);
    }

    /// Lets a row be filled in; the costs must be usable as they are.
    #[inline]
    pub(crate) fn fill_row(&mut self, row: usize, fill: impl FnOnce(&mut [f32])) {
        let cells = self.cells(row);
        fill(&mut self.straight[cells]);
        self.turn(row);
    }

    /// Brings a row's turned order up to date with its straight one.
    fn turn(&mut self, row: usize) {
        let row = self.cells(row);
        let straight = self.straight[row.clone()].as_chunks::<BLOCK>().0;
        let turned = self.turned[row].as_chunks_mut::<BLOCK>().0;
        for (turned, straight) in turned.iter_mut().zip(straight) {
            for lane in 0..LANES {
                for vector in 0..LANES {
                    turned[lane * LANES + vector] = straight[vector * LANES + lane];
                }
            }
        }
    }

    /// Sets all rows from a matrix [column][row], a few of each at a time so that both stay in the cache.
    pub(crate) fn set_transposed(&mut self, columns: usize, rows: usize, matrix: &[f32]) {
        const TILE: usize = 32;
        for first_row in (0..rows).step_by(TILE) {
            let tile = first_row..(first_row + TILE).min(rows);
            for first in (0..columns).step_by(TILE) {
                for row in tile.clone() {
                    let to = &mut self.straight[row * self.stride..][..columns];
                    let to = &mut to[first..(first + TILE).min(columns)];
                    for (column, to) in (first..).zip(to) {
                        *to = usable(matrix[column * rows + row]);
                    }
                }
            }
            for row in tile {
                self.turn(row);
            }
        }
    }

    #[inline]
    pub(crate) fn row(&self, row: usize) -> Row<'_> {
        let cells = self.cells(row);
        Row {
            straight: &self.straight[cells.clone()],
            turned: &self.turned[cells],
        }
    }

    /// The rows from `number` times [`GROUP`] on.
    #[inline]
    pub(crate) fn group(&self, number: usize) -> Group<'_> {
        let each = GROUP * self.stride;
        let cells = number * each..(number + 1) * each;
        Group {
            stride: self.stride,
            straight: &self.straight[cells.clone()],
            turned: &self.turned[cells],
        }
    }
}

/// Where a straight column stands in the turned order, and the other way round.
#[inline]
pub(crate) fn turned(column: usize) -> usize {
    let (vector, lane) = (column % BLOCK / LANES, column % LANES);
    column / BLOCK * BLOCK + lane * LANES + vector
}

/// A cost that can be added and whose bits are in order: not below zero, and not NaN.
#[inline]
pub(crate) fn usable(cost: f32) -> f32 {
    if cost > 0.0 {
        cost
    } else if cost <= 0.0 {
        0.0
    } else {
        f32::INFINITY
    }
}
