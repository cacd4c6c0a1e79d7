//! How fast this machine encodes and decodes, by kernel, beside the crate `reed-solomon-simd`, in one interleaved run.
//!
//! `make bench-codec`, or `cargo bench -p overlayd-fec --bench codec -- OUT.json`. Encoding: r repair symbols over k source symbols of 1400
//! bytes, in GB of source data per second. Decoding: the worst pattern of 8 losses among 32 symbols, in microseconds. Ours is timed from the
//! first repair symbol that arrives to the last symbol restored; theirs from the call that decodes, all shards already handed over.
//! In the end random sliding windows are solved by the decoder and by the oracle of the tests.
#![allow(
    clippy::disallowed_methods,
    clippy::panic,
    reason = "a benchmark has to read the clock, and a wrong answer ends it"
)]

#[path = "../tests/common/gauss.rs"]
mod gauss;
#[path = "../tests/common/windows.rs"]
mod windows;

use std::error::Error;
use std::hint::black_box;
use std::time::{Duration, Instant};

use overlayd_fec::{COLUMNS, DECODER_RING, Decoder, Encoder, Kernel, PushError, RepairHeader};
use reed_solomon_simd::{ReedSolomonDecoder, ReedSolomonEncoder};
use serde_json::{Value, json};

const SYMBOL_BYTES: usize = 1400;
const CODES: [(usize, usize); 3] = [(10, 2), (20, 4), (32, 8)];
/// Each system has its turn in each round: whoever else uses the machine disturbs all of them.
const ROUNDS: usize = 31;
const ENCODE_REPEATS: usize = 400;
const DECODE_REPEATS: usize = 31;
/// Decodings before the one that is timed, and it.
const WARM: u32 = 4;
/// Patterns of losses, evenly spread or drawn.
const PATTERNS: usize = 32;
const WINDOWS: u64 = 1_000_000;

type Outcome<T> = Result<T, Box<dyn Error>>;

fn main() -> Outcome<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let report = json!({
        "symbol_bytes": SYMBOL_BYTES,
        "cpu": cpu(),
        "kernels": Kernel::available().map(Kernel::name).collect::<Vec<_>>(),
        "encode": encode()?,
        "decode": decode()?,
        "windows": if arguments.iter().any(|argument| argument == "--quick") { Value::Null } else { compare_windows() },
    });
    let text = serde_json::to_string_pretty(&report)?;
    match arguments
        .iter()
        .find(|argument| argument.ends_with(".json"))
    {
        Some(path) => std::fs::write(path, text + "\n")?,
        None => println!("{text}"),
    }
    Ok(())
}

/// One row for each code and system.
fn encode() -> Outcome<Vec<Value>> {
    let mut rows = Vec::new();
    for (k, r) in CODES {
        let mut systems = Vec::new();
        for kernel in Kernel::available() {
            systems.push((kernel.name(), ours(kernel, k, r)?));
        }
        systems.push(("reed-solomon-simd", theirs(k, r)?));
        let names: Vec<_> = systems.iter().map(|(name, _)| *name).collect();
        let mut batches: Vec<_> = systems.into_iter().map(|(_, batch)| batch).collect();
        let times = interleaved(&mut batches)?;
        for (name, times) in names.into_iter().zip(times) {
            let rate = |time: Duration| {
                (k * SYMBOL_BYTES * ENCODE_REPEATS) as f64 / time.as_secs_f64() / 1e9
            };
            rows.push(json!({
                "k": k, "r": r, "system": name,
                "gb_per_s": rounded(rate(times[ROUNDS / 2])),
                "gb_per_s_best": rounded(rate(times[0])),
            }));
        }
    }
    Ok(rows)
}

type Batch = Box<dyn FnMut() -> Outcome<()>>;

fn ours(kernel: Kernel, k: usize, r: usize) -> Outcome<Batch> {
    let encoder = filled(kernel, k)?;
    let mut outs = vec![Vec::with_capacity(SYMBOL_BYTES + 128); r];
    Ok(Box::new(move || {
        for _ in 0..ENCODE_REPEATS {
            black_box(encoder.repairs(0, black_box(&mut outs)));
        }
        Ok(())
    }))
}

/// Its encoder wants to be handed the symbols each time, and copies them; ours keeps them anyway, as the retransmission buffer.
fn theirs(k: usize, r: usize) -> Outcome<Batch> {
    let mut encoder = ReedSolomonEncoder::new(k, r, SYMBOL_BYTES)?;
    let symbols: Vec<Vec<u8>> = (0..k as u32).map(symbol).collect();
    Ok(Box::new(move || {
        for _ in 0..ENCODE_REPEATS {
            for symbol in &symbols {
                encoder.add_original_shard(symbol)?;
            }
            black_box(encoder.encode()?.recovery_iter().count());
        }
        Ok(())
    }))
}

