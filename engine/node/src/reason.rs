//! Why the packet plane dropped something. It counts and never raises. Pure.

macro_rules! reasons {
    ($($(#[$doc:meta])* $name:ident = $label:literal,)*) => {
        /// One reason a drop; `name` is the metric's label. Grows as stages are added.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[repr(u8)]
        pub enum DropReason {
            $($(#[$doc])* $name,)*
        }

        impl DropReason {
            /// All of them, in order of declaration: `reason as usize` is the place.
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            /// The word for metrics and logs.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$name => $label,)*
                }
            }
        }
    };
}

reasons! {
    /// A datagram's first nibble.
    UnknownKind = "unknown_kind",
    /// Bytes that the codec refused, by `WireError`.
    Truncated = "truncated",
    BadLength = "bad_length",
    UnknownType = "unknown_type",
    UnknownShape = "unknown_shape",
    UnknownVersion = "unknown_version",
    Reserved = "reserved",
    BadValue = "bad_value",
    BadRoute = "bad_route",
    RepeatedNode = "repeated_node",
    BadInner = "bad_inner",
    /// Handshake: of another network.
    WrongNetwork = "wrong_network",
    /// Handshake: mac1 is not made with our public key. Never answered.
    BadMac = "bad_mac",
    /// Handshake: answered with a cookie instead, for load or for a stamp that went back.
    CookieRequired = "cookie_required",
    /// Handshake: more than one source may send, though it showed a cookie.
    HandshakeRate = "handshake_rate",
    /// Handshake: Noise refused it.
    BadHandshake = "bad_handshake",
    /// Handshake: a static key that no peer has, or not the peer that it claims to be.
    UnknownPeer = "unknown_peer",
    /// Handshake: the peer is known, but no link leads to it from here.
    UnknownLink = "unknown_link",
    /// Handshake: answers nothing that is waited for.
    UnexpectedAnswer = "unexpected_answer",
    /// A receiver index that no session of this layer has.
    UnknownSession = "unknown_session",
    /// A counter that was seen before or is too old.
    Replayed = "replayed",
    /// The tag does not fit.
    BadTag = "bad_tag",
    /// The session has sent all it may.
    SessionSpent = "session_spent",
    /// Ingress: the source does not live here.
    ForeignSource = "foreign_source",
    /// Ingress: nobody has the destination.
    NoOwner = "no_owner",
    /// Ingress: neither a route nor a link leads to the destination.
    NoRoute = "no_route",
    /// Ingress: offload fields do not fit the packet.
    BadOffload = "bad_offload",
    /// Ingress: a session was not ready in time, or too many packets waited for it.
    NoSession = "no_session",
    /// Longer than two pieces, or at a relay than the next link carries.
    TooBig = "too_big",
    /// The pacing queue of a link was full: the oldest of the flow that had most in it, or what came.
    QueueFull = "queue_full",
    /// In the pacing queue of a link for too long, of a flow that does not understand marks.
    QueueLate = "queue_late",
    /// A protected frame that arrived before.
    DuplicateFrame = "duplicate_frame",
    /// A protected frame too far behind to be told from a duplicate.
    StaleFrame = "stale_frame",
    /// Transit: this node does not stand at the route's place.
    NotMine = "not_mine",
    /// Transit: this node is no relay.
    NotARelay = "not_a_relay",
    /// Transit: the next hop is not an enrolled peer with a link.
    NoNextHop = "no_next_hop",
    /// Transit: too many handshakes of others.
    RelayedHandshakes = "relayed_handshakes",
    /// Egress: an end-to-end datagram from another node than its session's.
    WrongPeer = "wrong_peer",
    /// Egress: the inner source does not belong to the peer.
    SpoofedSource = "spoofed_source",
    /// Egress: the inner destination does not live here.
    ForeignDestination = "foreign_destination",
    /// Egress: two pieces of one id that do not fit together.
    PieceMismatch = "piece_mismatch",
    /// Egress: the underlay marked congestion, and a drop is the only mark that the packet's transport understands (RFC 6040).
    CongestionMarked = "congestion_marked",
}

impl From<overlayd_wire::WireError> for DropReason {
    fn from(error: overlayd_wire::WireError) -> Self {
        use overlayd_wire::WireError;
        match error {
            WireError::Truncated => Self::Truncated,
            WireError::BadLength => Self::BadLength,
            WireError::UnknownKind => Self::UnknownKind,
            WireError::UnknownType => Self::UnknownType,
            WireError::UnknownShape => Self::UnknownShape,
            WireError::UnknownVersion => Self::UnknownVersion,
            WireError::Reserved => Self::Reserved,
            WireError::BadValue => Self::BadValue,
            WireError::BadRoute => Self::BadRoute,
            WireError::RepeatedNode => Self::RepeatedNode,
            WireError::BadInner => Self::BadInner,
        }
    }
}
