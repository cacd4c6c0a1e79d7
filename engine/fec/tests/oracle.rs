//! The codec against an independent Gaussian solver: the same symbols, recovered at the same moment.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests fail by panicking"
)]

use std::collections::BTreeMap;

use overlayd_fec::{Decoder, Encoder, Kernel, RepairHeader, coefficient};
use proptest::prelude::*;

/// Multiplication in GF(2^8) from its definition.
fn multiply(a: u8, b: u8) -> u8 {
    let mut sum = 0u16;
    for bit in (0..8).rev() {
        sum = (sum << 1) ^ if sum & 0x80 != 0 { 0x11d } else { 0 };
        sum ^= if b >> bit & 1 == 1 { u16::from(a) } else { 0 };
    }
    sum as u8
}

fn divide(a: u8, b: u8) -> u8 {
    (0..=255)
        .find(|&quotient| multiply(quotient, b) == a)
        .unwrap()
}

/// Keeps everything for ever and solves from scratch at every question.
#[derive(Default)]
struct Oracle {
    sources: BTreeMap<u32, Vec<u8>>,
    repairs: Vec<(RepairHeader, Vec<u8>)>,
}

impl Oracle {
    fn recover(&mut self, symbol_bytes: usize) -> Vec<(u32, Vec<u8>)> {
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
                    None => row[unknowns.binary_search(&seq).unwrap()] = factor,
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

fn covered(header: &RepairHeader) -> std::ops::Range<u32> {
    header.first_seq..header.first_seq + u32::from(header.span)
}

fn payload(seq: u32, symbol_bytes: usize) -> Vec<u8> {
    let length = seq as usize * 7 % (symbol_bytes + 1);
    (0..length)
        .map(|i| (seq as usize * 131 + i * 29) as u8)
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    /// Sliding windows of every size, losses of sources and repairs, late arrivals, windows cut short by
    /// acknowledgements: within the decoder's memory it is never later than the oracle, and never wrong.
    #[test]
    fn a_sliding_window_recovers_what_the_oracle_recovers_and_when(
        window in 1usize..=40,
        first in prop_oneof![Just(0u32), 0u32..500, Just(u32::MAX - 200)],
        scalar in any::<bool>(),
        steps in prop::collection::vec((0u8..100, 0u8..100, any::<u8>()), 1..100),
        loss in 1u8..50,
    ) {
        let symbol_bytes = 24;
        let kernel = if scalar { Kernel::SCALAR } else { Kernel::detect() };
        let mut encoder = Encoder::new(window, window, symbol_bytes).with_kernel(kernel);
        let mut decoder = Decoder::new(symbol_bytes).with_kernel(kernel);
        let mut oracle = Oracle::default();
        let (mut late, mut row, mut bytes) = (Vec::new(), 0u8, Vec::new());
        for (step, (draw, chance, other)) in steps.into_iter().enumerate() {
            let seq = first + step as u32;
            let source = payload(seq, symbol_bytes);
            encoder.push(seq, &[&source[..source.len() / 2], &source[source.len() / 2..]]).unwrap();
            if draw >= loss {
                decoder.source(seq, &[&source]).unwrap();
                oracle.sources.insert(seq, source);
            } else if other & 1 == 0 {
                late.push(seq);
            }
            if chance < 40 {
                row = row.wrapping_add(1);
                let header = encoder.repair(row, &mut bytes).unwrap();
                if draw % 7 != 0 {
                    decoder.repair(header, &bytes).unwrap();
                    oracle.repairs.push((header, bytes.clone()));
                }
            }
            if chance % 9 == 0 && let Some(seq) = late.pop() {
                let source = payload(seq, symbol_bytes);
                decoder.source(seq, &[&source]).unwrap();
                oracle.sources.insert(seq, source);
            }
            if other % 23 == 0 {
                encoder.forget_before(seq.saturating_sub(u32::from(other) / 23));
            }
            // Past its memory of 32 repair symbols the decoder may know less; such runs end here.
            let waiting = oracle.repairs.iter().filter(|(header, _)| covered(header).any(|seq| !oracle.sources.contains_key(&seq)));
            if waiting.count() > 32 {
                break;
            }
            if step % 3 != 0 {
                let mut recovered = Vec::new();
                decoder.recover(|seq, bytes| recovered.push((seq, bytes.to_vec()))).unwrap();
                prop_assert_eq!(&recovered, &oracle.recover(symbol_bytes));
                for (seq, bytes) in recovered {
                    prop_assert_eq!(bytes, payload(seq, symbol_bytes));
                }
            }
        }
    }
}

/// Sends a block of k symbols and the given rows of repair, without the symbols in `lost`; answers what was recovered.
fn block(k: usize, lost: &[usize], rows: &[u8], first: u32) -> Vec<(u32, Vec<u8>)> {
    let mut encoder = Encoder::new(k, k, 40);
    let mut decoder = Decoder::new(40);
    for index in 0..k {
        let seq = first + index as u32;
        encoder.push(seq, &[&payload(seq, 40)]).unwrap();
        if !lost.contains(&index) {
            decoder.source(seq, &[&payload(seq, 40)]).unwrap();
        }
    }
    let mut bytes = Vec::new();
    for &row in rows {
        let header = encoder.repair(row, &mut bytes).unwrap();
        decoder.repair(header, &bytes).unwrap();
    }
    let mut recovered = Vec::new();
    decoder
        .recover(|seq, bytes| recovered.push((seq, bytes.to_vec())))
        .unwrap();
    recovered
}

fn originals(lost: &[usize], first: u32) -> Vec<(u32, Vec<u8>)> {
    let seqs = lost.iter().map(|&index| first + index as u32);
    seqs.map(|seq| (seq, payload(seq, 40))).collect()
}

#[test]
fn every_pattern_of_losses_in_a_small_block_is_repaired() {
    for (k, r) in [(1, 1), (2, 2), (4, 3), (6, 4), (8, 3)] {
        for pattern in 0u32..1 << (k + r) {
            let lost: Vec<usize> = (0..k).filter(|&index| pattern >> index & 1 == 1).collect();
            let rows: Vec<u8> = (0..r as u8)
                .filter(|row| pattern >> (k + usize::from(*row)) & 1 == 0)
                .collect();
            let expected = if lost.len() <= rows.len() {
                originals(&lost, 0)
            } else {
                Vec::new()
            };
            assert_eq!(
                block(k, &lost, &rows, 0),
                expected,
                "k {k}, lost {lost:?}, rows {rows:?}"
            );
        }
    }
}

#[test]
fn random_patterns_of_losses_in_large_blocks_are_repaired() {
    let mut state = 7u64;
    let mut draw = |bound: usize| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize % bound
    };
    for _ in 0..800 {
        let k = 1 + draw(128);
        let count = 1 + draw(k.min(32));
        let first = draw(1000) as u32;
        let mut lost: Vec<usize> = (0..count).map(|_| draw(k)).collect();
        lost.sort_unstable();
        lost.dedup();
        let shift = draw(32);
        let rows: Vec<u8> = (0..lost.len())
            .map(|i| ((i * 5 + shift) % 32) as u8)
            .collect();
        assert_eq!(
            block(k, &lost, &rows, first),
            originals(&lost, first),
            "k {k}, lost {lost:?}, rows {rows:?}"
        );
        let too_few = &rows[1..];
        assert_eq!(block(k, &lost, too_few, first), Vec::new());
    }
}
