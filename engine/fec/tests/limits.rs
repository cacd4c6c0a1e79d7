//! What a decoder does with input that no correct peer sends, and at the edges of its memory.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests fail by panicking"
)]

use overlayd_fec::{
    Arrival, DECODER_RING, Decoder, Encoder, PENDING_REPAIRS, Refusal, RepairHeader,
};
use proptest::prelude::*;

const SYMBOL_BYTES: usize = 32;

fn header(first_seq: u32, span: u8) -> RepairHeader {
    RepairHeader {
        first_seq,
        span,
        row: 0,
    }
}

fn recovered(decoder: &mut Decoder) -> Vec<u32> {
    let mut seqs = Vec::new();
    decoder.recover(|seq, _| seqs.push(seq)).unwrap();
    seqs
}

#[test]
fn malformed_repair_symbols_are_refused_by_kind() {
    let mut decoder = Decoder::new(SYMBOL_BYTES);
    decoder.source(1000, &[b"x"]).unwrap();
    let bytes = [0; SYMBOL_BYTES + 2];
    assert_eq!(
        decoder.repair(header(1000, 0), &bytes),
        Err(Refusal::Span { span: 0 })
    );
    assert_eq!(
        decoder.repair(header(1000, 129), &bytes),
        Err(Refusal::Span { span: 129 })
    );
    assert_eq!(
        decoder.repair(header(u32::MAX, 2), &bytes),
        Err(Refusal::Span { span: 2 })
    );
    assert_eq!(
        decoder.repair(header(1000, 1), &[0]),
        Err(Refusal::Length { bytes: 1 })
    );
    assert_eq!(
        decoder.repair(header(1000, 1), &[0; SYMBOL_BYTES + 3]),
        Err(Refusal::Length { bytes: 35 })
    );
    assert_eq!(
        decoder.source(1001, &[&[0; 30], &[0; 3]]),
        Err(Refusal::Length { bytes: 33 })
    );
    assert_eq!(decoder.pending(), 0);
    assert_eq!(decoder.repair(header(1001, 1), &bytes), Ok(Arrival::New));
}

#[test]
fn a_symbol_that_contradicts_its_length_is_not_delivered() {
    for bytes in [[0xff; 10], [0, 1, 9, 9, 0, 0, 0, 0, 0, 0]] {
        let mut decoder = Decoder::new(SYMBOL_BYTES);
        decoder.source(0, &[b"x"]).unwrap();
        // A repair symbol over one lost source: its bytes are the symbol itself times a coefficient.
        let factor = overlayd_fec::coefficient(0, 1);
        let mut symbol = bytes.to_vec();
        symbol.fill(0);
        overlayd_fec::Kernel::SCALAR.mul_add(&mut symbol, &bytes, factor);
        assert_eq!(decoder.repair(header(1, 1), &symbol), Ok(Arrival::New));
        assert_eq!(
            decoder.recover(|_, _| panic!("delivered")),
            Err(Refusal::Inconsistent { seq: 1 })
        );
        assert_eq!(decoder.pending(), 0);
        assert_eq!(decoder.source(1, &[b"right"]), Ok(Arrival::New));
    }
}

#[test]
fn a_repair_symbol_with_nothing_missing_is_not_kept() {
    let (mut encoder, mut decoder, mut bytes) = (
        Encoder::new(8, 8, SYMBOL_BYTES),
        Decoder::new(SYMBOL_BYTES),
        Vec::new(),
    );
    for seq in 0..8 {
        encoder.push(seq, &[b"payload"]).unwrap();
        decoder.source(seq, &[b"payload"]).unwrap();
    }
    let header = encoder.repair(0, &mut bytes).unwrap();
    assert_eq!(decoder.repair(header, &bytes), Ok(Arrival::Known));
    assert_eq!(decoder.pending(), 0);
}

