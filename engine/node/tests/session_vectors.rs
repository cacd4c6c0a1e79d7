//! A conversation from fixed seeds stays the same to the byte, unless the wire format changes.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests fail by panicking"
)]

#[path = "../examples/session_vectors.rs"]
#[allow(dead_code, reason = "its main prints the file")]
mod session_vectors;

#[test]
fn committed_conversation_is_the_one_that_sessions_make() {
    let path = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../tests/vectors/session.json"
    );
    let committed = std::fs::read_to_string(path).unwrap();
    assert_eq!(committed, session_vectors::text() + "\n");
}
