//! Prints `tests/vectors/wire.json`: bytes and what they mean, and bytes that have to be refused and why.
//!
//! `cargo run -p overlayd-wire --example vectors > tests/vectors/wire.json`. The bytes are made by the emitting half of the codec, the
//! meaning is read from them by the parsing half; the Python dissector, written from the page alone, has to agree with both.

mod describe;
mod lists;
mod samples;

use describe::{describe, hex};
use lists::{accepted, refused};
use serde_json::{Value, json};

/// What the bytes of a vector are.
#[derive(Clone, Copy)]
pub(crate) enum Layer {
    Datagram,
    Frame,
    Route,
    Body,
    Inner,
    InitPayload,
    ResponsePayload,
}

/// Name, layer, bytes.
pub(crate) struct Vector(
    pub(crate) &'static str,
    pub(crate) Layer,
    pub(crate) Vec<u8>,
);

fn main() {
    println!("{}", text());
}

/// The whole file, without the newline at its end.
pub(crate) fn text() -> String {
    let mut good = Vec::new();
    let mut bad = Vec::new();
    for Vector(name, layer, bytes) in accepted().into_iter().chain(refused()) {
        let layer_name = layer_name(layer);
        match describe(layer, &bytes) {
            Ok(fields) => good.push(json!({"name": name, "layer": layer_name, "hex": hex(&bytes), "fields": fields})),
            Err(error) => bad.push(json!({"name": name, "layer": layer_name, "hex": hex(&bytes), "error": error.name()})),
        }
    }
    let lines = |list: Vec<Value>| {
        list.iter()
            .map(|v| format!("  {v}"))
            .collect::<Vec<_>>()
            .join(",\n")
    };
    format!(
        "{{\n\"accepted\": [\n{}\n],\n\"refused\": [\n{}\n]\n}}",
        lines(good),
        lines(bad)
    )
}

/// The bytes of all vectors.
#[allow(dead_code, reason = "for the tests that include this file")]
pub(crate) fn all_bytes() -> Vec<Vec<u8>> {
    accepted()
        .into_iter()
        .chain(refused())
        .map(|Vector(_, _, bytes)| bytes)
        .collect()
}

/// How many of the vectors made to be accepted are refused, and the other way round.
#[allow(dead_code, reason = "for the tests that include this file")]
pub(crate) fn misjudged() -> Vec<&'static str> {
    let wrongly_refused = accepted()
        .into_iter()
        .filter(|v| describe(v.1, &v.2).is_err());
    let wrongly_accepted = refused()
        .into_iter()
        .filter(|v| describe(v.1, &v.2).is_ok());
    wrongly_refused
        .chain(wrongly_accepted)
        .map(|v| v.0)
        .collect()
}

fn layer_name(layer: Layer) -> &'static str {
    match layer {
        Layer::Datagram => "datagram",
        Layer::Frame => "frame",
        Layer::Route => "route",
        Layer::Body => "body",
        Layer::Inner => "inner",
        Layer::InitPayload => "init_payload",
        Layer::ResponsePayload => "response_payload",
    }
}
