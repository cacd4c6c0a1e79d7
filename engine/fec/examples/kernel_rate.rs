//! How fast this machine encodes and decodes, by kernel: one JSON object a line on standard output.
//!
//! `cargo run --release -p overlayd-fec --example kernel_rate`. Encoding is 4 repair symbols over 20 source symbols of
//! 1400 bytes, in GB of source data per second, best of several batches: whoever else uses the machine only slows
//! one down. Decoding is the worst case of 8 losses among 32 symbols, in microseconds from the last arrival on.
#![allow(
    clippy::disallowed_methods,
    reason = "an example that measures has to read the clock"
)]

use std::hint::black_box;
use std::time::{Duration, Instant};

use overlayd_fec::{Decoder, Encoder, Kernel, PushError, Refusal};

const SYMBOL_BYTES: usize = 1400;
const BATCHES: usize = 40;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut kernels = vec![Kernel::SCALAR];
    if Kernel::detect() != Kernel::SCALAR {
        kernels.push(Kernel::detect());
    }
    for kernel in kernels {
        println!(
            "{{\"kernel\":\"{}\",\"encode_20_4_gb_per_s\":{:.2},\"decode_32_8_us\":{:.1}}}",
            kernel.name(),
            encode_rate(kernel, 20, 4)?,
            decode_time(kernel, 32, 8)?.as_secs_f64() * 1e6,
        );
    }
    Ok(())
}

fn encode_rate(kernel: Kernel, k: usize, r: u8) -> Result<f64, PushError> {
    let encoder = filled(kernel, k)?;
    let mut out = Vec::with_capacity(SYMBOL_BYTES + 2);
    let repeats = 200;
    let best = fastest(|| {
        for _ in 0..repeats {
            for row in 0..r {
                black_box(encoder.repair(row, &mut out));
                black_box(&out);
            }
        }
    });
    Ok((k * SYMBOL_BYTES * repeats) as f64 / best.as_secs_f64() / 1e9)
}

fn decode_time(kernel: Kernel, k: usize, r: usize) -> Result<Duration, Box<dyn std::error::Error>> {
    let encoder = filled(kernel, k)?;
    let mut repairs = Vec::new();
    for row in 0..r as u8 {
        let mut bytes = Vec::new();
        if let Some(header) = encoder.repair(row, &mut bytes) {
            repairs.push((header, bytes));
        }
    }
    let mut best = Duration::MAX;
    for _ in 0..BATCHES {
        let mut decoder = Decoder::new(SYMBOL_BYTES).with_kernel(kernel);
        for seq in r as u32..k as u32 {
            decoder.source(seq, &[&symbol(seq)])?;
        }
        let start = Instant::now();
        let recovered = recover(&mut decoder, &repairs)?;
        best = best.min(start.elapsed());
        assert_eq!(recovered, r);
    }
    Ok(best)
}

fn recover(
    decoder: &mut Decoder,
    repairs: &[(overlayd_fec::RepairHeader, Vec<u8>)],
) -> Result<usize, Refusal> {
    for (header, bytes) in repairs {
        decoder.repair(*header, bytes)?;
    }
    decoder.recover(|_, payload| {
        black_box(payload);
    })
}

fn filled(kernel: Kernel, k: usize) -> Result<Encoder, PushError> {
    let mut encoder = Encoder::new(k, k, SYMBOL_BYTES).with_kernel(kernel);
    for seq in 0..k as u32 {
        encoder.push(seq, &[&symbol(seq)])?;
    }
    Ok(encoder)
}

fn symbol(seq: u32) -> Vec<u8> {
    (0..SYMBOL_BYTES as u32)
        .map(|i| (i * 31 + seq * 97) as u8)
        .collect()
}

fn fastest(mut batch: impl FnMut()) -> Duration {
    let run = |_| {
        let start = Instant::now();
        batch();
        start.elapsed()
    };
    (0..BATCHES).map(run).min().unwrap_or_default()
}
