//! (crate docs)

pub mod netem;
