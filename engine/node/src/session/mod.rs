//! Sessions: handshake, seals, replay windows, rekeying; hop and end to end alike. Pure: time and randomness are passed in.
//!
//! [`Sessions`] knows every session of a node. Its owner
//!
//! 1. tells it the network, the peers and the links ([`Sessions::configure`]) and what it wants to talk over ([`Sessions::ensure`]);
//! 2. hands it handshake messages ([`Sessions::handle_handshake`]) and time ([`Sessions::handle_timeout`], when [`Sessions::poll_timeout`] says);
//! 3. seals and opens ([`Sessions::seal`], [`Sessions::open`]): O(1), no allocation;
//! 4. after each of these drains [`Sessions::poll`]: messages to send, sessions that came up or went down, keys to log.
//!
//! One file a concern: `table` (which session, when to rekey), `association` (the sessions of one scope), `handshake` (Noise and the
//! messages around it), `cookie` (floods and freshness), `seal` (AEAD), `replay` (window), `crypto` (hashes and keys).
//! Repair state, liveness and the choice of a path are not here.

mod types;

pub use types::{
    Action, KeyRecord, Layer, LinkSettings, Opened, PeerSettings, Ready, Scope, Settings, Via,
};
