//! Why the packet plane dropped something. It counts and never raises. Pure.

/// One reason a drop; the name is the metric's label. Grows as stages are added; never reordered by hand elsewhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum DropReason {
    UnknownKind,
}
