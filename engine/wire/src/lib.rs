//! Codec of every frame of `docs/wire-format.md`. Bytes in, meaning out, and back; nothing is decided here.
//!
//! Two forms, as in smoltcp. A *view* ([`Sealed`], [`Init`], [`RouteView`], [`Bundle`], [`InnerPacket`], …) is a checked wrapper of bytes
//! that reads fields where they lie. A *repr* ([`Protected`], [`RouteRepr`], [`Repair`], …) is the meaning; `parse` makes it from bytes,
//! `to_bytes` (fixed size) or `emit` (appends to a vector) makes bytes from it.
//!
//! What every parser here promises: it never panics on any bytes, never allocates, borrows what is long, refuses bits and lengths that
//! the page does not allow, and says why by [`WireError`]. Called by `engine/node` and the shells. Pure.

pub mod body;
pub mod ecn;
pub mod envelope;
mod error;
pub mod frame;
mod frame_type;
pub mod handshake;
pub mod inner;
pub mod probe;
mod reader;
pub mod route;

pub use body::{Body, Bundle, Piece, Run};
pub use envelope::{Kind, Sealed};
pub use error::WireError;
pub use frame::{Budget, Feedback, Frame, Protected, Repair, Tail};
pub use frame_type::FrameType;
pub use handshake::{CookieReply, Init, InitPayload, Response, ResponsePayload};
pub use inner::InnerPacket;
pub use probe::{Counterprobe, LinkProbe, LinkProbeReply, PathProbe, PathProbeReply};
pub use route::{RouteRepr, RouteView};

/// Version of the wire format, agreed in the handshake.
pub const VERSION: u8 = 1;
