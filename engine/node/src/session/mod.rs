//! Sessions: handshake, seals, replay windows, rekeying; hop and end to end alike. Pure: time and randomness are passed in.
//!
//! [`Sessions`] knows every session of a node. Its owner
//!
//! 1. tells it the network, the peers and the links ([`Sessions::configure`]) and what it wants to talk over ([`Sessions::ensure`]);
//! 2. hands it handshake messages ([`Sessions::handle_handshake`]) and time ([`Sessions::handle_timeout`], when [`Sessions::poll_timeout`] says);
//! 3. seals and opens ([`Sessions::seal`], [`Sessions::open`]): O(1), no allocation;
//! 4. after each of these drains [`Sessions::poll`]: messages to send, sessions that came up or went down, keys to log.
//!
//! One file a concern: `table` (configuration, packet path, timers), `exchange` (handshake messages), `association` (the sessions of one scope
//! and their ages), `handshake` (Noise), `cookie` and `admission` (floods), `seal` (AEAD), `replay` (window), `slots` (receiver indices),
//! `random`, `crypto` (hashes and keys).
//! Repair state, liveness and the choice of a path are not here.

mod admission;
mod association;
mod cookie;
mod crypto;
mod exchange;
mod handshake;
mod random;
mod replay;
mod seal;
mod slots;
mod table;
mod types;

pub use crypto::public_key;
pub use random::Random;
pub use seal::Seal;
pub use table::Sessions;
pub use types::{
    Action, KeyRecord, Layer, LinkSettings, Opened, PeerSettings, Ready, Scope, Settings, Via,
};

#[cfg(test)]
mod tests;
