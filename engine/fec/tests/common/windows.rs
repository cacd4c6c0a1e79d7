//! Random stretches of a protected stream: the decoder's answer beside that of the oracle. Shared by tests and benchmark.

use overlayd_fec::{Decoder, Encoder, Kernel};

use crate::gauss::Oracle;

const SYMBOL_BYTES: usize = 8;

/// What was compared; every answer was the same.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    pub(crate) windows: u64,
    pub(crate) symbols_recovered: u64,
    /// Windows of which something stayed unknown, to both.
    pub(crate) unsolved: u64,
}

/// Draws `count` windows from `seed`.
///
/// # Panics
/// The decoder's answer differs from the oracle's.
pub(crate) fn compare(count: u64, seed: u64, kernel: Kernel) -> Tally {
    let mut random = Random(seed);
    let mut tally = Tally::default();
    for _ in 0..count {
        let state = random.0;
        let (recovered, lost) = window(&mut random, kernel)
            .unwrap_or_else(|wrong| panic!("state {state}, {}: {wrong}", kernel.name()));
        tally.windows += 1;
        tally.symbols_recovered += recovered;
        tally.unsolved += u64::from(lost > recovered);
    }
    tally
}

/// Symbols with repair behind some of them, each over the latest before it. How many were recovered, of how many lost.
fn window(random: &mut Random, kernel: Kernel) -> Result<(u64, u64), String> {
    let first = [0, random.below(500), u32::MAX - 100][random.below(3) as usize];
    let symbols = 1 + random.below(40);
    let span = 1 + random.below(symbols) as usize;
    let (loss, repair) = (random.below(50), 5 + random.below(60));
    let mut encoder = Encoder::new(span, span, SYMBOL_BYTES).with_kernel(kernel);
    let mut decoder = Decoder::new(SYMBOL_BYTES).with_kernel(kernel);
    let mut oracle = Oracle::default();
    let (mut lost, mut bytes) = (0, Vec::new());
    let mut row = random.below(32) as u8;
    for seq in first..first + symbols {
        let payload: Vec<u8> = (0..random.below(SYMBOL_BYTES as u32 + 1))
            .map(|_| random.below(256) as u8)
            .collect();
        encoder
            .push(seq, &[&payload])
            .map_err(|error| error.to_string())?;
        if random.below(100) < loss {
            lost += 1;
        } else {
            decoder
                .source(seq, &[&payload])
                .map_err(|error| error.to_string())?;
            oracle.sources.insert(seq, payload);
        }
        if random.below(100) < repair && oracle.repairs.len() < 32 {
            row = row.wrapping_add(1);
            let header = encoder.repair(row, &mut bytes).ok_or("an empty window")?;
            decoder
                .repair(header, &bytes)
                .map_err(|error| error.to_string())?;
            oracle.repairs.push((header, bytes.clone()));
        }
    }
    let mut recovered = Vec::new();
    decoder
        .recover(|seq, payload| recovered.push((seq, payload.to_vec())))
        .map_err(|error| error.to_string())?;
    let expected = oracle.recover(SYMBOL_BYTES);
    if recovered != expected {
        return Err(format!("{recovered:?} instead of {expected:?}"));
    }
    Ok((recovered.len() as u64, lost))
}

struct Random(u64);

impl Random {
    fn below(&mut self, bound: u32) -> u32 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        ((self.0 >> 33) as u32) % bound
    }
}
