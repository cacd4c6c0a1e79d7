//! The committed vectors are those that the codec makes.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests fail by panicking"
)]

#[path = "../examples/vectors/main.rs"]
#[allow(dead_code, reason = "each test uses a part of it")]
mod vectors;

#[test]
fn vectors_are_judged_as_they_were_meant() {
    assert_eq!(vectors::misjudged(), Vec::<&str>::new());
}

#[test]
fn committed_vectors_equal_the_codec() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/vectors/wire.json");
    let committed = std::fs::read_to_string(path).unwrap();
    assert_eq!(committed, vectors::text() + "\n");
}
