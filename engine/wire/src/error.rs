//! Why bytes were refused.

/// One reason a parser refuses bytes for; `engine/node` counts each as a drop reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum WireError {
    /// Shorter than the layout of its kind, type or shape.
    Truncated,
    /// Longer than its fixed layout, or a length field disagrees with the bytes at hand.
    BadLength,
    /// First nibble of a datagram.
    UnknownKind,
    /// First nibble of a hop frame.
    UnknownType,
    /// First nibble of a body.
    UnknownShape,
    /// A handshake of another version.
    UnknownVersion,
    /// A bit that has to be zero is not.
    Reserved,
    /// A field outside its range: span, row, feedback order.
    BadValue,
    /// Route: no segment, more than five, or more left than there are.
    BadRoute,
    /// Route: a node stands twice in it, or is its own source.
    RepeatedNode,
    /// Not an inner IPv4 or IPv6 packet with a sound header.
    BadInner,
}

impl WireError {
    /// All of them, in order of declaration.
    pub const ALL: [Self; 11] = [
        Self::Truncated,
        Self::BadLength,
        Self::UnknownKind,
        Self::UnknownType,
        Self::UnknownShape,
        Self::UnknownVersion,
        Self::Reserved,
        Self::BadValue,
        Self::BadRoute,
        Self::RepeatedNode,
        Self::BadInner,
    ];

    /// The word for metrics and logs.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Truncated => "truncated",
            Self::BadLength => "bad_length",
            Self::UnknownKind => "unknown_kind",
            Self::UnknownType => "unknown_type",
            Self::UnknownShape => "unknown_shape",
            Self::UnknownVersion => "unknown_version",
            Self::Reserved => "reserved",
            Self::BadValue => "bad_value",
            Self::BadRoute => "bad_route",
            Self::RepeatedNode => "repeated_node",
            Self::BadInner => "bad_inner",
        }
    }
}

impl std::fmt::Display for WireError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

impl std::error::Error for WireError {}
