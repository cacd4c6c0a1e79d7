//! The codec against an independent Gaussian solver: the same symbols, recovered at the same moment.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests fail by panicking"
)]

#[path = "common/gauss.rs"]
mod gauss;
#[path = "common/windows.rs"]
mod windows;

use gauss::{Oracle, covered};
use overlayd_fec::{Decoder, Encoder, Kernel};
use proptest::prelude::*;

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

#[test]
fn ten_thousand_random_windows_are_solved_as_by_the_oracle() {
    for kernel in Kernel::available() {
        let tally = windows::compare(10_000, 1, kernel);
        assert_eq!(tally.windows, 10_000);
        assert!(tally.symbols_recovered > 10_000, "{tally:?}");
        assert!(tally.unsolved > 1000, "{tally:?}");
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