#[test]
fn the_same_repair_symbol_twice_counts_once() {
    let (mut encoder, mut decoder, mut bytes) = (
        Encoder::new(8, 8, SYMBOL_BYTES),
        Decoder::new(SYMBOL_BYTES),
        Vec::new(),
    );
    for seq in 0..8 {
        encoder.push(seq, &[&[seq as u8; 9]]).unwrap();
        if seq != 3 && seq != 5 {
            decoder.source(seq, &[&[seq as u8; 9]]).unwrap();
        }
    }
    let header = encoder.repair(0, &mut bytes).unwrap();
    for _ in 0..5 {
        decoder.repair(header, &bytes).unwrap();
        assert_eq!(recovered(&mut decoder), Vec::<u32>::new());
    }
    assert_eq!(decoder.pending(), 1);
    let header = encoder.repair(1, &mut bytes).unwrap();
    decoder.repair(header, &bytes).unwrap();
    assert_eq!(recovered(&mut decoder), [3, 5]);
    assert_eq!(decoder.source(3, &[&[3; 9]]), Ok(Arrival::Known));
}

#[test]
fn a_burst_that_no_repair_can_mend_does_not_stop_later_repair() {
    let (mut encoder, mut decoder, mut bytes) = (
        Encoder::new(16, 16, SYMBOL_BYTES),
        Decoder::new(SYMBOL_BYTES),
        Vec::new(),
    );
    let mut back = Vec::new();
    for seq in 0..2000u32 {
        encoder.push(seq, &[&seq.to_be_bytes()]).unwrap();
        let lost = (300..700).contains(&seq) || seq % 50 == 0;
        if !lost {
            decoder.source(seq, &[&seq.to_be_bytes()]).unwrap();
        }
        if seq % 4 == 0 && !(300..700).contains(&seq) {
            let header = encoder.repair((seq / 4) as u8, &mut bytes).unwrap();
            decoder.repair(header, &bytes).unwrap();
        }
        decoder
            .recover(|seq, payload| {
                assert_eq!(payload, seq.to_be_bytes());
                back.push(seq);
            })
            .unwrap();
        assert!(decoder.pending() <= PENDING_REPAIRS);
    }
    let expected: Vec<u32> = (0..2000)
        .filter(|seq| seq % 50 == 0 && !(300..=700).contains(seq))
        .collect();
    let clear_of_the_burst: Vec<u32> = back
        .into_iter()
        .filter(|seq| !(300..=700).contains(seq))
        .collect();
    assert_eq!(clear_of_the_burst, expected);
}

#[test]
fn more_repair_symbols_than_can_wait_displace_the_oldest() {
    let mut encoder = Encoder::new(128, 128, SYMBOL_BYTES);
    let (mut decoder, mut bytes) = (Decoder::new(SYMBOL_BYTES), Vec::new());
    let lost = |seq: u32| seq % 5 < 2;
    for seq in 0..100u32 {
        encoder.push(seq, &[&seq.to_be_bytes()]).unwrap();
        if !lost(seq) {
            decoder.source(seq, &[&seq.to_be_bytes()]).unwrap();
        }
        if seq >= 60 {
            let header = encoder.repair(seq as u8, &mut bytes).unwrap();
            assert_eq!(decoder.repair(header, &bytes), Ok(Arrival::New));
        }
        assert_eq!(recovered(&mut decoder), Vec::<u32>::new());
    }
    assert_eq!(decoder.pending(), PENDING_REPAIRS);
    // 40 are missing and 32 equations are left; 8 late arrivals tip the balance.
    let missing: Vec<u32> = (0..100).filter(|&seq| lost(seq)).collect();
    for seq in &missing[..8] {
        assert_eq!(recovered(&mut decoder), Vec::<u32>::new());
        decoder.source(*seq, &[&seq.to_be_bytes()]).unwrap();
    }
    let mut back = Vec::new();
    decoder
        .recover(|seq, payload| {
            assert_eq!(payload, seq.to_be_bytes());
            back.push(seq);
        })
        .unwrap();
    assert_eq!(back, missing[8..]);
    assert_eq!(decoder.pending(), 0);
}

