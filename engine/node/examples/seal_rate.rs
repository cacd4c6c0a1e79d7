//! What a packet's seals cost, by scheme: the measurement behind ADR 0002.
//!
//! `cargo run --release -p overlayd-node --example seal_rate`. All schemes take turns in short rounds of one run, so that a busy machine
//! disturbs them alike; the table has the quickest round, which is the one that was disturbed least, in ns per packet, and the ratio of its
//! sealing to one full AES-256 hop seal.
//!
//! Every scheme seals (and opens) what one node does to one packet: inner packet and shape byte end to end; protected header, route and all of
//! that per hop.

#![allow(clippy::disallowed_methods, reason = "a measurement needs the clock")]

#[path = "../benches/engine/machine.rs"]
mod machine;

use std::hint::black_box;
use std::time::Instant;

use ring::aead::{
    AES_128_GCM, AES_256_GCM, Aad, Algorithm, CHACHA20_POLY1305, LessSafeKey, Nonce, UnboundKey,
};

use machine::machine;

const ROUNDS: usize = 101;
const PACKETS_A_ROUND: u32 = 1_000;
const ENVELOPE: usize = 8;
const TAG: usize = 16;
const PROTECTED: usize = 6;
/// Protected header, and a route over one relay.
const ROUTE: usize = PROTECTED + 8;

/// One AEAD call: lengths of associated data and plaintext for an inner packet of some size.
struct Call {
    key: LessSafeKey,
    associated: fn(usize) -> usize,
    plaintext: fn(usize) -> usize,
}

struct Scheme {
    name: &'static str,
    calls: Vec<Call>,
}

fn main() {
    let schemes = match schemes() {
        Ok(schemes) => schemes,
        Err(_) => return eprintln!("the library refused a key"),
    };
    println!("{}", machine());
    for size in [1424, 88] {
        let mut least = vec![[f64::INFINITY; 3]; schemes.len()];
        for _ in 0..ROUNDS {
            for (scheme, least) in schemes.iter().zip(&mut least) {
                for (least, ns) in least.iter_mut().zip(round(scheme, size)) {
                    *least = least.min(ns);
                }
            }
        }
        println!("\n| {size} B inner packet | seal ns | open ns | ratio |\n|---|---|---|---|");
        for (scheme, [seal, open, copy]) in schemes.iter().zip(&least) {
            let ratio = seal / least[0][0];
            println!(
                "| {} | {seal:.0} | {:.0} | {ratio:.2} |",
                scheme.name,
                open - copy
            );
        }
    }
}

fn schemes() -> Result<Vec<Scheme>, ring::error::Unspecified> {
    let end_to_end = |algorithm| call(algorithm, |_| ENVELOPE, |packet| packet + 1);
    // A hop seal over everything; over the route only, with all the rest as associated data; over the route and the inner tag only.
    let full = |algorithm| call(algorithm, |_| ENVELOPE, |packet| ROUTE + inside(packet));
    let associated = |algorithm| call(algorithm, |packet| ENVELOPE + inside(packet), |_| ROUTE);
    let headers = |algorithm| call(algorithm, |_| ENVELOPE + ENVELOPE + TAG, |_| ROUTE);
    let direct = |algorithm| call(algorithm, |_| ENVELOPE, |packet| PROTECTED + 1 + packet);
    let around = |algorithm| call(algorithm, |_| ENVELOPE, |packet| PROTECTED + inside(packet));
    let scheme = |name, calls: Vec<Result<Call, _>>| {
        Ok(Scheme {
            name,
            calls: calls.into_iter().collect::<Result<_, _>>()?,
        })
    };
    let (a256, a128, chacha) = (&AES_256_GCM, &AES_128_GCM, &CHACHA20_POLY1305);
    [
        scheme("hop: all, AES-256", vec![full(a256)]),
        scheme("hop: all, AES-128", vec![full(a128)]),
        scheme(
            "hop: route, rest as associated data, AES-256",
            vec![associated(a256)],
        ),
        scheme(
            "hop: route, rest as associated data, AES-128",
            vec![associated(a128)],
        ),
        scheme(
            "hop: route and inner tag only, AES-256",
            vec![headers(a256)],
        ),
        scheme("hop: all, ChaCha20-Poly1305", vec![full(chacha)]),
        scheme("direct frame, one seal, AES-256", vec![direct(a256)]),
        scheme(
            "direct frame, two seals, AES-256",
            vec![end_to_end(a256), around(a256)],
        ),
        scheme(
            "ingress: end to end AES-256, hop all AES-256",
            vec![end_to_end(a256), full(a256)],
        ),
        scheme(
            "ingress: end to end AES-256, hop all AES-128",
            vec![end_to_end(a256), full(a128)],
        ),
        scheme(
            "ingress: end to end AES-256, hop route + associated AES-256",
            vec![end_to_end(a256), associated(a256)],
        ),
        scheme(
            "ingress: ChaCha20-Poly1305 twice",
            vec![end_to_end(chacha), full(chacha)],
        ),
    ]
    .into_iter()
    .collect()
}