/// The times of each batch over all rounds, ascending.
fn interleaved(batches: &mut [Batch]) -> Outcome<Vec<Vec<Duration>>> {
    let mut times = vec![Vec::new(); batches.len()];
    for _ in 0..ROUNDS {
        for (batch, times) in batches.iter_mut().zip(&mut times) {
            let start = Instant::now();
            batch()?;
            times.push(start.elapsed());
        }
    }
    times.iter_mut().for_each(|times| times.sort_unstable());
    Ok(times)
}

/// The worst pattern by its median time, for each system.
fn decode() -> Outcome<Value> {
    const K: usize = 32;
    const R: usize = 8;
    let mut systems: Vec<(&str, Option<Kernel>)> = Kernel::available()
        .map(|kernel| (kernel.name(), Some(kernel)))
        .collect();
    systems.push(("reed-solomon-simd", None));
    let mut worst = vec![Duration::ZERO; systems.len()];
    for pattern in 0..PATTERNS {
        let lost = losses(pattern, K, R);
        let mut times = vec![Vec::new(); systems.len()];
        for _ in 0..DECODE_REPEATS {
            for ((_, kernel), times) in systems.iter().zip(&mut times) {
                times.push(match kernel {
                    Some(kernel) => our_decoding(*kernel, K, R, &lost)?,
                    None => their_decoding(K, R, &lost)?,
                });
            }
        }
        for (worst, times) in worst.iter_mut().zip(&mut times) {
            times.sort_unstable();
            *worst = (*worst).max(times[times.len() / 2]);
        }
    }
    let rows = systems.iter().zip(worst).map(|((name, _), worst)| {
        json!({"k": K, "r": R, "lost": R, "system": name, "worst_us": rounded(worst.as_secs_f64() * 1e6)})
    });
    Ok(rows.collect())
}

/// The first ones, the last ones, and others anywhere.
fn losses(pattern: usize, k: usize, r: usize) -> Vec<usize> {
    let mut order: Vec<usize> = (0..k).collect();
    match pattern {
        0 => {}
        1 => order.reverse(),
        _ => order.sort_by_key(|index| (index + 1) * (2 * pattern + 1) * 40_503 % 65_537),
    }
    order.truncate(r);
    order
}

fn our_decoding(kernel: Kernel, k: usize, r: usize, lost: &[usize]) -> Outcome<Duration> {
    let encoder = filled(kernel, k)?;
    let mut outs = vec![Vec::new(); r];
    let header = encoder.repairs(0, &mut outs).ok_or("an empty window")?;
    let mut decoder = Decoder::new(SYMBOL_BYTES).with_kernel(kernel);
    // What was decoded before has touched the memory and taught the processor the way. Numbers that leave the same remainder as 0 by the code's columns
    // and by the decoder's slots: all is where it was.
    let apart = (COLUMNS * DECODER_RING) as u32;
    let mut time = Duration::MAX;
    for first in (0..WARM).map(|block| block * apart) {
        for index in (0..k).filter(|index| !lost.contains(index)) {
            decoder.source(first + index as u32, &[&symbol(index as u32)])?;
        }
        let mut right = 0;
        let start = Instant::now();
        for (row, out) in (0..).zip(&outs) {
            let header = RepairHeader {
                first_seq: first,
                row,
                ..header
            };
            decoder.repair(header, out)?;
        }
        let recovered = decoder.recover(|_, payload| right += payload.len());
        time = start.elapsed();
        if recovered? != r || right != r * SYMBOL_BYTES {
            return Err("a symbol was not restored".into());
        }
    }
    Ok(time)
}

fn their_decoding(k: usize, r: usize, lost: &[usize]) -> Outcome<Duration> {
    let mut encoder = ReedSolomonEncoder::new(k, r, SYMBOL_BYTES)?;
    for index in 0..k as u32 {
        encoder.add_original_shard(symbol(index))?;
    }
    let encoded = encoder.encode()?;
    let mut decoder = ReedSolomonDecoder::new(k, r, SYMBOL_BYTES)?;
    let mut time = Duration::ZERO;
    for _ in 0..WARM {
        for index in (0..k).filter(|index| !lost.contains(index)) {
            decoder.add_original_shard(index, symbol(index as u32))?;
        }
        for (index, shard) in encoded.recovery_iter().enumerate() {
            decoder.add_recovery_shard(index, shard)?;
        }
        let start = Instant::now();
        let restored = decoder.decode()?;
        time = start.elapsed();
        black_box(restored.restored_original_iter().count());
    }
    Ok(time)
}

fn compare_windows() -> Value {
    let tally = windows::compare(WINDOWS, 2, Kernel::detect());
    json!({
        "compared_with_oracle": tally.windows,
        "different": 0,
        "symbols_recovered": tally.symbols_recovered,
        "unsolved_by_both": tally.unsolved,
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

/// As the kernel of the system names it.
fn cpu() -> Option<String> {
    let info = std::fs::read_to_string("/proc/cpuinfo").ok()?;
    let line = info.lines().find(|line| line.starts_with("model name"))?;
    Some(line.split_once(':')?.1.trim().into())
}

fn rounded(value: f64) -> f64 {
    (value * 100.0).round() / 100.0
}
