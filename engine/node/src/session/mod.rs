//! Sessions: handshake, seals, replay windows, rekeying; hop and end to end alike. Pure.
