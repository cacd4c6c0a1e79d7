//! What a node's work on a packet is made of, each part alone: seals of both suites, the copy that repair keeps, the receipt of a number.

use std::hint::black_box;
use std::time::Instant;

use overlayd_node::repair::{Outlook, Policy, Protector, Recoverer};
use overlayd_node::session::Seal;
use overlayd_wire::{Budget, Feedback, Protected, envelope};
use serde::Serialize;

use crate::scene::Stage;
use crate::{Measured, SIZES, SUITES};

const CALLS_A_ROUND: u32 = 1024;
/// Buffers that take turns, as in a run.
const BUFFERS: usize = 32;
/// Frames between two frames of feedback on a clean link.
const CONFIRMED_EVERY: usize = 128;
/// Route over one relay, and the byte that tells a body's shape.
const ROUTE: usize = 8;
const SHAPE: usize = 1;

#[derive(Serialize)]
pub(crate) struct Part {
    name: &'static str,
    /// Empty where no cipher is part of it.
    suite: &'static str,
    /// Of the inner packet.
    inner_bytes: usize,
    /// Of what is sealed or copied.
    bytes: usize,
    ns: f64,
    ns_quickest: f64,
}

const DIRECT_SEAL: &str = "seal direct frame";
const DIRECT_OPEN: &str = "open direct frame";
const ROUTED_SEAL: &str = "seal routed frame";
const ROUTED_OPEN: &str = "open routed frame";
const END_SEAL: &str = "seal end to end";
const END_OPEN: &str = "open end to end";
const DIRECT_COPY: &str = "keep a copy of a direct frame";
const ROUTED_COPY: &str = "keep a copy of a routed frame";
const RECEIPT: &str = "first copy or not";

pub(crate) fn measure(rounds: usize) -> Vec<Part> {
    let mut parts = Vec::new();
    for inner in SIZES {
        let end_to_end = inner + SHAPE;
        let direct = Protected::LEN + SHAPE + inner;
        let routed = Protected::LEN + ROUTE + envelope::OVERHEAD + end_to_end;
        for (suite_name, suite) in SUITES {
            let seal = Seal::new(suite, &[7; 32]).expect("a key of 32 bytes");
            let calls = [
                (DIRECT_SEAL, DIRECT_OPEN, direct),
                (ROUTED_SEAL, ROUTED_OPEN, routed),
                (END_SEAL, END_OPEN, end_to_end),
            ];
            for (sealing, opening, bytes) in calls {
                let [to_seal, to_open] = measure_seal(&seal, bytes, rounds);
                parts.push(part(sealing, suite_name, inner, bytes, to_seal));
                parts.push(part(opening, suite_name, inner, bytes, to_open));
            }
        }
        for (name, bytes) in [(DIRECT_COPY, direct), (ROUTED_COPY, routed)] {
            parts.push(part(name, "", inner, bytes, measure_copy(bytes, rounds)));
        }
        parts.push(part(RECEIPT, "", inner, 0, measure_receipt(rounds)));
    }
    println!(
        "\n| part | cipher | inner bytes | bytes | ns | quickest |\n|---|---|---|---|---|---|"
    );
    for part in &parts {
        println!(
            "| {} | {} | {} | {} | {:.0} | {:.0} |",
            part.name, part.suite, part.inner_bytes, part.bytes, part.ns, part.ns_quickest
        );
    }
    parts
}

/// Of a stage, in the quickest rounds: seals, copy kept for repair, receipt.
pub(crate) fn of(parts: &[Part], stage: &Measured) -> [f64; 3] {
    let ns = |name: &str| {
        let found = parts.iter().find(|part| {
            part.name == name
                && part.inner_bytes == stage.bytes
                && (part.suite.is_empty() || part.suite == stage.suite)
        });
        found.map_or(0.0, |part| part.ns_quickest)
    };
    match (stage.path, stage.stage) {
        ("direct", Stage::Ingress) => [ns(DIRECT_SEAL), ns(DIRECT_COPY), 0.0],
        ("direct", _) => [ns(DIRECT_OPEN), 0.0, ns(RECEIPT)],
        (_, Stage::Ingress) => [ns(END_SEAL) + ns(ROUTED_SEAL), ns(ROUTED_COPY), 0.0],
        (_, Stage::Relay) => [
            ns(ROUTED_OPEN) + ns(ROUTED_SEAL),
            ns(ROUTED_COPY),
            ns(RECEIPT),
        ],
        (_, Stage::Egress) => [ns(ROUTED_OPEN) + ns(END_OPEN), 0.0, ns(RECEIPT)],
    }
}