/// Bytes of the end-to-end datagram around an inner packet.
fn inside(packet: usize) -> usize {
    ENVELOPE + 1 + packet + TAG
}

fn call(
    algorithm: &'static Algorithm,
    associated: fn(usize) -> usize,
    plaintext: fn(usize) -> usize,
) -> Result<Call, ring::error::Unspecified> {
    let key = UnboundKey::new(algorithm, &vec![7; algorithm.key_len()])?;
    Ok(Call {
        key: LessSafeKey::new(key),
        associated,
        plaintext,
    })
}

/// ns per packet: to seal; to copy and open, as opening in place destroys its input; to copy.
fn round(scheme: &Scheme, size: usize) -> [f64; 3] {
    let mut sealed: Vec<(Vec<u8>, Vec<u8>)> = scheme
        .calls
        .iter()
        .map(|call| {
            (
                vec![1; (call.associated)(size)],
                vec![2; (call.plaintext)(size) + TAG],
            )
        })
        .collect();
    let start = Instant::now();
    for counter in 0..PACKETS_A_ROUND {
        for (call, (associated, text)) in scheme.calls.iter().zip(&mut sealed) {
            let (plaintext, tag) = text.split_at_mut((call.plaintext)(size));
            let made = call.key.seal_in_place_separate_tag(
                nonce(counter),
                Aad::from(&*associated),
                plaintext,
            );
            if let Ok(made) = made {
                tag.copy_from_slice(made.as_ref());
            }
            black_box(&text);
        }
    }
    let seal_ns = start.elapsed().as_nanos() as f64 / f64::from(PACKETS_A_ROUND);
    let last = nonce_of(PACKETS_A_ROUND - 1);
    let mut scratch: Vec<Vec<u8>> = sealed.iter().map(|(_, text)| text.clone()).collect();
    let mut opened = 0;
    let start = Instant::now();
    for _ in 0..PACKETS_A_ROUND {
        for ((call, (associated, text)), scratch) in
            scheme.calls.iter().zip(&sealed).zip(&mut scratch)
        {
            scratch.copy_from_slice(text);
            let nonce = Nonce::assume_unique_for_key(last);
            opened += usize::from(
                call.key
                    .open_in_place(nonce, Aad::from(associated), scratch)
                    .is_ok(),
            );
            black_box(&scratch);
        }
    }
    let both_ns = start.elapsed().as_nanos() as f64 / f64::from(PACKETS_A_ROUND);
    assert_eq!(
        opened,
        PACKETS_A_ROUND as usize * scheme.calls.len(),
        "every one has to open"
    );
    let start = Instant::now();
    for _ in 0..PACKETS_A_ROUND {
        for ((_, text), scratch) in sealed.iter().zip(&mut scratch) {
            scratch.copy_from_slice(text);
            black_box(&scratch);
        }
    }
    let copy_ns = start.elapsed().as_nanos() as f64 / f64::from(PACKETS_A_ROUND);
    [seal_ns, both_ns, copy_ns]
}

fn nonce(counter: u32) -> Nonce {
    Nonce::assume_unique_for_key(nonce_of(counter))
}

fn nonce_of(counter: u32) -> [u8; 12] {
    let mut nonce = [0; 12];
    nonce[8..].copy_from_slice(&counter.to_be_bytes());
    nonce
}
