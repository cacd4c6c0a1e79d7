//! The codec against the vectors of `fec/vectors`, which the readable definition in Python computed.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests fail by panicking"
)]

use std::collections::BTreeMap;

use overlayd_fec::{COLUMNS, Decoder, Encoder, Kernel, PARITY_ROWS, RepairHeader, coefficient};
use serde::Deserialize;

#[derive(Deserialize)]
struct Field {
    polynomial: u16,
    powers: String,
    inverses_of_1_to_255: String,
}

#[derive(Deserialize)]
struct Matrix {
    rows: Vec<String>,
}

#[derive(Deserialize)]
struct Blocks {
    blocks: Vec<Block>,
}

#[derive(Deserialize)]
struct Block {
    symbols: Vec<String>,
    rows: Vec<u8>,
    repair: Vec<String>,
}

#[derive(Deserialize)]
struct Streams {
    symbol_bytes: usize,
    streams: Vec<Stream>,
}

#[derive(Deserialize)]
struct Stream {
    name: String,
    window: usize,
    steps: Vec<Step>,
}

#[derive(Deserialize)]
struct Step {
    #[serde(flatten)]
    action: Action,
    recovered: Vec<u32>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Action {
    Source {
        source: u32,
        payload: String,
        arrives: bool,
    },
    Repair {
        repair: Repair,
        arrives: bool,
    },
    Late {
        late: u32,
    },
    Forget {
        forget_before: u32,
    },
}

#[derive(Deserialize)]
struct Repair {
    first_seq: u32,
    span: u8,
    row: u8,
    data: String,
}

fn unhex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text
        .chars()
        .map(|c| c.to_digit(16).unwrap() as u8)
        .collect();
    digits
        .chunks_exact(2)
        .map(|pair| pair[0] << 4 | pair[1])
        .collect()
}

fn kernels() -> [Kernel; 2] {
    [Kernel::SCALAR, Kernel::detect()]
}

fn multiply(kernel: Kernel, a: u8, b: u8) -> u8 {
    let mut product = [0];
    kernel.mul_add(&mut product, &[b], a);
    product[0]
}

#[test]
fn the_field_is_that_of_the_vectors() {
    let field: Field =
        serde_json::from_str(include_str!("../../../fec/vectors/field.json")).unwrap();
    assert_eq!(field.polynomial, 0x11d);
    for kernel in kernels() {
        let powers = unhex(&field.powers);
        assert_eq!(powers.len(), 255);
        for (power, element) in powers.iter().enumerate() {
            assert_eq!(multiply(kernel, *element, 2), powers[(power + 1) % 255]);
        }
        for (a, inverse) in (1..=255).zip(unhex(&field.inverses_of_1_to_255)) {
            assert_eq!(multiply(kernel, a, inverse), 1);
        }
    }
}

#[test]
fn the_matrix_is_that_of_the_vectors() {
    let matrix: Matrix =
        serde_json::from_str(include_str!("../../../fec/vectors/matrix.json")).unwrap();
    assert_eq!(matrix.rows.len(), PARITY_ROWS);
    for (row, bytes) in matrix.rows.iter().enumerate() {
        let ours: Vec<u8> = (0..COLUMNS as u32)
            .map(|seq| coefficient(row as u8, seq))
            .collect();
        assert_eq!(ours, unhex(bytes), "row {row}");
    }
    assert_eq!(coefficient(200, 1000), coefficient(200 % 32, 1000 % 223));
}

#[test]
fn the_repair_of_blocks_is_that_of_the_vectors() {
    let blocks: Blocks =
        serde_json::from_str(include_str!("../../../fec/vectors/block.json")).unwrap();
    for kernel in kernels() {
        for block in &blocks.blocks {
            for (row, expected) in block.rows.iter().zip(&block.repair) {
                let mut sum = vec![0; expected.len() / 2];
                for (seq, symbol) in (0..).zip(&block.symbols) {
                    kernel.mul_add(&mut sum, &unhex(symbol), coefficient(*row, seq));
                }
                assert_eq!(sum, unhex(expected));
            }
        }
    }
}

#[test]
fn streams_are_repaired_as_in_the_vectors() {
    let streams: Streams =
        serde_json::from_str(include_str!("../../../fec/vectors/sliding.json")).unwrap();
    for kernel in kernels() {
        for stream in &streams.streams {
            replay(stream, streams.symbol_bytes, kernel);
        }
    }
}

fn replay(stream: &Stream, symbol_bytes: usize, kernel: Kernel) {
    let mut encoder = Encoder::new(stream.window, stream.window, symbol_bytes).with_kernel(kernel);
    let mut decoder = Decoder::new(symbol_bytes).with_kernel(kernel);
    let mut sent = BTreeMap::new();
    for (index, step) in stream.steps.iter().enumerate() {
        let place = format!("{}, step {index}, {}", stream.name, kernel.name());
        match &step.action {
            Action::Source {
                source,
                payload,
                arrives,
            } => {
                let payload = unhex(payload);
                encoder.push(*source, &[&payload]).unwrap();
                if *arrives {
                    decoder.source(*source, &[&payload]).unwrap();
                }
                sent.insert(*source, payload);
            }
            Action::Repair { repair, arrives } => {
                let mut bytes = Vec::new();
                let header = encoder.repair(repair.row, &mut bytes).unwrap();
                let expected = RepairHeader {
                    first_seq: repair.first_seq,
                    span: repair.span,
                    row: repair.row,
                };
                assert_eq!(
                    (header, &bytes),
                    (expected, &unhex(&repair.data)),
                    "{place}"
                );
                if *arrives {
                    decoder.repair(header, &bytes).unwrap();
                }
            }
            Action::Late { late } => {
                decoder.source(*late, &[&sent[late]]).unwrap();
            }
            Action::Forget { forget_before } => encoder.forget_before(*forget_before),
        }
        let mut recovered = Vec::new();
        decoder
            .recover(|seq, payload| {
                assert_eq!(payload, sent[&seq], "{place}");
                recovered.push(seq);
            })
            .unwrap();
        assert_eq!(recovered, step.recovered, "{place}");
    }
}