#[test]
fn memory_ends_after_the_ring() {
    let mut decoder = Decoder::new(SYMBOL_BYTES);
    decoder.source(1000, &[b"x"]).unwrap();
    let oldest = 1000 - DECODER_RING as u32 + 1;
    assert_eq!(decoder.source(oldest - 1, &[b"x"]), Ok(Arrival::TooOld));
    assert_eq!(
        decoder.repair(header(oldest - 1, 1), &[0; 3]),
        Ok(Arrival::TooOld)
    );
    assert_eq!(decoder.source(oldest, &[b"x"]), Ok(Arrival::New));
    assert_eq!(decoder.source(oldest, &[b"x"]), Ok(Arrival::Known));
    decoder.source(u32::MAX, &[b"x"]).unwrap();
    assert_eq!(decoder.source(1000, &[b"x"]), Ok(Arrival::TooOld));
    assert_eq!(decoder.source(u32::MAX, &[b"x"]), Ok(Arrival::Known));
    assert_eq!(decoder.source(u32::MAX - 1, &[b"x"]), Ok(Arrival::New));
}

#[derive(Clone, Debug)]
enum Operation {
    Source(u32, usize),
    Repair(RepairHeader, Vec<u8>),
    Recover,
}

fn operations() -> impl Strategy<Value = Operation> {
    let seq = || prop_oneof![8 => 0u32..600, 1 => any::<u32>(), 1 => u32::MAX - 300..=u32::MAX];
    let span = prop_oneof![4 => 1u8..=128, 1 => any::<u8>()];
    let bytes = prop_oneof![
        // Zeros make symbols of length zero: these pass, and the decoder goes on with what it made up.
        2 => (0usize..40).prop_map(|length| vec![0; length]),
        1 => prop::collection::vec(any::<u8>(), 0..40),
    ];
    prop_oneof![
        5 => (seq(), 0usize..40).prop_map(|(seq, length)| Operation::Source(seq, length)),
        5 => (seq(), span, any::<u8>(), bytes).prop_map(|(first_seq, span, row, bytes)| {
            Operation::Repair(RepairHeader { first_seq, span, row }, bytes)
        }),
        2 => Just(Operation::Recover),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn no_sequence_of_inputs_makes_a_decoder_panic_or_repeat_itself(operations in prop::collection::vec(operations(), 1..300)) {
        let mut decoder = Decoder::new(SYMBOL_BYTES);
        let mut known = std::collections::BTreeSet::new();
        for operation in operations {
            match operation {
                Operation::Source(seq, length) => {
                    if decoder.source(seq, &[&vec![1; length]]) == Ok(Arrival::New) {
                        prop_assert!(known.insert(seq), "{seq} was new twice");
                    }
                }
                Operation::Repair(header, bytes) => {
                    let _ = decoder.repair(header, &bytes);
                }
                Operation::Recover => {
                    let mut seqs = Vec::new();
                    let outcome = decoder.recover(|seq, _| seqs.push(seq));
                    prop_assert!(outcome.is_err() || outcome == Ok(seqs.len()));
                    for seq in seqs {
                        prop_assert!(known.insert(seq), "{seq} was recovered though it was known");
                    }
                }
            }
            prop_assert!(decoder.pending() <= PENDING_REPAIRS);
        }
    }

    #[test]
    fn no_sequence_of_calls_makes_an_encoder_panic(
        shape in (0usize..300, 0usize..300, 0usize..64),
        calls in prop::collection::vec((0u8..5, any::<u32>(), 0usize..80), 1..200),
    ) {
        let mut encoder = Encoder::new(shape.0, shape.1, shape.2);
        let (mut next, mut out) = (None, Vec::new());
        for (call, number, length) in calls {
            match call {
                0 | 1 => {
                    let seq = next.unwrap_or(number);
                    let payload = vec![7; length];
                    if encoder.push(seq, &[&payload]).is_ok() {
                        next = seq.checked_add(1);
                        prop_assert_eq!(encoder.get(seq), Some(payload.as_slice()));
                    }
                }
                2 => {
                    encoder.forget_before(number);
                    prop_assert_eq!(encoder.get(number.wrapping_sub(1)), None);
                }
                3 => encoder.set_window(length),
                _ => {
                    if let Some(header) = encoder.repair(number as u8, &mut out) {
                        prop_assert!((1..=128).contains(&header.span));
                        let last = header.first_seq + u32::from(header.span) - 1;
                        prop_assert_eq!(Some(last), next.map_or(Some(u32::MAX), |next| next.checked_sub(1)));
                        prop_assert!(out.len() <= 2 + shape.2);
                    }
                }
            }
        }
    }
}
