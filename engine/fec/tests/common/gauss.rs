//! An independent decoder: Gaussian elimination over the field's definition, from scratch at every question. Shared by tests and benchmark.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use overlayd_fec::{RepairHeader, coefficient};

/// Multiplication in GF(2^8) from its definition.
fn multiply(a: u8, b: u8) -> u8 {
    let mut sum = 0u16;
    for bit in (0..8).rev() {
        sum = (sum << 1) ^ if sum & 0x80 != 0 { 0x11d } else { 0 };
        sum ^= if b >> bit & 1 == 1 { u16::from(a) } else { 0 };
    }
    sum as u8
}

/// Found by trying.
static INVERSES: LazyLock<[u8; 256]> = LazyLock::new(|| {
    let inverse = |of: usize| (1..=255).find(|&by| multiply(of as u8, by) == 1);
    std::array::from_fn(|of| inverse(of).unwrap_or(0))
});

fn divide(a: u8, b: u8) -> u8 {
    multiply(a, INVERSES[usize::from(b)])
}

/// Keeps everything for ever and solves from scratch at every question.
#[derive(Default)]
pub(crate) struct Oracle {
    pub(crate) sources: BTreeMap<u32, Vec<u8>>,
    pub(crate) repairs: Vec<(RepairHeader, Vec<u8>)>,
}

impl Oracle {
    /// What is determined now and was not before, by rising number. Nothing of it is longer than `symbol_bytes`.
    pub(crate) fn recover(&mut self, symbol_bytes: usize) -> Vec<(u32, Vec<u8>)> {
        let mut unknowns: Vec<u32> = Vec::new();
        for (header, _) in &self.repairs {
            unknowns.extend(covered(header).filter(|seq| !self.sources.contains_key(seq)));
        }
        unknowns.sort_unstable();
        unknowns.dedup();
        // One row per repair symbol: coefficients of the unknowns, then the sum's bytes without the known symbols.
        let mut rows: Vec<Vec<u8>> = Vec::new();
        for (header, bytes) in &self.repairs {
            let mut row = vec![0; unknowns.len()];
            let mut right = bytes.clone();
            right.resize(2 + symbol_bytes, 0);
            for seq in covered(header) {
                let factor = coefficient(header.row, seq);
                match self.sources.get(&seq) {
                    Some(source) => {
                        let symbol =
                            [&(source.len() as u16).to_be_bytes(), source.as_slice()].concat();
                        right
                            .iter_mut()
                            .zip(symbol)
                            .for_each(|(r, s)| *r ^= multiply(factor, s));
                    }
                    None => row[unknowns.partition_point(|unknown| *unknown < seq)] = factor,
                }
            }
            row.extend(right);
            rows.push(row);
        }
        let mut rank = 0;
        for column in 0..unknowns.len() {
            let Some(found) = (rank..rows.len()).find(|&row| rows[row][column] != 0) else {
                continue;
            };
            rows.swap(rank, found);
            let pivot = rows[rank].clone();
            for (index, row) in rows.iter_mut().enumerate() {
                let factor = divide(if index == rank { 1 } else { row[column] }, pivot[column]);
                for (value, &p) in row.iter_mut().zip(&pivot) {
                    *value = multiply(factor, p) ^ if index == rank { 0 } else { *value };
                }
            }
            rank += 1;
        }
        let mut recovered = Vec::new();
        for row in &rows[..rank] {
            let (left, right) = row.split_at(unknowns.len());
            let mut named = (0..left.len()).filter(|&column| left[column] != 0);
            if let (Some(column), None) = (named.next(), named.next()) {
                let length = usize::from(u16::from_be_bytes([right[0], right[1]]));
                recovered.push((unknowns[column], right[2..2 + length].to_vec()));
            }
        }
        recovered.sort();
        self.sources.extend(recovered.iter().cloned());
        recovered
    }
}

pub(crate) fn covered(header: &RepairHeader) -> std::ops::Range<u32> {
    header.first_seq..header.first_seq + u32::from(header.span)
}