fn part(
    name: &'static str,
    suite: &'static str,
    inner_bytes: usize,
    bytes: usize,
    mut samples: Vec<f64>,
) -> Part {
    samples.sort_by(f64::total_cmp);
    Part {
        name,
        suite,
        inner_bytes,
        bytes,
        ns: samples[samples.len() / 2],
        ns_quickest: samples[0],
    }
}

/// To seal and to open.
fn measure_seal(seal: &Seal, bytes: usize, rounds: usize) -> [Vec<f64>; 2] {
    let mut buffers = vec![vec![5u8; bytes + envelope::OVERHEAD]; BUFFERS];
    let mut samples = [Vec::new(), Vec::new()];
    let mut first = 0;
    for _ in 0..rounds {
        let mut spent = [0.0; 2];
        for _ in 0..CALLS_A_ROUND as usize / BUFFERS {
            let counters = || (first..).zip(0..BUFFERS);
            let start = Instant::now();
            for (counter, place) in counters() {
                let sealed = seal.seal(counter, 9, black_box(&mut buffers[place]));
                assert!(sealed.is_ok());
            }
            spent[0] += start.elapsed().as_nanos() as f64;
            let start = Instant::now();
            for (counter, place) in counters() {
                let opened = seal.open(counter, black_box(&mut buffers[place]));
                assert!(opened.is_ok(), "what was sealed opens");
            }
            spent[1] += start.elapsed().as_nanos() as f64;
            first = (first + BUFFERS as u32) % (envelope::COUNTER_END / 2);
        }
        for (samples, spent) in samples.iter_mut().zip(spent) {
            samples.push(spent / f64::from(CALLS_A_ROUND));
        }
    }
    samples
}

fn policy() -> Policy {
    Policy {
        deadline: Some(100_000_000),
        retransmit: true,
        rows: Vec::new(),
        cap_ratio: 0.2,
        in_order: false,
    }
}

fn measure_copy(bytes: usize, rounds: usize) -> Vec<f64> {
    let mut protector = Protector::new(&policy(), 1472);
    let frames = vec![vec![3u8; bytes]; BUFFERS];
    let mut now = 0;
    let mut round = || {
        let start = Instant::now();
        for call in 0..CALLS_A_ROUND as usize {
            now += 667;
            let frame = black_box(&frames[call % BUFFERS]);
            protector.sent(now, 0, Budget(1000), frame);
            if (call + 1).is_multiple_of(CONFIRMED_EVERY) {
                let next = protector.next_seq();
                let all_is_well = Feedback {
                    class: 0,
                    next,
                    base: next,
                    answers_tail: false,
                    bitmap: &[],
                };
                protector.feedback(now, &all_is_well, &Outlook::default(), |_| 0);
            }
        }
        start.elapsed().as_nanos() as f64 / f64::from(CALLS_A_ROUND)
    };
    (0..rounds).map(|_| round()).collect()
}

fn measure_receipt(rounds: usize) -> Vec<f64> {
    let mut recoverer = Recoverer::new(&policy(), 1472);
    let (mut now, mut seq) = (0, 0);
    let mut round = || {
        let start = Instant::now();
        for _ in 0..CALLS_A_ROUND {
            now += 667;
            black_box(recoverer.receive(now, black_box(seq)));
            seq = (seq + 1) & 0xff_ffff;
        }
        start.elapsed().as_nanos() as f64 / f64::from(CALLS_A_ROUND)
    };
    (0..rounds).map(|_| round()).collect()
}
