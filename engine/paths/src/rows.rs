//! Matrices by row, in lines of the cache. Pure.

use std::ops::{Deref, DerefMut};

/// Columns in a line.
pub(crate) const LINE: usize = 16;

/// So many columns of one row, in one line of the cache.
#[derive(Clone, Copy, Debug)]
#[repr(align(64))]
pub(crate) struct Line([f32; LINE]);

impl Deref for Line {
    type Target = [f32; LINE];

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

impl DerefMut for Line {
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.0
    }
}

/// A matrix of costs, none below zero; infinite where there is none. Rows are padded with infinity.
#[derive(Debug)]
pub(crate) struct Rows {
    stride: usize,
    lines: Vec<Line>,
}

impl Rows {
    /// Infinite everywhere.
    pub(crate) fn new(rows: usize, columns: usize) -> Self {
        // An odd distance: at powers of two all rows would meet in the same few places of the cache.
        let stride = columns.div_ceil(LINE) | 1;
        Self {
            stride,
            lines: vec![Line([f32::INFINITY; LINE]); rows * stride],
        }
    }

    #[inline]
    pub(crate) fn row(&self, row: usize) -> &[Line] {
        &self.lines[row * self.stride..][..self.stride]
    }

    #[inline]
    pub(crate) fn at(&self, row: usize, column: usize) -> f32 {
        self.lines[row * self.stride + column / LINE][column % LINE]
    }

    pub(crate) fn set(&mut self, row: usize, column: usize, cost: f32) {
        self.lines[row * self.stride + column / LINE][column % LINE] = usable(cost);
    }

    /// How far rows are apart, in lines.
    pub(crate) fn stride(&self) -> usize {
        self.stride
    }

    /// So many rows at a time, to be filled in.
    pub(crate) fn rows_together(
        &mut self,
        rows: usize,
    ) -> impl Iterator<Item = &mut [Line]> + Send {
        self.lines.chunks_exact_mut(rows * self.stride)
    }
}

/// Fills in a row from the left.
#[inline]
pub(crate) fn fill(row: &mut [Line], costs: impl IntoIterator<Item = f32>) {
    let mut costs = costs.into_iter();
    for line in row {
        for (to, cost) in line.iter_mut().zip(&mut costs) {
            *to = usable(cost);
        }
    }
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
